// scenario: one record of the scenario registry: its rules, its transitions, its JSON and protobuf forms.
// Pure: no clock, no bus. Thread: any. Source: schemas/specs/scenarios.md.
#ifndef STORE_SCENARIO_H
#define STORE_SCENARIO_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/base/err.h"
#include "bus/base/time.h"
#include "bus/base/view.h"
#include "virtufin/api/v1/scenarios.pb-c.h"

enum {
    STORE_SCENARIO_ID_MAX = 32,
    STORE_SCENARIO_NAME_MAX = 128, // bytes
    STORE_SCENARIO_PARAMETERS_MAX = 64,
    STORE_SCENARIO_PARAMETER_NAME_MAX = 64,
    STORE_SCENARIO_VALUE_MAX = 1024, // bytes
};

typedef enum {
    STORE_SCENARIO_ACTIVE,
    STORE_SCENARIO_PAUSED,
    STORE_SCENARIO_ARCHIVED,
    STORE_SCENARIO_DELETED,
} store_scenario_status;

typedef struct {
    char *name, *value;
} store_parameter;

typedef struct {
    char id[STORE_SCENARIO_ID_MAX + 1];
    char name[STORE_SCENARIO_NAME_MAX + 1];
    store_scenario_status status;
    bool hyp;                                 // the market's lane; false: act
    char selector[STORE_SCENARIO_ID_MAX + 1]; // "" on act
    bool portfolio_hyp, strategy_hyp;
    char strategy[STORE_SCENARIO_ID_MAX + 1]; // "" when none is named
    store_parameter *parameter;               // sorted by name
    size_t parameters;
    char created[BUS_TIME_TEXT], updated[BUS_TIME_TEXT];
    uint64_t revision; // of the key; 0 when not stored
} store_scenario;

void store_scenario_release(store_scenario *s); // what init, parse or create allocated

const char *store_scenario_status_name(store_scenario_status status);
bool store_scenario_is_live(const char *id); // LIVE in any case of letters

// store_scenario_create checks a request against the rules and fills out (active, stamped `now`).
bus_err store_scenario_create(store_scenario *out,
                              const Virtufin__Api__V1__CreateScenarioRequest *r, bus_wall now);
void store_scenario_live(store_scenario *out, bus_wall now); // the seed of LIVE

// store_scenario_move changes the status, or is BUS_ESTATE naming both states.
bus_err store_scenario_move(store_scenario *s, store_scenario_status to, bus_wall now);

bus_err store_scenario_to_json(const store_scenario *s, char **out, size_t *len); // malloc'ed
// errors name the field and the rule; the caller adds the key
bus_err store_scenario_from_json(store_scenario *out, const char *id, bus_view json);

// Protobuf form: a malloc'ed message, freed with store_scenario_proto_free.
bus_err store_scenario_to_proto(Virtufin__Api__V1__Scenario **out, const store_scenario *s);
void store_scenario_proto_free(Virtufin__Api__V1__Scenario *m);

#endif
