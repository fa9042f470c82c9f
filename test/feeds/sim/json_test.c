#include "feeds/sim/json.h"

#include "test/support/test.h"

static bus_view first_value(const char *text)
{
    bus_view rest = bus_view_of(text), value = {0};
    return sim_json_value(&rest, &value) ? value : (bus_view){0};
}

Test(json, cuts_one_value_off_whatever_follows_it)
{
    static const char *const cases[][2] = {
        {" {\"a\":[1,{\"b\":\"}\"}]} tail", "{\"a\":[1,{\"b\":\"}\"}]}"},
        {"\"a\\\"b\",1", "\"a\\\"b\""},
        {"-1.5e-3]", "-1.5e-3"},
        {"true,false", "true"},
        {"[]", "[]"},
        {"{\"a\":1", ""},
        {"[1}", ""},
        {"\"open", ""},
        {"\"open\\", ""},
        {"", ""},
        {"  ", ""},
        {"*", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_expect(bus_view_is(first_value(cases[i][0]), cases[i][1]), "%s", cases[i][0]);
}

Test(json, refuses_more_than_64_containers_within_containers)
{
    char text[200];
    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    text[128] = 0;
    cr_expect_eq(first_value(text).len, 128);
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    text[130] = 0;
    cr_expect_eq(first_value(text).len, 0);
}

Test(json, walks_members_and_elements_in_order)
{
    sim_json it;
    bus_view key, value;
    int64_t n, sum = 0;
    cr_assert(sim_json_open(&it, BUS_VIEW("{ \"a\" : 1 , \"b\":[2,3],\"c\":-4}")));
    cr_assert(sim_json_member(&it, &key, &value) && bus_view_is(key, "a") &&
              bus_view_is(value, "1"));
    cr_assert(sim_json_member(&it, &key, &value) && bus_view_is(key, "b"));
    sim_json list;
    cr_assert(sim_json_open(&list, value));
    while (sim_json_element(&list, &value) && sim_json_int(value, &n))
        sum += n;
    cr_assert(!list.bad && sum == 5);
    cr_assert(sim_json_member(&it, &key, &value) && sim_json_int(value, &n) && n == -4);
    cr_assert(!sim_json_member(&it, &key, &value) && !it.bad);
}

Test(json, says_when_what_it_walks_is_broken)
{
    static const char *const broken[] = {"{\"a\":1 \"b\":2}", "{\"a\" 1}", "{1:2}",
                                         "{\"a\":}",          "[1 2]",     "[1,]"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        sim_json it;
        bus_view key, value;
        cr_assert(sim_json_open(&it, bus_view_of(broken[i])));
        if (broken[i][0] == '{')
            while (sim_json_member(&it, &key, &value))
                ;
        else
            while (sim_json_element(&it, &value))
                ;
        cr_expect(it.bad, "%s", broken[i]);
    }
}

Test(json, a_string_with_an_escape_is_no_plain_text)
{
    bus_view out;
    cr_expect(sim_json_text(BUS_VIEW("\"abc\""), &out) && bus_view_is(out, "abc"));
    cr_expect(!sim_json_text(BUS_VIEW("\"a\\u0062c\""), &out));
    cr_expect(!sim_json_text(BUS_VIEW("12"), &out));
}
