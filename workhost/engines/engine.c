#include "workhost/engines/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base/log.h"
#include "bus/lane/lane.h"

static const work_engine *const engines[] = {&work_engine_native};

const work_engine *work_engine_for(const char *mime)
{
    for (size_t i = 0; i < sizeof engines / sizeof *engines; i++) {
        if (strcmp(engines[i]->mime, mime) == 0)
            return engines[i];
    }
    return NULL;
}

// --- code --------------------------------------------------------------------------------------------

struct work_code {
    const work_engine *engine;
    void *loaded;
};

bus_err work_code_load(work_code **out, const work_engine *engine, const char *path)
{
    work_code *code = calloc(1, sizeof *code);
    if (!code)
        return bus_fail(BUS_ENOMEM, "worker code");
    code->engine = engine;
    bus_err err = engine->load(&code->loaded, path);
    if (err) {
        free(code);
        return bus_note(err, "loading '%s'", path);
    }
    *out = code;
    return BUS_OK;
}

void work_code_release(work_code *code)
{
    if (!code)
        return;
    code->engine->unload(code->loaded);
    free(code);
}

// --- instances ---------------------------------------------------------------------------------------

typedef struct {
    uint8_t *ptr;
    size_t len, cap;
} bytes;

// Offsets, because the arena moves when it grows.
typedef struct {
    size_t at[5], len[5]; // lane, topic, type, subject, data
} kept;

struct work_instance {
    const work_engine *engine;
    void *instance;
    char worker[40];
    work_host host;
    bool in_call;
    char reason[300]; // why the call failed, in the worker's words
    const bus_event *event;
    bytes arena;
    kept *outputs;
    work_result *results;
    uint32_t count, cap;
    bytes state;
};

static bool reserve(bytes *b, size_t more)
{
    if (b->len + more <= b->cap)
        return true;
    size_t cap = (b->len + more) * 2;
    uint8_t *grown = realloc(b->ptr, cap);
    if (!grown)
        return false;
    b->ptr = grown;
    b->cap = cap;
    return true;
}

static void host_fail(void *ctx, const char *reason)
{
    work_instance *w = ctx;
    snprintf(w->reason, sizeof w->reason, "%s", reason ? reason : "");
}

static void host_log(void *ctx, int32_t level, const char *text)
{
    const work_instance *w = ctx;
    bus_log_level as = level <= 0  ? BUS_LOG_DEBUG
                       : level > 3 ? BUS_LOG_ERROR
                                   : (bus_log_level)level;
    bus_log(as, "worker %s: %s", w->worker, text ? text : "");
}

static int32_t refuse(work_instance *w, const char *reason)
{
    if (!w->reason[0])
        host_fail(w, reason);
    return 1;
}

static bool keep_view(work_instance *w, kept *k, int part, work_view v)
{
    if (!reserve(&w->arena, v.len))
        return false;
    k->at[part] = w->arena.len;
    k->len[part] = v.len;
    if (v.len)
        memcpy(w->arena.ptr + w->arena.len, v.ptr, v.len);
    w->arena.len += v.len;
    return true;
}

// Packs JSON text behind the arena. msgpack of a JSON text is at most nine bytes for each of its own.
static bool keep_json(work_instance *w, kept *k, work_view json)
{
    if (!reserve(&w->arena, json.len * 9 + 16))
        return false;
    bus_pack p = bus_pack_to(w->arena.ptr + w->arena.len, w->arena.cap - w->arena.len);
    if (bus_pack_from_json(&p, (bus_view){json.ptr, json.len}) || p.overflow)
        return false;
    k->at[4] = w->arena.len;
    k->len[4] = p.len;
    w->arena.len += p.len;
    return true;
}

static bool keep_data(work_instance *w, kept *k, const work_output *out)
{
    if (out->data.len == 0)
        return true;
    if (out->data_kind == WORK_DATA_JSON)
        return keep_json(w, k, out->data);
    bus_view packed = {out->data.ptr, out->data.len};
    return out->data_kind == WORK_DATA_MSGPACK && bus_pack_validate(packed, NULL) == BUS_OK &&
           keep_view(w, k, 4, out->data);
}

static bool grow_outputs(work_instance *w)
{
    if (w->count < w->cap)
        return true;
    uint32_t cap = w->cap ? w->cap * 2 : 16;
    kept *outputs = realloc(w->outputs, cap * sizeof *outputs);
    if (outputs)
        w->outputs = outputs;
    work_result *results = realloc(w->results, cap * sizeof *results);
    if (results)
        w->results = results;
    if (!outputs || !results)
        return false;
    w->cap = cap;
    return true;
}

// A lane is checked as the subject it will be part of; "x" stands for the scenario.
static bus_err check_place(const work_output *out)
{
    char subject[BUS_SUBJECT_BUF + 8];
    bus_lane lane;
    if (out->lane.len > BUS_SUBJECT_MAX || out->topic.len > BUS_SUBJECT_MAX)
        return bus_fail(BUS_EINVAL, "an output's place is longer than %d bytes", BUS_SUBJECT_MAX);
    if (out->lane.len) {
        int len = snprintf(subject, sizeof subject, "sc.x.%.*s", (int)out->lane.len, out->lane.ptr);
        return bus_lane_parse(&lane, (bus_view){subject, (size_t)len});
    }
    if (out->topic.len)
        return bus_subject_check((bus_view){out->topic.ptr, out->topic.len}, false);
    if (out->type.len == 0)
        return bus_fail(BUS_EINVAL, "an output names neither lane nor topic nor type");
    return BUS_OK;
}

static int32_t host_emit(void *ctx, const work_output *given)
{
    work_instance *w = ctx;
    work_output out = {0};
    if (!w->in_call)
        return refuse(w, "emit outside process");
    if (given->struct_size < offsetof(work_output, data) + sizeof out.data)
        return refuse(w, "an output's struct_size is too small");
    memcpy(&out, given, sizeof out < given->struct_size ? sizeof out : given->struct_size);
    if (w->count == WORK_OUTPUTS_MAX)
        return refuse(w, "more than 16,384 outputs in one call");
    if (out.data.len > WORK_OUTPUT_DATA_MAX)
        return refuse(w, "an output's data is larger than 60 KiB");
    if (check_place(&out))
        return refuse(w, bus_err_text());
    kept k = {0};
    if (!grow_outputs(w) || !keep_view(w, &k, 0, out.lane) || !keep_view(w, &k, 1, out.topic) ||
        !keep_view(w, &k, 2, out.type) || !keep_view(w, &k, 3, out.subject))
        return refuse(w, "out of memory for outputs");
    if (!keep_data(w, &k, &out))
        return refuse(w, "an output's data is neither one msgpack value nor JSON");
    if (w->arena.len > WORK_OUTPUT_BYTES_MAX)
        return refuse(w, "more than 8 MiB of outputs in one call");
    w->outputs[w->count++] = k;
    return 0;
}

// --- reading an event --------------------------------------------------------------------------------

static bus_view data_of(const work_event *event)
{
    return (bus_view){event->data.ptr, event->data.len};
}

static int32_t host_data_text(const work_event *event, const char *key, work_view *out)
{
    bus_view v;
    if (!bus_map_str(data_of(event), key, &v))
        return 1;
    *out = (work_view){v.ptr, v.len};
    return 0;
}

static int32_t host_data_int(const work_event *event, const char *key, int64_t *out)
{
    return bus_map_int(data_of(event), key, out) ? 0 : 1;
}

static int32_t host_data_bool(const work_event *event, const char *key, int32_t *out)
{
    bool v;
    if (!bus_map_bool(data_of(event), key, &v))
        return 1;
    *out = v;
    return 0;
}

static int32_t host_attribute(const work_event *event, const char *name, work_view *out)
{
    const bus_event *e = event->host;
#define X(field, wire)                                                                             \
    if (strcmp(name, wire) == 0) {                                                                 \
        *out = (work_view){e->field.ptr, e->field.len};                                            \
        return e->field.len ? 0 : 1;                                                               \
    }
    BUS_EVENT_ATTRIBUTES(X)
#undef X
    for (uint32_t i = 0; i < e->extra_count; i++) {
        bus_cursor c = bus_cursor_of(e->extra[i].packed);
        bus_pack_value v;
        if (bus_view_is(e->extra[i].name, name) && bus_cursor_next(&c, &v) &&
            v.kind == BUS_PACK_STR) {
            *out = (work_view){v.as.bytes.ptr, v.as.bytes.len};
            return 0;
        }
    }
    return 1;
}

// --- life and calls ----------------------------------------------------------------------------------

bus_err work_instance_open(work_instance **out, work_code *code, const work_instance_opts *opts)
{
    work_instance *w = calloc(1, sizeof *w);
    if (!w)
        return bus_fail(BUS_ENOMEM, "worker instance");
    w->engine = code->engine;
    snprintf(w->worker, sizeof w->worker, "%s", opts->worker);
    w->host = (work_host){.abi_version = WORK_ABI_VERSION,
                          .struct_size = sizeof(work_host),
                          .ctx = w,
                          .emit = host_emit,
                          .log = host_log,
                          .fail = host_fail,
                          .data_text = host_data_text,
                          .data_int = host_data_int,
                          .data_bool = host_data_bool,
                          .attribute = host_attribute};
    work_setup setup = {.struct_size = sizeof setup,
                        .setting_count = opts->setting_count,
                        .settings = opts->settings,
                        .worker = opts->worker,
                        .scenario = opts->scenario,
                        .host = &w->host};
    bus_err err = w->engine->create(&w->instance, code->loaded, &setup);
    if (err) {
        if (w->reason[0])
            err = bus_fail(err, "%s", w->reason);
        w->instance = NULL;
        work_instance_close(w);
        return bus_note(err, "creating worker '%s' for scenario '%s'", opts->worker,
                        opts->scenario);
    }
    *out = w;
    return BUS_OK;
}

void work_instance_close(work_instance *w)
{
    if (!w)
        return;
    if (w->instance)
        w->engine->destroy(w->instance);
    free(w->arena.ptr);
    free(w->outputs);
    free(w->results);
    free(w->state.ptr);
    free(w);
}

static int64_t time_of(bus_view text)
{
    int64_t ns = 0;
    if (text.len)
        bus_time_parse(text, &ns);
    return ns;
}

static work_view view_of(bus_view v)
{
    return (work_view){v.ptr, v.len};
}

static work_event event_of(const work_input *input)
{
    const bus_event *e = input->event;
    return (work_event){
        .struct_size = sizeof(work_event),
        .seq = input->seq,
        .event_time_ns = time_of(e->eventtime.len ? e->eventtime : e->time),
        .recorded_time_ns = time_of(e->recordedtime),
        .topic = view_of(input->topic),
        .id = view_of(e->id),
        .source = view_of(e->source),
        .type = view_of(e->type),
        .subject = view_of(e->subject),
        .exchange = view_of(e->exchange),
        .correlationid = view_of(e->correlationid),
        .datacontenttype = view_of(e->datacontenttype),
        .data = view_of(e->data),
        .host = e,
    };
}

static bus_view part(const work_instance *w, const kept *k, int i)
{
    return (bus_view){k->len[i] ? (const char *)w->arena.ptr + k->at[i] : NULL, k->len[i]};
}

bus_err work_instance_process(work_instance *w, const work_input *input, int64_t now_ns,
                              const work_result **results, uint32_t *count)
{
    work_event event = event_of(input);
    w->arena.len = 0;
    w->count = 0;
    w->reason[0] = '\0';
    w->in_call = true;
    int32_t rc = w->engine->process(w->instance, &event, now_ns);
    w->in_call = false;
    // An output that was refused fails the call even if the worker went on as if nothing was wrong.
    if (rc != 0 || w->reason[0])
        return bus_fail(BUS_EINVAL, "%s", w->reason[0] ? w->reason : "the worker gave no reason");
    for (uint32_t i = 0; i < w->count; i++) {
        const kept *k = &w->outputs[i];
        w->results[i] = (work_result){part(w, k, 0), part(w, k, 1), part(w, k, 2), part(w, k, 3),
                                      part(w, k, 4)};
    }
    *results = w->results;
    *count = w->count;
    return BUS_OK;
}

bool work_instance_can_save(const work_instance *w)
{
    return w->engine->can_save(w->instance);
}

static int32_t write_state(void *ctx, const void *data, uint64_t len)
{
    work_instance *w = ctx;
    if (len > WORK_STATE_BYTES_MAX || w->state.len + len > WORK_STATE_BYTES_MAX)
        return refuse(w, "the state is larger than 384 KiB");
    if (!reserve(&w->state, len))
        return refuse(w, "out of memory for the state");
    if (len)
        memcpy(w->state.ptr + w->state.len, data, len);
    w->state.len += len;
    return 0;
}

bus_err work_instance_save(work_instance *w, bus_view *state)
{
    w->state.len = 0;
    w->reason[0] = '\0';
    if (w->engine->save(w->instance, write_state, w) != 0 || w->reason[0])
        return bus_fail(BUS_ELIMIT, "%s", w->reason[0] ? w->reason : "the worker gave no reason");
    *state = (bus_view){(const char *)w->state.ptr, w->state.len};
    return BUS_OK;
}

bus_err work_instance_load(work_instance *w, bus_view state)
{
    w->reason[0] = '\0';
    if (w->engine->load_state(w->instance, state.ptr, state.len) != 0)
        return bus_fail(BUS_EINVAL, "%s", w->reason[0] ? w->reason : "the worker gave no reason");
    return BUS_OK;
}
