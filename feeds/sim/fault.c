#include "feeds/sim/fault.h"

#include <stdlib.h>
#include <string.h>

#include "feeds/sim/json.h"

static const struct {
    const char *name;
    int64_t for_ms; // default
} KINDS[] = {
    [SIM_FAULT_DROP] = {"drop", 0},       [SIM_FAULT_DUPLICATE] = {"duplicate", 0},
    [SIM_FAULT_REORDER] = {"reorder", 0}, [SIM_FAULT_TRUNCATE] = {"truncate", 0},
    [SIM_FAULT_GARBAGE] = {"garbage", 0}, [SIM_FAULT_STALL] = {"stall", 5000},
    [SIM_FAULT_SLOW] = {"slow", 5000},    [SIM_FAULT_HALF_OPEN] = {"half_open", 60000},
    [SIM_FAULT_CLOSE] = {"close", 0},     [SIM_FAULT_SHUTDOWN] = {"shutdown", 1000},
};
enum { KIND_COUNT = sizeof KINDS / sizeof KINDS[0] };

// The number fields of a fault.
static const struct {
    const char *name;
    size_t offset;
    int64_t min, max;
} FIELDS[] = {
    {"count", offsetof(sim_fault, count), 1, 1000000},
    {"for_ms", offsetof(sim_fault, for_ms), 1, 3600000},
    {"after_frames", offsetof(sim_fault, after_frames), 0, INT64_MAX},
    {"seed", offsetof(sim_fault, seed), 0, INT64_MAX},
    {"code", offsetof(sim_fault, code), 0, 4999},
    {"delay_ms", offsetof(sim_fault, delay_ms), 1, 60000},
};
enum { FIELD_COUNT = sizeof FIELDS / sizeof FIELDS[0] };

const char *sim_fault_name(sim_fault_kind kind)
{
    return KINDS[kind].name;
}

static void free_held(sim_fault *fault)
{
    while (fault->held) {
        sim_held *next = fault->held->next;
        free(fault->held);
        fault->held = next;
    }
}

void sim_faults_release(sim_faults *faults)
{
    for (size_t i = 0; i < faults->count; i++) {
        free_held(faults->fault[i]);
        free(faults->fault[i]);
    }
    faults->count = 0;
}

static bus_err set_kind(sim_fault *fault, bus_view name, bool *known)
{
    for (int i = 0; i < KIND_COUNT; i++) {
        if (!bus_view_is(name, KINDS[i].name))
            continue;
        fault->kind = (sim_fault_kind)i;
        *known = true;
        return BUS_OK;
    }
    return bus_fail(BUS_EINVAL,
                    "fault: kind '%.*s' is none of drop, duplicate, reorder, truncate, "
                    "garbage, stall, slow, half_open, close, shutdown",
                    BUS_VIEW_ARG(name));
}

static bus_err set_number(sim_fault *fault, int field, bus_view text)
{
    int64_t n;
    if (!sim_json_int(text, &n) || n < FIELDS[field].min || n > FIELDS[field].max)
        return bus_fail(BUS_EINVAL, "fault: '%s' must be %lld..%lld", FIELDS[field].name,
                        (long long)FIELDS[field].min, (long long)FIELDS[field].max);
    memcpy((char *)fault + FIELDS[field].offset, &n, sizeof n);
    return BUS_OK;
}

static bus_err set_field(sim_fault *fault, bus_view key, bus_view text, bool *known)
{
    if (bus_view_is(key, "kind"))
        return set_kind(fault, text, known);
    if (bus_view_is(key, "symbol"))
        return bus_view_copy(text, fault->symbol, sizeof fault->symbol)
                   ? BUS_OK
                   : bus_fail(BUS_EINVAL, "fault: 'symbol' is longer than %d bytes",
                              SIM_SYMBOL_MAX - 1);
    if (bus_view_is(key, "channel"))
        return bus_view_copy(text, fault->channel, sizeof fault->channel)
                   ? BUS_OK
                   : bus_fail(BUS_EINVAL, "fault: 'channel' is longer than %d bytes",
                              SIM_CHANNEL_MAX - 1);
    for (int i = 0; i < FIELD_COUNT; i++)
        if (bus_view_is(key, FIELDS[i].name))
            return set_number(fault, i, text);
    return bus_fail(BUS_EINVAL, "fault: '%.*s' is no field", BUS_VIEW_ARG(key));
}

static sim_fault preset(const sim_faults *faults)
{
    return (sim_fault){
        .count = 1, .for_ms = 0, .code = 1001, .delay_ms = 250, .seed = faults->seed};
}

static bus_err arm(sim_faults *faults, const sim_fault *wanted, bool known, sim_fault **out)
{
    if (!known)
        return bus_fail(BUS_EINVAL, "fault: 'kind' is missing");
    if (wanted->code != 0 && wanted->code < 1000)
        return bus_fail(BUS_EINVAL, "fault: 'code' must be 0 or 1000..4999");
    if (faults->count == SIM_FAULTS_MAX)
        return bus_fail(BUS_ELIMIT, "fault: a run takes at most %d", SIM_FAULTS_MAX);
    sim_fault *fault = malloc(sizeof *fault);
    if (!fault)
        return bus_fail(BUS_ENOMEM, "fault");
    *fault = *wanted;
    if (fault->for_ms == 0)
        fault->for_ms = KINDS[fault->kind].for_ms;
    fault->id = (int)faults->count + 1;
    fault->state = SIM_FAULT_ARMED;
    faults->fault[faults->count++] = fault;
    faults->open++;
    *out = fault;
    return BUS_OK;
}

bus_err sim_fault_from_json(sim_faults *faults, bus_view body, sim_fault **out)
{
    sim_fault fault = preset(faults);
    bool known = false;
    sim_json it;
    bus_view object, key, value;
    if (!sim_json_value(&body, &object) || object.ptr[0] != '{' || !sim_json_open(&it, object))
        return bus_fail(BUS_EINVAL, "fault: the body must be a JSON object");
    while (sim_json_member(&it, &key, &value)) {
        (void)sim_json_text(value, &value); // numbers stay as they are
        bus_err err = set_field(&fault, key, value, &known);
        if (err)
            return err;
    }
    if (it.bad)
        return bus_fail(BUS_EINVAL, "fault: the body is not JSON");
    return arm(faults, &fault, known, out);
}

// Cuts what is before the first `mark` off text; all of it when there is none.
static bus_view cut(bus_view *text, char mark)
{
    const char *at = text->len ? memchr(text->ptr, mark, text->len) : NULL;
    size_t len = at ? (size_t)(at - text->ptr) : text->len;
    bus_view part = {text->ptr, len};
    size_t used = at ? len + 1 : len;
    *text = (bus_view){text->ptr + used, text->len - used};
    return part;
}

bus_err sim_fault_from_text(sim_faults *faults, bus_view text, sim_fault **out)
{
    sim_fault fault = preset(faults);
    bool known = false;
    bus_err err = set_kind(&fault, cut(&text, ':'), &known);
    while (!err && text.len) {
        bus_view value = cut(&text, ':');
        bus_view key = cut(&value, '=');
        err = set_field(&fault, key, value, &known);
    }
    return err ? err : arm(faults, &fault, known, out);
}

bool sim_fault_is_for_connections(const sim_fault *fault)
{
    return fault->kind >= SIM_FAULT_HALF_OPEN;
}

bool sim_fault_matches(const sim_fault *fault, const char *symbol, const char *channel)
{
    if (fault->symbol[0] && strcmp(fault->symbol, symbol) != 0)
        return false;
    if (fault->channel[0] == 0 || strcmp(fault->channel, channel) == 0)
        return true;
    return strcmp(fault->channel, "depth") == 0 && sim_channel_is_depth(channel);
}

static bool is_timed(const sim_fault *fault)
{
    return fault->kind == SIM_FAULT_STALL || fault->kind == SIM_FAULT_SLOW;
}

static sim_fault *hit(sim_faults *faults, sim_fault *fault, bus_mono now)
{
    fault->hits++;
    if (fault->state == SIM_FAULT_ARMED) {
        fault->state = SIM_FAULT_ACTIVE;
        fault->until = bus_mono_add(now, BUS_SPAN_MS(fault->for_ms));
        fault->next_release = now;
    }
    bool used_up = fault->hits >= fault->count || sim_fault_is_for_connections(fault);
    if (used_up && !is_timed(fault) && fault->kind != SIM_FAULT_REORDER)
        sim_fault_done(faults, fault);
    return fault;
}

sim_fault *sim_faults_take(sim_faults *faults, const char *symbol, const char *channel,
                           bus_mono now)
{
    if (faults->open == 0)
        return NULL;
    for (size_t i = 0; i < faults->count; i++) {
        sim_fault *fault = faults->fault[i];
        if (fault->state == SIM_FAULT_DONE || !sim_fault_matches(fault, symbol, channel))
            continue;
        // A stall that is over only lets go what it holds; a full reorder waits for its second frame.
        if (fault->state == SIM_FAULT_ACTIVE && is_timed(fault) && fault->until.ns <= now.ns &&
            fault->held_count == 0)
            continue;
        if (fault->kind == SIM_FAULT_REORDER && fault->hits >= fault->count)
            continue;
        if (fault->after_frames > 0) {
            fault->after_frames--;
            continue;
        }
        return hit(faults, fault, now);
    }
    return NULL;
}

void sim_fault_done(sim_faults *faults, sim_fault *fault)
{
    if (fault->state == SIM_FAULT_DONE)
        return;
    fault->state = SIM_FAULT_DONE;
    faults->open--;
}

uint64_t sim_fault_random(sim_fault *fault)
{
    fault->seed += 0x9e3779b97f4a7c15u; // splitmix64
    uint64_t z = fault->seed;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void sim_faults_render(const sim_faults *faults, sim_text *out)
{
    static const char *const states[] = {"armed", "active", "done"};
    sim_text_str(out, "[");
    for (size_t i = 0; i < faults->count; i++) {
        const sim_fault *f = faults->fault[i];
        sim_text_printf(out, "%s{\"id\":%d,\"kind\":\"%s\",\"symbol\":", i ? "," : "", f->id,
                        sim_fault_name(f->kind));
        sim_text_quoted(out, bus_view_of(f->symbol));
        sim_text_str(out, ",\"channel\":");
        sim_text_quoted(out, bus_view_of(f->channel));
        sim_text_printf(out, ",\"state\":\"%s\",\"hits\":%lld}", states[f->state],
                        (long long)f->hits);
    }
    sim_text_str(out, "]");
}
