// Tags of workers: set and read. They are metadata: nothing is started or stopped for them.
// Source: schemas/specs/workers.md, "Service".
#include <string.h>

#include "virtufin/workmanager/v1/workmanager.pb-c.h"
#include "workhost/manager_impl.h"

enum { KEY_MAX = 128, VALUE_MAX = 1024 };

bus_err work_manager_put_tag(json_t *tags, const char *key, const char *value)
{
    if (!*key || strlen(key) > KEY_MAX || strlen(value) > VALUE_MAX)
        return bus_fail(BUS_EINVAL, "tag '%.80s': key of 1 to %d bytes, value of at most %d", key,
                        KEY_MAX, VALUE_MAX);
    if (json_object_size(tags) >= WORK_RECORD_TAGS && !json_object_get(tags, key))
        return bus_fail(BUS_EINVAL, "tag '%.80s': more than %d tags", key, WORK_RECORD_TAGS);
    if (json_object_set_new(tags, key, json_string(value)))
        return bus_fail(BUS_EINVAL, "tag '%.80s': key or value is not UTF-8", key);
    return BUS_OK;
}

static bus_err find(work_host_daemon *h, const char *id, work_record **out)
{
    bus_err err = work_host_ready(h);
    if (err)
        return err;
    *out = work_roster_find(&h->roster, id);
    return *out ? BUS_OK : BUS_ENOTFOUND;
}

// Stores the worker with these tags (taken over), or leaves it as it was.
static bus_err replace(work_host_daemon *h, work_record *r, json_t *tags)
{
    json_t *before = r->tags;
    r->tags = tags;
    bus_err err = work_record_store(h->conn, r);
    if (err)
        r->tags = before;
    json_decref(err ? tags : before);
    return err;
}

static bus_err set_tags(work_host_daemon *h, const MSG(SetTagsRequest) * req)
{
    work_record *r;
    bus_err err = find(h, req->id, &r);
    if (err)
        return err;
    json_t *tags = json_copy(r->tags);
    if (!tags)
        return bus_fail(BUS_ENOMEM, "tags of worker '%s'", r->name);
    for (size_t i = 0; i < req->n_remove; i++)
        json_object_del(tags, req->remove[i]);
    for (size_t i = 0; i < req->n_tags && !err; i++)
        err = work_manager_put_tag(tags, req->tags[i]->key, req->tags[i]->value);
    if (!err)
        return replace(h, r, tags);
    json_decref(tags);
    return err;
}

void work_manager_on_set_tags(void *ctx, bus_call *call, const ProtobufCMessage *message)
{
    MSG(SetTagsReply) reply = INIT(SET_TAGS_REPLY);
    bus_call_answer(call, set_tags(ctx, (const MSG(SetTagsRequest) *)message), &reply.base);
}

void work_manager_on_set_tag(void *ctx, bus_call *call, const ProtobufCMessage *message)
{
    const MSG(SetTagRequest) *req = (const MSG(SetTagRequest) *)message;
    MSG(SetTagReply) reply = INIT(SET_TAG_REPLY);
    MSG(SetTagsRequest) all = INIT(SET_TAGS_REQUEST);
    MSG(SetTagsRequest__TagsEntry) entry;
    MSG(SetTagsRequest__TagsEntry) *only = &entry;
    virtufin__workmanager__v1__set_tags_request__tags_entry__init(&entry);
    entry.key = req->key;
    entry.value = req->value;
    all.id = req->id;
    all.tags = &only;
    all.n_tags = 1;
    bus_call_answer(call, set_tags(ctx, &all), &reply.base);
}

void work_manager_on_get_tag(void *ctx, bus_call *call, const ProtobufCMessage *message)
{
    const MSG(GetTagRequest) *req = (const MSG(GetTagRequest) *)message;
    MSG(GetTagReply) reply = INIT(GET_TAG_REPLY);
    work_record *r;
    bus_err err = find(ctx, req->id, &r);
    const char *value = err ? NULL : json_string_value(json_object_get(r->tags, req->key));
    if (!err && !value)
        err = bus_fail(BUS_ENOTFOUND, "worker '%s' has no tag '%.128s'", r->name, req->key);
    reply.value = (char *)value;
    bus_call_answer(call, err, &reply.base);
}

static bool asked_for(const MSG(GetTagsRequest) * req, const char *key)
{
    for (size_t i = 0; i < req->n_keys; i++) {
        if (strcmp(req->keys[i], key) == 0)
            return true;
    }
    return req->n_keys == 0;
}

void work_manager_on_get_tags(void *ctx, bus_call *call, const ProtobufCMessage *message)
{
    const MSG(GetTagsRequest) *req = (const MSG(GetTagsRequest) *)message;
    MSG(GetTagsReply) reply = INIT(GET_TAGS_REPLY);
    MSG(GetTagsReply__TagsEntry) entries[WORK_RECORD_TAGS], *list[WORK_RECORD_TAGS];
    work_record *r;
    const char *key;
    json_t *value;
    bus_err err = find(ctx, req->id, &r);
    if (err) {
        bus_call_failed(call, err);
        return;
    }
    reply.tags = list;
    json_object_foreach (r->tags, key, value) {
        if (!asked_for(req, key) || reply.n_tags == WORK_RECORD_TAGS)
            continue;
        MSG(GetTagsReply__TagsEntry) *entry = &entries[reply.n_tags];
        virtufin__workmanager__v1__get_tags_reply__tags_entry__init(entry);
        entry->key = (char *)key;
        entry->value = (char *)json_string_value(value);
        list[reply.n_tags++] = entry;
    }
    bus_call_reply(call, &reply.base);
}
