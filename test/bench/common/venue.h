// venue: simexd playing a market that the bench wrote: trades, and quotes between them, of BTCUSDT, evenly spaced.
// Ids are first, first + 1, … for each kind. The price goes up and down, so a crossover of one against two trades
// signals at every trade. Every failure ends the bench. Thread: one.
#ifndef TEST_BENCH_COMMON_VENUE_H
#define TEST_BENCH_COMMON_VENUE_H

#include <stdbool.h>

#include "test/bench/common/daemon.h"

typedef struct {
    uint64_t first;  // id
    uint64_t trades; // and as many quotes, with `quotes`
    bool quotes;
    int64_t apart_ns;  // two frames
    const char *speed; // of play: "1x", "max"
} bench_market;

typedef struct {
    bench_daemon simexd;
    int port;
    char ws[64], rest[64];
} bench_venue;

void bench_venue_start(bench_venue *v, const bench_market *market);
// bench_venue_sent: frames in the record of what was sent to a connection.
uint64_t bench_venue_sent(const bench_venue *v);

#endif
