// readdress: a recorded act event as a replay's hyp event: subject and envelope.
// The one function used by replays and by whoever reads back what it missed, so both mean the same by
// "event of the run" and by its bytes; id, time and data keep theirs.
// Thread: any. Source: schemas/specs/replay.md, "Re-addressing".
#ifndef BUS_NATS_READDRESS_H
#define BUS_NATS_READDRESS_H

#include "bus/base/time.h"
#include "bus/event/event.h"
#include "bus/lane/lane.h"
#include "bus/nats/reader.h"

// Subjects that were re-addressed before, for one selector. A zeroed one is empty. Worth it for who handles many.
enum { BUS_READDRESS_KNOWN = 128 };
typedef struct {
    struct {
        uint16_t act_len, hyp_len; // 0: free
        char act[BUS_SUBJECT_BUF], hyp[BUS_SUBJECT_BUF];
    } at[BUS_READDRESS_KNOWN];
} bus_readdress_memo;

typedef struct {
    bus_view selector, runid;
    bus_wall walltime;        // of this publish
    bus_readdress_memo *memo; // NULL: none
} bus_readdress_to;

enum {
    BUS_READDRESS_GROWTH = 256, // the re-addressed envelope is at most so much longer
    BUS_READDRESS_BUF = BUS_EVENT_SIZE_MAX + BUS_READDRESS_GROWTH,
};

// Appends the re-addressed envelope to p and writes the subject. Works on the packed bytes (no re-encoding of
// what stays). Changes exactly: marketlane, marketselector, runid, clocktype, walltime.
// recorded (may be NULL): the event's recordedtime, 0 when it has none or an unreadable one.
// BUS_EINVAL: not an event of act.exchange: a replay passes it over. BUS_ELIMIT: p is full.
bus_err bus_readdress(bus_pack *p, char subject_out[BUS_SUBJECT_BUF], bus_view act_subject,
                      bus_view payload, const bus_readdress_to *to, bus_recorded_time *recorded);

// bus_readdress_record: the same for a stored record of any of the three forms; one in JSON or headers is
// written anew in msgpack. scratch is used for those alone.
bus_err bus_readdress_record(bus_pack *p, char subject_out[BUS_SUBJECT_BUF],
                             const bus_record *record, const bus_readdress_to *to,
                             bus_scratch *scratch, bus_recorded_time *recorded);

#endif
