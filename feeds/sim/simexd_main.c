// simexd: a simulated exchange that speaks the protocol of Binance spot.
// Source: schemas/specs/simexd.md.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base/daemon.h"
#include "bus/base/log.h"
#include "bus/base/metrics.h"
#include "feeds/sim/server.h"

typedef struct {
    bus_daemon_settings daemon; // first
    const char *listen, *tls_cert, *tls_key;
    bus_config_list capture;
    const char *speed, *start_after;
    bus_span hold_timeout;
    const char *exchange_info;
    int64_t seed;
    bus_config_list symbols;
    int64_t rate, events;
    const char *state, *send_log;
    int64_t log_entries, history_bytes, client_bytes;
    bus_span ping_every, pong_within, connection_limit;
    int64_t messages_per_second, streams_per_connection;
    bus_config_list fault;
} settings;

#define ROW(field, kind_, preset_, min_, max_, help_)                                              \
    {                                                                                              \
        .name = #field, .kind = BUS_CONFIG_##kind_, .offset = offsetof(settings, field),           \
        .preset = (preset_), .min = (min_), .max = (max_), .help = (help_)                         \
    }

static const bus_config_row rows[] = {
    ROW(listen, TEXT, "127.0.0.1:7480", 0, 0, "address:port of the venue; port 0: any free one"),
    ROW(tls_cert, TEXT, "", 0, 0, "PEM file; given: the venue port speaks wss and https"),
    ROW(tls_key, TEXT, "", 0, 0, "PEM file of the certificate's key"),
    ROW(capture, LIST, "", 0, 0, "capture files to play; none: the synthetic market"),
    ROW(speed, TEXT, "1x", 0, 0, "1x, 10x, 0.5x …, or max"),
    ROW(start_after, TEXT, "", 0, 0, "begin play after this span, whatever is subscribed"),
    ROW(hold_timeout, SPAN, "30s", 1, 86400000, "longest wait at a recorded snapshot"),
    ROW(exchange_info, TEXT, "", 0, 0, "file with an exchangeInfo body"),
    ROW(seed, INT, "1", 0, INT64_MAX, "of the synthetic market and of faults"),
    ROW(symbols, LIST, "BTCUSDT,ETHUSDT,SOLUSDT", 0, 0, "of the synthetic market"),
    ROW(rate, INT, "300", 1, 10000000, "mean order events a second, all symbols together"),
    ROW(events, INT, "0", 0, INT64_MAX, "the synthetic market ends after so many; 0: never"),
    ROW(state, TEXT, "", 0, 0, "folder that remembers ids over restarts"),
    ROW(send_log, TEXT, "", 0, 0, "file that gets every frame sent, as NDJSON"),
    ROW(log_entries, INT, "1000000", 1, 100000000, "send-log entries kept in memory"),
    ROW(history_bytes, SIZE, "64MiB", 65536, INT64_MAX, "book history kept per symbol"),
    ROW(client_bytes, SIZE, "64MiB", 65536, INT64_MAX, "queued for a connection; more closes it"),
    ROW(ping_every, SPAN, "20s", 10, 86400000, "server ping"),
    ROW(pong_within, SPAN, "60s", 10, 86400000, "silence to pings that closes a connection"),
    ROW(connection_limit, SPAN, "24h", 10, 864000000, "age that closes a connection"),
    ROW(messages_per_second, INT, "5", 1, 1000000, "inbound messages; more closes the connection"),
    ROW(streams_per_connection, INT, "1024", 1, 65536, "streams; more closes the connection"),
    ROW(fault, LIST, "", 0, 0, "faults at start: kind[:key=value]*"),
    {0},
};

static bus_metric frames =
    BUS_METRIC(BUS_METRIC_COUNTER, "frames_total", "Frames of the venue, sent to somebody or not.");
static bus_metric clients = BUS_METRIC(BUS_METRIC_GAUGE, "connections", "WebSocket connections.");
static bus_metric queued =
    BUS_METRIC(BUS_METRIC_GAUGE, "queued_bytes", "Bytes in the fullest connection's queue.");
static bus_metric faults = BUS_METRIC(BUS_METRIC_GAUGE, "faults_open", "Faults armed or active.");

typedef struct {
    bus_daemon *daemon;
    sim_server *server;
    bus_waker *ended;
    bus_timer *measure;
} program;

static bool serves(void *ctx, char *why, size_t why_cap)
{
    program *p = ctx;
    if (sim_server_serves(p->server))
        return true;
    snprintf(why, why_cap, "the exchange's thread does not turn");
    return false;
}

static void measure(void *ctx, bus_mono now)
{
    program *p = ctx;
    (void)now;
    sim_exchange_figures f = sim_server_figures(p->server);
    bus_metric_set(&frames, (int64_t)f.frames);
    bus_metric_set(&clients, (int64_t)f.clients);
    bus_metric_set(&queued, (int64_t)f.queued_bytes);
    bus_metric_set(&faults, (int64_t)f.faults_open);
}

static void on_ended(void *ctx)
{
    program *p = ctx;
    if (sim_server_figures(p->server).log_failed)
        bus_daemon_fatal(p->daemon, bus_fail(BUS_EIO, "the send log is not whole"));
    else
        bus_daemon_stopped(p->daemon);
}

static bus_err read_opts(const settings *s, sim_exchange_opts *o)
{
    *o = (sim_exchange_opts){
        .captures = s->capture.item,
        .capture_count = s->capture.count,
        .speed = s->speed,
        .start_after = {-1},
        .hold_timeout = s->hold_timeout,
        .exchange_info = s->exchange_info,
        .symbols = s->symbols.item,
        .symbol_count = s->symbols.count,
        .seed = s->seed,
        .rate = s->rate,
        .events = s->events,
        .state_folder = s->state,
        .send_log = s->send_log,
        .log_entries = (uint64_t)s->log_entries,
        .history_bytes = (size_t)s->history_bytes,
        .faults = s->fault.item,
        .fault_count = s->fault.count,
        .hub = {.ping_every = s->ping_every,
                .pong_within = s->pong_within,
                .connection_limit = s->connection_limit,
                .messages_per_second = (int)s->messages_per_second,
                .streams_max = (uint32_t)s->streams_per_connection,
                .client_bytes = (size_t)s->client_bytes},
    };
    if (!s->start_after[0])
        return BUS_OK;
    return bus_note(bus_span_parse(bus_view_of(s->start_after), &o->start_after), "start-after");
}

static void release(void *state)
{
    program *p = state;
    bus_timer_close(p->measure);
    sim_server_close(p->server);
    bus_waker_close(p->ended);
    free(p);
}

static bus_err start_server(program *p, const settings *s)
{
    sim_exchange_opts opts;
    sim_exchange *exchange = NULL;
    bus_err err = read_opts(s, &opts);
    if (!err)
        err = sim_exchange_open(&exchange, &opts);
    if (err)
        return err;
    sim_server_opts server = {s->listen, s->tls_cert, s->tls_key};
    err = sim_server_open(&p->server, &server, exchange);
    if (err)
        sim_exchange_close(exchange);
    return err;
}

static bus_err start(bus_daemon *daemon, void *settings_, void **state)
{
    const settings *s = settings_;
    bus_loop *loop = bus_daemon_loop(daemon);
    program *p = calloc(1, sizeof *p);
    if (!p)
        return bus_fail(BUS_ENOMEM, "simexd");
    p->daemon = daemon;
    bus_err err = bus_waker_open(&p->ended, loop, on_ended, p);
    if (!err)
        err = bus_timer_open(&p->measure, loop, measure, p);
    if (!err)
        err = start_server(p, s);
    if (err) {
        release(p);
        return err;
    }
    bus_metrics_add(&frames);
    bus_metrics_add(&clients);
    bus_metrics_add(&queued);
    bus_metrics_add(&faults);
    bus_timer_start(p->measure, BUS_SPAN_MS(250), BUS_SPAN_MS(250));
    const char *colon = strrchr(s->listen, ':');
    bus_info("listening venue=%.*s:%d", (int)(colon - s->listen), s->listen,
             sim_server_port(p->server));
    bus_daemon_probe(daemon, (bus_probe){"venue", serves, p});
    *state = p;
    return BUS_OK;
}

static void stop(bus_daemon *daemon, void *state)
{
    program *p = state;
    (void)daemon;
    sim_server_stop(p->server, bus_waker_as_wake(p->ended));
}

int main(int argc, char **argv)
{
    static const bus_daemon_spec spec = {
        .config = {.program = "simexd",
                   .purpose = "A simulated exchange that speaks the protocol of Binance spot.",
                   .epilog = "  simexd                                   a synthetic market that "
                             "runs for ever\n"
                             "  simexd --capture btcusdt.gz --speed 10x  plays a recorded session\n"
                             "  curl localhost:7480/sim/v1/status        what it does\n",
                   .rows = rows},
        .http_preset = "127.0.0.1:7414",
        .settings_size = sizeof(settings),
        .no_bus = true,
        .start = start,
        .stop = stop,
        .release = release,
    };
    return bus_daemon_main(&spec, argc, argv);
}
