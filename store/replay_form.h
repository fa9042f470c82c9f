// replay_form: the picture of a replay as the record in bucket `replays` and as the message ReplayInfo.
// Pure. Thread: any. Source: schemas/specs/replay.md, "The record".
#ifndef STORE_REPLAY_FORM_H
#define STORE_REPLAY_FORM_H

#include "store/replay.h"
#include "virtufin/api/v1/replay.pb-c.h"

bus_err store_replay_to_json(const store_replay_info *info, char **out, size_t *len); // malloc'ed
// What a record tells; what only a running replay knows (rates, who is slow) is left empty.
bus_err store_replay_from_json(store_replay_info *out, const char *selector, bus_view json);

// A malloc'ed message, freed with store_replay_proto_free; NULL when out of memory.
Virtufin__Api__V1__ReplayInfo *store_replay_to_proto(const store_replay_info *info);
void store_replay_proto_free(Virtufin__Api__V1__ReplayInfo *m);

#endif
