#include "bus/nats/tail.h"

#include <stdlib.h>

#include "bus/nats/frame.h"

enum { RECORDS_A_POLL = 4096 };

struct bus_tail {
    bus_reader *reader;
    bool by_content;
    uint32_t
        mask; // of the table below: message numbers by the hash of what they are known by, 0: free
    uint64_t *numbers;
    uint64_t last;
};

// What a message is known by: its id, or its subject and bytes.
typedef struct {
    bus_view first, second;
} mark;

static uint64_t hash_on(uint64_t h, bus_view v)
{
    for (size_t i = 0; i < v.len; i++)
        h = (h ^ (uint8_t)v.ptr[i]) * 0x100000001b3u;
    return h;
}

static uint64_t hash(mark m)
{
    uint64_t h = hash_on(hash_on(0xcbf29ce484222325u, m.first), m.second);
    return h ^ h >> 32;
}

static mark mark_of(const bus_tail *tail, const bus_window *window, uint64_t number)
{
    bus_frame f = bus_frame_at(bus_window_bytes(window, number));
    return tail->by_content ? (mark){f.subject, f.payload} : (mark){.first = f.id};
}

static void learn(bus_tail *tail, const bus_window *window)
{
    for (uint64_t n = window->head; n < window->tail; n++) {
        const bus_slot *slot = bus_window_slot(window, n);
        if (slot->state != BUS_SLOT_QUEUED || !slot->tries)
            continue;
        mark m = mark_of(tail, window, n);
        if (m.first.len == 0)
            continue;
        uint64_t at = hash(m);
        while (tail->numbers[at & tail->mask])
            at++;
        tail->numbers[at & tail->mask] = n;
    }
}

static void meet(const bus_tail *tail, bus_window *window, const bus_record *record)
{
    mark met = {record->subject, record->payload};
    if (!tail->by_content) {
        met.second = (bus_view){0};
        if (!bus_msg_header(record->msg, "Nats-Msg-Id", &met.first))
            return;
    }
    for (uint64_t at = hash(met); tail->numbers[at & tail->mask]; at++) {
        uint64_t number = tail->numbers[at & tail->mask];
        const bus_slot *slot = bus_window_slot(window, number);
        if (!slot || slot->state != BUS_SLOT_QUEUED)
            continue;
        mark ours = mark_of(tail, window, number);
        if (bus_view_eq(met.first, ours.first) && bus_view_eq(met.second, ours.second)) {
            bus_window_stored(window, number, record->seq, true);
            return;
        }
    }
}

bus_err bus_tail_open(bus_tail **out, bus_conn *conn, const bus_window *window,
                      const bus_tail_opts *opts)
{
    bus_tail *tail = calloc(1, sizeof *tail);
    if (!tail)
        return bus_fail(BUS_ENOMEM, "reading the tail of '%s'", opts->stream);
    tail->by_content = opts->by_content;
    tail->mask = window->slots_max * 2 - 1; // a power of two, never more than half full
    tail->numbers = calloc((size_t)tail->mask + 1, sizeof *tail->numbers);
    bus_err err = tail->numbers ? BUS_OK : bus_fail(BUS_ENOMEM, "ids of the window");
    if (!err)
        err = bus_reader_open(&tail->reader, conn,
                              &(bus_reader_opts){.stream = opts->stream,
                                                 .filters = &opts->filter,
                                                 .filter_count = opts->filter ? 1 : 0,
                                                 .from_seq = opts->after_seq + 1,
                                                 .wake = opts->wake});
    if (err) {
        bus_tail_close(tail);
        return bus_note(err, "reading the tail of '%s'", opts->stream);
    }
    learn(tail, window);
    *out = tail;
    return BUS_OK;
}

bool bus_tail_poll(bus_tail *tail, bus_window *window)
{
    for (int i = 0; i < RECORDS_A_POLL; i++) {
        bus_record record;
        bus_seq_range gap;
        switch (bus_reader_next(tail->reader, (bus_span){0}, &record, &gap)) {
        case BUS_READER_RECORD:
            tail->last = record.seq;
            meet(tail, window, &record);
            break;
        case BUS_READER_GAP:
            break;
        case BUS_READER_CAUGHT_UP:
            return true;
        case BUS_READER_ERROR: // no such stream, or another one of that name: nothing of ours is in it
            return bus_reader_gone(tail->reader);
        case BUS_READER_NOTHING:
            return false;
        }
    }
    return false;
}

uint64_t bus_tail_last(const bus_tail *tail)
{
    return tail->last;
}

void bus_tail_close(bus_tail *tail)
{
    if (!tail)
        return;
    bus_reader_close(tail->reader);
    free(tail->numbers);
    free(tail);
}
