// The capture's side of the exchange: recorded frames to the hub and into the books, recorded snapshots to
// the depth requests that wait. Source: schemas/specs/simexd.md, "Capture play", "Book".
#include <stdlib.h>

#include "bus/base/decimal.h"
#include "bus/base/log.h"
#include "feeds/sim/inside.h"
#include "feeds/sim/json.h"

// --- levels -----------------------------------------------------------------------------------------

typedef struct {
    sim_exchange *x;
    sim_instrument *instrument;
    sim_side side;
    bool failed;
} collector;

static void collect(void *ctx, bus_view price, bus_view quantity)
{
    collector *c = ctx;
    sim_exchange *x = c->x;
    sim_change change = {.side = c->side};
    if (bus_decimal_parse(price, c->instrument->price_digits, &change.price) ||
        bus_decimal_parse(quantity, c->instrument->quantity_digits, &change.quantity)) {
        c->failed = true;
        return;
    }
    if (x->change_count == x->change_cap) {
        size_t cap = x->change_cap ? x->change_cap * 2 : 4096;
        sim_change *grown = realloc(x->changes, cap * sizeof *grown);
        if (!grown) {
            c->failed = true;
            return;
        }
        x->changes = grown;
        x->change_cap = cap;
    }
    x->changes[x->change_count++] = change;
}

// Reads both sides into x->changes; false (said once a symbol) when a level does not fit.
static bool collect_sides(sim_exchange *x, sim_instrument *instrument, bus_view bids, bus_view asks)
{
    collector c = {x, instrument, SIM_BID, false};
    x->change_count = 0;
    bool whole = sim_capture_levels(bids, collect, &c);
    c.side = SIM_ASK;
    whole = sim_capture_levels(asks, collect, &c) && whole;
    if (whole && !c.failed)
        return true;
    if (!instrument->unreadable)
        bus_warn("%s: a level that is no [\"price\",\"quantity\"] within 64 bits; the book leaves "
                 "it out",
                 instrument->name);
    instrument->unreadable = true;
    return false;
}

// --- frames -----------------------------------------------------------------------------------------

static uint32_t answer_waiters(sim_exchange *x, int symbol_no, bus_view body);

static void book_frame(sim_exchange *x, sim_instrument *instrument, const sim_frame *frame)
{
    if (!frame->whole || frame->last_id <= 0)
        return;
    (void)collect_sides(x, instrument, frame->bids, frame->asks);
    bool never = instrument->snapshots_left == 0 && !sim_history_has_base(instrument->history);
    bus_err err = BUS_OK;
    if (never) { // no snapshot will come: the book begins empty here
        sim_book_clear(&x->scratch);
        err = sim_history_base(instrument->history, frame->first_id - 1, &x->scratch);
    }
    if (!err)
        err = sim_history_frame(instrument->history, frame->first_id, frame->last_id, x->changes,
                                x->change_count);
    if (err)
        bus_error("%s: book at update id %lld: %s", instrument->name, (long long)frame->last_id,
                  bus_err_text());
    if (never && !err)
        (void)answer_waiters(x, (int)(instrument - x->instrument), (bus_view){0});
}

static void play_frame(void *ctx, const sim_record *record, bus_mono now)
{
    sim_exchange *x = ctx;
    const sim_frame *frame = &record->frame;
    int topic = sim_topics_find(&x->hub.topics, frame->symbol, frame->channel);
    if (topic < 0)
        return; // the file changed since it was opened
    int symbol_no = x->hub.topics.topic[topic].symbol_no;
    if (strcmp(frame->channel, "depth") == 0)
        book_frame(x, &x->instrument[symbol_no], frame);
    sim_hub_publish(&x->hub,
                    &(sim_outgoing){.topic = topic,
                                    .payload = frame->data,
                                    .recorded_ns = record->recorded_ns,
                                    .first_id = frame->first_id,
                                    .last_id = frame->last_id},
                    now);
}

// --- snapshots --------------------------------------------------------------------------------------

void sim_levels_render(const sim_book *book, sim_side side, size_t limit, int price_digits,
                       int quantity_digits, sim_text *out)
{
    sim_text_str(out, "[");
    for (size_t i = 0; i < limit; i++) {
        const sim_level *level = sim_book_best(book, side, i);
        if (!level)
            break;
        sim_text_str(out, i ? ",[\"" : "[\"");
        sim_text_decimal(out, level->price, price_digits);
        sim_text_str(out, "\",\"");
        sim_text_decimal(out, level->quantity, quantity_digits);
        sim_text_str(out, "\"]");
    }
    sim_text_str(out, "]");
}

static void cut_side(bus_view array, size_t limit, sim_text *out)
{
    sim_json it;
    bus_view level;
    sim_text_str(out, "[");
    if (array.len && array.ptr[0] == '[' && sim_json_open(&it, array))
        for (size_t i = 0; i < limit && sim_json_element(&it, &level); i++) {
            sim_text_str(out, i ? "," : "");
            sim_text_add(out, level);
        }
    sim_text_str(out, "]");
}

static size_t elements(bus_view array)
{
    sim_json it;
    bus_view level;
    size_t n = 0;
    if (array.len && array.ptr[0] == '[' && sim_json_open(&it, array))
        while (sim_json_element(&it, &level))
            n++;
    return n;
}

// Recorded bodies with more levels than limit are cut.
static void cut_depth(bus_view body, size_t limit, sim_text *out)
{
    bus_view id, bids = {0}, asks = {0};
    bool readable = sim_json_get(body, "lastUpdateId", &id) && sim_json_get(body, "bids", &bids) &&
                    sim_json_get(body, "asks", &asks);
    if (!readable || (elements(bids) <= limit && elements(asks) <= limit)) {
        sim_text_add(out, body);
        return;
    }
    sim_text_str(out, "{\"lastUpdateId\":");
    sim_text_add(out, id);
    sim_text_str(out, ",\"bids\":");
    cut_side(bids, limit, out);
    sim_text_str(out, ",\"asks\":");
    cut_side(asks, limit, out);
    sim_text_str(out, "}");
}

void sim_capture_feed_depth(sim_exchange *x, int symbol_no, size_t limit, sim_text *out)
{
    const sim_instrument *instrument = &x->instrument[symbol_no];
    const sim_book *book = sim_history_now(instrument->history);
    int64_t id = sim_history_mark_now(instrument->history).update_id;
    sim_text_printf(out, "{\"lastUpdateId\":%lld,\"bids\":", (long long)id);
    sim_levels_render(book, SIM_BID, limit, instrument->price_digits, instrument->quantity_digits,
                      out);
    sim_text_str(out, ",\"asks\":");
    sim_levels_render(book, SIM_ASK, limit, instrument->price_digits, instrument->quantity_digits,
                      out);
    sim_text_str(out, "}");
    x->snapshots.own++;
    sim_hub_note(&x->hub, instrument->name, "snapshot", id, 1, "");
}

static void base_book(sim_exchange *x, sim_instrument *instrument, bus_view body, int64_t id)
{
    bus_view bids = {0}, asks = {0};
    (void)sim_json_get(body, "bids", &bids);
    (void)sim_json_get(body, "asks", &asks);
    (void)collect_sides(x, instrument, bids, asks);
    sim_book_clear(&x->scratch);
    bus_err err = BUS_OK;
    for (size_t i = 0; i < x->change_count && !err; i++)
        err = sim_book_apply(&x->scratch, x->changes[i]);
    if (!err)
        err = sim_history_base(instrument->history, id, &x->scratch);
    if (err)
        bus_error("%s: book from snapshot %lld: %s", instrument->name, (long long)id,
                  bus_err_text());
}

static void answer_waiter(sim_exchange *x, size_t i, bus_view body)
{
    sim_waiter waiter = x->waiter[i];
    memmove(x->waiter + i, x->waiter + i + 1, (x->waiter_count - i - 1) * sizeof *x->waiter);
    x->waiter_count--;
    sim_answer answer = {.status = 200, .type = "application/json;charset=UTF-8"};
    if (body.len)
        cut_depth(body, waiter.limit, &answer.body);
    else
        sim_capture_feed_depth(x, waiter.symbol_no, waiter.limit, &answer.body);
    x->answer_fn(x->answer_ctx, waiter.cookie, &answer);
}

// Answers all that wait for the symbol, with the body or (empty) the own book; returns how many.
static uint32_t answer_waiters(sim_exchange *x, int symbol_no, bus_view body)
{
    uint32_t answered = 0;
    for (size_t i = 0; i < x->waiter_count;) {
        if (x->waiter[i].symbol_no != symbol_no) {
            i++;
            continue;
        }
        answer_waiter(x, i, body);
        answered++;
    }
    return answered;
}

static void play_snapshot(void *ctx, const sim_record *record)
{
    sim_exchange *x = ctx;
    bus_view value;
    int64_t id = 0;
    int symbol_no = sim_topics_symbol(&x->hub.topics, bus_view_of(record->symbol));
    if (symbol_no < 0)
        return;
    sim_instrument *instrument = &x->instrument[symbol_no];
    if (sim_json_get(record->text, "lastUpdateId", &value))
        (void)sim_json_int(value, &id);
    uint32_t answered = answer_waiters(x, symbol_no, record->text);
    x->snapshots.passed++;
    x->snapshots.served += answered > 0;
    if (instrument->snapshots_left)
        instrument->snapshots_left--;
    if (id > 0 && (answered || !sim_history_has_base(instrument->history) ||
                   sim_history_broken(instrument->history)))
        base_book(x, instrument, record->text, id);
    if (answered)
        sim_hub_note(&x->hub, instrument->name, "snapshot", id, answered, "");
}

// --- the host of play ---------------------------------------------------------------------------------

static bool standing(void *ctx)
{
    sim_exchange *x = ctx;
    for (size_t i = 0; i < x->hub.topics.count; i++)
        if (!sim_hub_listened(&x->hub, (int)i))
            return false;
    return true;
}

static bool depth_wanted(void *ctx, const char *symbol)
{
    sim_exchange *x = ctx;
    return sim_hub_listened(&x->hub, sim_topics_find(&x->hub.topics, symbol, "depth"));
}

static bool request_waits(void *ctx, const char *symbol)
{
    sim_exchange *x = ctx;
    int symbol_no = sim_topics_symbol(&x->hub.topics, bus_view_of(symbol));
    for (size_t i = 0; i < x->waiter_count; i++)
        if (x->waiter[i].symbol_no == symbol_no)
            return true;
    return false;
}

enum { ROOM_BYTES = 1024 * 1024 };

static bool room(void *ctx)
{
    sim_exchange *x = ctx;
    return sim_hub_queued_max(&x->hub) <= ROOM_BYTES;
}

static void hold_timeout(void *ctx, const sim_record *record)
{
    sim_exchange *x = ctx;
    int symbol_no = sim_topics_symbol(&x->hub.topics, bus_view_of(record->symbol));
    bus_warn("%s: no depth request within the hold time-out; the recorded snapshot is passed over",
             record->symbol);
    if (symbol_no >= 0)
        sim_hub_note(&x->hub, x->instrument[symbol_no].name, "snapshot", 0, 0, "hold_timeout");
}

static void ended(void *ctx)
{
    sim_exchange *x = ctx;
    for (size_t i = 0; i < x->instrument_count; i++)
        (void)answer_waiters(x, (int)i, (bus_view){0});
    bus_info("capture played to its end: %llu frames", (unsigned long long)x->hub.frames);
    sim_sendlog_flush(x->log);
}

const sim_play_host sim_capture_feed_host = {standing,   depth_wanted,  request_waits, room,
                                             play_frame, play_snapshot, hold_timeout,  ended};
