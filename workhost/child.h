// child: one runtime process: started, listened to, ended. What it means is cell.h's matter.
// Thread: the loop's, which must be the program's main thread: the child dies with it.
// Source: schemas/specs/workers.md, "Runtime child".
#ifndef WORKHOST_CHILD_H
#define WORKHOST_CHILD_H

#include <jansson.h>
#include <sys/types.h>

#include "bus/base/loop.h"
#include "workhost/runtime/mark.h"

typedef struct work_child work_child;
typedef struct {
    bus_loop *loop;
    const char *scenario;
    const char *plan; // one line
    void (*on_message)(void *ctx, const json_t *message);
    // Called once; status as from waitpid. The child is to be freed then, from within is fine.
    void (*on_exit)(void *ctx, int status);
    void *ctx;
} work_child_opts;

bus_err work_child_start(work_child **out, const work_child_opts *opts);
pid_t work_child_pid(const work_child *child);
void work_child_signal(work_child *child, int signal_number);
const work_mark *work_child_mark(const work_child *child);
void work_child_free(work_child *child); // kills it if it still runs, and reaps

#endif
