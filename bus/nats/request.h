// request: who waits for an answer on one connection, and what ends the wait: the answer, the connection's loss, or the
// broker's no to the subject. One subscription for all of them.
// Internal to bus/nats; bus_request is in conn.h. Thread: any. Source: schemas/specs/recording.md, "Connections".
#ifndef BUS_NATS_REQUEST_H
#define BUS_NATS_REQUEST_H

#include "bus/nats/conn.h"
#include "bus/nats/wait.h"

typedef struct bus_waiting bus_waiting;
typedef struct {
    bus_gate gate; // guards what follows
    bus_waiting *list;
    uint64_t last; // number of the last request
    char inbox[48];
    size_t inbox_len;
    bus_sub *answers; // opened by the first request
} bus_requests;

void bus_requests_init(bus_requests *requests);
void bus_requests_stop(
    bus_requests *requests); // nobody waits any more; while there is a connection
void bus_requests_release(bus_requests *requests); // nothing of the library's will look any more
void bus_requests_look(
    void *requests); // something ended, or the broker said no: everybody looks whether it was him

#endif
