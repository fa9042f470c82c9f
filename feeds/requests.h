// requests: REST requests of the session on their way, and answers that wait for their turn.
// Thread: the venue's. Source: schemas/specs/feedd.md.
#ifndef FEEDS_REQUESTS_H
#define FEEDS_REQUESTS_H

#include "feeds/venues/venue.h"

enum { FEED_REQUESTS_MAX = 256 };

typedef struct feed_waiting_answer feed_waiting_answer;

typedef struct {
    struct {
        bool used, forgotten; // forgotten: the session that asked is gone
        feed_request request;
    } slot[FEED_REQUESTS_MAX + 1]; // the last one is for what found no place
    feed_waiting_answer *first, **end;
} feed_requests;

typedef struct {
    feed_request request;
    int status;
    bus_view body;
    const char *text;
} feed_answer;

void feed_requests_init(feed_requests *r);
void feed_requests_release(feed_requests *r);
bool feed_requests_add(feed_requests *r, const feed_request *request, uint64_t *tag); // false: full
void feed_requests_answer(feed_requests *r, uint64_t tag, int status, bus_view body,
                          const char *text);
// feed_requests_next: the oldest answer; it lives until feed_requests_done.
bool feed_requests_next(feed_requests *r, feed_answer *out);
void feed_requests_done(feed_requests *r);
void feed_requests_forget(feed_requests *r); // answers to what is asked now will be dropped

#endif
