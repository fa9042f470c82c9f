// The runtime's words with its host, on descriptor 3. Source: schemas/specs/workers.md, "Runtime child".
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "workhost/runtime/runtime_impl.h"

enum { PLAN_BYTES_MAX = 4 << 20 };

bus_err work_runtime_read_plan(runtime *r)
{
    size_t len = 0, cap = 65536;
    char *text = malloc(cap);
    while (text && !memchr(text, '\n', len)) {
        if (len == cap) {
            cap *= 2;
            char *grown = cap <= PLAN_BYTES_MAX ? realloc(text, cap) : NULL;
            if (!grown)
                break;
            text = grown;
        }
        ssize_t n = read(WORK_FD_HOST, text + len, cap - len);
        if (n < 0 && errno == EINTR && work_runtime_going(r))
            continue;
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    const char *end = text ? memchr(text, '\n', len) : NULL;
    bus_err err = end ? work_plan_parse(&r->plan, text, (size_t)(end - text))
                      : bus_fail(BUS_EIO, "the host closed before the plan was there");
    free(text);
    return err;
}

bool work_runtime_host_gone(void)
{
    struct pollfd fd = {.fd = WORK_FD_HOST, .events = POLLRDHUP};
    return poll(&fd, 1, 0) > 0 && (fd.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

static void tell_host(json_t *message)
{
    char *text = json_dumps(message, JSON_COMPACT);
    if (text) {
        char line[2048];
        int n = snprintf(line, sizeof line, "%s\n", text);
        if (n > 0 && (size_t)n < sizeof line &&
            send(WORK_FD_HOST, line, (size_t)n, MSG_NOSIGNAL) < 0)
            bus_debug("the host is gone: %s", strerror(errno));
    }
    free(text);
    json_decref(message);
}

void work_runtime_tell_waits(runtime *r, const char *what, const char *why)
{
    char text[300];
    snprintf(text, sizeof text, "%s: %s", what, why);
    r->waits_told = true;
    tell_host(json_pack("{s:s,s:s}", "state", "waits", "error", text));
}

void work_runtime_tell_goes(runtime *r)
{
    if (!r->waits_told)
        return;
    r->waits_told = false;
    bus_info("goes on");
    tell_host(json_pack("{s:s}", "state", "goes"));
}

void work_runtime_tell_failed(runtime *r, const char *worker)
{
    bus_error("worker %s cannot run: %s", worker, bus_err_text());
    tell_host(
        json_pack("{s:s,s:s,s:s}", "state", "failed", "worker", worker, "error", bus_err_text()));
    work_runtime_leave(r, WORK_EXIT_FAILED);
}

void work_runtime_tell_retry(runtime *r, uint32_t index, uint64_t seq, const char *why)
{
    const char *worker = r->actors[index].spec->name;
    bus_warn("worker %s failed on input %llu: %s", worker, (unsigned long long)seq, why);
    tell_host(json_pack("{s:s,s:s,s:I,s:s}", "state", "retry", "worker", worker, "seq",
                        (json_int_t)seq, "error", why));
    work_runtime_leave(r, WORK_EXIT_RETRY);
}

void work_runtime_tell_online(runtime *r)
{
    if (r->online)
        return;
    r->online = true;
    bus_info("online: %u worker%s, from input %llu", r->count, r->count == 1 ? "" : "s",
             (unsigned long long)work_runtime_position(r) + 1);
    tell_host(json_pack("{s:s}", "state", "online"));
}
