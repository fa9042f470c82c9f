// exchangeInfo: recorded, from a file, or made from what the capture's strings need.
// Source: schemas/specs/simexd.md, "Capture play".
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "feeds/sim/inside.h"
#include "feeds/sim/json.h"
#include "feeds/sim/lines.h"

bus_err sim_info_check(bus_view text)
{
    bus_view body, symbols;
    if (sim_json_value(&text, &body) && sim_json_get(body, "symbols", &symbols) &&
        symbols.ptr[0] == '[')
        return BUS_OK;
    return bus_fail(BUS_EINVAL, "no JSON object with an array 'symbols'");
}

static bus_err read_file(const char *path, sim_text *out)
{
    sim_lines *lines = NULL;
    bus_view line;
    int got = 0;
    bus_err err = sim_lines_open(&lines, path);
    if (err)
        return bus_note(err, "exchangeInfo");
    while ((got = sim_lines_next(lines, &line)) > 0) {
        sim_text_add(out, line);
        sim_text_str(out, "\n");
    }
    err = sim_lines_err(lines);
    sim_lines_close(lines);
    if (err == BUS_EIO || err == BUS_ENOMEM)
        return bus_note(err, "exchangeInfo");
    if (got < 0 || sim_info_check(sim_text_view(out)) != BUS_OK)
        return bus_fail(BUS_EINVAL, "exchangeInfo '%s': no JSON object with an array 'symbols'",
                        path);
    return BUS_OK;
}

// <prefix>.exchangeInfo*.json in the capture's folder; "": there is none.
static bus_err find_beside(const char *capture, char *path, size_t cap)
{
    char prefix[PATH_MAX];
    const char *name = strrchr(capture, '/');
    name = name ? name + 1 : capture;
    const char *mark = strstr(name, ".ws.");
    mark = mark ? mark : strchr(name, '.');
    int folder_len = (int)(name - capture), len = mark ? (int)(mark - name) : (int)strlen(name);
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%.*s", folder_len, capture);
    snprintf(prefix, sizeof prefix, "%.*s.exchangeInfo", len, name);
    bool found = false;
    DIR *dir = opendir(folder_len ? folder : ".");
    if (!dir)
        return bus_fail(BUS_EIO, "the folder of capture '%s': %s", capture, strerror(errno));
    for (struct dirent *e = readdir(dir); e && !found; e = readdir(dir)) {
        const char *tail = strrchr(e->d_name, '.');
        found = strncmp(e->d_name, prefix, strlen(prefix)) == 0 && tail &&
                strcmp(tail, ".json") == 0 &&
                snprintf(path, cap, "%s%s", folder, e->d_name) < (int)cap;
    }
    closedir(dir);
    if (!found)
        path[0] = '\0';
    return BUS_OK;
}

// Where base and quote part: at the longest known quote asset.
static size_t base_len(const char *symbol)
{
    static const char *const quotes[] = {
        "FDUSD", "USDT", "USDC", "BUSD", "TUSD", "BIDR", "BTC", "ETH", "BNB", "EUR", "GBP", "TRY",
        "BRL",   "AUD",  "JPY",  "RUB",  "UAH",  "NGN",  "DAI", "PAX", "XRP", "TRX", "USD"};
    size_t len = strlen(symbol);
    for (size_t i = 0; i < sizeof quotes / sizeof quotes[0]; i++) {
        size_t tail = strlen(quotes[i]);
        if (len > tail && strcmp(symbol + len - tail, quotes[i]) == 0)
            return len - tail;
    }
    return len > 3 ? len - 3 : len;
}

// 10^-scale with eight digits, as the venue writes it.
static void unit(int scale, char text[32])
{
    memcpy(text, scale == 0 ? "1.00000000" : "0.00000000", sizeof "0.00000000");
    if (scale > 0 && scale <= 8)
        text[1 + scale] = '1';
    else if (scale > 8)
        snprintf(text, 32, "0.%0*d", scale, 1);
}

static void make_symbol(const sim_instrument *in, sim_text *out)
{
    char tick[32], step[32];
    size_t base = base_len(in->name);
    unit(in->price_scale, tick);
    unit(in->quantity_scale, step);
    sim_text_printf(
        out,
        "{\"symbol\":\"%s\",\"status\":\"TRADING\",\"baseAsset\":\"%.*s\","
        "\"baseAssetPrecision\":8,\"quoteAsset\":\"%s\",\"quotePrecision\":8,"
        "\"quoteAssetPrecision\":8,\"orderTypes\":[\"LIMIT\",\"LIMIT_MAKER\",\"MARKET\"],"
        "\"isSpotTradingAllowed\":true,\"isMarginTradingAllowed\":false,\"filters\":["
        "{\"filterType\":\"PRICE_FILTER\",\"minPrice\":\"%s\","
        "\"maxPrice\":\"1000000.00000000\",\"tickSize\":\"%s\"},"
        "{\"filterType\":\"LOT_SIZE\",\"minQty\":\"%s\",\"maxQty\":\"9000000.00000000\","
        "\"stepSize\":\"%s\"},"
        "{\"filterType\":\"NOTIONAL\",\"minNotional\":\"5.00000000\","
        "\"applyMinToMarket\":true,\"maxNotional\":\"9000000.00000000\","
        "\"applyMaxToMarket\":false,\"avgPriceMins\":5}],\"permissions\":[\"SPOT\"]}",
        in->name, (int)base, in->name, in->name + base, tick, tick, step, step);
}

static void make_info(sim_exchange *x)
{
    sim_text_printf(
        &x->info,
        "{\"timezone\":\"UTC\",\"serverTime\":%lld,\"rateLimits\":["
        "{\"rateLimitType\":\"REQUEST_WEIGHT\",\"interval\":\"MINUTE\",\"intervalNum\":1,"
        "\"limit\":6000}],\"exchangeFilters\":[],\"symbols\":[",
        (long long)(bus_now_wall().ns / 1000000));
    for (size_t i = 0; i < x->instrument_count; i++) {
        sim_text_str(&x->info, i ? "," : "");
        make_symbol(&x->instrument[i], &x->info);
    }
    sim_text_str(&x->info, "]}");
}

bus_err sim_info_load(sim_exchange *x)
{
    char path[PATH_MAX] = "";
    bus_err err = BUS_OK;
    if (x->opts.exchange_info && x->opts.exchange_info[0])
        snprintf(path, sizeof path, "%s", x->opts.exchange_info);
    else if (x->capture)
        err = find_beside(x->opts.captures[0], path, sizeof path);
    if (err)
        return err;
    if (path[0])
        err = read_file(path, &x->info);
    else if (x->capture && sim_capture_info(x->capture).len)
        sim_text_add(&x->info, sim_capture_info(x->capture));
    else
        make_info(x);
    if (!err && x->info.failed)
        err = bus_fail(BUS_ENOMEM, "exchangeInfo");
    return err;
}

static bool wanted(bus_view name, bus_view symbol, bus_view symbols)
{
    sim_json it;
    bus_view item;
    if (symbol.len)
        return bus_view_eq(name, symbol);
    if (!symbols.len)
        return true;
    for (bool more = sim_json_open(&it, symbols); more && sim_json_element(&it, &item);)
        if (sim_json_text(item, &item) && bus_view_eq(item, name))
            return true;
    return false;
}

// The array of symbols with only those wanted; returns how many.
static size_t render_symbols(bus_view array, bus_view symbol, bus_view symbols, sim_text *out)
{
    sim_json it;
    bus_view entry, name;
    size_t count = 0;
    sim_text_str(out, "[");
    for (bool more = sim_json_open(&it, array); more && sim_json_element(&it, &entry);) {
        if (!sim_json_get(entry, "symbol", &name) || !sim_json_text(name, &name) ||
            !wanted(name, symbol, symbols))
            continue;
        sim_text_str(out, count++ ? "," : "");
        sim_text_add(out, entry);
    }
    sim_text_str(out, "]");
    return count;
}

static size_t wanted_count(bus_view symbol, bus_view symbols)
{
    sim_json it;
    bus_view item;
    size_t count = 0;
    if (symbol.len)
        return 1;
    for (bool more = sim_json_open(&it, symbols); more && sim_json_element(&it, &item);)
        count++;
    return count;
}

bus_err sim_info_render(const sim_exchange *x, bus_view symbol, bus_view symbols, sim_text *out)
{
    sim_json it;
    bus_view text = sim_text_view(&x->info), body, key, value;
    size_t count = 0, members = 0;
    if (!sim_json_value(&text, &body) || !sim_json_open(&it, body))
        return bus_fail(BUS_EINTERNAL, "exchangeInfo is not JSON");
    sim_text_str(out, "{");
    while (sim_json_member(&it, &key, &value)) {
        sim_text_str(out, members++ ? ",\"" : "\"");
        sim_text_add(out, key);
        sim_text_str(out, "\":");
        if (bus_view_is(key, "symbols"))
            count = render_symbols(value, symbol, symbols, out);
        else
            sim_text_add(out, value);
    }
    sim_text_str(out, "}");
    if ((symbol.len || symbols.len) && count < wanted_count(symbol, symbols))
        return bus_fail(BUS_ENOTFOUND, "Invalid symbol.");
    return BUS_OK;
}
