#include "store/asyncapi.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/event/event.h"
#include "store/streams.h"

#define SUFFIX ".schema.json"

// --- streams and buckets ------------------------------------------------------------------------------

static const char *side_name(bus_side side)
{
    return side == BUS_SIDE_LIVE ? "live" : "research";
}

static json_t *subjects_of(const store_stream_row *row)
{
    json_t *all = json_array();
    for (int i = 0; row->subjects[i]; i++)
        json_array_append_new(all, json_string(row->subjects[i]));
    return all;
}

static json_t *jetstream_of(const store_stream_row *row)
{
    bus_stream_def def = store_stream_def(row, &store_limits_default);
    return json_pack("{s:s s:s s:o s:s s:s s:I s:I s:i s:b s:b}", "stream", row->name, "side",
                     side_name(row->side), "subjects", subjects_of(row), "retention", "limits",
                     "discard", "old", "max_bytes", (json_int_t)def.bytes_max, "max_age_s",
                     (json_int_t)(def.age_max.ns / 1000000000), "replicas", def.replicas,
                     "allow_direct", def.allow_direct, "allow_batched", def.allow_batched);
}

// The wildcard at the end of a subject as a parameter, so that the address is one.
static json_t *stream_channel(const store_stream_row *row, int subject)
{
    char address[128];
    const char *pattern = row->subjects[subject];
    const char *scenario = strstr(pattern, "<id>");
    if (scenario)
        snprintf(address, sizeof address, "sc.{scenario}.{rest}");
    else
        snprintf(address, sizeof address, "%.*s{rest}", (int)(strlen(pattern) - 1), pattern);
    json_t *parameters =
        json_pack("{s:{s:s}}", "rest", "description", "one or more tokens (the wildcard '>')");
    if (scenario)
        json_object_set_new(parameters, "scenario",
                            json_pack("{s:s}", "description", "scenario id"));
    return json_pack("{s:s s:s s:o s:{s:{s:s}} s:o}", "address", address, "description",
                     row->description, "parameters", parameters, "messages", "event", "$ref",
                     "#/components/messages/event", "x-jetstream", jetstream_of(row));
}

static void add_operation(json_t *operations, const char *channel)
{
    char name[160], channel_ref[192];
    snprintf(name, sizeof name, "receive_%s", channel);
    snprintf(channel_ref, sizeof channel_ref, "#/channels/%s", channel);
    json_object_set_new(
        operations, name,
        json_pack("{s:s s:{s:s}}", "action", "receive", "channel", "$ref", channel_ref));
}

static void add_streams(json_t *channels, json_t *operations)
{
    size_t count;
    const store_stream_row *rows = store_stream_rows(&count);
    for (size_t i = 0; i < count; i++)
        for (int s = 0; rows[i].subjects[s]; s++) {
            char name[64];
            const char *plain = strchr(rows[i].name, '<') ? "SC_scenario" : rows[i].name;
            snprintf(name, sizeof name, s ? "%s_%d" : "%s", plain, s + 1);
            json_object_set_new(channels, name, stream_channel(&rows[i], s));
            add_operation(operations, name);
        }
}

static json_t *buckets(void)
{
    size_t count;
    const store_bucket_row *rows = store_bucket_rows(&count);
    json_t *all = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(all,
                              json_pack("{s:s s:s s:s s:i s:s}", "bucket", rows[i].name, "side",
                                        side_name(rows[i].side), "key", rows[i].key, "history",
                                        rows[i].history, "description", rows[i].description));
    return all;
}

// --- event schemas ------------------------------------------------------------------------------------

// What a schema file says beside its data: x-subjects, where the event is published (the first token
// `exchange` stands for both market lanes); x-form, what of the message the schema describes.

// References within a schema file count from its own top; here it stands below components.
static void move_references(json_t *schema, const char *name)
{
    const char *key;
    size_t i;
    json_t *value;
    void *next;
    if (json_is_array(schema))
        json_array_foreach (schema, i, value)
            move_references(value, name);
    if (!json_is_object(schema))
        return;
    json_object_foreach_safe (schema, next, key, value) {
        const char *target = json_string_value(value);
        if (strcmp(key, "$ref") == 0 && target && target[0] == '#') {
            char moved[512];
            snprintf(moved, sizeof moved, "#/components/schemas/%s%s", name, target + 1);
            json_object_set_new(schema, key, json_string(moved));
        } else {
            move_references(value, name);
        }
    }
}

typedef struct {
    json_t *channels, *operations, *messages, *schemas;
} parts;

// A message of ours is the envelope around the data; "json": the payload itself, no envelope; "headers":
// the headers alone, in front of somebody else's payload.
static json_t *message_of(const char *name, const char *form)
{
    char schema[192];
    snprintf(schema, sizeof schema, "#/components/schemas/%s", name);
    if (form && strcmp(form, "json") == 0)
        return json_pack("{s:s s:s s:{s:s}}", "name", name, "contentType", "application/json",
                         "payload", "$ref", schema);
    if (form && strcmp(form, "headers") == 0)
        return json_pack("{s:s s:{s:s} s:{s:s}}", "name", name, "headers", "$ref", schema,
                         "payload", "description", "the message as it came");
    return json_pack("{s:s s:s s:{s:[{s:s} {s:s s:{s:{s:s}}}]}}", "name", name, "contentType",
                     BUS_CONTENT_MSGPACK, "payload", "allOf", "$ref",
                     "#/components/schemas/CloudEvent", "type", "object", "properties", "data",
                     "$ref", schema);
}

static const char *const parameter_of[][2] = {
    {"venue", "adapter name, e.g. binance"},
    {"symbol", "the venue's symbol, escaped"},
    {"interval", "of the candle, e.g. 1m"},
    {"selector", "the replay's selector"},
    {"scenario", "scenario id"},
    {"strategy", "the strategy's name"},
    {"worker", "id of the worker"},
    {"runid", "the run"},
    {"participant", "name of the participant"},
    {"stream", "stream of the inputs"},
    {"consumer", "who could not process it"},
};

static const char *about_parameter(const char *name, size_t len)
{
    for (size_t i = 0; i < sizeof parameter_of / sizeof *parameter_of; i++)
        if (strlen(parameter_of[i][0]) == len && memcmp(parameter_of[i][0], name, len) == 0)
            return parameter_of[i][1];
    return NULL;
}

// The parameters of an address, each with what it is; NULL when it has none.
static bus_err parameters_in(json_t **out, const char *address)
{
    json_t *all = NULL;
    for (const char *p = strchr(address, '{'); p; p = strchr(p, '{')) {
        char name[64];
        size_t len = strcspn(++p, "}");
        const char *about = about_parameter(p, len);
        if (!about) {
            json_decref(all);
            return bus_fail(BUS_EINVAL, "x-subjects: '%s': parameter '%.*s' is not known", address,
                            (int)len, p);
        }
        snprintf(name, sizeof name, "%.*s", (int)len, p);
        if (!all)
            all = json_object();
        json_object_set_new(all, name, json_pack("{s:s}", "description", about));
    }
    *out = all;
    return BUS_OK;
}

static bus_err add_channel(parts *p, const char *channel, const char *address, const char *name)
{
    char message[192];
    json_t *parameters;
    bus_err err = parameters_in(&parameters, address);
    if (err)
        return err;
    snprintf(message, sizeof message, "#/components/messages/%s", name);
    json_object_set_new(p->channels, channel,
                        json_pack("{s:s s:o* s:{s:{s:s}}}", "address", address, "parameters",
                                  parameters, "messages", name, "$ref", message));
    add_operation(p->operations, channel);
    return BUS_OK;
}

// The channel of the first subject has the schema's name; a further one adds its last parameter.
static bus_err add_subject(parts *p, const char *name, const char *subject, bool first)
{
    char channel[192], hyp[200], address[256];
    const char *last = strrchr(subject, '{');
    snprintf(channel, sizeof channel, "%s", name);
    if (!first && last)
        snprintf(channel, sizeof channel, "%s.%.*s", name, (int)strcspn(last + 1, "}"), last + 1);
    if (strncmp(subject, "exchange.", 9) != 0)
        return add_channel(p, channel, subject, name);
    snprintf(address, sizeof address, "act.%s", subject);
    bus_err err = add_channel(p, channel, address, name);
    snprintf(hyp, sizeof hyp, "hyp.%s", channel);
    snprintf(address, sizeof address, "hyp.{selector}.%s", subject);
    return err ? err : add_channel(p, hyp, address, name);
}

static bus_err add_event(parts *p, const char *name, json_t *schema)
{
    size_t i;
    json_t *subject, *subjects = json_object_get(schema, "x-subjects");
    if (json_array_size(subjects) == 0)
        return bus_fail(BUS_EINVAL, "x-subjects is missing: where the event is published");
    json_object_set_new(p->messages, name,
                        message_of(name, json_string_value(json_object_get(schema, "x-form"))));
    json_array_foreach (subjects, i, subject) {
        const char *text = json_string_value(subject);
        bus_err err = text ? add_subject(p, name, text, i == 0)
                           : bus_fail(BUS_EINVAL, "x-subjects is no list of strings");
        if (err)
            return err;
    }
    return BUS_OK;
}

static bus_err add_schema(parts *p, const char *folder, const char *file)
{
    char path[4096], name[128];
    json_error_t why;
    snprintf(path, sizeof path, "%s/%s", folder, file);
    snprintf(name, sizeof name, "%.*s", (int)(strlen(file) - strlen(SUFFIX)), file);
    json_t *schema = json_load_file(path, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(schema)) {
        json_decref(schema);
        return bus_fail(BUS_EINVAL, "%s: line %d: %s", path, why.line, why.text);
    }
    bus_err err = add_event(p, name, schema);
    static const char *const beside[] = {"$schema", "$id", "x-subjects", "x-form"};
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++)
        json_object_del(schema,
                        beside[i]); // the document has one dialect, and says the rest elsewhere
    move_references(schema, name);
    json_object_set_new(p->schemas, name, schema);
    return bus_note(err, "%s", path);
}

static int is_schema(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name), tail = strlen(SUFFIX);
    return len > tail && strcmp(entry->d_name + len - tail, SUFFIX) == 0;
}

static bus_err add_schemas(parts *p, const char *folder)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, is_schema, alphasort);
    bus_err err =
        count < 0 ? bus_fail(BUS_EIO, "folder '%s': %s", folder, strerror(errno)) : BUS_OK;
    for (int i = 0; i < count; i++) {
        if (!err)
            err = add_schema(p, folder, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return err;
}

// The envelope: its attributes from the one list that the codecs are made of.
static json_t *cloud_event(void)
{
    json_t *properties = json_object();
    json_object_set_new(properties, "specversion",
                        json_pack("{s:s s:s}", "type", "string", "const", "1.0"));
#define X(field, wire)                                                                             \
    json_object_set_new(properties, wire, json_pack("{s:s s:i}", "type", "string", "minLength", 1));
    BUS_EVENT_ATTRIBUTES(X)
#undef X
    static const char *const times[] = {"time", "eventtime", "recordedtime", "walltime"};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        json_object_set_new(properties, times[i],
                            json_pack("{s:s s:s}", "type", "string", "format", "date-time"));
    json_object_set_new(properties, "data",
                        json_pack("{s:s}", "description", "inline, JSON's data model"));
    return json_pack("{s:s s:s s:o s:[s s s s]}", "type", "object", "description",
                     "CloudEvents 1.0 as one msgpack map; schemas/specs/envelope.md", "properties",
                     properties, "required", "specversion", "id", "source", "type");
}

bus_err store_asyncapi_text(char **out, size_t *len, const char *schemas, const char *version)
{
    parts p = {json_object(), json_object(), json_object(), json_object()};
    json_object_set_new(p.schemas, "CloudEvent", cloud_event());
    json_object_set_new(p.messages, "event",
                        json_pack("{s:s s:s s:{s:s}}", "name", "event", "contentType",
                                  BUS_CONTENT_MSGPACK, "payload", "$ref",
                                  "#/components/schemas/CloudEvent"));
    add_streams(p.channels, p.operations);
    bus_err err = add_schemas(&p, schemas);
    json_t *document = json_pack(
        "{s:s s:{s:s s:s s:s} s:s s:{s:{s:s s:s s:s}} s:o s:o s:{s:o s:o} s:o}", "asyncapi",
        "3.0.0", "info", "title", "Tradelane", "version", version, "description",
        "Lanes, streams and buckets of the bus. Made by store/asyncapi; do not edit.",
        "defaultContentType", BUS_CONTENT_MSGPACK, "servers", "broker", "host", "127.0.0.1:4222",
        "protocol", "nats", "description", "nats-server with JetStream, 2.11.1 or newer",
        "channels", p.channels, "operations", p.operations, "components", "messages", p.messages,
        "schemas", p.schemas, "x-nats-kv", buckets());
    char *text = err || !document ? NULL : json_dumps(document, JSON_INDENT(2));
    json_decref(document);
    if (err)
        return bus_note(err, "AsyncAPI document");
    size_t size = text ? strlen(text) : 0;
    char *line = text ? realloc(text, size + 2) : NULL;
    if (!line) {
        free(text);
        return bus_fail(BUS_ENOMEM, "AsyncAPI document");
    }
    memcpy(line + size, "\n", 2);
    *out = line;
    *len = size + 1;
    return BUS_OK;
}
