// amount: exact decimals of our own for checking what the feed did: 10 digits behind the point, 128 bits.
// Deliberately not bus/base/decimal: what is checked must not be checked with its own arithmetic.
// Thread: any. Source: schemas/specs/cli.md, "lane feed check".
#ifndef CLI_AMOUNT_H
#define CLI_AMOUNT_H

#include <stdbool.h>

#include "bus/base/err.h"
#include "bus/base/view.h"

typedef __int128 lane_amount;
enum { LANE_AMOUNT_SCALE = 10, LANE_AMOUNT_TEXT = 48 };

// lane_amount_parse: digits[.digits]; a non-zero digit behind the tenth, or more than 18 before the point: error.
bus_err lane_amount_parse(bus_view text, lane_amount *out);
// lane_amount_text writes v / 10^scale without trailing zeros; returns buf.
const char *lane_amount_text(lane_amount v, int scale, char buf[LANE_AMOUNT_TEXT]);
// lane_amount_ratio writes notional / qty with exactly eight digits, half up. notional is at twice the scale;
// qty is one that lane_amount_divides accepts (below 1.7 * 10^18 units); of nothing it is 0.
bool lane_amount_divides(lane_amount qty);
const char *lane_amount_ratio(lane_amount notional, lane_amount qty, char buf[LANE_AMOUNT_TEXT]);

#endif
