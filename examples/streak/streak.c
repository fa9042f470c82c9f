/*
 * streak: a whole worker, to copy. It signals when one side was the aggressor of `length` trades of
 * `symbol` in a row. It needs worker.h and nothing else of Tradelane:
 *
 *     cc -O2 -shared -fPIC -I workhost/devkit examples/streak/streak.c -o examples/streak/streak.so
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker.h"

typedef struct {
    const work_host *host;
    char symbol[32];
    int64_t length;
    /* The state: everything that earlier events have left. Nothing else may decide. */
    int64_t side, count; /* 1: buy, -1: sell, 0: none yet */
} streak;

static int32_t create(void **instance, const work_setup *setup)
{
    streak *s = calloc(1, sizeof *s);
    if (!s)
        return 1;
    s->host = setup->host;
    for (uint32_t i = 0; i < setup->setting_count; i++) {
        const work_setting *one = &setup->settings[i];
        if (strcmp(one->name, "symbol") == 0)
            snprintf(s->symbol, sizeof s->symbol, "%s", one->value);
        else if (strcmp(one->name, "length") == 0)
            s->length = atoll(one->value);
    }
    if (!s->symbol[0] || s->length < 2) {
        s->host->fail(s->host->ctx, "streak needs a symbol and a length of at least 2");
        free(s);
        return 1; /* the worker is shown as failed, with this reason */
    }
    *instance = s;
    return 0;
}

static void destroy(void *instance)
{
    free(instance);
}

static int is(work_view text, const char *want)
{
    return text.len == strlen(want) && memcmp(text.ptr, want, text.len) == 0;
}

static int32_t signal_of(const streak *s)
{
    const char *side = s->side > 0 ? "buy" : "sell";
    char lane[96], data[160];
    int lane_len = snprintf(lane, sizeof lane, "strategy.signal.emitted.streak.%s", s->symbol);
    int data_len =
        snprintf(data, sizeof data, "{\"signal\":\"%s\",\"symbol\":\"%s\",\"length\":%lld}", side,
                 s->symbol, (long long)s->count);
    work_output out = {.struct_size = sizeof out,
                       .data_kind = WORK_DATA_JSON,
                       .lane = {lane, (uint64_t)lane_len},
                       .data = {data, (uint64_t)data_len}};
    return s->host->emit(s->host->ctx, &out);
}

static int32_t process(void *instance, const work_event *event, int64_t now_ns)
{
    streak *s = instance;
    work_view symbol, side;
    (void)now_ns; /* the scenario's clock; never ask the machine's */
    if (s->host->data_text(event, "symbol", &symbol) || s->host->data_text(event, "side", &side) ||
        !is(symbol, s->symbol))
        return 0; /* not for us */
    int64_t now = is(side, "buy") ? 1 : -1;
    s->count = now == s->side ? s->count + 1 : 1;
    s->side = now;
    return s->count == s->length ? signal_of(s) : 0;
}

/* A runtime that is killed goes on from here: the same state, the same decisions. */
static int32_t save(void *instance, work_write write, void *ctx)
{
    const streak *s = instance;
    const int64_t state[2] = {s->side, s->count};
    return write(ctx, state, sizeof state);
}

static int32_t load(void *instance, const void *bytes, uint64_t len)
{
    streak *s = instance;
    int64_t state[2];
    if (len != sizeof state)
        return 1;
    memcpy(state, bytes, sizeof state);
    s->side = state[0];
    s->count = state[1];
    return 0;
}

const work_plugin *work_plugin_table(uint32_t host_abi)
{
    static const work_plugin table = {.abi_version = WORK_ABI_VERSION,
                                      .struct_size = sizeof table,
                                      .name = "streak",
                                      .version = "1",
                                      .create = create,
                                      .destroy = destroy,
                                      .process = process,
                                      .save = save,
                                      .load = load};
    return host_abi >= WORK_ABI_VERSION ? &table : NULL;
}
