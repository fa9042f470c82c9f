// cell_metrics: what one runtime measures, as metrics labelled with its scenario. Part of cell.h.
// Thread: the loop's. Source: schemas/specs/daemons.md, "Metrics".
#ifndef WORKHOST_CELL_METRICS_H
#define WORKHOST_CELL_METRICS_H

#include "bus/base/metrics.h"
#include "workhost/runtime/mark.h"

typedef struct {
    bus_metric online, inputs, passed_over, position, restarts, deaths, failures, letters, lag,
        waits;
    char label[64];
} work_cell_metrics;

// They stay where they are until work_cell_metrics_remove.
void work_cell_metrics_add(work_cell_metrics *m, const char *scenario);
void work_cell_metrics_remove(work_cell_metrics *m);
// work_cell_metrics_take reads the page of the runtime; NULL: none runs, and what was read last stays.
void work_cell_metrics_take(work_cell_metrics *m, const work_mark *mark, bool online,
                            uint64_t restarts);

#endif
