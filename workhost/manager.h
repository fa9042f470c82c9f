// manager: the RPCs of virtufin.workmanager.v1.WorkManager. Thread: the loop's.
// Source: schemas/specs/workers.md, "Service".
#ifndef WORKHOST_MANAGER_H
#define WORKHOST_MANAGER_H

#include "workhost/host.h"

bus_err work_manager_open(work_host_daemon *host, bus_wake wake);

#endif
