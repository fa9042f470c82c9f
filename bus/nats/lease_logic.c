#include "bus/nats/lease_logic.h"

static const int64_t READ_NS = 1000000000; // a waiter looks each second

void bus_lease_logic_init(bus_lease_logic *l, bus_span span)
{
    *l = (bus_lease_logic){.span = span};
}

bool bus_lease_logic_held(const bus_lease_logic *l, bus_mono now)
{
    return l->held && now.ns < l->held_until.ns;
}

static void look_again(bus_lease_logic *l)
{
    l->held = false;
    l->known = false;
    l->next_read.ns = 0;
}

static int64_t read_every(const bus_lease_logic *l)
{
    return l->span.ns / 4 < READ_NS ? l->span.ns / 4 : READ_NS;
}

bus_lease_step bus_lease_logic_step(bus_lease_logic *l, bus_mono now, uint64_t *expected)
{
    *expected = l->revision;
    if (l->held) {
        if (now.ns >= l->held_until.ns)
            look_again(l); // we were away too long: whoever waits may be about to take it
        else
            return now.ns - l->renewed.ns >= l->span.ns / 3 ? BUS_LEASE_UPDATE : BUS_LEASE_WAIT;
    }
    if (l->known && l->revision == 0)
        return BUS_LEASE_CREATE;
    if (l->known && (l->free || now.ns - l->seen.ns >= l->span.ns))
        return BUS_LEASE_UPDATE;
    return now.ns >= l->next_read.ns ? BUS_LEASE_READ : BUS_LEASE_WAIT;
}

void bus_lease_logic_seen(bus_lease_logic *l, uint64_t revision, bool is_free, bus_mono now)
{
    if (!l->known || revision != l->revision)
        l->seen = now;
    l->known = true;
    l->revision = revision;
    l->free = is_free;
    l->next_read.ns = now.ns + read_every(l);
}

void bus_lease_logic_written(bus_lease_logic *l, bus_lease_write result, uint64_t revision,
                             bus_mono started, bus_mono now)
{
    if (result == BUS_LEASE_UNKNOWN && l->held)
        return; // tried again at the next step until held_until; a conflict with ourselves then loses it
    if (result != BUS_LEASE_WRITTEN) {
        look_again(l);
        l->next_read.ns = result == BUS_LEASE_UNKNOWN ? now.ns + read_every(l) : 0;
        return;
    }
    if (!l->held)
        l->fence = revision;
    l->held = true;
    l->known = true;
    l->free = false;
    l->revision = revision;
    l->renewed = started;
    l->held_until.ns = started.ns + l->span.ns / 3 * 2;
}
