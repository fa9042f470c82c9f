// fetch: code by URL, guarded: only addresses that are public (or hosts that are allowed by name), no
// redirects, bounded in size and time, https verified. A thread of its own does the waiting.
// Thread: the owner's; `wake` comes from the fetch's own. Source: schemas/specs/workers.md, "Service".
#ifndef WORKHOST_FETCH_H
#define WORKHOST_FETCH_H

#include <sys/socket.h>

#include "bus/base/config.h"
#include "bus/base/loop.h"
#include "bus/base/view.h"

typedef struct {
    bool tls;
    char host[256];
    char port[8];
    char path[2048]; // with the query; "/" at least
} work_url;
// BUS_EINVAL: not an absolute http or https URL, or one with credentials in it.
bus_err work_url_parse(work_url *out, const char *text);
// Whether code may never come from this address: private, local, reserved.
bool work_address_refused(const struct sockaddr *address);

// work_answer_read: a whole HTTP/1 answer; *body: where its bytes begin. Errors name the host: no answer,
// a status other than 200, chunks, another length than announced.
bus_err work_answer_read(bus_view answer, const char *host, size_t *body);

typedef struct work_fetch work_fetch;
typedef struct {
    const char *url;
    const bus_config_list
        *allowed_hosts; // empty: every public one; copied from as needed before return
    const char *username, *password, *bearer; // "" when not used; erased when the fetch ends
    bus_span timeout;                         // 0: 30 s
    bus_wake wake;
} work_fetch_opts;
bus_err work_fetch_open(work_fetch **out, const work_fetch_opts *opts); // BUS_EINVAL, BUS_EPERM
// work_fetch_done: false while it goes on. Then *err tells (the text is set), or the bytes are there.
bool work_fetch_done(work_fetch *fetch, bus_err *err, bus_view *bytes);
void work_fetch_close(work_fetch *fetch); // also while it goes on

#endif
