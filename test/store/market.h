// market: recorded market events for tests: rising ids, several symbols and kinds, one millisecond apart.
#ifndef TEST_STORE_MARKET_H
#define TEST_STORE_MARKET_H

#include "bus/event/event.h"
#include "bus/lane/lane.h"
#include "bus/nats/conn.h"

enum { MARKET_BYTES = 2048 };
// The n-th event (1, 2, …): its subject and its msgpack form. Always the same for the same n.
// recordedtime is market_recorded(n); every 16th event was recorded 5 ms before its neighbour.
size_t market_event(uint64_t n, char subject[BUS_SUBJECT_BUF], uint8_t bytes[MARKET_BYTES]);
bus_recorded_time market_recorded(uint64_t n);
// market_write makes stream ACT (act.>) and stores events first..first+count-1; returns false, with
// bus_err_text, when that did not work.
bool market_write(const char *url, uint64_t first, uint64_t count);
bus_conn *market_connect(const char *url); // NULL: bus_err_text

#endif
