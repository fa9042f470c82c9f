#include "bus/nats/window.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const bus_span PAUSE_FIRST = {50 * 1000000}, PAUSE_MAX = {2000 * (int64_t)1000000};

bus_err bus_window_init(bus_window *w, uint32_t msgs_max, uint32_t bytes_max)
{
    uint32_t slots_max = 1;
    while (slots_max < msgs_max)
        slots_max *= 2;
    *w = (bus_window){.slots_max = slots_max,
                      .arena_bytes = bytes_max,
                      .head = 1,
                      .next = 1,
                      .tail = 1,
                      .pause = PAUSE_FIRST};
    w->slots = calloc(slots_max, sizeof *w->slots);
    w->arena = malloc(bytes_max);
    if (w->slots && w->arena)
        return BUS_OK;
    bus_window_release(w);
    return bus_fail(BUS_ENOMEM, "window of %u messages, %u bytes", msgs_max, bytes_max);
}

void bus_window_release(bus_window *w)
{
    for (uint64_t n = w->head; w->slots && n < w->tail; n++)
        free(w->slots[n & (w->slots_max - 1)].words);
    free(w->words);
    free(w->slots);
    free(w->arena);
    *w = (bus_window){0};
}

static bus_slot *slot_at(const bus_window *w, uint64_t number)
{
    return &w->slots[number & (w->slots_max - 1)];
}

bus_slot *bus_window_slot(const bus_window *w, uint64_t number)
{
    return number >= w->head && number < w->tail ? slot_at(w, number) : NULL;
}

// --- taking messages ----------------------------------------------------------------------------------

// Finds the place of a message of `len` bytes: behind the last one, or at the start when the end is too
// short; then the bytes skipped are counted to it. Messages are never split.
static bool place(bus_window *w, uint32_t len)
{
    uint64_t end = (uint64_t)w->arena_head + w->arena_used;
    uint32_t at = w->arena_used ? (uint32_t)(end % w->arena_bytes) : 0;
    uint32_t skip = 0;
    bool wrapped = end >= w->arena_bytes;
    if (w->arena_used && !wrapped && len > w->arena_bytes - at) {
        skip = w->arena_bytes - at;
        at = 0;
    }
    if ((uint64_t)w->arena_used + skip + len > w->arena_bytes)
        return false;
    w->room_offset = at;
    w->room_skip = skip;
    w->room_len = len;
    return true;
}

uint8_t *bus_window_room(bus_window *w, uint32_t len)
{
    if (w->tail - w->head >= w->slots_max || !place(w, len))
        return NULL;
    return w->arena + w->room_offset;
}

uint64_t bus_window_put(bus_window *w, uint32_t len, uint64_t tag)
{
    assert(len > 0 && len <= w->room_len);
    uint32_t span = w->room_skip + len;
    if (w->arena_used == 0)
        w->arena_head = 0;
    w->arena_used += span;
    w->room_len = 0;
    *slot_at(w, w->tail) =
        (bus_slot){.tag = tag, .offset = w->room_offset, .len = len, .span = span};
    return w->tail++;
}

// --- sending ------------------------------------------------------------------------------------------

uint64_t bus_window_due(bus_window *w, bus_mono now)
{
    if (w->mode == BUS_WINDOW_DRAIN && w->sent_count == 0) {
        w->mode = BUS_WINDOW_PAUSE;
        w->pause_until = bus_mono_add(now, w->pause);
        w->pause.ns = w->pause.ns * 2 > PAUSE_MAX.ns ? PAUSE_MAX.ns : w->pause.ns * 2;
    }
    if (w->mode == BUS_WINDOW_PAUSE && now.ns >= w->pause_until.ns)
        w->mode = BUS_WINDOW_PROBE;
    if (w->mode == BUS_WINDOW_PROBE && w->sent_count > 0)
        return 0;
    if (w->mode == BUS_WINDOW_DRAIN || w->mode == BUS_WINDOW_PAUSE)
        return 0;
    while (w->next < w->tail && slot_at(w, w->next)->state != BUS_SLOT_QUEUED)
        w->next++;
    return w->next < w->tail ? w->next : 0;
}

void bus_window_sent(bus_window *w, uint64_t number, bus_mono now)
{
    bus_slot *slot = bus_window_slot(w, number);
    if (!slot || slot->state != BUS_SLOT_QUEUED)
        return;
    slot->state = BUS_SLOT_SENT;
    slot->sent = now;
    if (slot->tries++ == 0)
        slot->first = now;
    w->sent_count++;
    w->next = number + 1;
}

bus_view bus_window_bytes(const bus_window *w, uint64_t number)
{
    const bus_slot *slot = slot_at(w, number);
    return (bus_view){(const char *)w->arena + slot->offset, slot->len};
}

void bus_window_requeue(bus_window *w)
{
    for (uint64_t n = w->head; n < w->tail; n++)
        if (slot_at(w, n)->state == BUS_SLOT_SENT)
            slot_at(w, n)->state = BUS_SLOT_QUEUED;
    w->sent_count = 0;
    w->next = w->head;
}

void bus_window_unsend(bus_window *w)
{
    for (uint64_t n = w->head; n < w->tail; n++)
        if (slot_at(w, n)->state == BUS_SLOT_SENT)
            slot_at(w, n)->tries--;
    bus_window_requeue(w);
}

void bus_window_not_stored(bus_window *w)
{
    bus_window_requeue(w);
    for (uint64_t n = w->head; n < w->tail; n++)
        slot_at(w, n)->tries = 0;
}

void bus_window_doubt(bus_window *w)
{
    bus_window_requeue(w);
    if (w->mode == BUS_WINDOW_OPEN || w->mode == BUS_WINDOW_DRAIN)
        w->mode = BUS_WINDOW_PROBE;
}

bool bus_window_oldest(const bus_window *w, bus_mono *since)
{
    if (w->sent_count == 0)
        return false;
    for (uint64_t n = w->head; n < w->tail; n++) {
        if (slot_at(w, n)->state == BUS_SLOT_SENT) {
            *since = slot_at(w, n)->sent;
            return true;
        }
    }
    return false;
}

bool bus_window_tried(const bus_window *w, bus_mono *since)
{
    bool any = false;
    for (uint64_t n = w->head; n < w->tail; n++) {
        const bus_slot *slot = slot_at(w, n);
        if (slot->state != BUS_SLOT_QUEUED || slot->tries == 0)
            continue;
        if (!any || slot->first.ns < since->ns)
            *since = slot->first;
        any = true;
    }
    return any;
}

// --- answers --------------------------------------------------------------------------------------------

// The message was sent, or sent before a doubt and is queued again: its answer is as good.
static bus_slot *answered(bus_window *w, uint64_t number, bus_slot_state state)
{
    bus_slot *slot = bus_window_slot(w, number);
    if (!slot || slot->state == BUS_SLOT_STORED || slot->state == BUS_SLOT_REFUSED)
        return NULL;
    if (slot->state == BUS_SLOT_SENT)
        w->sent_count--;
    slot->state = state;
    return slot;
}

void bus_window_stored(bus_window *w, uint64_t number, uint64_t stream_seq, bool duplicate)
{
    bus_slot *slot = bus_window_slot(w, number);
    if (!slot || slot->tries == 0 || !answered(w, number, BUS_SLOT_STORED))
        return;
    slot->stream_seq = stream_seq;
    slot->duplicate = duplicate;
    if (w->mode == BUS_WINDOW_PROBE) {
        w->mode = BUS_WINDOW_OPEN;
        w->pause = PAUSE_FIRST;
    }
}

void bus_window_refused(bus_window *w, uint64_t number, bus_err err, const char *words)
{
    bus_slot *slot = answered(w, number, BUS_SLOT_REFUSED);
    if (!slot)
        return;
    slot->err = err;
    slot->words = strdup(words); // rare; NULL when memory is out
}

// What was sent behind it is left to be answered first (DRAIN), so that the probe that follows the pause
// is the oldest message and the only one under way.
void bus_window_declined(bus_window *w, uint64_t number)
{
    bus_slot *slot = bus_window_slot(w, number);
    if (!slot || slot->state != BUS_SLOT_SENT)
        return;
    slot->state = BUS_SLOT_QUEUED;
    slot->tries--; // this one is known not to be stored
    w->sent_count--;
    w->next = w->head;
    w->mode = BUS_WINDOW_DRAIN;
}

bus_view bus_window_popped(const bus_window *w, const bus_slot *slot)
{
    return (bus_view){(const char *)w->arena + slot->offset, slot->len};
}

bool bus_window_pop(bus_window *w, bus_slot *out)
{
    if (w->head == w->tail)
        return false;
    bus_slot *slot = slot_at(w, w->head);
    if (slot->state != BUS_SLOT_STORED && slot->state != BUS_SLOT_REFUSED)
        return false;
    *out = *slot;
    free(w->words);
    w->words = slot->words;
    slot->words = NULL;
    w->arena_head = (uint32_t)(((uint64_t)w->arena_head + slot->span) % w->arena_bytes);
    w->arena_used -= slot->span;
    w->head++;
    if (w->next < w->head)
        w->next = w->head;
    return true;
}
