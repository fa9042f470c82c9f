#include "feeds/requests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base/memory.h"

struct feed_waiting_answer {
    feed_request request;
    int status;
    size_t len;
    char text[128];
    feed_waiting_answer *next;
    char body[];
};

void feed_requests_init(feed_requests *r)
{
    memset(r, 0, sizeof *r);
    r->end = &r->first;
}

void feed_requests_release(feed_requests *r)
{
    while (r->first)
        feed_requests_done(r);
}

bool feed_requests_add(feed_requests *r, const feed_request *request, uint64_t *tag)
{
    uint64_t i = 0;
    while (i < FEED_REQUESTS_MAX && r->slot[i].used)
        i++;
    r->slot[i].used = true;
    r->slot[i].forgotten = false;
    r->slot[i].request = *request;
    *tag = i;
    return i < FEED_REQUESTS_MAX;
}

void feed_requests_answer(feed_requests *r, uint64_t tag, int status, bus_view body,
                          const char *text)
{
    if (tag > FEED_REQUESTS_MAX || !r->slot[tag].used)
        return;
    r->slot[tag].used = false;
    if (r->slot[tag].forgotten)
        return;
    feed_waiting_answer *a = malloc(sizeof *a + body.len);
    if (!a) { // as if it had not come
        body.len = 0;
        status = 0;
        a = bus_memory(NULL, sizeof *a,
                       "the answer to a request"); // lost, it would be waited for in vain
    }
    a->request = r->slot[tag].request;
    a->status = status;
    a->len = body.len;
    a->next = NULL;
    snprintf(a->text, sizeof a->text, "%s", text);
    if (body.len)
        memcpy(a->body, body.ptr, body.len);
    *r->end = a;
    r->end = &a->next;
}

bool feed_requests_next(feed_requests *r, feed_answer *out)
{
    const feed_waiting_answer *a = r->first;
    if (!a)
        return false;
    *out = (feed_answer){a->request, a->status, {a->body, a->len}, a->text};
    return true;
}

void feed_requests_done(feed_requests *r)
{
    feed_waiting_answer *a = r->first;
    r->first = a->next;
    if (!r->first)
        r->end = &r->first;
    free(a);
}

void feed_requests_forget(feed_requests *r)
{
    for (size_t i = 0; i < FEED_REQUESTS_MAX; i++)
        r->slot[i].forgotten = true;
    feed_requests_release(r);
}
