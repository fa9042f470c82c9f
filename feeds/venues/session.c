#include "feeds/venues/session.h"

#include <stdio.h>
#include <string.h>

#include "bus/base/kill_point.h"
#include "bus/base/log.h"

void feed_session_init(feed_session *session, const feed_venue *venue, const feed_opts *opts)
{
    session->venue = venue;
    session->request = opts->request;
    session->ctx = opts->ctx;
    session->duplicates_after = opts->duplicates_after.ns ? opts->duplicates_after : BUS_SPAN_S(10);
    feed_emit_init(&session->emit, venue->name, opts->event, opts->ctx);
}

// Events about the feed are rare: their topic is made when they are.
static void own(feed_session *session, const char *event, const char *symbol, const feed_now *now)
{
    feed_topic topic;
    bus_err err = feed_topic_make(&topic, session->venue->name, "feed", event, &symbol,
                                  symbol ? 1 : 0, symbol, NULL);
    if (!err)
        err = feed_emit_own(&session->emit, &topic, now);
    if (err) // names were checked by open, sizes are fixed
        session->stats.errors++;
}

void feed_session_resume(feed_session *session, bus_recorded_time last_received,
                         int64_t last_epoch_ms)
{
    session->last_received = last_received;
    session->interruption = "restart";
    session->emit.epoch_ms = last_epoch_ms;
}

void feed_session_opened(feed_session *session, const feed_now *now)
{
    feed_emit_epoch(&session->emit, now->wall);
}

void feed_session_up(feed_session *session, const feed_link *link, const feed_now *now)
{
    bus_pack *p = feed_emit_data(&session->emit, 6);
    feed_put_text(p, "connection_id", link->connection_id);
    feed_put_text(p, "url", link->url);
    feed_put_uint(p, "epoch", (uint64_t)session->emit.epoch_ms);
    feed_put_uint(p, "attempt", link->attempt);
    feed_put_uint(p, "streams", link->streams);
    bus_pack_key(p, "rotation");
    bus_pack_bool(p, link->rotation);
    own(session, "connected", NULL, now);
    if (session->interruption) {
        int64_t stood = link->stood.ns ? link->stood.ns : now->wall.ns;
        bus_recorded_time after = {link->lost_after.ns};
        feed_gap gap = {.reason = session->interruption,
                        .after = after.ns ? after : session->last_received,
                        .before = {stood}}; // frames may wait that came before now
        feed_session_gap(session, &gap, now);
        session->interruption = NULL;
    }
    session->venue->up(session, link->rotation, now);
}

void feed_session_down(feed_session *session, const feed_link *link, const char *reason,
                       const char *text, const feed_now *now)
{
    bool received = session->last_received.ns != 0;
    bus_pack *p = feed_emit_data(&session->emit, 5 + received);
    feed_put_text(p, "connection_id", link->connection_id);
    feed_put_text(p, "url", link->url);
    feed_put_text(p, "reason", reason);
    feed_put_text(p, "text", text);
    if (received)
        feed_put_instant(p, "last_received", session->last_received.ns);
    bus_pack_key(p, "rotation");
    bus_pack_bool(p, link->rotation);
    own(session, "disconnected", NULL, now);
    if (link->rotation)
        return;
    if (received && !session->interruption)
        session->interruption = "disconnected";
    session->venue->down(session, now);
}

void feed_session_stale(feed_session *session, bus_span silent, bus_span limit, const feed_now *now)
{
    bool received = session->last_received.ns != 0;
    bus_pack *p = feed_emit_data(&session->emit, 2 + received);
    feed_put_uint(p, "silent_ms", (uint64_t)(silent.ns / 1000000));
    feed_put_uint(p, "limit_ms", (uint64_t)(limit.ns / 1000000));
    if (received)
        feed_put_instant(p, "last_received", session->last_received.ns);
    own(session, "stale", NULL, now);
}

void feed_session_gap(feed_session *session, const feed_gap *gap, const feed_now *now)
{
    uint32_t pairs = 3 + (gap->channel != NULL) + (gap->symbol != NULL) + (gap->has_range ? 2 : 0);
    bus_pack *p = feed_emit_data(&session->emit, pairs);
    feed_put_text(p, "reason", gap->reason);
    if (gap->channel)
        feed_put_text(p, "channel", gap->channel);
    if (gap->symbol)
        feed_put_text(p, "symbol", gap->symbol);
    if (gap->has_range) {
        feed_put_uint(p, "first_missing", gap->first);
        feed_put_uint(p, "last_missing", gap->last);
    }
    feed_put_instant(p, "received_after", gap->after.ns);
    feed_put_instant(p, "received_before", gap->before.ns);
    session->stats.gaps++;
    own(session, "gap", gap->symbol, now);
    bus_kill_point("feed.gap");
}

void feed_session_went_back(feed_session *session, bus_recorded_time after, bool lost,
                            const char *text, const feed_now *now)
{
    bus_recorded_time newest = session->emit.last_recorded;
    const feed_gap gap = {.reason = "store_went_back", .after = after, .before = now->received};
    if (lost)
        feed_session_gap(session, &gap, now);
    feed_session_degraded(session, NULL, "store_went_back", text, now);
    session->emit.last_recorded = newest; // of what comes behind these
    session->venue->again(session, now);
}

void feed_session_resync(feed_session *session, const char *symbol, const char *reason,
                         uint64_t last_update_id, const feed_now *now)
{
    bus_pack *p = feed_emit_data(&session->emit, 3);
    feed_put_text(p, "symbol", symbol);
    feed_put_text(p, "reason", reason);
    feed_put_uint(p, "last_update_id", last_update_id);
    session->stats.resyncs++;
    own(session, "resync", symbol, now);
}

void feed_session_whole(feed_session *session, const char *symbol, uint64_t snapshot_id,
                        uint64_t last_update_id, const feed_now *now)
{
    bus_pack *p = feed_emit_data(&session->emit, 3);
    feed_put_text(p, "symbol", symbol);
    feed_put_uint(p, "snapshot_id", snapshot_id);
    feed_put_uint(p, "last_update_id", last_update_id);
    session->stats.wholes++;
    own(session, "whole", symbol, now);
}

void feed_session_degraded(feed_session *session, const char *symbol, const char *reason,
                           const char *text, const feed_now *now)
{
    bus_pack *p = feed_emit_data(&session->emit, symbol ? 3 : 2);
    feed_put_text(p, "reason", reason);
    feed_put_text(p, "text", text);
    if (symbol)
        feed_put_text(p, "symbol", symbol);
    own(session, "degraded", symbol, now);
}

void feed_session_difference(feed_session *session, const feed_difference *d, const feed_now *now)
{
    bus_pack *p = feed_emit_data(&session->emit, 9);
    feed_put_text(p, "reason", "snapshot_difference");
    feed_put_text(p, "text", "the book is not what the venue's snapshot of the same update says");
    feed_put_text(p, "symbol", d->symbol);
    feed_put_uint(p, "last_update_id", d->last_update_id);
    feed_put_uint(p, "levels", d->levels);
    feed_put_text(p, "side", d->side);
    feed_put_text(p, "price", d->price);
    feed_put_text(p, "expected", d->expected);
    feed_put_text(p, "got", d->got);
    own(session, "degraded", d->symbol, now);
}

static void tell_only_known(feed_session *session, feed_channel *channel, const char *symbol,
                            uint64_t id, bus_span since, const feed_now *now)
{
    char text[256];
    snprintf(text, sizeof text,
             "channel '%s' of %s: for %.1f s only ids below %llu came, the last one published or "
             "recorded; the newest is %llu. None of them is published",
             channel->name, symbol, (double)since.ns / 1e9, (unsigned long long)channel->last,
             (unsigned long long)id);
    bus_warn("%s: %s", session->venue->name, text);
    feed_session_degraded(session, symbol, "only_duplicates", text, now);
    channel->only_known = true;
    session->stats.only_duplicates++;
}

void feed_channel_known(feed_session *session, feed_channel *channel, const char *symbol,
                        uint64_t id, bool again, const feed_now *now)
{
    session->stats.duplicates++;
    if (again || channel->only_known)
        return;
    if (channel->known_since.ns == 0) {
        channel->known_since = now->mono;
        return;
    }
    bus_span since = bus_mono_since(now->mono, channel->known_since);
    if (since.ns >= session->duplicates_after.ns)
        tell_only_known(session, channel, symbol, id, since, now);
}

static void not_only_known(feed_session *session, feed_channel *channel, uint64_t id)
{
    channel->known_since = (bus_mono){0};
    if (!channel->only_known)
        return;
    channel->only_known = false;
    session->stats.only_duplicates--;
    bus_info("%s: channel '%s' goes on with id %llu", session->venue->name, channel->name,
             (unsigned long long)id);
}

bool feed_channel_fresh(feed_session *session, feed_channel *channel, const char *symbol,
                        uint64_t first, uint64_t id, bool holes, const feed_now *now)
{
    if (!channel->has_last)
        return true;
    if (id <= channel->last) {
        feed_channel_known(session, channel, symbol, id, id == channel->last, now);
        return false;
    }
    if (holes || first == channel->last + 1)
        return true;
    bool missing = first > channel->last;
    if (!missing && channel->interruption)
        return true;
    feed_gap gap = {.reason = channel->interruption ? channel->interruption
                              : missing             ? "sequence"
                                                    : "overlap",
                    .channel = channel->name,
                    .symbol = symbol,
                    .has_range = missing,
                    .first = channel->last + 1,
                    .last = first - 1,
                    .after =
                        channel->last_received.ns ? channel->last_received : session->last_received,
                    .before = now->received};
    feed_session_gap(session, &gap, now);
    return true;
}

void feed_channel_took(feed_session *session, feed_channel *channel, uint64_t id,
                       const feed_now *now)
{
    if (channel->known_since.ns)
        not_only_known(session, channel, id);
    channel->has_last = true;
    channel->last = id;
    channel->last_received = now->received;
    channel->interruption = NULL;
    session->last_received = now->received;
}
