// registry: may this subject be published now? A cached watch of the scenario registry, so that the check
// costs no look-up per event. Every publisher on lanes asks before it publishes.
// Thread: the owner's; `wake` comes from the library's. Source: schemas/specs/scenarios.md, "Publish gate".
#ifndef BUS_NATS_REGISTRY_H
#define BUS_NATS_REGISTRY_H

#include "bus/nats/conn.h"

typedef struct bus_registry bus_registry;

typedef enum {
    BUS_REGISTRY_YES,
    BUS_REGISTRY_BAD,          // the subject breaks the lane grammar: never will be
    BUS_REGISTRY_UNREGISTERED, // no such scenario
    BUS_REGISTRY_INACTIVE,     // paused, archived or being deleted: hold the event
    BUS_REGISTRY_NOT_ELEVATED, // sc.LIVE without the elevated role
    BUS_REGISTRY_UNKNOWN,      // the registry has not been read yet: hold the event
} bus_registry_answer;

typedef struct {
    bool elevated; // may publish on sc.LIVE.>; with one account everybody may
    bus_wake wake; // the registry changed: bus_registry_poll
} bus_registry_opts;

// bus_registry_open returns at once; answers are UNKNOWN until the bucket has been read.
bus_err bus_registry_open(bus_registry **out, bus_conn *conn, const bus_registry_opts *opts);
void bus_registry_close(bus_registry *registry);
// bus_registry_poll takes what the watch brought; call on wake, or before a batch of questions.
// Returns true when anything changed.
bool bus_registry_poll(bus_registry *registry);
// Answers from the cache, without I/O. BUS_REGISTRY_YES leaves the error text alone, every other answer
// sets it (bus_err_text): the subject, the scenario and the rule.
bus_registry_answer bus_registry_allow(bus_registry *registry, bus_view subject);
// The answer as an error of a call: OK, INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION,
// PERMISSION_DENIED, UNAVAILABLE.
bus_err bus_registry_err(bus_registry_answer answer);

typedef enum {
    BUS_SCENARIO_NONE, // not registered
    BUS_SCENARIO_ACTIVE,
    BUS_SCENARIO_PAUSED,
    BUS_SCENARIO_ARCHIVED,
    BUS_SCENARIO_DELETED,
    BUS_SCENARIO_BROKEN, // its record cannot be read
} bus_scenario_status;

bus_scenario_status bus_scenario_status_read(bus_view json); // of a record as stored
// What the cache knows of a scenario. json: its record as stored; valid until the next poll.
bus_scenario_status bus_registry_status(bus_registry *registry, bus_view id, bus_view *json);
typedef void (*bus_registry_fn)(void *ctx, bus_view id, bus_scenario_status status, bus_view json);
void bus_registry_each(bus_registry *registry, bus_registry_fn fn, void *ctx);
bool bus_registry_current(const bus_registry *registry); // the bucket has been read once

#endif
