// Services and their clients over a real broker, each side on a thread of its own.
#include "bus/nats/service.h"

#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "kinds.pb-c.h"
#include "test/support/broker.h"
#include "test/support/test.h"

#define SERVICE "test.kinds.Counter"

static test_broker broker;
static bus_conn *conn, *server_conn;
static const uint8_t descriptors[] = {1, 2, 3};

// --- the server: its own thread and connection --------------------------------------------------------

enum { STREAMS_MAX = 4 };
static struct {
    bus_service *service;
    pthread_t thread;
    _Atomic bool stop, running, skip_a_number;
    bus_call *later;
    struct {
        bus_call *call;
        uint32_t next, to;
    } stream[STREAMS_MAX];
    _Atomic uint32_t sent, gone;
} server;

static const Test__Kinds__Count *count_of(const ProtobufCMessage *request)
{
    return (const Test__Kinds__Count *)request;
}

static void add(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    (void)ctx;
    Test__Kinds__Number reply = TEST__KINDS__NUMBER__INIT;
    reply.n = count_of(request)->from + count_of(request)->to;
    bus_call_reply(call, &reply.base);
}

static void fail(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    (void)ctx;
    bus_call_failed(call, bus_fail(BUS_ERANGE, "%u is\nout of range", count_of(request)->from));
}

static void later(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    (void)ctx;
    (void)request;
    server.later = call;
}

static void numbers(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    (void)ctx;
    Test__Kinds__Count *kept = bus_call_keep(call);
    cr_assert_eq((const void *)kept, (const void *)request);
    for (int i = 0; i < STREAMS_MAX; i++)
        if (!server.stream[i].call) {
            server.stream[i].call = call;
            server.stream[i].next = kept->from;
            server.stream[i].to = kept->to;
            break;
        }
    protobuf_c_message_free_unpacked(&kept->base, NULL);
}

static const bus_method methods[] = {
    {"Add", &test__kinds__count__descriptor, &test__kinds__number__descriptor, false, add},
    {"Fail", &test__kinds__count__descriptor, &test__kinds__number__descriptor, false, fail},
    {"Later", &test__kinds__count__descriptor, &test__kinds__number__descriptor, false, later},
    {"Numbers", &test__kinds__count__descriptor, &test__kinds__number__descriptor, true, numbers},
    {NULL, NULL, NULL, false, NULL},
};

static void feed(int i)
{
    bus_call *call = server.stream[i].call;
    if (!call)
        return;
    bus_call_result r = BUS_CALL_SENT;
    while (server.stream[i].next <= server.stream[i].to && r == BUS_CALL_SENT) {
        Test__Kinds__Number item = TEST__KINDS__NUMBER__INIT;
        item.n = server.stream[i].next;
        r = bus_call_send(call, &item.base);
        if (r == BUS_CALL_SENT) {
            server.stream[i].next++;
            server.sent++;
        }
    }
    if (r == BUS_CALL_FULL && !bus_call_gone(call))
        return;
    server.gone += bus_call_gone(call);
    bus_call_end(call);
    server.stream[i].call = NULL;
}

static void *serve(void *ctx)
{
    (void)ctx;
    while (!server.stop) {
        bus_service_poll(server.service);
        for (int i = 0; i < STREAMS_MAX; i++)
            feed(i);
        if (server.later) {
            Test__Kinds__Number reply = TEST__KINDS__NUMBER__INIT;
            reply.text = (char *)"later";
            bus_call_reply(server.later, &reply.base);
            server.later = NULL;
        }
        nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
    }
    return NULL;
}

static bus_conn *given_a_connection(const char *name)
{
    bus_conn *out = NULL;
    bus_conn_opts opts = {.url = broker.url, .name = name};
    test_ok(bus_conn_open(&out, &opts));
    test_ok(bus_conn_wait(out, BUS_SPAN_S(10)));
    return out;
}

static void given_a_service(void)
{
    test_broker_start(&broker, NULL);
    conn = given_a_connection("client");
    server_conn = given_a_connection("server");
    bus_service_spec spec = {.daemon = "counterd",
                             .description = "counts",
                             .service = SERVICE,
                             .methods = methods,
                             .descriptors = descriptors,
                             .descriptors_len = sizeof descriptors};
    test_ok(bus_service_open(&server.service, server_conn, &spec, 1));
    server.running = pthread_create(&server.thread, NULL, serve, NULL) == 0;
}

static void stop_serving(void)
{
    server.stop = true;
    if (server.running)
        pthread_join(server.thread, NULL);
    server.running = false;
}

static void done(void)
{
    stop_serving();
    bus_service_close(server.service);
    bus_conn_close(server_conn);
    bus_conn_close(conn);
    test_broker_stop(&broker);
}

TestSuite(service, .fini = done, .timeout = 60);

// --- unary -------------------------------------------------------------------------------------------

static bus_err call(const char *method, uint32_t from, uint32_t to, Test__Kinds__Number **reply)
{
    Test__Kinds__Count request = TEST__KINDS__COUNT__INIT;
    request.from = from;
    request.to = to;
    return bus_service_call(conn, SERVICE, method, &request.base, &test__kinds__number__descriptor,
                            BUS_SPAN_S(5), (ProtobufCMessage **)reply);
}

Test(service, answers_now_or_later)
{
    given_a_service();
    Test__Kinds__Number *reply = NULL;
    test_ok(call("Add", 3, 4, &reply));
    cr_assert_eq(reply->n, 7);
    protobuf_c_message_free_unpacked(&reply->base, NULL);
    test_ok(call("Later", 0, 0, &reply));
    cr_assert_str_eq(reply->text, "later");
    protobuf_c_message_free_unpacked(&reply->base, NULL);
}

Test(service, carries_errors_as_numbers_and_text)
{
    given_a_service();
    Test__Kinds__Number *reply = NULL;
    test_expect_err(call("Fail", 9, 0, &reply), BUS_ERANGE);
    cr_assert_str_eq(bus_err_text(), "9 is out of range");
    test_expect_err(call("Nothing", 0, 0, &reply), BUS_EUNSUPPORTED);
    cr_assert(strstr(bus_err_text(), "no method 'Nothing'"));
    cr_assert_null(reply);
    Test__Kinds__Count request = TEST__KINDS__COUNT__INIT;
    test_expect_err(bus_service_call(conn, "test.kinds.Absent", "Add", &request.base,
                                     &test__kinds__number__descriptor, BUS_SPAN_S(5),
                                     (ProtobufCMessage **)&reply),
                    BUS_EUNAVAILABLE);
    cr_assert(strstr(bus_err_text(), "nobody serves test.kinds.Absent.Add"));
}

static bus_msg *request_raw(const char *subject, const char *type, const char *payload)
{
    bus_msg *reply = NULL;
    bus_header_pair h = {"Content-Type", type};
    test_ok(
        bus_request(conn, subject, &h, type ? 1 : 0, bus_view_of(payload), BUS_SPAN_S(5), &reply));
    return reply;
}

static void expect_header(const bus_msg *msg, const char *name, const char *value)
{
    bus_view v = {0};
    cr_assert(bus_msg_header(msg, name, &v) && bus_view_is(v, value), "%s: '%.*s'", name,
              BUS_VIEW_ARG(v));
}

Test(service, speaks_json_to_whoever_does)
{
    given_a_service();
    const char *types[] = {"application/json", "application/json; charset=utf-8", NULL};
    for (int i = 0; i < 3; i++) {
        bus_msg *reply = request_raw("svc." SERVICE ".Add", types[i], "{\"from\":1,\"to\":2}");
        expect_header(reply, "Content-Type", "application/json");
        cr_assert(bus_view_is(bus_msg_payload(reply), "{\"n\":3,\"text\":\"\"}"), "%.*s",
                  BUS_VIEW_ARG(bus_msg_payload(reply)));
        bus_msg_release(reply);
    }
    bus_msg *reply = request_raw("svc." SERVICE ".Add", "application/json", "{\"form\":1}");
    expect_header(reply, "Nats-Service-Error-Code", "3");
    bus_view text = {0};
    bus_msg_header(reply, "Nats-Service-Error", &text);
    cr_assert(memmem(text.ptr, text.len, "$.form", 6), "%.*s", BUS_VIEW_ARG(text));
    bus_msg_release(reply);
    reply = request_raw("svc." SERVICE ".Add", "application/x-protobuf", "\xff\xff\xff");
    expect_header(reply, "Nats-Service-Error-Code", "3");
    bus_msg_release(reply);
}

// --- discovery ---------------------------------------------------------------------------------------

static json_t *ask(const char *subject)
{
    bus_msg *reply = request_raw(subject, NULL, "");
    bus_view payload = bus_msg_payload(reply);
    json_t *out = json_loadb(payload.ptr, payload.len, 0, NULL);
    cr_assert(out, "%s: %.*s", subject, BUS_VIEW_ARG(payload));
    bus_msg_release(reply);
    return out;
}

static const char *string_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    cr_assert(text, "'%s' is missing or no string", key);
    return text;
}

Test(service, is_found_described_and_measured_in_three_scopes)
{
    given_a_service();
    Test__Kinds__Number *reply = NULL;
    test_ok(call("Add", 1, 1, &reply));
    protobuf_c_message_free_unpacked(&reply->base, NULL);
    test_expect_err(call("Fail", 1, 1, &reply), BUS_ERANGE);
    json_t *ping = ask("$SRV.PING");
    cr_assert_str_eq(string_of(ping, "type"), "io.nats.micro.v1.ping_response");
    cr_assert_str_eq(string_of(ping, "name"), "counterd");
    char subject[128];
    snprintf(subject, sizeof subject, "$SRV.INFO.counterd.%s", string_of(ping, "id"));
    json_t *info = ask(subject), *stats = ask("$SRV.STATS.counterd");
    cr_assert_str_eq(string_of(info, "description"), "counts");
    json_t *endpoint = json_array_get(json_object_get(info, "endpoints"), 0);
    cr_assert_str_eq(string_of(endpoint, "name"), "Counter-Add");
    cr_assert_str_eq(string_of(endpoint, "subject"), "svc." SERVICE ".Add");
    cr_assert_str_eq(string_of(endpoint, "queue_group"), "q");
    cr_assert_eq(strlen(string_of(json_object_get(endpoint, "metadata"), "descriptor-hash")), 32);
    json_t *list = json_object_get(stats, "endpoints");
    cr_assert_eq(json_array_size(list), 5);
    endpoint = json_array_get(list, 0);
    cr_assert_eq(json_integer_value(json_object_get(endpoint, "num_requests")), 1);
    cr_assert(json_integer_value(json_object_get(endpoint, "processing_time")) > 0);
    cr_assert_str_eq(string_of(endpoint, "last_error"), "");
    endpoint = json_array_get(list, 1);
    cr_assert_eq(json_integer_value(json_object_get(endpoint, "num_errors")), 1);
    cr_assert(strstr(string_of(endpoint, "last_error"), "out of range"));
    string_of(stats, "started");
    json_decref(ping);
    json_decref(info);
    json_decref(stats);
    bus_msg *msg = request_raw("svc.reflect.counterd", NULL, "");
    cr_assert(bus_view_eq(bus_msg_payload(msg), (bus_view){(const char *)descriptors, 3}));
    bus_msg_release(msg);
}

// --- streaming ---------------------------------------------------------------------------------------

static bus_stream_call *open_numbers(uint32_t from, uint32_t to)
{
    bus_stream_call *stream = NULL;
    Test__Kinds__Count request = TEST__KINDS__COUNT__INIT;
    request.from = from;
    request.to = to;
    test_ok(bus_stream_call_open(&stream, conn, SERVICE, "Numbers", &request.base,
                                 &test__kinds__number__descriptor, (bus_wake){0}));
    return stream;
}

static uint32_t next_number(bus_stream_call *stream, bool *ended, bus_err *err)
{
    ProtobufCMessage *item = NULL;
    *err = bus_stream_call_next(stream, BUS_SPAN_S(5), &item, ended);
    uint32_t n = item ? ((Test__Kinds__Number *)item)->n : 0;
    if (item)
        protobuf_c_message_free_unpacked(item, NULL);
    return n;
}

Test(service, streams_in_order_to_the_end)
{
    given_a_service();
    bus_stream_call *stream = open_numbers(1, 1000);
    bool ended = false;
    bus_err err = BUS_OK;
    for (uint32_t i = 1; i <= 1000; i++)
        cr_assert_eq(next_number(stream, &ended, &err), i);
    cr_assert_eq(next_number(stream, &ended, &err), 0);
    cr_assert(ended && err == BUS_OK, "%s", bus_err_text());
    bus_stream_call_close(stream);
    stream = open_numbers(5, 4); // nothing in it
    next_number(stream, &ended, &err);
    cr_assert(ended && err == BUS_OK);
    bus_stream_call_close(stream);
}

Test(service, waits_for_a_slow_caller_and_ends_when_it_cancels)
{
    given_a_service();
    bus_stream_call *stream = open_numbers(1, 100000);
    bool ended = false;
    bus_err err = BUS_OK;
    cr_assert_eq(next_number(stream, &ended, &err), 1);
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    cr_assert_eq(server.sent, 16, "%u sent ahead of the credit", server.sent);
    for (uint32_t i = 2; i <= 100; i++)
        cr_assert_eq(next_number(stream, &ended, &err), i);
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    cr_assert(server.sent <= 116, "%u", server.sent);
    bus_stream_call_close(stream);
    for (int i = 0; i < 100 && server.gone == 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    cr_assert_eq(server.gone, 1);
}

// A forged server leaves a number out: the caller must see that, not skip it.
Test(service, hole_in_a_stream_is_data_loss)
{
    test_broker_start(&broker, NULL);
    conn = given_a_connection("client");
    server_conn = given_a_connection("server");
    bus_sub *requests = NULL, *control = NULL;
    test_ok(bus_sub_open(&requests, server_conn, &(bus_sub_opts){.subject = "svc." SERVICE ".*"}));
    test_ok(bus_sub_open(&control, server_conn, &(bus_sub_opts){.subject = "_INBOX.ctl"}));
    bus_stream_call *stream = open_numbers(1, 9);
    bus_msg *request = bus_sub_next(requests, BUS_SPAN_S(5));
    cr_assert(request);
    const char *number[] = {"1", "2", "4"};
    for (int i = 0; i < 3; i++) {
        bus_header_pair h[] = {{"Lane-Stream", number[i]}, {"Lane-Stream-Control", "_INBOX.ctl"}};
        test_ok(bus_publish(server_conn, bus_msg_reply(request).ptr, NULL, h, 2,
                            (bus_view){"\x08\x07", 2}));
    }
    bool ended = false;
    bus_err err = BUS_OK;
    cr_assert_eq(next_number(stream, &ended, &err), 7);
    cr_assert_eq(next_number(stream, &ended, &err), 7);
    next_number(stream, &ended, &err);
    cr_assert(ended && err == BUS_EDATALOSS, "%s", bus_err_text());
    bus_msg *said = bus_sub_next(control, BUS_SPAN_S(5));
    cr_assert(said && bus_view_is(bus_msg_payload(said), "cancel"));
    bus_msg_release(said);
    bus_msg_release(request);
    bus_stream_call_close(stream);
    bus_sub_close(requests);
    bus_sub_close(control);
}

Test(service, stream_of_nobody_is_unavailable)
{
    test_broker_start(&broker, NULL);
    conn = given_a_connection("client");
    bus_stream_call *stream = open_numbers(1, 9);
    bool ended = false;
    bus_err err = BUS_OK;
    next_number(stream, &ended, &err);
    cr_assert(ended && err == BUS_EUNAVAILABLE, "%s", bus_err_text());
    bus_stream_call_close(stream);
}

Test(service, closing_ends_open_calls_with_unavailable)
{
    given_a_service();
    bus_stream_call *stream = open_numbers(1, 100000);
    bool ended = false;
    bus_err err = BUS_OK;
    cr_assert_eq(next_number(stream, &ended, &err), 1);
    stop_serving();
    bus_service_close(server.service);
    server.service = NULL;
    while (!ended)
        next_number(stream, &ended, &err);
    cr_assert_eq(err, BUS_EUNAVAILABLE, "%s", bus_err_text());
    bus_stream_call_close(stream);
}

Test(service, serves_again_after_the_broker_was_restarted)
{
    given_a_service();
    Test__Kinds__Number *reply = NULL;
    test_ok(call("Add", 1, 1, &reply));
    protobuf_c_message_free_unpacked(&reply->base, NULL);
    test_broker_restart(&broker);
    bus_err err = BUS_EUNAVAILABLE;
    reply = NULL;
    for (int i = 0; i < 200 && err; i++) {
        err = call("Add", 2, 2, &reply);
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
    test_ok(err);
    cr_assert_eq(reply->n, 4);
    protobuf_c_message_free_unpacked(&reply->base, NULL);
}

// --- the stock CLI -----------------------------------------------------------------------------------

static void nats(char *out, size_t cap, const char *args)
{
    char command[512];
    snprintf(command, sizeof command, "nats -s %s %s 2>&1", broker.url, args);
    FILE *pipe = popen(command, "r");
    cr_assert(pipe);
    size_t len = fread(out, 1, cap - 1, pipe);
    out[len] = 0;
    int status = pclose(pipe);
    cr_assert_eq(status, 0, "%s: %s", args, out);
}

Test(service, stock_cli_lists_describes_measures_and_calls_it)
{
    if (system("command -v nats >/dev/null 2>&1") != 0)
        test_skip("no nats CLI on PATH");
    given_a_service();
    char out[8192];
    nats(out, sizeof out, "micro ls");
    cr_assert(strstr(out, "counterd"), "%s", out);
    nats(out, sizeof out, "micro info counterd");
    cr_assert(strstr(out, "Counter-Numbers") && strstr(out, "svc." SERVICE ".Add"), "%s", out);
    nats(out, sizeof out, "req svc." SERVICE ".Add '{\"from\":20,\"to\":22}' --raw");
    cr_assert(strstr(out, "\"n\":42"), "%s", out);
    nats(out, sizeof out, "req svc." SERVICE ".Add -H Content-Type:application/json '{}' --raw");
    cr_assert(strstr(out, "\"n\":0"), "%s", out);
    nats(out, sizeof out, "micro stats counterd");
    cr_assert(strstr(out, "Counter-Add"), "%s", out);
    nats(out, sizeof out, "micro ping");
    cr_assert(strstr(out, "counterd"), "%s", out);
}
