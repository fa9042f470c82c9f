// fifo: byte records in order of arrival, in one bounded run of memory that grows as needed.
// Used for frames that wait for the publisher, and for events that wait for room in its window.
// Thread: the owner's. Source: schemas/specs/feedd.md, "Connection".
#ifndef FEEDS_FIFO_H
#define FEEDS_FIFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus/base/view.h"

typedef struct {
    int64_t at;      // the owner's: time of receipt
    uint32_t len[3]; // of up to three pieces, one after the other
} feed_fifo_head;

typedef struct {
    char *bytes;
    size_t head, tail, cap, max; // records are in [head, tail)
    uint64_t count;
} feed_fifo;

typedef struct {
    int64_t at;
    bus_view piece[3]; // point into the fifo: until the next push or pop
} feed_fifo_record;

void feed_fifo_init(feed_fifo *f, size_t bytes_max);
void feed_fifo_release(feed_fifo *f);
// feed_fifo_push copies; false when it would not fit bytes_max or memory is out: nothing is kept.
bool feed_fifo_push(feed_fifo *f, int64_t at, const bus_view piece[3]);
bool feed_fifo_front(const feed_fifo *f, feed_fifo_record *out); // false: empty
void feed_fifo_pop(feed_fifo *f);
static inline size_t feed_fifo_bytes(const feed_fifo *f)
{
    return f->tail - f->head;
}

#endif
