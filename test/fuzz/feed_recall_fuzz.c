// What a feed reads back of its venue when it starts: any messages on the venue's subjects, by whomever, in any form, far
// from each other and near, and one that comes while it reads. The broker (played_stream.h) says the truth of them. What
// the session then knows is what the newest whole events with the venue's source say, and nothing else.
#include "feeds/recall.h"
#include "feeds/venues/binance/binance.h"
#include "played_stream.h"

#define VENUE  "act.exchange.binance."
#define SOURCE "urn:com.virtufin.exchange.binance"

enum { FAR = 150000, LOOK_BACK = 100000, NOW_S = 1700000000 };

static const char *const symbols[] = {"BTCUSDT"};
static const char *const channels[] = {"trade", "aggTrade", "bookTicker", "kline_1m"};
static const char *const subjects[] = {
    VENUE "trade.tape.BTCUSDT", VENUE "quote.update.BTCUSDT", VENUE "ohlcv.candle.1m.BTCUSDT",
    VENUE "feed.gap",           VENUE "feed.connected",       VENUE "orderbook.snapshot.BTCUSDT",
    VENUE "instrument.BTCUSDT", VENUE "trade.tape.ETHUSDT",   "act.exchange.other.trade.tape.X",
};
static const char *const names[] = {
    "trade.BTCUSDT.", "aggTrade.BTCUSDT.", "bookTicker.BTCUSDT.", "kline_1m.BTCUSDT.", "",
    "trade.ETHUSDT."};
#define COUNT(list) (sizeof(list) / sizeof *(list))

static void on_event(void *ctx, const char *subject, const bus_event *event)
{
    (void)ctx;
    (void)subject;
    (void)event;
}

static void on_request(void *ctx, const feed_request *request)
{
    (void)ctx;
    (void)request;
}

static feed_session *given_a_session(void)
{
    feed_session *session;
    demand(feed_binance.open(&session, &(feed_opts){.symbols = symbols,
                                                    .symbol_count = COUNT(symbols),
                                                    .channels = channels,
                                                    .channel_count = COUNT(channels),
                                                    .event = on_event,
                                                    .request = on_request}) == BUS_OK);
    return session;
}

// --- what the stream holds ----------------------------------------------------------------------------------

static bus_view text_of(char *buf, size_t cap, const char *start)
{
    uint8_t len = byte();
    bus_view raw = bytes_of(len % 24);
    uint64_t n = len < 0x80 ? len : UINT64_C(1) << (len & 63);
    int size = len % 3 ? snprintf(buf, cap, "%s%" PRIu64 ".%u", start, n, len % 5)
                       : snprintf(buf, cap, "%s%.*s", start, BUS_VIEW_ARG(raw));
    return (bus_view){buf, (size_t)size};
}

static void pack_event(kept *k, uint8_t how)
{
    char id[128], time[64];
    bus_pack p = bus_pack_to(k->payload, sizeof k->payload);
    bus_event e = {.id = text_of(id, sizeof id, names[byte() % COUNT(names)]),
                   .source = how & 1 ? BUS_VIEW(SOURCE) : BUS_VIEW("urn:another"),
                   .type = BUS_VIEW("com.virtufin.exchange.binance.x")};
    bus_time_format((NOW_S + (int64_t)byte()) * 1000000000, time);
    bus_view received = how & 2 ? text_of(time, sizeof time, "") : bus_view_of(time);
    e.recordedtime = how & 4 ? (bus_view){0} : received;
    if (bus_event_encode(&p, &e) == BUS_OK && !p.overflow)
        k->len = p.len;
}

static void keep(kept *k, uint64_t *seq, int64_t *stored_ns)
{
    uint8_t step = byte(), how = byte();
    *seq += step < 0xf0 ? 1 + step % 4 : FAR;
    *stored_ns += (int64_t)(step >> 4) * 100000000;
    *k = (kept){.seq = *seq, .stored_ns = *stored_ns, .type = ""};
    snprintf(k->subject, sizeof k->subject, "%s", subjects[byte() % COUNT(subjects)]);
    if (how & 0x80) { // anything
        bus_view any = bytes_of(byte());
        memcpy(k->payload, any.ptr, any.len);
        k->len = any.len;
        k->type = how & 1 ? BUS_CONTENT_JSON : "";
    } else {
        pack_event(k, how);
    }
}

static void fill(uint8_t first)
{
    uint64_t seq = 0;
    int64_t stored_ns = NOW_S * INT64_C(1000000000);
    memset(&stream, 0, sizeof stream);
    for (stream.count = 0; stream.count < KEPT_MAX && input.left; stream.count++)
        keep(&stream.msg[stream.count], &seq, &stored_ns);
    stream.shown = stream.count - (stream.count > 1 && first & 1);
    stream.answered_ns = first & 2 ? stored_ns + (int64_t)(first >> 2) * 10000000 : 0;
}

// The last one is stored when somebody has looked at the tail.
static bool on_asked(const char *subject, bus_view payload, bus_msg **answer)
{
    bool ours = stream_answer(subject, payload, answer);
    if (strstr(subject, "DIRECT"))
        stream.shown = stream.count;
    return ours;
}

// --- what it should have found --------------------------------------------------------------------------------

typedef struct {
    bool found;
    uint64_t seq;
    int64_t received_ns;
    char id[256];
} newest;

static bool read_ours(const kept *k, const char *pattern, newest *out)
{
    static bus_scratch scratch;
    bus_event e;
    bus_view payload = {(const char *)k->payload, k->len};
    if (!bus_subject_match(bus_view_of(pattern), bus_view_of(k->subject)) ||
        bus_event_decode(&e, bus_view_of(k->type), payload, &scratch) ||
        !bus_view_is(e.source, SOURCE) || bus_time_parse(e.recordedtime, &out->received_ns))
        return false;
    demand(bus_view_copy(e.id, out->id, sizeof out->id) || e.id.len >= sizeof out->id);
    out->found = true;
    out->seq = k->seq;
    return true;
}

static newest newest_on(const char *pattern)
{
    newest n = {0};
    for (size_t i = stream.count; i-- > 0 && !n.found;)
        read_ours(&stream.msg[i], pattern, &n);
    return n;
}

static int64_t epoch_on(const char *pattern)
{
    newest n = newest_on(pattern);
    char *dot = strchr(n.id, '.');
    uint64_t ms;
    if (dot && bus_view_u64((bus_view){n.id, (size_t)(dot - n.id)}, &ms) && ms < INT64_MAX / 2)
        return (int64_t)ms;
    return 0;
}

static void look_at(const feed_session *session, bool fresh)
{
    static const char *const own[] = {VENUE "feed.>", VENUE "orderbook.snapshot.>",
                                      VENUE "instrument.>"};
    newest all = newest_on(VENUE ">"), n;
    int64_t received_ns = 0, epoch = 0;
    feed_session *want = given_a_session();
    demand(fresh == !all.found);
    for (size_t i = 0; i < COUNT(own); i++)
        epoch = epoch_on(own[i]) > epoch ? epoch_on(own[i]) : epoch;
    for (size_t s = 0; s < 3; s++) { // those that carry frames
        n = newest_on(subjects[s]);
        received_ns = n.found && n.received_ns > received_ns ? n.received_ns : received_ns;
        for (size_t i = 0; i < stream.count && n.found; i++) {
            newest one = {0};
            bool back = s == 0 && stream.msg[i].seq + LOOK_BACK >= n.seq;
            if ((back || stream.msg[i].seq == n.seq) &&
                read_ours(&stream.msg[i], subjects[s], &one))
                feed_binance.seen(want, bus_view_of(one.id));
        }
    }
    if (all.found) {
        demand(session->last_received.ns == (received_ns ? received_ns : all.received_ns));
        demand(session->emit.epoch_ms == epoch);
    }
    const binance_symbol *a = ((const binance *)session)->symbol;
    const binance_symbol *b = ((const binance *)want)->symbol;
    const feed_channel *pairs[][2] = {{&a->trade, &b->trade},
                                      {&a->agg_trade, &b->agg_trade},
                                      {&a->book_ticker, &b->book_ticker},
                                      {&a->kline[0], &b->kline[0]}};
    for (size_t i = 0; i < COUNT(pairs); i++)
        demand(pairs[i][0]->has_last == pairs[i][1]->has_last &&
               pairs[i][0]->last == pairs[i][1]->last &&
               pairs[i][0]->last_b == pairs[i][1]->last_b);
    feed_binance.close(want);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bus_conn conn;
    bool fresh = false;
    if (size < 2 || !play_open(data + 1, size - 1))
        return 0;
    fill(data[0]);
    play_answer = on_asked;
    play_published = stream_published;
    bool grows = stream.shown != stream.count;
    feed_session *session = given_a_session();
    bus_err err = feed_recall(session, &conn, &fresh);
    if (err)
        demand(err == BUS_ESTATE && grows);
    else
        look_at(session, fresh);
    feed_binance.close(session);
    play_close();
    return 0;
}
