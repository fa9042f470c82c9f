#include "workhost/runtime/known.h"

#include <stdlib.h>
#include <string.h>

#include "bus/nats/reader.h"
#include "bus/nats/stream.h"

typedef struct {
    uint64_t id_hash, data_hash; // 64 bits each: a clash among a few thousand is not a worry
    uint64_t seq;                // 0: an empty slot
} slot;

struct work_known {
    slot *slots;
    size_t cap, count; // cap: a power of two
    uint64_t last_input;
};

static uint64_t hash_more(uint64_t h, bus_view v)
{
    for (size_t i = 0; i < v.len; i++)
        h = (h ^ (uint8_t)v.ptr[i]) * 1099511628211u;
    return h;
}

static uint64_t hash_id(bus_view id, bus_view runid)
{
    uint64_t h = hash_more(hash_more(1469598103934665603u, runid) * 31, id);
    return h ^ (h >> 32);
}

static slot *find(slot *slots, size_t cap, uint64_t id_hash)
{
    size_t i = id_hash & (cap - 1);
    while (slots[i].seq && slots[i].id_hash != id_hash)
        i = (i + 1) & (cap - 1);
    return &slots[i];
}

static bool grow(work_known *known)
{
    if (known->count * 2 < known->cap)
        return true;
    size_t cap = known->cap ? known->cap * 2 : 1024;
    slot *slots = calloc(cap, sizeof *slots);
    if (!slots)
        return false;
    for (size_t i = 0; i < known->cap; i++) {
        if (known->slots[i].seq)
            *find(slots, cap, known->slots[i].id_hash) = known->slots[i];
    }
    free(known->slots);
    known->slots = slots;
    known->cap = cap;
    return true;
}

static bus_err add(work_known *known, const bus_record *record, bus_scratch *scratch)
{
    bus_event event;
    if (bus_msg_event(record->msg, &event, scratch))
        return BUS_OK; // not an event, so not ours
    if (!grow(known))
        return bus_fail(BUS_ENOMEM, "ids of stored outputs");
    uint64_t hash = hash_id(event.id, event.runid), input;
    if (bus_view_u64(event.causationseq, &input) && input > known->last_input)
        known->last_input = input;
    slot *s = find(known->slots, known->cap, hash);
    known->count += s->seq == 0;
    *s = (slot){hash, hash_more(1469598103934665603u, event.data), record->seq};
    return BUS_OK;
}

static bus_err read_all(work_known *known, bus_reader *reader, uint64_t last)
{
    bus_err err = BUS_OK;
    bus_scratch scratch = {0};
    bus_mono begin = bus_machine_mono();
    for (bool more = true; more && !err;) {
        bus_record record;
        bus_seq_range gap;
        switch (bus_reader_next(reader, BUS_SPAN_MS(500), &record, &gap)) {
        case BUS_READER_RECORD:
            err = add(known, &record, &scratch);
            more = record.seq < last;
            break;
        case BUS_READER_CAUGHT_UP:
            more = false;
            break;
        case BUS_READER_GAP:
            break;
        case BUS_READER_NOTHING:
        case BUS_READER_ERROR:
            if (bus_mono_since(bus_machine_mono(), begin).ns > BUS_SPAN_S(60).ns)
                err = bus_fail(BUS_ETIMEOUT, "60 s and not read yet");
            break;
        }
    }
    bus_scratch_release(&scratch);
    return err;
}

bus_err work_known_open(work_known **out, bus_conn *conn, const char *stream, uint64_t after_seq)
{
    bus_reader *reader = NULL;
    bus_seq_range range;
    work_known *known = calloc(1, sizeof *known);
    if (!known || !grow(known)) {
        free(known);
        return bus_fail(BUS_ENOMEM, "ids of stored outputs");
    }
    bus_err err = bus_stream_range(conn, stream, &range);
    if (err == BUS_ENOTFOUND || (!err && (range.last <= after_seq || range.last < range.first))) {
        *out = known;
        return BUS_OK;
    }
    uint64_t from = after_seq + 1 > range.first ? after_seq + 1 : range.first;
    bus_reader_opts opts = {.stream = stream, .from_seq = from};
    if (!err)
        err = bus_reader_open(&reader, conn, &opts);
    if (!err)
        err = read_all(known, reader, range.last);
    bus_reader_close(reader);
    if (err) {
        work_known_close(known);
        return bus_note(err, "reading the stored outputs of '%s'", stream);
    }
    *out = known;
    return BUS_OK;
}

void work_known_close(work_known *known)
{
    if (!known)
        return;
    free(known->slots);
    free(known);
}

work_known_answer work_known_find(const work_known *known, bus_view id, bus_view runid,
                                  bus_view data, uint64_t *stored_seq)
{
    if (known->count == 0)
        return WORK_KNOWN_NO;
    const slot *s = find(known->slots, known->cap, hash_id(id, runid));
    if (!s->seq)
        return WORK_KNOWN_NO;
    *stored_seq = s->seq;
    return s->data_hash == hash_more(1469598103934665603u, data) ? WORK_KNOWN_SAME
                                                                 : WORK_KNOWN_OTHER;
}

uint64_t work_known_last_input(const work_known *known)
{
    return known->last_input;
}
