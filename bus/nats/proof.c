#include "bus/nats/proof.h"

#include <stdlib.h>

#include "bus/nats/filters.h"

enum {
    REPORT_MS = 100,     // what is done is told at latest so long after it rose
    KEEPALIVE_MS = 1000, // and something is told so often in any case
    RUNID_MAX = 64,
    ABSENT_MAX = 3, // watermarks without us that may be older than our join
};

struct bus_proof {
    char name[BUS_PARTICIPANT_NAME_MAX + 1];
    bus_filters filters;

    char run[RUNID_MAX + 1];
    uint32_t window_events;
    uint64_t have;  // every event of the run up to here has been met
    uint64_t met;   // of them, those delivered
    uint64_t base;  // of our join: `count` is about what lies above
    uint64_t count; // events above base that met the filters
    // Lane-Count of the last event met; unknown after a read, until a message tells.
    uint64_t number;
    bool number_known;

    uint64_t proven, proven_number; // the highest proven watermark and its Lane-Count
    uint64_t wanted;                // finished, as the owner says
    uint64_t done, done_number;     // finished and proven
    uint64_t told, told_number;     // of the last report
    uint64_t known;                 // our done in the last watermark
    int absent;                     // watermarks in a row that did not name us
    bool report_owed;               // at once
    bus_mono told_at;
    bus_mono rose_at; // when `done` rose above `told`
};

bus_err bus_proof_open(bus_proof **out, bus_view selector, bus_view name, const bus_view *filters,
                       size_t count)
{
    bus_err err = bus_participant_name_check(name);
    if (err)
        return err;
    bus_proof *p = calloc(1, sizeof *p);
    if (!p)
        return bus_fail(BUS_ENOMEM, "proof of a participant");
    bus_view_copy(name, p->name, sizeof p->name);
    err = bus_filters_init(&p->filters, selector, filters, count);
    if (err) {
        free(p);
        return bus_note(err, "participant '%.*s'", BUS_VIEW_ARG(name));
    }
    *out = p;
    return BUS_OK;
}

void bus_proof_close(bus_proof *p)
{
    if (!p)
        return;
    bus_filters_release(&p->filters);
    free(p);
}

static void start_over(bus_proof *p, const bus_proof_run *run)
{
    bus_view_copy(run->runid, p->run, sizeof p->run);
    uint64_t first = run->first_seq ? run->first_seq : 1;
    p->have = run->done_seq >= first ? run->done_seq : first - 1;
    if (p->have > run->base_seq && run->base_seq >= first - 1)
        p->have = run->base_seq; // nobody can have finished what was not sent
    p->met = 0;
    p->number = 0;
    // Joined before anything was sent: then the first event is number 1.
    p->number_known = run->base_seq == first - 1 && p->have == first - 1;
    p->proven = p->proven_number = 0;
    p->wanted = p->done = p->told = p->known = p->have;
    p->done_number = p->told_number = 0;
}

bus_err bus_proof_join(bus_proof *p, const bus_proof_run *run, bus_mono now)
{
    if (run->runid.len == 0 || run->runid.len > RUNID_MAX)
        return bus_fail(BUS_EINVAL, "runid '%.*s' must have 1 to %d characters",
                        BUS_VIEW_ARG(run->runid), RUNID_MAX);
    if (!bus_view_is(run->runid, p->run))
        start_over(p, run);
    // What was met so far was sent before the join was answered, so it lies at or below the base.
    p->base = run->base_seq;
    p->count = 0;
    p->absent = 0;
    p->window_events = run->window_events;
    p->report_owed = true;
    p->told_at = now;
    return BUS_OK;
}

// --- what was met ------------------------------------------------------------------------------------

static bus_proof_result meet(bus_proof *p, uint64_t seq, bus_view subject)
{
    p->have = seq;
    if (!bus_filters_match(&p->filters, subject))
        return BUS_PROOF_PASS;
    p->met++;
    if (seq > p->base)
        p->count++;
    return BUS_PROOF_DELIVER;
}

bus_proof_result bus_proof_event(bus_proof *p, bus_view run, const bus_lane_stamp *stamp,
                                 bus_view subject, uint64_t *first, uint64_t *last)
{
    if (!p->run[0] || !bus_view_is(run, p->run) || stamp->seq <= p->have)
        return BUS_PROOF_IGNORE;
    bool next = p->number_known && stamp->count == p->number + 1;
    if (!next && stamp->seq > p->have + 1) {
        *first = p->have + 1;
        *last = stamp->seq - 1;
        return BUS_PROOF_HOLE;
    }
    p->number = stamp->count;
    p->number_known = true;
    return meet(p, stamp->seq, subject);
}

bus_proof_result bus_proof_read(bus_proof *p, uint64_t seq, bus_view subject)
{
    if (seq <= p->have)
        return BUS_PROOF_IGNORE;
    p->number_known = false;
    return meet(p, seq, subject);
}

void bus_proof_read_to(bus_proof *p, uint64_t seq)
{
    if (seq <= p->have)
        return;
    p->have = seq;
    p->number_known = false;
}

// --- watermarks --------------------------------------------------------------------------------------

static void raise_done(bus_proof *p, bus_mono now)
{
    uint64_t done = p->wanted < p->proven ? p->wanted : p->proven;
    if (done <= p->done)
        return;
    if (p->done == p->told)
        p->rose_at = now;
    p->done = done;
    if (done == p->proven)
        p->done_number = p->proven_number;
}

static void prove(bus_proof *p, uint64_t seq, uint64_t number)
{
    if (seq < p->proven)
        return;
    p->proven = seq;
    p->proven_number = number;
}

bus_proof_result bus_proof_watermark(bus_proof *p, bus_view run, const bus_watermark *mark,
                                     uint64_t *first, uint64_t *last)
{
    if (!p->run[0] || !bus_view_is(run, p->run))
        return BUS_PROOF_IGNORE;
    const bus_watermark_part *own = bus_watermark_find(mark, bus_view_of(p->name));
    if (own && own->base == p->base)
        p->known = own->done;
    if (mark->seq < p->have)
        return BUS_PROOF_IGNORE; // overtaken by what was read from the source
    bool complete = p->number_known && mark->sent == p->number;
    if (!complete && mark->seq > p->have) {
        *first = p->have + 1;
        *last = mark->seq;
        return BUS_PROOF_HOLE;
    }
    p->have = mark->seq;
    p->number = mark->sent;
    p->number_known = true;
    if (!own) // at the base it may have been sent before our join; more than a few were not
        return mark->seq > p->base || ++p->absent >= ABSENT_MAX ? BUS_PROOF_ABSENT
                                                                : BUS_PROOF_IGNORE;
    p->absent = 0;
    if (own->base != p->base)
        return BUS_PROOF_IGNORE; // it was sent before our latest join
    if (own->count != p->count)
        return BUS_PROOF_LOST;
    prove(p, mark->seq, mark->sent);
    return BUS_PROOF_PROVEN;
}

bus_proof_result bus_proof_end(bus_proof *p, uint64_t end_seq, uint64_t *first, uint64_t *last)
{
    if (end_seq > p->have) {
        *first = p->have + 1;
        *last = end_seq;
        return BUS_PROOF_HOLE;
    }
    prove(p, p->have, p->number);
    return BUS_PROOF_PROVEN;
}

uint64_t bus_proof_proven(const bus_proof *p)
{
    return p->proven;
}

// --- reports -----------------------------------------------------------------------------------------

void bus_proof_done(bus_proof *p, uint64_t seq, bus_mono now)
{
    if (seq > p->wanted)
        p->wanted = seq;
    raise_done(p, now);
}

uint64_t bus_proof_done_seq(const bus_proof *p)
{
    return p->done;
}

static bool report_due(const bus_proof *p, bus_mono now)
{
    if (!p->run[0])
        return false;
    int64_t quiet = bus_mono_since(now, p->told_at).ns;
    if (p->report_owed || quiet >= BUS_SPAN_MS(KEEPALIVE_MS).ns)
        return true;
    if (p->done > p->told)
        return p->done_number - p->told_number >= p->window_events / 2 ||
               bus_mono_since(now, p->rose_at).ns >= BUS_SPAN_MS(REPORT_MS).ns;
    return p->known < p->told && quiet >= BUS_SPAN_MS(REPORT_MS).ns;
}

bool bus_proof_report_due(bus_proof *p, bus_mono now, uint64_t *seq)
{
    raise_done(p, now); // a watermark may have been proven since the owner spoke
    if (!report_due(p, now))
        return false;
    *seq = p->done;
    p->told = p->done;
    p->told_number = p->done_number;
    p->told_at = now;
    p->report_owed = false;
    return true;
}
