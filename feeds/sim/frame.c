#include "feeds/sim/frame.h"

#include <stdio.h>

#include "feeds/sim/json.h"

static bool name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || c == '@' || c == '!' || c == '+' || c == ':';
}

static bool name_bytes(bus_view name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!name_byte(name.ptr[i]))
            return false;
    return name.len > 0;
}

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

bool sim_stream_split(bus_view name, char symbol[SIM_SYMBOL_MAX], char channel[SIM_CHANNEL_MAX])
{
    const char *at = name.len ? memchr(name.ptr, '@', name.len) : NULL;
    if (!at || name.len >= SIM_STREAM_MAX)
        return false;
    size_t symbol_len = (size_t)(at - name.ptr);
    bus_view rest = {at + 1, name.len - symbol_len - 1};
    if (symbol_len == 0 || symbol_len >= SIM_SYMBOL_MAX || rest.len == 0)
        return false;
    if (!name_bytes(name))
        return false;
    for (size_t i = 0; i < symbol_len; i++)
        symbol[i] = upper(name.ptr[i]);
    symbol[symbol_len] = 0;
    return bus_view_copy(rest, channel, SIM_CHANNEL_MAX);
}

bool sim_channel_is_depth(const char *channel)
{
    return strncmp(channel, "depth", 5) == 0 && (channel[5] == 0 || channel[5] == '@');
}

// What is in a payload, as far as the log and the book need it.
typedef struct {
    bus_view kind, symbol, kline;
    int64_t event_time, first, last, trade, aggregate, id;
    bool has_u, has_trade, has_aggregate, has_tops;
} payload;

static void note_member(payload *p, bus_view key, bus_view value, sim_frame *frame)
{
    if (key.len != 1)
        return;
    switch (key.ptr[0]) {
    case 'e':
        (void)sim_json_text(value, &p->kind);
        break;
    case 's':
        (void)sim_json_text(value, &p->symbol);
        break;
    case 'E':
        (void)sim_json_int(value, &p->event_time);
        break;
    case 'U':
        (void)sim_json_int(value, &p->first);
        break;
    case 'u':
        p->has_u = sim_json_int(value, &p->last);
        break;
    case 't':
        p->has_trade = sim_json_int(value, &p->trade);
        break;
    case 'B':
        p->has_tops = true;
        break;
    case 'k':
        p->kline = value;
        break;
    case 'b':
        frame->bids = value;
        break;
    case 'a':
        frame->asks = value;
        p->has_aggregate = sim_json_int(value, &p->aggregate);
        break;
    default:
        break;
    }
}

static bool read_payload(payload *p, bus_view data, sim_frame *frame)
{
    sim_json it;
    bus_view key, value;
    if (data.len == 0 || data.ptr[0] != '{' || !sim_json_open(&it, data))
        return false;
    while (sim_json_member(&it, &key, &value))
        note_member(p, key, value, frame);
    return !it.bad;
}

// The channel of a frame that was recorded without its stream's name.
static bool guess_channel(const payload *p, char channel[SIM_CHANNEL_MAX])
{
    bus_view interval;
    if (bus_view_is(p->kind, "depthUpdate"))
        return bus_view_copy(BUS_VIEW("depth"), channel, SIM_CHANNEL_MAX);
    if (bus_view_is(p->kind, "kline") && sim_json_get(p->kline, "i", &interval) &&
        sim_json_text(interval, &interval)) {
        int n = snprintf(channel, SIM_CHANNEL_MAX, "kline_%.*s", BUS_VIEW_ARG(interval));
        return n < SIM_CHANNEL_MAX;
    }
    if (p->kind.len)
        return bus_view_copy(p->kind, channel, SIM_CHANNEL_MAX);
    return p->has_u && p->has_tops &&
           bus_view_copy(BUS_VIEW("bookTicker"), channel, SIM_CHANNEL_MAX);
}

static void set_ids(sim_frame *frame, const payload *p)
{
    int64_t start = 0;
    bus_view value;
    if (strcmp(frame->channel, "depth") == 0) {
        frame->first_id = p->first;
        frame->last_id = p->last;
    } else if (strcmp(frame->channel, "trade") == 0 && p->has_trade) {
        frame->first_id = frame->last_id = p->trade;
    } else if (strcmp(frame->channel, "aggTrade") == 0 && p->has_aggregate) {
        frame->first_id = frame->last_id = p->aggregate;
    } else if (strcmp(frame->channel, "bookTicker") == 0) {
        frame->first_id = frame->last_id = p->last;
    } else if (p->kline.len && sim_json_get(p->kline, "t", &value) && sim_json_int(value, &start)) {
        frame->first_id = start;
        frame->last_id = p->event_time;
    }
}

// `{"stream":"name","data":` of a frame whose data is broken: the name and the rest of the text.
static bool salvage(sim_frame *out, bus_view text)
{
    static const char head[] = "{\"stream\":\"";
    static const char middle[] = "\",\"data\":";
    if (text.len < sizeof head || memcmp(text.ptr, head, sizeof head - 1) != 0)
        return false;
    const char *name = text.ptr + sizeof head - 1;
    const char *end = text.ptr + text.len;
    const char *quote = memchr(name, '"', (size_t)(end - name));
    if (!quote || (size_t)(end - quote) < sizeof middle ||
        memcmp(quote, middle, sizeof middle - 1) != 0)
        return false;
    const char *data = quote + sizeof middle - 1;
    out->stream = (bus_view){name, (size_t)(quote - name)};
    out->data = (bus_view){data, (size_t)(end - data) - (end[-1] == '}' && end - data > 1)};
    return true;
}

static bool unwrap(sim_frame *out, bus_view text)
{
    bus_view rest = text, object, stream, data;
    if (!sim_json_value(&rest, &object) || object.ptr[0] != '{')
        return salvage(out, text);
    out->data = object;
    if (sim_json_get(object, "stream", &stream) && sim_json_get(object, "data", &data)) {
        out->data = data;
        return sim_json_text(stream, &out->stream);
    }
    return true;
}

bool sim_frame_parse(sim_frame *out, bus_view text)
{
    payload p = {0};
    *out = (sim_frame){0};
    if (!unwrap(out, text))
        return false;
    out->whole = read_payload(&p, out->data, out);
    if (out->stream.len) {
        if (!sim_stream_split(out->stream, out->symbol, out->channel))
            return false;
    } else if (!out->whole || !name_bytes(p.symbol) ||
               !bus_view_copy(p.symbol, out->symbol, sizeof out->symbol) ||
               !guess_channel(&p, out->channel) || !name_bytes(bus_view_of(out->channel))) {
        return false;
    }
    if (sim_channel_is_depth(out->channel))
        memcpy(out->channel, "depth", sizeof "depth");
    else
        out->bids = out->asks = (bus_view){0};
    if (out->whole)
        set_ids(out, &p);
    return true;
}
