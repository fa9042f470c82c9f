// record: one worker as workhostd knows it and as it stands in the bucket `workers` under worker.<name>.
// Thread: the owner's. Source: schemas/specs/workers.md, "Declaration" and "Records".
#ifndef WORKHOST_RECORD_H
#define WORKHOST_RECORD_H

#include <jansson.h>

#include "bus/nats/kv.h"

enum {
    WORK_NAME_MAX = 32,
    WORK_RECORD_INPUTS = 16,
    WORK_RECORD_SCENARIOS = 64,
    WORK_RECORD_CONFIG = 64,
    WORK_RECORD_TAGS = 50,
};

typedef struct work_record {
    char name[WORK_NAME_MAX + 1];
    char mime[64];
    char inputs[WORK_RECORD_INPUTS][256]; // without a lane
    uint32_t input_count;
    char scenarios[WORK_RECORD_SCENARIOS][WORK_NAME_MAX + 1];
    uint32_t scenario_count;
    json_t *config, *tags, *history; // object, object, array
    bool start_first, running, declared;
    uint64_t generation;
    char file[512];   // the declaration's, or ""
    char source[512]; // where the code came from: a path or a URL; "" inline
    char sha256[65];
    uint64_t bytes; // of the code
    char created_at[40];
    char group[64];
    char error[300]; // why it cannot run, "" when it can; not stored
    uint64_t revision;
} work_record;

bus_err work_record_new(work_record **out, const char *name);
void work_record_free(work_record *record);
// Takes an input as a user wrote it ("act.exchange.…", "hyp.mon.exchange.…" or "exchange.…").
bus_err work_record_add_input(work_record *record, const char *input);
bus_err work_record_add_scenario(work_record *record, const char *scenario);
bool work_record_serves(const work_record *record, const char *scenario);
// New code: hash, history, generation.
void work_record_set_code(work_record *record, const char *sha256, uint64_t bytes,
                          const char *source);

// work_record_from_json: BUS_EDATALOSS, BUS_EINVAL or BUS_ELIMIT name the field that is not as it was written.
bus_err work_record_from_json(work_record **out, bus_view json);
char *work_record_to_json(const work_record *record); // malloc'ed; NULL: no memory
bus_err work_record_store(bus_conn *conn, work_record *record);
bus_err work_record_erase(bus_conn *conn, work_record *record);

#endif
