// The envelope's codecs when memory is out. Source: schemas/specs/envelope.md.
#include "bus/event/event.h"

#include <stdio.h>
#include <stdlib.h>

#include "bus/lane/lane.h"
#include "sweep.h"
#include "test/support/alloc/alloc.h"
#include "test/support/test.h"

#define JSON                                                                                       \
    "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"a/b\",\"type\":\"exchange.trade.tape\","   \
    "\"subject\":\"instrument/X\",\"time\":\"2024-08-08T23:54:13.937085768Z\","                    \
    "\"datacontenttype\":\"application/json\",\"some\":\"\\u00e4 text\",\"data\":{\"a\":[1,2.5,"   \
    "null,\"\\ud83d\\ude00\"],\"b\":{\"c\":true}}}"

static uint8_t packed[8192];
static size_t packed_len;

static bus_view packed_view(void)
{
    return (bus_view){(const char *)packed, packed_len};
}

static void given_packed(void)
{
    bus_scratch scratch = {0};
    bus_event event;
    bus_pack p = bus_pack_to(packed, sizeof packed);
    test_ok(bus_event_decode_json(&event, BUS_VIEW(JSON), &scratch));
    test_ok(bus_event_encode(&p, &event));
    packed_len = p.len;
    bus_scratch_release(&scratch);
}

static bus_err from_json(void *ctx)
{
    bus_scratch scratch = {0};
    bus_event event;
    (void)ctx;
    bus_err err = bus_event_decode_json(&event, BUS_VIEW(JSON), &scratch);
    bus_scratch_release(&scratch);
    return err;
}

// With a scratch that is kept: after a failure it serves the next event.
static bus_err from_json_again(void *scratch)
{
    bus_event event;
    return bus_event_decode(&event, BUS_VIEW(BUS_CONTENT_JSON), BUS_VIEW(JSON), scratch);
}

static bus_err to_json(void *ctx)
{
    bus_event event;
    char *text = NULL;
    (void)ctx;
    bus_err err = bus_event_decode_msgpack(&event, packed_view());
    if (!err)
        err = bus_event_encode_json(&text, NULL, &event);
    free(text);
    return err;
}

static void on_header(void *ctx, const char *name, const char *value)
{
    (void)ctx, (void)name, (void)value;
}

static bus_err to_headers(void *ctx)
{
    bus_scratch scratch = {0};
    bus_event event;
    bus_view payload;
    (void)ctx;
    bus_err err = bus_event_decode_msgpack(&event, packed_view());
    if (!err)
        err = bus_event_encode_headers(&event, &scratch, &payload, on_header, NULL);
    bus_scratch_release(&scratch);
    return err;
}

static bus_err from_headers(void *ctx)
{
    static const bus_header list[] = {
        {{"ce-specversion", 14}, {"1.0", 3}},
        {{"ce-id", 5}, {"1", 1}},
        {{"ce-source", 9}, {"a/b", 3}},
        {{"ce-type", 7}, {"exchange.trade%20tape", 21}},
        {{"Content-Type", 12}, {"application/json", 16}},
    };
    bus_scratch scratch = {0};
    bus_event event;
    (void)ctx;
    bus_err err = bus_event_decode_headers(&event, list, sizeof list / sizeof *list,
                                           BUS_VIEW("{\"a\":[1,2,3]}"), &scratch);
    bus_scratch_release(&scratch);
    return err;
}

// A map with more keys than are compared one by one: its check needs a table.
static bus_err many_keys(void *ctx)
{
    bus_event event;
    (void)ctx;
    return bus_event_decode_msgpack(&event, packed_view());
}

static void given_many_keys(void)
{
    char json[8192];
    int n = snprintf(
        json, sizeof json,
        "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\",\"data\":{");
    for (int i = 0; i < 500; i++)
        n += snprintf(json + n, sizeof json - (size_t)n, "%s\"k%d\":%d", i ? "," : "", i, i);
    n += snprintf(json + n, sizeof json - (size_t)n, "}}");
    bus_scratch scratch = {0};
    bus_event event;
    bus_pack p = bus_pack_to(packed, sizeof packed);
    test_ok(bus_event_decode_json(&event, (bus_view){json, (size_t)n}, &scratch));
    test_ok(bus_event_encode(&p, &event));
    packed_len = p.len;
    bus_scratch_release(&scratch);
}

Test(event_memory, every_codec_says_that_it_is_out_and_keeps_nothing)
{
    given_packed();
    sweep_allocations(&(sweep_case){.name = "JSON read", .run = from_json, .allocations_min = 1});
    sweep_allocations(&(sweep_case){.name = "JSON written", .run = to_json, .allocations_min = 1});
    sweep_allocations(
        &(sweep_case){.name = "headers written", .run = to_headers, .allocations_min = 1});
    sweep_allocations(
        &(sweep_case){.name = "headers read", .run = from_headers, .allocations_min = 1});
    given_many_keys(); // one reader after the other takes it up
    sweep_allocations(&(sweep_case){
        .name = "many keys", .run = many_keys, .allocations_min = 1, .can_do_without = true});
}

Test(event_memory, a_scratch_serves_the_next_event_after_a_failure)
{
    bus_scratch scratch = {0};
    sweep_given_allocator();
    alloc_fail_at(1);
    test_expect_err(from_json_again(&scratch), BUS_ENOMEM);
    alloc_fail_at(0);
    test_ok(from_json_again(&scratch));
    alloc_fail_at(1);
    test_ok(from_json_again(&scratch)); // it is large enough now
    alloc_fail_at(0);
    bus_scratch_release(&scratch);
}

Test(event_memory, msgpack_events_and_lanes_need_none)
{
    bus_event event;
    bus_lane lane;
    uint8_t buf[8192];
    char text[BUS_SUBJECT_BUF];
    bus_pack p = bus_pack_to(buf, sizeof buf);
    sweep_given_allocator();
    given_packed();
    uint64_t before = alloc_count();
    test_ok(bus_event_decode_msgpack(&event, packed_view()));
    test_ok(bus_event_encode(&p, &event));
    test_ok(bus_lane_parse(&lane, BUS_VIEW("hyp.mon.exchange.binance.trade.tape.BTCUSDT")));
    test_ok(bus_lane_format(text, &lane, NULL));
    cr_expect(alloc_count() == before);
}
