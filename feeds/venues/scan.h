// scan: a forward-only reader of JSON text, for venue frames too long for a token array. It reads in
// place, allocates nothing, and goes over every byte once. Strings must be plain: an escape is refused
// (no venue field we read has one).
// A failed step sets `rule` and `at`; every later step then fails as well, so only the end is checked.
// Thread: the owner's. Source: schemas/specs/binance-spot.md, "Refused frames".
#ifndef FEEDS_VENUES_SCAN_H
#define FEEDS_VENUES_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/base/err.h"
#include "bus/base/view.h"
#include "feeds/venues/number.h"

typedef struct {
    const char *at, *start, *end;
    const char *rule; // what was expected at `at`; NULL while all is well
} feed_scan;

static inline feed_scan feed_scan_of(bus_view text)
{
    return (feed_scan){text.ptr, text.ptr, text.ptr + text.len, NULL};
}
// feed_scan_fail notes the first failure; returns false.
bool feed_scan_fail(feed_scan *s, const char *rule);
// feed_scan_error turns it into an error naming what was read, the byte and the rule.
bus_err feed_scan_error(const feed_scan *s, const char *what);

void feed_scan_blank(feed_scan *s);
// feed_scan_char takes c (after blanks) or fails; feed_scan_if takes it only when it is there.
bool feed_scan_char(feed_scan *s, char c);
bool feed_scan_if(feed_scan *s, char c);
bool feed_scan_string(feed_scan *s, bus_view *out); // without its quotes
bool feed_scan_u64(feed_scan *s, uint64_t *out);    // below 2^63
bool feed_scan_skip(feed_scan *s);                  // one value of any kind, at most 64 deep
bool feed_scan_value(feed_scan *s, bus_view *out);  // the same, and its text
bool feed_scan_end(feed_scan *s);                   // nothing but blanks is left
// Walking an object: after feed_scan_char(s, '{'), while (feed_scan_key(s, &key, &first)) take the value.
// `first` starts true. Ends with '}' taken, or failed.
bool feed_scan_key(feed_scan *s, bus_view *key, bool *first);
// Walking an array: after feed_scan_char(s, '['), while (feed_scan_element(s, &first)) take the value.
bool feed_scan_element(feed_scan *s, bool *first);
bool feed_scan_decimal(feed_scan *s, feed_decimal *out); // a string that holds a decimal

// The levels of an update or a snapshot; grows with the longest seen, owned by whoever reads.
typedef struct {
    feed_level *item;
    uint32_t count, cap;
} feed_level_list;
void feed_level_list_release(feed_level_list *list);
// feed_scan_levels appends `[["price","quantity"],…]`; further elements of a level are skipped.
bool feed_scan_levels(feed_scan *s, feed_level_list *list);

#endif
