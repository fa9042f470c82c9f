// compare: is a replayed event the stored one, but for the five attributes a replay sets? Independent of
// the product's re-addressing. Source: schemas/specs/replay.md, "Re-addressing".
#ifndef TEST_TOOLS_COMPARE_H
#define TEST_TOOLS_COMPARE_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/base/view.h"

typedef struct {
    bus_view selector, runid;
} compare_run;

// why: what differs, in words. digest: goes on over everything but runid and walltime.
bool compare_event(bus_view act_subject, bus_view stored, bus_view hyp_subject, bus_view replayed,
                   const compare_run *run, uint64_t *digest, const char **why);

#endif
