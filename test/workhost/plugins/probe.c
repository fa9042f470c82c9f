// probe: a worker that does what its settings say, for the tests of engines, runtimes and the host.
//   fail crash hang flood badlane late   trade id at which it does that
//   elsewhere                             trade id that it answers on `topic` as well
//   every                                 answers each n-th event (default 1)
//   once                                  a file: fail and crash happen only while it does not exist
// Answer: {"trade_id":…,"count":…,"sum":…,"now":…} on strategy.signal.emitted.probe; count and sum are
// its state, so a lost or repeated event shows in every later answer.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workhost/devkit/worker.h"

typedef struct {
    const work_host *host;
    int64_t fail, crash, hang, flood, badlane, elsewhere, every;
    char once[256], topic[256];
    int64_t count, sum;
} probe;

static int32_t create(void **out, const work_setup *setup)
{
    probe *p = calloc(1, sizeof *p);
    struct {
        const char *name;
        int64_t *value;
    } rows[] = {{"fail", &p->fail},   {"crash", &p->crash},     {"hang", &p->hang},
                {"flood", &p->flood}, {"badlane", &p->badlane}, {"elsewhere", &p->elsewhere},
                {"every", &p->every}};
    if (!p)
        return 1;
    p->host = setup->host;
    p->every = 1;
    for (uint32_t i = 0; i < setup->setting_count; i++) {
        const work_setting *s = &setup->settings[i];
        for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
            if (strcmp(s->name, rows[k].name) == 0)
                *rows[k].value = atoll(s->value);
        }
        if (strcmp(s->name, "once") == 0)
            snprintf(p->once, sizeof p->once, "%s", s->value);
        if (strcmp(s->name, "topic") == 0)
            snprintf(p->topic, sizeof p->topic, "%s", s->value);
        if (strcmp(s->name, "refuse") == 0) {
            p->host->fail(p->host->ctx, "told to refuse");
            free(p);
            return 1;
        }
    }
    *out = p;
    return 0;
}

static void destroy(void *self)
{
    free(self);
}

// True every time, or the first time only when `once` names a file.
static int happens(const probe *p)
{
    if (!p->once[0])
        return 1;
    if (access(p->once, F_OK) == 0)
        return 0;
    FILE *f = fopen(p->once, "w");
    if (f)
        fclose(f);
    return 1;
}

static int32_t answer(probe *p, int64_t id, int64_t now, const char *lane)
{
    char text[200];
    int n = snprintf(text, sizeof text,
                     "{\"trade_id\":%lld,\"count\":%lld,\"sum\":%lld,\"now\":\"%lld\"}",
                     (long long)id, (long long)p->count, (long long)p->sum, (long long)now);
    work_output out = {.struct_size = sizeof out,
                       .data_kind = WORK_DATA_JSON,
                       .lane = {lane, strlen(lane)},
                       .data = {text, (uint64_t)n}};
    return p->host->emit(p->host->ctx, &out);
}

static int32_t process(void *self, const work_event *event, int64_t now_ns)
{
    probe *p = self;
    int64_t id = 0;
    if (p->host->data_int(event, "trade_id", &id))
        return 0;
    p->count++;
    p->sum += id;
    if (p->flood && id == p->flood) {
        for (int i = 0; i < 20000; i++)
            answer(p, id, now_ns, "strategy.signal.emitted.probe");
    }
    if (p->badlane && id == p->badlane)
        answer(p, id, now_ns, "strategy.not a lane.x");
    if (p->elsewhere && id == p->elsewhere) {
        work_output out = {.struct_size = sizeof out,
                           .topic = {p->topic, strlen(p->topic)},
                           .data_kind = WORK_DATA_JSON,
                           .data = {"1", 1}};
        p->host->emit(p->host->ctx, &out);
    }
    if (p->count % p->every == 0)
        answer(p, id, now_ns, "strategy.signal.emitted.probe");
    if (p->fail && id == p->fail && happens(p)) {
        p->host->fail(p->host->ctx, "told to fail");
        return 1;
    }
    if (p->crash && id == p->crash && happens(p))
        abort(); // a signal that no sanitizer takes for itself
    if (p->hang && id == p->hang && happens(p))
        sleep(3600);
    return 0;
}

static int32_t save(void *self, work_write write, void *ctx)
{
    const probe *p = self;
    int64_t state[2] = {p->count, p->sum};
    return write(ctx, state, sizeof state);
}

static int32_t load(void *self, const void *bytes, uint64_t len)
{
    probe *p = self;
    int64_t state[2];
    if (len != sizeof state) {
        p->host->fail(p->host->ctx, "a state of another size");
        return 1;
    }
    memcpy(state, bytes, sizeof state);
    p->count = state[0];
    p->sum = state[1];
    return 0;
}

const work_plugin *work_plugin_table(uint32_t host_abi)
{
    static const work_plugin table = {.abi_version = WORK_ABI_VERSION,
                                      .struct_size = sizeof table,
                                      .name = "probe",
                                      .version = "1",
                                      .create = create,
                                      .destroy = destroy,
                                      .process = process,
                                      .save = save,
                                      .load = load};
    return host_abi >= 1 ? &table : NULL;
}
