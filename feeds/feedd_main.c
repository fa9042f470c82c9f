// feedd: the connection to one venue as a daemon. Source: schemas/specs/feedd.md.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/base/daemon.h"
#include "bus/nats/clock.h"
#include "feeds/counters.h"
#include "feeds/manager.h"

typedef struct {
    bus_daemon_settings base; // first
    const char *venue, *ws_url, *rest_url, *venue_ca;
    bus_config_list symbols, channels;
    bus_span snapshot_every, duplicates_after, stale_after, dead_after, connect_timeout,
        rest_timeout;
    bus_span reconnect_min, reconnect_max, rotate_after, rotate_overlap, lease_span;
    int64_t snapshot_limit, reconnect_attempts, queue_bytes;
} settings;

#define ROW(name_, kind_, preset_, min_, max_, help_)                                              \
    {                                                                                              \
        .name = #name_, .kind = (kind_), .offset = BUS_CONFIG_FIELD(settings, name_),              \
        .preset = (preset_), .min = (min_), .max = (max_), .help = (help_)                         \
    }

enum { HOUR_MS = 3600000 };

static const bus_config_row rows[] = {
    ROW(venue, BUS_CONFIG_TEXT, "binance", 0, 0, "adapter"),
    ROW(ws_url, BUS_CONFIG_TEXT, "ws://127.0.0.1:7480", 0, 0,
        "stream of the venue, ws:// or wss://"),
    ROW(rest_url, BUS_CONFIG_TEXT, "http://127.0.0.1:7480", 0, 0, "REST interface of the venue"),
    {.name = "venue_ca",
     .offset = BUS_CONFIG_FIELD(settings, venue_ca),
     .file = BUS_FILE_TRUSTED,
     .help = "CA file for the venue's TLS; empty: the system's"},
    ROW(symbols, BUS_CONFIG_LIST, "BTCUSDT,ETHUSDT,SOLUSDT", 0, 0, "symbols to subscribe"),
    ROW(channels, BUS_CONFIG_LIST, "", 0, 0,
        "channels to subscribe; empty: the adapter's (trade,bookTicker,depth@100ms,kline_1m)"),
    ROW(snapshot_every, BUS_CONFIG_SPAN, "60s", 100, 24 * HOUR_MS, "cadence of book snapshots"),
    ROW(snapshot_limit, BUS_CONFIG_INT, "5000", 5, 5000, "levels a side asked of the venue"),
    ROW(stale_after, BUS_CONFIG_SPAN, "10s", 10, HOUR_MS, "silence that is told as feed.stale"),
    ROW(duplicates_after, BUS_CONFIG_SPAN, "10s", 10, HOUR_MS,
        "only known ids on a channel that are told as feed.degraded"),
    ROW(dead_after, BUS_CONFIG_SPAN, "30s", 20, HOUR_MS, "silence that ends a connection"),
    ROW(connect_timeout, BUS_CONFIG_SPAN, "10s", 10, HOUR_MS,
        "from connecting until the subscriptions stand"),
    ROW(rest_timeout, BUS_CONFIG_SPAN, "120s", 1000, HOUR_MS, "longest wait for a REST answer"),
    ROW(reconnect_min, BUS_CONFIG_SPAN, "500ms", 1, HOUR_MS, "wait after the first failure"),
    ROW(reconnect_max, BUS_CONFIG_SPAN, "30s", 1, HOUR_MS, "longest wait between tries"),
    ROW(reconnect_attempts, BUS_CONFIG_INT, "0", 0, 1000000,
        "failures in a row after which to give up; 0: never"),
    ROW(rotate_after, BUS_CONFIG_SPAN, "23h", 100, 24 * HOUR_MS,
        "age at which to renew a connection"),
    ROW(rotate_overlap, BUS_CONFIG_SPAN, "1s", 0, 60000, "how long old and new both deliver"),
    ROW(queue_bytes, BUS_CONFIG_SIZE, "16MiB", 262144, 1ll << 32,
        "frames held while the broker is slow"),
    ROW(lease_span, BUS_CONFIG_SPAN, "15s", 1000, 600000,
        "how long a dead writer keeps its place; the broker forgets an idle batch after 10 s"),
    {0},
};

typedef struct {
    bus_conn *conn;
    bus_clock_feed *clock;
    bus_waker *stopped;
    feed_manager *manager;
    feed *feed;
    bus_daemon *daemon;
    char connection_id[64], instance_id[160];
} state;

static bool broker_ready(void *ctx, char *why, size_t cap)
{
    state *s = ctx;
    if (bus_conn_state_of(s->conn) == BUS_CONN_UP)
        return true;
    bus_conn_why(s->conn, why, cap);
    return false;
}

static bool venue_ready(void *ctx, char *why, size_t cap)
{
    state *s = ctx;
    feed_status_view view;
    feed_status_of(s->feed, &view);
    snprintf(why, cap, "%s", view.why);
    return view.kind == FEED_STATUS_CONNECTED;
}

static void identify(state *s, const char *venue)
{
    char host[100] = "localhost";
    unsigned random = 0;
    gethostname(host, sizeof host - 1);
    FILE *file = fopen("/dev/urandom", "rb");
    if (file) {
        if (fread(&random, sizeof random, 1, file) != 1)
            random = 0;
        fclose(file);
    }
    snprintf(s->connection_id, sizeof s->connection_id, "feed-%s", venue);
    snprintf(s->instance_id, sizeof s->instance_id, "%s-%d-%08x", host, (int)getpid(), random);
}

static bus_err no_adapter(const char *name)
{
    char there[256] = "";
    size_t len = 0;
    const feed_venue *venue;
    for (size_t i = 0; (venue = feed_venue_at(i)) && len < sizeof there; i++)
        len +=
            (size_t)snprintf(there + len, sizeof there - len, "%s%s", i ? ", " : "", venue->name);
    return bus_fail(BUS_EINVAL, "--venue '%s': no such adapter; there are: %s", name, there);
}

static bus_err check(const settings *set, const feed_venue **venue)
{
    *venue = feed_venue_find(set->venue);
    if (!*venue)
        return no_adapter(set->venue);
    if (strpbrk(set->ws_url, "\"\\"))
        return bus_fail(BUS_EINVAL, "--ws-url '%s': no quotes or backslashes are expected",
                        set->ws_url);
    if (set->dead_after.ns <= set->stale_after.ns)
        return bus_fail(BUS_EINVAL, "--dead-after must be longer than --stale-after");
    return BUS_OK;
}

static bus_err feed_start(state *s, const settings *set, const feed_venue *venue)
{
    feed_settings f = {.venue = venue,
                       .ws_url = set->ws_url,
                       .rest_url = set->rest_url,
                       .ca_file = set->venue_ca,
                       .symbols = set->symbols.item,
                       .symbol_count = (uint32_t)set->symbols.count,
                       .channels = set->channels.item,
                       .channel_count = (uint32_t)set->channels.count,
                       .snapshot_every = set->snapshot_every,
                       .duplicates_after = set->duplicates_after,
                       .snapshot_limit = (uint32_t)set->snapshot_limit,
                       .stale_after = set->stale_after,
                       .dead_after = set->dead_after,
                       .connect_timeout = set->connect_timeout,
                       .rest_timeout = set->rest_timeout,
                       .reconnect_min = set->reconnect_min,
                       .reconnect_max = set->reconnect_max,
                       .reconnect_attempts = (uint32_t)set->reconnect_attempts,
                       .rotate_after = set->rotate_after,
                       .rotate_overlap = set->rotate_overlap,
                       .queue_bytes = (size_t)set->queue_bytes,
                       .lease_span = set->lease_span,
                       .conn = s->conn,
                       .publisher = bus_conn_opts_of(&set->base, "feedd-publisher", BUS_SIDE_LIVE,
                                                     BUS_PROFILE_BULK),
                       .connection_id = s->connection_id,
                       .instance_id = s->instance_id,
                       .status_changed = feed_manager_wake(s->manager)};
    if (f.channel_count == 0)
        for (f.channels = venue->channels_preset; f.channels[f.channel_count];)
            f.channel_count++;
    return feed_open(&s->feed, &f);
}

static void release(void *ctx)
{
    state *s = ctx;
    feed_close(s->feed);
    feed_manager_close(s->manager);
    if (s->stopped)
        bus_waker_close(s->stopped);
    bus_clock_feed_close(s->clock);
    if (s->conn)
        bus_conn_close(s->conn);
    free(s);
}

static void on_stopped(void *ctx)
{
    bus_daemon_stopped(((state *)ctx)->daemon);
}

static bus_err start(bus_daemon *daemon, void *settings_, void **out)
{
    const settings *set = settings_;
    const feed_venue *venue;
    bus_err err = check(set, &venue);
    if (err)
        return err;
    state *s = calloc(1, sizeof *s);
    if (!s)
        return bus_fail(BUS_ENOMEM, "feedd");
    s->daemon = daemon;
    identify(s, venue->name);
    feed_counters_add();
    bus_conn_opts conn = bus_conn_opts_of(&set->base, "feedd", BUS_SIDE_LIVE, BUS_PROFILE_LATENCY);
    feed_manager_opts manager = {.loop = bus_daemon_loop(daemon),
                                 .connection_id = s->connection_id,
                                 .instance_id = s->instance_id,
                                 .url = set->ws_url,
                                 .venue = venue->name};
    err = bus_conn_open(&s->conn, &conn);
    if (!err)
        err = bus_clock_feed_open(&s->clock, s->conn, bus_daemon_loop(daemon), set->base.clock);
    if (!err)
        err = bus_waker_open(&s->stopped, bus_daemon_loop(daemon), on_stopped, s);
    manager.conn = s->conn;
    if (!err)
        err = feed_manager_open(&s->manager, &manager);
    if (!err)
        err = feed_start(s, set, venue);
    if (err) { // what is closed now may fail in its own words
        char text[1024];
        snprintf(text, sizeof text, "%s", bus_err_text());
        release(s);
        return bus_fail(err, "%s", text);
    }
    feed_manager_watch(s->manager, s->feed);
    bus_daemon_probe(daemon, (bus_probe){"broker", broker_ready, s});
    bus_daemon_probe(daemon, (bus_probe){"venue", venue_ready, s});
    *out = s;
    return BUS_OK;
}

static void stop(bus_daemon *daemon, void *ctx)
{
    state *s = ctx;
    (void)daemon;
    feed_stop(s->feed, bus_waker_as_wake(s->stopped));
}

int main(int argc, char **argv)
{
    static const bus_daemon_spec spec = {
        .config = {.program = "feedd",
                   .purpose = "Connection to one venue: its frames become events on "
                              "act.exchange.<venue>.…",
                   .rows = rows,
                   .epilog = "Example: feedd --symbols BTCUSDT --channels trade,depth@100ms",
                   .file_preset = NULL},
        .http_preset = "127.0.0.1:7412",
        .settings_size = sizeof(settings),
        .start = start,
        .stop = stop,
        .release = release};
    return bus_daemon_main(&spec, argc, argv);
}
