// HTTP requests to the simulated exchange, one a line: method, path, query and body with blanks between (the
// body may hold some). Venue's interface and the admin's; every answer has a status and, where it says
// so, is JSON.
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "feeds/sim/inside.h"

static void demand(bool ok)
{
    if (!ok)
        abort();
}

static void on_answer(void *ctx, void *cookie, sim_answer *answer)
{
    (void)ctx;
    (void)cookie;
    sim_text_release(&answer->body);
}

static sim_exchange *given_exchange(void)
{
    static const char *const symbols[] = {"BTCUSDT"};
    sim_exchange *x;
    sim_exchange_opts opts = {
        .speed = "1x",
        .exchange_info = "",
        .symbols = symbols,
        .symbol_count = 1,
        .seed = 1,
        .rate = 20, // two events a line: what is asked is to be tried, not the market
        .events = 200,
        .state_folder = "",
        .send_log = "",
        .log_entries = 100,
        .history_bytes = 1 << 20,
        .hub = {BUS_SPAN_S(20), BUS_SPAN_S(60), BUS_SPAN_S(86400), 5, 8, 1 << 20, false, false}};
    demand(sim_exchange_open(&x, &opts) == BUS_OK);
    sim_exchange_on_answer(x, on_answer, NULL);
    return x;
}

static bus_view word(bus_view *rest)
{
    const char *blank = rest->len ? memchr(rest->ptr, ' ', rest->len) : NULL;
    bus_view w = {rest->ptr, blank ? (size_t)(blank - rest->ptr) : rest->len};
    size_t used = blank ? w.len + 1 : w.len;
    *rest = (bus_view){rest->ptr + used, rest->len - used};
    return w;
}

static void ask(sim_exchange *x, bus_view line, bus_mono now)
{
    sim_answer answer;
    sim_ask a = {.cookie = x};
    json_error_t error;
    a.method = word(&line);
    a.path = word(&line);
    a.query = word(&line);
    a.body = line;
    sim_exchange_ask(x, &a, &answer, now);
    demand(answer.status == 0 || (answer.status >= 200 && answer.status < 600));
    bool json = answer.status && strncmp(answer.type, "application/json", 16) == 0;
    if (json && answer.body.len) {
        json_t *body = json_loadb(answer.body.ptr, answer.body.len, JSON_DECODE_ANY, &error);
        demand(body != NULL);
        json_decref(body);
    }
    if (answer.status == 0)
        sim_exchange_forget(x, x);
    sim_text_release(&answer.body);
}

// The exchange grows while it is asked, which looks like a leak after each input and costs a hundred times the
// asking. Leaks are looked for when the process ends.
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static char later[] = "-detect_leaks=0", *args[64];
    if (*argc > 60)
        return 0;
    memcpy(args, *argv, (size_t)*argc * sizeof *args);
    args[(*argc)++] = later;
    *argv = args;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    // Making a market takes longer than asking it: one serves many inputs.
    enum { INPUTS_AN_EXCHANGE = 200 };
    static sim_exchange *x;
    static int inputs;
    bus_view text = {(const char *)data, size};
    bus_mono now = bus_now_mono();
    if (inputs++ % INPUTS_AN_EXCHANGE == 0) {
        sim_exchange_close(x);
        x = given_exchange();
    }
    while (text.len) {
        const char *end = memchr(text.ptr, '\n', text.len);
        size_t len = end ? (size_t)(end - text.ptr) : text.len, used = end ? len + 1 : len;
        now.ns += 100000000;
        (void)sim_exchange_turn(x, now);
        ask(x, (bus_view){text.ptr, len}, now);
        text = (bus_view){text.ptr + used, text.len - used};
    }
    ask(x, BUS_VIEW("DELETE /sim/v1/fault"), now); // faults do not reach the next input
    return 0;
}
