// Any bytes as a value of the bucket `workers`, by everybody who reads one: the runtime (progress and saved state),
// stored (where a worker began), lane (the row it shows). Read or refused; what was read is within its bounds.
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "cli/progress.h"
#include "store/worker_start.h"
#include "workhost/runtime/progress.h"

static void demand(bool ok)
{
    if (!ok)
        abort();
}

static void try_progress(bus_view json)
{
    work_progress p = {.scenario = "bt1", .worker = "sma"};
    if (work_progress_from_json(&p, json))
        return;
    demand(strlen(p.stream) < sizeof p.stream && strlen(p.session) < sizeof p.session);
    demand(strlen(p.runid) < sizeof p.runid && strlen(p.sha256) < sizeof p.sha256);
    demand(p.skipped_count <= WORK_SKIPPED_MAX && strcmp(p.scenario, "bt1") == 0);
    demand(work_progress_run(&p) != NULL);
    uint64_t before = 0;
    for (uint32_t i = 0; i < p.skipped_count; before = p.skipped[i++])
        demand(p.skipped[i] > before && work_progress_skips(&p, p.skipped[i]));
    bool full = p.skipped_count == WORK_SKIPPED_MAX;
    bus_err err = work_progress_skip(&p, before + 1);
    demand(full ? err == BUS_ELIMIT : err == BUS_OK && work_progress_skips(&p, before + 1));
}

static void try_saved(bus_view json)
{
    work_saved s = {0};
    if (work_saved_from_json(&s, json)) {
        demand(s.bytes == NULL);
        return;
    }
    uint8_t sum = 0;
    for (size_t i = 0; i < s.len; i++)
        sum ^= s.bytes[i];
    demand(s.bytes && s.len <= json.len && (sum || !sum));
    demand(strlen(s.session) < sizeof s.session && strlen(s.runid) < sizeof s.runid);
    work_saved_release(&s);
}

static void try_row(bus_view json)
{
    static const char *const keys[] = {"sc.bt1.sma", "sc.bt1.sma.state", "sc."};
    for (size_t i = 0; i < 3; i++) {
        json_t *row = lane_progress_row(bus_view_of(keys[i]), json);
        demand((row != NULL) == (i == 0));
        char *text = row ? json_dumps(row, JSON_COMPACT) : NULL;
        demand(!row || text);
        free(text);
        json_decref(row);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bus_view json = {size ? (const char *)data : NULL, size};
    try_progress(json);
    try_saved(json);
    try_row(json);
    (void)store_worker_start_of(json);
    return 0;
}
