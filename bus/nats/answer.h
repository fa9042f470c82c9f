// answer: what the broker says of a message it recorded, in the forms it writes millions of: read as they lie there,
// nothing allocated. Anything else, an error first of all, is no such answer: it is read as JSON by who asked.
// Internal to bus/nats. Thread: any. Source: schemas/specs/recording.md, "Writing" and "Fast ingest".
#ifndef BUS_NATS_ANSWER_H
#define BUS_NATS_ANSWER_H

#include "bus/base/view.h"

// {"stream":"ACT", "seq":42, "duplicate": true}: blanks or none behind comma and colon; "domain" may stand before
// "seq", "duplicate" may be missing. seq is not 0.
typedef struct {
    bus_view stream;
    uint64_t seq;
    bool duplicate;
} bus_answer;
bool bus_answer_read(bus_answer *out, bus_view payload);
// {"type":"ack","seq":500,"msgs":500}: the batch is stored up to message `place`, acknowledged each `step`.
bool bus_answer_read_batch(uint64_t *place, uint64_t *step, bus_view payload);

#endif
