// window: what a publisher has taken and the broker has not yet acknowledged. A pure state machine: no I/O,
// no clock (it is given `now`), one arena, no allocation after init. The publisher drives it against a
// broker, the model test against a model of one.
//
//   head            next             tail
//    | done sent done | queued queued |            numbers rise by one for each message, for ever
//
// Messages leave at the head, in order, when they are stored or refused.
// Thread: the owner's. Source: schemas/specs/recording.md, "Writing".
#ifndef BUS_NATS_WINDOW_H
#define BUS_NATS_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/base/err.h"
#include "bus/base/time.h"
#include "bus/base/view.h"

typedef enum {
    BUS_WINDOW_PROBE, // only the oldest, alone, until it is stored
    BUS_WINDOW_OPEN,
    BUS_WINDOW_DRAIN, // something was turned down: nothing is sent until all that was sent is answered
    BUS_WINDOW_PAUSE, // until pause_until
} bus_window_mode;

typedef enum { BUS_SLOT_QUEUED, BUS_SLOT_SENT, BUS_SLOT_STORED, BUS_SLOT_REFUSED } bus_slot_state;

typedef struct {
    uint64_t tag, stream_seq;
    bus_mono sent;        // last time it was sent
    uint32_t offset, len; // of its bytes in the arena
    uint32_t span; // arena bytes given back when it leaves: its own, and those skipped at the end
    bus_slot_state state;
    uint32_t tries; // that may have reached the broker
    bus_mono first; // when the first of them was
    bus_err err;    // REFUSED
    char *words;    // why; the window's
    bool duplicate;
} bus_slot;

typedef struct {
    bus_slot *slots;
    uint8_t *arena;
    uint32_t slots_max; // a power of two
    uint32_t arena_bytes;
    uint32_t arena_head, arena_used; // a ring of whole messages
    // What bus_window_room promised: the message stays there, though a shorter one would have fitted elsewhere.
    uint32_t room_offset, room_skip, room_len;
    uint64_t head, next, tail; // message numbers; the window is [head, tail)
    uint32_t sent_count;       // SENT slots
    bus_window_mode mode;
    bus_mono pause_until;
    bus_span pause; // length of the next pause
    char *words;    // of the refused message that was popped last
} bus_window;

bus_err bus_window_init(bus_window *w, uint32_t msgs_max, uint32_t bytes_max);
void bus_window_release(bus_window *w);

// --- taking messages ----------------------------------------------------------------------------------
// bus_window_room returns `len` writable bytes for the next message, NULL when full. bus_window_put takes
// the message that was written there, of which the first `len` bytes count (not more than were asked for);
// returns its number. Each put needs a room of its own.
uint8_t *bus_window_room(bus_window *w, uint32_t len);
uint64_t bus_window_put(bus_window *w, uint32_t len, uint64_t tag);

// --- sending ------------------------------------------------------------------------------------------
// bus_window_due returns the number of the message to send now; 0: none. bus_window_sent notes that it went.
uint64_t bus_window_due(bus_window *w, bus_mono now);
void bus_window_sent(bus_window *w, uint64_t number, bus_mono now);
bus_view bus_window_bytes(const bus_window *w, uint64_t number);
// bus_window_doubt: the connection was lost or replaced: everything sent is queued again, mode PROBE.
void bus_window_doubt(bus_window *w);
// For a path that keeps order and pauses itself (batch.h), mode OPEN throughout:
//   bus_window_requeue     everything sent is queued again; it may be stored
//   bus_window_unsend      everything sent is queued again, and this time of sending did not store it
//   bus_window_not_stored  everything that is not stored is queued, and known not to be
void bus_window_requeue(bus_window *w);
void bus_window_unsend(bus_window *w);
void bus_window_not_stored(bus_window *w);
// bus_window_oldest: since when the oldest sent message waits; false when none does.
bool bus_window_oldest(const bus_window *w, bus_mono *since);

// bus_window_tried: since when the oldest message that is queued after a try waits; false when none does.
bool bus_window_tried(const bus_window *w, bus_mono *since);

// --- answers: unknown and repeated numbers are ignored, and that something is stored which was never sent ---
void bus_window_stored(bus_window *w, uint64_t number, uint64_t stream_seq, bool duplicate);
void bus_window_refused(bus_window *w, uint64_t number, bus_err err, const char *words); // for good
void bus_window_declined(bus_window *w, uint64_t number);                                // not now

// bus_window_pop takes the head when it is done; false when it is not. The words of one that was refused
// are valid until the next bus_window_pop.
bool bus_window_pop(bus_window *w, bus_slot *out);
// bus_window_popped: the bytes of a popped message; valid until the next bus_window_room.
bus_view bus_window_popped(const bus_window *w, const bus_slot *slot);
static inline uint32_t bus_window_count(const bus_window *w)
{
    return (uint32_t)(w->tail - w->head);
}
bus_slot *bus_window_slot(const bus_window *w, uint64_t number); // NULL: not in the window

#endif
