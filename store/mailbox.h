// mailbox: between a replay's thread (the player) and its owner: commands in, results and a picture out.
// Bounded: at most STORE_REPLAY_QUEUE_MAX commands are under way, each gives one result.
// Thread: each function says whose. Source: schemas/specs/replay.md.
#ifndef STORE_MAILBOX_H
#define STORE_MAILBOX_H

#include <pthread.h>
#include <stdatomic.h>

#include "store/replay.h"

typedef struct {
    pthread_mutex_t lock; // of everything below up to `over`
    store_replay_command command[STORE_REPLAY_QUEUE_MAX];
    uint32_t command_at, commands;
    store_replay_result result[STORE_REPLAY_QUEUE_MAX + 1]; // and the start's
    uint32_t result_at, results;
    uint32_t under_way; // commands accepted whose result has not been taken
    store_replay_info info;
    bool over; // the player takes no more commands

    atomic_bool quit;   // the owner closes
    atomic_bool raised; // there is something for the player
    int fd;             // eventfd the player sleeps on
    bus_wake wake;      // the owner's
} store_mailbox;

bus_err store_mailbox_init(store_mailbox *box, bus_wake wake);
void store_mailbox_release(store_mailbox *box);

// --- owner --------------------------------------------------------------------------------------------
bus_err store_mailbox_send(store_mailbox *box, const store_replay_command *command);
bool store_mailbox_take(store_mailbox *box, store_replay_result *out);

// --- anybody ------------------------------------------------------------------------------------------
void store_mailbox_raise(void *box); // wakes the player; fits bus_wake.fn; never blocks

// --- player -------------------------------------------------------------------------------------------
bool store_mailbox_next(store_mailbox *box,
                        store_replay_command *out); // the player owns its filters
void store_mailbox_answer(store_mailbox *box, const store_replay_result *result);
void store_mailbox_show(store_mailbox *box, const store_replay_info *info);
// store_mailbox_finish: no more commands; those still waiting are answered with `err`.
void store_mailbox_finish(store_mailbox *box, bus_err err, const char *text);
// store_mailbox_wait sleeps until raised or until `until` (on the clock of bus_machine_mono), exactly to some
// microseconds; it may return early.
void store_mailbox_wait(store_mailbox *box, bus_mono until);

#endif
