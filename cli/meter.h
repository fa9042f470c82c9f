// meter: counts what passes on lanes, by family: a subject without its id (act.exchange.binance.trade.tape).
// It listens on a thread of its own, to at most a bounded number of messages a second: beyond that it stops
// listening until the second is over, and the rates are of the time in which it did.
// Thread: the owner's. Source: schemas/specs/cli.md, "lane top".
#ifndef CLI_METER_H
#define CLI_METER_H

#include "bus/nats/conn.h"

enum {
    LANE_METER_SUBJECTS_MAX = 16,
    LANE_METER_FAMILIES_MAX = 256,   // what is beyond is counted as "(others)"
    LANE_METER_MESSAGES_MAX = 20000, // in a second
    LANE_FAMILY_CAP = 192,
};

typedef struct {
    char name[LANE_FAMILY_CAP];
    uint64_t messages, bytes; // since the last take; bytes of payload
    uint32_t subjects;        // different ones seen so far
    // From the receipt of the frame (act), or the publication (others), to here; of some of the
    // messages since the last take. -1: none had a time.
    int64_t lag_ns, lag_worst_ns;
    bus_wall last; // when the newest came
} lane_family;

typedef struct {
    lane_family *family; // sorted by name; free it
    size_t count;
    double elapsed_s, listened_s; // since the last take
    uint64_t lost;                // messages that came too fast for us, since the last take
    char denied
        [LANE_FAMILY_CAP]; // subjects that this user may not listen to: "act.>, hyp.>"; "": none
} lane_reading;

typedef struct lane_meter lane_meter;
bus_err lane_meter_open(lane_meter **out, bus_conn *conn, const char *const *subjects,
                        size_t count);
bus_err lane_meter_take(lane_meter *meter, lane_reading *out);
void lane_meter_close(lane_meter *meter);

// lane_family_of writes the family of a subject.
void lane_family_of(char out[LANE_FAMILY_CAP], bus_view subject);

#endif
