// backoff: how long to wait before the next try: doubled after every failure up to a bound, half of it
// random so that many clients do not come back at once. Pure: the seed is given.
// Thread: the owner's. Source: schemas/specs/feedd.md, "Connection".
#ifndef FEEDS_BACKOFF_H
#define FEEDS_BACKOFF_H

#include <stdint.h>

#include "bus/base/time.h"

typedef struct {
    bus_span least, most;
    uint32_t failures; // in a row
    uint64_t random;
} feed_backoff;

void feed_backoff_init(feed_backoff *b, bus_span least, bus_span most, uint64_t seed);
bus_span feed_backoff_failed(feed_backoff *b); // the wait before the next try
void feed_backoff_worked(feed_backoff *b);

#endif
