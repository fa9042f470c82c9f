// ids: where a run's ids begin, so that no id ever comes twice, whatever the clock does.
// File <folder>/simexd.ids: one decimal number and a newline, replaced by rename; always at least
// 10,000,000 above every id given out. Thread: the owner's. Source: schemas/specs/simexd.md, "Ids".
#ifndef FEEDS_SIM_IDS_H
#define FEEDS_SIM_IDS_H

#include <limits.h>
#include <stdint.h>

#include "bus/base/err.h"
#include "bus/base/time.h"

typedef struct {
    char path[PATH_MAX]; // "": no file
    int64_t until;       // what the file says
} sim_ids;

// sim_ids_open: *base = max(us since 1970, the file's number). folder "": time alone.
bus_err sim_ids_open(sim_ids *ids, const char *folder, bus_wall now, int64_t *base);
// sim_ids_raise keeps the file's promise for ids up to `highest`.
bus_err sim_ids_raise(sim_ids *ids, int64_t highest);

#endif
