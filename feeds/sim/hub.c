#include "feeds/sim/hub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base/log.h"

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
        strcpy(channel, "depth");
    else if (strcmp(channel, "depth@100ms") == 0)
        strcpy(channel, "depth");
    else if (strcmp(channel, "depth") == 0)
        strcpy(channel, "depth@1000ms");
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
static bool receives(const sim_hub *hub, const sim_client *client)
{
    return !client->silent && (!client->closing || client->close_at.ns > hub->now.ns);
}

// Queues a message; a queue above its bound closes the connection.
static bool deliver(sim_hub *hub, sim_client *client, sim_message *message)
{
    if (!message || !receives(hub, client))
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
    (void)deliver(hub, client, message);
    sim_message_drop(message);
}

// serverShutdown, wrapped when the connection is combined.
static void tell_shutdown(sim_hub *hub, sim_client *client)
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
        tell_shutdown(hub, c);
        sim_hub_note(hub, "", "control", 0, 1, "shutdown");
        sim_hub_close(hub, c, 1001, "server shutdown", close_at);
    }
}

size_t sim_hub_queued_max(const sim_hub *hub)
{
    size_t most = 0;
    for (const sim_client *c = hub->clients; c; c = c->next)
        if (receives(hub, c) && c->queued_bytes > most)
            most = c->queued_bytes;
    return most;
}

bool sim_hub_listened(const sim_hub *hub, int topic)
{
    return topic >= 0 && hub->topics.topic[topic].listener_count > 0;
}

// --- frames ---------------------------------------------------------------------------------------

void sim_hub_note(sim_hub *hub, const char *symbol, const char *channel, int64_t id,
                  uint32_t connections, const char *fault)
{
    sim_sendlog_add(hub->log, &(sim_sent){.sent_ns = bus_now_wall().ns,
                                          .first_id = id,
                                          .last_id = id,
                                          .symbol = symbol,
                                          .channel = channel,
                                          .fault = fault,
                                          .connections = connections});
}

// The forms one frame takes, each made at most once: raw or combined, in ms or us.
typedef struct {
    const sim_outgoing *out;
    const sim_topic *topic;
    sim_message *form[2][2];
    double cut; // fraction kept; 1: whole
    sim_message *instead;
} forms;

static sim_message *wrap(sim_hub *hub, const char *stream, bus_view payload)
{
    sim_text *w = &hub->wrap;
    sim_text_clear(w);
    sim_text_str(w, "{\"stream\":\"");
    sim_text_str(w, stream);
    sim_text_str(w, "\",\"data\":");
    return w->failed ? NULL : sim_message_make(sim_text_view(w), payload, BUS_VIEW("}"));
}

// The message for one subscription: a shared one, or (an alias of the stream's name) one of its own.
static sim_message *form_for(sim_hub *hub, forms *f, const sim_client *client, uint32_t sub)
{
    bool micros = client->micros && f->out->micros.len;
    bus_view payload = micros ? f->out->micros : f->out->payload;
    const char *name = client->subs[sub].name;
    sim_message **shared = &f->form[client->combined][micros];
    if (client->combined && strcmp(name, f->topic->name) != 0)
        return wrap(hub, name, payload);
    if (!*shared)
        *shared = client->combined ? wrap(hub, name, payload)
                                   : sim_message_make(payload, (bus_view){0}, (bus_view){0});
    if (*shared)
        (*shared)->refs++;
    return *shared;
}

static sim_message *truncated(const sim_message *message, uint64_t random)
{
    size_t len = message->len > 1 ? 1 + (size_t)(random % (message->len - 1)) : message->len;
    while (len > 1 && (message->bytes[len] & 0xc0) == 0x80)
        len--; // a text message must not end within a character
    return sim_message_make((bus_view){(const char *)message->bytes, len}, (bus_view){0},
                            (bus_view){0});
}

// Queues the frame to everybody who listens and writes its entry.
static void send(sim_hub *hub, const sim_outgoing *out, const char *fault, uint64_t *truncate)
{
    const sim_topic *topic = &hub->topics.topic[out->topic];
    forms f = {.out = out, .topic = topic};
    uint32_t sent = 0;
    uint64_t random = truncate ? *truncate : 0;
    for (size_t i = 0; i < topic->listener_count; i++) {
        sim_listener to = topic->listeners[i];
        if (!receives(hub, to.client))
            continue;
        sim_message *message = form_for(hub, &f, to.client, to.sub);
        if (message && truncate) {
            sim_message *cut = truncated(message, random);
            sim_message_drop(message);
            message = cut;
        }
        if (deliver(hub, to.client, message)) {
            to.client->sent_frames++;
            sent++;
        }
        sim_message_drop(message);
    }
    for (int i = 0; i < 4; i++)
        sim_message_drop(f.form[i / 2][i % 2]);
    sim_sendlog_add(hub->log,
                    &(sim_sent){bus_now_wall().ns, out->recorded_ns, out->first_id, out->last_id,
                                topic->symbol, topic->channel, fault, sent});
}

static void random_bytes(sim_fault *fault, sim_text *out, size_t count, bool printable)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t r = sim_fault_random(fault) >> 32;
        char c = printable ? (char)(' ' + r % 95) : (char)r;
        sim_text_add(out, (bus_view){&c, 1});
    }
}

// Bytes that are no event of the venue: broken JSON, JSON of another shape, or binary.
static sim_message *garbage(sim_fault *fault)
{
    sim_text text = {0};
    uint64_t shape = sim_fault_random(fault) % 3;
    size_t count = 1 + (size_t)(sim_fault_random(fault) % 200);
    if (shape == 0) {
        sim_text_str(&text, "{\"e\":\"trade\",\"s\":");
        random_bytes(fault, &text, count, true);
    } else if (shape == 1) {
        sim_text_printf(&text, "{\"garbage\":[%zu,{\"e\":null}],\"s\":%zu}", count, count);
    } else {
        random_bytes(fault, &text, count, false);
    }
    sim_message *message =
        text.failed ? NULL : sim_message_make(sim_text_view(&text), (bus_view){0}, (bus_view){0});
    if (message)
        message->binary = shape == 2;
    sim_text_release(&text);
    return message;
}

static void send_garbage(sim_hub *hub, sim_fault *fault, const sim_outgoing *out)
{
    const sim_topic *topic = &hub->topics.topic[out->topic];
    sim_message *message = garbage(fault);
    uint32_t sent = 0;
    for (size_t i = 0; i < topic->listener_count; i++)
        sent += deliver(hub, topic->listeners[i].client, message);
    sim_message_drop(message);
    sim_hub_note(hub, topic->symbol, topic->channel, 0, sent, "garbage");
}

// --- faults ---------------------------------------------------------------------------------------

static bool hold(sim_fault *fault, const sim_outgoing *out)
{
    sim_held *held = malloc(sizeof *held + out->payload.len + out->micros.len);
    if (!held)
        return false;
    *held = (sim_held){NULL,         out->topic,       out->recorded_ns, out->first_id,
                       out->last_id, out->payload.len, out->micros.len};
    memcpy(held->bytes, out->payload.ptr, out->payload.len);
    if (out->micros.len)
        memcpy(held->bytes + held->len, out->micros.ptr, out->micros.len);
    if (fault->held_last)
        fault->held_last->next = held;
    else
        fault->held = held;
    fault->held_last = held;
    fault->held_count++;
    return true;
}

static void release_one(sim_hub *hub, sim_fault *fault)
{
    sim_held *held = fault->held;
    fault->held = held->next;
    if (!fault->held)
        fault->held_last = NULL;
    fault->held_count--;
    sim_outgoing out = {
        held->topic,       {held->bytes, held->len}, {held->bytes + held->len, held->micros_len},
        held->recorded_ns, held->first_id,           held->last_id};
    send(hub, &out, sim_fault_name(fault->kind), NULL);
    free(held);
}

static void release_all(sim_hub *hub, sim_fault *fault)
{
    while (fault->held)
        release_one(hub, fault);
}

// Lets go what a stall or slow fault may by now; ends it when its time is over.
static void release_due(sim_hub *hub, sim_fault *fault, bus_mono now)
{
    bool timed = fault->kind == SIM_FAULT_STALL || fault->kind == SIM_FAULT_SLOW;
    if (fault->state != SIM_FAULT_ACTIVE || !timed)
        return;
    while (fault->kind == SIM_FAULT_SLOW && fault->held && fault->next_release.ns <= now.ns) {
        release_one(hub, fault);
        fault->next_release = bus_mono_add(now, BUS_SPAN_MS(fault->delay_ms));
    }
    if (fault->until.ns > now.ns && fault->held_count < SIM_HELD_MAX)
        return;
    release_all(hub, fault);
    sim_fault_done(&hub->faults, fault);
}

// The second frame of a reorder goes first. True when it did.
static bool swap_reordered(sim_hub *hub, const sim_outgoing *out)
{
    for (size_t i = 0; i < hub->faults.count; i++) {
        sim_fault *fault = hub->faults.fault[i];
        if (fault->kind != SIM_FAULT_REORDER || !fault->held || fault->held->topic != out->topic)
            continue;
        send(hub, out, "reorder", NULL);
        release_all(hub, fault);
        if (fault->hits >= fault->count)
            sim_fault_done(&hub->faults, fault);
        return true;
    }
    return false;
}

static bool subscribed_to(const sim_hub *hub, const sim_client *client, const sim_fault *fault)
{
    if (!fault->symbol[0] && !fault->channel[0])
        return true;
    for (uint32_t i = 0; i < client->sub_count; i++) {
        const sim_subscription *sub = &client->subs[i];
        if (!sub->name[0] || sub->topic < 0)
            continue;
        const sim_topic *topic = &hub->topics.topic[sub->topic];
        if (sim_fault_matches(fault, topic->symbol, topic->channel))
            return true;
    }
    return false;
}

static void hit_connection(sim_hub *hub, sim_client *client, sim_fault *fault, bus_mono now)
{
    bus_mono later = bus_mono_add(now, BUS_SPAN_MS(fault->for_ms));
    switch (fault->kind) {
    case SIM_FAULT_HALF_OPEN:
        client->silent = true;
        client->silent_until = later;
        if (hub->wake)
            hub->wake(hub->ctx, client);
        break;
    case SIM_FAULT_SHUTDOWN:
        tell_shutdown(hub, client);
        sim_hub_close(hub, client, 1001, "server shutdown", later);
        break;
    default:
        sim_hub_close(hub, client, (int)fault->code, "fault", now);
        break;
    }
    sim_hub_note(hub, fault->symbol, "control", 0, 1, sim_fault_name(fault->kind));
}

static void hit_connections(sim_hub *hub, sim_fault *fault, bus_mono now)
{
    for (sim_client *c = hub->clients; c; c = c->next)
        if (!c->closing && !c->silent && subscribed_to(hub, c, fault))
            hit_connection(hub, c, fault, now);
}

void sim_hub_arm(sim_hub *hub, sim_fault *fault, bus_mono now)
{
    if (!sim_fault_is_for_connections(fault) || fault->after_frames)
        return;
    fault->hits++;
    hit_connections(hub, fault, now);
    sim_fault_done(&hub->faults, fault);
}

void sim_hub_disarm(sim_hub *hub)
{
    for (size_t i = 0; i < hub->faults.count; i++) {
        sim_fault *fault = hub->faults.fault[i];
        release_all(hub, fault);
        sim_fault_done(&hub->faults, fault);
    }
}

// A frame that a fault took. True when the frame is dealt with.
static bool apply_fault(sim_hub *hub, sim_fault *fault, const sim_outgoing *out, bus_mono now)
{
    uint64_t random;
    switch (fault->kind) {
    case SIM_FAULT_DROP: {
        const sim_topic *topic = &hub->topics.topic[out->topic];
        sim_sendlog_add(hub->log,
                        &(sim_sent){bus_now_wall().ns, out->recorded_ns, out->first_id,
                                    out->last_id, topic->symbol, topic->channel, "drop", 0});
        return true;
    }
    case SIM_FAULT_DUPLICATE:
        send(hub, out, "", NULL);
        send(hub, out, "duplicate", NULL);
        return true;
    case SIM_FAULT_TRUNCATE:
        random = sim_fault_random(fault);
        send(hub, out, "truncate", &random);
        return true;
    case SIM_FAULT_GARBAGE:
        send_garbage(hub, fault, out);
        return false;
    case SIM_FAULT_REORDER:
    case SIM_FAULT_STALL:
    case SIM_FAULT_SLOW:
        if (!hold(fault, out))
            return false;
        release_due(hub, fault, now);
        return true;
    default:
        hit_connections(hub, fault, now);
        return false;
    }
}

static void release_all_due(sim_hub *hub, bus_mono now)
{
    for (size_t i = 0; hub->faults.open && i < hub->faults.count; i++)
        release_due(hub, hub->faults.fault[i], now);
}

void sim_hub_publish(sim_hub *hub, const sim_outgoing *out, bus_mono now)
{
    sim_topic *topic = &hub->topics.topic[out->topic];
    hub->now = now;
    topic->played++;
    hub->frames++;
    if (hub->faults.open) {
        release_all_due(hub, now);
        if (swap_reordered(hub, out))
            return;
        sim_fault *fault = sim_faults_take(&hub->faults, topic->symbol, topic->channel, now);
        if (fault && apply_fault(hub, fault, out, now))
            return;
    }
    send(hub, out, "", NULL);
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
    release_all_due(hub, now);
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
