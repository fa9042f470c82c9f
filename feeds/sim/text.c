#include "feeds/sim/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "bus/base/decimal.h"

void sim_text_release(sim_text *text)
{
    free(text->ptr);
    *text = (sim_text){0};
}

static bool reserve(sim_text *text, size_t more)
{
    if (text->failed)
        return false;
    if (text->cap - text->len >= more)
        return true;
    size_t cap = text->cap ? text->cap : 256;
    while (cap - text->len < more)
        cap *= 2;
    char *grown = realloc(text->ptr, cap);
    if (!grown) {
        text->failed = true;
        return false;
    }
    text->ptr = grown;
    text->cap = cap;
    return true;
}

void sim_text_add(sim_text *text, bus_view bytes)
{
    if (bytes.len == 0 || !reserve(text, bytes.len))
        return;
    memcpy(text->ptr + text->len, bytes.ptr, bytes.len);
    text->len += bytes.len;
}

void sim_text_str(sim_text *text, const char *literal)
{
    sim_text_add(text, bus_view_of(literal));
}

void sim_text_int(sim_text *text, int64_t n)
{
    char digits[24];
    char *at = digits + sizeof digits;
    uint64_t left = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    do
        *--at = (char)('0' + left % 10);
    while ((left /= 10) != 0);
    if (n < 0)
        *--at = '-';
    sim_text_add(text, (bus_view){at, (size_t)(digits + sizeof digits - at)});
}

void sim_text_decimal(sim_text *text, int64_t v, int scale)
{
    char digits[BUS_DECIMAL_TEXT];
    int len = bus_decimal_format(v, scale, digits);
    sim_text_add(text, (bus_view){digits, (size_t)len});
}

void sim_text_quoted(sim_text *text, bus_view raw)
{
    sim_text_str(text, "\"");
    for (size_t i = 0; i < raw.len; i++) {
        unsigned char c = (unsigned char)raw.ptr[i];
        if (c == '"' || c == '\\')
            sim_text_printf(text, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            sim_text_printf(text, "\\u%04x", c);
        else
            sim_text_add(text, (bus_view){raw.ptr + i, 1});
    }
    sim_text_str(text, "\"");
}

void sim_text_printf(sim_text *text, const char *fmt, ...)
{
    char small[1024];
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(small, sizeof small, fmt, args);
    if (len >= 0 && (size_t)len < sizeof small) {
        sim_text_add(text, (bus_view){small, (size_t)len});
    } else if (len >= 0 && reserve(text, (size_t)len + 1)) {
        vsnprintf(text->ptr + text->len, (size_t)len + 1, fmt, again);
        text->len += (size_t)len;
    }
    va_end(again);
    va_end(args);
}
