// thread: a thread of a daemon's own beside its main one. Signals stay with the main thread, whose loop
// they end. Thread: any.
#ifndef BUS_BASE_THREAD_H
#define BUS_BASE_THREAD_H

#include <pthread.h>

#include "bus/base/err.h"

// bus_thread_start: `what` is for the error: "the keeper".
bus_err bus_thread_start(pthread_t *out, void *(*run)(void *ctx), void *ctx, const char *what);

#endif
