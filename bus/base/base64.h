// base64: bytes as text. Thread: any. Source: RFC 4648, sections 4 and 5.
#ifndef BUS_BASE_BASE64_H
#define BUS_BASE_BASE64_H

#include "bus/base/view.h"

// Characters that `len` bytes become, without the NUL.
#define BUS_BASE64_CHARS(len) (((len) + 2) / 3 * 4)

// bus_base64_write: with padding and a NUL; out has room for BUS_BASE64_CHARS(bytes.len) + 1.
void bus_base64_write(char *out, bus_view bytes);
// bus_base64_read: the standard digits, with padding. out has room for text.len / 4 * 3. False, and of no
// use what was written, when the text is malformed.
bool bus_base64_read(uint8_t *out, size_t *len, bus_view text);
// bus_base64_read_any: both alphabets, with or without padding. out has room for text.len / 4 * 3 + 3.
bool bus_base64_read_any(uint8_t *out, size_t *len, bus_view text);

#endif
