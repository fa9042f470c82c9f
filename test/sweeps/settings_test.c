// Settings and what the daemon's frame says when memory is out. Source: schemas/specs/daemons.md, "Settings", "Metrics".
#include <stdio.h>
#include <stdlib.h>

#include "bus/base/config.h"
#include "bus/base/loop.h"
#include "bus/base/metrics.h"
#include "bus/base/time.h"
#include "sweep.h"
#include "test/support/test.h"

typedef struct {
    const char *name;
    int64_t window;
    bus_config_list venues;
} settings;

static const bus_config_row rows[] = {
    {.name = "name",
     .offset = BUS_CONFIG_FIELD(settings, name),
     .preset = "lane",
     .help = "a name"},
    {.name = "ack_window",
     .kind = BUS_CONFIG_INT,
     .offset = BUS_CONFIG_FIELD(settings, window),
     .preset = "4096",
     .max = 65536,
     .help = "a number"},
    {.name = "venues",
     .kind = BUS_CONFIG_LIST,
     .offset = BUS_CONFIG_FIELD(settings, venues),
     .preset = "",
     .help = "a list"},
    {0},
};

static const char *given_file(const char *text)
{
    static char path[600];
    snprintf(path, sizeof path, "%s/settings.yaml", test_tmp());
    FILE *f = fopen(path, "w");
    fputs(text, f);
    fclose(f);
    return path;
}

// From flags, a variable and a file; every value must be there.
static bus_err load(void *path)
{
    static const bus_config_spec spec = {.program = "testd", .purpose = "tests", .rows = rows};
    char *argv[] = {"testd", "--config", path, "--venues", "a", "--venues", "b", NULL};
    settings s = {0};
    bus_config_list rest;
    bus_config *config = NULL;
    bool finished;
    bus_err err = bus_config_load(&config, &spec, &s, 7, argv, &rest, &finished);
    if (!err && (strcmp(s.name, "x") != 0 || s.window != 7 || s.venues.count != 2 ||
                 strcmp(s.venues.item[1], "b") != 0))
        err = bus_fail(BUS_EDATALOSS, "a setting is not what was given");
    bus_config_free(config);
    return err;
}

Test(settings_memory, are_loaded_whole_or_not_at_all)
{
    setenv("TRADELANE_TESTD_NAME", "x", 1);
    // libc reads a file without a buffer when it has none
    sweep_allocations(&(sweep_case){.name = "settings",
                                    .run = load,
                                    .ctx = (void *)given_file("ack_window: 7\nvenues: [c, d]\n"),
                                    .allocations_min = 40,
                                    .can_do_without = true});
}

static bus_err expose(void *ctx)
{
    size_t len;
    char *text = bus_metrics_text(&len);
    (void)ctx;
    if (!text)
        return BUS_ENOMEM;
    bool whole = len > 5000 && strstr(text, "many_99_total") && text[len - 1] == '\n';
    free(text);
    return whole ? BUS_OK : bus_fail(BUS_EDATALOSS, "a page with pieces missing");
}

Test(settings_memory, the_page_of_metrics_is_whole_or_not_at_all)
{
    static bus_metric many[100];
    static char names[100][32];
    bus_metrics_program("testd");
    for (int i = 0; i < 100; i++) {
        snprintf(names[i], sizeof names[i], "many_%d_total", i);
        many[i] = (bus_metric)BUS_METRIC(BUS_METRIC_COUNTER, names[i], "one of many");
        bus_metrics_add(&many[i]);
    }
    sweep_allocations(&(sweep_case){.name = "metrics", .run = expose, .allocations_min = 2});
}

static void on_time(void *ctx, bus_mono now)
{
    (void)ctx, (void)now;
}

static void on_wake(void *ctx)
{
    (void)ctx;
}

static bus_err open_loop(void *ctx)
{
    bus_loop *loop = NULL;
    bus_timer *timer = NULL;
    bus_waker *waker = NULL;
    (void)ctx;
    bus_err err = bus_loop_open(&loop);
    if (!err)
        err = bus_timer_open(&timer, loop, on_time, NULL);
    if (!err)
        err = bus_waker_open(&waker, loop, on_wake, NULL);
    bus_waker_close(waker);
    bus_timer_close(timer);
    bus_loop_close(loop);
    return err;
}

Test(settings_memory, a_loop_opens_whole_or_not_at_all)
{
    // libevent has a second mechanism for when its first has no memory
    sweep_allocations(&(sweep_case){
        .name = "loop", .run = open_loop, .allocations_min = 4, .can_do_without = true});
}
