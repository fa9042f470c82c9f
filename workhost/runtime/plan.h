// plan: what a host tells a runtime: its scenario, its broker, its workers. One line of JSON.
// Thread: one. Source: schemas/specs/workers.md, "Runtime child".
#ifndef WORKHOST_RUNTIME_PLAN_H
#define WORKHOST_RUNTIME_PLAN_H

#include "bus/nats/conn.h"
#include "workhost/engines/engine.h"

enum { WORK_PLAN_WORKERS_MAX = 16, WORK_INPUTS_MAX = 16 };

typedef struct {
    const char *name, *mime, *code, *sha256;
    uint64_t generation;
    bool start_first;
    const char *inputs[WORK_INPUTS_MAX]; // "exchange.…", without a lane
    uint32_t input_count;
    work_setting settings[WORK_SETTINGS_MAX];
    uint32_t setting_count;
} work_plan_worker;

typedef struct {
    const char *scenario, *selector, *portfolio, *strategy; // selector: "" on the act lane
    bool hyp;
    const char *clock; // as the host's: "machine" or "bus:<subject>"
    const char *log_level, *log_format;
    bus_conn_opts conn; // url and credentials; the rest is the runtime's to choose
    work_plan_worker workers[WORK_PLAN_WORKERS_MAX];
    uint32_t worker_count;
    void *owner; // the JSON that all strings point into
} work_plan;

bus_err work_plan_parse(work_plan *out, const char *json, size_t len);
void work_plan_release(work_plan *plan);

#endif
