// exchange: everything the simulated exchange owns: what it sends (a capture or a market), to whom (the
// hub), the books and what is asked over HTTP. Knows no sockets.
// Thread: one, the exchange's, for every call. Source: schemas/specs/simexd.md.
#ifndef FEEDS_SIM_EXCHANGE_H
#define FEEDS_SIM_EXCHANGE_H

#include "bus/base/err.h"
#include "bus/base/time.h"
#include "feeds/sim/hub.h"
#include "feeds/sim/text.h"

typedef struct sim_exchange sim_exchange;

typedef struct {
    const char *const *captures; // none: the synthetic market
    size_t capture_count;
    const char *speed;
    bus_span start_after; // ns < 0: when the subscriptions stand
    bus_span hold_timeout;
    const char *exchange_info;
    const char *const *symbols; // of the synthetic market
    size_t symbol_count;
    int64_t seed, rate, events;
    const char *state_folder, *send_log;
    uint64_t log_entries;
    size_t history_bytes;
    sim_hub_opts hub;
    const char *const *faults;
    size_t fault_count;
} sim_exchange_opts;

// Strings and lists are borrowed for as long as the exchange lives.
bus_err sim_exchange_open(sim_exchange **out, const sim_exchange_opts *opts);
void sim_exchange_close(sim_exchange *exchange);
sim_hub *sim_exchange_hub(sim_exchange *exchange);
// sim_exchange_turn does what is due, a bounded amount; returns when to come again.
bus_mono sim_exchange_turn(sim_exchange *exchange, bus_mono now);

// --- over HTTP ------------------------------------------------------------------------------------
typedef struct {
    bus_view method, path, query, body; // query: decoded, "a=b&c=d"
    void *cookie;                       // names the request when it is answered later
} sim_ask;
typedef struct {
    int status;       // 0: it will be answered later
    const char *type; // content type
    int weight;       // X-MBX-USED-WEIGHT-1M adds it; 0: none
    sim_text body;    // owned by whoever holds the answer
} sim_answer;
typedef void (*sim_answer_fn)(void *ctx, void *cookie, sim_answer *answer); // takes the body

void sim_exchange_on_answer(sim_exchange *exchange, sim_answer_fn fn, void *ctx);
void sim_exchange_ask(sim_exchange *exchange, const sim_ask *ask, sim_answer *answer, bus_mono now);
void sim_exchange_forget(sim_exchange *exchange, void *cookie); // nobody waits for it any more

// Figures for the daemon's metrics.
typedef struct {
    uint64_t frames, log_last;
    size_t clients, queued_bytes, faults_open;
    bool log_failed; // the send log's file
} sim_exchange_figures;
sim_exchange_figures sim_exchange_measure(const sim_exchange *exchange);

#endif
