// Source: schemas/specs/scenarios.md.
#include <stdlib.h>
#include <string.h>

#include "bus/base/err.h"
#include "store/scenario.h"
#include "test/support/test.h"

typedef Virtufin__Api__V1__CreateScenarioRequest request;

static const bus_wall noon = {INT64_C(1700000000000000000)};

static request given_request(const char *id, Virtufin__Api__V1__ScenarioMarket *market,
                             const char *lane, const char *selector)
{
    request r = VIRTUFIN__API__V1__CREATE_SCENARIO_REQUEST__INIT;
    virtufin__api__v1__scenario_market__init(market);
    market->lane = (char *)lane;
    market->selector = (char *)selector;
    r.id = (char *)id;
    r.market = market;
    return r;
}

Test(scenario, takes_the_lanes_it_was_not_given_from_the_market)
{
    Virtufin__Api__V1__ScenarioMarket market;
    request r = given_request("bt1", &market, "hyp", "mon");
    store_scenario s;
    test_ok(store_scenario_create(&s, &r, noon));
    cr_assert_str_eq(s.name, "bt1");
    cr_assert_str_eq(s.selector, "mon");
    cr_assert(s.hyp && s.portfolio_hyp && s.strategy_hyp);
    cr_assert_eq(s.status, STORE_SCENARIO_ACTIVE);
    store_scenario_release(&s);
}

Test(scenario, refuses_what_breaks_a_rule_and_names_it)
{
    static const struct {
        const char *id, *lane, *selector, *says;
    } row[] = {
        {"LIVE", "act", "", "LIVE is reserved"},
        {"live", "act", "", "LIVE is reserved"},
        {"a.b", "act", "", "a.b"},
        {"", "act", "", ""},
        {"abcdefghijklmnopqrstuvwxyz0123456789", "act", "", ""},
        {"x", "act", "mon", "act lane carries no selector"},
        {"x", "hyp", "", "needs a selector"},
        {"x", "hyp", "LiVe", "LiVe"},
        {"x", "hyp", "a b", "a b"},
        {"x", "real", "", "'real'"},
        {"x", "", "", "a lane is 'act' or 'hyp'"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        Virtufin__Api__V1__ScenarioMarket market;
        request r = given_request(row[i].id, &market, row[i].lane, row[i].selector);
        store_scenario s;
        test_expect_err(store_scenario_create(&s, &r, noon), BUS_EINVAL);
        cr_assert(strstr(bus_err_text(), row[i].says), "row %zu: %s", i, bus_err_text());
    }
}

Test(scenario, needs_a_market)
{
    request r = VIRTUFIN__API__V1__CREATE_SCENARIO_REQUEST__INIT;
    store_scenario s;
    r.id = "x";
    test_expect_err(store_scenario_create(&s, &r, noon), BUS_EINVAL);
}

Test(scenario, refuses_a_clock_that_the_market_does_not_have)
{
    Virtufin__Api__V1__ScenarioMarket market;
    request r = given_request("x", &market, "hyp", "mon");
    store_scenario s;
    r.clock = "wall";
    test_expect_err(store_scenario_create(&s, &r, noon), BUS_EINVAL);
}

Test(scenario, refuses_a_parameter_that_is_given_twice)
{
    Virtufin__Api__V1__ScenarioMarket market;
    request r = given_request("x", &market, "act", "");
    Virtufin__Api__V1__ScenarioParameter a = VIRTUFIN__API__V1__SCENARIO_PARAMETER__INIT, b;
    Virtufin__Api__V1__ScenarioParameter *list[] = {&a, &b};
    store_scenario s;
    a.name = "fast";
    a.value = "5";
    b = a;
    r.n_parameters = 2;
    r.parameters = list;
    test_expect_err(store_scenario_create(&s, &r, noon), BUS_EINVAL);
    cr_assert(strstr(bus_err_text(), "'fast' is given twice"));
}

Test(scenario, moves_along_the_table_and_names_both_states_otherwise)
{
    enum { A, P, R, D };
    // may[from][to]
    static const bool may[4][4] = {
        {false, true, true, true},
        {true, false, true, true},
        {true, false, false, true},
        {false, false, false, true},
    };
    for (int from = A; from <= D; from++)
        for (int to = A; to <= D; to++) {
            store_scenario s = {.id = "x", .status = (store_scenario_status)from};
            bus_err err = store_scenario_move(&s, (store_scenario_status)to, noon);
            cr_assert_eq(err, may[from][to] ? BUS_OK : BUS_ESTATE, "%d -> %d", from, to);
            cr_assert_eq((int)s.status, may[from][to] ? to : from);
            if (!err)
                continue;
            cr_assert(
                strstr(bus_err_text(), store_scenario_status_name((store_scenario_status)from)));
            cr_assert(
                strstr(bus_err_text(), store_scenario_status_name((store_scenario_status)to)));
        }
}

Test(scenario, survives_its_json_form)
{
    Virtufin__Api__V1__ScenarioMarket market;
    request r = given_request("bt-1", &market, "hyp", "Mon_1");
    Virtufin__Api__V1__ScenarioStrategy strategy = VIRTUFIN__API__V1__SCENARIO_STRATEGY__INIT;
    Virtufin__Api__V1__ScenarioParameter p1 = VIRTUFIN__API__V1__SCENARIO_PARAMETER__INIT, p2;
    Virtufin__Api__V1__ScenarioParameter *list[] = {&p1, &p2};
    store_scenario s, back;
    char *json;
    size_t len;
    p2 = p1;
    p1.name = "slow";
    p1.value = "20 \"quoted\" \xc3\xbc";
    p2.name = "fast";
    p2.value = "";
    strategy.lane = "act";
    strategy.id = "sma";
    r.strategy = &strategy;
    r.name = "a name";
    r.n_parameters = 2;
    r.parameters = list;
    test_ok(store_scenario_create(&s, &r, noon));
    test_ok(store_scenario_to_json(&s, &json, &len));
    test_ok(store_scenario_from_json(&back, "bt-1", (bus_view){json, len}));
    cr_assert_str_eq(back.name, "a name");
    cr_assert_str_eq(back.selector, "Mon_1");
    cr_assert_str_eq(back.strategy, "sma");
    cr_assert(back.hyp && back.portfolio_hyp && !back.strategy_hyp);
    cr_assert_eq(back.parameters, 2);
    cr_assert_str_eq(back.parameter[0].name, "fast"); // sorted
    cr_assert_str_eq(back.parameter[1].value, p1.value);
    cr_assert_str_eq(back.created, "2023-11-14T22:13:20.000000000Z");
    free(json);
    store_scenario_release(&s);
    store_scenario_release(&back);
}

Test(scenario, says_what_is_wrong_with_a_record)
{
    static const char *const records[] = {
        "",
        "[]",
        "{\"status\":\"active\"",
        "{\"status\":\"asleep\",\"market\":{\"lane\":\"act\"}}",
        "{\"status\":\"active\",\"market\":{\"lane\":7}}",
        "{\"status\":\"active\",\"market\":{\"lane\":\"act\"},\"parameters\":{\"a\":1}}",
    };
    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        store_scenario s;
        test_expect_err(store_scenario_from_json(&s, "x", bus_view_of(records[i])), BUS_EINVAL);
        cr_assert(strstr(bus_err_text(), "record of scenario 'x'"));
    }
}

Test(scenario, seeds_live_on_act_alone)
{
    store_scenario s;
    Virtufin__Api__V1__Scenario *m;
    store_scenario_live(&s, noon);
    test_ok(store_scenario_to_proto(&m, &s));
    cr_assert_str_eq(m->id, "LIVE");
    cr_assert_str_eq(m->market->lane, "act");
    cr_assert_str_eq(m->portfolio->lane, "act");
    cr_assert_str_eq(m->strategy->lane, "act");
    cr_assert_str_eq(m->clock, "wall");
    store_scenario_proto_free(m);
}
