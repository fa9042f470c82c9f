// outbox: the venue thread's way to the lane: an acknowledged publisher that alone writes the venue's subjects
// (the lease), and behind it a bounded place for what the publisher has no room for just now. While it is not
// empty nothing new may be made: whoever feeds the adapter asks feed_outbox_ready first. Dead letters and
// lifecycle events go the same way by a second publisher, so that a stream that is missing holds up only its own.
// Thread: the venue's. Source: schemas/specs/feedd.md, "Connection" and "Dead letters".
#ifndef FEEDS_OUTBOX_H
#define FEEDS_OUTBOX_H

#include "bus/nats/publisher.h"
#include "feeds/fifo.h"

// What went wrong since feed_complaint_take was last asked: how many, and the first of them.
typedef struct {
    uint64_t count;
    char first[512];
} feed_complaint;

enum { FEED_WINDOW_EVENTS_MAX = 8192 };

typedef struct {
    bus_publisher *lane, *side;
    feed_fifo waiting, side_waiting;
    feed_fifo held; // by feed_outbox_reopen, until feed_outbox_resend
    const char *venue;
    char feed_lane[80];         // in front of the subjects of feed.…
    bus_recorded_time received; // of the frame that events are made of just now; 0: of none
    uint64_t published, acknowledged, refused, dead_letters, letters_lost;
    feed_complaint refusals, losses; // events refused for good; dead letters that are lost
    bool lost;                       // something could not be kept: the caller must begin anew
    // Whenever the broker comes back its store must still hold what is known to be on the lane.
    bus_conn *ask;      // where that is asked; NULL: it is not
    uint64_t known_seq; // the highest of ACT
    bool went_back;     // it does not: nothing more is sent until feed_outbox_reopen
    char why[256];      // of went_back
} feed_outbox;

bus_err feed_outbox_open(feed_outbox *o, const char *venue, const bus_conn_opts *conn,
                         bus_wake wake);
void feed_outbox_close(feed_outbox *o); // gives up what is not acknowledged
// The store went back: what is not acknowledged is held, but for what `last` (the newest event of ours that is
// there) shows to be stored, and the lane is written by a new publisher. known_seq: the highest of ACT now.
// What is made next goes out first, then, by feed_outbox_resend, what was held, in its order.
//   stored  last is one of those that were held: nothing of ours is missing before them
typedef struct {
    const char *subject, *msg_id;
    uint64_t known_seq;
} feed_lane_last;
bus_err feed_outbox_reopen(feed_outbox *o, const bus_conn_opts *conn, bus_wake wake,
                           const feed_lane_last *last, bool *stored);
bool feed_outbox_held(const feed_outbox *o,
                      bus_recorded_time *first); // recordedtime; false: none is
void feed_outbox_resend(feed_outbox *o);
// feed_outbox_turn takes acks and sends what waits.
void feed_outbox_turn(feed_outbox *o);
void feed_outbox_push(feed_outbox *o); // what was made in this turn goes out: the end of each turn
bool feed_outbox_ready(const feed_outbox *o); // nothing waits for the lane
bool feed_outbox_empty(const feed_outbox *o); // nothing waits at all, everything is acknowledged
void feed_outbox_event(feed_outbox *o, const char *subject, const bus_event *event);
// feed_outbox_lifecycle: an event for a topic beside the lanes; best effort.
void feed_outbox_lifecycle(feed_outbox *o, const char *subject, const bus_event *event);
// feed_outbox_dead_letter keeps bytes that could not become an event, with the reason. Events that the
// broker refuses for good become dead letters by themselves.
void feed_outbox_dead_letter(feed_outbox *o, bus_view bytes, const char *reason,
                             bus_recorded_time received);
// feed_complaint_take: false when there is none; else out has it and it begins anew.
bool feed_complaint_take(feed_complaint *c, feed_complaint *out);

#endif
