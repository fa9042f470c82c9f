// emit: the envelope of a venue's market events: subjects, types, ids, times, correlation.
// The adapter packs `data` and gives the id; everything else is filled in here, without allocating.
// Thread: the venue's. Source: schemas/specs/market-events.md, "Envelope" and "Ids".
#ifndef FEEDS_VENUES_EMIT_H
#define FEEDS_VENUES_EMIT_H

#include "bus/base/err.h"
#include "bus/base/time.h"
#include "bus/event/event.h"
#include "bus/event/identity.h"
#include "bus/event/pack.h"
#include "bus/lane/lane.h"

// When a message arrived and when it is being published.
typedef struct {
    bus_recorded_time received;
    bus_mono mono; // of the same moment: timers of the session
    bus_wall wall;
} feed_now;

enum {
    FEED_PART_MAX = 48 * 1024, // packed `data` of one snapshot part
    FEED_DATA_MAX = 60 * 1024, // packed `data` of any event
    FEED_ID_MAX = 160,
};

// What takes the events. subject is NUL-terminated; both live for the call.
typedef void (*feed_event_fn)(void *ctx, const char *subject, const bus_event *event);

// Where one kind of event of one symbol goes; formatted once.
typedef struct {
    char subject[BUS_SUBJECT_BUF];
    char type[96];
    char entity[96];    // the `subject` attribute: currency_pair/<symbol> or venue/<venue>
    char id_prefix[96]; // "<channel>.<escaped symbol>.", or "" for epoch ids
} feed_topic;

typedef struct {
    char text[BUS_TIME_TEXT];
    int64_t second; // of the text
} feed_stamp; // the last formatted instant: within one second only the fraction is written anew

typedef struct {
    const char *venue;
    char source[64];
    feed_event_fn fn;
    void *ctx;
    int64_t epoch_ms;
    uint64_t n;                      // of the epoch's last event
    uint64_t events;                 // published so far
    bus_recorded_time last_recorded; // of the last one published
    feed_stamp time, recorded, wall;
    bus_pack data; // of the event being written
    uint8_t buf[FEED_DATA_MAX];
} feed_emit;

void feed_emit_init(feed_emit *emit, const char *venue, feed_event_fn fn, void *ctx);
// feed_emit_epoch begins an epoch: the wall clock in ms, raised above the last one.
void feed_emit_epoch(feed_emit *emit, bus_wall now);

// feed_topic_make: entity and event as in the lane; ids raw, 0..2 of them; symbol NULL: the whole venue.
// channel: of the id prefix, NULL for epoch ids.
bus_err feed_topic_make(feed_topic *out, const char *venue, const char *entity, const char *event,
                        const char *const *ids, int id_count, const char *symbol,
                        const char *channel);

// feed_emit_data starts `data`: a map of `pairs`.
static inline bus_pack *feed_emit_data(feed_emit *emit, uint32_t pairs)
{
    emit->data = bus_pack_to(emit->buf, sizeof emit->buf);
    bus_pack_map(&emit->data, pairs);
    return &emit->data;
}
// feed_emit_seq publishes what was packed under <prefix><a> or, when with_b, <prefix><a>.<b>.
//   venue_time_ns  0: the venue gave none, so the time is that of receipt
bus_err feed_emit_seq(feed_emit *emit, const feed_topic *topic, uint64_t a, bool with_b, uint64_t b,
                      int64_t venue_time_ns, const feed_now *now);
// feed_emit_own publishes it under the next <epoch>.<n>.
bus_err feed_emit_own(feed_emit *emit, const feed_topic *topic, const feed_now *now);

// Fields of data that many events have.
void feed_put_text(bus_pack *p, const char *key, const char *text);
void feed_put_view(bus_pack *p, const char *key, bus_view text);
void feed_put_uint(bus_pack *p, const char *key, uint64_t v);
void feed_put_instant(bus_pack *p, const char *key, int64_t ns);

#endif
