// sma: a moving-average crossover on trades, as a native worker. Integers only.
// Source: schemas/specs/workers.md, "The moving-average worker".
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base/decimal.h"
#include "bus/event/pack.h"
#include "workhost/devkit/worker.h"

enum { PRICE_SCALE = 8, WINDOW_MAX = 1000, NAME_CAP = 72, MARKETS_MAX = 4096, SLOTS = 8192 };

// The last `slow` prices of one symbol on one exchange, in a ring.
typedef struct {
    char exchange[NAME_CAP], symbol[NAME_CAP];
    int32_t sign; // the last one that was not zero; 0: none yet
    uint32_t count, next;
    bus_wide sum_fast, sum_slow;
    int64_t price[];
} market;

typedef struct {
    const work_host *host;
    uint32_t fast, slow;
    char strategy[NAME_CAP];
    char lane[NAME_CAP + 40];
    market *slot[SLOTS]; // open addressing by (exchange, symbol)
    uint32_t market_count;
} sma;

static int32_t refuse(const sma *s, const char *reason)
{
    s->host->fail(s->host->ctx, reason);
    return 1;
}

// --- markets -----------------------------------------------------------------------------------------

static uint64_t hash_of(bus_view a, bus_view b)
{
    uint64_t h = 1469598103934665603u;
    for (size_t i = 0; i < a.len; i++)
        h = (h ^ (uint8_t)a.ptr[i]) * 1099511628211u;
    h *= 1099511628211u;
    for (size_t i = 0; i < b.len; i++)
        h = (h ^ (uint8_t)b.ptr[i]) * 1099511628211u;
    return h;
}

// The market's slot: its own, or the empty one where it belongs.
static market **slot_of(sma *s, bus_view exchange, bus_view symbol)
{
    uint64_t i = hash_of(exchange, symbol) % SLOTS;
    while (s->slot[i] && !(bus_view_is(exchange, s->slot[i]->exchange) &&
                           bus_view_is(symbol, s->slot[i]->symbol)))
        i = (i + 1) % SLOTS;
    return &s->slot[i];
}

static market *market_of(sma *s, bus_view exchange, bus_view symbol)
{
    market **slot = slot_of(s, exchange, symbol);
    if (*slot || s->market_count == MARKETS_MAX)
        return *slot;
    market *m = calloc(1, sizeof *m + s->slow * sizeof m->price[0]);
    if (!m || !bus_view_copy(exchange, m->exchange, NAME_CAP) ||
        !bus_view_copy(symbol, m->symbol, NAME_CAP)) {
        free(m);
        return NULL;
    }
    s->market_count++;
    *slot = m;
    return m;
}

static void push(const sma *s, market *m, int64_t price)
{
    uint32_t slow = s->slow, fast = s->fast;
    if (m->count >= fast)
        m->sum_fast -= m->price[(m->next + slow - fast) % slow];
    if (m->count >= slow)
        m->sum_slow -= m->price[m->next];
    m->sum_fast += price;
    m->sum_slow += price;
    m->price[m->next] = price;
    m->next = (m->next + 1) % slow;
    m->count += m->count < slow;
}

// --- life --------------------------------------------------------------------------------------------

static bool setting_number(const work_setting *set, uint32_t *out)
{
    uint64_t n;
    if (!bus_view_u64(bus_view_of(set->value), &n) || n < 1 || n > WINDOW_MAX)
        return false;
    *out = (uint32_t)n;
    return true;
}

static int32_t read_settings(sma *s, const work_setup *setup)
{
    char text[200];
    snprintf(s->strategy, sizeof s->strategy, "%s", setup->worker);
    for (uint32_t i = 0; i < setup->setting_count; i++) {
        const work_setting *set = &setup->settings[i];
        bool ok = true;
        if (strcmp(set->name, "fast") == 0)
            ok = setting_number(set, &s->fast);
        else if (strcmp(set->name, "slow") == 0)
            ok = setting_number(set, &s->slow);
        else if (strcmp(set->name, "strategy") == 0)
            ok = bus_view_copy(bus_view_of(set->value), s->strategy, 65) && *set->value;
        else
            ok = false;
        if (!ok) {
            snprintf(text, sizeof text,
                     "config '%.40s' is '%.60s'; known are fast and slow (1..%d) and strategy",
                     set->name, set->value, WINDOW_MAX);
            return refuse(s, text);
        }
    }
    if (s->fast >= s->slow)
        return refuse(s, "config 'fast' must be less than 'slow'");
    snprintf(s->lane, sizeof s->lane, "strategy.signal.emitted.%s", s->strategy);
    return 0;
}

static void sma_destroy(void *instance)
{
    sma *s = instance;
    for (int i = 0; i < SLOTS; i++)
        free(s->slot[i]);
    free(s);
}

static int32_t sma_create(void **instance, const work_setup *setup)
{
    sma *s = calloc(1, sizeof *s);
    if (!s)
        return 1;
    s->host = setup->host;
    s->fast = 5;
    s->slow = 20;
    if (read_settings(s, setup)) {
        sma_destroy(s);
        return 1;
    }
    *instance = s;
    return 0;
}

// --- events ------------------------------------------------------------------------------------------

static void put_mean(bus_pack *p, bus_wide sum, uint32_t count)
{
    char text[BUS_DECIMAL_TEXT];
    int len = bus_decimal_format((int64_t)(sum / count), PRICE_SCALE, text);
    bus_pack_str(p, (bus_view){text, (size_t)len});
}

static int32_t emit_signal(const sma *s, const market *m, work_view price, int64_t trade_id)
{
    char packed[1024], subject[NAME_CAP + 20];
    bus_pack p = bus_pack_to(packed, sizeof packed);
    bus_pack_map(&p, 7);
    bus_pack_key(&p, "strategy");
    bus_pack_key(&p, s->strategy);
    bus_pack_key(&p, "symbol");
    bus_pack_key(&p, m->symbol);
    bus_pack_key(&p, "signal");
    bus_pack_key(&p, m->sign > 0 ? "buy" : "sell");
    bus_pack_key(&p, "price");
    bus_pack_str(&p, (bus_view){price.ptr, price.len});
    bus_pack_key(&p, "fast");
    put_mean(&p, m->sum_fast, s->fast);
    bus_pack_key(&p, "slow");
    put_mean(&p, m->sum_slow, s->slow);
    bus_pack_key(&p, "trade_id");
    bus_pack_int(&p, trade_id);
    if (p.overflow)
        return refuse(s, "the signal is too large");
    int len = snprintf(subject, sizeof subject, "currency_pair/%s", m->symbol);
    work_output out = {.struct_size = sizeof out,
                       .data_kind = WORK_DATA_MSGPACK,
                       .lane = {s->lane, strlen(s->lane)},
                       .subject = {subject, (uint64_t)len},
                       .data = {packed, p.len}};
    return s->host->emit(s->host->ctx, &out);
}

static int32_t sma_process(void *instance, const work_event *event, int64_t now_ns)
{
    sma *s = instance;
    const work_host *host = s->host;
    work_view symbol, price;
    int64_t trade_id, value;
    int32_t aggregate = 0;
    (void)now_ns;
    if (host->data_bool(event, "aggregate", &aggregate) == 0 && aggregate)
        return 0;
    if (host->data_text(event, "symbol", &symbol) || host->data_text(event, "price", &price) ||
        host->data_int(event, "trade_id", &trade_id))
        return 0; // not a trade
    if (bus_decimal_parse((bus_view){price.ptr, price.len}, PRICE_SCALE, &value))
        return refuse(s, bus_err_text());
    market *m = market_of(s, (bus_view){event->exchange.ptr, event->exchange.len},
                          (bus_view){symbol.ptr, symbol.len});
    if (!m)
        return refuse(s, "out of memory, more than 4,096 symbols, or a symbol beyond 71 bytes");
    push(s, m, value);
    if (m->count < s->slow)
        return 0;
    bus_wide difference = m->sum_fast * s->slow - m->sum_slow * s->fast;
    int32_t sign = (difference > 0) - (difference < 0);
    if (sign == 0 || sign == m->sign)
        return 0;
    bool first = m->sign == 0;
    m->sign = sign;
    return first ? 0 : emit_signal(s, m, price, trade_id);
}

// --- state: [fast, slow, [exchange, symbol, sign, [price oldest first …]] …] -----------------------------

static void pack_market(bus_pack *p, const sma *s, const market *m)
{
    bus_pack_array(p, 4);
    bus_pack_key(p, m->exchange);
    bus_pack_key(p, m->symbol);
    bus_pack_int(p, m->sign);
    bus_pack_array(p, m->count);
    for (uint32_t i = 0; i < m->count; i++)
        bus_pack_int(p, m->price[(m->next + s->slow - m->count + i) % s->slow]);
}

static int32_t sma_save(void *instance, work_write write, void *ctx)
{
    sma *s = instance;
    size_t cap = 64 + s->market_count * (2 * NAME_CAP + 16 + 9 * (size_t)s->slow);
    uint8_t *buf = malloc(cap);
    if (!buf)
        return refuse(s, "out of memory");
    bus_pack p = bus_pack_to(buf, cap);
    bus_pack_array(&p, 2 + s->market_count);
    bus_pack_uint(&p, s->fast);
    bus_pack_uint(&p, s->slow);
    for (int i = 0; i < SLOTS; i++) {
        if (s->slot[i])
            pack_market(&p, s, s->slot[i]);
    }
    int32_t rc = p.overflow ? refuse(s, "state buffer") : write(ctx, buf, p.len);
    free(buf);
    return rc;
}

static bool next_of(bus_cursor *c, bus_pack_kind kind, bus_pack_value *out)
{
    return bus_cursor_next(c, out) && out->kind == kind;
}

static bool load_market(sma *s, bus_cursor *c)
{
    bus_pack_value v, exchange, symbol, sign;
    if (!next_of(c, BUS_PACK_ARRAY, &v) || v.as.count != 4 ||
        !next_of(c, BUS_PACK_STR, &exchange) || !next_of(c, BUS_PACK_STR, &symbol) ||
        !next_of(c, BUS_PACK_INT, &sign) || sign.as.integer < -1 || sign.as.integer > 1 ||
        !next_of(c, BUS_PACK_ARRAY, &v) || v.as.count > s->slow)
        return false;
    market *m = market_of(s, exchange.as.bytes, symbol.as.bytes);
    if (!m || m->count)
        return false;
    m->sign = (int32_t)sign.as.integer;
    for (uint32_t n = v.as.count; n > 0; n--) {
        if (!next_of(c, BUS_PACK_INT, &v))
            return false;
        push(s, m, v.as.integer);
    }
    return true;
}

static int32_t sma_load(void *instance, const void *bytes, uint64_t len)
{
    sma *s = instance;
    bus_view packed = {bytes, len};
    bus_pack_limits limits = {.nodes_max = UINT32_MAX};
    if (bus_pack_validate(packed, &limits))
        return refuse(s, bus_err_text());
    bus_cursor c = bus_cursor_of(packed);
    bus_pack_value count, fast, slow;
    if (!next_of(&c, BUS_PACK_ARRAY, &count) || count.as.count < 2 ||
        !next_of(&c, BUS_PACK_INT, &fast) || !next_of(&c, BUS_PACK_INT, &slow) ||
        fast.as.integer != s->fast || slow.as.integer != s->slow)
        return refuse(s, "the saved state is of other windows");
    for (uint32_t i = 2; i < count.as.count; i++) {
        if (!load_market(s, &c))
            return refuse(s, "the saved state is broken");
    }
    return 0;
}

const work_plugin *work_plugin_table(uint32_t host_abi)
{
    static const work_plugin table = {
        .abi_version = WORK_ABI_VERSION,
        .struct_size = sizeof(work_plugin),
        .name = "sma",
        .version = "1",
        .create = sma_create,
        .destroy = sma_destroy,
        .process = sma_process,
        .save = sma_save,
        .load = sma_load,
    };
    return host_abi >= WORK_ABI_VERSION ? &table : NULL;
}
