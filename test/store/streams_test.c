// Source: schemas/specs/streams.md.
#include <string.h>

#include "bus/base/err.h"
#include "bus/lane/lane.h"
#include "store/streams.h"
#include "test/support/test.h"

Test(streams, no_subject_belongs_to_two_of_them)
{
    size_t count;
    const store_stream_row *rows = store_stream_rows(&count);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++)
            for (int a = 0; i != j && rows[i].subjects[a]; a++)
                for (int b = 0; rows[j].subjects[b]; b++)
                    cr_assert_not(bus_subject_match(bus_view_of(rows[i].subjects[a]),
                                                    bus_view_of(rows[j].subjects[b])),
                                  "%s and %s", rows[i].name, rows[j].name);
}

Test(streams, requests_are_never_recorded)
{
    // a stream on the subject of a request would answer it with its own acknowledgement
    static const char *const subjects[] = {
        "svc.virtufin.api.v1.Scenarios.Create", "svc.execution.binance.main.1", "_INBOX.a.b",
        "replay.x.done.y", "hyp.mon.exchange.binance.trade.tape.X"};
    size_t count;
    const store_stream_row *rows = store_stream_rows(&count);
    for (size_t i = 0; i < count; i++)
        for (int s = 0; rows[i].subjects[s]; s++)
            for (size_t k = 0; k < sizeof subjects / sizeof *subjects; k++)
                cr_assert_not(
                    bus_subject_match(bus_view_of(rows[i].subjects[s]), bus_view_of(subjects[k])));
}

Test(streams, rows_get_the_bounds_of_the_settings)
{
    store_limits limits = store_limits_default;
    size_t count;
    const store_stream_row *act = store_stream_rows(&count);
    cr_assert_str_eq(act->name, "ACT");
    bus_stream_def def = store_stream_def(act, &limits);
    cr_assert_eq(def.bytes_max, INT64_C(4) << 30);
    cr_assert_eq(def.age_max.ns, BUS_SPAN_S(86400).ns);
    cr_assert(def.allow_batched && def.allow_direct);
    limits.act_age = BUS_SPAN_S(30);
    limits.replicas = 3;
    def = store_stream_def(act, &limits);
    cr_assert_eq(def.duplicates.ns, BUS_SPAN_S(30).ns); // never longer than the age
    cr_assert_eq(def.replicas, 3);
}

Test(streams, live_has_no_scenario_stream_of_its_own)
{
    test_expect_err(store_scenario_stream_ensure(NULL, "LIVE", &store_limits_default), BUS_EINVAL);
}
