#include "store/copy.h"

#include <string.h>

#include "bus/base/log.h"

enum { ENTRIES_MAX = 64 }; // in one turn
#define BUCKET "workers"
static const bus_span retry = {INT64_C(2000000000)};

// A restart meets every record once more: one that is the same already stays as it is.
static bool is_there(const store_copy *copy, const bus_kv_entry *entry)
{
    bus_kv_entry have = {0};
    bool same = false;
    if (bus_kv_get(copy->to, BUCKET, entry->key.ptr, &have) == BUS_OK)
        same = have.value.len == entry->value.len &&
               memcmp(have.value.ptr, entry->value.ptr, have.value.len) == 0;
    bus_kv_entry_release(&have);
    return same;
}

static bus_err write_one(const store_copy *copy, const bus_kv_entry *entry)
{
    if (entry->deleted)
        return bus_kv_delete(copy->to, BUCKET, entry->key.ptr, 0);
    if (is_there(copy, entry))
        return BUS_OK;
    return bus_kv_put(copy->to, BUCKET, entry->key.ptr, entry->value, NULL);
}

// The next entry to write: the one held back, or what the watch has.
static bool take(store_copy *copy)
{
    if (copy->held.owner)
        return true;
    bus_kv_result result = bus_kv_watch_next(copy->watch, (bus_span){0}, &copy->held);
    while (result == BUS_KV_CURRENT)
        result = bus_kv_watch_next(copy->watch, (bus_span){0}, &copy->held);
    return result == BUS_KV_ENTRY;
}

void store_copy_poll(store_copy *copy, bus_mono now)
{
    bus_err err = BUS_OK;
    if (!copy->from || (copy->next_try.ns && now.ns < copy->next_try.ns))
        return;
    if (!copy->watch) // three tokens: a worker's saved state has four, and is nobody else's
        err = bus_kv_watch_open(&copy->watch, copy->from, BUCKET, "sc.LIVE.*", copy->wake);
    for (int i = 0; !err && i < ENTRIES_MAX && take(copy); i++) {
        err = write_one(copy, &copy->held);
        if (!err)
            bus_kv_entry_release(&copy->held);
    }
    copy->next_try = err ? bus_mono_add(now, retry) : (bus_mono){0};
    if (err)
        bus_warn("progress of the LIVE workers for RESEARCH: %s; trying again", bus_err_text());
}

void store_copy_release(store_copy *copy)
{
    bus_kv_entry_release(&copy->held);
    bus_kv_watch_close(copy->watch);
    copy->watch = NULL;
}
