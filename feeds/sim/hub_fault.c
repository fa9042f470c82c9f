// What the faults do to frames and connections. Source: schemas/specs/simexd.md, "Faults".
#include <stdlib.h>
#include <string.h>

#include "feeds/sim/hub_inside.h"

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
    sim_hub_send(hub, &out, sim_fault_name(fault->kind), NULL);
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
bool sim_hub_swap_reordered(sim_hub *hub, const sim_outgoing *out)
{
    for (size_t i = 0; i < hub->faults.count; i++) {
        sim_fault *fault = hub->faults.fault[i];
        if (fault->kind != SIM_FAULT_REORDER || !fault->held || fault->held->topic != out->topic)
            continue;
        sim_hub_send(hub, out, "reorder", NULL);
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
        sim_hub_tell_shutdown(hub, client);
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
bool sim_hub_apply_fault(sim_hub *hub, sim_fault *fault, const sim_outgoing *out, bus_mono now)
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
        sim_hub_send(hub, out, "", NULL);
        sim_hub_send(hub, out, "duplicate", NULL);
        return true;
    case SIM_FAULT_TRUNCATE:
        random = sim_fault_random(fault);
        sim_hub_send(hub, out, "truncate", &random);
        return true;
    case SIM_FAULT_GARBAGE:
        sim_hub_send_garbage(hub, fault, out);
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

void sim_hub_release_due(sim_hub *hub, bus_mono now)
{
    for (size_t i = 0; hub->faults.open && i < hub->faults.count; i++)
        release_due(hub, hub->faults.fault[i], now);
}
