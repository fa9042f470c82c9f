#include "market.h"

#include <inttypes.h>
#include <stdio.h>

#include "bus/nats/publisher.h"
#include "bus/nats/stream.h"

static const int64_t epoch_ns = INT64_C(1723161253000000000);
static const char *const symbols[] = {"BTCUSDT", "ETHUSDT", "SOLUSDT", "BTC~2FUSD"};
enum { SYMBOLS = 4 };

bus_recorded_time market_recorded(uint64_t n)
{
    int64_t ns = epoch_ns + (int64_t)n * 1000000 + 123;
    return (bus_recorded_time){n % 16 == 0 ? ns - 5000000 : ns};
}

static void pack_levels(bus_pack *p, const char *key, uint64_t n)
{
    char price[32], quantity[32];
    bus_pack_key(p, key);
    bus_pack_array(p, 5);
    for (uint64_t i = 0; i < 5; i++) {
        snprintf(price, sizeof price, "%" PRIu64 ".%02" PRIu64, 61000 + (n + i) % 997, n % 100);
        snprintf(quantity, sizeof quantity, "0.%05" PRIu64, (n * 7 + i) % 99991);
        bus_pack_array(p, 2);
        bus_pack_str(p, bus_view_of(price));
        bus_pack_str(p, bus_view_of(quantity));
    }
}

static void pack_data(bus_pack *p, uint64_t n, bool depth)
{
    char price[32];
    snprintf(price, sizeof price, "61%03" PRIu64 ".63000000", n % 1000);
    bus_pack_map(p, depth ? 4 : 4);
    if (depth) {
        bus_pack_key(p, "first_update_id");
        bus_pack_uint(p, n * 3);
        bus_pack_key(p, "last_update_id");
        bus_pack_uint(p, n * 3 + 2);
        pack_levels(p, "bids_delta", n);
        pack_levels(p, "asks_delta", n + 1);
        return;
    }
    bus_pack_key(p, "trade_id");
    bus_pack_uint(p, n);
    bus_pack_key(p, "price");
    bus_pack_str(p, bus_view_of(price));
    bus_pack_key(p, "qty");
    bus_pack_str(p, BUS_VIEW("0.00100000"));
    bus_pack_key(p, "side");
    bus_pack_str(p, n % 2 ? BUS_VIEW("buy") : BUS_VIEW("sell"));
}

size_t market_event(uint64_t n, char subject[BUS_SUBJECT_BUF], uint8_t bytes[MARKET_BYTES])
{
    bool depth = n % 3 == 0;
    const char *symbol = symbols[n % SYMBOLS], *kind = depth ? "orderbook.update" : "trade.tape";
    uint8_t data[MARKET_BYTES / 2];
    char id[64], type[96], of[64], time[BUS_TIME_TEXT], recorded[BUS_TIME_TEXT];
    bus_pack d = bus_pack_to(data, sizeof data), p = bus_pack_to(bytes, MARKET_BYTES);
    pack_data(&d, n, depth);
    snprintf(subject, BUS_SUBJECT_BUF, "act.exchange.binance.%s.%s", kind, symbol);
    snprintf(id, sizeof id, "%s.%s.%" PRIu64, depth ? "depth" : "trade", symbol, n);
    snprintf(type, sizeof type, "com.virtufin.exchange.binance.%s", kind);
    snprintf(of, sizeof of, "currency_pair/%s", symbol);
    bus_time_format(market_recorded(n).ns, recorded);
    bus_time_format(market_recorded(n).ns - 2000000, time);
    bus_event event = {.id = bus_view_of(id),
                       .source = BUS_VIEW("urn:com.virtufin.exchange.binance"),
                       .type = bus_view_of(type),
                       .subject = bus_view_of(of),
                       .time = bus_view_of(time),
                       .datacontenttype = BUS_VIEW("application/json"),
                       .correlationid = BUS_VIEW("0af76519-16cd-43dd-8448-eb211c80319c"),
                       .exchange = BUS_VIEW("binance"),
                       .clocktype = BUS_VIEW("wall"),
                       .eventtime = bus_view_of(time),
                       .recordedtime = bus_view_of(recorded),
                       .walltime = bus_view_of(recorded),
                       .marketlane = BUS_VIEW("act"),
                       .data = {(const char *)d.buf, d.len}};
    if (bus_event_encode(&p, &event))
        return 0;
    return p.len;
}

bus_conn *market_connect(const char *url)
{
    bus_conn *conn = NULL;
    bus_conn_opts opts = {.url = url, .name = "market", .profile = BUS_PROFILE_BULK};
    if (bus_conn_open(&conn, &opts) || bus_conn_wait(conn, BUS_SPAN_S(10))) {
        bus_conn_close(conn);
        return NULL;
    }
    return conn;
}

static bool make_stream(const char *url)
{
    static const char *const subjects[] = {"act.>", NULL};
    bus_stream_def def = {
        .name = "ACT", .subjects = subjects, .allow_direct = true, .allow_batched = true};
    bus_conn *conn = market_connect(url);
    bus_stream_info info;
    bool ok = conn && (bus_stream_info_get(conn, "ACT", &info) == BUS_OK ||
                       bus_stream_ensure(conn, &def, NULL) == BUS_OK);
    bus_conn_close(conn);
    return ok;
}

bool market_write(const char *url, uint64_t first, uint64_t count)
{
    bus_publisher *pub = NULL;
    bus_publisher_opts opts = {.conn = {.url = url, .name = "market", .profile = BUS_PROFILE_BULK}};
    static const bus_header_pair type = {"Content-Type", BUS_CONTENT_MSGPACK};
    if (!make_stream(url) || bus_publisher_open(&pub, &opts))
        return false;
    for (uint64_t n = first; n < first + count;) {
        char subject[BUS_SUBJECT_BUF];
        uint8_t bytes[MARKET_BYTES];
        bus_view payload = {(const char *)bytes, market_event(n, subject, bytes)};
        bus_publish_result result = bus_publisher_send(pub, subject, NULL, &type, 1, payload, n);
        n += result == BUS_PUBLISH_SENT;
        if (result == BUS_PUBLISH_ERROR)
            break;
        if (result == BUS_PUBLISH_FULL)
            bus_publisher_wait(pub, BUS_SPAN_MS(50));
    }
    bool ok = bus_publisher_wait(pub, BUS_SPAN_S(60)) == BUS_OK;
    bus_publisher_close(pub);
    return ok;
}
