// The envelope in its three forms. Source: schemas/specs/envelope.md.
#include "bus/event/event.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "test/support/data.h"
#include "test/support/test.h"

TestSuite(event);

enum { CAP = 1 << 17, HEADERS_MAX = 64 };

// --- the three forms ----------------------------------------------------------------------------------

typedef struct {
    char *names[HEADERS_MAX], *values[HEADERS_MAX];
    bus_header list[HEADERS_MAX];
    size_t count;
} headers;

static void collect(void *ctx, const char *name, const char *value)
{
    headers *h = ctx;
    cr_assert(h->count < HEADERS_MAX);
    h->names[h->count] = strdup(name);
    h->values[h->count] = strdup(value);
    h->list[h->count] =
        (bus_header){bus_view_of(h->names[h->count]), bus_view_of(h->values[h->count])};
    h->count++;
}

static void headers_release(headers *h)
{
    for (size_t i = 0; i < h->count; i++) {
        free(h->names[i]);
        free(h->values[i]);
    }
}

static bus_view packed(const bus_pack *p)
{
    return (bus_view){(const char *)p->buf, p->len};
}

// Every attribute of an event's JSON text as its canonical string, and the data, as one JSON text with sorted keys:
// by jansson alone.
static char *canonical_of(bus_view json)
{
    char *text;
    json_t *object = json_loadb(json.ptr, json.len, 0, NULL), *value;
    const char *name;
    void *next;
    cr_assert(object, "%.*s", BUS_VIEW_ARG(json));
    json_object_foreach_safe (object, next, name, value) {
        char number[32];
        if (!strcmp(name, "data") || !strcmp(name, "data_base64"))
            continue;
        if (json_is_integer(value)) {
            snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
            json_object_set_new(object, name, json_string(number));
        } else if (json_is_boolean(value)) {
            json_object_set_new(object, name, json_string(json_is_true(value) ? "true" : "false"));
        } else if (json_is_null(value)) {
            json_object_del(object, name); // as if it were not there
        }
    }
    text = json_dumps(object, JSON_SORT_KEYS | JSON_COMPACT);
    json_decref(object);
    return text;
}

static char *canonical(const bus_event *event)
{
    char *text;
    test_ok(bus_event_encode_json(&text, NULL, event));
    char *out = canonical_of(bus_view_of(text));
    free(text);
    return out;
}

// JSON -> msgpack -> headers -> JSON; what comes out must be what went in.
static void travel(bus_view json)
{
    static uint8_t buf[CAP];
    bus_scratch a = {0}, b = {0}, c = {0};
    bus_event first, second, third;
    test_ok(bus_event_decode_json(&first, json, &a));
    char *given = canonical_of(json), *before = canonical(&first);
    cr_assert_str_eq(given, before, "given %s, decoded %s", given, before);
    free(given);

    bus_pack p = bus_pack_to(buf, sizeof buf);
    test_ok(bus_event_encode(&p, &first));
    test_ok(bus_event_decode_msgpack(&second, packed(&p)));
    char *between = canonical(&second);
    cr_assert_str_eq(before, between);

    headers h = {0};
    bus_view payload;
    test_ok(bus_event_encode_headers(&second, &b, &payload, collect, &h));
    test_ok(bus_event_decode_headers(&third, h.list, h.count, payload, &c));
    char *after = canonical(&third);
    // beside a bare payload the implied JSON is said aloud
    if (first.datacontenttype.len == 0 && first.data.len) {
        third.datacontenttype = (bus_view){0};
        free(after);
        after = canonical(&third);
    }
    cr_assert_str_eq(before, after);

    headers_release(&h);
    free(before);
    free(between);
    free(after);
    bus_scratch_release(&a);
    bus_scratch_release(&b);
    bus_scratch_release(&c);
}

// --- the official vectors ------------------------------------------------------------------------------

static json_t *load(const char *file)
{
    char name[128];
    json_error_t error;
    snprintf(name, sizeof name, "cloudevents/%s", file);
    json_t *root = json_load_file(test_data(name), 0, &error);
    cr_assert(root, "%s: %s", file, error.text);
    return root;
}

Test(event, the_official_valid_events_survive_every_form)
{
    json_t *root = load("valid-events.json"), *test;
    size_t i;
    json_array_foreach (json_object_get(root, "tests"), i, test) {
        char *text = json_dumps(json_object_get(test, "event"), 0);
        travel(bus_view_of(text));
        free(text);
    }
    cr_assert(i == 10);
    json_decref(root);
}

Test(event, the_official_invalid_events_are_refused)
{
    json_t *root = load("invalid-events.json"), *test;
    bus_scratch scratch = {0};
    size_t i;
    json_array_foreach (json_object_get(root, "tests"), i, test) {
        bus_event event;
        char *text = json_dumps(json_object_get(test, "event"), 0);
        bus_err err = bus_event_decode_json(&event, bus_view_of(text), &scratch);
        cr_expect(err == BUS_EINVAL, "accepted %s", text);
        free(text);
    }
    cr_assert(i == 25);
    bus_scratch_release(&scratch);
    json_decref(root);
}

Test(event, the_events_of_official_batches_are_judged_one_by_one)
{
    static const char *const files[] = {"valid-batches.json", "invalid-batches.json"};
    bus_scratch scratch = {0};
    for (int f = 0; f < 2; f++) {
        json_t *root = load(files[f]), *test, *one;
        size_t i, j;
        json_array_foreach (json_object_get(root, "tests"), i, test) {
            int refused = 0;
            json_array_foreach (json_object_get(test, "batch"), j, one) {
                bus_event event;
                char *text = json_dumps(one, JSON_ENCODE_ANY);
                refused += bus_event_decode_json(&event, bus_view_of(text), &scratch) != BUS_OK;
                free(text);
            }
            cr_expect((refused > 0) == (f == 1), "%s test %zu", files[f], i);
        }
        json_decref(root);
    }
    bus_scratch_release(&scratch);
}

// --- values that travel ---------------------------------------------------------------------------------

static const char *const travellers[] = {
    "{\"specversion\":\"1.0\",\"id\":\"a "
    "b%\\\"\xc3\xa9\xf0\x9f\x98\x80\",\"source\":\"urn:x\",\"type\":\"t\"}",
    "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\",\"data\":{\"p\":\"1."
    "50\",\"l\":[[\"1\",\"2\"]],\"n\":9223372036854775807}}",
    "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\",\"data\":null}",
    "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\",\"data\":\"text\"}",
    "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\",\"datacontenttype\":"
    "\"application/octet-stream\",\"data_base64\":\"/wABAg==\"}",
    "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\",\"datacontenttype\":"
    "\"application/vnd.x+json; charset=utf-8\",\"data\":[1,2.5]}",
    "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\",\"datacontenttype\":"
    "\"application/msgpack\",\"data\":{\"a\":[true,null]}}",
    "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\",\"ext1\":-2147483648,"
    "\"ext2\":false,\"ext3\":\"\",\"ext4\":\"x y\"}",
    "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\",\"time\":\"2024-02-"
    "29T23:59:60.123456789+05:30\",\"walltime\":\"2024-08-08T23:54:13.937085768Z\",\"marketlane\":"
    "\"hyp\",\"marketselector\":\"mon\",\"causationseq\":\"18446744073709551615\"}",
};

Test(event, values_of_every_kind_survive_every_form)
{
    for (size_t i = 0; i < sizeof travellers / sizeof *travellers; i++)
        travel(bus_view_of(travellers[i]));
}

static void put_text(char **at, const char *const *pieces, int count)
{
    for (int n = 1 + rand() % 8; n; n--)
        *at += sprintf(*at, "%s", pieces[rand() % count]);
}

Test(event, random_events_survive_every_form)
{
    static const char *const pieces[] = {"a",    "Z9", "-",  " ", "%", "%41", "\\\"",
                                         "\\\\", "é",  "漢", "😀", "~", "=",   "."};
    static const char *const names[] = {"exchange", "runid", "replytopic", "scenarioid",
                                        "foo",      "bar9",  "x",          "subject"};
    unsigned seed = (unsigned)time(NULL);
    printf("seed %u\n", seed);
    srand(seed);
    for (int round = 0; round < 3000; round++) {
        char text[4096], *at = text;
        at += sprintf(at, "{\"specversion\":\"1.0\",\"source\":\"urn:x:%d\",\"id\":\"", rand());
        put_text(&at, pieces, 14);
        at += sprintf(at, "\",\"type\":\"");
        put_text(&at, pieces, 14);
        for (int i = 0; i < 8; i++) {
            if (rand() % 2)
                continue;
            at += sprintf(at, "\",\"%s\":\"", names[i]);
            put_text(&at, pieces, 14);
        }
        at += sprintf(at, "\",\"num\":%d,\"flag\":%s", rand() - RAND_MAX / 2,
                      rand() % 2 ? "true" : "false");
        if (rand() % 2) {
            at += sprintf(at, ",\"data\":{\"v\":%d,\"t\":\"", rand());
            put_text(&at, pieces, 14);
            at += sprintf(at, "\"}");
        }
        at += sprintf(at, "}");
        travel((bus_view){text, (size_t)(at - text)});
    }
}

Test(event, extensions_keep_their_type_in_json_and_msgpack)
{
    static const char text[] = "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":"
                               "\"t\",\"aa\":7,\"bb\":true,\"cc\":\"7\"}";
    static uint8_t buf[CAP];
    bus_scratch scratch = {0};
    bus_event event, again;
    test_ok(bus_event_decode_json(&event, BUS_VIEW(text), &scratch));
    cr_assert(event.extra_count == 3);
    bus_pack p = bus_pack_to(buf, sizeof buf);
    test_ok(bus_event_encode(&p, &event));
    test_ok(bus_event_decode_msgpack(&again, packed(&p)));
    char *out;
    test_ok(bus_event_encode_json(&out, NULL, &again));
    cr_assert_str_eq(out, text);
    free(out);
    // bytes: bin in msgpack, base64 in JSON
    uint8_t bytes[8];
    bus_pack bin = bus_pack_to(bytes, sizeof bytes);
    bus_pack_bin(&bin, BUS_VIEW("Ma"));
    again.extra[2].packed = packed(&bin);
    test_ok(bus_event_encode_json(&out, NULL, &again));
    cr_assert(strstr(out, "\"cc\":\"TWE=\""));
    free(out);
    bus_scratch_release(&scratch);
}

Test(event, dotted_spellings_are_read_and_never_written)
{
    static const char text[] =
        "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\",\"market.lane\":"
        "\"hyp\",\"market.selector\":\"mon\",\"portfolio.lane\":\"act\",\"strategy.lane\":\"act\"}";
    bus_scratch scratch = {0};
    bus_event event;
    test_ok(bus_event_decode_json(&event, BUS_VIEW(text), &scratch));
    cr_assert(bus_view_is(event.marketlane, "hyp") && bus_view_is(event.marketselector, "mon"));
    char *out;
    test_ok(bus_event_encode_json(&out, NULL, &event));
    cr_assert_str_eq(
        out, "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\",\"marketlane\":"
             "\"hyp\","
             "\"marketselector\":\"mon\",\"portfoliolane\":\"act\",\"strategylane\":\"act\"}");
    free(out);
    bus_header dotted[] = {{BUS_VIEW("ce-specversion"), BUS_VIEW("1.0")},
                           {BUS_VIEW("Ce-Id"), BUS_VIEW("1")},
                           {BUS_VIEW("ce-source"), BUS_VIEW("s")},
                           {BUS_VIEW("ce-type"), BUS_VIEW("t")},
                           {BUS_VIEW("ce-market.lane"), BUS_VIEW("act")}};
    test_ok(bus_event_decode_headers(&event, dotted, 5, (bus_view){0}, &scratch));
    cr_assert(bus_view_is(event.marketlane, "act"));
    bus_scratch_release(&scratch);
}

// --- what is refused --------------------------------------------------------------------------------------

static const struct {
    const char *members, *says;
} refused[] = {
    {"\"id\":\"x\\u0007y\"", "control"},
    {"\"id\":\"x\\ufffe\"", "noncharacters"},
    {"\"id\":null", "'id' is missing"},
    {"\"id\":\"1\",\"subject\":\"\"", "must not be empty"},
    {"\"id\":\"1\",\"time\":\"2023-02-29T00:00:00Z\"", "RFC 3339"},
    {"\"id\":\"1\",\"time\":\"2023-02-28T00:00:00.1234567890Z\"", "9 fractional"},
    {"\"id\":\"1\",\"walltime\":\"yesterday\"", "'walltime'"},
    {"\"id\":\"1\",\"dataschema\":\"no-scheme\"", "absolute URI"},
    {"\"id\":\"1\",\"foo\":2147483648", "32-bit"},
    {"\"id\":\"1\",\"foo\":1.5", "32-bit"},
    {"\"id\":\"1\",\"foo\":{}", "32-bit"},
    {"\"id\":\"1\",\"Foo\":\"x\"", "[a-z0-9]"},
    {"\"id\":\"1\",\"runid\":5", "must be a string"},
    {"\"id\":\"1\",\"market.lane\":\"act\",\"marketlane\":\"act\"", "twice"},
    {"\"id\":\"1\",\"foo\":\"a\",\"foo\":\"b\"", "twice"},
    {"\"id\":\"1\",\"data_base64\":\"a\"", "base64"},
    {"\"id\":\"1\",\"data_base64\":7", "string"},
};

Test(event, a_broken_rule_names_the_attribute)
{
    bus_scratch scratch = {0};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char text[512];
        bus_event event;
        int len = snprintf(text, sizeof text,
                           "{\"specversion\":\"1.0\",\"source\":\"s\",\"type\":\"t\",%s}",
                           refused[i].members);
        bus_err err = bus_event_decode_json(&event, (bus_view){text, (size_t)len}, &scratch);
        cr_expect(err == BUS_EINVAL, "accepted %s", text);
        cr_expect(strstr(bus_err_text(), refused[i].says), "%s says: %s", text, bus_err_text());
    }
    bus_scratch_release(&scratch);
}

static const struct {
    const char *value, *says;
} bad_headers[] = {
    {"a%4", "two hex digits"},
    {"a%zz", "two hex digits"},
    {"%C0%A0", "UTF-8"},
    {"%00", "control"},
};

Test(event, header_values_are_decoded_once_and_strictly)
{
    bus_scratch scratch = {0};
    bus_event event;
    bus_header list[] = {{BUS_VIEW("ce-specversion"), BUS_VIEW("1.0")},
                         {BUS_VIEW("ce-source"), BUS_VIEW("s")},
                         {BUS_VIEW("ce-type"), BUS_VIEW("t")},
                         {BUS_VIEW("ce-id"), BUS_VIEW("Euro%20%E2%82%AC%20%2541%f0%9f%98%80")},
                         {BUS_VIEW("Nats-Msg-Id"), BUS_VIEW("%%%")}};
    test_ok(bus_event_decode_headers(&event, list, 5, (bus_view){0}, &scratch));
    cr_assert(bus_view_is(event.id, "Euro € %41😀"));
    list[3].value = BUS_VIEW("\"quo\\\"ted\"");
    test_ok(bus_event_decode_headers(&event, list, 5, (bus_view){0}, &scratch));
    cr_assert(bus_view_is(event.id, "quo\"ted"));
    for (size_t i = 0; i < sizeof bad_headers / sizeof *bad_headers; i++) {
        list[3].value = bus_view_of(bad_headers[i].value);
        test_expect_err(bus_event_decode_headers(&event, list, 5, (bus_view){0}, &scratch),
                        BUS_EINVAL);
        cr_expect(strstr(bus_err_text(), bad_headers[i].says) && strstr(bus_err_text(), "ce-id"),
                  "%s", bus_err_text());
    }
    test_expect_err(bus_event_decode_headers(&event, list + 1, 2, (bus_view){0}, &scratch),
                    BUS_EINVAL);
    bus_scratch_release(&scratch);
}

Test(event, the_form_is_guessed_when_nobody_names_it)
{
    static uint8_t buf[CAP];
    bus_scratch scratch = {0};
    bus_event event, again;
    bus_view json = bus_view_of(travellers[1]);
    test_ok(bus_event_decode(&event, (bus_view){0}, json, &scratch));
    bus_pack p = bus_pack_to(buf, sizeof buf);
    test_ok(bus_event_encode(&p, &event));
    test_ok(bus_event_decode(&again, (bus_view){0}, packed(&p), &scratch));
    test_ok(bus_event_decode(&again, BUS_VIEW("Application/CloudEvents+MsgPack; x=y"), packed(&p),
                             &scratch));
    test_expect_err(bus_event_decode(&again, BUS_VIEW(BUS_CONTENT_JSON), packed(&p), &scratch),
                    BUS_EINVAL);
    test_expect_err(
        bus_event_decode(&again, BUS_VIEW("application/cloudevents-batch+json"), json, &scratch),
        BUS_EUNSUPPORTED);
    test_expect_err(bus_event_decode(&again, (bus_view){0}, BUS_VIEW("hello"), &scratch),
                    BUS_EINVAL);
    test_expect_err(bus_event_decode(&again, (bus_view){0}, (bus_view){0}, &scratch), BUS_EINVAL);
    bus_scratch_release(&scratch);
}

Test(event, a_failed_decode_leaves_the_event_untouched)
{
    bus_event event, before;
    memset(&event, 0x5a, sizeof event);
    before = event;
    test_expect_err(bus_event_decode_msgpack(&event, BUS_VIEW("\x81\xa2id\xa1x")), BUS_EINVAL);
    cr_assert(memcmp(&event, &before, sizeof event) == 0);
}

Test(event, more_than_the_bound_is_refused_with_both_numbers)
{
    static uint8_t buf[CAP];
    static char big[70000];
    memset(big, 'x', sizeof big);
    bus_pack data = bus_pack_to(malloc(80000), 80000), p = bus_pack_to(buf, sizeof buf);
    bus_pack_str(&data, (bus_view){big, sizeof big});
    bus_event event = {
        .id = BUS_VIEW("1"), .source = BUS_VIEW("s"), .type = BUS_VIEW("t"), .data = packed(&data)};
    test_expect_err(bus_event_encode(&p, &event), BUS_ELIMIT);
    cr_assert(p.len == 0 && strstr(bus_err_text(), "65536") && strstr(bus_err_text(), "700"), "%s",
              bus_err_text());
    bus_event_set_size_max(1 << 20);
    test_ok(bus_event_encode(&p, &event));
    bus_event_set_size_max(BUS_EVENT_SIZE_MAX);
    test_expect_err(bus_event_decode_msgpack(&event, packed(&p)), BUS_ELIMIT);
    bus_pack little = bus_pack_to(buf, 40);
    event = (bus_event){
        .id = BUS_VIEW("a long enough id"), .source = BUS_VIEW("source"), .type = BUS_VIEW("type")};
    test_expect_err(bus_event_encode(&little, &event), BUS_ELIMIT);
    cr_assert(little.len == 0 && !little.overflow);
    free(data.buf);
}

Test(event, more_extensions_than_are_kept_is_an_error_not_a_loss)
{
    static uint8_t buf[CAP];
    bus_pack p = bus_pack_to(buf, sizeof buf);
    bus_pack_map(&p, 4 + BUS_EVENT_EXTRA_MAX + 1);
    static const char *const fixed[] = {"specversion", "1.0", "id",   "1",
                                        "source",      "s",   "type", "t"};
    for (int i = 0; i < 8; i++)
        bus_pack_key(&p, fixed[i]);
    for (int i = 0; i <= BUS_EVENT_EXTRA_MAX; i++) {
        char name[8];
        snprintf(name, sizeof name, "x%d", i);
        bus_pack_key(&p, name);
        bus_pack_bool(&p, true);
    }
    bus_event event;
    test_expect_err(bus_event_decode_msgpack(&event, packed(&p)), BUS_ELIMIT);
}

// --- the usual form and the long way ------------------------------------------------------------------

static const char usual[] =
    "{\"specversion\":\"1.0\",\"id\":\"trade.BTCUSDT.77\",\"source\":\"urn:com.virtufin.exchange."
    "binance\","
    "\"type\":\"com.virtufin.exchange.binance.trade.tape\",\"subject\":\"currency_pair/BTCUSDT\","
    "\"time\":\"2024-08-08T23:54:13.000000123Z\",\"datacontenttype\":\"application/json\","
    "\"exchange\":\"binance\",\"clocktype\":\"wall\",\"recordedtime\":\"2024-08-08T23:54:13.1Z\","
    "\"walltime\":\"2024-08-08T23:54:13.2Z\",\"marketlane\":\"act\","
    "\"data\":{\"price\":\"61000.63\",\"l\":[[\"1\",\"2\"],[]],\"n\":12345}}";

// The same map with one more key that is unset: that is nothing of the usual form, so it goes the long way.
static bus_view the_long_way(bus_view packed_map, uint8_t *buf)
{
    buf[0] = (uint8_t)(packed_map.ptr[0] + 1); // 13 pairs become 14
    memcpy(buf + 1, packed_map.ptr + 1, packed_map.len - 1);
    memcpy(buf + packed_map.len, "\xa3zzz\xc0", 5);
    return (bus_view){(const char *)buf, packed_map.len + 5};
}

static void expect_same(bus_view one, bus_view other)
{
    bus_event a, b;
    bus_err first = bus_event_decode_msgpack(&a, one), second = bus_event_decode_msgpack(&b, other);
    cr_assert_eq(first, second, "%s", bus_err_text());
    if (first)
        return;
    cr_assert_eq(a.extra_count, b.extra_count);
#define X(field, name) cr_assert(bus_view_eq(a.field, b.field), name);
    BUS_EVENT_ATTRIBUTES(X)
#undef X
    cr_assert(bus_view_eq(a.data, b.data));
}

Test(event, the_usual_form_is_read_as_any_other_also_when_a_byte_of_it_is_another)
{
    static uint8_t buf[CAP], longer[CAP];
    static const uint8_t bytes[] = {0x00, 0x1f, ' ',  'a',  'z',  '"',  0x7f,
                                    0x80, 0x8f, 0x93, 0xa0, 0xa1, 0xbf, 0xc0,
                                    0xc3, 0xcc, 0xd9, 0xda, 0xdc, 0xde, 0xff};
    bus_scratch scratch = {0};
    bus_event event;
    test_ok(bus_event_decode_json(&event, bus_view_of(usual), &scratch));
    bus_pack p = bus_pack_to(buf, sizeof buf);
    test_ok(bus_event_encode(&p, &event));
    cr_assert_eq(buf[0], 0x8d);
    cr_assert_eq(bus_event_pairs(&event), 13);
    for (size_t i = 1; i < p.len; i++) {
        uint8_t was = buf[i];
        for (size_t k = 0; k < sizeof bytes; k++) {
            buf[i] = bytes[k];
            expect_same(packed(&p), the_long_way(packed(&p), longer));
        }
        buf[i] = was;
    }
    for (size_t len = 1; len < p.len; len++) // cut short
        test_expect_err(bus_event_decode_msgpack(&event, (bus_view){(const char *)buf, len}),
                        BUS_EINVAL);
    bus_scratch_release(&scratch);
}
