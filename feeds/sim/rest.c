// The venue's REST endpoints. Source: schemas/specs/simexd.md, "Venue endpoints: REST".
#include <stdio.h>

#include "feeds/sim/inside.h"

enum { DEPTH_LIMIT = 100, DEPTH_LIMIT_MAX = 5000 };

bool sim_query_get(bus_view query, const char *key, bus_view *value)
{
    size_t key_len = strlen(key);
    while (query.len) {
        const char *amp = memchr(query.ptr, '&', query.len);
        size_t len = amp ? (size_t)(amp - query.ptr) : query.len;
        if (len > key_len && memcmp(query.ptr, key, key_len) == 0 && query.ptr[key_len] == '=') {
            *value = (bus_view){query.ptr + key_len + 1, len - key_len - 1};
            return true;
        }
        size_t used = amp ? len + 1 : len;
        query = (bus_view){query.ptr + used, query.len - used};
    }
    return false;
}

static void refuse(sim_answer *a, int code, const char *msg)
{
    a->status = 400;
    sim_text_clear(&a->body);
    sim_text_printf(&a->body, "{\"code\":%d,\"msg\":", code);
    sim_text_quoted(&a->body, bus_view_of(msg));
    sim_text_str(&a->body, "}");
}

static bool symbol_legal(bus_view text)
{
    if (text.len < 1 || text.len > 20)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'))
            return false;
    }
    return true;
}

// The mandatory symbol of a request; false: refused.
static bool read_symbol(const sim_exchange *x, bus_view query, sim_answer *a, int *symbol_no)
{
    bus_view symbol = {0};
    if (!sim_query_get(query, "symbol", &symbol) || symbol.len == 0) {
        refuse(a, -1102,
               "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.");
        return false;
    }
    if (!symbol_legal(symbol)) {
        refuse(a, -1100,
               "Illegal characters found in parameter 'symbol'; legal range is "
               "'^[A-Z0-9-_.]{1,20}$'.");
        return false;
    }
    *symbol_no = sim_topics_symbol(&x->hub.topics, symbol);
    if (*symbol_no < 0)
        refuse(a, -1121, "Invalid symbol.");
    return *symbol_no >= 0;
}

static bool read_limit(bus_view query, sim_answer *a, size_t preset, size_t max, size_t *limit)
{
    bus_view text;
    uint64_t n;
    *limit = preset;
    if (!sim_query_get(query, "limit", &text))
        return true;
    if (text.len > 20 || !bus_view_u64(text, &n)) {
        refuse(a, -1100,
               "Illegal characters found in parameter 'limit'; legal range is "
               "'^[0-9]{1,20}$'.");
        return false;
    }
    if (n == 0) {
        refuse(a, -1130, "Data sent for parameter 'limit' is not valid.");
        return false;
    }
    *limit = n > max ? max : (size_t)n;
    return true;
}

// A request waits while a recorded snapshot of its symbol is ahead, or its book has not begun.
static bool must_wait(const sim_exchange *x, int symbol_no)
{
    const sim_instrument *in = &x->instrument[symbol_no];
    if (!x->capture || x->play.state == SIM_ENDED)
        return false;
    if (in->snapshots_left)
        return true;
    return !sim_history_has_base(in->history) &&
           sim_topics_find(&x->hub.topics, in->name, "depth") >= 0;
}

static void depth(sim_exchange *x, const sim_ask *ask, sim_answer *a)
{
    int symbol_no;
    size_t limit;
    if (!read_symbol(x, ask->query, a, &symbol_no) ||
        !read_limit(ask->query, a, DEPTH_LIMIT, DEPTH_LIMIT_MAX, &limit))
        return;
    a->weight = limit <= 100 ? 5 : limit <= 500 ? 25 : limit <= 1000 ? 50 : 250;
    if (!must_wait(x, symbol_no)) {
        a->status = 200;
        if (x->capture)
            sim_capture_feed_depth(x, symbol_no, limit, &a->body);
        else
            sim_synth_feed_depth(x, symbol_no, limit, &a->body);
    } else if (x->waiter_count == SIM_WAITERS_MAX) {
        refuse(a, -1000, "Too many depth requests wait.");
        a->status = 503;
    } else {
        x->waiter[x->waiter_count++] = (sim_waiter){ask->cookie, symbol_no, limit};
        a->status = 0;
    }
}

static void exchange_info(sim_exchange *x, const sim_ask *ask, sim_answer *a)
{
    bus_view symbol = {0}, symbols = {0};
    a->weight = 20;
    bool one = sim_query_get(ask->query, "symbol", &symbol);
    bool many = sim_query_get(ask->query, "symbols", &symbols);
    if (one && many) {
        refuse(a, -1128, "Combination of optional parameters invalid.");
    } else if ((one && !symbol_legal(symbol))) {
        refuse(a, -1100,
               "Illegal characters found in parameter 'symbol'; legal range is "
               "'^[A-Z0-9-_.]{1,20}$'.");
    } else if (many && (symbols.len < 2 || symbols.ptr[0] != '[')) {
        refuse(a, -1100,
               "Illegal characters found in parameter 'symbols'; legal range is a JSON "
               "array of symbols.");
    } else if (sim_info_render(x, symbol, symbols, &a->body) != BUS_OK) {
        refuse(a, -1121, "Invalid symbol.");
    } else {
        a->status = 200;
    }
}

static void trades(sim_exchange *x, const sim_ask *ask, sim_answer *a)
{
    int symbol_no;
    size_t limit;
    a->weight = 25;
    if (!read_symbol(x, ask->query, a, &symbol_no) ||
        !read_limit(ask->query, a, 500, SIM_TRADES_KEPT, &limit))
        return;
    a->status = 200;
    if (x->synth)
        sim_synth_feed_trades(x, symbol_no, limit, &a->body);
    else
        sim_text_str(&a->body, "[]");
}

static void klines(sim_exchange *x, const sim_ask *ask, sim_answer *a)
{
    int symbol_no;
    size_t limit;
    bus_view interval = {0};
    a->weight = 2;
    if (!read_symbol(x, ask->query, a, &symbol_no) ||
        !read_limit(ask->query, a, 500, SIM_BARS_KEPT, &limit))
        return;
    (void)sim_query_get(ask->query, "interval", &interval);
    int no = sim_interval_find(interval);
    if (no < 0) {
        refuse(a, interval.len ? -1120 : -1102,
               interval.len ? "Invalid interval."
                            : "Mandatory parameter 'interval' was not sent, was empty/null, or "
                              "malformed.");
        return;
    }
    a->status = 200;
    if (x->synth)
        sim_synth_feed_klines(x, symbol_no, no, limit, &a->body);
    else
        sim_text_str(&a->body, "[]");
}

static void ping(sim_exchange *x, const sim_ask *ask, sim_answer *a)
{
    (void)x, (void)ask;
    a->status = 200;
    sim_text_str(&a->body, "{}");
}

static void server_time(sim_exchange *x, const sim_ask *ask, sim_answer *a)
{
    (void)x, (void)ask;
    a->status = 200;
    sim_text_printf(&a->body, "{\"serverTime\":%lld}", (long long)(bus_now_wall().ns / 1000000));
}

static const struct {
    const char *path;
    void (*fn)(sim_exchange *x, const sim_ask *ask, sim_answer *a);
} ROUTES[] = {
    {"/api/v3/ping", ping},
    {"/api/v3/time", server_time},
    {"/api/v3/exchangeInfo", exchange_info},
    {"/api/v3/depth", depth},
    {"/api/v3/trades", trades},
    {"/api/v3/klines", klines},
};

void sim_rest_ask(sim_exchange *x, const sim_ask *ask, sim_answer *a)
{
    a->weight = 1;
    for (size_t i = 0; i < sizeof ROUTES / sizeof ROUTES[0]; i++) {
        if (!bus_view_is(ask->path, ROUTES[i].path))
            continue;
        if (bus_view_is(ask->method, "GET")) {
            ROUTES[i].fn(x, ask, a);
            return;
        }
        refuse(a, -1106, "This endpoint answers GET alone.");
        a->status = 405;
        return;
    }
    refuse(a, -1000, "No such endpoint.");
    a->status = 404;
}
