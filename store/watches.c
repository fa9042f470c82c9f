#include "store/watches.h"

#include <stdlib.h>

enum { SENDS_MAX = 64 }; // to one caller in one poll

struct store_watch {
    bus_call *call;
    bus_kv_watch *kv;
    enum { HOLDS_NOTHING, HOLDS_ENTRY, HOLDS_CURRENT } holds; // what the caller had no credit for
    bus_kv_entry entry;
    store_watch *next;
};

bus_err store_watches_add(store_watches *ws, bus_call *call, const char *pattern)
{
    if (ws->count == STORE_WATCHES_MAX)
        return bus_fail(BUS_ELIMIT, "%d callers watch bucket '%s' already", STORE_WATCHES_MAX,
                        ws->bucket);
    store_watch *w = calloc(1, sizeof *w);
    if (!w)
        return bus_fail(BUS_ENOMEM, "watch of bucket '%s'", ws->bucket);
    bus_err err = bus_kv_watch_open(&w->kv, ws->conn, ws->bucket, pattern, ws->wake);
    if (err) {
        free(w);
        return bus_note(err, "watching bucket '%s'", ws->bucket);
    }
    w->call = call;
    w->next = ws->first;
    ws->first = w;
    ws->count++;
    return BUS_OK;
}

static void end(store_watch *w)
{
    if (w->holds == HOLDS_ENTRY)
        bus_kv_entry_release(&w->entry);
    bus_kv_watch_close(w->kv);
    bus_call_end(w->call);
    free(w);
}

static void fetch(store_watch *w)
{
    switch (bus_kv_watch_next(w->kv, (bus_span){0}, &w->entry)) {
    case BUS_KV_ENTRY:
        w->holds = HOLDS_ENTRY;
        break;
    case BUS_KV_CURRENT:
        w->holds = HOLDS_CURRENT;
        break;
    case BUS_KV_NOTHING:
        break;
    }
}

// false: the caller is gone
static bool feed(store_watches *ws, store_watch *w)
{
    for (int i = 0; i < SENDS_MAX && !bus_call_gone(w->call); i++) {
        if (w->holds == HOLDS_NOTHING)
            fetch(w);
        if (w->holds == HOLDS_NOTHING)
            return true;
        bus_call_result result =
            ws->send(ws->ctx, w->call, w->holds == HOLDS_ENTRY ? &w->entry : NULL);
        if (result == BUS_CALL_GONE)
            return false;
        if (result == BUS_CALL_FULL)
            return true;
        if (w->holds == HOLDS_ENTRY)
            bus_kv_entry_release(&w->entry);
        w->holds = HOLDS_NOTHING;
    }
    return !bus_call_gone(w->call);
}

void store_watches_poll(store_watches *ws)
{
    for (store_watch **at = &ws->first; *at;) {
        store_watch *w = *at;
        if (feed(ws, w)) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        ws->count--;
        end(w);
    }
}

void store_watches_release(store_watches *ws)
{
    while (ws->first) {
        store_watch *w = ws->first;
        ws->first = w->next;
        end(w);
    }
    ws->count = 0;
}
