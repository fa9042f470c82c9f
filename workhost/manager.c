#include "workhost/manager.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bus/base/log.h"
#include "virtufin/workmanager/v1/workmanager.pb-c.h"
#include "workhost/code.h"
#include "workhost/engines/engine.h"
#include "workhost/fetch.h"
#include "workhost/manager_impl.h"
#include "workhost/runtime/progress.h"

extern const uint8_t schema_workmanager_descriptors[];
extern const size_t schema_workmanager_descriptors_len;

enum { FETCHES_MAX = 4, SETTING_VALUE_MAX = 4096 };

// --- code --------------------------------------------------------------------------------------------

static bus_err check_hash(const char *wanted, const char *got)
{
    if (*wanted && strcasecmp(wanted, got) != 0)
        return bus_fail(BUS_EINVAL, "the code's SHA-256 is %s; content_sha256 says %.80s", got,
                        wanted);
    return BUS_OK;
}

static bus_err take_code(const work_host_daemon *h, bus_view code, const char *wanted,
                         char sha256[WORK_SHA256_TEXT])
{
    bus_err err = work_code_hash(code, sha256);
    if (!err)
        err = check_hash(wanted, sha256);
    return err ? err : work_code_put(h->code_dir, code, sha256);
}

// --- requests into records ---------------------------------------------------------------------------

static bus_err take_settings(work_record *r, const MSG(CreateWorkerRequest) * req)
{
    if (req->n_config > WORK_RECORD_CONFIG)
        return bus_fail(BUS_EINVAL, "config: %zu entries; the limit is %d", req->n_config,
                        WORK_RECORD_CONFIG);
    for (size_t i = 0; i < req->n_config; i++) {
        if (!*req->config[i]->key || strlen(req->config[i]->value) > SETTING_VALUE_MAX)
            return bus_fail(BUS_EINVAL, "config '%.80s': a name, and at most %d bytes of value",
                            req->config[i]->key, SETTING_VALUE_MAX);
        json_object_set_new(r->config, req->config[i]->key, json_string(req->config[i]->value));
    }
    for (size_t i = 0; i < req->n_tags; i++) {
        bus_err err = work_manager_put_tag(r->tags, req->tags[i]->key, req->tags[i]->value);
        if (err)
            return err;
    }
    return BUS_OK;
}

static bus_err take_request(work_record *r, const MSG(CreateWorkerRequest) * req)
{
    if (!*req->topic)
        return bus_fail(BUS_EINVAL, "topic: a worker has at least one input");
    if (*req->start && strcmp(req->start, "next") != 0 && strcmp(req->start, "first") != 0)
        return bus_fail(BUS_EINVAL, "start is '%.40s'; it is one of next, first", req->start);
    r->start_first = strcmp(req->start, "first") == 0;
    if (strlen(req->mime_type) >= sizeof r->mime || strlen(req->group) >= sizeof r->group)
        return bus_fail(BUS_EINVAL, "mime_type and group have at most %zu bytes",
                        sizeof r->group - 1);
    snprintf(r->mime, sizeof r->mime, "%s", req->mime_type);
    snprintf(r->group, sizeof r->group, "%s", req->group);
    bus_err err = work_record_add_input(r, req->topic);
    for (size_t i = 0; i < req->n_inputs && !err; i++)
        err = work_record_add_input(r, req->inputs[i]);
    for (size_t i = 0; i < req->n_scenarios && !err; i++)
        err = work_record_add_scenario(r, req->scenarios[i]);
    return err ? err : take_settings(r, req);
}

// A name nobody gave is made from the code, so that it is the same wherever it is created first.
static void choose_name(const work_host_daemon *h, const char *given, const char *sha256,
                        char *name, size_t cap)
{
    snprintf(name, cap, "%s", given);
    for (int n = 1; !*given && (n == 1 || work_roster_find(&h->roster, name)); n++) {
        snprintf(name, cap, "w-%.12s", sha256);
        if (n > 1)
            snprintf(name, cap, "w-%.12s-%d", sha256, n);
    }
}

static bus_err create(work_host_daemon *h, const MSG(CreateWorkerRequest) * req, bus_view code,
                      work_record **out)
{
    char name[80], sha256[WORK_SHA256_TEXT];
    work_record *r = NULL;
    bus_err err = take_code(h, code, req->content_sha256, sha256);
    if (err)
        return err;
    choose_name(h, req->name, sha256, name, sizeof name);
    if (work_roster_find(&h->roster, name))
        return bus_fail(BUS_EEXISTS, "worker '%s' exists", name);
    err = work_record_new(&r, name);
    if (!err)
        err = take_request(r, req);
    if (!err) {
        work_record_set_code(r, sha256, code.len, req->code_source->url);
        err = work_record_store(h->conn, r);
    }
    if (err) {
        work_record_free(r);
        return err;
    }
    *out = r;
    return work_roster_add(&h->roster, r);
}

static void audit(const char *what, const work_record *r)
{
    bus_info("audit: %s worker=%s mime=%s sha256=%.16s generation=%llu", what, r->name, r->mime,
             r->sha256, (unsigned long long)r->generation);
}

// --- creating and loading: the code may have to be fetched first -----------------------------------------

typedef void (*finish_fn)(work_host_daemon *h, bus_call *call, const ProtobufCMessage *request,
                          bus_view code);

// A call whose code is being fetched.
struct work_waiting {
    bus_call *call;
    ProtobufCMessage *request;
    finish_fn finish;
    work_fetch *fetch;
    work_waiting *next;
};

static void finish_create(work_host_daemon *h, bus_call *call, const ProtobufCMessage *request,
                          bus_view code)
{
    work_record *r = NULL;
    MSG(CreateWorkerReply) reply = INIT(CREATE_WORKER_REPLY);
    bus_err err = create(h, (const MSG(CreateWorkerRequest) *)request, code, &r);
    if (err) {
        bus_call_failed(call, err);
        return;
    }
    audit("create", r);
    work_status(h, r, "", "registered", NULL, NULL);
    reply.id = r->name;
    bus_call_reply(call, &reply.base);
}

static bus_err load_code(work_host_daemon *h, const MSG(LoadCodeRequest) * req, bus_view code,
                         char sha256[WORK_SHA256_TEXT])
{
    work_record *r = work_roster_find(&h->roster, req->id);
    if (!r)
        return BUS_ENOTFOUND;
    bus_err err = take_code(h, code, req->content_sha256, sha256);
    if (err)
        return err;
    work_record_set_code(r, sha256, code.len, req->code_source->url);
    err = work_record_store(h->conn, r);
    if (err)
        return err;
    audit("load", r);
    work_host_reconcile(h);
    return BUS_OK;
}

static void finish_load(work_host_daemon *h, bus_call *call, const ProtobufCMessage *request,
                        bus_view code)
{
    char sha256[WORK_SHA256_TEXT];
    MSG(LoadCodeReply) reply = INIT(LOAD_CODE_REPLY);
    bus_err err = load_code(h, (const MSG(LoadCodeRequest) *)request, code, sha256);
    if (err) {
        bus_call_failed(call, err);
        return;
    }
    reply.sha256 = sha256;
    bus_call_reply(call, &reply.base);
}

static bus_err start_fetch(work_host_daemon *h, const char *url, const MSG(SourceCredential) * cred,
                           work_fetch **out)
{
    size_t count = 0;
    for (work_waiting *w = h->waiting; w; w = w->next)
        count++;
    if (count == FETCHES_MAX)
        return bus_fail(BUS_EUNAVAILABLE, "%d codes are being fetched already", FETCHES_MAX);
    work_fetch_opts opts = {.url = url,
                            .allowed_hosts = &h->settings->allowed_code_hosts,
                            .username = cred ? cred->username : "",
                            .password = cred ? cred->password : "",
                            .bearer = cred ? cred->bearer : "",
                            .wake = bus_waker_as_wake(h->waker)};
    return work_fetch_open(out, &opts);
}

// Finishes at once with inline code, or waits for the fetch.
static void with_code(work_host_daemon *h, bus_call *call, const ProtobufCMessage *request,
                      const MSG(CodeSource) * source, const MSG(SourceCredential) * cred,
                      finish_fn finish)
{
    bool inlined = source && source->content.len;
    if (!source || inlined == (*source->url != '\0')) {
        bus_call_failed(call, bus_fail(BUS_EINVAL, "code_source: content or url is wanted, one of "
                                                   "the two"));
        return;
    }
    if (inlined) {
        bus_view code = {(const char *)source->content.data, source->content.len};
        finish(h, call, request, code);
        return;
    }
    work_waiting *w = calloc(1, sizeof *w);
    bus_err err =
        w ? start_fetch(h, source->url, cred, &w->fetch) : bus_fail(BUS_ENOMEM, "waiting for code");
    if (err) {
        free(w);
        bus_call_failed(call, err);
        return;
    }
    w->call = call;
    w->finish = finish;
    w->request = bus_call_keep(call);
    w->next = h->waiting;
    h->waiting = w;
}

static void free_waiting(work_waiting *w)
{
    work_fetch_close(w->fetch);
    protobuf_c_message_free_unpacked(w->request, NULL);
    free(w);
}

void work_manager_poll(work_host_daemon *h)
{
    for (work_waiting **at = &h->waiting; *at;) {
        work_waiting *w = *at;
        bus_err err;
        bus_view code;
        if (!work_fetch_done(w->fetch, &err, &code)) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        if (!err)
            err = work_host_ready(h);
        if (err)
            bus_call_failed(w->call, err);
        else
            w->finish(h, w->call, w->request, code);
        free_waiting(w);
    }
}

void work_manager_close(work_host_daemon *h)
{
    if (h->service)
        bus_service_close(h->service);
    h->service = NULL;
    while (h->waiting) {
        work_waiting *next = h->waiting->next;
        free_waiting(h->waiting);
        h->waiting = next;
    }
}

// --- handlers ----------------------------------------------------------------------------------------

static void on_create(void *ctx, bus_call *call, const ProtobufCMessage *message)
{
    const MSG(CreateWorkerRequest) *req = (const MSG(CreateWorkerRequest) *)message;
    bus_err err = work_host_ready(ctx);
    if (!err && !work_engine_for(req->mime_type))
        err = bus_fail(BUS_EUNSUPPORTED, "no engine for MIME type '%.80s'", req->mime_type);
    if (err)
        bus_call_failed(call, err);
    else
        with_code(ctx, call, message, req->code_source, req->credential, finish_create);
}

static void on_load(void *ctx, bus_call *call, const ProtobufCMessage *message)
{
    work_host_daemon *h = ctx;
    const MSG(LoadCodeRequest) *req = (const MSG(LoadCodeRequest) *)message;
    bus_err err = work_host_ready(h);
    if (!err && !work_roster_find(&h->roster, req->id))
        err = BUS_ENOTFOUND;
    if (err)
        bus_call_failed(call, err);
    else
        with_code(h, call, message, req->code_source, req->credential, finish_load);
}

// A stop ends the sessions, so whatever starts next is another generation.
static bus_err set_running(work_host_daemon *h, const char *id, bool running)
{
    bus_err err = work_host_ready(h);
    if (err)
        return err;
    work_record *r = work_roster_find(&h->roster, id);
    if (!r)
        return BUS_ENOTFOUND;
    if (r->running == running)
        return BUS_OK;
    r->running = running;
    r->generation += !running;
    err = work_record_store(h->conn, r);
    if (err)
        return err;
    audit(running ? "start" : "stop", r);
    work_host_reconcile(h);
    return BUS_OK;
}

static void on_start(void *ctx, bus_call *call, const ProtobufCMessage *message)
{
    MSG(StartWorkerReply) reply = INIT(START_WORKER_REPLY);
    bus_err err = set_running(ctx, ((const MSG(StartWorkerRequest) *)message)->id, true);
    bus_call_answer(call, err, &reply.base);
}

static void on_stop(void *ctx, bus_call *call, const ProtobufCMessage *message)
{
    MSG(StopWorkerReply) reply = INIT(STOP_WORKER_REPLY);
    bus_err err = set_running(ctx, ((const MSG(StopWorkerRequest) *)message)->id, false);
    bus_call_answer(call, err, &reply.base);
}

typedef struct {
    char key[128];
} key_text;

typedef struct {
    key_text *keys;
    size_t count, cap;
} key_list;

static void keep_key(void *ctx, const bus_kv_entry *entry)
{
    key_list *list = ctx;
    if (list->count < list->cap && entry->key.len < sizeof list->keys[0].key)
        bus_view_copy(entry->key, list->keys[list->count++].key, sizeof list->keys[0].key);
}

// What the worker left in each scenario. A runtime that is just ending finds its key gone and writes no
// more: its writes name the revision they follow.
static bus_err erase_progress(work_host_daemon *h, const char *name)
{
    bus_err err = BUS_OK;
    key_list list = {.cap = 2 * WORK_CELLS_MAX};
    list.keys = calloc(list.cap, sizeof *list.keys);
    if (!list.keys)
        return bus_fail(BUS_ENOMEM, "keys of worker '%s'", name);
    for (int i = 0; i < 2 && !err; i++) {
        char pattern[80];
        snprintf(pattern, sizeof pattern, i ? "sc.*.%s.state" : "sc.*.%s", name);
        err = bus_kv_each(h->conn, WORK_BUCKET, pattern, keep_key, &list);
    }
    for (size_t i = 0; i < list.count && !err; i++)
        err = bus_kv_delete(h->conn, WORK_BUCKET, list.keys[i].key, 0);
    free(list.keys);
    return bus_note(err, "erasing what worker '%s' left", name);
}

static bus_err delete_worker(work_host_daemon *h, const char *id)
{
    bus_err err = work_host_ready(h);
    if (err)
        return err;
    work_record *r = work_roster_find(&h->roster, id);
    if (!r)
        return BUS_ENOTFOUND;
    if (r->declared)
        return bus_fail(BUS_ESTATE, "worker '%s' is declared in %s: remove it there", r->name,
                        r->file);
    r->running = false;
    work_host_reconcile(h);
    err = erase_progress(h, r->name);
    if (!err)
        err = work_record_erase(h->conn, r);
    if (err)
        return err;
    audit("delete", r);
    work_status(h, r, "", "stopped", NULL, NULL);
    work_roster_remove(&h->roster, r);
    return BUS_OK;
}

static void on_delete(void *ctx, bus_call *call, const ProtobufCMessage *message)
{
    MSG(DeleteWorkerReply) reply = INIT(DELETE_WORKER_REPLY);
    bus_err err = delete_worker(ctx, ((const MSG(DeleteWorkerRequest) *)message)->id);
    bus_call_answer(call, err, &reply.base);
}

static void on_recover(void *ctx, bus_call *call, const ProtobufCMessage *message)
{
    MSG(RecoverWorkersReply) reply = INIT(RECOVER_WORKERS_REPLY);
    bus_err err = work_host_ready(ctx);
    (void)message;
    if (err) {
        bus_call_failed(call, err);
        return;
    }
    reply.recovered_count = work_host_recover(ctx);
    bus_info("audit: recover workers=%u", reply.recovered_count);
    bus_call_reply(call, &reply.base);
}

// --- opening -----------------------------------------------------------------------------------------

#define METHOD(name, lower, handler)                                                               \
    {                                                                                              \
        .method = (name), .request = DESC(lower##_request), .reply = DESC(lower##_reply),          \
        .fn = (handler)                                                                            \
    }
static const bus_method methods[] = {
    METHOD("CreateWorker", create_worker, on_create),
    METHOD("LoadCode", load_code, on_load),
    METHOD("StartWorker", start_worker, on_start),
    METHOD("StopWorker", stop_worker, on_stop),
    METHOD("DeleteWorker", delete_worker, on_delete),
    METHOD("ListWorkers", list_workers, work_manager_on_list),
    METHOD("GetWorkerHistory", get_worker_history, work_manager_on_history),
    METHOD("RecoverWorkers", recover_workers, on_recover),
    METHOD("SetTag", set_tag, work_manager_on_set_tag),
    METHOD("GetTag", get_tag, work_manager_on_get_tag),
    METHOD("SetTags", set_tags, work_manager_on_set_tags),
    METHOD("GetTags", get_tags, work_manager_on_get_tags),
    {.method = NULL},
};

bus_err work_manager_open(work_host_daemon *h, bus_wake wake)
{
    bus_service_spec spec = {.daemon = "workhostd",
                             .description = "workers: code in, instances per scenario",
                             .service = "virtufin.workmanager.v1.WorkManager",
                             .methods = methods,
                             .descriptors = schema_workmanager_descriptors,
                             .descriptors_len = schema_workmanager_descriptors_len,
                             .ctx = h,
                             .wake = wake};
    return bus_service_open(&h->service, h->conn, &spec, 1);
}
