// Any bytes as frames of every venue, several in a row on one session: lines of the input.
#include <string.h>

#include "feeds/venues/venue.h"

static void on_event(void *ctx, const char *subject, const bus_event *event)
{
    static uint8_t buf[BUS_EVENT_SIZE_MAX];
    bus_pack p = bus_pack_to(buf, sizeof buf);
    (void)ctx;
    if (bus_event_encode(&p, event) || bus_lane_parse(&(bus_lane){0}, bus_view_of(subject)))
        __builtin_trap(); // whatever came in, what goes out is sound
}

static void on_request(void *ctx, const feed_request *request)
{
    (void)ctx;
    (void)request;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const symbols[] = {"BTCUSDT"};
    const feed_venue *venue;
    for (size_t i = 0; (venue = feed_venue_at(i)); i++) {
        feed_opts opts = {.symbols = symbols,
                          .symbol_count = 1,
                          .channels = venue->channels_preset,
                          .event = on_event,
                          .request = on_request};
        while (opts.channels[opts.channel_count])
            opts.channel_count++;
        feed_session *session;
        feed_now now = {{1700000000000000000}, {1}, {1700000000000000000}};
        if (venue->open(&session, &opts))
            __builtin_trap();
        venue->up(session, false, &now);
        for (const char *at = (const char *)data, *end = at + size; at < end;) {
            const char *line = memchr(at, '\n', (size_t)(end - at));
            size_t len = (size_t)((line ? line : end) - at);
            now.received.ns += 1000000;
            now.mono.ns += 1000000000;
            venue->frame(session, (bus_view){at, len}, &now);
            venue->seen(session, (bus_view){at, len}); // also an id, of whoever wrote the stream
            venue->tick(session, &now);
            at += len + 1;
        }
        venue->down(session, &now);
        venue->close(session);
    }
    return 0;
}
