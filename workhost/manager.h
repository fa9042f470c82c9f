// manager: the RPCs of virtufin.workmanager.v1.WorkManager. Thread: the loop's.
// Source: schemas/specs/workers.md, "Service".
#ifndef WORKHOST_MANAGER_H
#define WORKHOST_MANAGER_H

#include "workhost/host.h"

bus_err work_manager_open(work_host_daemon *host, bus_wake wake);
void work_manager_poll(work_host_daemon *host); // calls that waited for their code
void work_manager_close(work_host_daemon *host);

#endif
