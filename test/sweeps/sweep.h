// sweep: an operation again and again, with its 1st, 2nd, … allocation failing, until none is left to fail.
// Each n is tried twice: that one allocation fails; it and all behind it fail. Every run ends as an error of memory, keeps
// nothing, and is possible again; or, where JSON is made or read, in the process's end by name.
// Thread: the test's; allocations of other threads never fail. Source: schemas/specs/daemons.md, "Memory".
#ifndef TEST_SWEEPS_SWEEP_H
#define TEST_SWEEPS_SWEEP_H

#include <stdbool.h>

#include "bus/base/err.h"

typedef struct {
    const char *name;
    // Does all of it and gives everything back, whatever the outcome.
    bus_err (*run)(void *ctx);
    void *ctx;
    int allocations_min; // fewer, and the operation is not the one that was meant
    bool can_do_without; // a failure may also be made up for: BUS_OK
    bool may_end;        // by bus_memory_out: each n gets a process of its own
} sweep_case;

void sweep_allocations(const sweep_case *c);
// sweep_given_allocator ends the test as skipped under valgrind, and as failed where support/alloc is not in front.
void sweep_given_allocator(void);

#endif
