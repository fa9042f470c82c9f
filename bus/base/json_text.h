// json_text: one string escaped for JSON, for the few places of bus/base that write JSON by hand.
// Thread: any.
#ifndef BUS_BASE_JSON_TEXT_H
#define BUS_BASE_JSON_TEXT_H

#include <stddef.h>

// Writes `text` without the quotes; needs up to 6 bytes per byte of text. Bytes that are not UTF-8
// become U+FFFD. Not NUL-terminated; returns the length.
size_t bus_json_text(char *out, const char *text);

#endif
