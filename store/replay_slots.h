// replay_slots: the replays by selector: what runs, what is known of the last one, who watches. The state
// of the Replay service, shared by its calls (replay_calls.c) and its polling (replays.c).
// Thread: the keeper's. Source: schemas/specs/replay.md.
#ifndef STORE_REPLAY_SLOTS_H
#define STORE_REPLAY_SLOTS_H

#include "store/replays.h"

typedef struct store_slot {
    store_replay *replay;   // NULL: none runs
    bool started;           // `replay` has: until then `info` and record are the last one's
    bool known;             // `info` is of a replay that started once
    store_replay_info info; // as last seen
    uint64_t written;       // info.change as last recorded
    uint64_t written_sent;
    bus_mono written_at;
    uint64_t counted, counted_missing; // of the run's figures: in the metrics
    struct store_slot *next;
    char selector[BUS_LANE_NAME_MAX + 1];
} store_slot;

typedef struct store_watcher {
    bus_call *call;
    store_slot *slot;
    bus_span interval;
    bus_mono next;
    uint64_t change; // last sent
    bool sent;
    struct store_watcher *next_watcher;
} store_watcher;

struct store_replays {
    store_replays_opts opts;
    store_slot *slots; // sorted by selector
    store_watcher *watchers;
    uint32_t watcher_count, running;
};

enum { STORE_WATCHERS_MAX = 256 };

store_slot *store_slot_find(store_replays *replays, const char *selector); // NULL: none
store_slot *store_slot_make(store_replays *replays, const char *selector); // NULL: out of memory
// A replay by selector, or by the id of the replay or of its run; NULL: none.
store_slot *store_slot_of(store_replays *replays, const char *name);
// The slot of a selector on which there is or was a replay; else BUS_ENOTFOUND.
bus_err store_slot_known(store_replays *replays, const char *selector, store_slot **out);
// store_slot_poll takes what its replay has said: answers calls, keeps the picture, writes the record, lets
// go of a replay that is over.
void store_slot_poll(store_replays *replays, store_slot *slot, bus_mono now);
void store_slot_reply(bus_call *call,
                      const store_replay_info *info); // ends the call with ReplayInfo
// store_watcher_feed sends a picture when one is due; false: the caller was told the end, or is gone.
bool store_watcher_feed(store_watcher *watcher, bus_mono now);

#endif
