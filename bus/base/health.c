#include "bus/base/health.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bus_health latest;

void bus_health_put(const bus_health *health)
{
    pthread_mutex_lock(&lock);
    latest = *health;
    pthread_mutex_unlock(&lock);
}

bool bus_health_get(bus_health *out)
{
    pthread_mutex_lock(&lock);
    bool there = latest.daemon != NULL;
    if (there)
        *out = latest;
    pthread_mutex_unlock(&lock);
    return there;
}
