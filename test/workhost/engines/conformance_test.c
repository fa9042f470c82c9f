// What every engine must do, over the probe worker in each engine's language.
// Source: schemas/specs/workers.md, "Calls", "Outputs", "Native engine".
#include "workhost/engines/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/support/test.h"

typedef struct {
    const char *mime, *probe;
} row;

static const row rows[] = {
    {"application/x-native-dll", TL_BUILD_DIR "/test/plugins/probe.so"},
};
#define EACH_ENGINE(r) for (const row *r = rows; r < rows + sizeof rows / sizeof *rows; r++)

typedef struct {
    work_code *code;
    work_instance *self;
} bench;

static bench given_probe(const row *r, const char *setting, const char *value)
{
    bench b = {0};
    work_setting set = {setting, value};
    work_instance_opts opts = {
        .worker = "probe", .scenario = "LIVE", .settings = &set, .setting_count = setting != NULL};
    test_ok(work_code_load(&b.code, work_engine_for(r->mime), r->probe));
    test_ok(work_instance_open(&b.self, b.code, &opts));
    return b;
}

static void release(bench *b)
{
    work_instance_close(b->self);
    work_code_release(b->code);
}

typedef struct {
    uint8_t data[256];
    bus_event event;
} trade;

static void given_trade(trade *t, int64_t id)
{
    bus_pack p = bus_pack_to(t->data, sizeof t->data);
    bus_pack_map(&p, 2);
    bus_pack_key(&p, "trade_id");
    bus_pack_int(&p, id);
    bus_pack_key(&p, "price");
    bus_pack_key(&p, "1.5");
    t->event = (bus_event){.id = BUS_VIEW("t"),
                           .source = BUS_VIEW("urn:com.virtufin.exchange.binance"),
                           .type = BUS_VIEW("com.virtufin.exchange.binance.trade.tape"),
                           .time = BUS_VIEW("2026-01-01T00:00:00Z"),
                           .recordedtime = BUS_VIEW("2026-01-01T00:00:01Z"),
                           .data = {(const char *)t->data, p.len}};
}

// Feeds trade `id`; the answer's data as JSON in buf, "" for none.
static bus_err feed(bench *b, int64_t id, char *buf, size_t cap)
{
    trade t;
    const work_result *results = NULL;
    uint32_t count = 0;
    given_trade(&t, id);
    work_input input = {(uint64_t)id, BUS_VIEW("act.exchange.binance.trade.tape.X"), &t.event};
    bus_err err = work_instance_process(b->self, &input, 42, &results, &count);
    buf[0] = '\0';
    if (!err && count) {
        char *json = NULL;
        size_t len;
        test_ok(bus_pack_to_json(&json, &len, results[count - 1].data));
        snprintf(buf, cap, "%s", json);
        free(json);
    }
    return err;
}

Test(engine, gives_each_event_to_the_worker_and_its_answers_back)
{
    char answer[200];
    EACH_ENGINE(r)
    {
        bench b = given_probe(r, NULL, NULL);
        test_ok(feed(&b, 5, answer, sizeof answer));
        cr_expect_str_eq(answer, "{\"trade_id\":5,\"count\":1,\"sum\":5,\"now\":\"42\"}");
        test_ok(feed(&b, 7, answer, sizeof answer));
        cr_expect_str_eq(answer, "{\"trade_id\":7,\"count\":2,\"sum\":12,\"now\":\"42\"}");
        release(&b);
    }
}

Test(engine, keeps_instances_of_one_code_apart)
{
    char answer[200];
    EACH_ENGINE(r)
    {
        bench b = given_probe(r, NULL, NULL), other = {.code = b.code};
        work_instance_opts opts = {.worker = "probe", .scenario = "bt1"};
        test_ok(work_instance_open(&other.self, b.code, &opts));
        test_ok(feed(&b, 5, answer, sizeof answer));
        test_ok(feed(&other, 9, answer, sizeof answer));
        cr_expect_str_eq(answer, "{\"trade_id\":9,\"count\":1,\"sum\":9,\"now\":\"42\"}");
        work_instance_close(other.self);
        release(&b);
    }
}

Test(engine, goes_on_from_a_saved_state_as_if_nothing_had_happened)
{
    char undisturbed[200], restored[200];
    EACH_ENGINE(r)
    {
        bench a = given_probe(r, NULL, NULL), b = given_probe(r, NULL, NULL);
        bus_view state;
        cr_assert(work_instance_can_save(a.self));
        for (int i = 1; i <= 10; i++)
            test_ok(feed(&a, i, undisturbed, sizeof undisturbed));
        test_ok(work_instance_save(a.self, &state));
        test_ok(work_instance_load(b.self, state));
        test_ok(feed(&a, 11, undisturbed, sizeof undisturbed));
        test_ok(feed(&b, 11, restored, sizeof restored));
        cr_expect_str_eq(restored, undisturbed);
        test_expect_err(work_instance_load(b.self, BUS_VIEW("x")), BUS_EINVAL);
        cr_expect_str_eq(bus_err_text(), "a state of another size");
        release(&a);
        release(&b);
    }
}

Test(engine, a_failed_call_leaves_no_answer_and_tells_the_workers_reason)
{
    char answer[200];
    EACH_ENGINE(r)
    {
        bench b = given_probe(r, "fail", "5");
        test_ok(feed(&b, 4, answer, sizeof answer));
        test_expect_err(feed(&b, 5, answer, sizeof answer), BUS_EINVAL);
        cr_expect_str_eq(bus_err_text(), "told to fail");
        cr_expect_str_eq(answer, "");
        test_ok(feed(&b, 6, answer, sizeof answer));
        release(&b);
    }
}

Test(engine, an_answer_that_is_none_fails_the_call_even_if_the_worker_goes_on)
{
    char answer[200];
    EACH_ENGINE(r)
    {
        bench b = given_probe(r, "badlane", "5");
        test_expect_err(feed(&b, 5, answer, sizeof answer), BUS_EINVAL);
        cr_expect(strstr(bus_err_text(), "not a lane") != NULL, "%s", bus_err_text());
        release(&b);
        b = given_probe(r, "flood", "5");
        test_expect_err(feed(&b, 5, answer, sizeof answer), BUS_EINVAL);
        cr_expect_str_eq(bus_err_text(), "more than 16,384 outputs in one call");
        release(&b);
    }
}

Test(engine, a_worker_may_refuse_its_settings)
{
    EACH_ENGINE(r)
    {
        bench b = {0};
        work_setting set = {"refuse", "1"};
        work_instance_opts opts = {
            .worker = "probe", .scenario = "LIVE", .settings = &set, .setting_count = 1};
        test_ok(work_code_load(&b.code, work_engine_for(r->mime), r->probe));
        test_expect_err(work_instance_open(&b.self, b.code, &opts), BUS_EINVAL);
        cr_expect_str_eq(bus_err_text(),
                         "creating worker 'probe' for scenario 'LIVE': told to refuse");
        release(&b);
    }
}

Test(engine, there_is_none_for_an_unknown_type)
{
    cr_expect_null(work_engine_for("text/x-cobol"));
}

// --- native alone ------------------------------------------------------------------------------------

Test(native_engine, refuses_objects_that_break_the_contract_and_says_why)
{
    static const struct {
        const char *file, *says;
    } cases[] = {
        {"/test/plugins/broken1.so", "does not export 'work_plugin_table'"},
        {"/test/plugins/broken2.so", "the worker's ABI version is 7; the host knows 1"},
        {"/test/plugins/broken3.so", "has 24 bytes and ends before 'process'"},
        {"/test/plugins/broken4.so", "lacks create, destroy or process"},
        {"/test/plugins/broken5.so", "one of save and load without the other"},
        {"/test/plugins/broken6.so", "refused the host's ABI version"},
        {"/CMakeCache.txt", "not a shared object for this machine"},
        {"/nothing.so", "not a shared object for this machine"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        work_code *code = NULL;
        char path[1024];
        snprintf(path, sizeof path, "%s%s", TL_BUILD_DIR, cases[i].file);
        cr_expect(work_code_load(&code, &work_engine_native, path) == BUS_EINVAL, "%s", path);
        cr_expect(strstr(bus_err_text(), cases[i].says) != NULL, "wanted '%s' in '%s'",
                  cases[i].says, bus_err_text());
    }
}
