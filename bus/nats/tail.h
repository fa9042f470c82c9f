// tail: which messages of a window does the stream hold already? Reads the stream from the last acknowledged
// sequence to its end and marks them stored. Needed when an outage was longer than the broker remembers ids, and where there are none.
// Internal to bus/nats. Thread: the publisher's owner. Source: schemas/specs/recording.md, "Writing".
#ifndef BUS_NATS_TAIL_H
#define BUS_NATS_TAIL_H

#include "bus/nats/reader.h"
#include "bus/nats/window.h"

typedef struct bus_tail bus_tail;

typedef struct {
    const char *stream;
    const char *filter; // subject with wildcards; NULL: all
    uint64_t after_seq;
    bool
        by_content; // a message is known by its subject and bytes (no two are alike: events have ids), else by its id
    bus_wake wake;
} bus_tail_opts;
bus_err bus_tail_open(bus_tail **out, bus_conn *conn, const bus_window *window,
                      const bus_tail_opts *opts);
// bus_tail_poll works off what has come; true when the end was reached (or there is no such stream).
bool bus_tail_poll(bus_tail *tail, bus_window *window);
uint64_t bus_tail_last(const bus_tail *tail); // sequence of the last record read; 0: none
void bus_tail_close(bus_tail *tail);          // NULL is fine

#endif
