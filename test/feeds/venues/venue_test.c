// What every venue must do: the same suite over each row of the registry.
#include <stdlib.h>
#include <string.h>

#include "bus/base/err.h"
#include "feeds/venues/venue.h"
#include "test/support/test.h"

static uint64_t events, requests;

static void on_event(void *ctx, const char *subject, const bus_event *event)
{
    (void)ctx;
    uint8_t buf[BUS_EVENT_SIZE_MAX];
    bus_pack p = bus_pack_to(buf, sizeof buf);
    bus_lane lane;
    events++;
    test_ok(bus_event_encode(&p, event));
    test_ok(bus_lane_parse(&lane, bus_view_of(subject)));
    cr_expect(bus_view_is(lane.venue, event->exchange.ptr));
}

static void on_request(void *ctx, const feed_request *request)
{
    (void)ctx;
    cr_expect(request->path[0] == '/');
    requests++;
}

static bus_err open_with(const feed_venue *venue, feed_session **out, const char *const *symbols,
                         uint32_t symbol_count, const char *const *channels)
{
    feed_opts opts = {.symbols = symbols,
                      .symbol_count = symbol_count,
                      .channels = channels,
                      .event = on_event,
                      .request = on_request};
    while (channels[opts.channel_count])
        opts.channel_count++;
    return venue->open(out, &opts);
}

static const char *const one[] = {"BTCUSDT"};

Test(venue, is_found_by_the_name_of_its_lane_token)
{
    const feed_venue *venue;
    for (size_t i = 0; (venue = feed_venue_at(i)); i++) {
        cr_expect(feed_venue_find(venue->name) == venue);
        test_ok(bus_lane_check_name(bus_view_of(venue->name), "venue"));
    }
    cr_expect(feed_venue_find("nowhere") == NULL);
}

Test(venue, opens_with_its_preset_channels_and_subscribes_within_its_limits)
{
    const feed_venue *venue;
    for (size_t i = 0; (venue = feed_venue_at(i)); i++) {
        feed_session *session;
        char buf[16384];
        uint32_t step = 0;
        test_ok(open_with(venue, &session, one, 1, venue->channels_preset));
        cr_expect(venue->path(session)[0] == '/');
        while (venue->subscribe(session, step, buf, sizeof buf))
            step++;
        cr_expect(step >= 1 && step < 100);
        venue->close(session);
    }
}

Test(venue, refuses_symbols_and_channels_it_cannot_have)
{
    static const char *const bad_channel[] = {"no such channel", NULL};
    static const char *const bad_symbol[] = {"BTC.USDT"}, *const empty[] = {""};
    static const char *const twice[] = {"BTCUSDT", "btcusdt"};
    const feed_venue *venue;
    for (size_t i = 0; (venue = feed_venue_at(i)); i++) {
        feed_session *session = NULL;
        test_expect_err(open_with(venue, &session, one, 1, bad_channel), BUS_EINVAL);
        cr_expect(strstr(bus_err_text(), "no such channel") != NULL);
        test_expect_err(open_with(venue, &session, bad_symbol, 1, venue->channels_preset),
                        BUS_EINVAL);
        test_expect_err(open_with(venue, &session, empty, 1, venue->channels_preset), BUS_EINVAL);
        test_expect_err(open_with(venue, &session, twice, 2, venue->channels_preset), BUS_EINVAL);
        test_expect_err(open_with(venue, &session, one, 0, venue->channels_preset), BUS_EINVAL);
        cr_expect(session == NULL);
    }
}

Test(venue, survives_bytes_of_any_kind)
{
    const feed_venue *venue;
    for (size_t i = 0; (venue = feed_venue_at(i)); i++) {
        feed_session *session;
        feed_now now = {{1}, {1}, {1}};
        test_ok(open_with(venue, &session, one, 1, venue->channels_preset));
        srand(1);
        for (int k = 0; k < 20000; k++) {
            char bytes[64];
            static const char alphabet[] = "{}[]\",:eEstpqTmUuba0123456789.\\ \n\x01\xff";
            size_t len = (size_t)rand() % sizeof bytes;
            for (size_t j = 0; j < len; j++)
                bytes[j] = alphabet[(size_t)rand() % (sizeof alphabet - 1)];
            feed_request request = {.kind = k % 2 ? FEED_REQUEST_DEPTH : FEED_REQUEST_INSTRUMENTS};
            venue->frame(session, (bus_view){bytes, len}, &now);
            venue->response(session, &request, 200, (bus_view){bytes, len}, &now);
            venue->seen(session, (bus_view){bytes, len});
        }
        venue->close(session);
    }
}
