// The simulated exchange when memory is out: a client that cannot be served is closed or refused by name; no frame, book or
// answer is wrong. Source: schemas/specs/simexd.md.
#include <jansson.h>
#include <stdlib.h>

#include "feeds/sim/inside.h"
#include "sweep.h"
#include "test/support/test.h"

static const char *const symbols[] = {"BTCUSDT", "ETHUSDT"};
static const char *const captures[] = {TL_BUILD_DIR "/test/data/small.gz"};

static sim_exchange_opts synthetic(void)
{
    return (sim_exchange_opts){
        .speed = "1x",
        .exchange_info = "",
        .symbols = symbols,
        .symbol_count = 2,
        .seed = 1,
        .rate = 1000,
        .events = 200,
        .state_folder = "",
        .send_log = "",
        .log_entries = 1000,
        .history_bytes = 1 << 20,
        .hub = {BUS_SPAN_S(20), BUS_SPAN_S(60), BUS_SPAN_S(86400), 5, 8, 1 << 20, false, false}};
}

static void no_answer(void *ctx, void *cookie, sim_answer *answer)
{
    (void)ctx, (void)cookie;
    sim_text_release(&answer->body);
}

// An answer is whole JSON, or its status says that there is none.
static bus_err ask(sim_exchange *x, const char *path, const char *query)
{
    sim_answer answer;
    json_error_t error;
    sim_ask a = {.method = BUS_VIEW("GET"),
                 .path = bus_view_of(path),
                 .query = bus_view_of(query),
                 .cookie = x};
    bus_err err = BUS_OK;
    sim_exchange_ask(x, &a, &answer, (bus_mono){1000000000});
    if (answer.body.failed) { // the server tells the client so
        err = BUS_ENOMEM;
    } else if (answer.status == 200) {
        json_t *body = json_loadb(answer.body.ptr, answer.body.len, 0, &error);
        if (!body)
            err = bus_fail(BUS_EDATALOSS, "%s: an answer that is no JSON: %s", path, error.text);
        json_decref(body);
    } else if (answer.status == 500 || strcmp(path, "/sim/v1/log") == 0) {
        err = BUS_ENOMEM; // an entry that is not kept is 404
    } else {
        err = bus_fail(BUS_EDATALOSS, "%s: status %d", path, answer.status);
    }
    sim_text_release(&answer.body);
    return err;
}

static bus_err serve(const sim_exchange_opts *opts)
{
    sim_exchange *x = NULL;
    sim_client *client = NULL;
    bus_err err = sim_exchange_open(&x, opts);
    if (err)
        return err;
    sim_exchange_on_answer(x, no_answer, NULL);
    sim_hub *hub = sim_exchange_hub(x);
    err = sim_hub_join(hub, BUS_VIEW("/stream"), BUS_VIEW("btcusdt@trade"), false, (bus_mono){1},
                       &client);
    if (!err)
        sim_hub_request(
            hub, client,
            BUS_VIEW("{\"method\":\"SUBSCRIBE\",\"params\":[\"btcusdt@depth\"],\"id\":1}"),
            (bus_mono){1});
    for (int i = 1; i < 20 && !err; i++)
        (void)sim_exchange_turn(x, (bus_mono){i * 100000000});
    if (!err)
        err = ask(x, "/api/v3/exchangeInfo", "");
    if (!err)
        err = ask(x, "/api/v3/depth", "symbol=BTCUSDT&limit=5");
    if (!err)
        err = ask(x, "/sim/v1/status", "");
    if (!err)
        err = ask(x, "/sim/v1/log", "from=1&limit=2");
    if (client)
        sim_hub_leave(hub, client);
    sim_exchange_close(x);
    return err;
}

static bus_err serve_market(void *ctx)
{
    sim_exchange_opts opts = synthetic();
    (void)ctx;
    return serve(&opts);
}

static bus_err open_capture(void *ctx)
{
    sim_exchange_opts opts = synthetic();
    sim_exchange *x = NULL;
    opts.captures = captures;
    opts.capture_count = 1;
    (void)ctx;
    bus_err err = sim_exchange_open(&x, &opts);
    if (!err)
        sim_exchange_close(x);
    return err;
}

Test(sim_memory, a_market_is_served_whole_or_refused)
{
    sweep_allocations(&(sweep_case){.name = "market",
                                    .run = serve_market,
                                    .allocations_min = 100,
                                    .can_do_without = true,
                                    .may_end = true});
}

Test(sim_memory, a_capture_is_opened_whole_or_not_at_all)
{
    sweep_allocations(&(sweep_case){
        .name = "capture", .run = open_capture, .allocations_min = 20, .may_end = true});
}
