#include "feeds/sim/hub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base/log.h"
#include "feeds/sim/hub_inside.h"

void sim_hub_init(sim_hub *hub, const sim_hub_opts *opts, sim_sendlog *log)
{
    *hub = (sim_hub){.opts = *opts, .log = log, .next_client = 1};
}

void sim_hub_release(sim_hub *hub)
{
    while (hub->clients)
        sim_hub_leave(hub, hub->clients);
    sim_faults_release(&hub->faults);
    sim_topics_release(&hub->topics);
    sim_text_release(&hub->wrap);
}

// --- connections ----------------------------------------------------------------------------------

static bool under(bus_view *path, const char *prefix)
{
    size_t len = strlen(prefix);
    if (path->len < len || memcmp(path->ptr, prefix, len) != 0)
        return false;
    if (path->len > len && path->ptr[len] != '/')
        return false;
    size_t skip = path->len > len ? len + 1 : len;
    *path = (bus_view){path->ptr + skip, path->len - skip};
    return true;
}

static bus_err subscribe_all(sim_hub *hub, sim_client *client, bus_view names)
{
    while (names.len) {
        const char *slash = memchr(names.ptr, '/', names.len);
        size_t len = slash ? (size_t)(slash - names.ptr) : names.len;
        bus_view name = {names.ptr, len};
        size_t used = slash ? len + 1 : len;
        names = (bus_view){names.ptr + used, names.len - used};
        bus_err err = len ? sim_hub_subscribe(hub, client, name) : BUS_OK;
        if (err)
            return err;
    }
    return BUS_OK;
}

bus_err sim_hub_join(sim_hub *hub, bus_view path, bus_view streams, bool micros, bus_mono now,
                     sim_client **out)
{
    bus_view names = path;
    bool combined = under(&names, "/stream");
    if (!combined && !under(&names, "/ws"))
        return bus_fail(BUS_ENOTFOUND, "path '%.*s' is neither /ws nor /stream",
                        BUS_VIEW_ARG(path));
    sim_client *client = calloc(1, sizeof *client);
    if (!client)
        return bus_fail(BUS_ENOMEM, "connection");
    client->id = hub->next_client++;
    snprintf(client->path, sizeof client->path, "%.*s", BUS_VIEW_ARG(path));
    client->combined = combined;
    client->micros = micros;
    client->opened = client->pinged = client->ponged = client->window = now;
    client->next = hub->clients;
    hub->clients = client;
    hub->client_count++;
    hub->micros_clients += micros;
    bus_err err = subscribe_all(hub, client, combined ? streams : names);
    if (err) {
        sim_hub_leave(hub, client);
        return err;
    }
    *out = client;
    return BUS_OK;
}

void sim_hub_leave(sim_hub *hub, sim_client *client)
{
    for (uint32_t i = 0; i < client->sub_count; i++)
        if (client->subs[i].name[0] && client->subs[i].topic >= 0)
            sim_topic_leave(&hub->topics.topic[client->subs[i].topic], client, i);
    sim_client **at = &hub->clients;
    while (*at != client)
        at = &(*at)->next;
    *at = client->next;
    hub->client_count--;
    hub->micros_clients -= client->micros;
    sim_client_release(client);
    free(client);
}

// A free place in the client's subscriptions.
static sim_subscription *add_place(sim_client *client)
{
    for (uint32_t i = 0; i < client->sub_count; i++)
        if (!client->subs[i].name[0])
            return &client->subs[i];
    if (client->sub_count == client->sub_cap) {
        uint32_t cap = client->sub_cap ? client->sub_cap * 2 : 8;
        sim_subscription *grown = realloc(client->subs, cap * sizeof *grown);
        if (!grown)
            return NULL;
        client->subs = grown;
        client->sub_cap = cap;
    }
    sim_subscription *place = &client->subs[client->sub_count++];
    place->name[0] = 0;
    return place;
}

static int topic_of(const sim_hub *hub, bus_view name)
{
    char symbol[SIM_SYMBOL_MAX], channel[SIM_CHANNEL_MAX];
    // The venue knows lower-case symbols alone: others are silent streams.
    for (size_t i = 0; i < name.len && name.ptr[i] != '@'; i++)
        if (name.ptr[i] >= 'A' && name.ptr[i] <= 'Z')
            return -1;
    if (!sim_stream_split(name, symbol, channel))
        return -1;
    if (hub->opts.alias_depth && sim_channel_is_depth(channel))
        memcpy(channel, "depth", sizeof "depth");
    else if (strcmp(channel, "depth@100ms") == 0)
        memcpy(channel, "depth", sizeof "depth");
    else if (strcmp(channel, "depth") == 0)
        memcpy(channel, "depth@1000ms", sizeof "depth@1000ms");
    return sim_topics_find(&hub->topics, symbol, channel);
}

bus_err sim_hub_subscribe(sim_hub *hub, sim_client *client, bus_view name)
{
    char symbol[SIM_SYMBOL_MAX], channel[SIM_CHANNEL_MAX];
    if (!sim_stream_split(name, symbol, channel))
        return bus_fail(BUS_EINVAL, "Invalid request: '%.*s' is not a stream name",
                        (int)(name.len > SIM_STREAM_MAX ? SIM_STREAM_MAX : name.len), name.ptr);
    if (sim_client_find(client, name))
        return BUS_OK;
    if (client->sub_used == hub->opts.streams_max)
        return bus_fail(BUS_ELIMIT, "more than %u streams on a connection", hub->opts.streams_max);
    sim_subscription *sub = add_place(client);
    if (!sub)
        return bus_fail(BUS_ENOMEM, "a subscription");
    int topic = topic_of(hub, name);
    if (topic >= 0) {
        bus_err err =
            sim_topic_listen(&hub->topics.topic[topic], client, (uint32_t)(sub - client->subs));
        if (err)
            return err;
    }
    (void)bus_view_copy(name, sub->name, sizeof sub->name);
    sub->topic = topic;
    sub->order = client->sub_order++;
    client->sub_used++;
    return BUS_OK;
}

void sim_hub_unsubscribe(sim_hub *hub, sim_client *client, bus_view name)
{
    sim_subscription *sub = sim_client_find(client, name);
    if (!sub)
        return;
    if (sub->topic >= 0)
        sim_topic_leave(&hub->topics.topic[sub->topic], client, (uint32_t)(sub - client->subs));
    sub->name[0] = 0;
    client->sub_used--;
}

void sim_hub_close(sim_hub *hub, sim_client *client, int code, const char *reason, bus_mono at)
{
    if (client->closing)
        return;
    client->closing = true;
    client->close_code = code;
    client->reset = code == 0;
    client->close_at = at;
    snprintf(client->close_reason, sizeof client->close_reason, "%s", reason);
    if (hub->wake)
        hub->wake(hub->ctx, client);
}

// A connection that is to be closed later still gets its frames until then.
bool sim_hub_receives(const sim_hub *hub, const sim_client *client)
{
    return !client->silent && (!client->closing || client->close_at.ns > hub->now.ns);
}

// Queues a message; a queue above its bound closes the connection.
bool sim_hub_deliver(sim_hub *hub, sim_client *client, sim_message *message)
{
    if (!message || !sim_hub_receives(hub, client))
        return false;
    if (!hub->opts.patient && client->queued_bytes + message->len > hub->opts.client_bytes) {
        bus_warn("connection %llu: %zu bytes queued, more than %zu: closed",
                 (unsigned long long)client->id, client->queued_bytes, hub->opts.client_bytes);
        sim_hub_note(hub, "", "control", 0, 1, "slow_client");
        sim_hub_close(hub, client, 1008, "too slow", client->opened);
        return false;
    }
    if (!sim_client_queue(client, message))
        return false;
    if (hub->wake && client->queued == 1)
        hub->wake(hub->ctx, client);
    return true;
}

void sim_hub_reply(sim_hub *hub, sim_client *client, bus_view text)
{
    sim_message *message = sim_message_make(text, (bus_view){0}, (bus_view){0});
    (void)sim_hub_deliver(hub, client, message);
    sim_message_drop(message);
}

// serverShutdown, wrapped when the connection is combined.
void sim_hub_tell_shutdown(sim_hub *hub, sim_client *client)
{
    char text[160];
    long long ms = (long long)(bus_now_wall().ns / 1000000);
    int len = snprintf(
        text, sizeof text,
        client->combined
            ? "{\"stream\":\"!serverShutdown\",\"data\":{\"e\":\"serverShutdown\",\"E\":%lld}}"
            : "{\"e\":\"serverShutdown\",\"E\":%lld}",
        ms);
    sim_hub_reply(hub, client, (bus_view){text, (size_t)len});
}

void sim_hub_shutdown(sim_hub *hub, bus_mono close_at)
{
    for (sim_client *c = hub->clients; c; c = c->next) {
        if (c->closing)
            continue;
        sim_hub_tell_shutdown(hub, c);
        sim_hub_note(hub, "", "control", 0, 1, "shutdown");
        sim_hub_close(hub, c, 1001, "server shutdown", close_at);
    }
}

size_t sim_hub_queued_max(const sim_hub *hub)
{
    size_t most = 0;
    for (const sim_client *c = hub->clients; c; c = c->next)
        if (sim_hub_receives(hub, c) && c->queued_bytes > most)
            most = c->queued_bytes;
    return most;
}

bool sim_hub_listened(const sim_hub *hub, int topic)
{
    return topic >= 0 && hub->topics.topic[topic].listener_count > 0;
}

// --- time -----------------------------------------------------------------------------------------

static void keep_alive(sim_hub *hub, sim_client *client, bus_mono now)
{
    if (client->silent) {
        if (client->silent_until.ns <= now.ns)
            sim_hub_close(hub, client, 0, "half open", now);
        return;
    }
    if (bus_mono_since(now, client->opened).ns >= hub->opts.connection_limit.ns) {
        sim_hub_close(hub, client, 1001, "24h limit", now);
        return;
    }
    bool unanswered = client->ponged.ns < client->pinged.ns;
    bool silent_since = bus_mono_since(now, client->ponged).ns >= hub->opts.pong_within.ns;
    if (unanswered && silent_since) {
        sim_hub_close(hub, client, 1008, "no pong", now);
        client->reset = true; // who does not answer a ping reads no close frame either
        return;
    }
    if (bus_mono_since(now, client->pinged).ns >= hub->opts.ping_every.ns) {
        client->pinged = now;
        client->ping_due = true;
        if (hub->wake)
            hub->wake(hub->ctx, client);
    }
}

bus_mono sim_hub_turn(sim_hub *hub, bus_mono now)
{
    bus_mono next = bus_mono_add(now, BUS_SPAN_MS(hub->faults.open ? 5 : 100));
    hub->now = now;
    sim_hub_release_due(hub, now);
    for (sim_client *c = hub->clients; c; c = c->next) {
        if (!c->closing)
            keep_alive(hub, c, now);
        else if (c->close_at.ns <= now.ns && hub->wake)
            hub->wake(hub->ctx, c);
        else if (c->close_at.ns < next.ns)
            next = c->close_at;
    }
    return next.ns < now.ns ? now : next;
}
