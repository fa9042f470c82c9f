// First line: which symbols are asked for: a name, a JSON array of names, or none. The rest: an exchangeInfo
// file. What is taken is rendered; where both are JSON to another reader, the answer is, and holds only
// what was asked for.
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "feeds/sim/inside.h"

static void demand(bool ok)
{
    if (!ok)
        abort();
}

static json_t *read_json(bus_view text)
{
    json_error_t error;
    // an escape is left as it is by us, so a key may be another one to a reader that resolves it
    return text.len && !memchr(text.ptr, '\\', text.len)
               ? json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, &error)
               : NULL;
}

static bool asked(bus_view symbol, const json_t *list, const char *name)
{
    const json_t *item;
    size_t i;
    if (symbol.len)
        return bus_view_is(symbol, name);
    json_array_foreach (list, i, item) {
        if (json_is_string(item) && strcmp(json_string_value(item), name) == 0)
            return true;
    }
    return false;
}

static void look_at(bus_view answer, bus_view symbol, bus_view symbols, json_t *file)
{
    json_t *body = read_json(answer), *list = read_json(symbols), *entry;
    size_t i;
    demand(body && json_object_size(body) == json_object_size(file));
    demand(json_is_array(json_object_get(body, "symbols")));
    json_array_foreach (json_object_get(body, "symbols"), i, entry) {
        const char *name = json_string_value(json_object_get(entry, "symbol"));
        demand(name != NULL);
        if (symbol.len || (symbols.len && list))
            demand(asked(symbol, list, name));
    }
    json_decref(body);
    json_decref(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static sim_exchange x; // zeros: only its info is looked at
    const char *text = (const char *)data, *line = size ? memchr(text, '\n', size) : NULL;
    if (!line)
        return 0;
    bus_view ask = {text, (size_t)(line - text)}, symbol = {0}, symbols = {0};
    bus_view file = {line + 1, size - ask.len - 1};
    if (ask.len && ask.ptr[0] == '[')
        symbols = ask;
    else
        symbol = ask;
    if (sim_info_check(file))
        return 0;
    sim_text out = {0};
    sim_text_clear(&x.info);
    sim_text_add(&x.info, file);
    bus_err err = sim_info_render(&x, symbol, symbols, &out);
    demand(!out.failed);
    json_t *whole = read_json(file);
    if (!err && whole)
        look_at(sim_text_view(&out), symbol, symbols, whole);
    json_decref(whole);
    sim_text_release(&out);
    sim_text_release(&x.info);
    return 0;
}
