#include "feeds/sim/topic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sim_topics_release(sim_topics *t)
{
    for (size_t i = 0; i < t->count; i++)
        free(t->topic[i].listeners);
    free(t->topic);
    free(t->symbol);
    free(t->slot);
    *t = (sim_topics){0};
}

static uint64_t hash(const char *symbol, const char *channel)
{
    uint64_t h = 14695981039346656037u; // FNV-1a
    for (const char *p = symbol; *p; p++)
        h = (h ^ (unsigned char)*p) * 1099511628211u;
    h = (h ^ '@') * 1099511628211u;
    for (const char *p = channel; *p; p++)
        h = (h ^ (unsigned char)*p) * 1099511628211u;
    return h;
}

// The slot that holds the pair, or the free one where it belongs.
static size_t find_slot(const sim_topics *t, const char *symbol, const char *channel)
{
    size_t i = hash(symbol, channel) & (t->slots - 1);
    while (t->slot[i] >= 0) {
        const sim_topic *topic = &t->topic[t->slot[i]];
        if (strcmp(topic->symbol, symbol) == 0 && strcmp(topic->channel, channel) == 0)
            break;
        i = (i + 1) & (t->slots - 1);
    }
    return i;
}

int sim_topics_find(const sim_topics *t, const char *symbol, const char *channel)
{
    return t->slots ? t->slot[find_slot(t, symbol, channel)] : -1;
}

int sim_topics_symbol(const sim_topics *t, bus_view name)
{
    for (size_t i = 0; i < t->symbol_count; i++)
        if (bus_view_is(name, t->symbol[i].name))
            return (int)i;
    return -1;
}

static bus_err add_symbol(sim_topics *t, const char *name, int *out)
{
    *out = sim_topics_symbol(t, bus_view_of(name));
    if (*out >= 0)
        return BUS_OK;
    if (t->symbol_count == SIM_SYMBOLS_MAX)
        return bus_fail(BUS_ELIMIT, "more than %d symbols", SIM_SYMBOLS_MAX);
    if (t->symbol_count == t->symbol_cap) {
        size_t cap = t->symbol_cap ? t->symbol_cap * 2 : 64;
        sim_symbol_name *grown = realloc(t->symbol, cap * sizeof *grown);
        if (!grown)
            return bus_fail(BUS_ENOMEM, "%zu symbols", cap);
        t->symbol = grown;
        t->symbol_cap = cap;
    }
    *out = (int)t->symbol_count;
    snprintf(t->symbol[t->symbol_count++].name, SIM_SYMBOL_MAX, "%s", name);
    return BUS_OK;
}

// Room for one more topic: the table at most half full, so that a look-up ends soon.
static bus_err grow(sim_topics *t)
{
    if (t->count < t->cap)
        return BUS_OK;
    size_t cap = t->cap ? t->cap * 2 : 64;
    sim_topic *topic = realloc(t->topic, cap * sizeof *topic);
    int32_t *slot = malloc(cap * 2 * sizeof *slot);
    if (topic)
        t->topic = topic;
    if (!topic || !slot) {
        free(slot);
        return bus_fail(BUS_ENOMEM, "%zu streams", cap);
    }
    free(t->slot);
    t->slot = slot;
    t->slots = cap * 2;
    t->cap = cap;
    memset(slot, 0xff, t->slots * sizeof *slot);
    for (size_t i = 0; i < t->count; i++)
        slot[find_slot(t, topic[i].symbol, topic[i].channel)] = (int32_t)i;
    return BUS_OK;
}

// The venue's name of the stream: what a subscriber is expected to ask for.
static void set_name(sim_topic *topic)
{
    const char *channel = topic->channel;
    if (strcmp(channel, "depth") == 0)
        channel = "depth@100ms";
    else if (strcmp(channel, "depth@1000ms") == 0)
        channel = "depth";
    int len = snprintf(topic->name, sizeof topic->name, "%s@%s", topic->symbol, channel);
    for (int i = 0; i < len && topic->name[i] != '@'; i++)
        if (topic->name[i] >= 'A' && topic->name[i] <= 'Z')
            topic->name[i] = (char)(topic->name[i] - 'A' + 'a');
}

bus_err sim_topics_add(sim_topics *t, const char *symbol, const char *channel, int *out)
{
    *out = sim_topics_find(t, symbol, channel);
    if (*out >= 0)
        return BUS_OK;
    if (t->count == SIM_TOPICS_MAX)
        return bus_fail(BUS_ELIMIT, "more than %d streams", SIM_TOPICS_MAX);
    int symbol_no;
    bus_err err = grow(t);
    if (!err)
        err = add_symbol(t, symbol, &symbol_no);
    if (err)
        return err;
    size_t slot = find_slot(t, symbol, channel);
    sim_topic *topic = &t->topic[t->count];
    *topic = (sim_topic){.symbol_no = symbol_no};
    snprintf(topic->symbol, sizeof topic->symbol, "%s", symbol);
    snprintf(topic->channel, sizeof topic->channel, "%s", channel);
    set_name(topic);
    t->slot[slot] = *out = (int)t->count++;
    return BUS_OK;
}

bus_err sim_topic_listen(sim_topic *topic, struct sim_client *client, uint32_t sub)
{
    if (topic->listener_count == topic->listener_cap) {
        size_t cap = topic->listener_cap ? topic->listener_cap * 2 : 4;
        sim_listener *grown = realloc(topic->listeners, cap * sizeof *grown);
        if (!grown)
            return bus_fail(BUS_ENOMEM, "%zu subscribers of '%s'", cap, topic->name);
        topic->listeners = grown;
        topic->listener_cap = cap;
    }
    topic->listeners[topic->listener_count++] = (sim_listener){client, sub};
    return BUS_OK;
}

void sim_topic_leave(sim_topic *topic, const struct sim_client *client, uint32_t sub)
{
    for (size_t i = 0; i < topic->listener_count; i++) {
        if (topic->listeners[i].client != client || topic->listeners[i].sub != sub)
            continue;
        memmove(topic->listeners + i, topic->listeners + i + 1,
                (topic->listener_count - i - 1) * sizeof *topic->listeners);
        topic->listener_count--;
        return;
    }
}
