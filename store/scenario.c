#include "store/scenario.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "bus/lane/lane.h"

static const char *const status_names[] = {"active", "paused", "archived", "deleted"};

const char *store_scenario_status_name(store_scenario_status status)
{
    return status_names[status];
}

bool store_scenario_is_live(const char *id)
{
    return strcasecmp(id, "LIVE") == 0;
}

void store_scenario_release(store_scenario *s)
{
    for (size_t i = 0; i < s->parameters; i++) {
        free(s->parameter[i].name);
        free(s->parameter[i].value);
    }
    free(s->parameter);
    s->parameter = NULL;
    s->parameters = 0;
}

// --- rules -------------------------------------------------------------------------------------------

static bus_err check_lane(const char *field, const char *lane, bool *hyp)
{
    if (strcmp(lane, "act") == 0)
        *hyp = false;
    else if (strcmp(lane, "hyp") == 0)
        *hyp = true;
    else
        return bus_fail(BUS_EINVAL, "%s '%s': a lane is 'act' or 'hyp'", field, lane);
    return BUS_OK;
}

static bus_err check_leg(const char *field, const char *lane, bool market_hyp, bool *hyp)
{
    *hyp = market_hyp;
    return *lane ? check_lane(field, lane, hyp) : BUS_OK;
}

static bus_err check_market(store_scenario *s, const char *lane, const char *selector)
{
    bus_err err = check_lane("market.lane", lane, &s->hyp);
    if (err)
        return err;
    if (!s->hyp && *selector)
        return bus_fail(BUS_EINVAL, "market.selector '%s': the act lane carries no selector",
                        selector);
    if (!s->hyp)
        return BUS_OK;
    if (!*selector)
        return bus_fail(BUS_EINVAL, "market.selector is empty: the hyp lane needs a selector");
    err = bus_lane_check_selector(bus_view_of(selector), "market.selector");
    if (err)
        return err;
    bus_view_copy(bus_view_of(selector), s->selector, sizeof s->selector);
    return BUS_OK;
}

static bus_err check_strategy(store_scenario *s, const char *lane, const char *id)
{
    bus_err err = check_leg("strategy.lane", lane, s->hyp, &s->strategy_hyp);
    if (err || !*id)
        return err;
    err = bus_lane_check_name(bus_view_of(id), "strategy.id");
    if (err)
        return err;
    bus_view_copy(bus_view_of(id), s->strategy, sizeof s->strategy);
    return BUS_OK;
}

static bus_err check_clock(const store_scenario *s, const char *clock)
{
    const char *rule = s->hyp ? "historical" : "wall";
    if (*clock && strcmp(clock, rule) != 0)
        return bus_fail(BUS_EINVAL, "clock '%s': a market on %s has clock '%s'", clock,
                        s->hyp ? "hyp" : "act", rule);
    return BUS_OK;
}

static bus_err set_name(store_scenario *s, const char *name)
{
    if (strlen(name) > STORE_SCENARIO_NAME_MAX)
        return bus_fail(BUS_EINVAL, "name has %zu bytes: at most %d are allowed", strlen(name),
                        STORE_SCENARIO_NAME_MAX);
    for (const unsigned char *c = (const unsigned char *)name; *c; c++)
        if (*c < 0x20 || *c == 0x7f)
            return bus_fail(BUS_EINVAL, "name has the control character 0x%02x at byte %zu", *c,
                            (size_t)(c - (const unsigned char *)name));
    snprintf(s->name, sizeof s->name, "%s", *name ? name : s->id);
    return BUS_OK;
}

static bus_err check_parameter(const char *name, const char *value)
{
    size_t len = strlen(name);
    if (len < 1 || len > STORE_SCENARIO_PARAMETER_NAME_MAX ||
        strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_.-") != len)
        return bus_fail(BUS_EINVAL, "parameter '%.80s': a name is [a-z0-9_.-]{1,64}", name);
    if (strlen(value) > STORE_SCENARIO_VALUE_MAX)
        return bus_fail(BUS_EINVAL, "parameter '%s' has a value of %zu bytes: at most %d", name,
                        strlen(value), STORE_SCENARIO_VALUE_MAX);
    return BUS_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const store_parameter *)a)->name, ((const store_parameter *)b)->name);
}

static bus_err sort_parameters(store_scenario *s)
{
    if (s->parameters)
        qsort(s->parameter, s->parameters, sizeof *s->parameter, by_name);
    for (size_t i = 1; i < s->parameters; i++)
        if (strcmp(s->parameter[i - 1].name, s->parameter[i].name) == 0)
            return bus_fail(BUS_EINVAL, "parameter '%s' is given twice", s->parameter[i].name);
    return BUS_OK;
}

static bus_err add_parameter(store_scenario *s, size_t capacity, const char *name,
                             const char *value)
{
    bus_err err = check_parameter(name, value);
    if (err)
        return err;
    if (capacity > STORE_SCENARIO_PARAMETERS_MAX)
        return bus_fail(BUS_EINVAL, "%zu parameters: at most %d are allowed", capacity,
                        STORE_SCENARIO_PARAMETERS_MAX);
    if (!s->parameter)
        s->parameter = calloc(capacity, sizeof *s->parameter);
    if (!s->parameter)
        return bus_fail(BUS_ENOMEM, "parameters of a scenario");
    store_parameter *p = &s->parameter[s->parameters++];
    p->name = strdup(name);
    p->value = strdup(value);
    return p->name && p->value ? BUS_OK : bus_fail(BUS_ENOMEM, "parameter '%s'", name);
}

// --- making and moving --------------------------------------------------------------------------------

static bus_err fill(store_scenario *s, const Virtufin__Api__V1__CreateScenarioRequest *r)
{
    if (store_scenario_is_live(r->id))
        return bus_fail(BUS_EINVAL, "scenario id '%s': LIVE is reserved, in any case of letters",
                        r->id);
    bus_err err = bus_lane_check_scenario(bus_view_of(r->id));
    if (err)
        return err;
    bus_view_copy(bus_view_of(r->id), s->id, sizeof s->id);
    if (!r->market)
        return bus_fail(BUS_EINVAL, "market is missing: {lane act} or {lane hyp, selector}");
    err = check_market(s, r->market->lane, r->market->selector);
    if (!err)
        err = check_leg("portfolio.lane", r->portfolio ? r->portfolio->lane : "", s->hyp,
                        &s->portfolio_hyp);
    if (!err)
        err = check_strategy(s, r->strategy ? r->strategy->lane : "",
                             r->strategy ? r->strategy->id : "");
    if (!err)
        err = check_clock(s, r->clock);
    if (!err)
        err = set_name(s, r->name);
    for (size_t i = 0; !err && i < r->n_parameters; i++)
        err = add_parameter(s, r->n_parameters, r->parameters[i]->name, r->parameters[i]->value);
    return err ? err : sort_parameters(s);
}

bus_err store_scenario_create(store_scenario *out,
                              const Virtufin__Api__V1__CreateScenarioRequest *r, bus_wall now)
{
    store_scenario s = {.status = STORE_SCENARIO_ACTIVE};
    bus_err err = fill(&s, r);
    if (err) {
        store_scenario_release(&s);
        return bus_note(err, "creating scenario '%.40s'", r->id);
    }
    bus_time_format(now.ns, s.created);
    bus_time_format(now.ns, s.updated);
    *out = s;
    return BUS_OK;
}

void store_scenario_live(store_scenario *out, bus_wall now)
{
    *out = (store_scenario){.id = "LIVE", .name = "LIVE", .status = STORE_SCENARIO_ACTIVE};
    bus_time_format(now.ns, out->created);
    bus_time_format(now.ns, out->updated);
}

// allowed[from] is the set of states that may follow it
static const unsigned allowed[] = {
    [STORE_SCENARIO_ACTIVE] =
        1u << STORE_SCENARIO_PAUSED | 1u << STORE_SCENARIO_ARCHIVED | 1u << STORE_SCENARIO_DELETED,
    [STORE_SCENARIO_PAUSED] =
        1u << STORE_SCENARIO_ACTIVE | 1u << STORE_SCENARIO_ARCHIVED | 1u << STORE_SCENARIO_DELETED,
    [STORE_SCENARIO_ARCHIVED] = 1u << STORE_SCENARIO_ACTIVE | 1u << STORE_SCENARIO_DELETED,
    // a deletion that was cut short is finished by the next
    [STORE_SCENARIO_DELETED] = 1u << STORE_SCENARIO_DELETED,
};

bus_err store_scenario_move(store_scenario *s, store_scenario_status to, bus_wall now)
{
    if (!(allowed[s->status] & 1u << to))
        return bus_fail(BUS_ESTATE, "scenario '%s' is %s: it cannot become %s", s->id,
                        status_names[s->status], status_names[to]);
    s->status = to;
    bus_time_format(now.ns, s->updated);
    return BUS_OK;
}

// --- JSON ---------------------------------------------------------------------------------------------

static const char *lane_name(bool hyp)
{
    return hyp ? "hyp" : "act";
}

static const char *clock_name(const store_scenario *s)
{
    return s->hyp ? "historical" : "wall";
}

bus_err store_scenario_to_json(const store_scenario *s, char **out, size_t *len)
{
    json_t *market = json_pack("{s:s}", "lane", lane_name(s->hyp));
    json_t *strategy = json_pack("{s:s}", "lane", lane_name(s->strategy_hyp));
    json_t *parameters = json_object();
    if (s->hyp)
        json_object_set_new(market, "selector", json_string(s->selector));
    if (*s->strategy)
        json_object_set_new(strategy, "id", json_string(s->strategy));
    for (size_t i = 0; i < s->parameters; i++)
        json_object_set_new(parameters, s->parameter[i].name, json_string(s->parameter[i].value));
    json_t *record =
        json_pack("{s:s s:s s:o s:{s:s} s:o s:s s:o s:s s:s}", "name", s->name, "status",
                  status_names[s->status], "market", market, "portfolio", "lane",
                  lane_name(s->portfolio_hyp), "strategy", strategy, "clock", clock_name(s),
                  "parameters", parameters, "createdAt", s->created, "updatedAt", s->updated);
    char *text = record ? json_dumps(record, JSON_COMPACT) : NULL;
    json_decref(record);
    if (!text)
        return bus_fail(BUS_EINVAL, "scenario '%s' has text that is not UTF-8", s->id);
    *out = text;
    *len = strlen(text);
    return BUS_OK;
}

// text of a field, "" when it is absent; NULL when it is there and no string
static const char *text_of(const json_t *object, const char *field)
{
    const json_t *value = json_object_get(object, field);
    return value ? json_string_value(value) : "";
}

static bus_err read_status(store_scenario *s, const json_t *record)
{
    const char *status = text_of(record, "status");
    for (int i = 0; status && i <= STORE_SCENARIO_DELETED; i++)
        if (strcmp(status, status_names[i]) == 0) {
            s->status = (store_scenario_status)i;
            return BUS_OK;
        }
    return bus_fail(BUS_EINVAL, "status '%s': active, paused, archived or deleted is expected",
                    status ? status : "(no string)");
}

static bus_err read_parameters(store_scenario *s, json_t *record)
{
    json_t *all = json_object_get(record, "parameters");
    const char *name;
    json_t *value;
    json_object_foreach (all, name, value) {
        if (!json_is_string(value))
            return bus_fail(BUS_EINVAL, "parameter '%s' is not a string", name);
        bus_err err = add_parameter(s, json_object_size(all), name, json_string_value(value));
        if (err)
            return err;
    }
    return sort_parameters(s);
}

static bus_err read_record(store_scenario *s, json_t *record)
{
    const json_t *market = json_object_get(record, "market");
    const json_t *portfolio = json_object_get(record, "portfolio");
    const json_t *strategy = json_object_get(record, "strategy");
    const char *fields[] = {text_of(record, "name"),      text_of(market, "lane"),
                            text_of(market, "selector"),  text_of(portfolio, "lane"),
                            text_of(strategy, "lane"),    text_of(strategy, "id"),
                            text_of(record, "createdAt"), text_of(record, "updatedAt")};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (!fields[i])
            return bus_fail(BUS_EINVAL, "a field that must be a string is none");
    if (strlen(fields[6]) >= sizeof s->created || strlen(fields[7]) >= sizeof s->updated)
        return bus_fail(BUS_EINVAL, "createdAt or updatedAt is no time");
    bus_err err = read_status(s, record);
    if (!err)
        err = check_market(s, fields[1], fields[2]);
    if (!err)
        err = check_leg("portfolio.lane", fields[3], s->hyp, &s->portfolio_hyp);
    if (!err)
        err = check_strategy(s, fields[4], fields[5]);
    if (!err)
        err = set_name(s, fields[0]);
    snprintf(s->created, sizeof s->created, "%s", fields[6]);
    snprintf(s->updated, sizeof s->updated, "%s", fields[7]);
    return err ? err : read_parameters(s, record);
}

bus_err store_scenario_from_json(store_scenario *out, const char *id, bus_view json)
{
    store_scenario s = {0};
    json_error_t why;
    json_t *record = json_loadb(json.ptr ? json.ptr : "", json.len, JSON_REJECT_DUPLICATES, &why);
    bus_err err = BUS_OK;
    if (!json_is_object(record))
        err = bus_fail(BUS_EINVAL, "byte %d: %s", record ? 0 : why.position,
                       record ? "a JSON object is expected" : why.text);
    if (!err && !bus_view_copy(bus_view_of(id), s.id, sizeof s.id))
        err = bus_fail(BUS_EINVAL, "id '%.80s' is longer than %d", id, STORE_SCENARIO_ID_MAX);
    if (!err)
        err = read_record(&s, record);
    json_decref(record);
    if (err) {
        store_scenario_release(&s);
        return bus_note(err, "record of scenario '%.40s'", id);
    }
    *out = s;
    return BUS_OK;
}

// --- protobuf -----------------------------------------------------------------------------------------

// The message, its parts and the pointers to its parameters in one block; texts are the scenario's own
// copies, so the message outlives it.
typedef struct {
    Virtufin__Api__V1__Scenario message; // first: the handle
    Virtufin__Api__V1__ScenarioMarket market;
    Virtufin__Api__V1__ScenarioPortfolio portfolio;
    Virtufin__Api__V1__ScenarioStrategy strategy;
    Virtufin__Api__V1__ScenarioParameter parameter[STORE_SCENARIO_PARAMETERS_MAX];
    Virtufin__Api__V1__ScenarioParameter *list[STORE_SCENARIO_PARAMETERS_MAX];
    store_scenario own;
    char etag[24];
} proto_block;

static bus_err copy_scenario(store_scenario *to, const store_scenario *from)
{
    *to = *from;
    to->parameter = NULL;
    to->parameters = 0;
    bus_err err = BUS_OK;
    for (size_t i = 0; !err && i < from->parameters; i++)
        err =
            add_parameter(to, from->parameters, from->parameter[i].name, from->parameter[i].value);
    return err;
}

static void fill_proto(proto_block *b)
{
    store_scenario *s = &b->own;
    virtufin__api__v1__scenario__init(&b->message);
    virtufin__api__v1__scenario_market__init(&b->market);
    virtufin__api__v1__scenario_portfolio__init(&b->portfolio);
    virtufin__api__v1__scenario_strategy__init(&b->strategy);
    b->market.lane = (char *)lane_name(s->hyp);
    b->market.selector = s->selector;
    b->portfolio.lane = (char *)lane_name(s->portfolio_hyp);
    b->strategy.lane = (char *)lane_name(s->strategy_hyp);
    b->strategy.id = s->strategy;
    snprintf(b->etag, sizeof b->etag, "%" PRIu64, s->revision);
    for (size_t i = 0; i < s->parameters; i++) {
        virtufin__api__v1__scenario_parameter__init(&b->parameter[i]);
        b->parameter[i].name = s->parameter[i].name;
        b->parameter[i].value = s->parameter[i].value;
        b->list[i] = &b->parameter[i];
    }
    Virtufin__Api__V1__Scenario *m = &b->message;
    m->id = s->id;
    m->name = s->name;
    m->status = (char *)status_names[s->status];
    m->market = &b->market;
    m->portfolio = &b->portfolio;
    m->strategy = &b->strategy;
    m->clock = (char *)clock_name(s);
    m->n_parameters = s->parameters;
    m->parameters = b->list;
    m->created_at = s->created;
    m->updated_at = s->updated;
    m->etag = b->etag;
}

bus_err store_scenario_to_proto(Virtufin__Api__V1__Scenario **out, const store_scenario *s)
{
    proto_block *b = calloc(1, sizeof *b);
    if (!b)
        return bus_fail(BUS_ENOMEM, "scenario message");
    bus_err err = copy_scenario(&b->own, s);
    if (err) {
        store_scenario_proto_free(&b->message);
        return err;
    }
    fill_proto(b);
    *out = &b->message;
    return BUS_OK;
}

void store_scenario_proto_free(Virtufin__Api__V1__Scenario *m)
{
    proto_block *b = (proto_block *)m;
    if (b)
        store_scenario_release(&b->own);
    free(b);
}
