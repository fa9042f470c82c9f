// kill_point: named places at which a fault test has the process end itself by SIGKILL, so that a death
// falls where it hurts and not only where chance puts it. Inert unless TL_KILL_AT is set when the program
// starts: a pass then costs one load and one branch that is never taken.
// Thread: bus_kill_arm before any other is started; a pass may be on any.
// Source: schemas/specs/faults.md, "Kill points".
#ifndef BUS_BASE_KILL_POINT_H
#define BUS_BASE_KILL_POINT_H

#include <stdbool.h>

extern bool
    bus_kill_armed; // TL_KILL_AT names a point for this life; never changes once threads run

// Reads TL_KILL_AT. What cannot be read arms nothing, and is logged.
void bus_kill_arm(void);
void bus_kill_pass(const char *name);

static inline void bus_kill_point(const char *name)
{
    if (__builtin_expect(bus_kill_armed, 0))
        bus_kill_pass(name);
}

#endif
