#include "feeds/sim/sendlog.h"

#include <stdio.h>

#include "test/support/test.h"

static void add(sim_sendlog *log, int64_t id)
{
    sim_sendlog_add(log, &(sim_sent){.sent_ns = 1,
                                     .recorded_ns = 2,
                                     .first_id = id,
                                     .last_id = id + 1,
                                     .symbol = "BTCUSDT",
                                     .channel = "depth",
                                     .fault = id % 2 ? "drop" : "",
                                     .connections = 3});
}

Test(sendlog, writes_an_entry_as_the_specification_shows_it)
{
    sim_sendlog *log;
    sim_text out = {0};
    test_ok(sim_sendlog_open(&log, 10, ""));
    add(log, 7);
    test_ok(sim_sendlog_render(log, 1, 10, &out));
    cr_expect(bus_view_is(sim_text_view(&out),
                          "{\"n\":1,\"sent_ns\":1,\"recorded_ns\":2,\"symbol\":\"BTCUSDT\","
                          "\"channel\":\"depth\",\"first_id\":7,\"last_id\":8,\"connections\":3,"
                          "\"fault\":\"drop\"}\n"),
              "%.*s", BUS_VIEW_ARG(sim_text_view(&out)));
    sim_text_release(&out);
    sim_sendlog_close(log);
}

Test(sendlog, keeps_the_newest_entries_and_names_the_first_one_kept)
{
    sim_sendlog *log;
    sim_text out = {0};
    test_ok(sim_sendlog_open(&log, 5000, ""));
    for (int i = 1; i <= 12345; i++)
        add(log, i);
    cr_expect_eq(sim_sendlog_first(log), 12345 - 5000 + 1);
    cr_expect_eq(sim_sendlog_last(log), 12345);
    test_expect_err(sim_sendlog_render(log, 1, 10, &out), BUS_ENOTFOUND);
    cr_expect(strstr(bus_err_text(), "7346"), "%s", bus_err_text());
    test_ok(sim_sendlog_render(log, 12345, 10, &out));
    cr_expect(out.len > 13 && strncmp(out.ptr, "{\"n\":12345,", 11) == 0);
    sim_text_release(&out);
    sim_sendlog_close(log);
}

Test(sendlog, its_file_has_every_entry)
{
    char path[512], line[512];
    sim_sendlog *log;
    int lines = 0;
    snprintf(path, sizeof path, "%s/log.ndjson", test_tmp());
    test_ok(sim_sendlog_open(&log, 10, path));
    for (int i = 0; i < 1000; i++)
        add(log, i);
    sim_sendlog_close(log);
    FILE *f = fopen(path, "r");
    while (fgets(line, sizeof line, f))
        lines++;
    fclose(f);
    cr_expect_eq(lines, 1000);
    test_expect_err(sim_sendlog_open(&log, 10, "/nowhere/log"), BUS_EIO);
}
