#include "store/mailbox.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

// The kernel wakes a sleeper some tens of microseconds late: the last stretch before a deadline is spent
// looking at the clock.
static const int64_t spin_ns = 60000;

bus_err store_mailbox_init(store_mailbox *box, bus_wake wake)
{
    memset(box, 0, sizeof *box);
    box->wake = wake;
    box->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (box->fd < 0)
        return bus_fail(BUS_EIO, "eventfd of a replay: %s", strerror(errno));
    pthread_mutex_init(&box->lock, NULL);
    return BUS_OK;
}

void store_mailbox_release(store_mailbox *box)
{
    for (uint32_t i = 0; i < box->commands; i++)
        free(box->command[(box->command_at + i) % STORE_REPLAY_QUEUE_MAX].filter);
    pthread_mutex_destroy(&box->lock);
    close(box->fd);
}

static void tell_owner(store_mailbox *box)
{
    if (box->wake.fn)
        box->wake.fn(box->wake.ctx);
}

// --- owner --------------------------------------------------------------------------------------------

bus_err store_mailbox_send(store_mailbox *box, const store_replay_command *command)
{
    bus_err err = BUS_OK;
    pthread_mutex_lock(&box->lock);
    if (box->over)
        err = bus_fail(BUS_ESTATE, "replay on '%s' is %s", box->info.selector,
                       store_replay_state_name(box->info.state));
    else if (box->under_way == STORE_REPLAY_QUEUE_MAX)
        err = bus_fail(BUS_ELIMIT, "replay on '%s' has %d calls waiting already",
                       box->info.selector, STORE_REPLAY_QUEUE_MAX);
    else {
        box->command[(box->command_at + box->commands++) % STORE_REPLAY_QUEUE_MAX] = *command;
        box->under_way++;
    }
    pthread_mutex_unlock(&box->lock);
    if (!err)
        store_mailbox_raise(box);
    return err;
}

bool store_mailbox_take(store_mailbox *box, store_replay_result *out)
{
    bool some;
    pthread_mutex_lock(&box->lock);
    some = box->results > 0;
    if (some) {
        *out = box->result[box->result_at];
        box->result_at = (box->result_at + 1) % (STORE_REPLAY_QUEUE_MAX + 1);
        box->results--;
        if (out->verb != STORE_REPLAY_START)
            box->under_way--;
    }
    pthread_mutex_unlock(&box->lock);
    return some;
}

// --- anybody ------------------------------------------------------------------------------------------

void store_mailbox_raise(void *ctx)
{
    store_mailbox *box = ctx;
    uint64_t one = 1;
    if (!atomic_exchange(&box->raised, true) && write(box->fd, &one, sizeof one) < 0)
        return; // the counter is full: then it is readable all the same
}

// --- player -------------------------------------------------------------------------------------------

bool store_mailbox_next(store_mailbox *box, store_replay_command *out)
{
    bool some;
    pthread_mutex_lock(&box->lock);
    some = box->commands > 0;
    if (some) {
        *out = box->command[box->command_at];
        box->command_at = (box->command_at + 1) % STORE_REPLAY_QUEUE_MAX;
        box->commands--;
    }
    pthread_mutex_unlock(&box->lock);
    return some;
}

static void put_result(store_mailbox *box, const store_replay_result *result)
{
    box->result[(box->result_at + box->results++) % (STORE_REPLAY_QUEUE_MAX + 1)] = *result;
}

void store_mailbox_answer(store_mailbox *box, const store_replay_result *result)
{
    pthread_mutex_lock(&box->lock);
    put_result(box, result);
    pthread_mutex_unlock(&box->lock);
    tell_owner(box);
}

void store_mailbox_show(store_mailbox *box, const store_replay_info *info)
{
    pthread_mutex_lock(&box->lock);
    box->info = *info;
    pthread_mutex_unlock(&box->lock);
    tell_owner(box);
}

void store_mailbox_finish(store_mailbox *box, bus_err err, const char *text)
{
    pthread_mutex_lock(&box->lock);
    box->over = true;
    while (box->commands) {
        store_replay_command *c = &box->command[box->command_at];
        store_replay_result result = {.verb = c->verb, .call = c->call, .err = err};
        snprintf(result.text, sizeof result.text, "%s", text);
        free(c->filter);
        c->filter = NULL;
        box->command_at = (box->command_at + 1) % STORE_REPLAY_QUEUE_MAX;
        box->commands--;
        put_result(box, &result);
    }
    pthread_mutex_unlock(&box->lock);
    tell_owner(box);
}

static void sleep_ns(store_mailbox *box, int64_t ns)
{
    struct pollfd fd = {.fd = box->fd, .events = POLLIN};
    struct timespec span = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    ppoll(&fd, 1, &span, NULL);
}

static bool lower(store_mailbox *box)
{
    uint64_t count;
    // Emptied before the flag is taken: whoever raises in between sets both again. One that is between
    // its two steps costs an early return later, no more.
    if (read(box->fd, &count, sizeof count) < 0 && errno != EAGAIN)
        return true;
    return atomic_exchange(&box->raised, false);
}

void store_mailbox_wait(store_mailbox *box, bus_mono until)
{
    if (atomic_load(&box->raised) && lower(box))
        return;
    int64_t left = until.ns - bus_machine_mono().ns;
    if (left > spin_ns) {
        sleep_ns(box, left - spin_ns);
        if (lower(box))
            return;
        left = until.ns - bus_machine_mono().ns;
    }
    if (left > spin_ns)
        return; // woken early by an old write
    while (!atomic_load(&box->raised) && bus_machine_mono().ns < until.ns)
        ;
}
