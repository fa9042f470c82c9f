#include "cli/units.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

// --- figures -----------------------------------------------------------------------------------------

void lane_units_count(char *buf, size_t cap, double n)
{
    char digits[40];
    size_t len = 0;
    int count = snprintf(digits, sizeof digits, "%.0f", fabs(n) < 1e18 ? n : 1e18);
    for (int i = 0; i < count && len + 2 < cap; i++) {
        buf[len++] = digits[i];
        int left = count - 1 - i;
        if (left && left % 3 == 0 && digits[i] != '-')
            buf[len++] = ',';
    }
    buf[len] = '\0';
}

void lane_units_rate(char *buf, size_t cap, double per_s)
{
    if (per_s > 0 && per_s < 9.95)
        snprintf(buf, cap, "%.1f", per_s < 0.1 ? 0.1 : per_s);
    else
        lane_units_count(buf, cap, per_s);
}

// Two digits that count, at most one behind the point.
static void put_unit(char *buf, size_t cap, double n, const char *unit)
{
    snprintf(buf, cap, n < 9.95 ? "%.1f %s" : "%.0f %s", n, unit);
}

void lane_units_bytes(char *buf, size_t cap, double bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
    if (bytes < 1024) {
        snprintf(buf, cap, "%.0f B", bytes);
        return;
    }
    size_t i = 0;
    for (bytes /= 1024; bytes >= 1023.5 && i + 1 < sizeof units / sizeof *units; i++)
        bytes /= 1024;
    put_unit(buf, cap, bytes, units[i]);
}

void lane_units_ms(char *buf, size_t cap, double ms)
{
    if (ms < 0.9995)
        snprintf(buf, cap, "%.0f us", ms > 0 ? ms * 1000 : 0);
    else if (ms < 999.5)
        put_unit(buf, cap, ms, "ms");
    else
        lane_units_span(buf, cap, ms / 1000);
}

void lane_units_span(char *buf, size_t cap, double s)
{
    static const struct {
        double seconds;
        const char *name;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "m"}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (s >= units[i].seconds * 1.5 || (s >= units[i].seconds * 0.9995 && i == 2)) {
            put_unit(buf, cap, s / units[i].seconds, units[i].name);
            return;
        }
    }
    put_unit(buf, cap, s > 0 ? s : 0, "s");
}

// --- text --------------------------------------------------------------------------------------------

// Bytes of the UTF-8 character at `at`; 0: it is none.
static size_t character(const unsigned char *at)
{
    size_t len = *at < 0x80                  ? 1
                 : *at >= 0xc2 && *at < 0xe0 ? 2
                 : (*at & 0xf0) == 0xe0      ? 3
                 : *at >= 0xf0 && *at < 0xf5 ? 4
                                             : 0;
    for (size_t i = 1; i < len; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

void lane_units_plain(char *buf, size_t cap, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t out = 0;
    while (*at) {
        size_t len = character(at);
        // C0, DEL and C1 (which some terminals obey as well)
        bool bad = len == 0 || *at < 0x20 || *at == 0x7f || (*at == 0xc2 && at[1] < 0xa0);
        if (out + (bad ? 1 : len) + 1 > cap)
            break;
        if (bad)
            buf[out++] = '?';
        else
            memcpy(buf + out, at, len);
        out += bad ? 0 : len;
        at += len ? len : 1;
    }
    buf[out] = '\0';
}

size_t lane_units_width(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

size_t lane_units_fit(const char *text, size_t width)
{
    size_t len = 0;
    while (text[len] && (((unsigned char)text[len] & 0xc0) == 0x80 || width-- > 0))
        len++;
    return len;
}

void lane_units_shorten(char *text, size_t width)
{
    size_t now = lane_units_width(text);
    if (now <= width || width < 3)
        return;
    size_t skip = lane_units_fit(text, now - width + 2);
    memmove(text + 2, text + skip, strlen(text + skip) + 1);
    text[0] = text[1] = '.';
}
