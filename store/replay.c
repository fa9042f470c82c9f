#include "store/replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "bus/base/thread.h"
#include "store/player.h"

struct store_replay {
    store_mailbox box;
    store_player player; // the thread's alone while it runs
    pthread_t thread;
    bool running;
    char *selector, *stream;
    struct store_replay *next; // in the list of those that listen to the clock
};

// --- the clock ----------------------------------------------------------------------------------------

static pthread_mutex_t listeners_lock = PTHREAD_MUTEX_INITIALIZER;
static store_replay *listeners;

static void clock_moved(void *ctx)
{
    (void)ctx;
    pthread_mutex_lock(&listeners_lock);
    for (store_replay *r = listeners; r; r = r->next)
        store_mailbox_raise(&r->box);
    pthread_mutex_unlock(&listeners_lock);
}

void store_replay_clock_listen(void)
{
    bus_clock_on_change(clock_moved, NULL);
}

static void listen(store_replay *r)
{
    pthread_mutex_lock(&listeners_lock);
    r->next = listeners;
    listeners = r;
    pthread_mutex_unlock(&listeners_lock);
}

static void unlisten(store_replay *r)
{
    pthread_mutex_lock(&listeners_lock);
    for (store_replay **at = &listeners; *at; at = &(*at)->next)
        if (*at == r) {
            *at = r->next;
            break;
        }
    pthread_mutex_unlock(&listeners_lock);
}

// --- life ---------------------------------------------------------------------------------------------

const char *store_replay_state_name(store_replay_state state)
{
    static const char *const names[] = {"starting", "running", "paused",
                                        "finished", "stopped", "failed"};
    return names[state];
}

static void *thread_main(void *ctx)
{
    store_replay *r = ctx;
    prctl(PR_SET_TIMERSLACK, 1UL); // sleeps end when they should, not up to 50 us later
    store_player_run(&r->player);
    return NULL;
}

static bus_err describe(store_replay *r, const store_replay_opts *opts)
{
    store_player *p = &r->player;
    store_replay_info *info = &p->info;
    r->selector = strdup(opts->selector);
    r->stream = strdup(opts->range.stream);
    if (!r->selector || !r->stream)
        return bus_fail(BUS_ENOMEM, "names of a replay");
    p->opts = *opts;
    p->opts.selector = r->selector;
    p->opts.range.stream = r->stream;
    p->resume_paused = opts->paused;
    if (p->opts.join_timeout.ns == 0)
        p->opts.join_timeout = BUS_SPAN_MS(STORE_JOIN_TIMEOUT_MS);
    snprintf(info->selector, sizeof info->selector, "%s", opts->selector);
    snprintf(info->stream, sizeof info->stream, "%s", opts->range.stream);
    info->speed = opts->speed;
    info->state = STORE_REPLAY_STARTING;
    info->started = info->updated = bus_now_wall();
    for (size_t i = 0; i < opts->scenario_count && i < STORE_REPLAY_SCENARIOS_MAX; i++) {
        snprintf(info->scenario[i], sizeof info->scenario[i], "%s", opts->scenarios[i]);
        snprintf(info->expected[i], sizeof info->expected[i], "scenario-%s", opts->scenarios[i]);
        info->awaited[i] = true;
        info->scenarios = info->expected_count = (uint32_t)i + 1;
    }
    r->box.info = *info;
    return BUS_OK;
}

bus_err store_replay_open(store_replay **out, const store_replay_opts *opts, void *start_call)
{
    store_replay *r = calloc(1, sizeof *r);
    if (!r)
        return bus_fail(BUS_ENOMEM, "replay");
    bus_err err = store_mailbox_init(&r->box, opts->wake);
    if (err) {
        free(r);
        return err;
    }
    listen(r);
    r->player.box = &r->box;
    r->player.start_call = start_call;
    err = describe(r, opts);
    if (!err)
        err = bus_thread_start(&r->thread, thread_main, r, "a replay");
    if (err) {
        store_replay_close(r);
        return err;
    }
    r->running = true;
    *out = r;
    return BUS_OK;
}

bus_err store_replay_send(store_replay *r, const store_replay_command *command)
{
    return store_mailbox_send(&r->box, command);
}

bool store_replay_take(store_replay *r, store_replay_result *out)
{
    return store_mailbox_take(&r->box, out);
}

void store_replay_info_get(store_replay *r, store_replay_info *out)
{
    pthread_mutex_lock(&r->box.lock);
    *out = r->box.info;
    pthread_mutex_unlock(&r->box.lock);
}

bool store_replay_over(store_replay *r)
{
    pthread_mutex_lock(&r->box.lock);
    bool over = r->box.over && r->box.results == 0;
    pthread_mutex_unlock(&r->box.lock);
    return over;
}

void store_replay_quit(store_replay *r)
{
    atomic_store(&r->box.quit, true);
    store_mailbox_raise(&r->box);
}

void store_replay_join(store_replay *r)
{
    if (r->running)
        pthread_join(r->thread, NULL);
    r->running = false;
}

void store_replay_close(store_replay *r)
{
    if (!r)
        return;
    store_replay_quit(r);
    store_replay_join(r);
    unlisten(r);
    store_mailbox_release(&r->box);
    free(r->selector);
    free(r->stream);
    free(r);
}
