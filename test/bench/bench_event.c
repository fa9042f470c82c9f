// event.encode_ns, event.decode_ns: one market event, struct <-> bytes, with every check we make.
// The reference packs and unpacks the same map with msgpack-c, which checks nothing: encode into a
// buffer that is kept, decode with a zone a message, as its documentation has it.
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/event/event.h"
#include "test/bench/common/bench.h"

enum { EVENTS = 400000 };

static const char workload[] = "one trade event of about 400 bytes: 13 attributes, 5 data fields";

static void give_up(const char *what)
{
    fprintf(stderr, "bench_event: %s: %s\n", what, bus_err_text());
    exit(1);
}

static bus_event sample(void)
{
    static uint8_t buf[256];
    bus_pack data = bus_pack_to(buf, sizeof buf);
    static const char json[] =
        "{\"trade_id\":3712345678,\"price\":\"61837.63000000\",\"qty\":\"0.00123000\","
        "\"side\":\"buy\",\"trade_time\":1723161253937}";
    if (bus_pack_from_json(&data, BUS_VIEW(json)))
        give_up("sample");
    return (bus_event){
        .id = BUS_VIEW("trade.BTCUSDT.3712345678"),
        .source = BUS_VIEW("urn:com.virtufin.exchange.binance"),
        .type = BUS_VIEW("com.virtufin.exchange.binance.trade.tape"),
        .subject = BUS_VIEW("currency_pair/BTCUSDT"),
        .time = BUS_VIEW("2024-08-08T23:54:13.937000000Z"),
        .correlationid = BUS_VIEW("01234567-89ab-cdef-0123-456789abcdef"),
        .exchange = BUS_VIEW("binance"),
        .clocktype = BUS_VIEW("wall"),
        .recordedtime = BUS_VIEW("2024-08-08T23:54:13.937085768Z"),
        .walltime = BUS_VIEW("2024-08-08T23:54:13.937185768Z"),
        .marketlane = BUS_VIEW("act"),
        .data = {(const char *)buf, data.len},
    };
}

static double encode_ours(const bus_event *event, uint8_t *buf, size_t cap, size_t *len)
{
    int64_t start = bench_now_ns();
    for (int i = 0; i < EVENTS; i++) {
        bus_pack p = bus_pack_to(buf, cap);
        if (bus_event_encode(&p, event))
            give_up("encode");
        *len = p.len;
    }
    return (double)(bench_now_ns() - start) / EVENTS;
}

static double decode_ours(bus_view bytes)
{
    bus_event event;
    int64_t start = bench_now_ns();
    for (int i = 0; i < EVENTS; i++)
        if (bus_event_decode_msgpack(&event, bytes))
            give_up("decode");
    return (double)(bench_now_ns() - start) / EVENTS;
}

static double encode_theirs(bus_view bytes)
{
    msgpack_unpacked map;
    msgpack_sbuffer sink;
    msgpack_packer packer;
    msgpack_unpacked_init(&map);
    msgpack_sbuffer_init(&sink);
    msgpack_packer_init(&packer, &sink, msgpack_sbuffer_write);
    if (msgpack_unpack_next(&map, bytes.ptr, bytes.len, NULL) != MSGPACK_UNPACK_SUCCESS)
        give_up("msgpack-c unpack");
    int64_t start = bench_now_ns();
    for (int i = 0; i < EVENTS; i++) {
        msgpack_sbuffer_clear(&sink);
        msgpack_pack_object(&packer, map.data);
    }
    double ns = (double)(bench_now_ns() - start) / EVENTS;
    if (sink.size != bytes.len || memcmp(sink.data, bytes.ptr, bytes.len) != 0)
        give_up("msgpack-c wrote other bytes");
    msgpack_sbuffer_destroy(&sink);
    msgpack_unpacked_destroy(&map);
    return ns;
}

static double decode_theirs(bus_view bytes)
{
    int64_t start = bench_now_ns();
    for (int i = 0; i < EVENTS; i++) {
        msgpack_unpacked map;
        msgpack_unpacked_init(&map);
        if (msgpack_unpack_next(&map, bytes.ptr, bytes.len, NULL) != MSGPACK_UNPACK_SUCCESS)
            give_up("msgpack-c unpack");
        msgpack_unpacked_destroy(&map);
    }
    return (double)(bench_now_ns() - start) / EVENTS;
}

int main(void)
{
    uint8_t buf[1024];
    size_t len = 0;
    bus_event event = sample();
    bench_series encode = {.count = 0}, decode = {.count = 0};
    bench_series raw_encode = {.count = 0}, raw_decode = {.count = 0};
    for (int rep = 0; rep < BENCH_REPS; rep++) {
        bench_add(&encode, encode_ours(&event, buf, sizeof buf, &len));
        bus_view bytes = {(const char *)buf, len};
        bench_add(&raw_encode, encode_theirs(bytes));
        bench_add(&decode, decode_ours(bytes));
        bench_add(&raw_decode, decode_theirs(bytes));
    }
    bench_print(&(bench_figure){"event.encode_ns", "ns", &encode, "msgpack-c", &raw_encode,
                                workload, EVENTS});
    bench_print(&(bench_figure){"event.decode_ns", "ns", &decode, "msgpack-c", &raw_decode,
                                workload, EVENTS});
    return 0;
}
