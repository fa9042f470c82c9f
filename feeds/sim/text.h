// text: bytes that grow while one writes to their end; an allocation that fails sets `failed` and later
// writes do nothing, so only the end is checked. Thread: the owner's.
#ifndef FEEDS_SIM_TEXT_H
#define FEEDS_SIM_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus/base/view.h"

typedef struct {
    char *ptr; // not NUL-terminated
    size_t len, cap;
    bool failed;
} sim_text;

void sim_text_release(sim_text *text);
static inline void sim_text_clear(sim_text *text)
{
    text->len = 0;
    text->failed = false;
}
static inline bus_view sim_text_view(const sim_text *text)
{
    return (bus_view){text->ptr, text->len};
}
void sim_text_add(sim_text *text, bus_view bytes);
void sim_text_str(sim_text *text, const char *literal);
void sim_text_int(sim_text *text, int64_t n);
void sim_text_decimal(sim_text *text, int64_t v, int scale); // as bus_decimal_format
void sim_text_quoted(sim_text *text, bus_view raw);          // a JSON string, escaped
void sim_text_printf(sim_text *text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
