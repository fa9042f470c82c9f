#include "bus/nats/wait.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

uint64_t bus_machine_random(void)
{
    uint64_t value = 0;
    if (getrandom(&value, sizeof value, 0) != (ssize_t)sizeof value)
        value = (uint64_t)bus_machine_mono().ns * 0x9e3779b97f4a7c15u;
    return value;
}

void bus_gate_init(bus_gate *gate)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&gate->mutex, NULL);
    pthread_cond_init(&gate->cond, &attr);
    pthread_condattr_destroy(&attr);
}

void bus_gate_release(bus_gate *gate)
{
    pthread_cond_destroy(&gate->cond);
    pthread_mutex_destroy(&gate->mutex);
}

void bus_gate_lock(bus_gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
}

void bus_gate_unlock(bus_gate *gate)
{
    pthread_mutex_unlock(&gate->mutex);
}

void bus_gate_signal(bus_gate *gate)
{
    pthread_cond_broadcast(&gate->cond);
}

bool bus_gate_wait(bus_gate *gate, bus_mono until)
{
    struct timespec ts = {.tv_sec = until.ns / 1000000000, .tv_nsec = until.ns % 1000000000};
    return pthread_cond_timedwait(&gate->cond, &gate->mutex, &ts) != ETIMEDOUT;
}
