// msgpack against the reference implementation, and against input that means harm.
// Source: schemas/specs/envelope.md, "msgpack".
#include "bus/event/pack.h"

#include <math.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "test/support/test.h"

TestSuite(pack);

enum { CAP = 1 << 16 };

static bus_view packed(const bus_pack *p)
{
    return (bus_view){(const char *)p->buf, p->len};
}

// --- one random value, packed by both ---------------------------------------------------------------

typedef struct {
    bus_pack ours;
    msgpack_packer theirs;
} both;

static uint64_t random_bits(void)
{
    uint64_t v = (uint64_t)rand() << 42 ^ (uint64_t)rand() << 21 ^ (uint64_t)rand();
    return v >> rand() % 64;
}

static void pack_text(both *b)
{
    char text[300];
    size_t len = (size_t)(rand() % 10 ? rand() % 20 : rand() % 300);
    for (size_t i = 0; i < len; i++)
        text[i] = (char)('a' + rand() % 26);
    bus_pack_str(&b->ours, (bus_view){text, len});
    msgpack_pack_str_with_body(&b->theirs, text, len);
}

static void pack_scalar(both *b)
{
    uint64_t bits = random_bits();
    switch (rand() % 7) {
    case 0:
        bus_pack_nil(&b->ours);
        msgpack_pack_nil(&b->theirs);
        return;
    case 1:
        bus_pack_bool(&b->ours, bits & 1);
        bits & 1 ? msgpack_pack_true(&b->theirs) : msgpack_pack_false(&b->theirs);
        return;
    case 2:
        bus_pack_uint(&b->ours, bits);
        msgpack_pack_uint64(&b->theirs, bits);
        return;
    case 3:
        bus_pack_int(&b->ours, -(int64_t)(bits >> 1));
        msgpack_pack_int64(&b->theirs, -(int64_t)(bits >> 1));
        return;
    case 4:
        bus_pack_double(&b->ours, (double)bits / 3);
        msgpack_pack_double(&b->theirs, (double)bits / 3);
        return;
    case 5:
        bus_pack_bin(&b->ours, (bus_view){(const char *)&bits, bits % 9});
        msgpack_pack_bin_with_body(&b->theirs, &bits, bits % 9);
        return;
    default:
        pack_text(b);
    }
}

static void pack_key(both *b, int n)
{
    char key[16];
    int len = snprintf(key, sizeof key, "k%d", n);
    bus_pack_str(&b->ours, (bus_view){key, (size_t)len});
    msgpack_pack_str_with_body(&b->theirs, key, (size_t)len);
}

static void pack_random(both *b, int depth)
{
    int what = rand() % 4;
    if (depth == 0 || what > 1) {
        pack_scalar(b);
        return;
    }
    int count = rand() % 10 ? rand() % 6 : rand() % 60;
    if (what == 0) {
        bus_pack_array(&b->ours, (uint32_t)count);
        msgpack_pack_array(&b->theirs, (size_t)count);
    } else {
        bus_pack_map(&b->ours, (uint32_t)count);
        msgpack_pack_map(&b->theirs, (size_t)count);
    }
    for (int i = 0; i < count; i++) {
        if (what == 1)
            pack_key(b, i);
        pack_random(b, depth - 1);
    }
}

Test(pack, writes_the_bytes_that_the_reference_writes)
{
    unsigned seed = (unsigned)time(NULL);
    printf("seed %u\n", seed);
    srand(seed);
    static uint8_t buf[CAP * 4];
    for (int round = 0; round < 3000; round++) {
        msgpack_sbuffer sink;
        msgpack_sbuffer_init(&sink);
        both b = {.ours = bus_pack_to(buf, sizeof buf)};
        msgpack_packer_init(&b.theirs, &sink, msgpack_sbuffer_write);
        pack_random(&b, 3);
        cr_assert(b.ours.len == sink.size && memcmp(buf, sink.data, sink.size) == 0, "round %d",
                  round);
        test_ok(bus_pack_validate(packed(&b.ours), NULL));
        msgpack_sbuffer_destroy(&sink);
    }
}

Test(pack, survives_json_and_back)
{
    unsigned seed = (unsigned)time(NULL);
    printf("seed %u\n", seed);
    srand(seed);
    static uint8_t buf[CAP * 4], again[CAP * 4];
    for (int round = 0; round < 2000; round++) {
        msgpack_sbuffer sink;
        msgpack_sbuffer_init(&sink);
        both b = {.ours = bus_pack_to(buf, sizeof buf)};
        msgpack_packer_init(&b.theirs, &sink, msgpack_sbuffer_write);
        pack_random(&b, 3);
        msgpack_sbuffer_destroy(&sink);
        char *json, *twice;
        size_t len;
        test_ok(bus_pack_to_json(&json, &len, packed(&b.ours)));
        bus_pack p = bus_pack_to(again, sizeof again);
        test_ok(bus_pack_from_json(&p, (bus_view){json, len}));
        test_ok(bus_pack_to_json(&twice, NULL, packed(&p)));
        cr_assert_str_eq(json, twice); // bytes become base64 text, so the packed forms may differ
        free(json);
        free(twice);
    }
}

// --- input that means harm --------------------------------------------------------------------------

static const struct {
    const char *what;
    const char *bytes;
    size_t len;
    const char *says;
} hostile[] = {
#define ROW(what, bytes, says)                                                                     \
    {                                                                                              \
        what, bytes, sizeof(bytes) - 1, says                                                       \
    }
    ROW("nothing", "", "ends inside"),
    ROW("array32 of 4 G", "\xdd\xff\xff\xff\xff", "needs at least"),
    ROW("map32 of 4 G", "\xdf\xff\xff\xff\xff", "needs at least"),
    ROW("nested array32", "\xdd\x00\x00\x00\x01\xdd\xff\xff\xff\xff", "needs at least"),
    ROW("str32 beyond the end",
        "\xdb\xff\xff\xff\xff"
        "a",
        "cut short"),
    ROW("bin8 beyond the end",
        "\xc4\x05"
        "a",
        "cut short"),
    ROW("half a number", "\xcf\x00\x00", "cut short"),
    ROW("never used byte", "\xc1", "not allowed"),
    ROW("foreign extension", "\xd4\x05\x00", "not allowed"),
    ROW("timestamp with 2 G nanoseconds",
        "\xc7\x0c\xff\x77\x35\x94\x00\x00\x00\x00\x00\x00\x00\x00\x00", "timestamp"),
    ROW("something behind", "\xc0\xc0", "follow"),
    ROW("a key twice",
        "\x82\xa1"
        "a\x01\xa1"
        "a\x02",
        "stands twice"),
    ROW("a number as key", "\x81\x01\x02", "key must be a string"),
    ROW("bad UTF-8", "\xa2\xc0\x80", "UTF-8"),
    ROW("surrogate", "\xa3\xed\xa0\x80", "UTF-8"),
    ROW("beyond Unicode", "\xa4\xf4\x90\x80\x80", "UTF-8"),
    ROW("cut character", "\xa1\xc3", "UTF-8"),
#undef ROW
};

Test(pack, refuses_hostile_bytes_and_says_why)
{
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        bus_err err = bus_pack_validate((bus_view){hostile[i].bytes, hostile[i].len}, NULL);
        cr_expect(err == BUS_EINVAL, "%s: accepted", hostile[i].what);
        cr_expect(strstr(bus_err_text(), hostile[i].says), "%s says: %s", hostile[i].what,
                  bus_err_text());
    }
}

Test(pack, nesting_and_number_of_values_are_bounded)
{
    char deep[200];
    memset(deep, '\x91', sizeof deep);
    deep[32] = '\xc0';
    test_ok(bus_pack_validate((bus_view){deep, 33}, NULL));
    deep[32] = '\x91';
    deep[33] = '\xc0';
    test_expect_err(bus_pack_validate((bus_view){deep, 34}, NULL), BUS_ELIMIT);

    // 150 bytes of array headers that promise 240 GB
    char bomb[150];
    for (size_t i = 0; i < sizeof bomb; i += 5)
        memcpy(bomb + i, "\xdd\x7f\xff\xff\xff", 5);
    test_expect_err(bus_pack_validate((bus_view){bomb, sizeof bomb}, NULL), BUS_EINVAL);
    bus_cursor c = bus_cursor_of((bus_view){bomb, sizeof bomb});
    cr_assert(!bus_cursor_skip(&c, NULL));

    static char many[70000];
    memcpy(many, "\xdd\x00\x01\x11\x6b", 5); // 69,995 times 0
    test_expect_err(bus_pack_validate((bus_view){many, sizeof many}, NULL), BUS_ELIMIT);
    test_ok(
        bus_pack_validate((bus_view){many, sizeof many}, &(bus_pack_limits){.nodes_max = 70000}));
}

Test(pack, a_key_given_twice_is_found_in_a_map_of_any_size)
{
    static uint8_t buf[CAP * 4];
    for (uint32_t n = 2; n < 3000; n = n * 3 / 2 + 1) {
        for (int twice = 0; twice < 2; twice++) {
            bus_pack p = bus_pack_to(buf, sizeof buf);
            bus_pack_map(&p, n);
            for (uint32_t i = 0; i < n; i++) {
                char key[24];
                // the same ends and length, so that a hash of the ends alone would meet its worst
                snprintf(key, sizeof key, "aaaaaaaa%06ubbbbbbbb",
                         twice && i == n - 1 ? n / 2 - 1 : i);
                bus_pack_key(&p, key);
                bus_pack_array(&p, 1);
                bus_pack_uint(&p, i);
            }
            bus_err err = bus_pack_validate(packed(&p), NULL);
            cr_assert((err == BUS_EINVAL) == twice, "%u keys: %s", n, bus_err_text());
        }
    }
}

Test(pack, every_cut_of_a_value_is_refused)
{
    uint8_t buf[256];
    bus_pack p = bus_pack_to(buf, sizeof buf);
    test_ok(bus_pack_from_json(
        &p, bus_view_of(
                "{\"a\":[1,-2,3.5,\"text\",true,null,300,70000,5000000000],\"b\":{\"c\":\"d\"}}")));
    for (size_t cut = 0; cut < p.len; cut++) {
        bus_view part = {(const char *)buf, cut};
        test_expect_err(bus_pack_validate(part, NULL), BUS_EINVAL);
        bus_cursor c = bus_cursor_of(part);
        cr_assert(!bus_cursor_skip(&c, NULL));
    }
}

Test(pack, a_full_buffer_is_noticed_once_and_nothing_is_written_beyond)
{
    uint8_t buf[8] = {0};
    bus_pack p = bus_pack_to(buf, 6);
    bus_pack_str(&p, BUS_VIEW("hello"));
    cr_assert(!p.overflow && p.len == 6);
    bus_pack_nil(&p);
    cr_assert(p.overflow && p.len == 6 && buf[6] == 0);
}

// --- reading ----------------------------------------------------------------------------------------

Test(pack, a_map_is_asked_by_key_and_type)
{
    uint8_t buf[256];
    bus_pack p = bus_pack_to(buf, sizeof buf);
    test_ok(
        bus_pack_from_json(&p, bus_view_of("{\"skip\":[[1],{}],\"s\":\"x\",\"i\":-5,\"b\":true}")));
    bus_view text;
    int64_t number;
    bool flag;
    cr_assert(bus_map_str(packed(&p), "s", &text) && bus_view_is(text, "x"));
    cr_assert(bus_map_int(packed(&p), "i", &number) && number == -5);
    cr_assert(bus_map_bool(packed(&p), "b", &flag) && flag);
    cr_assert(!bus_map_str(packed(&p), "i", &text) && !bus_map_int(packed(&p), "none", &number));
    cr_assert(!bus_map_str((bus_view){0}, "s", &text));
}

Test(pack, timestamps_are_read_in_their_three_lengths)
{
    static const struct {
        const char *bytes;
        size_t len;
        int64_t ns;
    } rows[] = {
        {"\xd6\xff\x00\x00\x00\x01", 6, 1000000000},
        {"\xd7\xff\x00\x00\x00\x04\x00\x00\x00\x01", 10, 1000000001},
        {"\xc7\x0c\xff\x00\x00\x00\x02\xff\xff\xff\xff\xff\xff\xff\xff", 15, -1000000000 + 2},
    };
    for (size_t i = 0; i < 3; i++) {
        bus_pack_value value;
        bus_cursor c = bus_cursor_of((bus_view){rows[i].bytes, rows[i].len});
        cr_assert(bus_cursor_next(&c, &value) && value.kind == BUS_PACK_TIME);
        cr_assert(value.as.integer == rows[i].ns);
    }
}

// --- JSON -------------------------------------------------------------------------------------------

static const struct {
    const char *in, *out;
} numbers[] = {
    {"0", "0"},
    {"-0", "0"},
    {"18446744073709551615", "18446744073709551615"},
    {"18446744073709551616", "1.8446744073709552e+19"},
    {"-9223372036854775808", "-9223372036854775808"},
    {"-9223372036854775809", "-9.223372036854776e+18"},
    {"1.0", "1.0"},
    {"1e2", "100.0"},
    {"0.1", "0.1"},
    {"1.7976931348623157e308", "1.7976931348623157e+308"},
    {"[ ]", "[]"},
    {" { \"a\" : [ 1 , { } , [ ] ] } ", "{\"a\":[1,{},[]]}"},
    {"\"\\u00e9\\ud83d\\ude00\\n\\u0000\\/\"", "\"é😀\\n\\u0000/\""},
};

Test(pack, json_numbers_and_text_keep_their_value)
{
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        uint8_t buf[256];
        char *out;
        bus_pack p = bus_pack_to(buf, sizeof buf);
        test_ok(bus_pack_from_json(&p, bus_view_of(numbers[i].in)));
        test_ok(bus_pack_to_json(&out, NULL, packed(&p)));
        cr_expect_str_eq(out, numbers[i].out);
        free(out);
    }
}

Test(pack, text_that_is_no_json_is_refused_with_its_place)
{
    static const char *const bad[] = {
        "",          "{",       "[1,]",     "{\"a\":1,}", "{a:1}",       "01",
        "1.",        "+1",      ".5",       "1e",         "1e999",       "nul",
        "\"a",       "\"\\x\"", "[1 2]",    "{\"a\" 1}",  "\"\\ud800\"", "\"\\udc00\"",
        "\"\\u12\"", "\"\t\"",  "\"\xff\"", "1 1",        "]",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t buf[256];
        bus_pack p = bus_pack_to(buf, sizeof buf);
        bus_err err = bus_pack_from_json(&p, bus_view_of(bad[i]));
        cr_expect(err == BUS_EINVAL, "accepted '%s'", bad[i]);
        cr_expect(strstr(bus_err_text(), "byte "), "'%s' says: %s", bad[i], bus_err_text());
        cr_expect(p.len == 0 && !p.overflow);
    }
}

Test(pack, names_the_key_that_stands_twice_in_an_object)
{
    uint8_t buf[64];
    bus_pack p = bus_pack_to(buf, sizeof buf);
    test_expect_err(bus_pack_from_json(&p, BUS_VIEW("{\"a\":{\"b\":1,\"b\":2}}")), BUS_EINVAL);
    cr_assert_str_eq(bus_err_text(), "JSON of 19 bytes: key 'b' is given twice in one object");
}

Test(pack, long_containers_get_their_longer_headers)
{
    static char text[400000];
    static uint8_t buf[400000];
    static const int counts[] = {15, 16, 300, 70000};
    for (int k = 0; k < 4; k++) {
        size_t at = 0;
        text[at++] = '[';
        for (int i = 0; i < counts[k]; i++)
            at += (size_t)sprintf(text + at, "%s[%d]", i ? "," : "", i % 7);
        text[at++] = ']';
        bus_pack p = bus_pack_to(buf, sizeof buf);
        test_ok(bus_pack_from_json(&p, (bus_view){text, at}));
        char *out;
        size_t len;
        test_ok(bus_pack_to_json(&out, &len, packed(&p)));
        cr_assert(len == at && memcmp(out, text, at) == 0);
        free(out);
    }
}

Test(pack, what_json_cannot_hold_is_refused)
{
    uint8_t buf[16];
    char *out = NULL;
    bus_pack p = bus_pack_to(buf, sizeof buf);
    bus_pack_double(&p, NAN);
    test_expect_err(bus_pack_to_json(&out, NULL, packed(&p)), BUS_EINVAL);
    cr_assert(!out);
    uint8_t little[3];
    p = bus_pack_to(little, sizeof little);
    test_expect_err(bus_pack_from_json(&p, bus_view_of("\"longer than that\"")), BUS_ELIMIT);
    p = bus_pack_to(little, sizeof little);
    test_expect_err(bus_pack_from_json(&p, bus_view_of("\"\\nlonger than that\"")), BUS_ELIMIT);
}
