// json: walks JSON text in place: members and elements as views of the text, nothing copied or changed.
// The bytes of a recorded frame must leave as they came, so they are looked at, never re-written.
// Bounds: 64 containers within containers. Thread: any. Source: schemas/specs/simexd.md, "Capture play".
#ifndef FEEDS_SIM_JSON_H
#define FEEDS_SIM_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/base/view.h"

typedef struct {
    const char *at, *end;
    bool first; // no comma is due yet
    bool bad;   // the text is not JSON at `at`
} sim_json;

// sim_json_value cuts the first value (blanks before it skipped) off text; false when there is none.
bool sim_json_value(bus_view *text, bus_view *value);
// sim_json_open begins a walk through an object or array; false when value is neither.
bool sim_json_open(sim_json *it, bus_view value);
// sim_json_member, sim_json_element: the next one; false at the end, or with it->bad.
//   key   without quotes, escapes left as they are
bool sim_json_member(sim_json *it, bus_view *key, bus_view *value);
bool sim_json_element(sim_json *it, bus_view *value);
// sim_json_get: the value of the first member `key`; false when absent.
bool sim_json_get(bus_view object, const char *key, bus_view *value);
// sim_json_text: a string's inside; false when value is no string or holds an escape.
bool sim_json_text(bus_view value, bus_view *out);
bool sim_json_int(bus_view value, int64_t *out);

#endif
