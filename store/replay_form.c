#include "store/replay_form.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const member_states[] = {"joined", "lapsed", "left"};

// --- record -------------------------------------------------------------------------------------------

static json_t *names(const char (*name)[BUS_PARTICIPANT_NAME_MAX + 1], uint32_t count)
{
    json_t *all = json_array();
    for (uint32_t i = 0; i < count; i++)
        json_array_append_new(all, json_string(name[i]));
    return all;
}

static json_t *members(const store_replay_info *info)
{
    json_t *all = json_array();
    for (uint32_t i = 0; i < info->member_count; i++) {
        const store_replay_member *m = &info->member[i];
        json_array_append_new(all,
                              json_pack("{s:s s:s s:I}", "name", m->name, "state",
                                        member_states[m->state], "done_seq", (json_int_t)m->done));
    }
    return all;
}

static void set_time(json_t *record, const char *field, bus_wall at)
{
    char text[BUS_TIME_TEXT];
    if (at.ns == 0)
        return;
    bus_time_format(at.ns, text);
    json_object_set_new(record, field, json_string(text));
}

bus_err store_replay_to_json(const store_replay_info *info, char **out, size_t *len)
{
    char speed[STORE_SPEED_TEXT];
    store_speed_format(info->speed, speed);
    json_t *scenarios = json_array();
    for (uint32_t i = 0; i < info->scenarios; i++)
        json_array_append_new(scenarios, json_string(info->scenario[i]));
    bool failed = info->state == STORE_REPLAY_FAILED;
    json_t *record = json_pack(
        "{s:s s:s s:s s:s s:I s:I s:s s:s s:I s:I s:I s:I s:o s:o s:o s:s s:i s:s}", "runid",
        info->runid, "replay", info->replay, "selector", info->selector, "stream", info->stream,
        "first_seq", (json_int_t)info->first_seq, "last_seq", (json_int_t)info->last_seq, "speed",
        speed, "state", store_replay_state_name(info->state), "position",
        (json_int_t)info->position, "sent", (json_int_t)info->sent, "skipped",
        (json_int_t)info->skipped, "missing", (json_int_t)info->missing, "expected",
        names(info->expected, info->expected_count), "participants", members(info), "scenarios",
        scenarios, "error", failed ? info->message : "", "code", (int)bus_err_grpc(info->error),
        "message", info->message);
    if (record && store_replay_is_end(info->state))
        json_object_set_new(record, "end_seq", json_integer((json_int_t)info->position));
    set_time(record, "started", info->started);
    set_time(record, "updated", info->updated);
    set_time(record, "ended", info->ended);
    char *text = record ? json_dumps(record, JSON_COMPACT) : NULL;
    json_decref(record);
    if (!text)
        return bus_fail(BUS_ENOMEM, "record of the replay on '%s'", info->selector);
    *out = text;
    *len = strlen(text);
    return BUS_OK;
}

static void read_text(const json_t *record, const char *field, char *buf, size_t cap)
{
    const char *text = json_string_value(json_object_get(record, field));
    snprintf(buf, cap, "%s", text ? text : "");
}

static uint64_t read_number(const json_t *record, const char *field)
{
    return (uint64_t)json_integer_value(json_object_get(record, field));
}

static bus_wall read_time(const json_t *record, const char *field)
{
    const char *text = json_string_value(json_object_get(record, field));
    bus_wall at = {0};
    if (!text || bus_time_parse(bus_view_of(text), &at.ns))
        at.ns = 0;
    return at;
}

static void read_members(store_replay_info *out, const json_t *all)
{
    size_t i;
    json_t *one;
    json_array_foreach (all, i, one) {
        if (i == BUS_PARTICIPANTS_MAX)
            break;
        store_replay_member *m = &out->member[out->member_count++];
        char state[16];
        read_text(one, "name", m->name, sizeof m->name);
        read_text(one, "state", state, sizeof state);
        m->done = read_number(one, "done_seq");
        for (int s = 0; s < 3; s++)
            if (strcmp(state, member_states[s]) == 0)
                m->state = (bus_member_state)s;
    }
}

static void read_lists(store_replay_info *out, const json_t *record)
{
    const json_t *expected = json_object_get(record, "expected");
    const json_t *scenarios = json_object_get(record, "scenarios");
    size_t i;
    json_t *one;
    json_array_foreach (expected, i, one) {
        if (i < BUS_PARTICIPANTS_MAX && json_is_string(one))
            snprintf(out->expected[out->expected_count++], sizeof out->expected[0], "%s",
                     json_string_value(one));
    }
    json_array_foreach (scenarios, i, one) {
        if (i < STORE_REPLAY_SCENARIOS_MAX && json_is_string(one))
            snprintf(out->scenario[out->scenarios++], sizeof out->scenario[0], "%s",
                     json_string_value(one));
    }
}

bus_err store_replay_from_json(store_replay_info *out, const char *selector, bus_view json)
{
    char state[16], speed[STORE_SPEED_TEXT];
    json_error_t why;
    json_t *record = json_loadb(json.ptr ? json.ptr : "", json.len, 0, &why);
    if (!json_is_object(record)) {
        json_decref(record);
        return bus_fail(BUS_EINVAL, "record of the replay on '%s' is no JSON object", selector);
    }
    memset(out, 0, sizeof *out);
    snprintf(out->selector, sizeof out->selector, "%s", selector);
    read_text(record, "stream", out->stream, sizeof out->stream);
    read_text(record, "runid", out->runid, sizeof out->runid);
    read_text(record, "replay", out->replay, sizeof out->replay);
    read_text(record, "message", out->message, sizeof out->message);
    read_text(record, "speed", speed, sizeof speed);
    read_text(record, "state", state, sizeof state);
    out->first_seq = read_number(record, "first_seq");
    out->last_seq = read_number(record, "last_seq");
    out->position = read_number(record, "position");
    out->sent = read_number(record, "sent");
    out->skipped = read_number(record, "skipped");
    out->missing = read_number(record, "missing");
    out->error = (bus_err)read_number(record, "code");
    out->started = read_time(record, "started");
    out->updated = read_time(record, "updated");
    out->ended = read_time(record, "ended");
    read_members(out, json_object_get(record, "participants"));
    read_lists(out, record);
    json_decref(record);
    out->state = STORE_REPLAY_FAILED; // what cannot be read did not end well
    for (int s = STORE_REPLAY_STARTING; s <= STORE_REPLAY_FAILED; s++)
        if (strcmp(state, store_replay_state_name((store_replay_state)s)) == 0)
            out->state = (store_replay_state)s;
    return store_speed_parse(bus_view_of(speed), &out->speed);
}

// --- message ------------------------------------------------------------------------------------------

typedef struct {
    Virtufin__Api__V1__ReplayInfo message; // first: the handle
    store_replay_info own;                 // the texts
    Virtufin__Api__V1__ReplayParticipant part[BUS_PARTICIPANTS_MAX];
    Virtufin__Api__V1__ReplayParticipant *parts[BUS_PARTICIPANTS_MAX];
    char *scenarios[STORE_REPLAY_SCENARIOS_MAX];
    char *awaited[BUS_PARTICIPANTS_MAX];
    char speed[STORE_SPEED_TEXT];
    char clock[BUS_TIME_TEXT], started[BUS_TIME_TEXT], updated[BUS_TIME_TEXT], ended[BUS_TIME_TEXT];
} proto_block;

static char *time_text(int64_t ns, char buf[BUS_TIME_TEXT])
{
    if (ns)
        bus_time_format(ns, buf);
    return buf; // "" for none
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(Virtufin__Api__V1__ReplayParticipant *const *)a)->name,
                  (*(Virtufin__Api__V1__ReplayParticipant *const *)b)->name);
}

static void fill_lists(proto_block *b)
{
    Virtufin__Api__V1__ReplayInfo *m = &b->message;
    for (uint32_t i = 0; i < b->own.member_count; i++) {
        store_replay_member *from = &b->own.member[i];
        virtufin__api__v1__replay_participant__init(&b->part[i]);
        b->part[i].name = from->name;
        b->part[i].state = (char *)member_states[from->state];
        b->part[i].done_seq = from->done;
        b->part[i].behind = from->behind;
        b->parts[i] = &b->part[i];
    }
    m->participants = b->parts;
    m->n_participants = b->own.member_count;
    qsort(b->parts, m->n_participants, sizeof *b->parts, by_name);
    for (uint32_t i = 0; i < b->own.scenarios; i++)
        b->scenarios[i] = b->own.scenario[i];
    m->scenarios = b->scenarios;
    m->n_scenarios = b->own.scenarios;
    for (uint32_t i = 0; i < b->own.expected_count; i++)
        if (b->own.awaited[i])
            b->awaited[m->n_awaited++] = b->own.expected[i];
    m->awaited = b->awaited;
}

static void fill(proto_block *b)
{
    Virtufin__Api__V1__ReplayInfo *m = &b->message;
    store_replay_info *i = &b->own;
    virtufin__api__v1__replay_info__init(m);
    m->selector = i->selector;
    m->replay = i->replay;
    m->stream = i->stream;
    m->runid = i->runid;
    m->state = (char *)store_replay_state_name(i->state);
    store_speed_format(i->speed, b->speed);
    m->speed = b->speed;
    m->first_seq = i->first_seq;
    m->last_seq = i->last_seq;
    m->position = i->position;
    m->sent = i->sent;
    m->bytes = i->bytes;
    m->events_per_s = i->events_per_s;
    m->clock = time_text(i->clock.ns, b->clock);
    m->skipped = i->skipped;
    m->missing = i->missing;
    m->slowest = i->slowest;
    m->started_at = time_text(i->started.ns, b->started);
    m->updated_at = time_text(i->updated.ns, b->updated);
    m->ended_at = time_text(i->ended.ns, b->ended);
    m->error = (uint32_t)bus_err_grpc(i->error);
    m->message = i->message;
    fill_lists(b);
}

Virtufin__Api__V1__ReplayInfo *store_replay_to_proto(const store_replay_info *info)
{
    proto_block *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->own = *info;
    fill(b);
    return &b->message;
}

void store_replay_proto_free(Virtufin__Api__V1__ReplayInfo *m)
{
    free(m); // the first member of its block
}
