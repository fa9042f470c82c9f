#include "bus/base/thread.h"

#include <signal.h>
#include <string.h>

bus_err bus_thread_start(pthread_t *out, void *(*run)(void *ctx), void *ctx, const char *what)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int failed = pthread_create(out, NULL, run, ctx);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed ? bus_fail(BUS_EIO, "thread of %s: %s", what, strerror(failed)) : BUS_OK;
}
