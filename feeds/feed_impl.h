// feed, inside: what its files share.
//   feed.c        the thread: phases, from the lease to the end
//   feed_run.c    the phase that runs: frames and answers to the adapter, its events to the outbox
//   feed_links.c  the one or two connections to the venue: trying, renewing, taking over, ending
// Thread: the venue's, but for what feed.h says. Source: schemas/specs/feedd.md.
#ifndef FEEDS_FEED_IMPL_H
#define FEEDS_FEED_IMPL_H

#include <stdatomic.h>

#include "bus/nats/lease.h"
#include "feeds/backoff.h"
#include "feeds/connection.h"
#include "feeds/feed.h"
#include "feeds/lifecycle.h"
#include "feeds/requests.h"

typedef enum {
    FEED_WANT_LEASE,
    FEED_WANT_RECALL,
    FEED_RUNNING,
    FEED_STOPPING,
    FEED_ENDED
} feed_phase;

struct feed {
    feed_settings set;
    pthread_t thread;
    bool thread_runs;
    _Atomic bool stop;
    bus_wake done;
    feed_status status;
    // all below belongs to the venue thread
    feed_phase phase;
    feed_net *net;
    bus_lease *lease;
    uint64_t fence;     // of the session that everything open belongs to
    uint64_t known_seq; // of ACT, by the outbox that was closed last; 0: nothing is known
    feed_outbox outbox;
    bool outbox_open;
    feed_session *session;
    feed_connection live, coming; // coming: connecting, or up and waiting to take over
    bool have_live, have_coming, gave_up;
    uint64_t
        proof; // ping of live sent when coming was up: its answer proves that nothing is missing; 0: none
    bus_wall lost_after; // of the coming gap, where it does not begin at the last frame; else 0
    feed_backoff backoff;
    bus_mono connect_due, next_tick, next_count, recall_due, next_complaint;
    bus_wall created;
    feed_lifecycle life;
    feed_requests requests;
    bus_mono stop_since;
    bool all_is_lost;    // with went_back: nothing of ours is left
    char went_back[256]; // the store holds less than was known: not yet told on the lane; "": no
    char told_back[256]; // what was told of it and is not all acknowledged yet
    char why[256];
};

void feed_why(feed *f, const char *text);

// feed_run.c
// feed_now_of: the present, for events of our own making; not younger than a frame that waits.
feed_now feed_now_of(const feed *f);
bus_err feed_run_open(feed *f);           // the adapter's session
feed_net_events feed_run_events(feed *f); // what the sockets tell
void feed_run_turn(feed *f, bus_mono now);
void feed_run_count(feed *f, bus_mono now); // in any phase: what waits is worth seeing then too

// feed_links.c
void feed_links_turn(feed *f, bus_mono now);
feed_connection *feed_connection_of(feed *f, const feed_socket *socket); // NULL: of neither
void feed_links_stop(feed *f); // tells that it ended, closes in order
void feed_links_drop(feed *f); // without a word

#endif
