// counters: the metrics of stored. Thread: any.
#ifndef STORE_COUNTERS_H
#define STORE_COUNTERS_H

#include <stdint.h>

void store_counters_register(void); // once, before the metrics are exposed
void store_counters_replayed(uint64_t events);
void store_counters_running(uint32_t replays);
void store_counters_applied(int changed); // the table was applied; rows created or updated
void store_counters_apply_failed(void);
void store_counters_lease(int held);

#endif
