// text: what a string on the wire may hold: UTF-8, and the narrower rules of CloudEvents attributes.
// Each check returns NULL when the text is fine, else the rule it breaks and, in *at, the byte offset.
// Thread: any. Source: schemas/specs/envelope.md, "Attributes".
#ifndef BUS_EVENT_TEXT_H
#define BUS_EVENT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bus/base/view.h"

// text_is_ascii: no byte has its high bit set. Eight bytes at a time, the last step overlapping.
static inline bool text_is_ascii(bus_view text)
{
    uint64_t all = 0, eight;
    uint32_t four;
    size_t i = 0;
    for (; i + 8 <= text.len; i += 8) {
        memcpy(&eight, text.ptr + i, 8);
        all |= eight;
    }
    if (text.len >= 8) {
        memcpy(&eight, text.ptr + text.len - 8, 8);
        return !((all | eight) & 0x8080808080808080ULL);
    }
    if (text.len >= 4) {
        memcpy(&four, text.ptr, 4);
        all = four;
        memcpy(&four, text.ptr + text.len - 4, 4);
        return !((all | four) & 0x80808080U);
    }
    for (; i < text.len; i++)
        all |= (unsigned char)text.ptr[i];
    return !(all & 0x80);
}

const char *bus_text_utf8(bus_view text, size_t *at); // valid UTF-8: no surrogates, no overlongs
const char *bus_text_attribute(bus_view text, size_t *at);  // also no control characters
const char *bus_text_time(bus_view text, size_t *at);       // RFC 3339, at most 9 fractional digits
const char *bus_text_uri_ref(bus_view text, size_t *at);    // RFC 3986 URI-reference
const char *bus_text_uri(bus_view text, size_t *at);        // the same with a scheme
const char *bus_text_media_type(bus_view text, size_t *at); // RFC 2046 type/subtype[; parameters]
const char *bus_text_name(bus_view text, size_t *at);       // [a-z0-9]+

// Is this media type JSON (application/json, text/json, …+json)? msgpack? Parameters are ignored.
bool bus_media_is_json(bus_view type);
bool bus_media_is_msgpack(bus_view type);

#endif
