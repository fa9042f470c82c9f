// Model of writing: the real window (window.c) and the real lease (lease_logic.c) against a model of the
// broker that has a de-duplication window, sockets whose bytes outlive their connection, freezes, restarts
// and pauses of a writer at any step. One seed a round; a failure prints it.
// Source: schemas/specs/recording.md, "Writing" (what holds) and "Leases".
#include "writer_world.h"

#include <stdlib.h>
#include <string.h>

uint32_t world_roll(world *w, uint32_t n)
{
    w->rng ^= w->rng << 13;
    w->rng ^= w->rng >> 7;
    w->rng ^= w->rng << 17;
    return n ? (uint32_t)((w->rng >> 11) % n) : 0;
}

bus_mono world_clock(const world *w)
{
    return (bus_mono){w->now * 1000000};
}

// --- the broker ---------------------------------------------------------------------------------------------

static bool known(const world *w, uint64_t id, uint64_t *seq)
{
    for (uint64_t i = w->length; i > 0; i--) {
        if (w->stream[i - 1].id == id && w->now - w->stream[i - 1].at_ms <= DEDUP_MS) {
            *seq = i;
            return true;
        }
    }
    return false;
}

uint64_t world_append(world *w, uint64_t id)
{
    if (w->length == STREAM_MAX)
        return w->length;
    for (uint64_t i = 0; id && i < w->length; i++) {
        w->twice |= w->stream[i].id == id;
        w->disorder |= w->stream[i].id > id;
    }
    w->stream[w->length++] = (stored){id, w->now};
    return w->length;
}

void world_answer(sock *s, answer a)
{
    if (s->open && s->out_len < QUEUE)
        s->out[s->out_len++] = a;
}

bool world_declines(world *w)
{
    return w->now < w->declines_until && world_roll(w, 2);
}

static void process(world *w, sock *s)
{
    wire m = s->in[0];
    memmove(s->in, s->in + 1, sizeof *s->in * (size_t)--s->in_len);
    if (m.kind != PLAIN) {
        ingest_process(w, s, &m);
        return;
    }
    answer a = {.number = m.number, .verdict = DECLINED};
    if (!world_declines(w)) {
        a.verdict = known(w, m.id, &a.seq) ? DUPLICATE : STORED;
        if (a.verdict == STORED)
            a.seq = world_append(w, m.id);
    }
    world_answer(s, a);
}

// What was held up once comes in one go, in families that keep to that (may_stall).
static bool one_stall(const world *w, const sock *s)
{
    return w->rules->fence && s->stalled;
}

static void run_broker(world *w)
{
    if (w->now < w->frozen_until)
        return;
    if (w->rules->fence && world_roll(w, 8) == 0)
        world_append(w, 0); // of another source
    for (int i = 0; i < 6; i++) {
        sock *s = &w->sockets[world_roll(w, SOCKETS)];
        while (s->alive && w->now >= s->stuck_until && s->in_len &&
               (one_stall(w, s) || world_roll(w, 4)))
            process(w, s);
        if (s->alive && !s->open && s->in_len == 0)
            s->alive = false;
    }
}

// --- faults -------------------------------------------------------------------------------------------------

static int64_t outage(world *w)
{
    uint32_t max = (uint32_t)w->rules->outage_ms_max;
    return world_roll(w, 3) ? world_roll(w, max / 10 + 1) : world_roll(w, max + 1);
}

static void restart(world *w)
{
    for (int i = 0; i < SOCKETS; i++)
        w->sockets[i] = (sock){.open = false};
    for (int i = 0; i < w->rules->writers; i++)
        w->writers[i].socket = -1;
    w->batch_count = 0;
    w->frozen_until = w->now + outage(w);
}

// Bytes on their way are held up once, not again and again: a lease of 15 s covers one stall that a batch
// survives (10 s), not bytes that trickle for longer. The family without a fence has no such rule.
static bool may_stall(const world *w, const sock *s)
{
    return !w->rules->fence || !s->stalled;
}

static void freeze(world *w)
{
    for (int i = 0; i < SOCKETS; i++)
        if (w->sockets[i].alive && !may_stall(w, &w->sockets[i]))
            return;
    for (int i = 0; i < SOCKETS; i++)
        w->sockets[i].stalled |= w->sockets[i].alive;
    w->frozen_until = w->now + outage(w);
}

static void stall(world *w, const writer *who)
{
    sock *s = who->socket >= 0 ? &w->sockets[who->socket] : NULL;
    if (!s || !may_stall(w, s))
        return;
    s->stalled = true;
    s->stuck_until = w->now + outage(w);
}

static void break_something(world *w)
{
    writer *who = &w->writers[world_roll(w, (uint32_t)w->rules->writers)];
    switch (world_roll(w, 400)) {
    case 0:
        restart(w);
        break;
    case 1:
        freeze(w);
        break;
    case 2: // the connection breaks; what it carried may still be read
        if (who->socket >= 0)
            w->sockets[who->socket].open = false;
        break;
    case 3: // the network between keeps bytes back
        stall(w, who);
        break;
    case 4:
    case 5:
        if (w->rules->pause_ms_max)
            who->paused_until = w->now + world_roll(w, (uint32_t)w->rules->pause_ms_max);
        break;
    case 6:
        if (w->rules->declines)
            w->declines_until = w->now + world_roll(w, 2000);
        break;
    default:
        break;
    }
}

// --- a writer: the window ---------------------------------------------------------------------------------

// What of its window a writer finds in the stream is stored.
static void read_tail(world *w, writer *me)
{
    for (uint64_t n = me->window.head; n < me->window.tail; n++) {
        uint64_t id;
        memcpy(&id, bus_window_bytes(&me->window, n).ptr, 8);
        for (uint64_t i = 0; i < w->length; i++)
            if (w->stream[i].id == id)
                bus_window_stored(&me->window, n, i + 1, true);
    }
}

static void connect_again(world *w, int self)
{
    writer *me = &w->writers[self];
    if (me->socket >= 0 && w->sockets[me->socket].open)
        return;
    if (w->now < w->frozen_until || world_roll(w, 4))
        return; // no broker to connect to, or not yet
    for (int i = 0; i < SOCKETS; i++) {
        if (w->sockets[i].alive || w->sockets[i].open)
            continue;
        for (int j = 0; j < WRITERS; j++) // nobody goes on pointing at what was another's
            if (w->writers[j].socket == i)
                w->writers[j].socket = -1;
        w->sockets[i] = (sock){.open = true, .alive = true, .writer = self};
        me->socket = i;
        if (w->rules->fence)
            bus_batch_doubt(&me->batch, &me->window);
        else
            bus_window_doubt(&me->window);
        bus_mono tried;
        if (w->rules->tail && bus_window_tried(&me->window, &tried) &&
            w->now - tried.ns / 1000000 > DEDUP_MS / 2)
            read_tail(w, me);
        return;
    }
}

// The message is there; with ids at the place that was told, with batches there or behind.
static bool holds(const world *w, const bus_slot *slot)
{
    uint64_t seq = slot->stream_seq;
    while (w->rules->fence && seq && seq < w->length && w->stream[seq - 1].id != slot->tag)
        seq++;
    return seq && seq <= w->length && w->stream[seq - 1].id == slot->tag;
}

static void take_answers(world *w, writer *me)
{
    sock *s = me->socket >= 0 ? &w->sockets[me->socket] : NULL;
    while (s && s->open && s->out_len && world_roll(w, 8)) {
        answer a = s->out[0];
        memmove(s->out, s->out + 1, sizeof *s->out * (size_t)--s->out_len);
        if (a.verdict >= ACKED)
            ingest_take(w, me, &a);
        else if (a.verdict == DECLINED)
            bus_window_declined(&me->window, a.number);
        else
            bus_window_stored(&me->window, a.number, a.seq, a.verdict == DUPLICATE);
    }
    bus_slot slot;
    while (bus_window_pop(&me->window, &slot)) {
        me->acked++;
        w->ack_without_message |= slot.state == BUS_SLOT_STORED && !holds(w, &slot);
    }
    bus_mono since;
    bool owed = bus_window_oldest(&me->window, &since) ||
                (w->rules->fence && bus_batch_late(&me->batch, &since));
    if (s && s->open && owed && world_clock(w).ns - since.ns > ACK_TIMEOUT_MS * 1000000LL)
        s->open = false; // replaced; the broker may still find its bytes
}

static void publish(world *w, writer *me)
{
    uint8_t *room = me->frame > me->last_id ? bus_window_room(&me->window, 8) : NULL;
    if (!room || w->quiet)
        return; // a venue does not send again: a frame that has no room is a reported gap
    memcpy(room, &me->frame, 8);
    bus_window_put(&me->window, 8, me->frame);
    me->last_id = me->frame;
    me->put++;
}

static void transmit(world *w, int self)
{
    writer *me = &w->writers[self];
    sock *s = me->socket >= 0 ? &w->sockets[me->socket] : NULL;
    if (!s || !s->open)
        return;
    if (w->rules->fence) {
        ingest_send(w, self);
        return;
    }
    for (uint64_t n; s->in_len < QUEUE && (n = bus_window_due(&me->window, world_clock(w))) != 0;) {
        wire m = {.number = n};
        memcpy(&m.id, bus_window_bytes(&me->window, n).ptr, 8);
        bus_window_sent(&me->window, n, world_clock(w));
        s->in[s->in_len++] = m;
        if (world_roll(w, 3) == 0)
            break;
    }
}

// --- a writer: the lease ------------------------------------------------------------------------------------

static void apply_call(world *w, int self, lease_call *c)
{
    c->applied = true;
    c->ok = true;
    if (c->step == BUS_LEASE_READ) {
        c->revision = w->lease_revision;
        c->record = w->lease_holder < 0       ? BUS_LEASE_FREE
                    : w->lease_holder == self ? BUS_LEASE_OUR_OWN
                                              : BUS_LEASE_NAMED;
        return;
    }
    c->ok = c->expected == w->lease_revision;
    if (c->ok) {
        c->revision = ++w->lease_revision;
        w->lease_taken = w->lease_holder == self ? w->lease_taken : c->revision;
        w->lease_holder = self;
    }
}

static void finish_call(world *w, writer *me)
{
    lease_call c = me->call;
    me->call.step = BUS_LEASE_WAIT;
    bus_mono started = {c.started_ms * 1000000};
    if (c.step == BUS_LEASE_READ) {
        if (c.applied && !c.lost)
            bus_lease_logic_seen(&me->lease, c.revision, c.record, world_clock(w));
        return;
    }
    if (!c.applied && !c.lost) { // nobody waits for it any more, but it is on its way
        c.apply_ms = w->now + world_roll(w, 4000);
        me->late[world_roll(w, LATE)] = c;
    }
    bus_lease_write result = !c.applied || c.lost ? BUS_LEASE_UNKNOWN
                             : c.ok               ? BUS_LEASE_WRITTEN
                                                  : BUS_LEASE_CONFLICT;
    bus_lease_logic_written(&me->lease, result, c.revision, started, world_clock(w));
}

static void begin_call(world *w, writer *me)
{
    uint64_t expected;
    bus_lease_step step = bus_lease_logic_step(&me->lease, world_clock(w), &expected);
    if (step == BUS_LEASE_WAIT)
        return;
    int64_t slow = world_roll(w, 10) == 0 ? world_roll(w, 4000) : world_roll(w, 100);
    me->call = (lease_call){.step = step,
                            .expected = expected,
                            .started_ms = w->now,
                            .apply_ms = w->now + slow,
                            .answer_ms = w->now + slow + world_roll(w, 100),
                            .lost = !w->quiet && world_roll(w, 20) == 0};
}

// The lease's requests run on the broker's time, whether their writer is stopped or not.
static void run_lease_calls(world *w)
{
    for (int i = 0; i < w->rules->writers; i++) {
        lease_call *c = &w->writers[i].call;
        if (c->step != BUS_LEASE_WAIT && !c->applied && w->now >= c->apply_ms &&
            w->now >= w->frozen_until)
            apply_call(w, i, c);
        for (int n = 0; n < LATE; n++) {
            c = &w->writers[i].late[n];
            if (c->step != BUS_LEASE_WAIT && w->now >= c->apply_ms && w->now >= w->frozen_until) {
                apply_call(w, i, c);
                c->step = BUS_LEASE_WAIT;
            }
        }
    }
}

static void keep_lease(world *w, int self)
{
    writer *me = &w->writers[self];
    const lease_call *c = &me->call;
    if (c->step == BUS_LEASE_WAIT)
        begin_call(w, me);
    else if ((c->applied && w->now >= c->answer_ms) || w->now >= c->started_ms + 5000)
        finish_call(w, me);
    bus_lease_standing standing = bus_lease_logic_standing(&me->lease, world_clock(w));
    bool held = standing == BUS_LEASE_HELD;
    w->two_holders |= held && (w->lease_holder != self || me->lease.fence < w->lease_taken);
    w->resumed += held && me->lapsed && me->fence == me->lease.fence;
    me->lapsed = standing == BUS_LEASE_LAPSED;
    me->active =
        held && me->fence == me->lease.fence; // a lapse that a late answer heals is no new session
    if (!held || me->active || w->now < w->frozen_until)
        return;
    // Just taken: whatever an earlier session had under way is given up, the tail of the stream tells on.
    bus_window_release(&me->window);
    bus_window_init(&me->window, WINDOW, WINDOW * 8);
    if (me->socket >= 0)
        w->sockets[me->socket].open = false;
    ingest_begin(me);
    for (uint64_t i = 0; i < w->length; i++)
        if (w->stream[i].id > me->last_id)
            me->last_id = w->stream[i].id;
    me->fence = me->lease.fence;
    me->active = true;
}

static void run_writer(world *w, int self)
{
    writer *me = &w->writers[self];
    if (w->now < me->paused_until)
        return;
    // Asked in one step, acted upon in the next: a pause fits between.
    bool may = me->checked;
    me->checked = false;
    if (!may) {
        if (w->rules->writers > 1)
            keep_lease(w, self);
        connect_again(w, self);
        if (!w->rules->fence)
            take_answers(w, me);
        me->frame =
            w->venue; // everything that will be acted upon is chosen before the lease is asked
        me->checked =
            w->rules->writers == 1 ||
            (me->active && bus_lease_logic_standing(&me->lease, world_clock(w)) == BUS_LEASE_HELD);
        return;
    }
    publish(w, me);
    ingest_turn(me);
    if (w->rules->fence)
        take_answers(w, me);
    transmit(w, self);
}

// --- rounds -------------------------------------------------------------------------------------------------

static void begin(world *w, const family *rules, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    w->rules = rules;
    w->seed = seed;
    w->rng = seed * 0x9e3779b97f4a7c15u + 0x1234567;
    w->lease_holder = -1;
    for (int i = 0; i < rules->writers; i++) {
        bus_window_init(&w->writers[i].window, WINDOW, WINDOW * 8);
        bus_lease_logic_init(&w->writers[i].lease, BUS_SPAN_MS(LEASE_MS));
        w->writers[i].socket = -1;
        ingest_begin(&w->writers[i]);
    }
}

static void step(world *w)
{
    w->now += TICK_MS;
    if (world_roll(w, 3) == 0)
        w->venue++;
    if (!w->quiet)
        break_something(w);
    run_broker(w);
    run_lease_calls(w);
    for (int i = 0; i < w->rules->writers; i++)
        run_writer(w, i);
}

static void settle(world *w)
{
    w->quiet = true;
    w->frozen_until = w->declines_until = 0;
    for (int i = 0; i < SOCKETS; i++)
        w->sockets[i].stuck_until = 0;
    for (int i = 0; i < WRITERS; i++)
        w->writers[i].paused_until = 0;
    for (int i = 0; i < 800;
         i++) // 40 s: a lease and an idle batch run out, the longest pause is over
        step(w);
}

static void end(world *w)
{
    for (int i = 0; i < w->rules->writers; i++)
        bus_window_release(&w->writers[i].window);
}

tally play(const family *rules, uint64_t rounds, int steps)
{
    const char *most = getenv("TL_ROUNDS");
    uint64_t limit = most ? strtoull(most, NULL, 10) : 0;
    rounds = limit && limit < rounds ? limit : rounds;
    tally t = {.rounds = rounds};
    world *w = malloc(sizeof *w);
    for (uint64_t seed = 1; seed <= rounds; seed++) {
        begin(w, rules, seed);
        for (int i = 0; i < steps && w->length < STREAM_MAX - 64; i++)
            step(w);
        settle(w);
        bool stuck = rules->writers == 1 && bus_window_count(&w->writers[0].window) > 0;
        t.stored += w->length;
        t.twice += w->twice;
        t.disorder += w->disorder;
        t.unproven += w->ack_without_message;
        t.stuck += stuck;
        t.two_holders += w->two_holders;
        t.resumed += w->resumed;
        if ((w->two_holders || w->twice || w->disorder || w->ack_without_message || stuck) &&
            !t.seed)
            t.seed = seed;
        end(w);
    }
    free(w);
    return t;
}
