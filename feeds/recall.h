// recall: what the lane already holds of a venue, read from the tail of ACT before anything is
// published: so nothing comes twice and what is missing is named.
// Thread: the venue's; blocks for the broker's answers. Source: schemas/specs/feedd.md, "Recall".
#ifndef FEEDS_RECALL_H
#define FEEDS_RECALL_H

#include "bus/nats/conn.h"
#include "feeds/venues/session.h"

// feed_recall tells the session. BUS_ENOTFOUND: there is no stream yet; BUS_EUNAVAILABLE, BUS_ETIMEOUT:
// try again; BUS_ESTATE: the tail still moves, try again.
// *fresh: the lane holds nothing of this venue.
bus_err feed_recall(feed_session *session, bus_conn *conn, bool *fresh);

#endif
