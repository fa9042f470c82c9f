// outbox: a runtime's outputs on their way to the stream: made into events, checked against the registry,
// published with acknowledgement, and counted, so that done_seq can be told.
// Thread: the runtime's. Source: schemas/specs/workers.md, "Outputs".
#ifndef WORKHOST_RUNTIME_OUTBOX_H
#define WORKHOST_RUNTIME_OUTBOX_H

#include "workhost/runtime/actor.h"

typedef struct work_outbox work_outbox;

// What caused an output.
typedef struct {
    work_actor *actor;
    uint32_t index; // of the actor
    uint64_t seq;
    bus_view topic; // of the input
    const bus_event *event;
} work_cause;

typedef enum {
    WORK_OUTBOX_SENT, // or stored already
    WORK_OUTBOX_HOLD, // not now (window full, scenario not active): poll, then again
    WORK_OUTBOX_BAD,  // never: bus_err_text
} work_outbox_result;

// confirm: asked before anything is sent on a new connection (bus/nats/publisher.h); may be NULL. wake: acknowledgements
// have come: poll; a thread of the library calls it, also while this is being opened.
bus_err work_outbox_open(work_outbox **out, bus_conn *conn, const work_plan *plan,
                         bool (*confirm)(void *ctx), void *confirm_ctx, bus_wake wake);
void work_outbox_close(work_outbox *outbox);
// What the scenario's stream holds behind after_seq is not sent again.
bus_err work_outbox_recall(work_outbox *outbox, uint64_t after_seq);
bus_err work_outbox_last_seq(work_outbox *outbox,
                             uint64_t *seq);                // of the scenario's stream; 0: none
uint64_t work_outbox_last_input(const work_outbox *outbox); // of what was recalled; 0: nothing was
// The highest sequence of the scenario's stream that was acknowledged; 0: none.
uint64_t work_outbox_acked(const work_outbox *outbox);
// work_outbox_knows: which scenarios are active, so that an output need not be held for not knowing it.
bool work_outbox_knows(const work_outbox *outbox);
// n: 1, 2, … within the call.
work_outbox_result work_outbox_send(work_outbox *outbox, const work_cause *cause,
                                    const work_result *result, uint32_t n);
// A control event about an actor: sc.<scenario>.control.worker.<what>.<worker>; seq makes its id.
work_outbox_result work_outbox_control(work_outbox *outbox, const work_actor *actor,
                                       const char *what, uint64_t seq, bus_view data);
void work_outbox_poll(work_outbox *outbox);
uint32_t work_outbox_pending(const work_outbox *outbox);
// The sequence up to which this actor is finished, given that it was fed up to `position`.
uint64_t work_outbox_done(const work_outbox *outbox, uint32_t index, uint64_t position);
// An output that the broker will never take: its cause, once. False: none.
bool work_outbox_refused(work_outbox *outbox, uint32_t *index, uint64_t *seq);
// Why outputs are held, "" when they are not.
const char *work_outbox_why(work_outbox *outbox, char *buf, size_t cap);

#endif
