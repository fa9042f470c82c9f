#include "bus/nats/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "bus/base/log.h"

struct bus_clock_feed {
    bus_conn *conn;
    bus_sub *sub;
    bus_waker *waker;
    char *subject;
};

bus_err bus_clock_instant_parse(bus_view payload, bus_wall *out)
{
    uint64_t ns;
    if (payload.len == 0 || payload.len > 19 || !bus_view_u64(payload, &ns) || ns > INT64_MAX)
        return bus_fail(BUS_EINVAL,
                        "'%.*s' is no instant: decimal nanoseconds since 1970 are expected",
                        payload.len > 40 ? 40 : (int)payload.len, payload.ptr ? payload.ptr : "");
    out->ns = (int64_t)ns;
    return BUS_OK;
}

static void take(bus_clock_feed *feed, const bus_msg *msg)
{
    bus_wall now;
    if (bus_clock_instant_parse(bus_msg_payload(msg), &now)) {
        bus_warn("virtual clock on '%s': %s", feed->subject, bus_err_text());
        return;
    }
    if (now.ns > bus_now_wall().ns)
        bus_clock_set(now);
    bus_view reply = bus_msg_reply(msg);
    if (reply.len == 0)
        return;
    char text[24];
    int len = snprintf(text, sizeof text, "%" PRId64, bus_now_wall().ns);
    if (bus_publish(feed->conn, reply.ptr, NULL, NULL, 0, (bus_view){text, (size_t)len}))
        bus_warn("virtual clock: %s", bus_err_text());
}

void bus_clock_feed_poll(bus_clock_feed *feed)
{
    if (!feed)
        return;
    for (bus_msg *msg; (msg = bus_sub_next(feed->sub, (bus_span){0})) != NULL; bus_msg_release(msg))
        take(feed, msg);
}

static void on_wake(void *ctx)
{
    bus_clock_feed_poll(ctx);
}

static const char prefix[] = "bus:";

bool bus_clock_is_fed(const char *setting)
{
    return strncmp(setting, prefix, sizeof prefix - 1) == 0;
}

bus_err bus_clock_feed_open(bus_clock_feed **out, bus_conn *conn, bus_loop *loop,
                            const char *setting)
{
    *out = NULL;
    if (!bus_clock_is_fed(setting))
        return BUS_OK;
    bus_clock_feed *feed = calloc(1, sizeof *feed);
    if (!feed)
        return bus_fail(BUS_ENOMEM, "virtual clock");
    feed->conn = conn;
    feed->subject = strdup(setting + sizeof prefix - 1);
    bus_sub_opts opts = {.subject = feed->subject};
    bus_err err = feed->subject ? BUS_OK : bus_fail(BUS_ENOMEM, "virtual clock");
    if (!err && loop)
        err = bus_waker_open(&feed->waker, loop, on_wake, feed);
    if (!err && loop)
        opts.wake = bus_waker_as_wake(feed->waker);
    if (!err)
        err = bus_sub_open(&feed->sub, conn, &opts);
    if (err) {
        bus_clock_feed_close(feed);
        return bus_note(err, "virtual clock on '%s'", setting);
    }
    *out = feed;
    return BUS_OK;
}

void bus_clock_feed_close(bus_clock_feed *feed)
{
    if (!feed)
        return;
    bus_sub_close(feed->sub);
    bus_waker_close(feed->waker);
    free(feed->subject);
    free(feed);
}
