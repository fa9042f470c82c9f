#include "store/source.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base/log.h"
#include "store/replay.h"

enum {
    LOOKS_MAX = 256, // records looked at in one call
    TIME_LEN = 30,   // what bus_time_format writes
};

bus_err store_source_open(store_source *s, bus_conn *conn, const char *stream, uint64_t first,
                          uint64_t last, const char *selector, const char *runid)
{
    bus_reader_opts opts = {.stream = stream,
                            .from_seq = first,
                            .window_bytes_max = STORE_REPLAY_READ_BYTES,
                            .direct = true};
    s->memo = calloc(1, sizeof *s->memo); // without it things are only slower
    bus_err err = bus_reader_open(&s->reader, conn, &opts);
    if (err)
        return err;
    s->selector = bus_view_of(selector);
    s->runid = bus_view_of(runid);
    s->last_seq = last;
    s->reached = first - 1;
    s->held = false;
    s->skipped = s->missing = 0;
    return BUS_OK;
}

void store_source_release(store_source *s)
{
    bus_reader_close(s->reader);
    bus_scratch_release(&s->scratch);
    free(s->memo);
    free(s->out);
    *s = (store_source){0};
}

static bus_err grow(store_source *s, size_t need)
{
    if (s->out_cap >= need)
        return BUS_OK;
    uint8_t *bigger = realloc(s->out, need);
    if (!bigger)
        return bus_fail(BUS_ENOMEM, "an event of %zu bytes", need);
    s->out = bigger;
    s->out_cap = need;
    return BUS_OK;
}

// Re-addressed bytes of a record. What is stored as JSON or headers may need more room than it has now.
static bus_err readdress(store_source *s, const bus_record *record, bus_pack *p)
{
    bus_readdress_to to = {s->selector, s->runid, bus_now_wall(), s->memo};
    bus_err err = grow(s, record->payload.len + BUS_READDRESS_GROWTH);
    while (!err) {
        *p = bus_pack_to(s->out, s->out_cap);
        err = bus_readdress_record(p, s->subject, record, &to, &s->scratch, &s->recorded);
        if (err != BUS_ELIMIT || s->out_cap > 4 * record->payload.len + BUS_READDRESS_BUF)
            break;
        err = grow(s, 2 * s->out_cap);
    }
    return err;
}

static void hold(store_source *s, const bus_record *record)
{
    static const char market[] = "act.exchange.";
    bus_pack p;
    if (record->subject.len < sizeof market ||
        memcmp(record->subject.ptr, market, sizeof market - 1) != 0)
        return; // not of the market: no part of a run
    bus_err err = readdress(s, record, &p);
    if (err) {
        if (s->skipped++ == 0)
            bus_warn("replay on '%.*s': sequence %" PRIu64 " (%.*s) is no event, passed over: %s",
                     BUS_VIEW_ARG(s->selector), record->seq, BUS_VIEW_ARG(record->subject),
                     bus_err_text());
        return;
    }
    s->payload = (bus_view){(const char *)p.buf, p.len};
    s->seq = record->seq;
    s->held = true;
}

void store_source_restamp(store_source *s)
{
    char text[BUS_TIME_TEXT];
    bus_view walltime;
    if (!s->held || !bus_map_str(s->payload, "walltime", &walltime) || walltime.len != TIME_LEN)
        return;
    bus_time_format(bus_now_wall().ns, text);
    memcpy(s->out + (walltime.ptr - s->payload.ptr), text, TIME_LEN);
}

static void count_missing(store_source *s, bus_seq_range gap)
{
    if (gap.first > s->last_seq)
        return;
    if (gap.last > s->last_seq)
        gap.last = s->last_seq;
    s->missing += gap.last - gap.first + 1;
    s->reached = gap.last;
}

store_source_result store_source_fetch(store_source *s)
{
    for (int looks = 0; looks < LOOKS_MAX; looks++) {
        bus_record record;
        bus_seq_range gap;
        if (s->held)
            return STORE_SOURCE_EVENT;
        if (s->reached >= s->last_seq)
            return STORE_SOURCE_END;
        switch (bus_reader_next(s->reader, (bus_span){0}, &record, &gap)) {
        case BUS_READER_RECORD:
            if (record.seq > s->last_seq) {
                s->reached = s->last_seq;
                return STORE_SOURCE_END;
            }
            s->reached = record.seq;
            hold(s, &record);
            break;
        case BUS_READER_GAP:
            count_missing(s, gap);
            break;
        case BUS_READER_CAUGHT_UP: // the last of the range are gone from the stream
            s->missing += s->last_seq - s->reached;
            s->reached = s->last_seq;
            return STORE_SOURCE_END;
        case BUS_READER_NOTHING:
            return STORE_SOURCE_NOTHING;
        case BUS_READER_ERROR:
            return STORE_SOURCE_ERROR;
        }
    }
    return s->held ? STORE_SOURCE_EVENT : STORE_SOURCE_NOTHING;
}
