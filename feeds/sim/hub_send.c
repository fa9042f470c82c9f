// Frames to whoever listens, in the form each asked for, and into the send log.
#include <stdlib.h>

#include "feeds/sim/hub_inside.h"

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
void sim_hub_send(sim_hub *hub, const sim_outgoing *out, const char *fault, uint64_t *truncate)
{
    const sim_topic *topic = &hub->topics.topic[out->topic];
    forms f = {.out = out, .topic = topic};
    uint32_t sent = 0;
    uint64_t random = truncate ? *truncate : 0;
    for (size_t i = 0; i < topic->listener_count; i++) {
        sim_listener to = topic->listeners[i];
        if (!sim_hub_receives(hub, to.client))
            continue;
        sim_message *message = form_for(hub, &f, to.client, to.sub);
        if (message && truncate) {
            sim_message *cut = truncated(message, random);
            sim_message_drop(message);
            message = cut;
        }
        if (sim_hub_deliver(hub, to.client, message)) {
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

void sim_hub_send_garbage(sim_hub *hub, sim_fault *fault, const sim_outgoing *out)
{
    const sim_topic *topic = &hub->topics.topic[out->topic];
    sim_message *message = garbage(fault);
    uint32_t sent = 0;
    for (size_t i = 0; i < topic->listener_count; i++)
        sent += sim_hub_deliver(hub, topic->listeners[i].client, message);
    sim_message_drop(message);
    sim_hub_note(hub, topic->symbol, topic->channel, 0, sent, "garbage");
}

void sim_hub_publish(sim_hub *hub, const sim_outgoing *out, bus_mono now)
{
    sim_topic *topic = &hub->topics.topic[out->topic];
    hub->now = now;
    topic->played++;
    hub->frames++;
    if (hub->faults.open) {
        sim_hub_release_due(hub, now);
        if (sim_hub_swap_reordered(hub, out))
            return;
        sim_fault *fault = sim_faults_take(&hub->faults, topic->symbol, topic->channel, now);
        if (fault && sim_hub_apply_fault(hub, fault, out, now))
            return;
    }
    sim_hub_send(hub, out, "", NULL);
}
