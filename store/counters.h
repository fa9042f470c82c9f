// counters: the metrics of stored. Thread: any.
#ifndef STORE_COUNTERS_H
#define STORE_COUNTERS_H

#include <stdbool.h>
#include <stdint.h>

#include "store/streams.h"

void store_counters_register(bool two_sides); // once, before the metrics are exposed
void store_counters_replayed(uint64_t events);
void store_counters_running(uint32_t replays,
                            uint64_t behind); // behind: the slowest participant of all
// store_counters_late: an event of a paced replay went out so long after it was due.
void store_counters_late(bus_span late);
// store_counters_missing: sequences that a replay's stream no longer held.
void store_counters_missing(uint64_t sequences);
// store_counters_stream: what a stream of the table holds; one that the table has not is passed over.
void store_counters_stream(const bus_stream_info *info);
void store_counters_applied(int changed); // the table was applied; rows created or updated
void store_counters_apply_failed(void);
// store_counters_lease: the lease of a side was taken, or is no longer held.
void store_counters_lease(store_role role, bool held);

#endif
