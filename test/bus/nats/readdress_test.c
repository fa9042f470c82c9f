// Re-addressing against a slow oracle: decode, set the five attributes, encode. And byte for byte: what
// lies between the replaced values is where it was.
#include "bus/nats/readdress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "test/support/test.h"

static const bus_readdress_to to = {{"mon", 3}, {"0c3f9a5e-run", 12}, {1700000000123456789}, NULL};
static const char act[] = "act.exchange.sim.trade.tape.AAA";

static uint64_t rng_state;

static uint32_t below(uint32_t n)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return (uint32_t)(rng_state % n);
}

// --- random envelopes, keys in any order, values in any legal encoding --------------------------------

typedef struct {
    const char *name;
    const char *value; // NULL: a random text
    bool always;
} key_row;

static const key_row rows[] = {
    {"specversion", "1.0", true},
    {"id", NULL, true},
    {"source", "urn:com.virtufin.exchange.sim", true},
    {"type", "com.virtufin.exchange.sim.trade.tape", true},
    {"time", "2024-08-08T23:54:13.937085768Z", false},
    {"recordedtime", "2024-08-08T23:54:14Z", false},
    {"walltime", "2024-08-08T23:54:15.5Z", false},
    {"marketlane", "act", false},
    {"marketselector", "old", false},
    {"runid", NULL, false},
    {"clocktype", "wall", false},
    {"exchange", "sim", false},
    {"data", NULL, false},
    {"extension1", NULL, false},
    {"extension2", NULL, false},
    {"extension3", NULL, false},
    {"extension4", NULL, false},
    {"extension5", NULL, false},
};
enum { ROWS = sizeof rows / sizeof *rows };

static void put_text(bus_pack *p, const char *text)
{
    size_t len = strlen(text);
    uint8_t head[3] = {0xd9, (uint8_t)len, 0};
    if (below(4) == 0) { // longer than it need be, which msgpack allows
        bus_pack_raw(p, (bus_view){(const char *)head, 2});
        bus_pack_raw(p, (bus_view){text, len});
    } else {
        bus_pack_str(p, bus_view_of(text));
    }
}

static void put_data(bus_pack *p)
{
    char big[300];
    memset(big, 'x', sizeof big);
    bus_pack_map(p, 3);
    bus_pack_key(p, "runid"); // not the envelope's
    bus_pack_str(p, BUS_VIEW("inner"));
    bus_pack_key(p, "marketlane");
    bus_pack_array(p, 2);
    bus_pack_int(p, below(100000));
    bus_pack_nil(p);
    bus_pack_key(p, "text");
    bus_pack_str(p, (bus_view){big, below(sizeof big)});
}

static const char *spelling(const char *name)
{
    if (below(4) != 0)
        return name;
    if (strcmp(name, "marketlane") == 0)
        return "market.lane";
    return strcmp(name, "marketselector") == 0 ? "market.selector" : name;
}

static void put_envelope(bus_pack *p)
{
    int order[ROWS], count = 0;
    char text[64];
    for (int i = 0; i < ROWS; i++)
        if (rows[i].always || below(2))
            order[count++] = i;
    for (int i = count - 1; i > 0; i--) {
        int j = (int)below((uint32_t)i + 1), swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
    bus_pack_map(p, (uint32_t)count);
    for (int i = 0; i < count; i++) {
        const key_row *row = &rows[order[i]];
        put_text(p, spelling(row->name));
        snprintf(text, sizeof text, "v%u-%u", below(1000000), below(1000000));
        if (strcmp(row->name, "data") == 0)
            put_data(p);
        else if (strcmp(row->name, "marketselector") == 0 && below(6) == 0)
            bus_pack_nil(p); // unset
        else
            put_text(p, row->value ? row->value : text);
    }
}

static void expect_same_event(bus_view in, bus_view out)
{
    bus_event before, after;
    char walltime[BUS_TIME_TEXT];
    bus_time_format(to.walltime.ns, walltime);
    test_ok(bus_event_decode_msgpack(&before, in));
    test_ok(bus_event_decode_msgpack(&after, out));
    before.runid = to.runid;
    before.clocktype = BUS_VIEW("historical");
    before.walltime = bus_view_of(walltime);
    before.marketlane = BUS_VIEW("hyp");
    before.marketselector = to.selector;
    static uint8_t a[BUS_READDRESS_BUF], b[BUS_READDRESS_BUF];
    bus_pack pa = bus_pack_to(a, sizeof a), pb = bus_pack_to(b, sizeof b);
    test_ok(bus_event_encode(&pa, &before));
    test_ok(bus_event_encode(&pb, &after));
    cr_assert(pa.len == pb.len && memcmp(a, b, pa.len) == 0);
}

static bool is_ours(bus_view key)
{
    const char *names[] = {"runid",       "clocktype",      "walltime",       "marketlane",
                           "market.lane", "marketselector", "market.selector"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (bus_view_is(key, names[i]))
            return true;
    return false;
}

// Every pair that is not ours stands in the same order with the same bytes.
static void expect_same_bytes(bus_view in, bus_view out)
{
    bus_cursor a = bus_cursor_of(in), b = bus_cursor_of(out);
    bus_pack_value map_a, map_b, key;
    bus_view value_a, value_b;
    bus_cursor_next(&a, &map_a);
    bus_cursor_next(&b, &map_b);
    for (uint32_t i = 0; i < map_a.as.count; i++) {
        const uint8_t *pair_a = a.at, *pair_b = b.at;
        bus_cursor_next(&a, &key);
        bool ours = is_ours(key.as.bytes);
        bus_cursor_skip(&a, &value_a);
        bus_cursor_next(&b, &key);
        bus_cursor_skip(&b, &value_b);
        if (ours)
            cr_assert(is_ours(key.as.bytes) && !memchr(key.as.bytes.ptr, '.', key.as.bytes.len));
        else
            cr_assert(a.at - pair_a == b.at - pair_b &&
                      memcmp(pair_a, pair_b, (size_t)(a.at - pair_a)) == 0);
    }
    for (uint32_t i = map_a.as.count; i < map_b.as.count; i++) {
        bus_cursor_next(&b, &key);
        cr_assert(is_ours(key.as.bytes));
        bus_cursor_skip(&b, NULL);
    }
    cr_assert(b.at == b.end);
}

// The same event as our own writers would have sent it: what most of a recorded stream is.
static void make_usual(bus_pack *p)
{
    static uint8_t usual[8192];
    bus_event event;
    bus_pack q = bus_pack_to(usual, sizeof usual);
    test_ok(bus_event_decode_msgpack(&event, (bus_view){(const char *)p->buf, p->len}));
    test_ok(bus_event_encode(&q, &event));
    memcpy(p->buf, usual, q.len);
    p->len = q.len;
}

Test(readdress, equals_the_slow_way_for_any_envelope, .timeout = 60)
{
    static uint8_t in[8192], out[8192 + BUS_READDRESS_GROWTH];
    const char *text = getenv("TL_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 0) : (uint64_t)bus_now_wall().ns;
    fprintf(stderr, "readdress: TL_SEED=%" PRIu64 "\n", seed);
    rng_state = seed | 1;
    for (int round = 0; round < 20000; round++) {
        char subject[BUS_SUBJECT_BUF];
        bus_pack p = bus_pack_to(in, sizeof in), q = bus_pack_to(out, sizeof out);
        put_envelope(&p);
        if (below(2))
            make_usual(&p);
        bus_view payload = {(const char *)in, p.len};
        test_ok(bus_readdress(&q, subject, bus_view_of(act), payload, &to, NULL));
        cr_assert(q.len <= p.len + BUS_READDRESS_GROWTH);
        cr_assert_str_eq(subject, "hyp.mon.exchange.sim.trade.tape.AAA");
        expect_same_event(payload, (bus_view){(const char *)out, q.len});
        expect_same_bytes(payload, (bus_view){(const char *)out, q.len});
    }
}

Test(readdress, subjects_that_are_known_come_out_as_those_that_are_not)
{
    static bus_readdress_memo memo;
    static uint8_t in[256], out[512];
    bus_readdress_to known = to;
    known.memo = &memo;
    rng_state = 77;
    bus_event event = {.id = BUS_VIEW("1"), .source = BUS_VIEW("urn:x"), .type = BUS_VIEW("com.x")};
    bus_pack p = bus_pack_to(in, sizeof in);
    test_ok(bus_event_encode(&p, &event));
    for (int round = 0; round < 5000; round++) { // more subjects than places
        char subject[BUS_SUBJECT_BUF], expected[BUS_SUBJECT_BUF], hyp[BUS_SUBJECT_BUF];
        bool bad = below(10) == 0;
        snprintf(subject, sizeof subject, "act.exchange.sim.trade.tape.S%u%s", below(400),
                 bad ? ".x.y.z" : "");
        bus_pack q = bus_pack_to(out, sizeof out);
        bus_err err = bus_readdress(&q, hyp, bus_view_of(subject),
                                    (bus_view){(const char *)in, p.len}, &known, NULL);
        cr_assert_eq(err, bad ? BUS_EINVAL : BUS_OK);
        if (!bad) {
            snprintf(expected, sizeof expected, "hyp.mon.%s", subject + 4);
            cr_assert_str_eq(hyp, expected);
        }
    }
}

static bus_pack given_an_event(uint8_t *buf, size_t cap)
{
    bus_pack p = bus_pack_to(buf, cap);
    bus_event event = {
        .id = BUS_VIEW("1"),
        .source = BUS_VIEW("urn:x"),
        .type = BUS_VIEW("com.x"),
        .recordedtime = BUS_VIEW("2024-01-01T00:00:01.5Z"),
    };
    test_ok(bus_event_encode(&p, &event));
    return p;
}

Test(readdress, keeps_the_buffer_when_it_is_too_small)
{
    uint8_t in[256], out[512];
    char subject[BUS_SUBJECT_BUF];
    bus_pack p = given_an_event(in, sizeof in);
    bus_pack whole = bus_pack_to(out, sizeof out);
    bus_view payload = {(const char *)in, p.len};
    test_ok(bus_readdress(&whole, subject, bus_view_of(act), payload, &to, NULL));
    for (size_t cap = 0; cap < whole.len; cap++) {
        bus_pack q = bus_pack_to(out, cap);
        test_expect_err(bus_readdress(&q, subject, bus_view_of(act), payload, &to, NULL),
                        BUS_ELIMIT);
        cr_assert(q.len == 0 && !q.overflow);
    }
}

Test(readdress, tells_the_recorded_time)
{
    uint8_t in[256], out[512];
    char subject[BUS_SUBJECT_BUF];
    bus_recorded_time recorded = {7};
    bus_pack p = given_an_event(in, sizeof in), q = bus_pack_to(out, sizeof out);
    test_ok(bus_readdress(&q, subject, bus_view_of(act), (bus_view){(const char *)in, p.len}, &to,
                          &recorded));
    cr_assert_eq(recorded.ns, 1704067201500000000);
}

Test(readdress, refuses_what_is_no_event_of_the_act_lane)
{
    uint8_t in[256], out[512];
    char subject[BUS_SUBJECT_BUF];
    bus_pack p = given_an_event(in, sizeof in), q = bus_pack_to(out, sizeof out);
    bus_view payload = {(const char *)in, p.len};
    const char *bad[] = {"act.other.sim.trade.tape", "hyp.mon.exchange.sim.trade.tape",
                         "sc.x.trading.order.filled", "act.exchange.sim", "other"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        test_expect_err(bus_readdress(&q, subject, bus_view_of(bad[i]), payload, &to, NULL),
                        BUS_EINVAL);
    for (size_t len = 0; len < payload.len; len++) // cut anywhere
        test_expect_err(
            bus_readdress(&q, subject, bus_view_of(act), (bus_view){payload.ptr, len}, &to, NULL),
            BUS_EINVAL);
    // an unset attribute beside its dotted spelling would come out twice
    uint8_t twice[256];
    bus_pack t = bus_pack_to(twice, sizeof twice);
    const char *pairs[] = {"specversion", "1.0", "id",          "1",   "source",     "x",
                           "type",        "y",   "market.lane", "act", "marketlane", NULL};
    bus_pack_map(&t, 6);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        pairs[i] ? bus_pack_str(&t, bus_view_of(pairs[i])) : bus_pack_nil(&t);
    test_expect_err(bus_readdress(&q, subject, bus_view_of(act),
                                  (bus_view){(const char *)twice, t.len}, &to, NULL),
                    BUS_EINVAL);
    cr_assert_eq(q.len, 0);
}
