// json: text of packed values, into memory that grows. Inside bus/event only.
// Source: schemas/specs/envelope.md, "JSON".
#ifndef BUS_EVENT_JSON_H
#define BUS_EVENT_JSON_H

#include "bus/base/err.h"
#include "bus/event/pack.h"

typedef struct {
    char *buf; // malloc'ed; whoever ends up with it frees it
    size_t len, cap;
    bool failed; // out of memory: further calls do nothing
} json_text;

void json_put(json_text *t, bus_view raw);
void json_put_string(json_text *t, bus_view utf8);  // quoted and escaped
void json_put_base64(json_text *t, bus_view bytes); // quoted
// json_put_packed: one packed value. BUS_EINVAL for what JSON cannot hold.
bus_err json_put_packed(json_text *t, bus_view packed);
// json_finish: NUL-terminates and hands over; frees the text when err is set or memory ran out.
bus_err json_finish(json_text *t, bus_err err, char **out, size_t *len);

#endif
