#include "feeds/sim/json.h"

enum { DEPTH_MAX = 64 };

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
        at++;
    return at;
}

// Each of the three returns the place behind what it stands on, or NULL.
static const char *skip_string(const char *at, const char *end)
{
    for (at++; at < end; at++) {
        const char *stop = memchr(at, '"', (size_t)(end - at));
        const char *escape = stop ? memchr(at, '\\', (size_t)(stop - at)) : NULL;
        if (!stop)
            return NULL;
        if (!escape)
            return stop + 1;
        at = escape + 1; // the loop steps over the escaped byte
    }
    return NULL;
}

static const char *skip_scalar(const char *at, const char *end)
{
    const char *from = at;
    while (at < end && (*at == '-' || *at == '+' || *at == '.' || (*at >= '0' && *at <= '9') ||
                        (*at >= 'a' && *at <= 'z') || *at == 'E'))
        at++;
    return at == from ? NULL : at;
}

static const char *skip_container(const char *at, const char *end)
{
    char closer[DEPTH_MAX];
    int depth = 0;
    while (at < end) {
        if (*at == '"') {
            at = skip_string(at, end);
            if (!at)
                return NULL;
            continue;
        }
        if (*at == '{' || *at == '[') {
            if (depth == DEPTH_MAX)
                return NULL;
            closer[depth++] = *at == '{' ? '}' : ']';
        } else if (*at == '}' || *at == ']') {
            if (*at != closer[depth - 1])
                return NULL;
            depth--;
            if (depth == 0)
                return at + 1;
        }
        at++;
    }
    return NULL;
}

bool sim_json_value(bus_view *text, bus_view *value)
{
    if (text->len == 0)
        return false;
    const char *end = text->ptr + text->len;
    const char *at = skip_blanks(text->ptr, end);
    if (at == end)
        return false;
    const char *after = *at == '"'                   ? skip_string(at, end)
                        : (*at == '{' || *at == '[') ? skip_container(at, end)
                                                     : skip_scalar(at, end);
    if (!after)
        return false;
    *value = (bus_view){at, (size_t)(after - at)};
    *text = (bus_view){after, (size_t)(end - after)};
    return true;
}

bool sim_json_open(sim_json *it, bus_view value)
{
    if (value.len < 2 || (value.ptr[0] != '{' && value.ptr[0] != '['))
        return false;
    *it = (sim_json){value.ptr + 1, value.ptr + value.len - 1, true, false};
    return true;
}

// Steps to the next item of the container; false at its end.
static bool next_item(sim_json *it)
{
    it->at = skip_blanks(it->at, it->end);
    if (it->bad || it->at == it->end)
        return false;
    if (!it->first) {
        if (*it->at != ',') {
            it->bad = true;
            return false;
        }
        it->at = skip_blanks(it->at + 1, it->end);
    }
    it->first = false;
    return true;
}

bool sim_json_element(sim_json *it, bus_view *value)
{
    if (!next_item(it))
        return false;
    bus_view rest = {it->at, (size_t)(it->end - it->at)};
    if (!sim_json_value(&rest, value)) {
        it->bad = true;
        return false;
    }
    it->at = rest.ptr;
    return true;
}

bool sim_json_member(sim_json *it, bus_view *key, bus_view *value)
{
    bus_view name;
    if (!sim_json_element(it, &name))
        return false;
    const char *colon = skip_blanks(it->at, it->end);
    if (name.ptr[0] != '"' || colon == it->end || *colon != ':') {
        it->bad = true;
        return false;
    }
    bus_view rest = {colon + 1, (size_t)(it->end - colon - 1)};
    if (!sim_json_value(&rest, value)) {
        it->bad = true;
        return false;
    }
    *key = (bus_view){name.ptr + 1, name.len - 2};
    it->at = rest.ptr;
    return true;
}

bool sim_json_get(bus_view object, const char *key, bus_view *value)
{
    sim_json it;
    bus_view name, found;
    if (object.len == 0 || object.ptr[0] != '{' || !sim_json_open(&it, object))
        return false;
    while (sim_json_member(&it, &name, &found)) {
        if (!bus_view_is(name, key))
            continue;
        *value = found;
        return true;
    }
    return false;
}

bool sim_json_text(bus_view value, bus_view *out)
{
    if (value.len < 2 || value.ptr[0] != '"' || memchr(value.ptr, '\\', value.len))
        return false;
    *out = (bus_view){value.ptr + 1, value.len - 2};
    return true;
}

bool sim_json_int(bus_view value, int64_t *out)
{
    bool minus = value.len > 1 && value.ptr[0] == '-';
    uint64_t n;
    if (minus)
        value = (bus_view){value.ptr + 1, value.len - 1};
    if (!bus_view_u64(value, &n) || n > INT64_MAX)
        return false;
    *out = minus ? -(int64_t)n : (int64_t)n;
    return true;
}
