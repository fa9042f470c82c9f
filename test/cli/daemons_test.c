#include "cli/daemons.h"

#include <stdio.h>

#include "bus/base/metrics.h"
#include "test/support/broker.h"
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

// --- rates -------------------------------------------------------------------------------------------------

typedef struct {
    test_broker broker;
    bus_conn *conn;
    bus_sub *asked; // we are the daemon
    lane_daemons *daemons;
} world;

static void open_world(world *w)
{
    test_broker_start(&w->broker, NULL);
    test_ok(bus_conn_open(&w->conn, &(bus_conn_opts){.url = w->broker.url, .name = "test"}));
    test_ok(bus_conn_wait(w->conn, BUS_SPAN_S(10)));
    test_ok(bus_sub_open(&w->asked, w->conn, &(bus_sub_opts){.subject = "$SRV.STATS"}));
    test_ok(lane_daemons_open(&w->daemons, w->conn));
}

static void close_world(world *w)
{
    lane_daemons_close(w->daemons);
    bus_sub_close(w->asked);
    bus_conn_close(w->conn);
    test_broker_stop(&w->broker);
}

// An answer that was given when the daemon had been up for so long.
static void answer(world *w, int uptime_ms, int count, double cpu_seconds)
{
    char text[400];
    bus_msg *question = bus_sub_next(w->asked, BUS_SPAN_S(5));
    cr_assert_not_null(question);
    snprintf(text, sizeof text,
             "{\"name\":\"feedd\",\"id\":\"1\",\"version\":\"1\",\"endpoints\":[{\"data\":{"
             "\"uptime_ms\":%d,\"age_ms\":100,\"process\":{\"cpu_seconds\":%f},"
             "\"histograms\":{\"frame_to_lane_seconds\":[%d]}}}]}",
             uptime_ms - 100, cpu_seconds, count);
    test_ok(bus_publish(w->conn, bus_msg_reply(question).ptr, NULL, NULL, 0, bus_view_of(text)));
    test_ok(bus_conn_flush(w->conn, BUS_SPAN_S(5)));
    bus_msg_release(question);
}

static double column(world *w, const char *name)
{
    json_t *rows = json_array(), *latencies = json_array();
    lane_daemons_rows(w->daemons, rows, latencies);
    json_t *row = json_array_get(*name == 'c' ? rows : latencies, 0);
    double value = json_number_value(json_object_get(row, name));
    json_decref(rows);
    json_decref(latencies);
    return value;
}

// What was answered has perhaps not arrived at the first question yet.
static void expect_column(world *w, const char *name, double value)
{
    double seen = 0;
    for (int i = 0; i < 8; i++) {
        test_ok(lane_daemons_ask(w->daemons));
        seen = column(w, name);
        if (seen - value < 0.01 && value - seen < 0.01)
            return;
    }
    cr_assert(false, "%s is %f, not %f", name, seen, value);
}

Test(daemons, rates_are_over_the_time_that_passed_in_the_daemon, .timeout = 60)
{
    world w;
    open_world(&w);
    test_ok(lane_daemons_ask(w.daemons));
    answer(&w, 10000, 1000, 1.0);
    expect_column(&w, "events_per_s", 100); // not answered in time …
    answer(&w, 12000, 1400, 1.5);
    test_ok(lane_daemons_ask(
        w.daemons)); // … so that the answer is taken with that to the next question
    answer(&w, 14000, 1800, 2.0);
    expect_column(&w, "events_per_s", 200);
    cr_expect_float_eq(column(&w, "cpu_percent"), 25, 0.01);
    close_world(&w);
}

Test(daemons, two_answers_at_once_do_not_make_a_rate, .timeout = 60)
{
    world w;
    open_world(&w);
    for (int i = 0; i < 3; i++)
        test_ok(lane_daemons_ask(w.daemons));
    answer(&w, 10000, 1000, 1.0);
    answer(&w, 12000, 1400, 1.5); // it was stopped, and goes on
    answer(&w, 12001, 1401, 1.6);
    expect_column(&w, "events_per_s", 401 / 2.001);
    cr_expect_lt(column(&w, "cpu_percent"), 31);
    close_world(&w);
}
