#include "feeds/sim/play.h"

#include "bus/base/decimal.h"

void sim_play_init(sim_play *play, const sim_play_opts *opts, sim_capture *capture,
                   const sim_play_host *host, void *ctx, bus_mono now)
{
    *play = (sim_play){.opts = *opts, .capture = capture, .host = host, .ctx = ctx, .opened = now};
}

bus_err sim_speed_parse(bus_view text, int64_t *speed_milli)
{
    if (bus_view_is(text, "max")) {
        *speed_milli = 0;
        return BUS_OK;
    }
    bus_view number = {text.ptr, text.len ? text.len - 1 : 0};
    int64_t milli;
    if (number.len && text.ptr[number.len] == 'x' && !bus_decimal_parse(number, 3, &milli) &&
        milli > 0 && milli <= 1000000000) {
        *speed_milli = milli;
        return BUS_OK;
    }
    return bus_fail(BUS_EINVAL, "speed '%.*s' is neither 'max' nor like '1x', '10x', '0.5x'",
                    BUS_VIEW_ARG(text));
}

static bus_mono soon(bus_mono now)
{
    return bus_mono_add(now, BUS_SPAN_MS(100));
}

static void set_anchor(sim_play *play, bus_mono now)
{
    play->anchor = now;
    play->anchor_ns = play->high_ns;
}

static bus_mono due(const sim_play *play, bus_mono now)
{
    if (play->opts.speed_milli == 0)
        return now;
    __int128 ahead = (__int128)(play->high_ns - play->anchor_ns) * 1000 / play->opts.speed_milli;
    return (bus_mono){play->anchor.ns + (int64_t)ahead};
}

static bool load(sim_play *play)
{
    if (play->has_record)
        return true;
    do
        play->has_record = sim_capture_next(play->capture, &play->record);
    while (play->has_record && play->record.kind == SIM_LINE_INFO);
    if (play->has_record && play->record.recorded_ns > play->high_ns)
        play->high_ns = play->record.recorded_ns;
    return play->has_record;
}

static bool begin(sim_play *play, bus_mono now)
{
    bool late = play->opts.start_after.ns >= 0 &&
                bus_mono_since(now, play->opened).ns >= play->opts.start_after.ns;
    if (!play->started && !late && !play->host->standing(play->ctx))
        return false;
    play->state = SIM_PLAYING;
    (void)load(play);
    set_anchor(play, now);
    return true;
}

// At a recorded snapshot: true when play may pass it.
static bool pass_snapshot(sim_play *play, bus_mono now)
{
    const char *symbol = play->record.symbol;
    bool held = play->state == SIM_HOLDING;
    bool answered = play->host->request_waits(play->ctx, symbol);
    if (!answered && play->host->depth_wanted(play->ctx, symbol)) {
        if (!held) {
            play->state = SIM_HOLDING;
            play->held_since = now;
            return false;
        }
        if (bus_mono_since(now, play->held_since).ns < play->opts.hold_timeout.ns)
            return false;
        play->host->hold_timeout(play->ctx, &play->record);
    }
    play->host->snapshot(play->ctx, &play->record);
    play->state = SIM_PLAYING;
    if (held)
        set_anchor(play, now);
    return true;
}

bus_mono sim_play_turn(sim_play *play, bus_mono now)
{
    if (play->paused || play->state == SIM_ENDED)
        return soon(now);
    if (play->state == SIM_WAITING && !begin(play, now))
        return soon(now);
    for (int i = 0; i < SIM_PLAY_TURN_FRAMES; i++) {
        if (!load(play)) {
            play->state = SIM_ENDED;
            play->host->ended(play->ctx);
            return soon(now);
        }
        bus_mono at = due(play, now);
        if (play->state != SIM_HOLDING && at.ns > now.ns)
            return at;
        if (play->record.kind == SIM_LINE_SNAPSHOT) {
            if (!pass_snapshot(play, now))
                return soon(now);
        } else {
            if (play->opts.speed_milli == 0 && !play->host->room(play->ctx))
                return bus_mono_add(now, BUS_SPAN_MS(1));
            play->host->frame(play->ctx, &play->record, now);
        }
        play->has_record = false;
    }
    return now;
}

bus_err sim_play_start(sim_play *play)
{
    if (play->state != SIM_WAITING)
        return bus_fail(BUS_ESTATE, "play: has begun already");
    play->started = true;
    return BUS_OK;
}

void sim_play_pause(sim_play *play, bool on, bus_mono now)
{
    if (play->paused == on)
        return;
    if (on)
        play->paused_at = now;
    else // what was due is due later by the length of the pause
        play->anchor.ns += bus_mono_since(now, play->paused_at).ns;
    play->paused = on;
}
