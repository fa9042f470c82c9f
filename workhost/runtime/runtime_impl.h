// runtime_impl: what the sources of the runtime share. Thread: main.
#ifndef WORKHOST_RUNTIME_RUNTIME_IMPL_H
#define WORKHOST_RUNTIME_RUNTIME_IMPL_H

#include "bus/base/log.h"
#include "bus/nats/clock.h"
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
    work_actor actors[WORK_PLAN_WORKERS_MAX];
    uint32_t count;
    bus_scratch scratch;
    bool online, ended;
    bus_mono ticked_at, complained_at;
    int exit_code; // set when the loop is to end
    bool leaving;
} runtime;

// --- runtime.c ---------------------------------------------------------------------------------------
void work_runtime_leave(runtime *r, int exit_code); // the loop ends; the first code counts
bool work_runtime_going(const runtime *r);          // neither leaving nor told to stop
void work_runtime_rest(int ms);
// A condition that may last is said once in a while, not in every turn.
void work_runtime_complain(runtime *r, const char *what, const char *why);
bool work_runtime_store(runtime *r, uint32_t index, bus_mono now, bool last);

// --- runtime_begin.c: sessions, runs, gaps ---------------------------------------------------------------
void work_runtime_recall(runtime *r);
void work_runtime_begin(runtime *r);
void work_runtime_store_beginnings(runtime *r);
bus_err work_runtime_open_feed(runtime *r);
void work_runtime_begin_run(runtime *r);
void work_runtime_skip_gap(runtime *r, bus_seq_range gap);
uint64_t work_runtime_position(const runtime *r); // the lowest of its actors

// --- runtime_host.c: words from and to the host ----------------------------------------------------------
bus_err work_runtime_read_plan(runtime *r);
bool work_runtime_host_gone(void);
void work_runtime_tell_online(runtime *r);
void work_runtime_tell_failed(runtime *r, const char *worker); // with bus_err_text
void work_runtime_tell_retry(runtime *r, uint32_t index, uint64_t seq, const char *why);

#endif
