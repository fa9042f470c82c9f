// cell: one scenario's runtime under supervision: started, watched, started again, its poison set aside.
//   IDLE -> STARTING -> ONLINE -> STOPPING -> IDLE;  deaths: WAITING (back-off) or LETTER (a dead letter is
//   being written) -> STARTING;  FAILED until the plan changes
// Thread: the loop's. Source: schemas/specs/workers.md, "Calls".
#ifndef WORKHOST_CELL_H
#define WORKHOST_CELL_H

#include "workhost/host.h"

typedef enum {
    WORK_CELL_IDLE,
    WORK_CELL_STARTING,
    WORK_CELL_ONLINE,
    WORK_CELL_STOPPING,
    WORK_CELL_WAITING,
    WORK_CELL_LETTER,
    WORK_CELL_FAILED,
} work_cell_state;

bus_err work_cell_open(work_cell **out, work_host_daemon *host, const char *scenario);
void work_cell_close(work_cell *cell); // kills what runs
const char *work_cell_scenario(const work_cell *cell);
// work_cell_want: this plan from now on (taken over; NULL: none). kill: at once, without an orderly stop.
void work_cell_want(work_cell *cell, char *plan, bool kill);
void work_cell_turn(work_cell *cell, bus_mono now); // call every 50 ms
// work_cell_recover starts now what waits for its back-off or has failed. False: nothing to start, or it
// could not be started.
bool work_cell_recover(work_cell *cell);
bool work_cell_idle(const work_cell *cell);    // nothing runs and nothing is wanted
bool work_cell_settled(const work_cell *cell); // has told how it is since it was wanted
// The publisher's answer to a dead letter.
bool work_cell_letter_acked(work_cell *cell, const bus_ack *ack);

typedef struct {
    work_cell_state state;
    bool waits; // online, and what it needs has been missing for seconds
    const char *state_name, *error;
    pid_t pid;
    uint64_t restarts;
} work_cell_info;
work_cell_info work_cell_tell(const work_cell *cell);
void work_cell_measure(work_cell *cell); // brings its metrics up to date
bool work_cell_has(const work_cell *cell, const char *worker);

#endif
