// The requests of a WebSocket client: SUBSCRIBE and its kin.
// Source: schemas/specs/simexd.md, "Venue endpoints: WebSocket".
#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>

#include "feeds/sim/hub.h"

enum { REQUEST_BYTES_MAX = 64 * 1024, ID_TEXT_MAX = 36, PARAMS_MAX = 4096 };

// The id as JSON text; "" when there is none. False: a type that cannot be an id.
static bool read_id(const json_t *request, sim_text *id)
{
    const json_t *value = json_object_get(request, "id");
    if (!value)
        return true;
    if (json_is_integer(value)) {
        sim_text_int(id, json_integer_value(value));
        return true;
    }
    if (json_is_null(value)) {
        sim_text_str(id, "null");
        return true;
    }
    if (!json_is_string(value) || json_string_length(value) > ID_TEXT_MAX)
        return false;
    bus_view text = {json_string_value(value), json_string_length(value)};
    for (size_t i = 0; i < text.len; i++)
        if (!isalnum((unsigned char)text.ptr[i]) && text.ptr[i] != '-' && text.ptr[i] != '_')
            return false;
    sim_text_quoted(id, text);
    return true;
}

static void answer_error(sim_hub *hub, sim_client *client, int code, const char *msg, bus_view id)
{
    sim_text t = {0};
    sim_text_printf(&t, "{\"code\":%d,\"msg\":", code);
    sim_text_quoted(&t, bus_view_of(msg));
    if (id.len) {
        sim_text_str(&t, ",\"id\":");
        sim_text_add(&t, id);
    }
    sim_text_str(&t, "}");
    sim_hub_reply(hub, client, sim_text_view(&t));
    sim_text_release(&t);
}

static void answer(sim_hub *hub, sim_client *client, const char *result, bus_view id)
{
    sim_text t = {0};
    sim_text_str(&t, "{\"result\":");
    sim_text_str(&t, result);
    sim_text_str(&t, ",\"id\":");
    sim_text_add(&t, id.len ? id : BUS_VIEW("null"));
    sim_text_str(&t, "}");
    sim_hub_reply(hub, client, sim_text_view(&t));
    sim_text_release(&t);
}

// All names are checked before the first one counts.
static const char *check_names(const json_t *params, char *msg, size_t msg_cap)
{
    char symbol[SIM_SYMBOL_MAX], channel[SIM_CHANNEL_MAX];
    size_t i;
    json_t *item;
    if (!json_is_array(params))
        return "Invalid request: params must be an array of stream names";
    if (json_array_size(params) > PARAMS_MAX)
        return "Invalid request: too many parameters";
    json_array_foreach (params, i, item) {
        if (!json_is_string(item))
            return "Invalid request: params must be an array of stream names";
        bus_view name = {json_string_value(item), json_string_length(item)};
        if (sim_stream_split(name, symbol, channel))
            continue;
        snprintf(msg, msg_cap, "Invalid request: '%.80s' is not a stream name", name.ptr);
        return msg;
    }
    return NULL;
}

static void change_streams(sim_hub *hub, sim_client *client, const json_t *request, bool on,
                           bus_view id, bus_mono now)
{
    char msg[160];
    const json_t *params = json_object_get(request, "params");
    const char *wrong = check_names(params, msg, sizeof msg);
    if (wrong) {
        answer_error(hub, client, 2, wrong, id);
        return;
    }
    size_t i;
    json_t *item;
    json_array_foreach (params, i, item) {
        bus_view name = {json_string_value(item), json_string_length(item)};
        if (!on) {
            sim_hub_unsubscribe(hub, client, name);
        } else if (sim_hub_subscribe(hub, client, name) != BUS_OK) {
            sim_hub_close(hub, client, 1008, "too many streams", now);
            return;
        }
    }
    answer(hub, client, "null", id);
}

static int by_order(const void *a, const void *b)
{
    const sim_subscription *const *x = a, *const *y = b;
    return ((*x)->order > (*y)->order) - ((*x)->order < (*y)->order);
}

static void list_streams(sim_hub *hub, sim_client *client, bus_view id)
{
    sim_text t = {0};
    const sim_subscription **subs = malloc((client->sub_count + 1) * sizeof *subs);
    size_t count = 0;
    for (uint32_t i = 0; subs && i < client->sub_count; i++)
        if (client->subs[i].name[0])
            subs[count++] = &client->subs[i];
    if (count)
        qsort(subs, count, sizeof *subs, by_order);
    sim_text_str(&t, "[");
    for (size_t i = 0; i < count; i++)
        sim_text_printf(&t, "%s\"%s\"", i ? "," : "", subs[i]->name);
    sim_text_add(&t, (bus_view){"]", 2}); // with its NUL
    if (!t.failed)
        answer(hub, client, t.ptr, id);
    sim_text_release(&t);
    free(subs);
}

static void property(sim_hub *hub, sim_client *client, const json_t *request, bool set, bus_view id)
{
    const json_t *params = json_object_get(request, "params");
    const json_t *name = json_array_get(params, 0), *value = json_array_get(params, 1);
    if (!json_is_string(name)) {
        answer_error(hub, client, 2, "Invalid request: property name must be a string", id);
    } else if (json_array_size(params) > (set ? 2u : 1u)) {
        answer_error(hub, client, 2, "Invalid request: too many parameters", id);
    } else if (strcmp(json_string_value(name), "combined") != 0) {
        answer_error(hub, client, 0, "Unknown property", id);
    } else if (!set) {
        answer(hub, client, client->combined ? "true" : "false", id);
    } else if (!json_is_boolean(value)) {
        answer_error(hub, client, 1, "Invalid value type: expected Boolean", id);
    } else {
        client->combined = json_is_true(value);
        answer(hub, client, "null", id);
    }
}

static void dispatch(sim_hub *hub, sim_client *client, const json_t *request, bus_view id,
                     bus_mono now)
{
    char msg[240];
    const json_t *method = json_object_get(request, "method");
    const char *name = json_string_value(method);
    if (!name) {
        answer_error(hub, client, 2, "Invalid request: missing field `method`", id);
    } else if (strcmp(name, "SUBSCRIBE") == 0) {
        change_streams(hub, client, request, true, id, now);
    } else if (strcmp(name, "UNSUBSCRIBE") == 0) {
        change_streams(hub, client, request, false, id, now);
    } else if (strcmp(name, "LIST_SUBSCRIPTIONS") == 0) {
        list_streams(hub, client, id);
    } else if (strcmp(name, "SET_PROPERTY") == 0 || strcmp(name, "GET_PROPERTY") == 0) {
        property(hub, client, request, name[0] == 'S', id);
    } else {
        snprintf(msg, sizeof msg,
                 "Invalid request: unknown variant `%.40s`, expected one of `SUBSCRIBE`, "
                 "`UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY`",
                 name);
        answer_error(hub, client, 2, msg, id);
    }
}

// More than so many messages in one second ends the connection.
static bool too_many(sim_hub *hub, sim_client *client, bus_mono now)
{
    if (bus_mono_since(now, client->window).ns >= 1000000000) {
        client->window = now;
        client->window_messages = 0;
    }
    return ++client->window_messages > hub->opts.messages_per_second;
}

void sim_hub_request(sim_hub *hub, sim_client *client, bus_view text, bus_mono now)
{
    char msg[240];
    json_error_t where;
    sim_text id = {0};
    if (client->closing || client->silent)
        return;
    if (too_many(hub, client, now) || text.len > REQUEST_BYTES_MAX) {
        sim_hub_close(hub, client, 1008,
                      text.len > REQUEST_BYTES_MAX ? "request too long" : "too many messages", now);
        return;
    }
    json_t *request =
        json_loadb(text.len ? text.ptr : "", text.len, JSON_REJECT_DUPLICATES, &where);
    if (!request) {
        snprintf(msg, sizeof msg, "Invalid JSON: %.120s at line %d column %d", where.text,
                 where.line, where.column);
        answer_error(hub, client, 3, msg, (bus_view){0});
    } else if (!json_is_object(request)) {
        answer_error(hub, client, 2, "Invalid request: expected an object", (bus_view){0});
    } else if (!read_id(request, &id)) {
        answer_error(hub, client, 2, "Invalid request: request ID must be an unsigned integer",
                     (bus_view){0});
    } else {
        dispatch(hub, client, request, sim_text_view(&id), now);
    }
    json_decref(request);
    sim_text_release(&id);
}
