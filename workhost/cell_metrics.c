#include "workhost/cell_metrics.h"

typedef struct {
    bus_metric *metric;
    bus_metric_kind kind;
    const char *name, *help;
} row;

enum { ROWS = 10 };

static void rows_of(work_cell_metrics *m, row out[ROWS])
{
    const row rows[ROWS] = {
        {&m->online, BUS_METRIC_GAUGE, "runtime_online", "1 while the scenario's runtime works"},
        {&m->inputs, BUS_METRIC_COUNTER, "runtime_inputs_total",
         "inputs the runtime took since it was started"},
        {&m->passed_over, BUS_METRIC_COUNTER, "runtime_inputs_passed_over_total",
         "inputs among them that were no events"},
        {&m->position, BUS_METRIC_GAUGE, "runtime_position_sequence",
         "sequence of the market's stream up to which all its workers are"},
        {&m->restarts, BUS_METRIC_COUNTER, "runtime_restarts_total",
         "times the runtime was started again"},
        {&m->deaths, BUS_METRIC_COUNTER, "runtime_deaths_total",
         "times it ended without being asked, or was killed in a call"},
        {&m->failures, BUS_METRIC_COUNTER, "call_failures_total", "calls that reported a failure"},
        {&m->letters, BUS_METRIC_COUNTER, "dead_letters_total",
         "inputs given up and set aside as dead letters"},
        {&m->lag, BUS_METRIC_HISTOGRAM, "frame_to_worker_seconds",
         "on the act lane: from the receipt of a frame to the call of a worker with its event"},
        {&m->waits, BUS_METRIC_HISTOGRAM, "runtime_publish_to_ack_seconds",
         "from the first sending of an output to its acknowledgement"},
    };
    for (int i = 0; i < ROWS; i++)
        out[i] = rows[i];
}

void work_cell_metrics_add(work_cell_metrics *m, const char *scenario)
{
    row rows[ROWS];
    rows_of(m, rows);
    bus_metric_label(m->label, sizeof m->label, "scenario", scenario);
    for (int i = 0; i < ROWS; i++) {
        *rows[i].metric = (bus_metric){
            .name = rows[i].name, .help = rows[i].help, .kind = rows[i].kind, .labels = m->label};
        bus_metrics_add(rows[i].metric);
    }
}

void work_cell_metrics_remove(work_cell_metrics *m)
{
    row rows[ROWS];
    rows_of(m, rows);
    for (int i = 0; i < ROWS; i++)
        bus_metrics_remove(rows[i].metric);
}

void work_cell_metrics_take(work_cell_metrics *m, const work_mark *mark, bool online,
                            uint64_t restarts)
{
    bus_metric_set(&m->online, online);
    bus_metric_set(&m->restarts, (int64_t)restarts);
    if (!mark)
        return;
    bus_metric_set(&m->inputs, (int64_t)atomic_load(&mark->processed));
    bus_metric_set(&m->passed_over, (int64_t)atomic_load(&mark->passed_over));
    bus_metric_set(&m->position, (int64_t)atomic_load(&mark->position));
    bus_histogram_copy(&m->lag.histogram, &mark->lag);
    bus_histogram_copy(&m->waits.histogram, &mark->waits);
}
