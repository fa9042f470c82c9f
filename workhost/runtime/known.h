// known: the outputs a scenario's stream holds already, by id, so that a feed that is repeated after a
// restart does not store them again. Thread: one. Source: schemas/specs/workers.md, "Sessions and feeding".
#ifndef WORKHOST_RUNTIME_KNOWN_H
#define WORKHOST_RUNTIME_KNOWN_H

#include "bus/nats/conn.h"

typedef struct work_known work_known;
typedef enum { WORK_KNOWN_NO, WORK_KNOWN_SAME, WORK_KNOWN_OTHER } work_known_answer;

// Reads what `stream` holds behind `after_seq`; a stream that does not exist holds nothing.
bus_err work_known_open(work_known **out, bus_conn *conn, const char *stream, uint64_t after_seq);
void work_known_close(work_known *known);
// OTHER: the id is there with other data; stored_seq tells where.
work_known_answer work_known_find(const work_known *known, bus_view id, bus_view runid,
                                  bus_view data, uint64_t *stored_seq);
// work_known_last_input: the highest that caused one of them; 0: none.
uint64_t work_known_last_input(const work_known *known);

#endif
