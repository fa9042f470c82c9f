#include "test/bench/common/stored.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pid_t stored;

static void give_up(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

void bench_stored_stop(void)
{
    if (stored <= 0)
        return;
    kill(stored, SIGTERM);
    waitpid(stored, NULL, 0);
    stored = 0;
}

// <build>/bench/bench_x -> <build>/bin/stored
static void find_program(char path[4200])
{
    char here[4096];
    ssize_t len = readlink("/proc/self/exe", here, sizeof here - 1);
    if (len <= 0)
        give_up("stored", "where is this program?");
    here[len] = 0;
    for (int up = 0; up < 2; up++)
        *strrchr(here, '/') = 0;
    snprintf(path, 4200, "%s/bin/stored", here);
}

static bool call(bus_conn *conn, const char *method, const char *request, char why[256])
{
    const bus_header_pair json = {"Content-Type", "application/json"};
    char subject[96];
    bus_msg *reply = NULL;
    bus_view fault = {0};
    snprintf(subject, sizeof subject, "svc.virtufin.api.v1.Replay.%s", method);
    bus_err err =
        bus_request(conn, subject, &json, 1, bus_view_of(request), BUS_SPAN_S(10), &reply);
    bool ok = !err && !bus_msg_header(reply, "Nats-Service-Error", &fault);
    if (err)
        snprintf(why, 256, "%s", bus_err_text());
    else if (!ok)
        snprintf(why, 256, "%.*s", BUS_VIEW_ARG(fault));
    bus_msg_release(reply);
    return ok;
}

int bench_stored_start(bus_conn *conn, const char *url)
{
    char program[4200], why[256] = "";
    find_program(program);
    stored = fork();
    if (stored == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 1);
        execl(program, "stored", "--nats-url", url, "--http", "127.0.0.1:0", "--log-level", "warn",
              (char *)NULL);
        _exit(127);
    }
    atexit(bench_stored_stop);
    for (int tries = 0; tries < 200; tries++) {
        if (call(conn, "List", "{}", why))
            return (int)stored;
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
    give_up(program, why);
    return 0;
}

void bench_replay_call(bus_conn *conn, const char *method, const char *request)
{
    char why[256];
    if (!call(conn, method, request, why))
        give_up(method, why);
}

bus_conn *bench_connect(const char *url, bus_profile profile)
{
    bus_conn *conn = NULL;
    if (bus_conn_open(&conn, &(bus_conn_opts){.url = url, .name = "bench", .profile = profile}) ||
        bus_conn_wait(conn, BUS_SPAN_S(10)))
        give_up("connecting", bus_err_text());
    return conn;
}
