// runtime_impl: what the sources of the runtime share. Thread: main.
#ifndef WORKHOST_RUNTIME_RUNTIME_IMPL_H
#define WORKHOST_RUNTIME_RUNTIME_IMPL_H

#include <pthread.h>

#include "bus/base/log.h"
#include "bus/nats/clock.h"
#include "bus/nats/stream.h"
#include "workhost/runtime/actor.h"
#include "workhost/runtime/feed.h"
#include "workhost/runtime/mark.h"
#include "workhost/runtime/outbox.h"
#include "workhost/runtime/plan.h"

typedef struct work_runtime {
    work_plan plan;
    work_mark *mark;
    bus_conn *conn;
    bus_clock_feed *clock; // NULL on the machine's clock
    work_outbox *outbox;
    work_feed *feed;
    pthread_mutex_t ring; // guards who is to be woken
    work_feed *sleeper;   // the feed while it is open
    _Atomic bool acked;   // acknowledgements have come that nobody has looked at
    bus_mono acks_at;     // when they were looked at last
    work_actor actors[WORK_PLAN_WORKERS_MAX];
    uint32_t count;
    bus_scratch scratch;
    bool online, ended;
    bus_mark last_input; // act lane: the last record taken from ACT
    uint32_t
        confirmed_epoch; // of the connection: since then the store was seen to hold what we know
    bool went_back;      // it does not: a new session is to begin
    bus_mono ticked_at, complained_at, passed_at;
    bus_mono trouble_from, trouble_at; // of what is complained of: since when, and the last time
    bool waits_told;
    int exit_code; // set when the loop is to end
    bool leaving;
} runtime;

// --- runtime.c ---------------------------------------------------------------------------------------
void work_runtime_leave(runtime *r, int exit_code); // the loop ends; the first code counts
bus_wake work_runtime_wake(runtime *r);             // of acknowledgements
bool work_runtime_going(const runtime *r);          // neither leaving nor told to stop
void work_runtime_rest(int ms);
// A condition that may last is said once in a while, not in every turn; the host hears of one that lasts.
void work_runtime_complain(runtime *r, const char *what, const char *why);
bool work_runtime_store(runtime *r, uint32_t index, bus_mono now, bool last);

// --- runtime_begin.c: sessions, runs, gaps ---------------------------------------------------------------
void work_runtime_await_registry(runtime *r); // before the first output can be made
void work_runtime_recall(runtime *r);
bus_mark work_runtime_seen(const runtime *r); // act: the highest that its actors' progress tells of
void work_runtime_begin(runtime *r);
void work_runtime_store_beginnings(runtime *r);
bus_err work_runtime_open_feed(runtime *r);
void work_runtime_close_feed(runtime *r, bool leaves);
void work_runtime_begin_run(runtime *r);
void work_runtime_skip_gap(runtime *r, bus_seq_range gap);
void work_runtime_report_reset(runtime *r, const work_actor *a, bus_seq_range lost);
uint64_t work_runtime_position(const runtime *r); // the lowest of its actors

// --- runtime_store.c: a store that went back ----------------------------------------------------------------
bool work_runtime_confirm(
    void *runtime); // does the store hold what we know? Before anything is sent or taken
// Before what came from the feed is used: false: it is not to be used.
bool work_runtime_confirm_input(runtime *r);
void work_runtime_begin_anew(runtime *r);

// --- runtime_host.c: words from and to the host ----------------------------------------------------------
bus_err work_runtime_read_plan(runtime *r);
bool work_runtime_host_gone(void);
void work_runtime_tell_online(runtime *r);
void work_runtime_tell_waits(runtime *r, const char *what, const char *why);
void work_runtime_tell_goes(runtime *r); // nothing when it was not told to wait
void work_runtime_tell_failed(runtime *r, const char *worker); // with bus_err_text
void work_runtime_tell_retry(runtime *r, uint32_t index, uint64_t seq, const char *why);

#endif
