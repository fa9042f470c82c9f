#include "feeds/sim/exchange.h"

#include <stdlib.h>

#include "feeds/sim/inside.h"

static bus_err open_capture(sim_exchange *x, bus_mono now)
{
    const sim_exchange_opts *o = &x->opts;
    bus_err err = sim_capture_open(&x->capture, o->captures, o->capture_count, &x->hub.topics);
    if (err)
        return err;
    sim_play_opts play = {x->speed_milli, o->start_after, o->hold_timeout};
    sim_play_init(&x->play, &play, x->capture, &sim_capture_feed_host, x, now);
    return BUS_OK;
}

static bus_err add_instruments(sim_exchange *x)
{
    size_t count = x->hub.topics.symbol_count;
    x->instrument = calloc(count, sizeof *x->instrument);
    if (!x->instrument)
        return bus_fail(BUS_ENOMEM, "%zu symbols", count);
    x->instrument_count = count;
    for (size_t i = 0; i < count; i++) {
        sim_instrument *in = &x->instrument[i];
        in->name = x->hub.topics.symbol[i].name;
        bus_err err = sim_history_open(&in->history, x->opts.history_bytes);
        if (err)
            return err;
        if (!x->capture)
            continue;
        const sim_symbol_facts *facts = sim_capture_facts(x->capture, (int)i);
        in->price_digits = facts->price_digits;
        in->quantity_digits = facts->quantity_digits;
        in->price_scale = facts->price_scale;
        in->quantity_scale = facts->quantity_scale;
        in->snapshots_left = facts->snapshots;
        x->snapshots.recorded += facts->snapshots;
    }
    return BUS_OK;
}

static bus_err arm_faults(sim_exchange *x, bus_mono now)
{
    x->hub.faults.seed = (uint64_t)x->opts.seed;
    for (size_t i = 0; i < x->opts.fault_count; i++) {
        sim_fault *fault;
        bus_err err = sim_fault_from_text(&x->hub.faults, bus_view_of(x->opts.faults[i]), &fault);
        if (err)
            return bus_note(err, "--fault '%s'", x->opts.faults[i]);
        sim_hub_arm(&x->hub, fault, now);
    }
    return BUS_OK;
}

bus_err sim_exchange_open(sim_exchange **out, const sim_exchange_opts *opts)
{
    bus_mono now = bus_now_mono();
    bus_err err;
    sim_exchange *x = calloc(1, sizeof *x);
    if (!x)
        return bus_fail(BUS_ENOMEM, "exchange");
    x->opts = *opts;
    err = sim_speed_parse(bus_view_of(opts->speed), &x->speed_milli);
    x->opts.hub.patient = x->speed_milli == 0;
    x->opts.hub.alias_depth = opts->capture_count > 0;
    if (!err)
        err = sim_sendlog_open(&x->log, opts->log_entries, opts->send_log);
    sim_hub_init(&x->hub, &x->opts.hub, x->log);
    if (!err)
        err = opts->capture_count ? open_capture(x, now) : sim_synth_feed_topics(x);
    if (!err)
        err = add_instruments(x);
    if (!err && !x->capture)
        err = sim_synth_feed_open(x, now);
    if (!err)
        err = sim_info_load(x);
    if (!err)
        err = arm_faults(x, now);
    if (err) {
        sim_exchange_close(x);
        return err;
    }
    *out = x;
    return BUS_OK;
}

void sim_exchange_close(sim_exchange *x)
{
    if (!x)
        return;
    sim_hub_release(&x->hub);
    sim_sendlog_close(x->log);
    sim_capture_close(x->capture);
    sim_synth_close(x->synth);
    for (size_t i = 0; i < x->instrument_count; i++)
        sim_history_close(x->instrument[i].history);
    free(x->instrument);
    sim_text_release(&x->info);
    sim_text_release(&x->payload);
    sim_text_release(&x->micros);
    sim_book_release(&x->scratch);
    free(x->changes);
    free(x);
}

sim_hub *sim_exchange_hub(sim_exchange *x)
{
    return &x->hub;
}

bus_mono sim_exchange_turn(sim_exchange *x, bus_mono now)
{
    bus_mono next = sim_hub_turn(&x->hub, now);
    bus_mono play = x->capture ? sim_play_turn(&x->play, now) : sim_synth_feed_turn(x, now);
    sim_sendlog_flush(x->log);
    return play.ns < next.ns ? play : next;
}

void sim_exchange_on_answer(sim_exchange *x, sim_answer_fn fn, void *ctx)
{
    x->answer_fn = fn;
    x->answer_ctx = ctx;
}

void sim_exchange_ask(sim_exchange *x, const sim_ask *ask, sim_answer *answer, bus_mono now)
{
    static const char admin[] = "/sim/v1/";
    *answer = (sim_answer){.status = 404, .type = "application/json;charset=UTF-8"};
    if (ask->path.len >= sizeof admin - 1 && memcmp(ask->path.ptr, admin, sizeof admin - 1) == 0)
        sim_admin_ask(x, ask, answer, now);
    else
        sim_rest_ask(x, ask, answer);
}

void sim_exchange_forget(sim_exchange *x, void *cookie)
{
    for (size_t i = 0; i < x->waiter_count; i++) {
        if (x->waiter[i].cookie != cookie)
            continue;
        memmove(x->waiter + i, x->waiter + i + 1, (x->waiter_count - i - 1) * sizeof *x->waiter);
        x->waiter_count--;
        return;
    }
}

sim_exchange_figures sim_exchange_measure(const sim_exchange *x)
{
    return (sim_exchange_figures){
        .frames = x->hub.frames,
        .log_last = sim_sendlog_last(x->log),
        .log_failed = sim_sendlog_failed(x->log),
        .clients = x->hub.client_count,
        .queued_bytes = sim_hub_queued_max(&x->hub),
        .faults_open = x->hub.faults.open,
    };
}
