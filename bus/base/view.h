// view: bytes that somebody else owns. Not NUL-terminated. ptr may be NULL only when len is 0.
#ifndef BUS_BASE_VIEW_H
#define BUS_BASE_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    const char *ptr;
    size_t len;
} bus_view;

#define BUS_VIEW(literal) ((bus_view){(literal), sizeof(literal) - 1})
// for printf("%.*s", BUS_VIEW_ARG(v))
#define BUS_VIEW_ARG(v) (int)(v).len, (v).ptr ? (v).ptr : ""

static inline bus_view bus_view_of(const char *text)
{
    return (bus_view){text, text ? strlen(text) : 0};
}
static inline bool bus_view_eq(bus_view a, bus_view b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
static inline bool bus_view_is(bus_view a, const char *text)
{
    return bus_view_eq(a, bus_view_of(text));
}
// bus_view_trimmed: what lies between two places, without the blanks at its ends.
static inline bus_view bus_view_trimmed(const char *from, const char *end)
{
    while (from < end && *from == ' ')
        from++;
    while (end > from && end[-1] == ' ')
        end--;
    return (bus_view){from, (size_t)(end - from)};
}
// bus_view_u64 reads all of v as a decimal number without sign or leading '+'; false if it is not one.
bool bus_view_u64(bus_view v, uint64_t *out);
// bus_view_copy writes v and a NUL to buf; false (and buf is "") when it does not fit.
bool bus_view_copy(bus_view v, char *buf, size_t cap);

#endif
