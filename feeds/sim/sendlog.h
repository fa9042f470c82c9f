// sendlog: every frame the exchange sent, in order: the record that a client is judged against.
// Memory: the last `entries_max` entries, oldest out first; the file, if there is one, gets all of them.
// Thread: the owner's. Source: schemas/specs/simexd.md, "Send log".
#ifndef FEEDS_SIM_SENDLOG_H
#define FEEDS_SIM_SENDLOG_H

#include <stdint.h>

#include "bus/base/err.h"
#include "feeds/sim/text.h"

typedef struct sim_sendlog sim_sendlog;

typedef struct {
    int64_t sent_ns, recorded_ns;
    int64_t first_id, last_id;
    const char *symbol, *channel; // borrowed for as long as the log lives
    const char *fault;            // the same; "" for none
    uint32_t connections;
} sim_sent;

bus_err sim_sendlog_open(sim_sendlog **out, uint64_t entries_max,
                         const char *path); // path "": no file
void sim_sendlog_close(sim_sendlog *log);
void sim_sendlog_add(sim_sendlog *log, const sim_sent *sent);
void sim_sendlog_flush(sim_sendlog *log);        // the file's buffer; a write error is logged once
bool sim_sendlog_failed(const sim_sendlog *log); // the file lacks entries, all from some point on
uint64_t sim_sendlog_first(const sim_sendlog *log); // 1-based; first > last: empty
uint64_t sim_sendlog_last(const sim_sendlog *log);
// sim_sendlog_render appends entries from..from+limit-1 as NDJSON. BUS_ENOTFOUND: from is no longer kept.
bus_err sim_sendlog_render(const sim_sendlog *log, uint64_t from, uint64_t limit, sim_text *out);

#endif
