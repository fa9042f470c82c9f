#include "bus/base/daemon.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus/base/log.h"
#include "test/support/test.h"

// Source: schemas/specs/daemons.md. Each case runs a small daemon in a child process.
typedef struct {
    bus_daemon_settings common;
    const char *mode; // what the toy does wrong
} toy_settings;

static const bus_config_row toy_rows[] = {
    {.name = "mode",
     .offset = BUS_CONFIG_FIELD(toy_settings, mode),
     .preset = "good",
     .help = "what the toy does"},
    {.name = NULL},
};

typedef struct {
    bus_daemon *daemon;
    const char *mode;
    bool up;
    bus_timer *timer, *end;
} toy;

static bool toy_ready(void *ctx, char *why, size_t cap)
{
    toy *t = ctx;
    if (!t->up)
        snprintf(why, cap, "no \"peer\" yet");
    return t->up;
}

static void toy_tick(void *ctx, bus_mono now)
{
    toy *t = ctx;
    (void)now;
    bus_info("tick at %lld s", (long long)(bus_now_wall().ns / 1000000000));
    t->up = true;
}

static void toy_drained(void *ctx, bus_mono now)
{
    toy *t = ctx;
    (void)now;
    bus_daemon_stopped(t->daemon);
}

static bus_err toy_start(bus_daemon *daemon, void *ctx, void **state)
{
    toy_settings *settings = ctx;
    toy *t = calloc(1, sizeof *t);
    t->daemon = daemon;
    t->mode = settings->mode;
    *state = t;
    if (strcmp(t->mode, "fails") == 0)
        return bus_fail(BUS_EINTERNAL, "cannot start");
    bus_daemon_probe(daemon, (bus_probe){"peer", toy_ready, t});
    test_ok(bus_timer_open(&t->timer, bus_daemon_loop(daemon), toy_tick, t));
    bool never = strcmp(t->mode, "unready") == 0;
    bus_timer_start(t->timer, never ? BUS_SPAN_S(1000) : BUS_SPAN_MS(20), (bus_span){0});
    return BUS_OK;
}

static void toy_stop(bus_daemon *daemon, void *state)
{
    toy *t = state;
    if (strcmp(t->mode, "hangs") == 0)
        return; // never says that it stopped
    if (strcmp(t->mode, "drains") != 0) {
        bus_daemon_stopped(daemon);
        return;
    }
    t->up = false;
    test_ok(bus_timer_open(&t->end, bus_daemon_loop(daemon), toy_drained, t));
    bus_timer_start(t->end, BUS_SPAN_MS(700), (bus_span){0}); // longer than readiness goes unasked
}

static void toy_release(void *state)
{
    toy *t = state;
    bus_timer_close(t->timer);
    bus_timer_close(t->end);
    free(t);
}

static const bus_daemon_spec toy_spec = {
    .config = {.program = "toyd", .purpose = "a toy", .rows = toy_rows},
    .http_preset = "127.0.0.1:0",
    .settings_size = sizeof(toy_settings),
    .start = toy_start,
    .stop = toy_stop,
    .release = toy_release,
};

typedef struct {
    pid_t pid;
    char path[300];
    char text[16384]; // what it wrote so far
} child;

static child given_daemon(const char *first, const char *second)
{
    child c = {0};
    snprintf(c.path, sizeof c.path, "%s/out", test_tmp());
    char *argv[] = {"toyd", (char *)first, (char *)second, NULL};
    c.pid = fork();
    if (c.pid == 0) {
        int fd = open(c.path, O_RDWR | O_CREAT | O_TRUNC, 0600);
        dup2(fd, STDERR_FILENO);
        dup2(fd, STDOUT_FILENO);
        int code = bus_daemon_main(&toy_spec, first ? second ? 3 : 2 : 1, argv);
        fflush(NULL);
        _exit(code);
    }
    return c;
}

static void read_text(child *c)
{
    int fd = open(c->path, O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read(fd, c->text, sizeof c->text - 1);
    c->text[n < 0 ? 0 : n] = '\0';
    if (fd >= 0)
        close(fd);
}

static const char *await(child *c, const char *part)
{
    for (int i = 0; i < 1000; i++) {
        read_text(c);
        const char *at = strstr(c->text, part);
        if (at && strchr(at, '\n'))
            return at;
        usleep(10000);
    }
    cr_assert_fail("'%s' is not in: %s", part, c->text);
    return "";
}

static int end_of(child *c)
{
    int status = 0;
    waitpid(c->pid, &status, 0);
    read_text(c);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int port_of(child *c)
{
    return atoi(await(c, "http=127.0.0.1:") + strlen("http=127.0.0.1:"));
}

// One request; the whole answer.
static const char *ask(int port, const char *request)
{
    static char answer[32768];
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char text[512];
    size_t len = 0;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    int n =
        snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", request);
    cr_assert_eq(write(fd, text, (size_t)n), n);
    for (ssize_t got; (got = read(fd, answer + len, sizeof answer - 1 - len)) > 0;)
        len += (size_t)got;
    answer[len] = '\0';
    close(fd);
    return answer;
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

Test(daemon, becomes_ready_serves_its_pages_and_ends_on_sigterm)
{
    child c = given_daemon(NULL, NULL);
    int port = port_of(&c);
    await(&c, "ready in ");
    const char *answer = ask(port, "GET /health");
    cr_expect(begins(answer, "HTTP/1.1 200"), "%s", answer);
    json_t *health = json_loads(strstr(answer, "\r\n\r\n"), 0, NULL);
    cr_assert_not_null(health, "%s", answer);
    cr_expect_str_eq(json_string_value(json_object_get(health, "status")), "ready");
    cr_expect_eq(json_array_size(json_object_get(health, "entries")), 1);
    json_decref(health);
    cr_expect(begins(ask(port, "GET /health/live"), "HTTP/1.1 200"));
    answer = ask(port, "GET /metrics");
    cr_expect(begins(answer, "HTTP/1.1 200"));
    cr_expect_not_null(strstr(answer, "\ntradelane_toyd_ready 1\n"));
    cr_expect_not_null(strstr(answer, "tradelane_toyd_log_records_total{level=\"info\"}"));
    cr_expect(begins(ask(port, "GET /nothing"), "HTTP/1.1 404"));
    cr_expect(begins(ask(port, "POST /health"), "HTTP/1.1 405"));
    kill(c.pid, SIGTERM);
    cr_expect_eq(end_of(&c), 0);
    cr_expect_not_null(strstr(c.text, "stopped"));
}

Test(daemon, says_not_that_it_is_unready_while_it_ends)
{
    child c = given_daemon("--mode", "drains");
    await(&c, "ready in ");
    kill(c.pid, SIGTERM);
    cr_expect_eq(end_of(&c), 0);
    cr_expect_not_null(strstr(c.text, "stopped"));
    cr_expect_null(strstr(c.text, "not ready"), "%s", c.text);
}

Test(daemon, is_live_but_not_ready_while_a_peer_is_missing)
{
    child c = given_daemon("--mode", "unready");
    int port = port_of(&c);
    const char *answer = ask(port, "GET /health");
    cr_expect(begins(answer, "HTTP/1.1 503"), "%s", answer);
    json_t *health = json_loads(strstr(answer, "\r\n\r\n"), 0, NULL);
    cr_assert_not_null(health, "%s", answer);
    json_t *entry = json_array_get(json_object_get(health, "entries"), 0);
    cr_expect_str_eq(json_string_value(json_object_get(entry, "why")), "no \"peer\" yet");
    json_decref(health);
    cr_expect(begins(ask(port, "GET /health/live"), "HTTP/1.1 200"));
    await(&c, "not ready: peer: no \"peer\" yet");
    kill(c.pid, SIGINT);
    cr_expect_eq(end_of(&c), 0);
}

Test(daemon, names_the_port_that_is_in_use)
{
    child first = given_daemon(NULL, NULL);
    char address[64];
    snprintf(address, sizeof address, "127.0.0.1:%d", port_of(&first));
    child second = given_daemon("--http", address);
    cr_expect_eq(end_of(&second), 1);
    cr_expect_not_null(strstr(second.text, address));
    cr_expect_not_null(strstr(second.text, "the port is in use by another process"));
    kill(first.pid, SIGTERM);
    cr_expect_eq(end_of(&first), 0);
}

Test(daemon, refuses_a_wrong_address)
{
    child c = given_daemon("--http", "127.0.0.1:70000");
    cr_expect_eq(end_of(&c), 1);
    cr_expect_not_null(strstr(c.text, "'http' is '127.0.0.1:70000'"));
}

Test(daemon, exits_2_on_wrong_usage_and_1_on_a_failed_start)
{
    child usage = given_daemon("--unheard-of", NULL);
    cr_expect_eq(end_of(&usage), 2);
    child surplus = given_daemon("--mode=good", "extra");
    cr_expect_eq(end_of(&surplus), 2);
    cr_expect_not_null(strstr(surplus.text, "'extra' is no flag"));
    child failed = given_daemon("--mode", "fails");
    cr_expect_eq(end_of(&failed), 1);
    cr_expect_not_null(strstr(failed.text, "cannot start"));
    child help = given_daemon("--help", NULL);
    cr_expect_eq(end_of(&help), 0);
    cr_expect_not_null(strstr(help.text, "; TRADELANE_LOG_LEVEL]"));
    cr_expect_not_null(strstr(help.text, "_HTTP]"));
    cr_expect_null(strstr(help.text, "; TRADELANE_HTTP]"));
}

Test(daemon, ends_at_once_on_a_second_signal)
{
    child c = given_daemon("--mode", "hangs");
    await(&c, "ready in ");
    kill(c.pid, SIGTERM);
    await(&c, "stopping");
    kill(c.pid, SIGINT); // the same one, passed on by somebody
    usleep(300000);
    cr_expect_eq(waitpid(c.pid, NULL, WNOHANG), 0);
    kill(c.pid, SIGTERM);
    cr_expect_eq(end_of(&c), 1);
    cr_expect_not_null(strstr(c.text, "second signal"));
}

Test(daemon, ends_after_5_seconds_when_stopping_hangs, .timeout = 20)
{
    child c = given_daemon("--mode", "hangs");
    await(&c, "ready in ");
    bus_mono begin = bus_machine_mono();
    kill(c.pid, SIGTERM);
    cr_expect_eq(end_of(&c), 1);
    int64_t took_ms = bus_mono_since(bus_machine_mono(), begin).ns / 1000000;
    cr_expect(took_ms >= 4000 && took_ms < 8000, "%lld ms", (long long)took_ms);
    cr_expect_not_null(strstr(c.text, "longer than 5 s"));
}

Test(daemon, a_virtual_clock_begins_at_zero_and_stands_still)
{
    child c = given_daemon("--clock", "bus:clock.test");
    await(&c, "listening");
    cr_expect(begins(c.text, "1970-01-01T00:00:00.000000000Z"), "%s", c.text);
    usleep(200000);
    read_text(&c);
    cr_expect_null(strstr(c.text, "tick"), "20 virtual ms have not passed");
    kill(c.pid, SIGTERM);
    cr_expect_eq(end_of(&c), 0);
    child wrong = given_daemon("--clock", "sundial");
    cr_expect_eq(end_of(&wrong), 1);
    cr_expect_not_null(strstr(wrong.text, "'clock' is 'sundial'"));
}
