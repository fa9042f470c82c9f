#include "bus/base/metrics.h"

#include <stdio.h>
#include <stdlib.h>

#include "bus/base/time.h"

#include "bus/base/time.h"
#include "test/support/test.h"

// Source: schemas/specs/daemons.md, "Metrics".
static bus_metric requests_a = {.name = "requests_total",
                                .help = "Requests",
                                .kind = BUS_METRIC_COUNTER,
                                .labels = "venue=\"a\""};
static bus_metric depth = BUS_METRIC(BUS_METRIC_GAUGE, "depth", "Depth");
static bus_metric requests_b = {.name = "requests_total",
                                .help = "Requests",
                                .kind = BUS_METRIC_COUNTER,
                                .labels = "venue=\"b\""};
static bus_metric wait = BUS_METRIC(BUS_METRIC_HISTOGRAM, "wait_seconds", "Waiting");

static int count_of(const char *text, const char *part)
{
    int count = 0;
    for (const char *p = text; (p = strstr(p, part)); p += strlen(part))
        count++;
    return count;
}

Test(metrics, writes_one_family_for_one_name)
{
    size_t len = 0;
    bus_metrics_program("test");
    bus_metrics_add(&requests_a);
    bus_metrics_add(&depth);
    bus_metrics_add(&requests_b);
    bus_metrics_add(&requests_b);
    bus_metric_inc(&requests_a, 3);
    bus_metric_set(&depth, -7);
    char *text = bus_metrics_text(&len);
    cr_assert_not_null(text);
    cr_expect_eq(len, strlen(text));
    cr_expect_str_eq(text, "# HELP tradelane_test_requests_total Requests\n"
                           "# TYPE tradelane_test_requests_total counter\n"
                           "tradelane_test_requests_total{venue=\"a\"} 3\n"
                           "tradelane_test_requests_total{venue=\"b\"} 0\n"
                           "# HELP tradelane_test_depth Depth\n"
                           "# TYPE tradelane_test_depth gauge\n"
                           "tradelane_test_depth -7\n");
    free(text);
}

Test(metrics, counts_durations_in_powers_of_two_cumulatively)
{
    static const struct {
        int64_t ns;
        int bucket;
    } cases[] = {
        {-5, 0},           {0, 0},
        {1000, 0},         {1001, 1},
        {2000, 1},         {2001, 2},
        {64000000000, 26}, {67108864000, 26},
        {67108864001, 27}, {INT64_MAX / 2, 27},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t before = wait.histogram.bucket[cases[i].bucket];
        bus_metric_observe(&wait, cases[i].ns);
        cr_expect(wait.histogram.bucket[cases[i].bucket] == before + 1, "%lld",
                  (long long)cases[i].ns);
    }
    wait.histogram.sum_ns = 1500;
    bus_metrics_add(&wait);
    char *text = bus_metrics_text(NULL);
    cr_assert_not_null(text);
    cr_expect_not_null(strstr(text, "_bucket{le=\"0.000001\"} 3\n"));
    cr_expect_not_null(strstr(text, "_bucket{le=\"0.000002\"} 5\n"));
    cr_expect_not_null(strstr(text, "_bucket{le=\"67.108864\"} 8\n"));
    cr_expect_not_null(strstr(text, "_bucket{le=\"+Inf\"} 10\n"));
    cr_expect_not_null(strstr(text, "_sum 0.000001500\n"));
    cr_expect_not_null(strstr(text, "_count 10\n"));
    cr_expect_eq(count_of(text, "_bucket"), BUS_METRIC_BUCKETS);
    free(text);
}

Test(metrics, shows_times_in_seconds_without_rounding)
{
    static bus_metric lag = BUS_METRIC_TIME(BUS_METRIC_GAUGE, "lag_seconds", "Lag");
    static const struct {
        int64_t ns;
        const char *line;
    } cases[] = {
        {0, "lag_seconds 0.000000000\n"},
        {1, "lag_seconds 0.000000001\n"},
        {-1500000000, "lag_seconds -1.500000000\n"},
        {INT64_MAX, "lag_seconds 9223372036.854775807\n"},
        {INT64_MIN, "lag_seconds -9223372036.854775808\n"},
    };
    bus_metrics_add(&lag);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bus_metric_set(&lag, cases[i].ns);
        char *text = bus_metrics_text(NULL);
        cr_assert_not_null(text);
        cr_expect_not_null(strstr(text, cases[i].line), "%s in %s", cases[i].line, text);
        free(text);
    }
}

Test(metrics, escapes_label_values)
{
    char label[64], small[16];
    bus_metric_label(label, sizeof label, "path", "a\\b\"c\nd");
    cr_expect_str_eq(label, "path=\"a\\\\b\\\"c\\nd\"");
    bus_metric_label(small, sizeof small, "path", "0123456789");
    cr_expect_str_eq(small, "path=\"012345\"", "%s", small);
}

Test(metrics, forgets_what_is_removed_and_keeps_the_family)
{
    static bus_metric one = {.name = "runs", .help = "Runs", .labels = "id=\"1\""},
                      two = {.name = "runs", .help = "Runs", .labels = "id=\"2\""};
    bus_metrics_add(&one);
    bus_metrics_add(&two);
    bus_metrics_remove(&one);
    bus_metrics_remove(&one);
    char *text = bus_metrics_text(NULL);
    cr_assert_not_null(text);
    cr_expect_null(strstr(text, "id=\"1\""));
    cr_expect_not_null(strstr(text, "runs{id=\"2\"} 0\n"));
    cr_expect_eq(count_of(text, "# TYPE tradelane_program_runs counter\n"), 1, "%s", text);
    free(text);
}

// It stands on the path of every event. A lock, a system call or an allocation would be far above this bound,
// which sanitizers and a busy machine stay below.
Test(metrics, an_observation_costs_nanoseconds)
{
    enum { COUNT = 1000000, NS_MAX = 400 };
    static bus_metric cost = BUS_METRIC(BUS_METRIC_HISTOGRAM, "cost_seconds", "Cost");
    int64_t best = INT64_MAX;
    for (int round = 0; round < 5; round++) {
        bus_mono start = bus_machine_mono();
        for (int64_t i = 0; i < COUNT; i++)
            bus_metric_observe(&cost, i * 997);
        int64_t ns = bus_mono_since(bus_machine_mono(), start).ns;
        best = ns < best ? ns : best;
    }
    fprintf(stderr, "one observation: %.1f ns\n", (double)best / COUNT);
    cr_expect_lt(best / COUNT, NS_MAX);
}
