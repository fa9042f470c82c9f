// decimal: venue text <-> scaled integers, exactly or not at all. No floating point anywhere.
// A scale is the number of digits behind the point, 0..18; value = v / 10^scale.
// Thread: any. Source: schemas/specs/daemons.md, "Numbers".
#ifndef BUS_BASE_DECIMAL_H
#define BUS_BASE_DECIMAL_H

#include <stdint.h>

#include "bus/base/err.h"
#include "bus/base/view.h"

typedef struct {
    int64_t v;
} bus_price; // at the instrument's price scale
typedef struct {
    int64_t v;
} bus_quantity;            // at the instrument's quantity scale
typedef __int128 bus_wide; // products and sums of products

enum { BUS_DECIMAL_SCALE_MAX = 18, BUS_DECIMAL_TEXT = 48 };

extern const int64_t bus_power10[BUS_DECIMAL_SCALE_MAX + 1]; // 10^0 … 10^18

// bus_decimal_parse reads [-]digits[.digits] at `scale`. Refused: empty, '+', exponent, blanks,
// a non-zero digit beyond the scale (BUS_ERANGE), more than int64 holds (BUS_ERANGE).
bus_err bus_decimal_parse(bus_view text, int scale, int64_t *out);
// bus_decimal_scale_of: digits behind the point without trailing zeros ("61837.63000000" -> 2).
bus_err bus_decimal_scale_of(bus_view text, int *scale);
// bus_decimal_format writes all `scale` digits ("1.50" at scale 2); returns the length.
int bus_decimal_format(int64_t v, int scale, char buf[BUS_DECIMAL_TEXT]);
// bus_wide_format: the same for 128 bits, trailing zeros stripped ("13084074.1123886").
int bus_wide_format(bus_wide v, int scale, char buf[BUS_DECIMAL_TEXT]);

#endif
