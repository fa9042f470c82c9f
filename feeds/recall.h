// recall: what the lane already holds of a venue, read from the tail of ACT before anything is
// published: so nothing comes twice and what is missing is named.
// Thread: the venue's; blocks for the broker's answers. Source: schemas/specs/feedd.md, "Recall".
#ifndef FEEDS_RECALL_H
#define FEEDS_RECALL_H

#include "bus/event/identity.h"
#include "bus/nats/conn.h"
#include "feeds/venues/session.h"

// feed_recall tells the session. BUS_ENOTFOUND: there is no stream yet; BUS_EUNAVAILABLE, BUS_ETIMEOUT:
// try again; BUS_ESTATE: the tail still moves, try again.
// *fresh: the lane holds nothing of this venue.
bus_err feed_recall(feed_session *session, bus_conn *conn, bool *fresh);

// Where the lane ends: of the newest event of the venue's feed subject and de-duplication id, "" when there is none;
// receipt of its last frame, 0 when there is none; the highest sequence of ACT.
typedef struct {
    char subject[BUS_SUBJECT_BUF], msg_id[BUS_DEDUP_TEXT];
    bus_recorded_time received;
    uint64_t last_seq;
} feed_lane_end;
// feed_recall_end tells the session nothing. Errors as above.
bus_err feed_recall_end(feed_session *session, bus_conn *conn, feed_lane_end *end);

#endif
