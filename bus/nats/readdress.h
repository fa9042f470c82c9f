// readdress: a recorded act event as a replay's hyp event: subject, envelope, headers. The one function
// used by replays and by whoever reads back what it missed; id, time and data keep their bytes.
// Thread: any. Source: schemas/specs/replay.md, "Re-addressing".
#ifndef BUS_NATS_READDRESS_H
#define BUS_NATS_READDRESS_H

#include "bus/base/time.h"
#include "bus/event/event.h"
#include "bus/lane/lane.h"

typedef struct {
    bus_view selector, runid;
    bus_wall walltime; // of this publish
} bus_readdress_to;

// Appends the re-addressed envelope to p and writes the subject. Works on the packed bytes (no re-encoding of
// what stays). Changes exactly: marketlane, marketselector, runid, clocktype, walltime.
bus_err bus_readdress(bus_pack *p, char subject_out[BUS_SUBJECT_BUF], bus_view act_subject,
                      bus_view payload, const bus_readdress_to *to);

#endif
