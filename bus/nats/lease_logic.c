#include "bus/nats/lease_logic.h"

static const int64_t READ_NS = 1000000000; // a waiter looks each second

void bus_lease_logic_init(bus_lease_logic *l, bus_span span)
{
    *l = (bus_lease_logic){.span = span};
}

bus_lease_standing bus_lease_logic_standing(const bus_lease_logic *l, bus_mono now)
{
    if (!l->fence)
        return BUS_LEASE_NONE;
    return !l->doubt && now.ns < l->held_until.ns ? BUS_LEASE_HELD : BUS_LEASE_LAPSED;
}

static int64_t read_every(const bus_lease_logic *l)
{
    return l->span.ns / 4 < READ_NS ? l->span.ns / 4 : READ_NS;
}

static bus_lease_step read_when_due(const bus_lease_logic *l, bus_mono now)
{
    return now.ns >= l->next_read.ns ? BUS_LEASE_READ : BUS_LEASE_WAIT;
}

bus_lease_step bus_lease_logic_step(bus_lease_logic *l, bus_mono now, uint64_t *expected)
{
    *expected = l->revision;
    if (l->fence && l->doubt)
        return read_when_due(l, now);
    if (l->fence) // past held_until too: who finds its own revision was not followed by anybody
        return now.ns - l->renewed.ns >= l->span.ns / 3 ? BUS_LEASE_UPDATE : BUS_LEASE_WAIT;
    if (l->known && l->revision == 0)
        return BUS_LEASE_CREATE;
    if (l->known && (l->free || now.ns - l->seen.ns >= l->span.ns))
        return BUS_LEASE_UPDATE;
    return read_when_due(l, now);
}

void bus_lease_logic_seen(bus_lease_logic *l, uint64_t revision, bus_lease_record record,
                          bus_mono now)
{
    l->next_read.ns = now.ns + read_every(l);
    if (l->fence && record == BUS_LEASE_OUR_OWN) {
        // A renewal without an answer was stored after all. It named our own revision, so nobody held the
        // lease between the two; when it began we do not count: the next renewal does.
        l->revision = revision;
        l->doubt = false;
        return;
    }
    if (l->fence) { // lost
        l->fence = 0;
        l->doubt = l->known = false;
    }
    if (!l->known || revision != l->revision)
        l->seen = now;
    l->known = true;
    l->revision = revision;
    l->free = record == BUS_LEASE_FREE;
}

// Not taken, or not known whether: the key is read, and what it says waited for, as by anybody else.
static void not_taken(bus_lease_logic *l, bus_lease_write result, bus_mono now)
{
    l->known = false;
    l->next_read.ns = result == BUS_LEASE_UNKNOWN ? now.ns + read_every(l) : 0;
}

void bus_lease_logic_written(bus_lease_logic *l, bus_lease_write result, uint64_t revision,
                             bus_mono started, bus_mono now)
{
    if (result == BUS_LEASE_WRITTEN) {
        l->fence = l->fence ? l->fence : revision;
        l->doubt = l->free = false;
        l->known = true;
        l->revision = revision;
        l->renewed = started;
        l->held_until.ns = started.ns + l->span.ns / 3 * 2;
    } else if (!l->fence) {
        not_taken(l, result, now);
    } else if (result == BUS_LEASE_CONFLICT) {
        l->doubt = true;
        l->next_read.ns = 0;
    } // no answer: tried again at the next step
}
