#include "workhost/runtime/feed.h"

#include <stdlib.h>

#include "bus/nats/participant.h"

struct work_feed {
    bus_reader *reader;    // act
    bus_participant *part; // hyp
};

bus_err work_feed_open(work_feed **out, bus_conn *conn, const work_feed_opts *opts)
{
    bus_err err;
    work_feed *feed = calloc(1, sizeof *feed);
    if (!feed)
        return bus_fail(BUS_ENOMEM, "feed");
    if (opts->hyp) {
        bus_participant_opts part = {.selector = opts->selector,
                                     .name = opts->name,
                                     .filters = opts->filters,
                                     .filter_count = opts->filter_count,
                                     .resume_after = opts->after_seq,
                                     .resume_run = opts->run};
        err = bus_participant_open(&feed->part, conn, &part);
    } else {
        bus_reader_opts reader = {.stream = "ACT",
                                  .filters = opts->filters,
                                  .filter_count = opts->filter_count,
                                  .from_seq = opts->from_seq};
        err = bus_reader_open(&feed->reader, conn, &reader);
    }
    if (err) {
        free(feed);
        return bus_note(err, "opening the feed");
    }
    *out = feed;
    return BUS_OK;
}

void work_feed_close(work_feed *feed, bool leaves)
{
    if (!feed)
        return;
    if (feed->reader)
        bus_reader_close(feed->reader);
    if (leaves)
        bus_participant_close(feed->part);
    else
        bus_participant_abandon(feed->part);
    free(feed);
}

static work_feed_result next_act(work_feed *feed, bus_span timeout, work_feed_record *out,
                                 bus_seq_range *gap)
{
    bus_record record;
    switch (bus_reader_next(feed->reader, timeout, &record, gap)) {
    case BUS_READER_RECORD:
        *out = (work_feed_record){record.seq, record.subject, record.payload, record.msg,
                                  record.stored};
        return WORK_FEED_RECORD;
    case BUS_READER_GAP:
        return WORK_FEED_GAP;
    case BUS_READER_ERROR:
        return bus_reader_anew(feed->reader) ? WORK_FEED_ANEW : WORK_FEED_ERROR;
    default:
        return WORK_FEED_IDLE;
    }
}

static work_feed_result next_hyp(work_feed *feed, bus_span timeout, work_feed_record *out)
{
    bus_hyp_record record;
    switch (bus_participant_next(feed->part, timeout, &record)) {
    case BUS_PART_RECORD:
        *out = (work_feed_record){.seq = record.seq,
                                  .topic = record.subject,
                                  .payload = record.payload,
                                  .msg = record.msg};
        return WORK_FEED_RECORD;
    case BUS_PART_RUN:
        return WORK_FEED_RUN;
    case BUS_PART_WATERMARK:
        return WORK_FEED_WATERMARK;
    case BUS_PART_END:
        return WORK_FEED_END;
    case BUS_PART_ERROR:
        return WORK_FEED_ERROR;
    default:
        return WORK_FEED_IDLE;
    }
}

work_feed_result work_feed_next(work_feed *feed, bus_span timeout, work_feed_record *out,
                                bus_seq_range *gap)
{
    return feed->reader ? next_act(feed, timeout, out, gap) : next_hyp(feed, timeout, out);
}

void work_feed_nudge(work_feed *feed)
{
    if (feed->reader)
        bus_reader_nudge(feed->reader);
    else
        bus_participant_nudge(feed->part);
}

const char *work_feed_run(const work_feed *feed)
{
    return feed->part ? bus_participant_run(feed->part) : "";
}

uint64_t work_feed_reached(const work_feed *feed)
{
    return feed->part ? bus_participant_watermark(feed->part) : 0;
}

void work_feed_done(work_feed *feed, uint64_t seq)
{
    if (!feed->part)
        return;
    uint64_t reached = bus_participant_watermark(feed->part);
    bus_participant_done(feed->part, seq < reached ? seq : reached);
}
