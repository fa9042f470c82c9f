// runtime: the process in which one scenario's workers run. Started by the host with a plan on
// descriptor 3 and a page on 4; feeds its workers in the recorded order, publishes what they give, keeps
// their progress. Thread: main. Source: schemas/specs/workers.md, "Runtime child".
#ifndef WORKHOST_RUNTIME_RUNTIME_H
#define WORKHOST_RUNTIME_RUNTIME_H

// work_runtime_main is the whole process: exit code as in mark.h.
int work_runtime_main(const char *scenario);

#endif
