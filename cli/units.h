// units: figures as short text for people, and text that fits a width. Pure. Thread: any.
#ifndef CLI_UNITS_H
#define CLI_UNITS_H

#include <stddef.h>

void lane_units_count(char *buf, size_t cap, double n);     // "12,345"
void lane_units_rate(char *buf, size_t cap, double per_s);  // "12,345", "1.2"; nothing: "0"
void lane_units_bytes(char *buf, size_t cap, double bytes); // "512 B", "1.4 KiB", "12 MiB"
void lane_units_ms(char *buf, size_t cap, double ms);       // "85 us", "1.2 ms", "3.4 s", "2 m"
void lane_units_span(char *buf, size_t cap,
                     double seconds); // "0.5 s", "12 s", "3 m", "2.5 h", "4 d"

// lane_units_plain copies text without control characters or broken UTF-8: '?' stands for such a byte.
void lane_units_plain(char *buf, size_t cap, const char *text);
size_t lane_units_width(const char *text);             // characters
size_t lane_units_fit(const char *text, size_t width); // bytes of its first `width` characters
// lane_units_shorten cuts a name in place to so many characters: the end stays, ".." stands for the rest.
void lane_units_shorten(char *text, size_t width);

#endif
