// credit: how far a replay may run ahead of those who take part in it: the replay's side.
// A state machine without I/O and without a clock, one for each run; the replay and the model test run
// the same code. It holds the window, counts what each participant must have met, numbers what is sent,
// and says when a watermark is due. The participant's side is proof.h.
// Thread: the owner's. Source: schemas/specs/replay.md, "Credit" and "Messages on the lane".
#ifndef BUS_NATS_CREDIT_H
#define BUS_NATS_CREDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/base/err.h"
#include "bus/base/time.h"
#include "bus/base/view.h"
#include "bus/nats/watermark.h"

enum {
    BUS_CREDIT_FILTERS_MAX = 64, // of one participant
    BUS_CREDIT_WINDOW_EVENTS = 16384,
    BUS_CREDIT_WINDOW_BYTES = 8 * 1024 * 1024,
    BUS_CREDIT_LEASE_MS = 30000,
};

typedef struct bus_credit bus_credit;
typedef struct {
    const char *selector;
    uint64_t first_seq;     // of the run, 1-based
    uint32_t window_events; // 0: BUS_CREDIT_WINDOW_EVENTS
    uint32_t window_bytes;  // payload bytes; 0: BUS_CREDIT_WINDOW_BYTES
    bus_span lease;         // 0: BUS_CREDIT_LEASE_MS
} bus_credit_opts;

bus_err bus_credit_open(bus_credit **out, const bus_credit_opts *opts);
void bus_credit_close(bus_credit *credit);

// --- who takes part ----------------------------------------------------------------------------------
// bus_credit_join: the name may be there already: the newer join replaces the older.
//   filters       hyp subjects of this selector with wildcards, copied; count 0: hyp.<selector>.exchange.>
//   done_seq  already finished in this run; 0: nothing
//   base_seq  out: the position now; watermarks count its events above it
//   errors        BUS_EINVAL naming the filter or the name; BUS_ELIMIT too many
bus_err bus_credit_join(bus_credit *credit, bus_view name, const bus_view *filters, size_t count,
                        uint64_t done_seq, bus_mono now, uint64_t *base_seq);
// bus_credit_done: a report. False, and nothing changes, when it is nobody's or beyond the last watermark.
bool bus_credit_done(bus_credit *credit, bus_view name, uint64_t seq, bus_mono now);
void bus_credit_leave(bus_credit *credit, bus_view name);
// bus_credit_lapse stops waiting for those whose lease ended, telling each name once. Returns how many.
size_t bus_credit_lapse(bus_credit *credit, bus_mono now, void (*fn)(void *ctx, bus_view name),
                        void *ctx);

typedef enum { BUS_MEMBER_JOINED, BUS_MEMBER_LAPSED, BUS_MEMBER_LEFT } bus_member_state;
typedef struct {
    bus_view name; // lives as long as the run
    bus_member_state state;
    uint64_t done;   // highest sequence reported
    uint64_t behind; // events sent and not reported, at most a window
    uint64_t base_seq, count;
} bus_credit_member;
// bus_credit_at: the members in the order they first joined; false behind the last.
bool bus_credit_at(const bus_credit *credit, size_t index, bus_credit_member *out);
bool bus_credit_find(const bus_credit *credit, bus_view name, bus_credit_member *out);
bool bus_credit_slowest(const bus_credit *credit, bus_credit_member *out); // false: nobody joined
bool bus_credit_all_done(const bus_credit *credit); // everyone joined has reported the position

// --- sending -----------------------------------------------------------------------------------------
// bus_credit_may_send: may an event of so many payload bytes go out now? False makes a watermark due.
bool bus_credit_may_send(bus_credit *credit, size_t bytes);
// bus_credit_send takes the event into the books: call it before publishing; seq rises. Whether the
// publish then works is of no account: a lost event is found and read back by whoever needs it.
bus_err bus_credit_send(bus_credit *credit, uint64_t seq, bus_view hyp_subject, size_t bytes,
                        bus_lane_stamp *out);
void bus_credit_reach(bus_credit *credit,
                      uint64_t seq);                    // up to here there was nothing more to send
uint64_t bus_credit_position(const bus_credit *credit); // first_seq - 1 before anything
uint64_t bus_credit_sent(const bus_credit *credit);     // events of the run so far

// --- watermarks --------------------------------------------------------------------------------------
void bus_credit_stopped(bus_credit *credit); // play stopped (pause, step, end): one is due at once
bool bus_credit_watermark_due(const bus_credit *credit, bus_mono now);
// bus_credit_wait: until the next watermark or lease comes due if nothing else happens.
bus_span bus_credit_wait(const bus_credit *credit, bus_mono now);
// bus_credit_watermark fills everything but `state` and `end`, and takes it as sent at `now`.
// Names point into the members.
void bus_credit_watermark(bus_credit *credit, bus_mono now, bus_watermark *out,
                          bus_lane_stamp *stamp);

#endif
