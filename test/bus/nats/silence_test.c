// Streams on which nobody has anything to say: both sides here, on one thread, with short times.
// Source: schemas/specs/services.md, "Streams".
#include "bus/nats/service_impl.h"
#include "kinds.pb-c.h"
#include "support.h"
#include "test/support/test.h"

#define SERVICE "test.kinds.Silence"

enum { ALIVE_MS = 150, GONE_MS = 1500, LIMIT_MS = 20000 };
static const bus_silence shorter = {BUS_SPAN_MS(ALIVE_MS), BUS_SPAN_MS(GONE_MS)};

static struct {
    test_broker broker;
    bus_conn *conn;
    bus_service *service;
    bus_call *call; // the one open call, as the service has it
    bus_stream_call *stream;
    bus_sub *spy; // all that either side says
    int alive_of_service, alive_of_caller, cancels;
} scene;

static void numbers(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    (void)ctx;
    (void)request;
    scene.call = call;
}

static const bus_method methods[] = {
    {"Numbers", &test__kinds__count__descriptor, &test__kinds__number__descriptor, true, numbers},
    {NULL, NULL, NULL, false, NULL},
};

static void given_a_service(void)
{
    static const uint8_t descriptors[] = {1};
    bus_service_spec spec = {.daemon = "silenced",
                             .description = "says little",
                             .service = SERVICE,
                             .methods = methods,
                             .descriptors = descriptors,
                             .descriptors_len = sizeof descriptors,
                             .silence = shorter};
    test_broker_start(&scene.broker, NULL);
    scene.conn = given_conn(&scene.broker, BUS_PROFILE_LATENCY);
    test_ok(bus_service_open(&scene.service, scene.conn, &spec, 1));
    test_ok(bus_sub_open(&scene.spy, scene.conn, &(bus_sub_opts){.subject = "_INBOX.>"}));
}

static void given_a_stream(void)
{
    Test__Kinds__Count request = TEST__KINDS__COUNT__INIT;
    test_ok(bus_stream_call_open(&scene.stream, scene.conn, SERVICE, "Numbers", &request.base,
                                 &test__kinds__number__descriptor, (bus_wake){0}));
    bus_stream_call_silence(scene.stream, shorter);
}

static void listen_in(void)
{
    bus_view number;
    for (bus_msg *msg; (msg = bus_sub_next(scene.spy, (bus_span){0})); bus_msg_release(msg)) {
        scene.alive_of_service += bus_msg_header(msg, "Lane-Stream-Alive", &number);
        scene.alive_of_caller += bus_view_is(bus_msg_payload(msg), "alive");
        scene.cancels += bus_view_is(bus_msg_payload(msg), "cancel");
    }
}

static uint32_t next_number(bool *ended, bus_err *err)
{
    ProtobufCMessage *item = NULL;
    *err = bus_stream_call_next(scene.stream, BUS_SPAN_MS(1), &item, ended);
    uint32_t n = item ? ((Test__Kinds__Number *)item)->n : 0;
    if (item)
        protobuf_c_message_free_unpacked(item, NULL);
    return n;
}

static void send_number(uint32_t n)
{
    Test__Kinds__Number item = TEST__KINDS__NUMBER__INIT;
    item.n = n;
    cr_assert_eq(bus_call_send(scene.call, &item.base), BUS_CALL_SENT);
}

static int64_t ms_since(bus_mono begin)
{
    return bus_mono_since(bus_machine_mono(), begin).ns / 1000000;
}

// Both sides are there until the caller has the number.
static void expect_number(uint32_t n)
{
    bool ended = false;
    bus_err err = BUS_OK;
    bus_mono begin = bus_machine_mono();
    while (next_number(&ended, &err) != n) {
        cr_assert(!ended && ms_since(begin) < LIMIT_MS, "no %u: %s", n, bus_err_text());
        bus_service_poll(scene.service);
    }
}

static void given_an_open_stream(void)
{
    bool ended = false;
    bus_err err;
    given_a_service();
    given_a_stream();
    for (bus_mono begin = bus_machine_mono(); !scene.call; next_number(&ended, &err)) {
        cr_assert_lt(ms_since(begin), LIMIT_MS, "no request");
        bus_service_poll(scene.service);
    }
    send_number(7);
    expect_number(7);
}

static void done(void)
{
    bus_stream_call_close(scene.stream);
    bus_sub_close(scene.spy);
    bus_service_close(scene.service);
    bus_conn_close(scene.conn);
    test_broker_stop(&scene.broker);
}

TestSuite(silence, .fini = done, .timeout = 60);

Test(silence, is_five_and_fifteen_seconds_unless_it_is_set)
{
    given_a_service();
    bus_silence preset = bus_silence_or_default((bus_silence){.gone = BUS_SPAN_S(1)});
    cr_assert_eq(preset.alive.ns, BUS_SPAN_S(5).ns);
    cr_assert_eq(preset.gone.ns, BUS_SPAN_S(1).ns);
    cr_assert_eq(bus_silence_or_default((bus_silence){0}).gone.ns, BUS_SPAN_S(15).ns);
}

Test(silence, of_twice_the_limit_ends_nothing_while_both_say_that_they_are_there)
{
    given_an_open_stream();
    bool ended = false;
    bus_err err = BUS_OK;
    for (bus_mono begin = bus_machine_mono(); ms_since(begin) < 2 * GONE_MS;) {
        bus_service_poll(scene.service);
        cr_assert_eq(next_number(&ended, &err), 0);
        cr_assert(!ended && !bus_call_gone(scene.call), "%s", bus_err_text());
        listen_in();
    }
    cr_expect_gt(scene.alive_of_service, 3);
    cr_expect_gt(scene.alive_of_caller, 3);
    cr_expect_leq(scene.alive_of_service, 2 * GONE_MS / ALIVE_MS + 1, "it says so too often");
    cr_expect_leq(scene.alive_of_caller, 2 * GONE_MS / ALIVE_MS + 1, "it says so too often");
    send_number(8);
    expect_number(8);
    bus_call_end(scene.call);
}

Test(silence, of_the_caller_makes_the_service_give_it_up)
{
    given_an_open_stream();
    bus_mono begin = bus_machine_mono();
    while (!bus_call_gone(scene.call) && ms_since(begin) < LIMIT_MS)
        bus_service_poll(scene.service);
    cr_assert(bus_call_gone(scene.call));
    cr_expect_geq(ms_since(begin), GONE_MS / 2, "given up after %d ms", (int)ms_since(begin));
    Test__Kinds__Number item = TEST__KINDS__NUMBER__INIT;
    cr_assert_eq(bus_call_send(scene.call, &item.base), BUS_CALL_GONE);
    bus_call_end(scene.call);
}

Test(silence, of_the_service_is_unavailable_to_the_caller_who_cancels)
{
    given_an_open_stream();
    bool ended = false;
    bus_err err = BUS_OK;
    bus_mono begin = bus_machine_mono();
    while (!ended && ms_since(begin) < LIMIT_MS)
        next_number(&ended, &err);
    cr_assert(ended && err == BUS_EUNAVAILABLE, "%s", bus_err_text());
    cr_expect(strstr(bus_err_text(), "silent for 1500 ms"), "%s", bus_err_text());
    cr_expect_geq(ms_since(begin), GONE_MS / 2, "given up after %d ms", (int)ms_since(begin));
    while (scene.cancels == 0 && ms_since(begin) < LIMIT_MS)
        listen_in();
    cr_expect_eq(scene.cancels, 1);
    while (!bus_call_gone(scene.call) && ms_since(begin) < LIMIT_MS)
        bus_service_poll(scene.service);
    cr_assert(bus_call_gone(scene.call), "the service did not hear the cancel");
    bus_call_end(scene.call);
}

Test(silence, of_a_caller_that_never_learned_the_control_subject_is_noticed_too)
{
    given_a_service();
    test_ok(bus_publish(scene.conn, "svc." SERVICE ".Numbers", "nobody.listens", NULL, 0,
                        (bus_view){0}));
    bus_mono begin = bus_machine_mono();
    while (!(scene.call && bus_call_gone(scene.call)) && ms_since(begin) < LIMIT_MS)
        bus_service_poll(scene.service);
    cr_assert(scene.call && bus_call_gone(scene.call));
    bus_call_end(scene.call);
}
