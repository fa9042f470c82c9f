// daemon.ready_ms.*, daemon.pss_kib.*: from fork to the line that says "ready" with a broker (and for feedd a venue)
// present, and what a daemon holds when it has nothing to do, two seconds later.
// There is no reference: it is held against 50 ms and 12,288 KiB.
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "test/bench/common/bench.h"
#include "test/bench/common/broker.h"
#include "test/bench/common/venue.h"

enum { REPS = 5, DAEMONS = 4, IDLE_S = 2 };

static char url[64];
static bench_series ready[DAEMONS], pss[DAEMONS], runtime;

static void start(int i, bench_daemon *d, const char *name, const char *const *args)
{
    int64_t since = bench_now_ns();
    bench_daemon_start(d, name, args);
    bench_daemon_line(d, "ready in ", NULL, 0);
    bench_add(&ready[i], (double)(bench_now_ns() - since) / 1e6);
}

static void one(void)
{
    static const char workers[] = TL_SOURCE_DIR "/examples/workers";
    bench_daemon d[DAEMONS];
    char ws[64], rest[64];
    start(0, &d[0], "stored", (const char *const[]){"--nats-url", url, NULL});
    start(1, &d[1], "simexd",
          (const char *const[]){"--listen", "127.0.0.1:0", "--rate", "1", NULL});
    int port = bench_daemon_port(&d[1], "listening venue=");
    snprintf(ws, sizeof ws, "ws://127.0.0.1:%d", port);
    snprintf(rest, sizeof rest, "http://127.0.0.1:%d", port);
    start(2, &d[2], "feedd",
          (const char *const[]){"--nats-url", url, "--ws-url", ws, "--rest-url", rest, NULL});
    start(3, &d[3], "workhostd",
          (const char *const[]){"--nats-url", url, "--workers-dir", workers, "--code-dir",
                                bench_folder(), NULL});
    sleep(IDLE_S);
    for (int i = 0; i < DAEMONS; i++)
        bench_add(&pss[i], (double)bench_pss_kib(d[i].pid));
    bench_add(&runtime, (double)bench_children_pss_kib(d[3].pid));
    for (int i = DAEMONS - 1; i >= 0; i--)
        bench_daemon_stop(&d[i]);
    usleep(500000); // the next start is a cold one: nobody wrote just before
}

int main(void)
{
    static const char *const name[] = {"stored", "simexd", "feedd", "workhostd"};
    char bench[64];
    bench_broker_start(url, sizeof url);
    for (int rep = 0; rep < REPS; rep++)
        one();
    for (int i = 0; i < DAEMONS; i++) {
        snprintf(bench, sizeof bench, "daemon.ready_ms.%s", name[i]);
        bench_print(&(bench_figure){.bench = bench,
                                    .unit = "ms",
                                    .ours = &ready[i],
                                    .workload = "fork to ready, its peers present",
                                    .events = 1});
    }
    for (int i = 0; i <= DAEMONS; i++) {
        snprintf(bench, sizeof bench, "daemon.pss_kib.%s", i < DAEMONS ? name[i] : "runtime");
        bench_print(&(bench_figure){.bench = bench,
                                    .unit = "KiB",
                                    .ours = i < DAEMONS ? &pss[i] : &runtime,
                                    .workload = i < DAEMONS ? "two seconds after ready"
                                                            : "LIVE's process, with one worker",
                                    .events = 1});
    }
    return 0;
}
