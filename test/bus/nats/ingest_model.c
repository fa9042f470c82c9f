// Fast ingest in the model of writing: the real batch.c on one end, the broker's rules on the other.
// Source: schemas/specs/recording.md, "Fast ingest".
#include <string.h>

#include "writer_world.h"

// --- the broker ---------------------------------------------------------------------------------------------

static uint64_t last_of_ours(const world *w)
{
    uint64_t seq = w->length;
    while (seq && w->stream[seq - 1].id == 0)
        seq--;
    return seq;
}

static batch *find(world *w, const batch_name *name)
{
    for (uint64_t i = 0; i < w->batch_count && i < BATCHES; i++) {
        batch *b = &w->batches[i];
        if (b->alive && memcmp(&b->name, name, sizeof *name) == 0 &&
            w->now - b->last_ms <= BATCH_IDLE_MS)
            return b;
    }
    return NULL;
}

static batch *make(world *w, const batch_name *name)
{
    batch *b = &w->batches[w->batch_count++ % BATCHES];
    *b = (batch){.name = *name, .alive = true};
    return b;
}

static void end_batch(sock *s, batch *b)
{
    b->alive = false;
    world_answer(s, (answer){b->count, b->seq, ENDED, b->name});
}

static void store(world *w, sock *s, batch *b, const wire *m)
{
    b->seq = world_append(w, m->id);
    b->count++;
    // Some brokers acknowledge each message, some in steps; what is behind the last step comes with the end.
    if (b->count % (1 + m->name.first % 3) == 0)
        world_answer(s, (answer){b->count, 0, ACKED, b->name});
}

void ingest_process(world *w, sock *s, const wire *m)
{
    answer a = {m->number, last_of_ours(w), LOOKED, m->name};
    if (m->kind == LOOK) {
        world_answer(s, a);
        return;
    }
    a.verdict = world_declines(w)                                                         ? NOT_NOW
                : w->rules->declines && m->kind != END && m->id && m->id % TOO_LARGE == 0 ? NEVER
                                                                                          : STORED;
    batch *b = a.verdict == STORED ? find(w, &m->name) : NULL;
    if (a.verdict == STORED && !b && m->kind != START)
        a.verdict = UNKNOWN;
    if (a.verdict != STORED) {
        world_answer(s, a);
        return;
    }
    if (!b)
        b = make(w, &m->name);
    b->last_ms = w->now;
    if (m->kind == END || m->number != b->count + 1) {
        end_batch(s, b);
    } else if (m->kind == START && m->name.after != last_of_ours(w)) {
        b->alive = false;
        a.verdict = OVERTAKEN;
        world_answer(s, a);
    } else {
        store(w, s, b, m);
    }
}

// --- a writer -----------------------------------------------------------------------------------------------

void ingest_begin(writer *me)
{
    bus_batch_init(&me->batch);
}

void ingest_turn(writer *me)
{
    bus_batch_turn(&me->batch);
}

static batch_name name_of(const writer *me, int self)
{
    return (batch_name){(uint64_t)self, me->fence, me->batch.first, me->batch.after};
}

static wire message(writer *me, int self, uint64_t number, bus_mono now)
{
    bool first = me->batch.state == BUS_BATCH_READY;
    bus_batch_sent(&me->batch, &me->window, number, now);
    wire m = {.kind = first ? START : APPEND, .number = me->batch.sent, .name = name_of(me, self)};
    memcpy(&m.id, bus_window_bytes(&me->window, number).ptr, 8);
    return m;
}

static bool next(world *w, int self, wire *out)
{
    writer *me = &w->writers[self];
    uint64_t number;
    bus_mono now = world_clock(w);
    switch (bus_batch_next(&me->batch, &me->window, now, &number)) {
    case BUS_BATCH_SEND:
        *out = message(me, self, number, now);
        return true;
    case BUS_BATCH_END:
        *out = (wire){.kind = END, .number = me->batch.sent + 1, .name = name_of(me, self)};
        bus_batch_asked(&me->batch, now);
        return true;
    case BUS_BATCH_LOOK:
        *out = (wire){.kind = LOOK, .name = name_of(me, self)};
        bus_batch_asked(&me->batch, now);
        return true;
    case BUS_BATCH_READ:
        bus_batch_asked(&me->batch, now);
        me->read_at = w->now + world_roll(w, 1000);
        return false;
    case BUS_BATCH_WAIT:
        break;
    }
    return false;
}

static void read_tail(world *w, writer *me)
{
    uint64_t last = 0;
    for (uint64_t seq = me->batch.after + 1; seq <= w->length; seq++) {
        uint64_t id = w->stream[seq - 1].id;
        last = id ? seq : last;
        for (uint64_t n = me->window.head; id && n < me->window.tail; n++)
            if (memcmp(bus_window_bytes(&me->window, n).ptr, &id, 8) == 0)
                bus_window_stored(&me->window, n, seq, true);
    }
    bus_batch_was_read(&me->batch, &me->window, last);
}

void ingest_send(world *w, int self)
{
    writer *me = &w->writers[self];
    sock *s = &w->sockets[me->socket];
    bus_batch_rest(&me->batch, &me->window, world_clock(w));
    if (me->batch.state == BUS_BATCH_READING && w->now >= me->read_at && w->now >= w->frozen_until)
        read_tail(w, me);
    for (wire m; s->in_len < QUEUE && next(w, self, &m);) {
        s->in[s->in_len++] = m;
        if (world_roll(w, 3) == 0)
            break;
    }
}

void ingest_take(world *w, writer *me, const answer *a)
{
    (void)w;
    bus_batch *b = &me->batch;
    const batch_name now = {a->name.writer, me->fence, b->first, b->after};
    if (a->verdict == LOOKED) {
        bus_batch_looked(b, &me->window, a->seq);
        return;
    }
    if (memcmp(&now, &a->name, sizeof now) != 0)
        return;
    switch (a->verdict) {
    case ACKED:
        bus_batch_acked(b, &me->window, a->number, 1);
        break;
    case ENDED:
        bus_batch_was_ended(b, &me->window, a->number, a->seq);
        break;
    case NEVER:
        if (b->state == BUS_BATCH_OPEN || b->state == BUS_BATCH_ENDING)
            bus_window_refused(&me->window, b->first + a->number - 1, BUS_ELIMIT, "too large");
        bus_batch_refused(b, &me->window, a->number, BUS_BATCH_NEVER);
        break;
    case OVERTAKEN:
        bus_batch_refused(b, &me->window, a->number, BUS_BATCH_OVERTAKEN);
        break;
    case UNKNOWN:
        bus_batch_refused(b, &me->window, a->number, BUS_BATCH_UNKNOWN);
        break;
    default:
        bus_batch_refused(b, &me->window, a->number, BUS_BATCH_NOT_NOW);
        break;
    }
}
