// Times, spans and instants of the virtual clock: whatever is accepted is written and read back to the same instant.
#include <assert.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "bus/base/time.h"
#include "bus/nats/clock.h"

static void try_instant(bus_view payload)
{
    bus_wall at, again = {0};
    char text[24];
    if (bus_clock_instant_parse(payload, &at))
        return;
    int len = snprintf(text, sizeof text, "%" PRId64, at.ns);
    if (at.ns < 0 || bus_clock_instant_parse((bus_view){text, (size_t)len}, &again) ||
        again.ns != at.ns || (size_t)len > payload.len)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bus_view text = {(const char *)data, size};
    int64_t ns, again;
    bus_span span;
    char buf[BUS_TIME_TEXT];
    if (bus_time_parse(text, &ns) == BUS_OK) {
        int len = bus_time_format(ns, buf);
        assert(len == 30);
        assert(bus_time_parse((bus_view){buf, (size_t)len}, &again) == BUS_OK && again == ns);
    }
    bus_span_parse(text, &span);
    try_instant(text);
    return 0;
}
