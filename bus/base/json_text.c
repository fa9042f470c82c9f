#include "bus/base/json_text.h"

#include <stdio.h>
#include <string.h>

// Length of the well-formed UTF-8 sequence at p, 0 when there is none.
static int utf8_len(const unsigned char *p)
{
    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    int len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    for (int i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return len;
}

size_t bus_json_text(char *out, const char *text)
{
    size_t n = 0;
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        int len = utf8_len(p);
        if (*p == '"' || *p == '\\') {
            out[n++] = '\\';
            out[n++] = (char)*p++;
        } else if (*p < 0x20) {
            n += (size_t)sprintf(out + n, "\\u%04x", *p++);
        } else if (len == 0) {
            memcpy(out + n, "\xef\xbf\xbd", 3);
            n += 3;
            p++;
        } else {
            memcpy(out + n, p, (size_t)len);
            n += (size_t)len;
            p += len;
        }
    }
    return n;
}
