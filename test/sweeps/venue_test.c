// Adapters when memory is out: what came of a frame is what comes with all memory there, or it is said that something is
// missing: an error (then the frame becomes a dead letter), a gap, a book begun anew. Never a wrong event, never a wrong book.
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "feeds/fifo.h"
#include "feeds/requests.h"
#include "feeds/venues/session.h"
#include "sweep.h"
#include "test/support/alloc/alloc.h"
#include "test/support/test.h"

enum { LINES_MAX = 600, LINE_BYTES_MAX = 1 << 17 };

static const char *const symbols[] = {"TESTUSDT"};
static const char *const channels[] = {"trade", "bookTicker", "depth@100ms"};

static char *lines[LINES_MAX];
static size_t line_count;
static char *snapshot, *info;

static void given_lines(void)
{
    static char line[LINE_BYTES_MAX];
    gzFile file = gzopen(TL_BUILD_DIR "/test/data/small.gz", "rb");
    cr_assert(file != NULL);
    while (line_count < LINES_MAX && gzgets(file, line, sizeof line)) {
        char *text = strchr(line, ' ') + 1;
        text[strcspn(text, "\n")] = 0;
        if (strncmp(text, "{\"lastUpdateId\"", 15) == 0)
            snapshot = strdup(text);
        else
            lines[line_count++] = strdup(text);
    }
    gzclose(file);
    info = strdup(
        "{\"symbols\":[{\"symbol\":\"TESTUSDT\",\"status\":\"TRADING\",\"baseAsset\":\"TEST\","
        "\"quoteAsset\":\"USDT\",\"filters\":[{\"filterType\":\"PRICE_FILTER\",\"tickSize\":"
        "\"0.01000000\"},{\"filterType\":\"LOT_SIZE\",\"stepSize\":\"0.00001000\"}]}]}");
    cr_assert(snapshot && line_count == LINES_MAX);
}

// What came of the lines.
typedef struct {
    uint64_t events, sum; // sum: of the data of all events of the market
    uint64_t told;        // gaps and resyncs among them
    uint64_t errors;
    feed_request asked[4];
    int asked_count;
} outcome;

static void on_event(void *ctx, const char *subject, const bus_event *event)
{
    outcome *o = ctx;
    if (strstr(subject, ".feed.")) {
        o->told += strstr(subject, ".feed.gap") || strstr(subject, ".feed.resync") ||
                   strstr(subject, ".feed.degraded");
        return;
    }
    o->events++;
    for (size_t i = 0; i < event->data.len; i++)
        o->sum = o->sum * 1099511628211u + (unsigned char)event->data.ptr[i];
}

static void on_request(void *ctx, const feed_request *request)
{
    outcome *o = ctx;
    if (o->asked_count < 4)
        o->asked[o->asked_count++] = *request;
}

static void answer(feed_session *session, outcome *o, const feed_now *now)
{
    for (int i = 0; i < o->asked_count; i++) {
        feed_request request = o->asked[i];
        bool depth = request.kind == FEED_REQUEST_DEPTH;
        bus_view body = bus_view_of(depth ? snapshot : info);
        o->errors += session->venue->response(session, &request, 200, body, now) != BUS_OK;
    }
    o->asked_count = 0;
}

static bus_err play(outcome *o)
{
    static outcome fresh;
    feed_session *session;
    feed_opts opts = {.symbols = symbols,
                      .symbol_count = 1,
                      .channels = channels,
                      .channel_count = 3,
                      .snapshot_every = BUS_SPAN_S(3600),
                      .snapshot_limit = 1000,
                      .event = on_event,
                      .request = on_request,
                      .ctx = o};
    feed_link link = {.connection_id = "test-1", .url = "ws://127.0.0.1:1/stream", .streams = 3};
    feed_now now = {.received = {1}, .mono = {1}, .wall = {1000000000}};
    *o = fresh;
    bus_err err = feed_venue_find("binance")->open(&session, &opts);
    if (err)
        return err;
    feed_session_opened(session, &now);
    feed_session_up(session, &link, &now);
    for (size_t i = 0; i < line_count; i++) {
        now.received.ns = now.wall.ns = now.mono.ns += 1000000;
        o->errors +=
            session->venue->frame(session, bus_view_of(lines[i]), &now) == FEED_FRAME_ERROR;
        if (i == 60)
            answer(session, o, &now);
    }
    session->venue->close(session);
    return BUS_OK;
}

static outcome whole;

// Silence would be the mistake: other events than with all memory there, and nothing says so.
static bus_err frames(void *ctx)
{
    static outcome o;
    (void)ctx;
    bus_err err = play(&o);
    if (err)
        return err;
    bool same = o.events == whole.events && o.sum == whole.sum;
    if (!same && !o.errors && !o.told)
        return bus_fail(BUS_EDATALOSS, "%llu events of %llu, others, and nothing was said",
                        (unsigned long long)o.events, (unsigned long long)whole.events);
    return BUS_OK;
}

Test(venue_memory, what_is_lost_for_want_of_it_is_said)
{
    given_lines();
    test_ok(play(&whole));
    cr_assert(whole.events > 500 && whole.errors == 0, "%d events, %d errors", (int)whole.events,
              (int)whole.errors);
    sweep_allocations(&(sweep_case){
        .name = "frames", .run = frames, .allocations_min = 12, .can_do_without = true});
}

static bus_err fifo(void *ctx)
{
    feed_fifo f;
    feed_fifo_record record;
    bus_view pieces[3] = {BUS_VIEW("subject"), BUS_VIEW("id"), bus_view_of(snapshot)};
    uint64_t taken = 0, kept = 0;
    (void)ctx;
    feed_fifo_init(&f, 1 << 20);
    for (int i = 0; i < 20; i++)
        kept += feed_fifo_push(&f, i, pieces);
    for (; feed_fifo_front(&f, &record); feed_fifo_pop(&f))
        taken += bus_view_eq(record.piece[2], pieces[2]);
    feed_fifo_release(&f);
    if (taken != kept)
        return bus_fail(BUS_EDATALOSS, "%d records of %d", (int)taken, (int)kept);
    return kept < 20 ? BUS_ENOMEM : BUS_OK;
}

static bus_err requests(void *ctx)
{
    static feed_requests r;
    feed_request request = {.kind = FEED_REQUEST_DEPTH};
    feed_answer got;
    uint64_t tag;
    bus_err err = BUS_EDATALOSS;
    (void)ctx;
    feed_requests_init(&r);
    if (feed_requests_add(&r, &request, &tag)) {
        feed_requests_answer(&r, tag, 200, bus_view_of(snapshot), "");
        if (feed_requests_next(&r, &got)) // without memory for the body it is as if none had come
            err = got.status == 200 && bus_view_is(got.body, snapshot) ? BUS_OK : BUS_ENOMEM;
        feed_requests_done(&r);
    }
    feed_requests_release(&r);
    return err;
}

Test(venue_memory, what_waits_is_kept_whole_or_refused)
{
    given_lines();
    sweep_allocations(&(sweep_case){.name = "fifo", .run = fifo, .allocations_min = 2});
    sweep_allocations(
        &(sweep_case){.name = "answers", .run = requests, .allocations_min = 1, .may_end = true});
}
