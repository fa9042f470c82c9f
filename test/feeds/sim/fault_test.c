#include "feeds/sim/fault.h"

#include <stdlib.h>

#include "test/support/test.h"

// Source: schemas/specs/simexd.md, "Faults".
Test(fault, is_read_from_json_and_from_a_flag_alike)
{
    sim_faults faults = {.seed = 5};
    sim_fault *a, *b;
    test_ok(sim_fault_from_json(&faults,
                                BUS_VIEW("{\"kind\":\"slow\",\"symbol\":\"BTCUSDT\",\"channel\":"
                                         "\"trade\",\"count\":3,\"for_ms\":70,\"after_frames\":2,"
                                         "\"delay_ms\":9}"),
                                &a));
    test_ok(sim_fault_from_text(
        &faults,
        BUS_VIEW("slow:symbol=BTCUSDT:channel=trade:count=3:for_ms=70:after_frames=2:delay_ms=9"),
        &b));
    cr_expect(a->id == 1 && b->id == 2 && faults.open == 2);
    cr_expect(a->kind == b->kind && a->count == b->count && a->for_ms == b->for_ms &&
              a->after_frames == b->after_frames && a->delay_ms == b->delay_ms &&
              strcmp(a->symbol, b->symbol) == 0 && strcmp(a->channel, b->channel) == 0);
    cr_expect_eq(a->seed, 5);
    sim_faults_release(&faults);
}

Test(fault, a_wrong_field_is_refused_by_name_and_rule)
{
    static const char *const cases[][2] = {
        {"{\"kind\":\"explode\"}", "explode"},
        {"{}", "'kind' is missing"},
        {"[]", "JSON object"},
        {"{\"kind\":\"drop\",\"count\":0}", "'count' must be 1..1000000"},
        {"{\"kind\":\"drop\",\"count\":\"many\"}", "'count'"},
        {"{\"kind\":\"drop\",\"when\":1}", "'when' is no field"},
        {"{\"kind\":\"close\",\"code\":17}", "'code'"},
        {"{\"kind\":\"drop\",\"symbol\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}", "'symbol'"},
        {"{\"kind\":\"drop\"", "JSON"},
    };
    sim_faults faults = {0};
    sim_fault *fault;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        test_expect_err(sim_fault_from_json(&faults, bus_view_of(cases[i][0]), &fault), BUS_EINVAL);
        cr_expect(strstr(bus_err_text(), cases[i][1]), "%s: %s", cases[i][0], bus_err_text());
    }
    cr_expect_eq(faults.count, 0);
}

Test(fault, takes_the_frames_that_match_after_those_that_pass)
{
    sim_faults faults = {0};
    sim_fault *fault;
    bus_mono now = {0};
    test_ok(sim_fault_from_text(&faults, BUS_VIEW("drop:channel=depth:count=2:after_frames=1"),
                                &fault));
    cr_expect_null(sim_faults_take(&faults, "A", "trade", now));
    cr_expect_null(sim_faults_take(&faults, "A", "depth", now));
    cr_expect_eq(sim_faults_take(&faults, "A", "depth", now), fault);
    cr_expect_eq(sim_faults_take(&faults, "B", "depth@1000ms", now), fault);
    cr_expect_null(sim_faults_take(&faults, "A", "depth", now));
    cr_expect(fault->state == SIM_FAULT_DONE && fault->hits == 2 && faults.open == 0);
    sim_faults_release(&faults);
}

Test(fault, at_most_1024_a_run)
{
    sim_faults faults = {0};
    sim_fault *fault;
    for (int i = 0; i < SIM_FAULTS_MAX; i++)
        test_ok(sim_fault_from_text(&faults, BUS_VIEW("drop"), &fault));
    test_expect_err(sim_fault_from_text(&faults, BUS_VIEW("drop"), &fault), BUS_ELIMIT);
    sim_faults_release(&faults);
}
