#include "bus/base/daemon.h"

#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/base/daemon_http.h"
#include "bus/base/daemon_metrics.h"
#include "bus/base/kill_point.h"
#include "bus/base/log.h"
#include "bus/base/memory.h"

// A terminal signals the whole group and a supervisor passes it on: so close together they are one.
enum { STOP_SECONDS = 5, SAME_SIGNAL_NS = 200000000 };

struct bus_daemon {
    const bus_daemon_spec *spec;
    bus_config_spec config_spec; // with the common rows behind the daemon's own
    bus_config_row *rows;
    bus_config *config;
    bus_daemon_settings *settings;
    bus_config_list args;
    bus_mono started;
    bus_loop *loop;
    bus_waker *stop_waker;
    struct event *probe_event;
    bus_daemon_http *http;
    bus_probe probe[BUS_PROBES_MAX];
    size_t probe_count;

    bool was_ready, is_ready;
    bus_mono unready_since;
    char unready_why[BUS_PROBE_WHY + 64];
    void *state;
    bool ended;
    int code;
};

// --- signals -----------------------------------------------------------------------------------------

// The handlers do all that must work even when the loop hangs.
static bus_waker *signal_waker;
static volatile sig_atomic_t signals_seen;
static int64_t first_signal_ns;

static void say_and_exit(const char *text)
{
    ssize_t n = write(STDERR_FILENO, text, strlen(text));
    (void)n;
    _exit(1);
}

static void on_signal(int signal_number)
{
    (void)signal_number;
    int64_t now_ns = bus_machine_mono().ns;
    if (signals_seen && now_ns - first_signal_ns > SAME_SIGNAL_NS)
        say_and_exit("second signal: ends at once\n");
    if (signals_seen)
        return;
    signals_seen = 1;
    first_signal_ns = now_ns;
    alarm(STOP_SECONDS);
    bus_waker_wake(signal_waker);
}

static void on_alarm(int signal_number)
{
    (void)signal_number;
    say_and_exit("stopping took longer than 5 s: ends at once\n");
}

static void catch_signals(bus_daemon *daemon)
{
    struct sigaction stop = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct sigaction late = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    signal_waker = daemon->stop_waker;
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGALRM, &late, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void release_signals(void)
{
    // From here on nobody runs the loop: a signal may end the process the plain way.
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal_waker = NULL;
}

static void on_stop_asked(void *ctx)
{
    bus_daemon *daemon = ctx;
    if (daemon->ended)
        return;
    bus_info("stopping");
    if (daemon->spec->stop)
        daemon->spec->stop(daemon, daemon->state);
    else
        bus_daemon_stopped(daemon);
}

// --- readiness ---------------------------------------------------------------------------------------

static int64_t uptime_ms(const bus_daemon *daemon)
{
    return bus_mono_since(bus_machine_mono(), daemon->started).ns / 1000000;
}

static void ask_probes(void *ctx, bus_health *out)
{
    bus_daemon *daemon = ctx;
    *out = (bus_health){.daemon = daemon->spec->config.program,
                        .ready = true,
                        .asked = bus_machine_mono(),
                        .uptime_ms = uptime_ms(daemon),
                        .count = daemon->probe_count};
    for (size_t i = 0; i < daemon->probe_count; i++) {
        bus_health_entry *entry = &out->entry[i];
        const bus_probe *probe = &daemon->probe[i];
        entry->name = probe->name;
        entry->ready = probe->ready(probe->ctx, entry->why, sizeof entry->why);
        if (!entry->ready && !entry->why[0])
            snprintf(entry->why, sizeof entry->why, "not ready yet");
        out->ready = out->ready && entry->ready;
    }
    bus_health_put(out);
}

static void note_unready(bus_daemon *daemon, const bus_health *health)
{
    char why[sizeof daemon->unready_why] = "";
    for (size_t i = 0; i < health->count && !why[0]; i++) {
        if (!health->entry[i].ready)
            snprintf(why, sizeof why, "%s: %s", health->entry[i].name, health->entry[i].why);
    }
    if (daemon->is_ready)
        daemon->unready_since = bus_machine_mono();
    // Before the first "ready" a short wait is normal and not worth a line; at the end nobody expects anything else.
    bool early = !daemon->was_ready && uptime_ms(daemon) < 1000;
    if (early || signals_seen || strcmp(why, daemon->unready_why) == 0)
        return;
    snprintf(daemon->unready_why, sizeof daemon->unready_why, "%s", why);
    bus_warn("not ready: %s", why);
}

static void note_ready(bus_daemon *daemon)
{
    if (!daemon->was_ready)
        bus_info("ready in %lld ms", (long long)uptime_ms(daemon));
    else if (!daemon->is_ready)
        bus_info(
            "ready again after %lld ms",
            (long long)(bus_mono_since(bus_machine_mono(), daemon->unready_since).ns / 1000000));
    daemon->was_ready = true;
    daemon->unready_why[0] = '\0';
}

// Close together at first, so that a start of a few milliseconds is seen as one.
static void arm_probes(const bus_daemon *daemon)
{
    int64_t up = uptime_ms(daemon);
    int ms = daemon->was_ready || up > 10000 ? 250 : up > 1000 ? 20 : 1;
    struct timeval after = {.tv_usec = ms * 1000};
    event_add(daemon->probe_event, &after);
}

static void on_probe(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    bus_daemon *daemon = ctx;
    bus_health health;
    ask_probes(daemon, &health);
    if (health.ready)
        note_ready(daemon);
    else
        note_unready(daemon, &health);
    daemon->is_ready = health.ready;
    // Not a thousand times a second while it starts.
    if (daemon->was_ready || uptime_ms(daemon) > 1000)
        bus_daemon_metrics_refresh(&health);
    arm_probes(daemon);
}

void bus_daemon_probe(bus_daemon *daemon, bus_probe probe)
{
    if (daemon->probe_count == BUS_PROBES_MAX) {
        bus_daemon_fatal(daemon, bus_fail(BUS_EINTERNAL, "more than %d probes", BUS_PROBES_MAX));
        return;
    }
    daemon->probe[daemon->probe_count++] = probe;
}

static void refresh_metrics(void *ctx)
{
    bus_health health;
    ask_probes(ctx, &health);
    bus_daemon_metrics_refresh(&health);
}

// --- settings ----------------------------------------------------------------------------------------

#define COMMON(field) BUS_CONFIG_FIELD(bus_daemon_settings, field)
static const bus_config_row common_rows[] = {
    // the first NO_BUS_ROWS: of a daemon without a bus too
    {.name = "http",
     .offset = COMMON(http),
     .help = "address:port of /health, /health/live, /metrics; port 0: any; empty: none"},
    {.name = "log_level",
     .offset = COMMON(log_level),
     .shared = true,
     .preset = "info",
     .choices = "debug|info|warn|error",
     .help = "least severe records written"},
    {.name = "log_format",
     .offset = COMMON(log_format),
     .shared = true,
     .preset = "text",
     .choices = "text|json",
     .help = "form of a record"},
    {.name = "nats_url",
     .offset = COMMON(nats_url),
     .shared = true,
     .preset = "nats://127.0.0.1:4222",
     .help = "the broker: one or several URLs, comma-separated"},
    {.name = "nats_creds",
     .offset = COMMON(nats_creds),
     .shared = true,
     .file = BUS_FILE_SECRET,
     .help = "credentials file of the broker"},
    {.name = "nats_user",
     .offset = COMMON(nats_user),
     .shared = true,
     .help = "user at the broker"},
    {.name = "nats_password",
     .offset = COMMON(nats_password),
     .shared = true,
     .secret = true,
     .help = "password of nats_user"},
    {.name = "nats_token",
     .offset = COMMON(nats_token),
     .shared = true,
     .secret = true,
     .help = "broker token"},
    {.name = "nats_ca",
     .offset = COMMON(nats_ca),
     .shared = true,
     .file = BUS_FILE_TRUSTED,
     .help = "CA file: TLS to the broker, with verification"},
    {.name = "clock",
     .offset = COMMON(clock),
     .shared = true,
     .preset = "machine",
     .help = "'machine', or 'bus:SUBJECT': a virtual clock fed over the bus"},
};

enum { COMMON_ROWS = sizeof common_rows / sizeof *common_rows, NO_BUS_ROWS = 3 };

static bus_err merge_rows(bus_daemon *daemon)
{
    const bus_config_row *own = daemon->spec->config.rows;
    size_t count = 0, common = daemon->spec->no_bus ? NO_BUS_ROWS : COMMON_ROWS;
    while (own && own[count].name)
        count++;
    daemon->rows = calloc(count + common + 1, sizeof *daemon->rows);
    if (!daemon->rows)
        return bus_fail(BUS_ENOMEM, "settings");
    if (count)
        memcpy(daemon->rows, own, count * sizeof *own);
    memcpy(daemon->rows + count, common_rows, common * sizeof *common_rows);
    daemon->rows[count].preset = daemon->spec->http_preset;
    daemon->config_spec = daemon->spec->config;
    daemon->config_spec.rows = daemon->rows;
    return BUS_OK;
}

static bus_err set_clock(const char *clock)
{
    if (!clock || strcmp(clock, "machine") == 0)
        return BUS_OK;
    if (strncmp(clock, "bus:", 4) != 0 || !clock[4])
        return bus_fail(BUS_EINVAL, "'clock' is '%s'; 'machine' or 'bus:SUBJECT' is wanted", clock);
    bus_clock_virtual((bus_wall){0});
    return BUS_OK;
}

static void log_setting(void *ctx, const char *name, const char *value)
{
    (void)ctx;
    bus_debug("setting %s=%s", name, value);
}

static bus_err load_settings(bus_daemon *daemon, int argc, char **argv, bool *finished)
{
    bus_log_level level = BUS_LOG_INFO;
    bus_err err = merge_rows(daemon);
    bus_secrets_protect(false);
    if (!err)
        err = bus_config_load(&daemon->config, &daemon->config_spec, daemon->settings, argc, argv,
                              &daemon->args, finished);
    if (err || *finished)
        return err;
    bus_secrets_protect(bus_config_holds_secret(daemon->config));
    if (daemon->args.count)
        return bus_fail(BUS_EUSAGE, "'%.80s' is no flag, and %s takes nothing else; see --help",
                        daemon->args.item[0], daemon->spec->config.program);
    if ((err = set_clock(daemon->settings->clock)) ||
        (err = bus_log_level_parse(daemon->settings->log_level, &level)))
        return err;
    bus_log_init(daemon->spec->config.program, level,
                 strcmp(daemon->settings->log_format, "json") == 0 ? BUS_LOG_JSON : BUS_LOG_TEXT);
    for (int i = 0; bus_config_warning(daemon->config, i); i++)
        bus_warn("%s", bus_config_warning(daemon->config, i));
    bus_config_each(daemon->config, log_setting, NULL);
    return BUS_OK;
}

// --- life --------------------------------------------------------------------------------------------

static bus_err open_http(bus_daemon *daemon)
{
    if (!*daemon->settings->http)
        return BUS_OK;
    bus_daemon_http_opts opts = {.address = daemon->settings->http,
                                 .loop = daemon->loop,
                                 .health = ask_probes,
                                 .refresh = refresh_metrics,
                                 .ctx = daemon};
    bus_err err = bus_daemon_http_open(&daemon->http, &opts);
    if (!err)
        bus_info("listening http=%s", bus_daemon_http_bound(daemon->http));
    return err;
}

static bus_err open_parts(bus_daemon *daemon)
{
    bus_err err = bus_loop_open(&daemon->loop);
    if (!err)
        err = bus_waker_open(&daemon->stop_waker, daemon->loop, on_stop_asked, daemon);
    if (err)
        return err;
    catch_signals(daemon);
    daemon->probe_event = event_new(bus_loop_base(daemon->loop), -1, 0, on_probe, daemon);
    if (!daemon->probe_event)
        return bus_fail(BUS_ENOMEM, "probe timer");
    bus_daemon_metrics_add(daemon->spec->config.program);
    return open_http(daemon);
}

static void run(bus_daemon *daemon)
{
    bus_err err = open_parts(daemon);
    if (!err)
        err = daemon->spec->start(daemon, daemon->settings, &daemon->state);
    if (!err && !daemon->ended) {
        on_probe(-1, 0, daemon);
        err = bus_loop_run(daemon->loop);
    }
    if (err)
        bus_daemon_fatal(daemon, err);
}

static void release(bus_daemon *daemon)
{
    if (daemon->state && daemon->spec->release)
        daemon->spec->release(daemon->state);
    bus_daemon_http_close(daemon->http);
    if (daemon->probe_event)
        event_free(daemon->probe_event);
    release_signals();
    bus_waker_close(daemon->stop_waker);
    bus_loop_close(daemon->loop);
    bus_config_free(daemon->config);
    free(daemon->settings);
    free(daemon->rows);
}

int bus_daemon_main(const bus_daemon_spec *spec, int argc, char **argv)
{
    bus_daemon daemon = {.spec = spec, .started = bus_machine_mono()};
    bool finished = false;
    bus_err err = BUS_OK;
    bus_log_init(spec->config.program, BUS_LOG_INFO, BUS_LOG_TEXT);
    bus_memory_json();
    bus_kill_arm();
    daemon.settings = calloc(1, spec->settings_size);
    if (!daemon.settings)
        err = bus_fail(BUS_ENOMEM, "settings");
    if (!err)
        err = load_settings(&daemon, argc, argv, &finished);
    if (err) {
        fprintf(stderr, "%s: %s\n", spec->config.program, bus_err_text());
        daemon.code = err == BUS_EUSAGE ? 2 : 1;
    } else if (!finished) {
        run(&daemon);
    }
    release(&daemon);
    return daemon.code;
}

bus_loop *bus_daemon_loop(bus_daemon *daemon)
{
    return daemon->loop;
}

void bus_daemon_stopped(bus_daemon *daemon)
{
    daemon->ended = true;
    if (daemon->code == 0)
        bus_info("stopped");
    bus_loop_stop(daemon->loop);
}

void bus_daemon_fatal(bus_daemon *daemon, bus_err err)
{
    bus_error("%s (%s)", bus_err_text(), bus_err_name(err));
    daemon->code = 1;
    daemon->ended = true;
    if (daemon->loop)
        bus_loop_stop(daemon->loop);
}
