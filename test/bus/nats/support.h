// support: what the tests of bus/nats share: a broker, a connection that is up, a stream, records in it.
// Thread: the test's.
#ifndef TEST_BUS_NATS_SUPPORT_H
#define TEST_BUS_NATS_SUPPORT_H

#include "bus/nats/conn.h"
#include "bus/nats/stream.h"
#include "test/support/broker.h"

bus_conn *given_conn(const test_broker *broker, bus_profile profile);
void given_stream(bus_conn *conn, const char *name, const char *subject);
// given_records: core publish of `count` messages "<n>" (1 …) of `len` bytes each, waited for.
void given_records(bus_conn *conn, const char *stream, const char *subject, uint64_t count,
                   size_t len);
// purge_stream removes the messages of one subject pattern ("": all).
void purge_stream(bus_conn *conn, const char *name, const char *subject);
uint64_t stream_messages(bus_conn *conn, const char *stream);
void wait_until_up(bus_conn *conn, int timeout_ms);
void sleep_ms(int ms);
long memory_kb(void); // resident, of this process

#endif
