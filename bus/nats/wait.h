// wait: a lock with a condition that can be waited for with a limit, in machine time.
// A broker that is away is away in the machine's time, also when the program runs on a virtual clock
// (which may itself come over the bus): waits for peers never use bus_now_mono.
// Thread: any. Source: schemas/specs/recording.md, "Connections".
#ifndef BUS_NATS_WAIT_H
#define BUS_NATS_WAIT_H

#include <pthread.h>
#include <stdbool.h>

#include "bus/base/time.h"

uint64_t bus_machine_random(void); // for jitter and inbox names: never for ids of events

typedef struct {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
} bus_gate;

void bus_gate_init(bus_gate *gate);
void bus_gate_release(bus_gate *gate);
void bus_gate_lock(bus_gate *gate);
void bus_gate_unlock(bus_gate *gate);
void bus_gate_signal(bus_gate *gate); // everybody who waits
// bus_gate_wait gives the lock up while waiting; false when `until` passed.
bool bus_gate_wait(bus_gate *gate, bus_mono until);

#endif
