// Records, declarations and plans when memory is out: whoever reads or writes JSON ends by name.
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus/nats/participant_impl.h"
#include "bus/nats/registry.h"
#include "cli/session.h"
#include "cli/side.h"
#include "store/replay_form.h"
#include "store/scenario.h"
#include "sweep.h"
#include "test/support/test.h"
#include "workhost/code.h"
#include "workhost/declaration.h"
#include "workhost/planner.h"
#include "workhost/runtime/plan.h"

// sha256 of "hello"
#define HELLO "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#define SCENARIO                                                                                   \
    "{\"id\":\"bt1\",\"name\":\"one\",\"status\":\"active\",\"market\":{\"lane\":\"hyp\","         \
    "\"selector\":\"mon\"},\"portfolio\":{\"lane\":\"hyp\"},\"strategy\":{\"lane\":\"hyp\","       \
    "\"id\":\"sma\"},\"parameters\":{\"sma.fast\":\"5\",\"sma.slow\":\"20\"},"                     \
    "\"created_at\":\"2026-01-01T00:00:00.000000000Z\","                                           \
    "\"updated_at\":\"2026-01-01T00:00:00.000000000Z\"}"
#define REPLAY                                                                                     \
    "{\"runid\":\"a\",\"replay\":\"a\",\"selector\":\"mon\",\"stream\":\"ACT\",\"first_seq\":1,"   \
    "\"last_seq\":9,\"speed\":\"max\",\"state\":\"running\",\"position\":3,\"sent\":3,"            \
    "\"skipped\":0,\"expected\":[\"scenario-bt1\"],\"participants\":[{\"name\":\"scenario-bt1\","  \
    "\"state\":\"joined\",\"done_seq\":2}],\"missing\":0,\"scenarios\":[\"bt1\"],\"error\":\"\","  \
    "\"code\":0,\"message\":\"\",\"started\":\"2026-01-01T00:00:00.000000000Z\","                  \
    "\"updated\":\"2026-01-01T00:00:00.000000000Z\"}"
#define WORKER                                                                                     \
    "{\"id\":\"sma\",\"mime_type\":\"application/x-native-dll\",\"status\":\"running\","           \
    "\"inputs\":[\"exchange.*.trade.tape.>\"],\"scenarios\":[\"LIVE\",\"bt1\"],"                   \
    "\"config\":{\"fast\":\"5\"},\"tags\":{\"a\":\"b\"},\"start\":\"first\",\"history\":[],"       \
    "\"code\":{\"sha256\":\"" HELLO "\",\"source\":\"x.so\",\"bytes\":3},\"generation\":1}"
#define PLAN                                                                                       \
    "{\"scenario\":\"bt1\",\"selector\":\"mon\",\"market\":\"hyp\",\"portfolio\":\"hyp\","         \
    "\"strategy\":\"hyp\",\"nats\":{\"url\":\"nats://127.0.0.1:1\"},\"workers\":[{\"name\":"       \
    "\"sma\",\"mime\":\"application/x-native-dll\",\"code\":\"/x.so\",\"sha256\":\"" HELLO "\","   \
    "\"generation\":1,\"start\":\"next\",\"inputs\":[\"exchange.*.trade.tape.>\"],"                \
    "\"config\":{\"fast\":\"5\"}}]}"

static bus_err scenario(void *ctx)
{
    store_scenario s = {0};
    Virtufin__Api__V1__Scenario *message = NULL;
    char *text = NULL;
    size_t len;
    (void)ctx;
    bus_err err = store_scenario_from_json(&s, "bt1", BUS_VIEW(SCENARIO));
    if (!err)
        err = store_scenario_to_proto(&message, &s);
    if (!err)
        err = store_scenario_to_json(&s, &text, &len);
    if (!err && !strstr(text, "sma.slow"))
        err = bus_fail(BUS_EDATALOSS, "a parameter is not there any more");
    free(text);
    store_scenario_proto_free(message);
    store_scenario_release(&s);
    return err;
}

static bus_err create_scenario(void *ctx)
{
    Virtufin__Api__V1__CreateScenarioRequest r = VIRTUFIN__API__V1__CREATE_SCENARIO_REQUEST__INIT;
    store_scenario s = {0};
    Virtufin__Api__V1__ScenarioMarket market = VIRTUFIN__API__V1__SCENARIO_MARKET__INIT;
    Virtufin__Api__V1__ScenarioParameter parameter = VIRTUFIN__API__V1__SCENARIO_PARAMETER__INIT;
    Virtufin__Api__V1__ScenarioParameter *parameters[] = {&parameter};
    market.lane = (char *)"hyp";
    market.selector = (char *)"mon";
    parameter.name = (char *)"sma.fast";
    parameter.value = (char *)"5";
    r.id = (char *)"bt1";
    r.market = &market;
    r.parameters = parameters;
    r.n_parameters = 1;
    (void)ctx;
    bus_err err = store_scenario_create(&s, &r, (bus_wall){1});
    store_scenario_release(&s);
    return err;
}

static bus_err replay(void *ctx)
{
    static store_replay_info info;
    char *text = NULL;
    size_t len;
    (void)ctx;
    bus_err err = store_replay_from_json(&info, "mon", BUS_VIEW(REPLAY));
    if (err)
        return err;
    Virtufin__Api__V1__ReplayInfo *message = store_replay_to_proto(&info);
    if (!message)
        return BUS_ENOMEM;
    err = store_replay_to_json(&info, &text, &len);
    if (!err && !strstr(text, "scenario-bt1"))
        err = bus_fail(BUS_EDATALOSS, "a participant is not there any more");
    free(text);
    store_replay_proto_free(message);
    return err;
}

static bus_err what_clients_read(void *ctx)
{
    replay_record record = {0};
    (void)ctx;
    if (bus_scenario_status_read(BUS_VIEW(SCENARIO)) != BUS_SCENARIO_ACTIVE)
        return bus_fail(BUS_EDATALOSS, "the scenario's record");
    if (!bus_part_record_read(&record, BUS_VIEW(REPLAY)))
        return bus_fail(BUS_EDATALOSS, "the replay's record");
    return BUS_OK;
}

static bus_err worker(void *ctx)
{
    work_record *record = NULL;
    (void)ctx;
    bus_err err = work_record_from_json(&record, BUS_VIEW(WORKER));
    if (!err)
        work_record_set_code(record, "cd", 4, "y.so");
    if (!err && json_array_size(record->history) != 1)
        err = bus_fail(BUS_EDATALOSS, "a line of its history is not there");
    work_record_free(record);
    return err;
}

static bus_err plan(void *ctx)
{
    work_plan p;
    (void)ctx;
    bus_err err = work_plan_parse(&p, PLAN, sizeof PLAN - 1);
    if (!err)
        work_plan_release(&p);
    return err;
}

static bus_err make_plan(void *ctx)
{
    work_record *record = NULL;
    char *text = NULL;
    bus_err err = work_record_from_json(&record, BUS_VIEW(WORKER));
    static work_roster roster;
    roster = (work_roster){.count = 1, .code_dir = ctx};
    roster.records[0] = record;
    bus_daemon_settings d = {.nats_url = "",
                             .nats_creds = "",
                             .nats_user = "",
                             .nats_password = "",
                             .nats_token = "",
                             .nats_ca = "",
                             .clock = "",
                             .log_level = "",
                             .log_format = ""};
    if (!err)
        err = work_plan_make(&text, &roster, &d, BUS_VIEW("bt1"), BUS_VIEW(SCENARIO));
    if (!err && !(text && strstr(text, "\"slow\":\"20\"") && strstr(text, "trade.tape")))
        err = bus_fail(BUS_EDATALOSS, "the plan lacks something: %s", text ? text : "all");
    free(text);
    work_record_free(record);
    return err;
}

static const char *given_file(const char *name, const char *text)
{
    static char path[600];
    snprintf(path, sizeof path, "%s/%s", test_tmp(), name);
    FILE *f = fopen(path, "w");
    cr_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
    return path;
}

static bus_err declaration(void *path)
{
    work_record *record = NULL;
    char *code = NULL;
    bus_err err = work_declaration_read(&record, &code, path, "/built/in");
    if (!err && (json_object_size(record->config) != 2 || strcmp(code, "/built/in/sma.so") != 0))
        err = bus_fail(BUS_EDATALOSS, "something of the declaration is not there");
    work_record_free(record);
    free(code);
    return err;
}

static bus_err context(void *ctx)
{
    lane_connection connection = {0};
    lane_args args = {0};
    (void)ctx;
    bus_err err = lane_connection_find(&connection, &args);
    if (!err && strcmp(connection.url, "nats://127.0.0.1:4333") != 0)
        err = bus_fail(BUS_EDATALOSS, "another server than the context's: %s", connection.url);
    lane_connection_release(&connection);
    return err;
}

static bus_err exported(void *path)
{
    lane_side *side = NULL;
    lane_decision d;
    bool end = false;
    uint64_t start, done;
    bus_err err = lane_side_open(&side, NULL, path, NULL);
    if (!err)
        err = lane_side_range(side, &start, &done);
    int count = 0;
    while (!err && !end) {
        err = lane_side_next(side, start, done, &d, &end);
        count += !err && !end;
    }
    if (!err && count != 1)
        err = bus_fail(BUS_EDATALOSS, "%d decisions", count);
    lane_side_close(side);
    return err;
}

static char folder[700]; // code that is there is not written again: a new one each time

static void remove_code(void)
{
    char path[1000];
    snprintf(path, sizeof path, "%s/%s.so", folder, HELLO);
    unlink(path);
}

static bus_err put_code(void *file)
{
    snprintf(folder, sizeof folder, "%s.code", (const char *)file);
    remove_code();
    char sha256[WORK_SHA256_TEXT];
    uint64_t bytes;
    bus_err err = work_code_put_file(folder, file, sha256, &bytes);
    if (!err && strcmp(sha256, HELLO))
        err = bus_fail(BUS_EDATALOSS, "its hash is %s", sha256);
    return err;
}

Test(record_memory, scenarios_and_replays_are_read_and_written_whole)
{
    sweep_allocations(
        &(sweep_case){.name = "scenario", .run = scenario, .allocations_min = 60, .may_end = true});
    sweep_allocations(
        &(sweep_case){.name = "create", .run = create_scenario, .allocations_min = 3});
    sweep_allocations(
        &(sweep_case){.name = "replay", .run = replay, .allocations_min = 60, .may_end = true});
    sweep_allocations(&(sweep_case){
        .name = "clients", .run = what_clients_read, .allocations_min = 40, .may_end = true});
}

Test(record_memory, workers_and_their_plans_are_read_and_written_whole)
{
    char code[600];
    const char *file = given_file(HELLO ".so", "hello");
    snprintf(code, sizeof code, "%.*s", (int)(strrchr(file, '/') - file), file);
    sweep_allocations(
        &(sweep_case){.name = "worker", .run = worker, .allocations_min = 40, .may_end = true});
    sweep_allocations(
        &(sweep_case){.name = "plan", .run = plan, .allocations_min = 30, .may_end = true});
    sweep_allocations(&(sweep_case){.name = "making a plan",
                                    .run = make_plan,
                                    .ctx = code,
                                    .allocations_min = 80,
                                    .may_end = true});
}

static void given_context(void)
{
    char path[700];
    const char *home = test_tmp();
    snprintf(path, sizeof path, "%s/nats", home);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/nats/context", home);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/nats/context/given.json", home);
    FILE *f = fopen(path, "w");
    cr_assert(f && fputs("{\"url\":\"nats://127.0.0.1:4333\"}", f) >= 0 && fclose(f) == 0);
    setenv("XDG_CONFIG_HOME", home, 1);
    setenv("NATS_CONTEXT", "given", 1);
}

Test(record_memory, files_are_taken_whole_or_not_at_all)
{
    given_context();
    sweep_allocations(&(sweep_case){.name = "context",
                                    .run = context,
                                    .allocations_min = 5,
                                    .can_do_without = true,
                                    .may_end = true});
    sweep_allocations(
        &(sweep_case){.name = "declaration",
                      .run = declaration,
                      .ctx = (void *)given_file("sma.yaml", "inputs: [exchange.*.trade.tape.>]\n"
                                                            "code: ${workers}/sma.so\nname: sma\n"
                                                            "config: {fast: 5, slow: '20'}\n"),
                      .allocations_min = 50,
                      .can_do_without = true,
                      .may_end = true});
    sweep_allocations(&(sweep_case){
        .name = "export",
        .run = exported,
        .ctx = (void *)given_file(
            "export", "{\"lane_export\":1,\"scenario\":\"bt1\",\"workers\":[{\"runid\":\"r\","
                      "\"start_seq\":1,\"done_seq\":9}]}\n"
                      "{\"seq\":1,\"subject\":\"sc.bt1.strategy.signal.emitted.sma\",\"event\":"
                      "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"urn:x\",\"type\":\"t\","
                      "\"causationseq\":\"5\",\"causationid\":\"c\",\"runid\":\"r\","
                      "\"data\":{\"price\":\"1\"}}}\n"),
        .allocations_min = 40,
        .can_do_without = true,
        .may_end = true});
    sweep_allocations(&(sweep_case){.name = "code",
                                    .run = put_code,
                                    .ctx = (void *)given_file("code.so", "hello"),
                                    .allocations_min = 3,
                                    .can_do_without = true,
                                    .may_end = true});
}
