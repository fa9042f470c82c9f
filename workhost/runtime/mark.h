// mark: the page a runtime shares with its host: which call it is in, so that the host knows what a
// dead or hanging runtime was doing without a system call per event.
// Written by the runtime, read by the host at any time. Source: schemas/specs/workers.md, "Runtime child".
#ifndef WORKHOST_RUNTIME_MARK_H
#define WORKHOST_RUNTIME_MARK_H

#include <stdatomic.h>
#include <stdint.h>

#include "bus/base/metrics.h"

enum { WORK_MARK_MAGIC = 0x574b4d31, WORK_MARK_BYTES = 4096 };

typedef struct {
    uint32_t magic;
    _Atomic uint32_t busy; // 0: in no call; else 1 + index of the worker
    _Atomic uint64_t seq;  // the input's
    _Atomic int64_t since; // begin of the call, machine's monotonic ns
    _Atomic uint64_t processed;
    _Atomic uint64_t position;    // the sequence up to which all its workers are
    bus_histogram lag;            // act lane: from the receipt of a frame to the call
    bus_histogram waits;          // of the publisher: from sending to acknowledgement
    _Atomic uint64_t passed_over; // inputs that were no events
    int64_t
        clock; // where the host's virtual clock stood when it started the runtime; 0: it has none
} work_mark;

_Static_assert(sizeof(work_mark) <= WORK_MARK_BYTES, "a mark is one page");

// Descriptors and exit codes of a runtime.
enum {
    WORK_FD_HOST = 3,
    WORK_FD_MARK = 4,
    WORK_EXIT_OK = 0,
    WORK_EXIT_AGAIN = 1, // something outside the workers; start it again
    WORK_EXIT_FAILED = 3,
    WORK_EXIT_RETRY = 4,
};

#endif
