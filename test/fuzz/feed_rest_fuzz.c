// Any bytes as REST answers of every venue: the first byte says to which request.
#include "feeds/venues/venue.h"

static void on_event(void *ctx, const char *subject, const bus_event *event)
{
    static uint8_t buf[BUS_EVENT_SIZE_MAX];
    bus_pack p = bus_pack_to(buf, sizeof buf);
    (void)ctx;
    if (bus_event_encode(&p, event) || bus_lane_parse(&(bus_lane){0}, bus_view_of(subject)))
        __builtin_trap();
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
    if (size == 0)
        return 0;
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
        feed_request request = {.kind =
                                    data[0] & 1 ? FEED_REQUEST_DEPTH : FEED_REQUEST_INSTRUMENTS};
        if (venue->open(&session, &opts))
            __builtin_trap();
        venue->up(session, false, &now);
        bus_view body = {(const char *)data + 1, size - 1};
        venue->response(session, &request, data[0] & 2 ? 200 : 500, body, &now);
        venue->response(session, &request, 200, body, &now);
        venue->close(session);
    }
    return 0;
}
