// http: one GET from a server on loopback. Thread: main; blocks for at most 30 s.
#ifndef CLI_HTTP_H
#define CLI_HTTP_H

#include <jansson.h>

#include "bus/base/err.h"

// lane_http_json: the answer's JSON (new reference) and its status; NULL body when it is no JSON.
bus_err lane_http_json(int port, const char *path, int *status, json_t **body);
// lane_http_answer_read: the same of an answer that was received. It ends in a NUL, at answer[len], and is changed.
//   errors  BUS_EINVAL: no HTTP
bus_err lane_http_answer_read(char *answer, size_t len, int *status, json_t **body);

#endif
