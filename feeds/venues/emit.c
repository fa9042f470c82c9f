#include "feeds/venues/emit.h"

#include <stdio.h>
#include <string.h>

void feed_emit_init(feed_emit *emit, const char *venue, feed_event_fn fn, void *ctx)
{
    memset(emit, 0, sizeof *emit);
    emit->venue = venue;
    emit->fn = fn;
    emit->ctx = ctx;
    emit->time.second = emit->recorded.second = emit->wall.second = INT64_MIN;
    snprintf(emit->source, sizeof emit->source, "urn:com.virtufin.exchange.%s", venue);
}

void feed_emit_epoch(feed_emit *emit, bus_wall now)
{
    int64_t ms = now.ns / 1000000;
    emit->epoch_ms = ms > emit->epoch_ms ? ms : emit->epoch_ms + 1;
    emit->n = 0;
}

static bus_err format_names(feed_topic *out, const char *venue, const char *entity,
                            const char *event, const char *symbol, const char *channel)
{
    char token[BUS_LANE_ID_MAX + 1];
    size_t len;
    int n = snprintf(out->type, sizeof out->type, "com.virtufin.exchange.%s.%s.%s", venue, entity,
                     event);
    int m = snprintf(out->entity, sizeof out->entity, symbol ? "currency_pair/%s" : "venue/%s",
                     symbol ? symbol : venue);
    if (n >= (int)sizeof out->type || m >= (int)sizeof out->entity)
        return bus_fail(BUS_ELIMIT, "symbol '%s': longer than an event can name", symbol);
    out->id_prefix[0] = 0;
    if (!channel)
        return BUS_OK;
    bus_err err = bus_token_escape(token, sizeof token, bus_view_of(symbol), '~', &len);
    if (!err)
        snprintf(out->id_prefix, sizeof out->id_prefix, "%s.%s.", channel, token);
    return err;
}

bus_err feed_topic_make(feed_topic *out, const char *venue, const char *entity, const char *event,
                        const char *const *ids, int id_count, const char *symbol,
                        const char *channel)
{
    bus_lane lane = {.kind = BUS_LANE_ACT,
                     .venue = bus_view_of(venue),
                     .entity = bus_view_of(entity),
                     .event = bus_view_of(event),
                     .ids = id_count};
    for (int i = 0; i < id_count; i++)
        lane.id[i] = bus_view_of(ids[i]);
    bus_err err = bus_lane_format(out->subject, &lane, NULL);
    if (!err)
        err = format_names(out, venue, entity, event, symbol, channel);
    return bus_note(err, "venue %s, symbol '%s'", venue, symbol ? symbol : "");
}

static bus_view stamp(feed_stamp *s, int64_t ns)
{
    int64_t second = ns / 1000000000, fraction = ns % 1000000000;
    if (fraction < 0) {
        fraction += 1000000000;
        second--;
    }
    if (second != s->second) {
        bus_time_format(ns, s->text);
        s->second = second;
        return (bus_view){s->text, 30};
    }
    uint32_t rest = (uint32_t)fraction;
    for (int i = 28; i >= 20; i--) { // "2024-08-08T23:54:13.937085768Z"
        s->text[i] = (char)('0' + rest % 10);
        rest /= 10;
    }
    return (bus_view){s->text, 30};
}

static char *put_u64(char *at, uint64_t v)
{
    char digits[20];
    int n = 0;
    do {
        digits[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    while (n)
        *at++ = digits[--n];
    return at;
}

static bus_err publish(feed_emit *emit, const feed_topic *topic, bus_view id, int64_t time_ns,
                       const feed_now *now)
{
    if (emit->data.overflow)
        return bus_fail(BUS_ELIMIT, "event %.*s: data beyond %d bytes", BUS_VIEW_ARG(id),
                        FEED_DATA_MAX);
    char correlation[BUS_UUID_TEXT];
    bus_event event;
    // extra is not cleared: 1 KiB of memset an event, and extra_count says that none is set.
    memset(&event, 0, offsetof(bus_event, extra));
    event.extra_count = 0;
    event.id = id;
    event.source = bus_view_of(emit->source);
    event.type = bus_view_of(topic->type);
    event.subject = bus_view_of(topic->entity);
    event.recordedtime = stamp(&emit->recorded, now->received.ns);
    event.time = time_ns ? stamp(&emit->time, time_ns) : event.recordedtime;
    event.eventtime = event.time;
    event.walltime = stamp(&emit->wall, now->wall.ns);
    event.datacontenttype = BUS_VIEW("application/json");
    event.exchange = bus_view_of(emit->venue);
    event.clocktype = BUS_VIEW("wall");
    event.marketlane = BUS_VIEW("act");
    bus_identity_correlation(correlation, event.source, id);
    event.correlationid = (bus_view){correlation, BUS_UUID_TEXT - 1};
    event.data = (bus_view){(const char *)emit->data.buf, emit->data.len};
    emit->events++;
    emit->last_recorded = now->received;
    emit->fn(emit->ctx, topic->subject, &event);
    return BUS_OK;
}

bus_err feed_emit_seq(feed_emit *emit, const feed_topic *topic, uint64_t a, bool with_b, uint64_t b,
                      int64_t venue_time_ns, const feed_now *now)
{
    char id[FEED_ID_MAX];
    size_t prefix = strlen(topic->id_prefix);
    memcpy(id, topic->id_prefix, prefix);
    char *end = put_u64(id + prefix, a);
    if (with_b) {
        *end++ = '.';
        end = put_u64(end, b);
    }
    return publish(emit, topic, (bus_view){id, (size_t)(end - id)}, venue_time_ns, now);
}

bus_err feed_emit_own(feed_emit *emit, const feed_topic *topic, const feed_now *now)
{
    char id[FEED_ID_MAX];
    char *end = put_u64(id, (uint64_t)emit->epoch_ms);
    *end++ = '.';
    end = put_u64(end, ++emit->n);
    return publish(emit, topic, (bus_view){id, (size_t)(end - id)}, 0, now);
}

void feed_put_text(bus_pack *p, const char *key, const char *text)
{
    bus_pack_key(p, key);
    bus_pack_str(p, bus_view_of(text));
}

void feed_put_view(bus_pack *p, const char *key, bus_view text)
{
    bus_pack_key(p, key);
    bus_pack_str(p, text);
}

void feed_put_uint(bus_pack *p, const char *key, uint64_t v)
{
    bus_pack_key(p, key);
    bus_pack_uint(p, v);
}

void feed_put_instant(bus_pack *p, const char *key, int64_t ns)
{
    char text[BUS_TIME_TEXT];
    int len = bus_time_format(ns, text);
    feed_put_view(p, key, (bus_view){text, (size_t)len});
}
