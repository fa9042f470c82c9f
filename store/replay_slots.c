#include "store/replay_slots.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/replay_form.h"

store_slot *store_slot_find(store_replays *rs, const char *selector)
{
    for (store_slot *s = rs->slots; s; s = s->next)
        if (strcmp(s->selector, selector) == 0)
            return s;
    return NULL;
}

store_slot *store_slot_make(store_replays *rs, const char *selector)
{
    store_slot *fresh = calloc(1, sizeof *fresh), **at = &rs->slots;
    if (!fresh)
        return NULL;
    snprintf(fresh->selector, sizeof fresh->selector, "%s", selector);
    while (*at && strcmp((*at)->selector, selector) < 0)
        at = &(*at)->next;
    fresh->next = *at;
    *at = fresh;
    return fresh;
}

bus_err store_slot_known(store_replays *rs, const char *selector, store_slot **out)
{
    bus_err err = bus_lane_check_selector(bus_view_of(selector), "selector");
    if (err)
        return err;
    store_slot *s = store_slot_find(rs, selector);
    if (!s || (!s->known && !s->replay))
        return bus_fail(BUS_ENOTFOUND, "no replay on selector '%s'", selector);
    *out = s;
    return BUS_OK;
}

// A replay by selector, or by the id of the replay or of its run.
store_slot *store_slot_of(store_replays *rs, const char *name)
{
    store_slot *s = store_slot_find(rs, name);
    for (store_slot *at = rs->slots; !s && at; at = at->next)
        if (*name && (strcmp(at->info.replay, name) == 0 || strcmp(at->info.runid, name) == 0))
            s = at;
    return s;
}

void store_slot_reply(bus_call *call, const store_replay_info *info)
{
    Virtufin__Api__V1__ReplayInfo *m = store_replay_to_proto(info);
    if (m)
        bus_call_reply(call, &m->base);
    else
        bus_call_fail(call, BUS_ENOMEM, "picture of a replay");
    store_replay_proto_free(m);
}

bool store_watcher_feed(store_watcher *w, bus_mono now)
{
    const store_replay_info *info = &w->slot->info;
    if (bus_call_gone(w->call))
        return false;
    if (!w->slot->known)
        return w->slot->replay != NULL;
    if (w->sent && w->change == info->change && now.ns < w->next.ns)
        return true;
    Virtufin__Api__V1__ReplayInfo *m = store_replay_to_proto(info);
    bus_call_result result = m ? bus_call_send(w->call, &m->base) : BUS_CALL_GONE;
    store_replay_proto_free(m);
    if (result != BUS_CALL_SENT)
        return result == BUS_CALL_FULL; // the newest picture goes when there is credit
    w->sent = true;
    w->change = info->change;
    w->next = bus_mono_add(now, w->interval);
    return w->slot->replay != NULL;
}
