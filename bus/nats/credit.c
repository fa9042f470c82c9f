#include "bus/nats/credit.h"

#include <stdlib.h>

#include "bus/nats/filters.h"
#include "bus/nats/subjects.h"

enum {
    MARK_BUSY_MS = 50,   // while somebody owes us a report, or something was sent
    MARK_IDLE_MS = 1000, // otherwise
};

typedef struct {
    char text[BUS_PARTICIPANT_NAME_MAX + 1];
    bus_member_state state;
    bus_filters filters;
    uint64_t base, count, done;
    // Events and bytes of the run that its reports cover (done_events = sent: nothing outstanding).
    uint64_t done_events, done_bytes;
    bus_mono seen;
} member;

// An event inside the window: what had been sent when it had gone out.
typedef struct {
    uint64_t seq;
    uint64_t bytes; // of the run up to and including it
} sent_row;

struct bus_credit {
    char selector[BUS_LANE_NAME_MAX + 1];
    uint64_t first_seq, position;
    uint32_t window_events, window_bytes;
    bus_span lease;

    member *member;
    uint32_t member_count;
    uint32_t era; // rises when anybody's filters change: masks of older eras are void
    bus_subjects subjects;

    sent_row *ring; // event number n (1, 2, …) is at n % window_events
    uint64_t sent, bytes;
    // The lowest done_events and the done_bytes of whoever has it; `sent` and `bytes` with nobody joined.
    uint64_t floor_events, floor_bytes;
    bool waiting; // somebody joined has not reported the position

    uint64_t mark_seq, mark_sent, mark_bytes; // of the last watermark
    bus_mono mark_at;
    bool mark_now;
};

bus_err bus_credit_open(bus_credit **out, const bus_credit_opts *opts)
{
    bus_err err = bus_lane_check_selector(bus_view_of(opts->selector), "selector");
    if (err)
        return err;
    bus_credit *c = calloc(1, sizeof *c);
    if (!c)
        return bus_fail(BUS_ENOMEM, "credit of a replay");
    bus_view_copy(bus_view_of(opts->selector), c->selector, sizeof c->selector);
    c->first_seq = opts->first_seq ? opts->first_seq : 1;
    c->position = c->first_seq - 1;
    c->window_events = opts->window_events ? opts->window_events : BUS_CREDIT_WINDOW_EVENTS;
    c->window_bytes = opts->window_bytes ? opts->window_bytes : BUS_CREDIT_WINDOW_BYTES;
    c->lease = opts->lease.ns ? opts->lease : BUS_SPAN_MS(BUS_CREDIT_LEASE_MS);
    c->mark_now = true;
    c->member = calloc(BUS_PARTICIPANTS_MAX, sizeof *c->member);
    c->ring = calloc(c->window_events, sizeof *c->ring);
    if (!c->member || !c->ring) {
        bus_credit_close(c);
        return bus_fail(BUS_ENOMEM, "a window of %u events", opts->window_events);
    }
    *out = c;
    return BUS_OK;
}

void bus_credit_close(bus_credit *c)
{
    if (!c)
        return;
    for (uint32_t i = 0; i < c->member_count; i++)
        bus_filters_release(&c->member[i].filters);
    bus_subjects_release(&c->subjects);
    free(c->member);
    free(c->ring);
    free(c);
}

// --- the floor ---------------------------------------------------------------------------------------

static uint64_t ring_first(const bus_credit *c)
{
    return c->sent > c->window_events ? c->sent - c->window_events + 1 : 1;
}

static const sent_row *ring_at(const bus_credit *c, uint64_t n)
{
    return &c->ring[n % c->window_events];
}

// How many events of the run have a sequence of at most seq. What left the ring lies a whole window
// back, and counts as exactly that: with so much outstanding play stands still anyway.
static uint64_t events_up_to(const bus_credit *c, uint64_t seq)
{
    uint64_t low = ring_first(c), high = c->sent + 1;
    while (low < high) {
        uint64_t mid = low + (high - low) / 2;
        if (ring_at(c, mid)->seq <= seq)
            low = mid + 1;
        else
            high = mid;
    }
    return low - 1;
}

static uint64_t bytes_up_to(const bus_credit *c, uint64_t n)
{
    if (n == 0)
        return 0;
    // Of the event before the ring only the ring's own first tells: a little more is outstanding than
    // this says, which matters to nobody since a whole window of events is.
    if (n < ring_first(c))
        n = ring_first(c);
    return ring_at(c, n)->bytes;
}

static void place_member(const bus_credit *c, member *m)
{
    m->done_events = events_up_to(c, m->done);
    m->done_bytes = bytes_up_to(c, m->done_events);
}

static void refresh_floor(bus_credit *c)
{
    c->floor_events = c->sent;
    c->floor_bytes = c->bytes;
    c->waiting = false;
    for (uint32_t i = 0; i < c->member_count; i++) {
        member *m = &c->member[i];
        if (m->state != BUS_MEMBER_JOINED)
            continue;
        if (m->done < c->position)
            c->waiting = true;
        if (m->done_events < c->floor_events) {
            c->floor_events = m->done_events;
            c->floor_bytes = m->done_bytes;
        }
    }
}

// --- who takes part ----------------------------------------------------------------------------------

static member *find_member(const bus_credit *c, bus_view name)
{
    for (uint32_t i = 0; i < c->member_count; i++)
        if (bus_view_is(name, c->member[i].text))
            return &c->member[i];
    return NULL;
}

bus_err bus_credit_join(bus_credit *c, bus_view name, const bus_view *filters, size_t count,
                        uint64_t done_seq, bus_mono now, uint64_t *base_seq)
{
    bus_filters fresh = {0};
    bus_err err = bus_participant_name_check(name);
    if (!err)
        err = bus_filters_init(&fresh, bus_view_of(c->selector), filters, count);
    if (err)
        return bus_note(err, "joining replay '%s'", c->selector);
    member *m = find_member(c, name);
    if (!m && c->member_count == BUS_PARTICIPANTS_MAX) {
        bus_filters_release(&fresh);
        return bus_fail(BUS_ELIMIT, "replay '%s' has %d participants already", c->selector,
                        BUS_PARTICIPANTS_MAX);
    }
    if (!m)
        m = &c->member[c->member_count++];
    bus_filters_release(&m->filters);
    bus_view_copy(name, m->text, sizeof m->text);
    m->state = BUS_MEMBER_JOINED;
    m->filters = fresh;
    m->base = c->position;
    m->count = 0;
    m->done = done_seq < c->first_seq ? c->first_seq - 1 : done_seq;
    if (m->done > c->position)
        m->done = c->position; // nobody can have finished what was not sent
    m->seen = now;
    c->era++;
    c->mark_now = true;
    place_member(c, m);
    refresh_floor(c);
    *base_seq = m->base;
    return BUS_OK;
}

bool bus_credit_done(bus_credit *c, bus_view name, uint64_t seq, bus_mono now)
{
    member *m = find_member(c, name);
    if (!m || m->state != BUS_MEMBER_JOINED)
        return false;
    // A report proves a watermark; one beyond the last that was sent can prove none.
    if (seq > c->mark_seq && seq > m->done)
        return false;
    m->seen = now;
    if (seq <= m->done)
        return true; // an old one, overtaken: alive, nothing new
    m->done = seq;
    place_member(c, m);
    refresh_floor(c);
    return true;
}

static void part_with(bus_credit *c, member *m, bus_member_state state)
{
    m->state = state;
    c->era++;
    refresh_floor(c);
}

void bus_credit_leave(bus_credit *c, bus_view name)
{
    member *m = find_member(c, name);
    if (m && m->state == BUS_MEMBER_JOINED)
        part_with(c, m, BUS_MEMBER_LEFT);
}

size_t bus_credit_lapse(bus_credit *c, bus_mono now, void (*fn)(void *ctx, bus_view name),
                        void *ctx)
{
    size_t lapsed = 0;
    for (uint32_t i = 0; i < c->member_count; i++) {
        member *m = &c->member[i];
        if (m->state != BUS_MEMBER_JOINED || bus_mono_since(now, m->seen).ns <= c->lease.ns)
            continue;
        part_with(c, m, BUS_MEMBER_LAPSED);
        c->mark_now = true; // whoever lapsed learns it from the next watermark
        lapsed++;
        if (fn)
            fn(ctx, bus_view_of(m->text));
    }
    return lapsed;
}

static void describe(const bus_credit *c, const member *m, bus_credit_member *out)
{
    *out = (bus_credit_member){
        .name = bus_view_of(m->text),
        .state = m->state,
        .done = m->done,
        .behind = c->sent - m->done_events,
        .base_seq = m->base,
        .count = m->count,
    };
    if (out->behind > c->window_events)
        out->behind = c->window_events;
}

bool bus_credit_at(const bus_credit *c, size_t index, bus_credit_member *out)
{
    if (index >= c->member_count)
        return false;
    describe(c, &c->member[index], out);
    return true;
}

bool bus_credit_find(const bus_credit *c, bus_view name, bus_credit_member *out)
{
    const member *m = find_member(c, name);
    if (m)
        describe(c, m, out);
    return m != NULL;
}

bool bus_credit_slowest(const bus_credit *c, bus_credit_member *out)
{
    const member *slowest = NULL;
    for (uint32_t i = 0; i < c->member_count; i++) {
        const member *m = &c->member[i];
        if (m->state == BUS_MEMBER_JOINED && (!slowest || m->done < slowest->done))
            slowest = m;
    }
    if (slowest)
        describe(c, slowest, out);
    return slowest != NULL;
}

bool bus_credit_all_done(const bus_credit *c)
{
    return !c->waiting;
}

// --- sending -----------------------------------------------------------------------------------------

bool bus_credit_may_send(bus_credit *c, size_t bytes)
{
    uint64_t events = c->sent - c->floor_events;
    if (events == 0)
        return true; // however large: it goes alone
    if (events < c->window_events && c->bytes - c->floor_bytes + bytes <= c->window_bytes)
        return true;
    if (c->mark_seq < c->position)
        c->mark_now = true; // without it nobody could report what would give us credit again
    return false;
}

static void mask_subject(bus_credit *c, bus_subject_row *row)
{
    row->mask = 0;
    row->era = c->era;
    for (uint32_t i = 0; i < c->member_count; i++) {
        const member *m = &c->member[i];
        if (m->state == BUS_MEMBER_JOINED &&
            bus_filters_match(&m->filters, (bus_view){row->text, row->len}))
            row->mask |= 1ull << i;
    }
}

bus_err bus_credit_send(bus_credit *c, uint64_t seq, bus_view subject, size_t bytes,
                        bus_lane_stamp *out)
{
    bus_subject_row *row = NULL;
    bus_err err = bus_subjects_at(&c->subjects, subject, &row);
    if (err)
        return err;
    if (row->era != c->era || row->last == 0)
        mask_subject(c, row);
    for (uint64_t rest = row->mask; rest; rest &= rest - 1)
        c->member[__builtin_ctzll(rest)].count++;
    bool alone = c->floor_events == c->sent && !c->waiting;
    c->sent++;
    c->bytes += bytes;
    c->position = seq;
    c->ring[c->sent % c->window_events] = (sent_row){seq, c->bytes};
    *out = (bus_lane_stamp){seq, row->last, c->sent};
    row->last = seq;
    if (alone)
        refresh_floor(c); // with nobody joined the floor goes along
    return BUS_OK;
}

void bus_credit_reach(bus_credit *c, uint64_t seq)
{
    if (seq <= c->position)
        return;
    c->position = seq;
    refresh_floor(c);
}

uint64_t bus_credit_position(const bus_credit *c)
{
    return c->position;
}

uint64_t bus_credit_sent(const bus_credit *c)
{
    return c->sent;
}

// --- watermarks --------------------------------------------------------------------------------------

void bus_credit_stopped(bus_credit *c)
{
    c->mark_now = true;
}

static bus_span mark_period(const bus_credit *c)
{
    bool busy = c->waiting || c->mark_seq < c->position;
    return busy ? BUS_SPAN_MS(MARK_BUSY_MS) : BUS_SPAN_MS(MARK_IDLE_MS);
}

bool bus_credit_watermark_due(const bus_credit *c, bus_mono now)
{
    uint64_t quarter = c->window_events / 4 ? c->window_events / 4 : 1;
    return c->mark_now || c->sent - c->mark_sent >= quarter ||
           c->bytes - c->mark_bytes >= c->window_bytes / 4 + 1 ||
           bus_mono_since(now, c->mark_at).ns >= mark_period(c).ns;
}

bus_span bus_credit_wait(const bus_credit *c, bus_mono now)
{
    if (bus_credit_watermark_due(c, now))
        return (bus_span){0};
    int64_t wait = mark_period(c).ns - bus_mono_since(now, c->mark_at).ns;
    for (uint32_t i = 0; i < c->member_count; i++) {
        const member *m = &c->member[i];
        int64_t left = c->lease.ns - bus_mono_since(now, m->seen).ns + 1;
        if (m->state == BUS_MEMBER_JOINED && left < wait)
            wait = left;
    }
    return (bus_span){wait > 0 ? wait : 0};
}

void bus_credit_watermark(bus_credit *c, bus_mono now, bus_watermark *out, bus_lane_stamp *stamp)
{
    out->seq = c->position;
    out->sent = c->sent;
    out->part_count = 0;
    for (uint32_t i = 0; i < c->member_count; i++) {
        const member *m = &c->member[i];
        if (m->state != BUS_MEMBER_JOINED)
            continue;
        out->part[out->part_count++] =
            (bus_watermark_part){bus_view_of(m->text), m->base, m->count, m->done};
    }
    *stamp = (bus_lane_stamp){c->position, c->mark_seq, c->sent};
    c->mark_seq = c->position;
    c->mark_sent = c->sent;
    c->mark_bytes = c->bytes;
    c->mark_at = now;
    c->mark_now = false;
}
