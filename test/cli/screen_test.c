#include "cli/screen.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/units.h"
#include "test/support/test.h"

// Source: schemas/specs/cli.md, "lane top".
static json_t *given_picture(int lanes)
{
    json_t *picture = json_loads(
        "{\"time\":\"2026-01-02T03:04:05.000000000Z\",\"interval_s\":2.0,\"errors\":{},"
        "\"broker\":{\"version\":\"2.15.1\",\"connected\":true,\"rtt_ms\":0.2,\"why\":\"\"},"
        "\"daemons\":[{\"daemon\":\"feedd\",\"id\":\"a\",\"ready\":true,\"why\":\"\",\"uptime_s\":"
        "60.0,"
        "\"cpu_percent\":3.0,\"resident_bytes\":1048576,\"fds\":20,\"warnings\":0,\"errors\":0,"
        "\"broker_losses\":0},"
        "{\"daemon\":\"stored\",\"id\":\"b\",\"ready\":false,\"why\":\"lease: held \\u001b[2J\","
        "\"uptime_s\":1.0,\"cpu_percent\":0.0,\"resident_bytes\":1048576,\"fds\":20,\"warnings\":0,"
        "\"errors\":1,\"broker_losses\":0}],"
        "\"connections\":[],\"replays\":[],\"workers\":[],\"latencies\":[],\"streams\":[]}",
        0, NULL);
    json_t *rows = json_array();
    for (int i = 0; i < lanes; i++) {
        char name[64];
        snprintf(name, sizeof name, "act.exchange.venue%02d.trade.tape", i);
        json_array_append_new(rows,
                              json_pack("{s:s,s:i,s:f,s:f,s:f,s:n,s:f}", "lane", name, "subjects",
                                        3, "events_per_s", (double)i, "bytes_per_s", 100.0 * i,
                                        "lag_ms", 50.0 - i, "lag_worst_ms", "idle_s", 0.1));
    }
    json_object_set_new(picture, "lanes", rows);
    return picture;
}

static int lines_of(const char *text, size_t width)
{
    int lines = 0;
    for (; *text; lines++) {
        char line[1024];
        size_t len = strcspn(text, "\n");
        snprintf(line, sizeof line, "%.*s", (int)len, text);
        cr_expect(lane_units_width(line) <= width, "%zu: '%s'", width, line);
        text += len + 1;
    }
    return lines;
}

Test(screen, fits_every_size_of_terminal)
{
    json_t *picture = given_picture(30);
    for (int width = 20; width <= 140; width += 3) {
        for (int height = 1; height <= 60; height++) {
            lane_view view = {
                .width = width, .height = height, .keys = true, .url = "nats://x", .every_s = 2};
            char *text = lane_screen_draw(picture, &view);
            cr_assert_not_null(text);
            cr_expect_eq(lines_of(text, (size_t)width), height, "%d x %d", width, height);
            free(text);
        }
    }
    json_decref(picture);
}

static char *draw(const json_t *picture, lane_view view)
{
    view.width = view.width ? view.width : 100;
    view.url = "nats://x";
    char *text = lane_screen_draw(picture, &view);
    cr_assert_not_null(text);
    return text;
}

Test(screen, puts_trouble_first_and_says_why_without_obeying_it)
{
    json_t *picture = given_picture(1);
    char *text = draw(picture, (lane_view){.height = 0});
    const char *stored = strstr(text, "\nstored"), *feedd = strstr(text, "\nfeedd");
    cr_assert(stored && feedd);
    cr_expect(stored < feedd);
    cr_expect_not_null(strstr(text, "lease: held ?[2J"));
    cr_expect_null(strchr(text, '\033'));
    free(text);
    json_decref(picture);
}

Test(screen, sorts_lanes_and_says_which_rows_it_shows)
{
    static const struct {
        lane_sort sort;
        bool reverse;
        const char *first;
    } cases[] = {
        {LANE_SORT_RATE, false, "venue29"}, {LANE_SORT_RATE, true, "venue00"},
        {LANE_SORT_LAG, false, "venue00"},  {LANE_SORT_BYTES, false, "venue29"},
        {LANE_SORT_NAME, false, "venue00"}, {LANE_SORT_NAME, true, "venue29"},
    };
    json_t *picture = given_picture(30);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text =
            draw(picture,
                 (lane_view){
                     .height = 20, .only = 3, .sort = cases[i].sort, .reverse = cases[i].reverse});
        const char *row = strstr(text, "act.exchange.");
        cr_expect(row && strncmp(row + 13, cases[i].first, 7) == 0, "case %zu:\n%s", i, text);
        cr_expect_not_null(strstr(text, "LANE 1-17/30"), "%s", text);
        free(text);
    }
    char *end = draw(picture, (lane_view){.height = 20, .only = 3, .skip = 999});
    cr_expect_not_null(strstr(end, "LANE 14-30/30"), "%s", end);
    free(end);
    json_decref(picture);
}

static char *draw_latencies(const char *first, const char *second)
{
    json_t *picture = given_picture(1);
    json_t *rows = json_object_get(picture, "latencies");
    const char *const of[] = {first, second};
    for (int i = 0; i < 2; i++)
        json_array_append_new(rows,
                              json_pack("{s:s,s:s,s:s,s:s,s:f,s:f,s:f}", "latency",
                                        "publish_to_ack", "of", "", "daemon", of[i], "id", of[i],
                                        "events_per_s", 1.0, "p50_ms", 1.0, "p99_ms", 2.0));
    lane_view view = {.width = 120, .url = "nats://x", .every_s = 2};
    char *text = lane_screen_draw(picture, &view);
    json_decref(picture);
    return text;
}

Test(screen, rows_of_one_name_keep_their_order_however_they_come)
{
    char *one = draw_latencies("feedd", "workhostd"), *other = draw_latencies("workhostd", "feedd");
    cr_expect_str_eq(one, other);
    free(one);
    free(other);
}
