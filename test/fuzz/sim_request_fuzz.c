// First byte: which door the rest comes in by: a WebSocket path, a WebSocket request (several, cut at
// line ends), or the body of a fault. The hub stays whole and every answer is JSON.
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "feeds/sim/hub.h"

static void demand(bool ok)
{
    if (!ok)
        abort();
}

static void drain(sim_client *client)
{
    json_error_t error;
    for (sim_message *m = sim_client_next(client); m; m = sim_client_next(client)) {
        json_t *answer = json_loadb((char *)m->bytes, m->len, JSON_DECODE_ANY, &error);
        demand(m->binary || answer != NULL);
        json_decref(answer);
        sim_message_drop(m);
    }
}

static void ask(sim_hub *hub, bus_view text)
{
    sim_client *client;
    bus_mono now = {0};
    demand(sim_hub_join(hub, BUS_VIEW("/stream"), (bus_view){0}, false, now, &client) == BUS_OK);
    while (text.len && !client->closing) {
        const char *end = memchr(text.ptr, '\n', text.len);
        size_t len = end ? (size_t)(end - text.ptr) : text.len;
        now.ns += 1000000000;
        sim_hub_request(hub, client, (bus_view){text.ptr, len}, now);
        demand(client->sub_used <= hub->opts.streams_max);
        sim_outgoing out = {.topic = 0, .payload = BUS_VIEW("{\"e\":\"trade\"}")};
        sim_hub_publish(hub, &out, now);
        drain(client);
        size_t used = end ? len + 1 : len;
        text = (bus_view){text.ptr + used, text.len - used};
    }
    sim_hub_leave(hub, client);
}

static void arm(sim_hub *hub, bus_view text)
{
    sim_fault *fault;
    sim_client *client;
    bus_mono now = {0};
    demand(sim_hub_join(hub, BUS_VIEW("/ws/btcusdt@trade"), (bus_view){0}, false, now, &client) ==
           BUS_OK);
    bus_err err = text.len && text.ptr[0] == '{' ? sim_fault_from_json(&hub->faults, text, &fault)
                                                 : sim_fault_from_text(&hub->faults, text, &fault);
    if (err == BUS_OK)
        sim_hub_arm(hub, fault, now);
    sim_outgoing out = {.topic = 0, .payload = BUS_VIEW("{\"e\":\"trade\"}")};
    for (int i = 0; i < 5; i++) {
        now.ns += 3000000000;
        sim_hub_publish(hub, &out, now);
        (void)sim_hub_turn(hub, now);
    }
    sim_hub_disarm(hub);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int topic;
    sim_hub hub;
    sim_client *client;
    sim_sendlog *log;
    sim_hub_opts opts = {BUS_SPAN_S(20), BUS_SPAN_S(60), BUS_SPAN_S(86400), 5, 8, 1 << 20,
                         false,          false};
    if (size == 0 || sim_sendlog_open(&log, 100, "") != BUS_OK)
        return 0;
    sim_hub_init(&hub, &opts, log);
    demand(sim_topics_add(&hub.topics, "BTCUSDT", "trade", &topic) == BUS_OK);
    bus_view rest = {(const char *)data + 1, size - 1};
    if (data[0] % 3 == 0)
        (void)sim_hub_join(&hub, rest, rest, true, (bus_mono){0}, &client);
    else if (data[0] % 3 == 1)
        ask(&hub, rest);
    else
        arm(&hub, rest);
    sim_hub_release(&hub);
    sim_sendlog_close(log);
    return 0;
}
