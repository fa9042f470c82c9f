// text: what a string on the wire may hold: UTF-8, and the narrower rules of CloudEvents attributes.
// Each check returns NULL when the text is fine, else the rule it breaks and, in *at, the byte offset.
// Thread: any. Source: schemas/specs/envelope.md, "Attributes".
#ifndef BUS_EVENT_TEXT_H
#define BUS_EVENT_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "bus/base/view.h"

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
