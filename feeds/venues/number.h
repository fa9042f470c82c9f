// number: a decimal text taken apart, so that it is read once and scaled when the scale is known.
// Shape: digits[.digits], at most 18 on each side of the point; no sign, no exponent.
// Thread: any. Source: schemas/specs/market-events.md, "Types of fields".
#ifndef FEEDS_VENUES_NUMBER_H
#define FEEDS_VENUES_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/base/view.h"

typedef struct {
    bus_view text;
    uint64_t whole, fraction;
    int digits; // behind the point
} feed_decimal;

typedef struct {
    feed_decimal price, quantity;
} feed_level;

// feed_decimal_parse reads all of text; false when it is not of that shape.
bool feed_decimal_parse(bus_view text, feed_decimal *out);

#endif
