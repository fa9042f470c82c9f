// JSON <-> protobuf-c. Rules: schemas/specs/services.md, "JSON".
#include <math.h>
#include <stdlib.h>

#include "bus/nats/service.h"
#include "kinds.pb-c.h"
#include "test/support/test.h"

static Test__Kinds__Kinds *read_kinds(const char *json)
{
    ProtobufCMessage *out = NULL;
    test_ok(bus_proto_from_json(&out, &test__kinds__kinds__descriptor, bus_view_of(json)));
    return (Test__Kinds__Kinds *)out;
}

static void release(void *message)
{
    protobuf_c_message_free_unpacked(message, NULL);
}

static char *text_of(const void *message)
{
    char *text = NULL;
    size_t len = 0;
    test_ok(bus_proto_to_json(&text, &len, message));
    cr_assert_eq(strlen(text), len);
    return text;
}

Test(proto_json, writes_every_field_without_presence_in_order)
{
    Test__Kinds__Inner inner = TEST__KINDS__INNER__INIT;
    char *text = text_of(&inner);
    cr_assert_str_eq(text, "{\"name\":\"\",\"number\":0}");
    free(text);
}

Test(proto_json, writes_large_integers_as_strings_and_bytes_as_base64)
{
    Test__Kinds__Kinds k = TEST__KINDS__KINDS__INIT;
    k.u64 = UINT64_MAX;
    k.i64 = INT64_MIN;
    k.u32 = UINT32_MAX;
    k.raw = (ProtobufCBinaryData){4, (uint8_t *)"\xff\xfe\0a"};
    k.color = TEST__KINDS__COLOR__BLUE;
    k.real64 = INFINITY;
    k.publish_change = 1;
    char *text = text_of(&k);
    const char *parts[] = {"\"u64\":\"18446744073709551615\"",
                           "\"i64\":\"-9223372036854775808\"",
                           "\"u32\":4294967295",
                           "\"raw\":\"//4AYQ==\"",
                           "\"color\":\"BLUE\"",
                           "\"real64\":\"Infinity\"",
                           "\"publishChange\":true",
                           "\"texts\":[]",
                           "\"tags\":{}"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        cr_assert(strstr(text, parts[i]), "%s is not in %s", parts[i], text);
    cr_assert(!strstr(text, "choice") && !strstr(text, "inner\":"), "%s", text);
    free(text);
    k.color = (Test__Kinds__Color)77; // enumerations are open
    text = text_of(&k);
    cr_assert(strstr(text, "\"color\":77"));
    free(text);
}

// What one side writes the other reads, and the packed bytes are the same.
Test(proto_json, survives_the_way_there_and_back)
{
    static const char json[] =
        "{\"i32\":-1,\"s32\":-2,\"sf32\":-3,\"u32\":4,\"f32\":5,\"i64\":\"-6\",\"s64\":\"-7\","
        "\"sf64\":\"-8\",\"u64\":\"9\",\"f64\":\"10\",\"real32\":1.5,\"real64\":-0."
        "10000000000000001,"
        "\"flag\":true,\"text\":\"h\xc3\xa4 \\\"x\\\"\",\"raw\":\"AAEC\",\"color\":\"RED\","
        "\"inner\":{\"name\":\"a\",\"number\":1,\"inner\":{\"name\":\"b\",\"number\":2}},"
        "\"texts\":[\"x\",\"\"],\"numbers\":[1,-2],\"inners\":[{\"name\":\"c\",\"number\":3}],"
        "\"colors\":[\"BLUE\",\"RED\"],\"raws\":[\"AA==\",\"\"],\"larges\":["
        "\"18446744073709551615\"],"
        "\"tags\":{\"k\":\"v\",\"\":\"e\"},\"byNumber\":{\"-5\":{\"name\":\"d\",\"number\":4}},"
        "\"choiceInner\":{\"name\":\"e\",\"number\":5},\"publishChange\":true,\"flags\":[true,"
        "false],"
        "\"reals\":[0.5,\"NaN\"]}";
    Test__Kinds__Kinds *k = read_kinds(json);
    cr_assert(k->n_tags == 2 && strcmp(k->tags[0]->key, "k") == 0);
    cr_assert(k->n_by_number == 1 && k->by_number[0]->key == -5);
    cr_assert_eq(k->choice_case, TEST__KINDS__KINDS__CHOICE_CHOICE_INNER);
    cr_assert(isnan(k->reals[1]));
    char *text = text_of(k);
    cr_assert_str_eq(text, json);
    Test__Kinds__Kinds *again = read_kinds(text);
    uint8_t a[1024], b[1024];
    size_t a_len = protobuf_c_message_pack(&k->base, a),
           b_len = protobuf_c_message_pack(&again->base, b);
    cr_assert(a_len == b_len && memcmp(a, b, a_len) == 0);
    free(text);
    release(k);
    release(again);
}

Test(proto_json, accepts_what_the_rules_let_others_write)
{
    Test__Kinds__Kinds *k = read_kinds(
        " {\"publish_change\":true, \"i32\":\"12\", \"i64\":-3, \"u32\":1e3, \"u64\":5.0, "
        "\"color\":5,"
        " \"raw\":\"__4\", \"real64\":\"-Infinity\", \"text\":null, \"texts\":null, \"inner\":null,"
        " \"choiceText\":null, \"choiceNumber\":\"7\"}");
    cr_assert(k->publish_change && k->i32 == 12 && k->i64 == -3 && k->u32 == 1000 && k->u64 == 5);
    cr_assert(k->color == TEST__KINDS__COLOR__BLUE && k->raw.len == 2 && k->raw.data[1] == 0xfe);
    cr_assert(isinf(k->real64) && k->real64 < 0 && !*k->text && !k->inner);
    cr_assert(k->choice_case == TEST__KINDS__KINDS__CHOICE_CHOICE_NUMBER && k->choice_number == 7);
    release(k);
}

static const struct {
    const char *json, *place;
} bad[] = {
    {"", "line 1"},
    {"[]", "$: an object"},
    {"{\"nope\":1}", "$.nope: test.kinds.Kinds has no such field"},
    {"{\"inner\":{\"inner\":{\"x\":1}}}", "$.inner.inner.x"},
    {"{\"texts\":[\"a\",2]}", "$.texts[1]: a string"},
    {"{\"texts\":[null]}", "$.texts[0]: a string"},
    {"{\"texts\":\"a\"}", "$.texts: an array"},
    {"{\"inners\":[{\"name\":\"a\"},{\"number\":\"x\"}]}", "$.inners[1].number: an integer of 32"},
    {"{\"i32\":2147483648}", "$.i32"},
    {"{\"i32\":-2147483649}", "$.i32"},
    {"{\"i32\":1.5}", "$.i32"},
    {"{\"u32\":-1}", "$.u32"},
    {"{\"u64\":\"18446744073709551616\"}", "$.u64"},
    {"{\"i64\":\"9223372036854775808\"}", "$.i64"},
    {"{\"i64\":\"\"}", "$.i64"},
    {"{\"i64\":\" 1\"}", "$.i64"},
    {"{\"flag\":\"true\"}", "$.flag: true or false"},
    {"{\"flag\":1}", "$.flag"},
    {"{\"raw\":\"a\"}", "$.raw: base64"},
    {"{\"raw\":\"a?==\"}", "$.raw: base64"},
    {"{\"color\":\"GREEN\"}", "$.color"},
    {"{\"color\":1.5}", "$.color"},
    {"{\"real64\":\"x\"}", "$.real64: a number"},
    {"{\"tags\":[]}", "$.tags: an object"},
    {"{\"tags\":{\"a\":1}}", "$.tags[\"a\"]: a string"},
    {"{\"byNumber\":{\"x\":{}}}", "$.byNumber[\"x\"]"},
    {"{\"choiceText\":\"a\",\"choiceNumber\":1}", "same choice"},
    {"{\"publishChange\":true,\"publish_change\":true}", "both of its names"},
    {"{\"i32\":1,\"i32\":2}", "duplicate"},
    {"{\"text\":\"\xff\"}", "line 1"},
    {"{} x", "line 1"},
};

Test(proto_json, names_the_place_and_the_rule)
{
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ProtobufCMessage *out = NULL;
        test_expect_err(
            bus_proto_from_json(&out, &test__kinds__kinds__descriptor, bus_view_of(bad[i].json)),
            BUS_EINVAL);
        cr_assert(strstr(bus_err_text(), bad[i].place), "'%s' for '%s'", bus_err_text(),
                  bad[i].json);
        cr_assert_null(out);
    }
}

Test(proto_json, refuses_what_is_nested_too_deep_and_text_that_is_not_utf8)
{
    char json[1024] = "";
    for (int i = 0; i < 40; i++)
        strcat(json, "{\"inner\":");
    strcat(json, "{}");
    for (int i = 0; i < 40; i++)
        strcat(json, "}");
    ProtobufCMessage *out = NULL;
    test_expect_err(bus_proto_from_json(&out, &test__kinds__inner__descriptor, bus_view_of(json)),
                    BUS_ELIMIT);
    Test__Kinds__Inner inner = TEST__KINDS__INNER__INIT;
    inner.name = (char *)"\xff";
    char *text = NULL;
    test_expect_err(bus_proto_to_json(&text, NULL, &inner.base), BUS_EINVAL);
    cr_assert(strstr(bus_err_text(), "name"));
}

// On the wire an entry may lack its value: found by fuzzing.
Test(proto_json, writes_a_map_entry_without_value_as_empty)
{
    ProtobufCMessage *k = protobuf_c_message_unpack(&test__kinds__kinds__descriptor, NULL, 5,
                                                    (const uint8_t *)"\xca\x01\x02\x08\x07");
    cr_assert(k);
    char *text = text_of(k);
    cr_assert(strstr(text, "\"byNumber\":{\"7\":{}}"), "%s", text);
    free(text);
    release(k);
}

Test(proto_json, a_protobuf_text_that_is_not_utf8_is_refused_by_its_place)
{
    static const struct {
        const char *bytes, *place;
    } cases[] = {
        {"\x72\x02h\xff", "text"},                     // 14: text
        {"\x8a\x01\x03\x0a\x01\xff", "inner"},         // 17: inner {1: name}
        {"\x92\x01\x01\xff", "texts"},                 // 18: texts[0]
        {"\xc2\x01\x06\x0a\x01k\x12\x01\x80", "tags"}, // 24: tags["k"]
        {"\xd2\x01\x02\xc3\x28", "choice_text"},       // 26: choice_text
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ProtobufCMessage *out = NULL;
        test_expect_err(
            bus_proto_unpack(&out, &test__kinds__kinds__descriptor, bus_view_of(cases[i].bytes)),
            BUS_EINVAL);
        cr_expect(strstr(bus_err_text(), cases[i].place), "%s", bus_err_text());
    }
    ProtobufCMessage *out = NULL;
    test_ok(bus_proto_unpack(&out, &test__kinds__kinds__descriptor, BUS_VIEW("\x72\x02\xc3\xa4")));
    release(out);
}
