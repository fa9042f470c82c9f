// api: requests to the JetStream API as JSON, escaped by jansson, with the broker's errors as ours.
// Internal to bus/nats. Thread: any. Source: schemas/specs/recording.md, "Streams".
#ifndef BUS_NATS_API_H
#define BUS_NATS_API_H

#include <jansson.h>

#include "bus/nats/conn.h"

enum { BUS_API_SUBJECT = 256, BUS_API_TIMEOUT_MS = 5000 };

// bus_api_call sends `body` (borrowed; NULL: empty) and returns the answer (new reference).
//   errors  BUS_ENOTFOUND (404), BUS_EUNAVAILABLE (503, nobody answers), BUS_ECONFLICT (overlap, wrong last
//           sequence), BUS_ESTATE else; the text has the broker's words and number.
bus_err bus_api_call(json_t **answer, bus_conn *conn, const char *subject, const json_t *body);
// bus_api_error turns {"error":{"code","err_code","description"}} of an answer into ours; BUS_OK without one.
bus_err bus_api_error(const json_t *answer, int *err_code);
// bus_api_name_check: [A-Za-z0-9_-]{1,64}: names of streams and buckets, so that nothing else reaches a subject.
bus_err bus_api_name_check(const char *name, const char *what);

#endif
