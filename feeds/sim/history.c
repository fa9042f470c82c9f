#include "feeds/sim/history.h"

#include <stdlib.h>
#include <string.h>

enum { SEGMENT_FRAMES = 512 };

typedef struct {
    int64_t first_id, last_id;
    uint32_t at, count; // in the segment's changes
    bool gap;           // its first_id does not follow what is before it
} frame;

typedef struct segment {
    struct segment *next, *prev;
    bool based; // false: frames seen before any book was known
    int64_t base_id, start_id;
    bool complete; // at its start
    sim_book start;
    frame frames[SEGMENT_FRAMES];
    uint32_t frame_count;
    sim_change *changes;
    size_t change_count, change_cap;
} segment;

struct sim_history {
    segment *first, *last;
    size_t bytes, bytes_max;
    sim_book now;
    sim_history_mark mark;
    int64_t last_id;
    uint64_t gaps;
    bool dropped; // oldest segments were given up
};

bus_err sim_history_open(sim_history **out, size_t bytes_max)
{
    sim_history *h = calloc(1, sizeof *h);
    if (!h)
        return bus_fail(BUS_ENOMEM, "book history");
    h->bytes_max = bytes_max;
    h->mark.complete = true;
    *out = h;
    return BUS_OK;
}

static size_t segment_bytes(const segment *s)
{
    return sizeof *s + s->change_cap * sizeof *s->changes +
           (s->start.side[0].cap + s->start.side[1].cap) * sizeof(sim_level);
}

static void segment_free(segment *s)
{
    sim_book_release(&s->start);
    free(s->changes);
    free(s);
}

void sim_history_close(sim_history *h)
{
    if (!h)
        return;
    while (h->first) {
        segment *next = h->first->next;
        segment_free(h->first);
        h->first = next;
    }
    sim_book_release(&h->now);
    free(h);
}

static void drop_oldest(sim_history *h)
{
    while (h->bytes > h->bytes_max && h->first != h->last) {
        segment *oldest = h->first;
        h->bytes -= segment_bytes(oldest);
        h->first = oldest->next;
        h->first->prev = NULL;
        h->dropped = true;
        segment_free(oldest);
    }
}

static bus_err segment_add(sim_history *h, bool based, int64_t base_id, int64_t start_id,
                           const sim_book *start)
{
    segment *s = calloc(1, sizeof *s);
    if (!s)
        return bus_fail(BUS_ENOMEM, "a segment of the book's history");
    bus_err err = start ? sim_book_copy(&s->start, start) : BUS_OK;
    if (err) {
        segment_free(s);
        return err;
    }
    s->based = based;
    s->base_id = base_id;
    s->start_id = start_id;
    s->complete = h->mark.complete;
    s->prev = h->last;
    if (h->last)
        h->last->next = s;
    else
        h->first = s;
    h->last = s;
    h->bytes += segment_bytes(s);
    drop_oldest(h);
    return BUS_OK;
}

// Stores the frame in the last segment, which has room.
static bus_err segment_keep(sim_history *h, frame f, const sim_change *changes)
{
    segment *s = h->last;
    if (s->change_count + f.count > s->change_cap) {
        size_t cap = s->change_cap ? s->change_cap : 1024;
        while (cap < s->change_count + f.count)
            cap *= 2;
        sim_change *grown = realloc(s->changes, cap * sizeof *grown);
        if (!grown)
            return bus_fail(BUS_ENOMEM, "%zu changes of the book's history", cap);
        h->bytes += (cap - s->change_cap) * sizeof *grown;
        s->changes = grown;
        s->change_cap = cap;
    }
    f.at = (uint32_t)s->change_count;
    if (f.count)
        memcpy(s->changes + s->change_count, changes, f.count * sizeof *changes);
    s->change_count += f.count;
    s->frames[s->frame_count++] = f;
    return BUS_OK;
}

// One frame in order: kept, and applied to the running book when there is a base.
static bus_err append(sim_history *h, int64_t first_id, int64_t last_id, const sim_change *changes,
                      size_t count)
{
    bool based = h->last && h->last->based;
    bus_err err = BUS_OK;
    if (!h->last || h->last->frame_count == SEGMENT_FRAMES)
        err = segment_add(h, based, h->mark.base_id, h->last_id, based ? &h->now : NULL);
    if (err)
        return err;
    frame f = {first_id, last_id, 0, (uint32_t)count, false};
    f.gap = h->last_id != 0 && first_id > h->last_id + 1;
    err = segment_keep(h, f, changes);
    if (err)
        return err;
    h->last_id = last_id;
    if (f.gap) {
        h->mark.complete = false;
        h->gaps++;
    }
    for (size_t i = 0; based && i < count && !err; i++)
        err = sim_book_apply(&h->now, changes[i]);
    if (based)
        h->mark.update_id = last_id;
    return err;
}

bus_err sim_history_frame(sim_history *h, int64_t first_id, int64_t last_id,
                          const sim_change *changes, size_t count)
{
    if (last_id <= h->last_id)
        return BUS_OK;
    return append(h, first_id, last_id, changes, count);
}

// The oldest segment that holds a frame newer than id, among those at the end of the list.
static segment *segment_from(const sim_history *h, int64_t id)
{
    segment *s = h->last, *found = NULL;
    while (s && s->frame_count && s->frames[s->frame_count - 1].last_id > id) {
        found = s;
        if (s->frames[0].last_id <= id)
            break;
        s = s->prev;
    }
    return found;
}

bus_err sim_history_base(sim_history *h, int64_t id, const sim_book *book)
{
    segment *again = segment_from(h, id);
    segment *until = h->last;
    uint64_t gaps = h->gaps;
    size_t bytes_max = h->bytes_max;
    bus_err err = sim_book_copy(&h->now, book);
    if (err)
        return err;
    h->mark = (sim_history_mark){id, id, true};
    h->last_id = id;
    h->bytes_max = SIZE_MAX; // nothing may go while older segments are read again
    err = segment_add(h, true, id, id, book);
    for (segment *s = again; s && !err; s = s == until ? NULL : s->next) {
        for (uint32_t i = 0; i < s->frame_count && !err; i++) {
            frame f = s->frames[i];
            if (f.last_id > h->last_id)
                err = append(h, f.first_id, f.last_id, s->changes + f.at, f.count);
        }
    }
    h->gaps = gaps;
    h->bytes_max = bytes_max;
    drop_oldest(h);
    return err;
}

bool sim_history_has_base(const sim_history *h)
{
    return h->last && h->last->based;
}

bool sim_history_broken(const sim_history *h)
{
    return !h->mark.complete;
}

uint64_t sim_history_gaps(const sim_history *h)
{
    return h->gaps;
}

const sim_book *sim_history_now(const sim_history *h)
{
    return &h->now;
}

sim_history_mark sim_history_mark_now(const sim_history *h)
{
    return h->mark;
}

int64_t sim_history_last_id(const sim_history *h)
{
    return h->last_id;
}

static const segment *segment_at(const sim_history *h, int64_t update_id)
{
    for (const segment *s = h->last; s; s = s->prev)
        if (s->based && s->start_id <= update_id)
            return s;
    return NULL;
}

static bus_err too_early(const sim_history *h, int64_t update_id)
{
    const segment *s = h->first;
    while (s && !s->based)
        s = s->next;
    if (!s)
        return bus_fail(BUS_ENOTFOUND, "no book is known yet");
    return bus_fail(BUS_ENOTFOUND, "update id %lld is before the first one kept, %lld%s",
                    (long long)update_id, (long long)s->start_id,
                    h->dropped ? " (older history was given up)" : "");
}

bus_err sim_history_at(const sim_history *h, int64_t update_id, sim_book *book,
                       sim_history_mark *mark)
{
    const segment *s = segment_at(h, update_id);
    if (!s)
        return too_early(h, update_id);
    if (update_id > h->last_id)
        return bus_fail(BUS_ESTATE, "update id %lld is above the last one played, %lld",
                        (long long)update_id, (long long)h->last_id);
    bus_err err = sim_book_copy(book, &s->start);
    *mark = (sim_history_mark){s->start_id, s->base_id, s->complete};
    for (uint32_t i = 0; i < s->frame_count && s->frames[i].last_id <= update_id && !err; i++) {
        const frame *f = &s->frames[i];
        for (uint32_t k = 0; k < f->count && !err; k++)
            err = sim_book_apply(book, s->changes[f->at + k]);
        mark->update_id = f->last_id;
        mark->complete = mark->complete && !f->gap;
    }
    return err;
}

void sim_history_ids(const sim_history *h, int64_t from, size_t limit,
                     void (*fn)(void *ctx, int64_t first_id, int64_t last_id), void *ctx)
{
    int64_t last = 0; // a new base holds frames again that the segments before it hold
    for (const segment *s = h->first; s && limit; s = s->next) {
        for (uint32_t i = 0; i < s->frame_count && limit; i++) {
            const frame *f = &s->frames[i];
            if (f->last_id < from || f->last_id <= last)
                continue;
            last = f->last_id;
            fn(ctx, f->first_id, f->last_id);
            limit--;
        }
    }
}
