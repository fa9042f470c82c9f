// planner: which runtime a scenario needs: its record and the workers that serve it, as the line of JSON
// that the runtime gets. Thread: the loop's. Source: schemas/specs/workers.md, "Runtime child".
#ifndef WORKHOST_PLANNER_H
#define WORKHOST_PLANNER_H

#include "bus/base/daemon.h"
#include "workhost/roster.h"

// *plan is malloc'ed (one line, no line break), or NULL when no running worker serves the scenario. Two
// equal plans are equal bytes.
bus_err work_plan_make(char **plan, const work_roster *roster, const bus_daemon_settings *daemon,
                       bus_view scenario, bus_view record_json);

// Whether this is the record that scenario LIVE has: the act lane throughout.
bool work_plan_is_live(bus_view record_json);

#endif
