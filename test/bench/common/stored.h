// stored: the daemon itself, as built, on a broker of the bench's; it ends with the program. And a replay's
// calls, over the bus as any client makes them. Whatever fails ends the program, with a word why.
#ifndef TEST_BENCH_COMMON_STORED_H
#define TEST_BENCH_COMMON_STORED_H

#include "bus/nats/conn.h"

int bench_stored_start(bus_conn *conn,
                       const char *url); // its process id; it serves when this returns
void bench_stored_stop(void);
// bench_replay_call: method of virtufin.api.v1.Replay, its request as JSON.
void bench_replay_call(bus_conn *conn, const char *method, const char *request);
bus_conn *bench_connect(const char *url, bus_profile profile);

#endif
