// lane scenario: the registry, through its service. Source: schemas/specs/scenarios.md.
#include <string.h>

#include "cli/call.h"
#include "cli/verbs.h"
#include "cli/workers.h"
#include "virtufin/api/v1/scenarios.pb-c.h"

#define RPC(method_, request_, reply_)                                                             \
    {                                                                                              \
        "virtufin.api.v1.Scenarios", method_, &virtufin__api__v1__##request_##__descriptor,        \
            &virtufin__api__v1__##reply_##__descriptor                                             \
    }

// "act" or "hyp.mon": a lane, and behind a dot the selector.
static json_t *lane_leg(const char *value)
{
    const char *dot = strchr(value, '.');
    json_t *leg = json_object();
    size_t len = dot ? (size_t)(dot - value) : strlen(value);
    json_object_set_new(leg, "lane", json_stringn(value, len));
    if (dot)
        json_object_set_new(leg, "selector", json_string(dot + 1));
    return leg;
}

// "sma" or "act@sma": a bare word is the id, its lane follows the market's.
static json_t *strategy_leg(const char *value)
{
    const char *at = strchr(value, '@');
    json_t *leg = json_object();
    if (at)
        json_object_set_new(leg, "lane", json_stringn(value, (size_t)(at - value)));
    json_object_set_new(leg, "id", json_string(at ? at + 1 : value));
    return leg;
}

static bus_err set_parameters(const lane_cli *cli, json_t *request)
{
    const char *pair;
    json_t *list = json_array();
    json_object_set_new(request, "parameters", list);
    for (int at = 0; (pair = lane_args_next(&cli->args, "param", &at));) {
        const char *equals = strchr(pair, '=');
        if (!equals)
            return bus_fail(BUS_EUSAGE, "--param '%s' is not name=value", pair);
        json_array_append_new(list, json_pack("{s:s%,s:s}", "name", pair, (size_t)(equals - pair),
                                              "value", equals + 1));
    }
    return BUS_OK;
}

// Names of workers, ", " between them.
static void join_names(char *out, size_t cap, const json_t *workers)
{
    size_t i, at = 0;
    json_t *worker;
    snprintf(out, cap, "none");
    json_array_foreach (workers, i, worker) {
        const char *id = json_string_value(json_object_get(worker, "id"));
        int len = snprintf(out + at, cap - at, "%s%s", at ? ", " : "", id ? id : "?");
        at += len > 0 && (size_t)len < cap - at ? (size_t)len : 0;
    }
}

// The registry takes any name, because a worker may be deployed later; but most often it is a slip.
static bus_err check_worker(lane_cli *cli, const char *strategy)
{
    const char *at = strchr(strategy, '@'), *wanted = at ? at + 1 : strategy;
    bus_span timeout = cli->timeout;
    json_t *workers = NULL, *worker;
    bool known = false;
    char names[512];
    size_t i;
    if (!*wanted || lane_has(cli, "force"))
        return BUS_OK;
    bus_err err = lane_connect(cli);
    if (err)
        return err;
    if (cli->timeout.ns > BUS_SPAN_S(2).ns)
        cli->timeout = BUS_SPAN_S(2);
    err = lane_workers_list(cli, &workers);
    cli->timeout = timeout;
    if (err) {
        lane_say(stderr,
                 "lane scenario create: nobody can say whether there is a worker '%s': %s\n",
                 wanted, bus_err_text());
        return BUS_OK;
    }
    json_array_foreach (workers, i, worker) {
        const char *id = json_string_value(json_object_get(worker, "id"));
        known |= id && strcmp(id, wanted) == 0;
    }
    join_names(names, sizeof names, workers);
    json_decref(workers);
    return known
               ? BUS_OK
               : bus_fail(BUS_ENOTFOUND,
                          "there is no worker '%s'; there are: %s (--force registers the scenario "
                          "for a worker that comes later)",
                          wanted, names);
}

static int run_create(lane_cli *cli)
{
    static const lane_rpc rpc = RPC("Create", create_scenario_request, scenario);
    json_t *request = json_pack("{s:s}", "id", lane_arg(cli, 0));
    const char *portfolio = lane_opt(cli, "portfolio", NULL);
    const char *strategy = lane_opt(cli, "strategy", NULL);
    json_object_set_new(request, "market", lane_leg(lane_opt(cli, "market", "act")));
    if (portfolio)
        json_object_set_new(request, "portfolio", json_pack("{s:s}", "lane", portfolio));
    if (strategy)
        json_object_set_new(request, "strategy", strategy_leg(strategy));
    json_object_set_new(request, "name", json_string(lane_opt(cli, "name", "")));
    bus_err err = set_parameters(cli, request);
    if (!err && strategy)
        err = check_worker(cli, strategy);
    if (err) {
        json_decref(request);
        return lane_fail(cli, err);
    }
    return lane_call_object(cli, &rpc, request);
}

static int run_ls(lane_cli *cli)
{
    static const lane_rpc rpc = RPC("List", list_scenarios_request, list_scenarios_reply);
    static const lane_column columns[] = {
        {"ID", "id"},
        {"STATUS", "status"},
        {"MARKET", "market.lane"},
        {"SELECTOR", "market.selector"},
        {"PORTFOLIO", "portfolio.lane"},
        {"STRATEGY", "strategy.lane"},
        {"WORKER", "strategy.id"},
        {"CLOCK", "clock"},
        {"UPDATED", "updatedAt"},
        {0},
    };
    json_t *reply = NULL, *request = json_object();
    json_object_set_new(request, "status", json_string(lane_opt(cli, "status", "")));
    bus_err err = lane_call(cli, &rpc, request, &reply);
    if (err)
        return lane_fail(cli, err);
    json_t *rows = json_object_get(reply, "scenarios");
    lane_rows(cli, columns, rows ? json_incref(rows) : json_array());
    json_decref(reply);
    return 0;
}

static json_t *id_request(const lane_cli *cli)
{
    json_t *request = json_pack("{s:s}", "id", lane_arg(cli, 0));
    const char *etag = lane_opt(cli, "etag", NULL);
    if (etag)
        json_object_set_new(request, "etag", json_string(etag));
    return request;
}

static int run_get(lane_cli *cli)
{
    static const lane_rpc rpc = RPC("Get", get_scenario_request, scenario);
    return lane_call_object(cli, &rpc, json_pack("{s:s}", "id", lane_arg(cli, 0)));
}

static int run_pause(lane_cli *cli)
{
    static const lane_rpc rpc = RPC("Pause", pause_scenario_request, scenario);
    return lane_call_object(cli, &rpc, id_request(cli));
}

static int run_resume(lane_cli *cli)
{
    static const lane_rpc rpc = RPC("Resume", resume_scenario_request, scenario);
    return lane_call_object(cli, &rpc, id_request(cli));
}

static int run_archive(lane_cli *cli)
{
    static const lane_rpc rpc = RPC("Archive", archive_scenario_request, scenario);
    return lane_call_object(cli, &rpc, id_request(cli));
}

static int run_restore(lane_cli *cli)
{
    static const lane_rpc rpc = RPC("Restore", restore_scenario_request, scenario);
    return lane_call_object(cli, &rpc, id_request(cli));
}

// Deleting is confirmed twice: by --yes, and by the id once more behind it.
static int run_delete(lane_cli *cli)
{
    static const lane_rpc rpc = RPC("Delete", delete_scenario_request, delete_scenario_reply);
    const char *id = lane_arg(cli, 0), *again = lane_opt(cli, "yes", NULL);
    if (again && strcmp(again, id) != 0)
        return lane_fail(
            cli, bus_fail(BUS_EUSAGE, "--yes '%s' is not '%s': nothing was deleted", again, id));
    json_t *request = id_request(cli);
    json_t *reply = NULL;
    json_object_set_new(request, "confirm", json_string(again ? again : ""));
    bus_err err = lane_call(cli, &rpc, request, &reply);
    if (err == BUS_ESTATE && !again)
        err = bus_fail(err, "%s: lane scenario delete %s --yes %s", bus_err_text(), id, id);
    if (err)
        return lane_fail(cli, err);
    lane_object(cli, reply);
    return 0;
}

static const lane_option create_options[] = {
    {"market", 0, "LANE", "act, or hyp.<selector> (default: act)"},
    {"portfolio", 0, "LANE", "act or hyp (default: the market's)"},
    {"strategy", 0, "[LANE@]ID", "the worker that decides, and its lane (default: the market's)"},
    {"name", 0, "TEXT", "for people (default: the id)"},
    {"param", 0, "NAME=VALUE", "a setting for its workers; may be repeated"},
    {"force", 0, NULL, "also when there is no such worker: it comes later"},
    {0},
};
static const lane_option ls_options[] = {{"status", 0, "STATUS", "only these"}, {0}};
static const lane_option etag_options[] = {
    {"etag", 0, "E", "only if the record still has this ETag"}, {0}};
static const lane_option delete_options[] = {
    {"yes", 0, "ID",
     "the id once more; without it nothing is deleted and it is said what would be"},
    {"etag", 0, "E", "only if the record still has this ETag"},
    {0},
};

const lane_verb lane_scenario_verbs[] = {
    {"scenario create", "ID", 1, 1, "register a scenario and make its stream", create_options,
     run_create},
    {"scenario ls", "", 0, 0, "registered scenarios", ls_options, run_ls},
    {"scenario get", "ID", 1, 1, "one record", NULL, run_get},
    {"scenario pause", "ID", 1, 1, "stop it where it is", etag_options, run_pause},
    {"scenario resume", "ID", 1, 1, "let it go on", etag_options, run_resume},
    {"scenario archive", "ID", 1, 1, "make it read only", etag_options, run_archive},
    {"scenario restore", "ID", 1, 1, "take it back from the archive", etag_options, run_restore},
    {"scenario delete", "ID", 1, 1, "remove it, its stream and its keys", delete_options,
     run_delete},
    {0},
};
