// small_replay: a recorded stream and a small replay of it, made of the same parts as the real one: events are read
// from the stream, re-addressed, and sent under credit. One a test, for tests of who takes part.
#ifndef TEST_BUS_NATS_SMALL_REPLAY_H
#define TEST_BUS_NATS_SMALL_REPLAY_H

#include "bus/event/identity.h"
#include "bus/nats/credit.h"
#include "bus/nats/reader.h"
#include "bus/nats/service.h"
#include "test/support/broker.h"

#define REPLAY_SELECTOR "mon"

typedef struct {
    test_broker broker;
    bus_conn *conn; // the test's
    bus_conn *own;  // the replay's
    char run[BUS_UUID_TEXT], state[16];
    uint64_t first_seq, last_seq, marks;
    bus_credit *credit;
    bus_service *service;
    bus_sub *done;
    bus_reader *reader;
    uint32_t window_events;
    uint64_t lose_from, lose_to; // sequences that are not published
    bool lose_marks, at_end;
} small_replay;
extern small_replay replay;

void given_a_recorded_stream(int events);
void given_a_replay(uint32_t window_events);
void replay_begin_run(uint64_t first, const char *state);
void replay_write_record(const char *state, uint64_t end_seq);
void replay_pump(int events);
void replay_play_up_to(uint64_t events); // with nobody taking part yet
void replay_close(void);

#endif
