#include "bus/base/metrics.h"

#include <stdlib.h>

#include "test/support/test.h"

// Source: schemas/specs/daemons.md, "Metrics".
static bus_metric requests_a = {.name = "tradelane_test_requests_total",
                                .help = "Requests",
                                .kind = BUS_METRIC_COUNTER,
                                .labels = "venue=\"a\""};
static bus_metric depth = BUS_METRIC(BUS_METRIC_GAUGE, "tradelane_test_depth", "Depth");
static bus_metric requests_b = {.name = "tradelane_test_requests_total",
                                .help = "Requests",
                                .kind = BUS_METRIC_COUNTER,
                                .labels = "venue=\"b\""};
static bus_metric wait = BUS_METRIC(BUS_METRIC_HISTOGRAM, "tradelane_test_wait_seconds", "Waiting");

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
        int64_t before = wait.bucket[cases[i].bucket];
        bus_metric_observe(&wait, cases[i].ns);
        cr_expect(wait.bucket[cases[i].bucket] == before + 1, "%lld", (long long)cases[i].ns);
    }
    wait.sum_ns = 1500;
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
