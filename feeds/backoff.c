#include "feeds/backoff.h"

void feed_backoff_init(feed_backoff *b, bus_span least, bus_span most, uint64_t seed)
{
    *b = (feed_backoff){.least = least, .most = most, .random = seed ? seed : 1};
}

static uint64_t next_random(feed_backoff *b) // xorshift64
{
    b->random ^= b->random << 13;
    b->random ^= b->random >> 7;
    b->random ^= b->random << 17;
    return b->random;
}

bus_span feed_backoff_failed(feed_backoff *b)
{
    int64_t wait = b->least.ns;
    for (uint32_t i = 0; i < b->failures && wait < b->most.ns; i++)
        wait *= 2;
    if (wait > b->most.ns)
        wait = b->most.ns;
    b->failures++;
    int64_t half = wait / 2;
    return (bus_span){wait - half + (half ? (int64_t)(next_random(b) % (uint64_t)half) : 0)};
}

void feed_backoff_worked(feed_backoff *b)
{
    b->failures = 0;
}
