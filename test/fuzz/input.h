// What a fuzz target reads its input with, byte by byte; behind its end there are zeros.
#ifndef TEST_FUZZ_INPUT_H
#define TEST_FUZZ_INPUT_H

#include <stdint.h>
#include <stdlib.h>

#include "bus/base/view.h"

static struct {
    const uint8_t *bytes;
    size_t left;
} input;

static inline void demand(bool ok)
{
    if (!ok)
        abort();
}

static inline uint8_t byte(void)
{
    if (input.left == 0)
        return 0;
    input.left--;
    return *input.bytes++;
}

static inline bus_view bytes_of(size_t len)
{
    if (len > input.left)
        len = input.left;
    bus_view v = {(const char *)input.bytes, len};
    input.bytes += len;
    input.left -= len;
    return v;
}

#endif
