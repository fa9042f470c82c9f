#include "bus/base/daemon_metrics.h"

#include "bus/base/log.h"
#include "bus/base/metrics.h"
#include "bus/base/process.h"
#include "tradelane_version.h"

enum { LEVELS = 4, LABEL_CAP = 64 };

static bus_metric build = {.name = "build_info",
                           .help = "1; the label says which version this is",
                           .kind = BUS_METRIC_GAUGE,
                           .labels = "version=\"" TRADELANE_VERSION "\""};
static bus_metric start_time = BUS_METRIC_TIME(BUS_METRIC_GAUGE, "start_time_seconds",
                                               "Start of the process, seconds since 1970");
static bus_metric ready = BUS_METRIC(BUS_METRIC_GAUGE, "ready", "1 when every probe holds");
static bus_metric resident =
    BUS_METRIC(BUS_METRIC_GAUGE, "resident_memory_bytes", "Memory of the process that is in RAM");
static bus_metric cpu =
    BUS_METRIC_TIME(BUS_METRIC_COUNTER, "cpu_seconds_total", "Processor time, user and system");
static bus_metric fds = BUS_METRIC(BUS_METRIC_GAUGE, "open_fds", "Descriptors that are open");
static bus_metric fds_max = BUS_METRIC(BUS_METRIC_GAUGE, "max_fds", "Descriptors that may be open");
static bus_metric threads = BUS_METRIC(BUS_METRIC_GAUGE, "threads", "Threads of the process");

#define LEVEL(name_)                                                                               \
    {                                                                                              \
        .name = "log_records_total", .help = "Log records by level", .kind = BUS_METRIC_COUNTER,   \
        .labels = "level=\"" name_ "\""                                                            \
    }
static bus_metric records[LEVELS] = {LEVEL("debug"), LEVEL("info"), LEVEL("warn"), LEVEL("error")};

static bus_metric probe[BUS_PROBES_MAX];
static char probe_label[BUS_PROBES_MAX][LABEL_CAP];
static size_t probes;

void bus_daemon_metrics_add(const char *program)
{
    bus_metric *const all[] = {&build, &start_time, &ready,   &resident,
                               &cpu,   &fds,        &fds_max, &threads};
    bus_metrics_program(program);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        bus_metrics_add(all[i]);
    for (int i = 0; i < LEVELS; i++)
        bus_metrics_add(&records[i]);
    bus_metric_set(&build, 1);
    bus_metric_set(&start_time, bus_now_wall().ns);
}

// Probes are added while the daemon starts, so each gets its metric when it is first seen.
static void refresh_probes(const bus_health *health)
{
    for (; probes < health->count; probes++) {
        bus_metric *m = &probe[probes];
        bus_metric_label(probe_label[probes], LABEL_CAP, "probe", health->entry[probes].name);
        *m = (bus_metric){.name = "probe_ready",
                          .help = "1 when this probe holds",
                          .kind = BUS_METRIC_GAUGE,
                          .labels = probe_label[probes]};
        bus_metrics_add(m);
    }
    for (size_t i = 0; i < health->count; i++)
        bus_metric_set(&probe[i], health->entry[i].ready);
}

void bus_daemon_metrics_refresh(const bus_health *health)
{
    bus_process process;
    bus_process_read(&process);
    bus_metric_set(&ready, health->ready);
    bus_metric_set(&resident, process.resident_bytes);
    bus_metric_set(&cpu, process.cpu_ns);
    bus_metric_set(&fds, process.fds);
    bus_metric_set(&fds_max, process.fds_max);
    bus_metric_set(&threads, process.threads);
    for (int i = 0; i < LEVELS; i++)
        bus_metric_set(&records[i], bus_log_count((bus_log_level)i));
    refresh_probes(health);
}
