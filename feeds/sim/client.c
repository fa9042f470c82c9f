#include "feeds/sim/client.h"

#include <stdlib.h>
#include <string.h>

sim_message *sim_message_make(bus_view a, bus_view b, bus_view c)
{
    size_t len = a.len + b.len + c.len;
    sim_message *m = malloc(sizeof *m + len);
    if (!m)
        return NULL;
    m->refs = 1;
    m->binary = false;
    m->len = len;
    unsigned char *at = m->bytes;
    const bus_view parts[] = {a, b, c};
    for (int i = 0; i < 3; i++) {
        if (parts[i].len)
            memcpy(at, parts[i].ptr, parts[i].len);
        at += parts[i].len;
    }
    return m;
}

void sim_message_drop(sim_message *m)
{
    if (m && --m->refs == 0)
        free(m);
}

void sim_client_release(sim_client *client)
{
    for (sim_message *m = sim_client_next(client); m; m = sim_client_next(client))
        sim_message_drop(m);
    free(client->queue);
    free(client->subs);
    client->queue = NULL;
    client->subs = NULL;
}

static bool grow(sim_client *c)
{
    size_t cap = c->queue_cap ? c->queue_cap * 2 : 64;
    sim_message **queue = malloc(cap * sizeof *queue);
    if (!queue)
        return false;
    for (size_t i = 0; i < c->queued; i++)
        queue[i] = c->queue[(c->head + i) % c->queue_cap];
    free(c->queue);
    c->queue = queue;
    c->queue_cap = cap;
    c->head = 0;
    return true;
}

bool sim_client_queue(sim_client *c, sim_message *m)
{
    if (c->queued == c->queue_cap && !grow(c))
        return false;
    m->refs++;
    c->queue[(c->head + c->queued) % c->queue_cap] = m;
    c->queued++;
    c->queued_bytes += m->len;
    return true;
}

sim_message *sim_client_next(sim_client *c)
{
    if (c->queued == 0)
        return NULL;
    sim_message *m = c->queue[c->head];
    c->head = (c->head + 1) % c->queue_cap;
    c->queued--;
    c->queued_bytes -= m->len;
    return m;
}

sim_subscription *sim_client_find(const sim_client *c, bus_view name)
{
    for (uint32_t i = 0; i < c->sub_count; i++)
        if (c->subs[i].name[0] && bus_view_is(name, c->subs[i].name))
            return &c->subs[i];
    return NULL;
}
