#include "store/commands.h"

#include <inttypes.h>
#include <stdlib.h>

#include "store/reports.h"

static bus_err refuse(const store_player *p, const char *what)
{
    return bus_fail(BUS_ESTATE, "replay on '%s' is %s: it cannot %s", p->info.selector,
                    store_replay_state_name(p->info.state), what);
}

static bus_err do_pause(store_player *p)
{
    if (p->info.state == STORE_REPLAY_STARTING) {
        p->resume_paused = true;
        return BUS_OK;
    }
    if (p->info.state != STORE_REPLAY_RUNNING)
        return refuse(p, "be paused");
    bus_credit_stopped(p->credit);
    store_player_state(p, STORE_REPLAY_PAUSED);
    return BUS_OK;
}

static bus_err do_resume(store_player *p)
{
    if (p->info.state == STORE_REPLAY_STARTING) {
        p->resume_paused = false;
        return BUS_OK;
    }
    if (p->info.state != STORE_REPLAY_PAUSED)
        return refuse(p, "be resumed");
    if (p->stepping)
        return bus_fail(BUS_ESTATE, "replay on '%s' has a step of %" PRIu64 " events under way",
                        p->info.selector, p->steps);
    store_pace_restart(&p->pace);
    store_player_state(p, STORE_REPLAY_RUNNING);
    return BUS_OK;
}

static bus_err do_step(store_player *p, const store_replay_command *c)
{
    if (p->info.state != STORE_REPLAY_PAUSED)
        return refuse(p, "step: pause it first");
    if (p->stepping)
        return bus_fail(BUS_ESTATE, "replay on '%s' has a step of %" PRIu64 " events under way",
                        p->info.selector, p->steps);
    p->stepping = true;
    p->steps = c->n;
    p->step_call = c->call;
    return BUS_OK;
}

void store_player_end_step(store_player *p, bus_err err)
{
    if (!p->stepping)
        return;
    p->stepping = false;
    p->steps = 0;
    bus_credit_stopped(p->credit);
    store_player_answer(p, STORE_REPLAY_STEP, p->step_call, err);
}

static bus_err find_target(store_player *p, const store_replay_command *c, uint64_t *first)
{
    bus_seq_range range = {p->range_first, p->info.last_seq};
    *first = c->n;
    if (c->n == 0)
        return store_range_seek(p->ask, p->info.stream, range, c->time, first);
    if (c->n < range.first || c->n > range.last)
        return bus_fail(BUS_ERANGE,
                        "sequence %" PRIu64 " is outside the range of the replay, %" PRIu64
                        " to %" PRIu64,
                        c->n, range.first, range.last);
    return BUS_OK;
}

// Who took part is given the time of a start to come back to the new run.
static void expect_members(store_player *p)
{
    bus_credit_member m;
    p->info.expected_count = 0;
    for (size_t i = 0; bus_credit_at(p->credit, i, &m); i++) {
        if (m.state != BUS_MEMBER_JOINED)
            continue;
        bus_view_copy(m.name, p->info.expected[p->info.expected_count], sizeof p->info.expected[0]);
        p->info.awaited[p->info.expected_count++] = true;
    }
}

static bus_err do_seek(store_player *p, const store_replay_command *c)
{
    uint64_t first;
    bus_err err = find_target(p, c, &first);
    if (err)
        return err;
    if (p->info.state != STORE_REPLAY_STARTING) {
        p->resume_paused = p->info.state == STORE_REPLAY_PAUSED;
        expect_members(p);
        p->may_miss = true;
    }
    bus_fail(BUS_ECANCELLED, "the replay was moved to sequence %" PRIu64, first);
    store_player_end_step(p, BUS_ECANCELLED);
    store_player_watermark(p, true, "seek");
    err = store_player_begin(p, first);
    if (err)
        store_player_fail(p, err);
    return err;
}

static bus_err do_speed(store_player *p, store_speed speed)
{
    p->info.speed = speed;
    p->info.change++;
    store_pace_set(&p->pace, speed);
    return BUS_OK;
}

static void command(store_player *p, store_replay_command *c)
{
    bus_err err = BUS_OK;
    switch (c->verb) {
    case STORE_REPLAY_PAUSE:
        err = do_pause(p);
        break;
    case STORE_REPLAY_RESUME:
        err = do_resume(p);
        break;
    case STORE_REPLAY_STEP:
        err = do_step(p, c);
        if (!err)
            return; // answered when the events are sent
        break;
    case STORE_REPLAY_SEEK:
        err = do_seek(p, c);
        break;
    case STORE_REPLAY_SPEED:
        err = do_speed(p, c->speed);
        break;
    case STORE_REPLAY_STOP:
        store_player_state(p, STORE_REPLAY_STOPPED);
        break;
    case STORE_REPLAY_JOIN:
        store_player_join(p, c);
        return;
    case STORE_REPLAY_DONE:
        store_player_report(p, bus_view_of(c->participant), c->n, c->leave);
        break;
    case STORE_REPLAY_START:
        return;
    }
    store_player_answer(p, c->verb, c->call, err);
}

void store_player_commands(store_player *p)
{
    store_replay_command c;
    while (!store_replay_is_end(p->info.state) && store_mailbox_next(p->box, &c)) {
        command(p, &c);
        free(c.filter);
    }
}
