#include "cli/daemons.h"

#include "bus/base/metrics.h"
#include "test/support/test.h"

Test(daemons, reads_quantiles_from_buckets)
{
    int64_t none[BUS_METRIC_BUCKETS] = {0}, one[BUS_METRIC_BUCKETS] = {0};
    cr_expect_lt(lane_quantile(none, BUS_METRIC_BUCKETS, 0.5), 0);
    bus_histogram h = {0};
    for (int i = 1; i <= 1000; i++)
        bus_histogram_observe(&h, i * INT64_C(1000000)); // 1 ms to 1 s
    for (int i = 0; i < BUS_METRIC_BUCKETS; i++)
        one[i] = h.bucket[i];
    double p50 = lane_quantile(one, BUS_METRIC_BUCKETS, 0.5);
    double p99 = lane_quantile(one, BUS_METRIC_BUCKETS, 0.99);
    cr_expect(p50 > 0.45 && p50 < 0.55, "%f", p50);
    cr_expect(p99 > 0.9 && p99 < 1.1, "%f", p99);
}
