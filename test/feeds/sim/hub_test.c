#include "feeds/sim/hub.h"

#include <stdio.h>
#include <stdlib.h>

#include "test/support/test.h"

// A hub with two fed streams and no socket: messages are taken from the clients' queues.
typedef struct {
    sim_hub hub;
    sim_sendlog *log;
    int trade, depth;
    int64_t next_id;
    bus_mono now;
} scene;

static void given_hub(scene *s)
{
    sim_hub_opts opts = {BUS_SPAN_S(20), BUS_SPAN_S(60), BUS_SPAN_S(86400), 5, 4, 100000,
                         false,          false};
    *s = (scene){.next_id = 1, .now = {1000000000}};
    test_ok(sim_sendlog_open(&s->log, 10000, ""));
    sim_hub_init(&s->hub, &opts, s->log);
    test_ok(sim_topics_add(&s->hub.topics, "BTCUSDT", "trade", &s->trade));
    test_ok(sim_topics_add(&s->hub.topics, "BTCUSDT", "depth", &s->depth));
}

static void end(scene *s)
{
    sim_hub_release(&s->hub);
    sim_sendlog_close(s->log);
}

static sim_client *join(scene *s, const char *path, const char *streams)
{
    sim_client *c;
    test_ok(sim_hub_join(&s->hub, bus_view_of(path), bus_view_of(streams), false, s->now, &c));
    return c;
}

static void publish(scene *s, int topic, const char *payload)
{
    int64_t id = s->next_id++;
    sim_outgoing out = {topic, bus_view_of(payload), {0}, 0, id, id};
    sim_hub_publish(&s->hub, &out, s->now);
}

// The next message of a client equals `text`; NULL: there is none.
static void expect(sim_client *c, const char *text)
{
    sim_message *m = sim_client_next(c);
    if (!text) {
        cr_expect(!m, "%.*s", m ? (int)m->len : 0, m ? (char *)m->bytes : "");
    } else {
        cr_assert(m, "no message; wanted %s", text);
        cr_expect(bus_view_is((bus_view){(char *)m->bytes, m->len}, text), "%.*s, wanted %s",
                  (int)m->len, (char *)m->bytes, text);
    }
    sim_message_drop(m);
}

static void request(scene *s, sim_client *c, const char *text)
{
    s->now.ns += 300000000; // within the message limit
    sim_hub_request(&s->hub, c, bus_view_of(text), s->now);
}

static void expect_log(scene *s, uint64_t n, const char *part)
{
    sim_text t = {0};
    test_ok(sim_sendlog_render(s->log, n, 1, &t));
    sim_text_add(&t, (bus_view){"", 1});
    cr_expect(strstr(t.ptr, part), "entry %d is %s, wanted %s", (int)n, t.ptr, part);
    sim_text_release(&t);
}

static void fault(scene *s, const char *text)
{
    sim_fault *f;
    test_ok(sim_fault_from_text(&s->hub.faults, bus_view_of(text), &f));
    sim_hub_arm(&s->hub, f, s->now);
}

// Source: schemas/specs/simexd.md, "Venue endpoints: WebSocket".
Test(hub, sends_raw_or_combined_as_the_client_connected)
{
    scene s;
    given_hub(&s);
    sim_client *raw = join(&s, "/ws/btcusdt@trade", "");
    sim_client *combined = join(&s, "/stream", "btcusdt@trade/btcusdt@depth@100ms");
    sim_client *silent = join(&s, "/ws", "");
    publish(&s, s.trade, "{1}");
    publish(&s, s.depth, "{2}");
    expect(raw, "{1}");
    expect(raw, NULL);
    expect(combined, "{\"stream\":\"btcusdt@trade\",\"data\":{1}}");
    expect(combined, "{\"stream\":\"btcusdt@depth@100ms\",\"data\":{2}}");
    expect(silent, NULL);
    expect_log(&s, 1, "\"first_id\":1,\"last_id\":1,\"connections\":2,\"fault\":\"\"");
    expect_log(&s, 2, "\"connections\":1");
    end(&s);
}

Test(hub, refuses_paths_and_streams_it_does_not_know)
{
    scene s;
    sim_client *c;
    given_hub(&s);
    test_expect_err(sim_hub_join(&s.hub, BUS_VIEW("/wsx"), (bus_view){0}, false, s.now, &c),
                    BUS_ENOTFOUND);
    test_expect_err(sim_hub_join(&s.hub, BUS_VIEW("/ws/nostream"), (bus_view){0}, false, s.now, &c),
                    BUS_EINVAL);
    test_expect_err(sim_hub_join(&s.hub, BUS_VIEW("/stream"),
                                 BUS_VIEW("a@trade/b@trade/c@trade/d@trade/e@trade"), false, s.now,
                                 &c),
                    BUS_ELIMIT);
    cr_expect_eq(s.hub.client_count, 0);
    end(&s);
}

Test(hub, answers_requests_as_the_venue_does)
{
    static const char *const cases[][2] = {
        {"{\"method\":\"SUBSCRIBE\",\"params\":[\"btcusdt@trade\",\"x@trade\"],\"id\":1}",
         "{\"result\":null,\"id\":1}"},
        {"{\"method\":\"LIST_SUBSCRIPTIONS\",\"id\":\"a-1\"}",
         "{\"result\":[\"btcusdt@trade\",\"x@trade\"],\"id\":\"a-1\"}"},
        {"{\"method\":\"UNSUBSCRIBE\",\"params\":[\"x@trade\",\"never@trade\"],\"id\":-3}",
         "{\"result\":null,\"id\":-3}"},
        {"{\"method\":\"LIST_SUBSCRIPTIONS\",\"id\":null}",
         "{\"result\":[\"btcusdt@trade\"],\"id\":null}"},
        {"{\"method\":\"GET_PROPERTY\",\"params\":[\"combined\"],\"id\":2}",
         "{\"result\":false,\"id\":2}"},
        {"{\"method\":\"SET_PROPERTY\",\"params\":[\"combined\",true],\"id\":3}",
         "{\"result\":null,\"id\":3}"},
        {"{\"method\":\"SET_PROPERTY\",\"params\":[\"combined\",1],\"id\":4}",
         "{\"code\":1,\"msg\":\"Invalid value type: expected Boolean\",\"id\":4}"},
        {"{\"method\":\"GET_PROPERTY\",\"params\":[\"color\"],\"id\":5}",
         "{\"code\":0,\"msg\":\"Unknown property\",\"id\":5}"},
        {"{\"method\":\"GET_PROPERTY\",\"params\":[7],\"id\":5}",
         "{\"code\":2,\"msg\":\"Invalid request: property name must be a string\",\"id\":5}"},
        {"{\"method\":\"GET_PROPERTY\",\"params\":[\"combined\",1],\"id\":5}",
         "{\"code\":2,\"msg\":\"Invalid request: too many parameters\",\"id\":5}"},
        {"{\"params\":[],\"id\":6}",
         "{\"code\":2,\"msg\":\"Invalid request: missing field `method`\",\"id\":6}"},
        {"{\"method\":\"HELLO\",\"id\":7}",
         "{\"code\":2,\"msg\":\"Invalid request: unknown variant `HELLO`, expected one of "
         "`SUBSCRIBE`, "
         "`UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY`\",\"id\":7}"},
        {"{\"method\":\"SUBSCRIBE\",\"params\":[\"a@trade\"],\"id\":1.5}",
         "{\"code\":2,\"msg\":\"Invalid request: request ID must be an unsigned integer\"}"},
        {"{\"method\":\"SUBSCRIBE\",\"params\":\"a@trade\",\"id\":8}",
         "{\"code\":2,\"msg\":\"Invalid request: params must be an array of stream "
         "names\",\"id\":8}"},
        {"{\"method\":\"SUBSCRIBE\",\"params\":[\"btc usdt\"],\"id\":8}",
         "{\"code\":2,\"msg\":\"Invalid request: 'btc usdt' is not a stream name\",\"id\":8}"},
        {"[]", "{\"code\":2,\"msg\":\"Invalid request: expected an object\"}"},
    };
    scene s;
    given_hub(&s);
    sim_client *c = join(&s, "/ws", "");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        request(&s, c, cases[i][0]);
        expect(c, cases[i][1]);
    }
    request(&s, c, "{\"method\":");
    sim_message *m = sim_client_next(c);
    cr_expect(m && strncmp((char *)m->bytes, "{\"code\":3,\"msg\":\"Invalid JSON: ", 31) == 0);
    sim_message_drop(m);
    publish(&s, s.trade, "{}");
    expect(c, "{\"stream\":\"btcusdt@trade\",\"data\":{}}");
    cr_expect(!c->closing);
    end(&s);
}

Test(hub, closes_a_connection_that_asks_too_often_or_for_too_much)
{
    scene s;
    given_hub(&s);
    sim_client *often = join(&s, "/ws", "");
    for (int i = 0; i < 5; i++)
        sim_hub_request(&s.hub, often, BUS_VIEW("{}"), s.now);
    cr_expect(!often->closing);
    sim_hub_request(&s.hub, often, BUS_VIEW("{}"), s.now);
    cr_expect(often->closing && often->close_code == 1008);
    sim_client *much = join(&s, "/ws", "");
    request(
        &s, much,
        "{\"method\":\"SUBSCRIBE\",\"params\":[\"a@b\",\"b@b\",\"c@b\",\"d@b\",\"e@b\"],\"id\":1}");
    cr_expect(much->closing && much->close_code == 1008);
    end(&s);
}

Test(hub, a_freed_place_is_used_again_and_listing_keeps_the_order)
{
    scene s;
    given_hub(&s);
    sim_client *c = join(&s, "/ws/a@x/b@x/c@x", "");
    request(&s, c, "{\"method\":\"UNSUBSCRIBE\",\"params\":[\"a@x\"],\"id\":1}");
    request(&s, c, "{\"method\":\"SUBSCRIBE\",\"params\":[\"d@x\",\"b@x\"],\"id\":2}");
    request(&s, c, "{\"method\":\"LIST_SUBSCRIPTIONS\",\"id\":3}");
    expect(c, "{\"result\":null,\"id\":1}");
    expect(c, "{\"result\":null,\"id\":2}");
    expect(c, "{\"result\":[\"b@x\",\"c@x\",\"d@x\"],\"id\":3}");
    end(&s);
}

Test(hub, pings_and_closes_who_does_not_answer_or_is_too_old)
{
    scene s;
    given_hub(&s);
    sim_client *c = join(&s, "/ws", "");
    s.now.ns += 20000000000;
    sim_hub_turn(&s.hub, s.now);
    cr_expect(c->ping_due && !c->closing);
    s.now.ns += 40000000000;
    sim_hub_turn(&s.hub, s.now);
    cr_expect(c->closing && c->reset);
    sim_client *old = join(&s, "/ws", "");
    for (int i = 0; i < 24 * 180; i++) {
        s.now.ns += 20000000000;
        old->ponged = s.now;
        sim_hub_turn(&s.hub, s.now);
    }
    cr_expect(old->closing && old->close_code == 1001 && !old->reset);
    end(&s);
}

Test(hub, closes_a_connection_whose_queue_is_full_and_writes_it_down)
{
    scene s;
    given_hub(&s);
    static char big[30001];
    memset(big, 'x', 30000);
    sim_client *c = join(&s, "/ws/btcusdt@trade", "");
    for (int i = 0; i < 4; i++)
        publish(&s, s.trade, big);
    cr_expect(c->closing && c->close_code == 1008);
    expect_log(&s, 4, "\"fault\":\"slow_client\"");
    expect_log(&s, 5, "\"connections\":0");
    end(&s);
}

// --- faults. Source: schemas/specs/simexd.md, "Faults".

Test(hub, a_dropped_frame_is_logged_and_not_sent)
{
    scene s;
    given_hub(&s);
    sim_client *c = join(&s, "/ws/btcusdt@trade", "");
    fault(&s, "drop:symbol=BTCUSDT:channel=trade:count=1:after_frames=1");
    publish(&s, s.trade, "1");
    publish(&s, s.trade, "2");
    publish(&s, s.trade, "3");
    expect(c, "1");
    expect(c, "3");
    expect_log(&s, 2, "\"last_id\":2,\"connections\":0,\"fault\":\"drop\"");
    cr_expect_eq(s.hub.topics.topic[s.trade].played, 3);
    end(&s);
}

Test(hub, duplicate_sends_twice_and_reorder_sends_the_next_one_first)
{
    scene s;
    given_hub(&s);
    sim_client *c = join(&s, "/ws/btcusdt@trade/btcusdt@depth@100ms", "");
    fault(&s, "duplicate:channel=trade");
    publish(&s, s.trade, "1");
    expect(c, "1");
    expect(c, "1");
    expect_log(&s, 2, "\"last_id\":1,\"connections\":1,\"fault\":\"duplicate\"");
    fault(&s, "reorder:channel=trade");
    publish(&s, s.trade, "2");
    publish(&s, s.depth, "3");
    expect(c, "3");
    publish(&s, s.trade, "4");
    publish(&s, s.trade, "5");
    expect(c, "4");
    expect(c, "2");
    expect(c, "5");
    expect_log(&s, 4, "\"last_id\":4,\"connections\":1,\"fault\":\"reorder\"");
    expect_log(&s, 5, "\"last_id\":2,\"connections\":1,\"fault\":\"reorder\"");
    cr_expect_eq(s.hub.faults.open, 0);
    end(&s);
}

Test(hub, truncate_cuts_and_garbage_comes_before_the_frame)
{
    scene s;
    given_hub(&s);
    sim_client *c = join(&s, "/ws/btcusdt@trade", "");
    fault(&s, "truncate");
    publish(&s, s.trade, "{\"e\":\"trade\",\"t\":123456789}");
    sim_message *m = sim_client_next(c);
    cr_assert(m && m->len >= 1 && m->len < 27);
    sim_message_drop(m);
    for (int seed = 1; seed < 30; seed++) {
        char text[64];
        snprintf(text, sizeof text, "garbage:seed=%d", seed);
        fault(&s, text);
        publish(&s, s.trade, "{}");
        m = sim_client_next(c);
        cr_assert(m && m->len > 2);
        sim_message_drop(m);
        expect(c, "{}");
    }
    expect_log(&s, 2, "\"fault\":\"garbage\"");
    end(&s);
}

Test(hub, a_stall_holds_frames_back_and_lets_them_go_in_order)
{
    scene s;
    given_hub(&s);
    sim_client *c = join(&s, "/ws/btcusdt@trade/btcusdt@depth@100ms", "");
    fault(&s, "stall:channel=trade:for_ms=100");
    publish(&s, s.trade, "1");
    publish(&s, s.trade, "2");
    publish(&s, s.depth, "3");
    expect(c, "3");
    expect(c, NULL);
    s.now.ns += 100000000;
    sim_hub_turn(&s.hub, s.now);
    expect(c, "1");
    expect(c, "2");
    publish(&s, s.trade, "4");
    expect(c, "4");
    expect_log(&s, 2, "\"last_id\":1,\"connections\":1,\"fault\":\"stall\"");
    end(&s);
}

Test(hub, slow_lets_one_frame_go_per_delay)
{
    scene s;
    given_hub(&s);
    sim_client *c = join(&s, "/ws/btcusdt@trade", "");
    fault(&s, "slow:for_ms=1000:delay_ms=100");
    for (int i = 0; i < 5; i++)
        publish(&s, s.trade, "x");
    expect(c, "x");
    expect(c, NULL);
    s.now.ns += 100000000;
    sim_hub_turn(&s.hub, s.now);
    expect(c, "x");
    expect(c, NULL);
    s.now.ns += 900000000;
    sim_hub_turn(&s.hub, s.now);
    expect(c, "x");
    expect(c, "x");
    expect(c, "x");
    expect(c, NULL);
    end(&s);
}

Test(hub, connections_fall_silent_are_closed_or_told_of_the_shutdown)
{
    scene s;
    given_hub(&s);
    sim_client *trade = join(&s, "/ws/btcusdt@trade", ""),
               *depth = join(&s, "/stream", "btcusdt@depth@100ms");
    fault(&s, "half_open:channel=trade:for_ms=50");
    cr_expect(trade->silent && !depth->silent);
    publish(&s, s.trade, "1");
    expect(trade, NULL);
    expect_log(&s, 1,
               "\"channel\":\"control\",\"first_id\":0,\"last_id\":0,\"connections\":1,"
               "\"fault\":\"half_open\"");
    expect_log(&s, 2, "\"connections\":0");
    s.now.ns += 50000000;
    sim_hub_turn(&s.hub, s.now);
    cr_expect(trade->closing && trade->reset);
    fault(&s, "shutdown:for_ms=10");
    cr_expect(depth->closing && depth->close_code == 1001 && depth->close_at.ns > s.now.ns);
    static const char told[] =
        "{\"stream\":\"!serverShutdown\",\"data\":{\"e\":\"serverShutdown\",\"E\":";
    sim_message *m = sim_client_next(depth);
    cr_expect(m && strncmp((char *)m->bytes, told, sizeof told - 1) == 0);
    sim_message_drop(m);
    publish(&s, s.depth, "{}");
    expect(depth, "{\"stream\":\"btcusdt@depth@100ms\",\"data\":{}}");
    s.now.ns += 10000000;
    publish(&s, s.depth, "{}");
    expect(depth, NULL);
    sim_client *other = join(&s, "/ws/btcusdt@trade", "");
    fault(&s, "close:code=4001:after_frames=1");
    publish(&s, s.trade, "1");
    cr_expect(!other->closing);
    publish(&s, s.trade, "2");
    cr_expect(other->closing && other->close_code == 4001);
    end(&s);
}

Test(hub, ending_the_faults_sends_what_they_held)
{
    scene s;
    given_hub(&s);
    sim_client *c = join(&s, "/ws/btcusdt@trade", "");
    fault(&s, "stall");
    fault(&s, "drop:count=100");
    publish(&s, s.trade, "1");
    sim_hub_disarm(&s.hub);
    expect(c, "1");
    publish(&s, s.trade, "2");
    expect(c, "2");
    cr_expect_eq(s.hub.faults.open, 0);
    end(&s);
}
