// json: records and answers of the bus as JSON objects, read and made. Thread: any.
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include <jansson.h>

#include "bus/base/view.h"

json_t *lane_json_parse(bus_view text); // an object or array, new reference; NULL: it is neither
const char *lane_json_text(const json_t *object, const char *field); // "" when there is none
// lane_json_u64: protobuf's JSON has 64-bit integers as strings. 0 when there is none.
uint64_t lane_json_u64(const json_t *object, const char *field);
json_t *lane_json_view(bus_view text); // a string; bytes that are not UTF-8 become null
json_t *lane_json_time(int64_t ns);

#endif
