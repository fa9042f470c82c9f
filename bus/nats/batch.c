#include "bus/nats/batch.h"

enum { OVERTAKEN_MAX = 3 }; // in a row: somebody else writes all the time

static const bus_span PAUSE_FIRST = {50 * 1000000}, PAUSE_MAX = {2000 * (int64_t)1000000},
                      QUIET_LARGE = {2 * 1000000}, QUIET_SMALL = {3000 * (int64_t)1000000};

void bus_batch_init(bus_batch *b)
{
    *b = (bus_batch){.state = BUS_BATCH_BLIND, .ended = true, .pause = PAUSE_FIRST};
}

// What was found out by asking was found out after the owner was allowed to write: it is to be asked anew.
void bus_batch_turn(bus_batch *b)
{
    b->ripe = b->state == BUS_BATCH_READY;
}

static void ready(bus_batch *b, uint64_t after)
{
    b->state = BUS_BATCH_READY;
    if (after == b->after && !b->begun && !b->ended)
        return; // nothing of the batch is stored: it is begun again, under the same name
    b->after = after;
    b->first = 0;
    b->sent = b->acked = 0;
    b->begun = false;
    b->ended = true;
}

static void hold(bus_batch *b, bus_mono now)
{
    b->declined = false;
    b->pause_until = bus_mono_add(now, b->pause);
    b->pause.ns = b->pause.ns * 2 > PAUSE_MAX.ns ? PAUSE_MAX.ns : b->pause.ns * 2;
}

// --- what to do next ------------------------------------------------------------------------------------

static bool must_end(const bus_batch *b, uint64_t number)
{
    return b->broken || b->sent >= BUS_BATCH_MAX || (number && number != b->first + b->sent) ||
           (b->flow == 1 && b->sent - b->acked > BUS_BATCH_BEHIND_AT);
}

bus_batch_step bus_batch_next(bus_batch *b, bus_window *w, bus_mono now, uint64_t *number)
{
    if (b->declined && b->state != BUS_BATCH_OPEN && b->state != BUS_BATCH_ENDING)
        hold(b, now);
    if (b->pause_until.ns && now.ns < b->pause_until.ns)
        return BUS_BATCH_WAIT;
    switch (b->state) {
    case BUS_BATCH_LOST:
        return BUS_BATCH_END;
    case BUS_BATCH_BLIND:
        return BUS_BATCH_LOOK;
    case BUS_BATCH_UNREAD:
        return BUS_BATCH_READ;
    case BUS_BATCH_READY:
        w->mode = BUS_WINDOW_OPEN; // order and pauses are kept here
        *number = bus_window_due(w, now);
        return *number && b->ripe ? BUS_BATCH_SEND : BUS_BATCH_WAIT;
    case BUS_BATCH_OPEN:
        *number = bus_window_due(w, now);
        if (must_end(b, *number))
            return BUS_BATCH_END;
        return *number ? BUS_BATCH_SEND : BUS_BATCH_WAIT;
    default:
        return BUS_BATCH_WAIT;
    }
}

static void begin(bus_batch *b, const bus_window *w, uint64_t number)
{
    b->flow = w->tail - number > BUS_BATCH_LARGE_AT ? BUS_BATCH_FLOW_LARGE : 1;
    b->step = b->flow;
    b->first = number;
    b->sent = b->acked = b->broken = 0;
    b->begun = b->ended = false;
    b->state = BUS_BATCH_OPEN;
}

void bus_batch_sent(bus_batch *b, bus_window *w, uint64_t number, bus_mono now)
{
    if (b->state == BUS_BATCH_READY)
        begin(b, w, number);
    bus_window_sent(w, number, now);
    b->sent++;
    b->last_sent = now;
}

void bus_batch_asked(bus_batch *b, bus_mono now)
{
    b->asked = now;
    b->state = b->state == BUS_BATCH_BLIND    ? BUS_BATCH_LOOKING
               : b->state == BUS_BATCH_UNREAD ? BUS_BATCH_READING
                                              : BUS_BATCH_ENDING;
}

bool bus_batch_late(const bus_batch *b, bus_mono *since)
{
    *since = b->asked;
    return b->state == BUS_BATCH_LOOKING || b->state == BUS_BATCH_ENDING;
}

// The broker acknowledges the messages a step apart: those behind the last step wait for more to come.
void bus_batch_rest(bus_batch *b, const bus_window *w, bus_mono now)
{
    if (b->state != BUS_BATCH_OPEN || b->broken || w->next < w->tail)
        return;
    int64_t quiet = bus_mono_since(now, b->last_sent).ns;
    if (quiet >= QUIET_SMALL.ns ||
        (quiet >= QUIET_LARGE.ns && b->flow > 1 && b->sent - b->acked < b->step))
        b->broken = b->sent + 1; // behind all that was sent
}

// --- answers ---------------------------------------------------------------------------------------------

static void stored_to(bus_batch *b, bus_window *w, uint64_t place, uint64_t seq)
{
    while (b->acked < place) {
        b->acked++;
        uint64_t at_least = b->after + b->acked; // others may have written in between
        bus_window_stored(w, b->first + b->acked - 1, b->acked == place && seq ? seq : at_least,
                          false);
    }
    if (place)
        b->begun = true;
}

void bus_batch_acked(bus_batch *b, bus_window *w, uint64_t place, uint32_t step)
{
    if (b->state != BUS_BATCH_OPEN && b->state != BUS_BATCH_ENDING)
        return;
    if (step)
        b->step = step;
    if (place == 0 || place > b->sent || (b->broken && place >= b->broken))
        return;
    stored_to(b, w, place, 0);
    b->pause = PAUSE_FIRST;
    b->overtaken = 0;
}

// What the batch stored is not told exactly: the stream is asked, and read when something is in doubt.
static void unsure(bus_batch *b, bus_window *w)
{
    bus_window_requeue(w);
    b->state = BUS_BATCH_BLIND;
}

void bus_batch_was_ended(bus_batch *b, bus_window *w, uint64_t count, uint64_t seq)
{
    if (b->state != BUS_BATCH_OPEN && b->state != BUS_BATCH_ENDING)
        return;
    b->ended = true;
    // A message that was turned down, and still the broker counts beyond it.
    if (count > b->sent || (b->broken && count >= b->broken) || count < b->acked) {
        b->begun = true;
        unsure(b, w);
        return;
    }
    stored_to(b, w, count, seq);
    bus_window_not_stored(w);
    ready(b, count ? seq : b->after);
    b->ripe = true; // no news but our own
}

// The messages of this batch that went out on this connection are not stored.
static void turned_back(bus_batch *b, bus_window *w)
{
    bus_window_unsend(w);
    b->ended = true;
    b->state = BUS_BATCH_BLIND;
    b->declined |= ++b->overtaken > OVERTAKEN_MAX;
}

static void unknown(bus_batch *b, bus_window *w)
{
    b->ended |= b->begun;
    unsure(b, w);
}

void bus_batch_refused(bus_batch *b, bus_window *w, uint64_t place, bus_batch_refusal why)
{
    if (b->state != BUS_BATCH_OPEN && b->state != BUS_BATCH_ENDING)
        return;
    switch (why) {
    case BUS_BATCH_UNKNOWN:
        unknown(b, w);
        break;
    case BUS_BATCH_OVERTAKEN:
        turned_back(b, w);
        break;
    case BUS_BATCH_NOT_NOW:
        b->declined = true;
        if (place > b->sent) // the end itself: asked again
            b->state = BUS_BATCH_LOST;
        // fall through
    case BUS_BATCH_NEVER:
        if (place <= b->sent && (!b->broken || place < b->broken))
            b->broken = place;
        break;
    }
}

void bus_batch_looked(bus_batch *b, bus_window *w, uint64_t last)
{
    bus_mono tried;
    if (b->state != BUS_BATCH_LOOKING)
        return;
    b->look = last;
    if (last != b->after && !b->ended) { // begun, by this look: now it can be ended for good
        b->begun = true;
        b->state = BUS_BATCH_LOST;
    } else if (last > b->after && bus_window_tried(w, &tried)) {
        b->state = BUS_BATCH_UNREAD;
    } else {
        ready(b, last);
    }
}

void bus_batch_not_told(bus_batch *b)
{
    if (b->state != BUS_BATCH_LOOKING)
        return;
    b->declined = true;
    b->state = BUS_BATCH_BLIND;
}

// Nothing of ours can come behind what was read: what was not met is not stored.
void bus_batch_was_read(bus_batch *b, bus_window *w, uint64_t last)
{
    if (b->state != BUS_BATCH_READING)
        return;
    bus_window_not_stored(w);
    ready(b, last > b->look ? last : b->look);
}

void bus_batch_doubt(bus_batch *b, bus_window *w)
{
    bus_window_requeue(w);
    b->broken = 0;
    b->state = b->ended ? BUS_BATCH_BLIND : BUS_BATCH_LOST;
}
