#include "bus/base/base64.h"

void bus_base64_write(char *out, bus_view bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *from = (const uint8_t *)bytes.ptr;
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t bits = (uint32_t)from[i] << 16;
        bits |= left > 1 ? (uint32_t)from[i + 1] << 8 : 0;
        bits |= left > 2 ? from[i + 2] : 0;
        *out++ = digits[bits >> 18];
        *out++ = digits[bits >> 12 & 63];
        *out++ = left > 1 ? digits[bits >> 6 & 63] : '=';
        *out++ = left > 2 ? digits[bits & 63] : '=';
    }
    *out = '\0';
}

static int sextet(char c, bool any)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || (any && c == '-'))
        return 62;
    return c == '/' || (any && c == '_') ? 63 : -1;
}

static bool read_digits(uint8_t *out, size_t *len, bus_view digits, bool any)
{
    uint32_t bits = 0;
    int held = 0;
    size_t used = 0;
    for (size_t i = 0; i < digits.len; i++) {
        int v = sextet(digits.ptr[i], any);
        if (v < 0)
            return false;
        bits = bits << 6 | (uint32_t)v;
        held += 6;
        if (held < 8)
            continue;
        held -= 8;
        out[used++] = (uint8_t)(bits >> held);
    }
    *len = used;
    return true;
}

static bus_view without_padding(bus_view text)
{
    for (int i = 0; i < 2 && text.len && text.ptr[text.len - 1] == '='; i++)
        text.len--;
    return text;
}

bool bus_base64_read(uint8_t *out, size_t *len, bus_view text)
{
    return text.len % 4 == 0 && read_digits(out, len, without_padding(text), false);
}

bool bus_base64_read_any(uint8_t *out, size_t *len, bus_view text)
{
    if (text.len % 4 == 0)
        text = without_padding(text);
    return text.len % 4 != 1 && read_digits(out, len, text, true);
}
