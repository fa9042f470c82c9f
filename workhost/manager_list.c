// Listing workers, and the history of one. Source: schemas/specs/workers.md, "Service".
#include <stdlib.h>
#include <string.h>

#include "virtufin/workmanager/v1/workmanager.pb-c.h"
#include "workhost/cell.h"
#include "workhost/manager_impl.h"

// --- listing: messages made in one arena of zeroed blocks, freed together ---------------------------------

typedef struct block {
    struct block *next;
} block;

// NULL once anything could not be had; the answer is then a failure.
static void *make(block **arena, size_t size)
{
    block *b = calloc(1, sizeof *b + size);
    if (!b)
        return NULL;
    b->next = *arena;
    *arena = b;
    return b + 1;
}

static void free_arena(block *arena)
{
    while (arena) {
        block *next = arena->next;
        free(arena);
        arena = next;
    }
}

static bool put_list(block **arena, char ***out, size_t *count, char *first, size_t stride,
                     uint32_t n)
{
    *out = make(arena, (n + 1) * sizeof **out);
    for (uint32_t i = 0; *out && i < n; i++)
        (*out)[i] = first + i * stride;
    *count = n;
    return *out != NULL;
}

static bool put_settings(block **arena, const work_record *r, MSG(WorkerInfo) * info)
{
    const char *key;
    json_t *value;
    info->config = make(arena, (json_object_size(r->config) + 1) * sizeof *info->config);
    info->tags = make(arena, (json_object_size(r->tags) + 1) * sizeof *info->tags);
    if (!info->config || !info->tags)
        return false;
    json_object_foreach (r->config, key, value) {
        MSG(WorkerInfo__ConfigEntry) *s = make(arena, sizeof *s);
        if (!s)
            return false;
        virtufin__workmanager__v1__worker_info__config_entry__init(s);
        s->key = (char *)key;
        s->value = (char *)json_string_value(value);
        info->config[info->n_config++] = s;
    }
    json_object_foreach (r->tags, key, value) {
        MSG(WorkerInfo__TagsEntry) *t = make(arena, sizeof *t);
        if (!t)
            return false;
        virtufin__workmanager__v1__worker_info__tags_entry__init(t);
        t->key = (char *)key;
        t->value = (char *)json_string_value(value);
        info->tags[info->n_tags++] = t;
    }
    return true;
}

static bool put_instances(block **arena, const work_host_daemon *h, const work_record *r,
                          MSG(WorkerInfo) * info)
{
    info->instances = make(arena, (h->cell_count + 1) * sizeof *info->instances);
    if (!info->instances)
        return false;
    for (size_t i = 0; i < h->cell_count; i++) {
        if (!work_cell_has(h->cells[i], r->name))
            continue;
        MSG(WorkerInstance) *w = make(arena, sizeof *w);
        if (!w)
            return false;
        work_cell_info cell = work_cell_tell(h->cells[i]);
        virtufin__workmanager__v1__worker_instance__init(w);
        w->scenario = (char *)work_cell_scenario(h->cells[i]);
        w->state = (char *)cell.state_name;
        w->error = (char *)cell.error;
        w->pid = (uint32_t)cell.pid;
        w->restarts = cell.restarts;
        info->instances[info->n_instances++] = w;
    }
    return true;
}

static MSG(WorkerInfo) * make_info(block **arena, const work_host_daemon *h, work_record *r)
{
    MSG(WorkerInfo) *info = make(arena, sizeof *info);
    MSG(CodeSource) *source = make(arena, sizeof *source);
    if (!info || !source)
        return NULL;
    virtufin__workmanager__v1__worker_info__init(info);
    virtufin__workmanager__v1__code_source__init(source);
    source->url = r->source;
    info->id = r->name;
    info->code_source = source;
    info->mime_type = r->mime;
    info->language = "native";
    info->topic = r->input_count ? r->inputs[0] : "";
    info->group = r->group;
    info->created_at = r->created_at;
    info->status = r->running ? VIRTUFIN__WORKMANAGER__V1__WORKER_STATUS__WORKER_STATUS_RUNNING
                              : VIRTUFIN__WORKMANAGER__V1__WORKER_STATUS__WORKER_STATUS_STOPPED;
    info->sha256 = r->sha256;
    info->file = r->file;
    bool ok = put_list(arena, &info->inputs, &info->n_inputs, r->inputs[0], sizeof r->inputs[0],
                       r->input_count) &&
              put_list(arena, &info->scenarios, &info->n_scenarios, r->scenarios[0],
                       sizeof r->scenarios[0], r->scenario_count) &&
              put_settings(arena, r, info) && put_instances(arena, h, r, info);
    return ok ? info : NULL;
}

static bool has_tags(const work_record *r, const MSG(ListWorkersRequest) * req)
{
    for (size_t i = 0; i < req->n_filters; i++) {
        const char *value = json_string_value(json_object_get(r->tags, req->filters[i]->key));
        if (!value || strcmp(value, req->filters[i]->value) != 0)
            return false;
    }
    return true;
}

void work_manager_on_list(void *ctx, bus_call *call, const ProtobufCMessage *message)
{
    work_host_daemon *h = ctx;
    const MSG(ListWorkersRequest) *req = (const MSG(ListWorkersRequest) *)message;
    MSG(ListWorkersReply) reply = INIT(LIST_WORKERS_REPLY);
    block *arena = NULL;
    bus_err err = work_host_ready(h);
    reply.workers = make(&arena, (h->roster.count + 1) * sizeof *reply.workers);
    for (size_t i = 0; !err && reply.workers && i < h->roster.count; i++) {
        if (!has_tags(h->roster.records[i], req))
            continue;
        MSG(WorkerInfo) *info = make_info(&arena, h, h->roster.records[i]);
        if (info)
            reply.workers[reply.n_workers++] = info;
        else
            err = bus_fail(BUS_ENOMEM, "list of workers");
    }
    if (!err && !reply.workers)
        err = bus_fail(BUS_ENOMEM, "list of workers");
    bus_call_answer(call, err, &reply.base);
    free_arena(arena);
}

static bool put_history(block **arena, const work_record *r, MSG(GetWorkerHistoryReply) * reply)
{
    size_t count = json_array_size(r->history);
    reply->entries = make(arena, (count + 1) * sizeof *reply->entries);
    for (size_t i = 0; reply->entries && i < count; i++) {
        const json_t *from = json_array_get(r->history, i);
        MSG(WorkerHistoryEntry) *entry = make(arena, sizeof *entry);
        MSG(CodeSource) *source = make(arena, sizeof *source);
        if (!entry || !source)
            return false;
        virtufin__workmanager__v1__worker_history_entry__init(entry);
        virtufin__workmanager__v1__code_source__init(source);
        source->url = (char *)json_string_value(json_object_get(from, "code_source"));
        entry->code_source = source;
        entry->created_at = (char *)json_string_value(json_object_get(from, "created_at"));
        entry->sha256 = (char *)json_string_value(json_object_get(from, "sha256"));
        reply->entries[reply->n_entries++] = entry;
    }
    return reply->entries != NULL;
}

void work_manager_on_history(void *ctx, bus_call *call, const ProtobufCMessage *message)
{
    work_host_daemon *h = ctx;
    MSG(GetWorkerHistoryReply) reply = INIT(GET_WORKER_HISTORY_REPLY);
    block *arena = NULL;
    bus_err err = work_host_ready(h);
    const work_record *r = NULL;
    if (!err) {
        r = work_roster_find(&h->roster, ((const MSG(GetWorkerHistoryRequest) *)message)->id);
        err = r ? BUS_OK : BUS_ENOTFOUND;
    }
    if (!err && !put_history(&arena, r, &reply))
        err = bus_fail(BUS_ENOMEM, "history");
    bus_call_answer(call, err, &reply.base);
    free_arena(arena);
}
