#include "cli/book_check.h"

#include <stdio.h>
#include <string.h>

#include "cli/json.h"

static uint64_t next_random(uint64_t *state) // splitmix64
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

// The id of the snapshot that the exchange's book began with: no reader has a book before it.
static bus_err first_book(const lane_world *world, const char *symbol, uint64_t *base)
{
    char path[160];
    json_t *body;
    snprintf(path, sizeof path, "/sim/v1/book?symbol=%s&at=end", symbol);
    bus_err err = lane_world_ask(world, path, &body);
    if (err)
        return err;
    *base = lane_json_u64(body, "base_id");
    json_decref(body);
    return BUS_OK;
}

// The update ids behind the snapshot of a symbol from which no frame was removed, as candidates.
static bus_err add_candidates(const lane_world *world, json_t *pool, const char *symbol,
                              const json_t *info)
{
    char path[160];
    json_t *body, *pair;
    size_t i;
    uint64_t base = 0;
    if (lane_json_u64(info, "gaps") || !json_object_get(json_object_get(info, "channels"), "depth"))
        return BUS_OK;
    snprintf(path, sizeof path, "/sim/v1/book/ids?symbol=%s&limit=1000000", symbol);
    bus_err err = first_book(world, symbol, &base);
    if (!err)
        err = lane_world_ask(world, path, &body);
    if (err)
        return err;
    json_array_foreach (json_object_get(body, "ids"), i, pair) {
        json_t *id = json_array_get(pair, 1);
        if ((uint64_t)json_integer_value(id) > base)
            json_array_append_new(pool, json_pack("{s:s,s:O}", "symbol", symbol, "id", id));
    }
    json_decref(body);
    return BUS_OK;
}

bus_err lane_book_check_draw(lane_book_check *c, const json_t *played, uint64_t wanted)
{
    const char *symbol;
    json_t *info, *pool = json_array();
    bus_err err = BUS_OK;
    uint64_t state = c->seed;
    json_object_foreach (json_object_get(played, "symbols"), symbol, info) {
        if (!err)
            err = add_candidates(c->world, pool, symbol, info);
    }
    size_t total = json_array_size(pool);
    for (uint64_t i = 0; i < wanted && total && !err && c->point_count < LANE_BOOK_POINTS_MAX;
         i++) {
        const json_t *one = json_array_get(pool, next_random(&state) % total);
        lane_book_point *p = &c->points[c->point_count++];
        snprintf(p->symbol, sizeof p->symbol, "%s",
                 json_string_value(json_object_get(one, "symbol")));
        p->update_id = lane_json_u64(one, "id");
    }
    json_decref(pool);
    return err;
}

// Compares our book with the exchange's of the same update id, level by level.
static bus_err compare(lane_book_check *c, lane_symbol *symbol, const char *where)
{
    char path[200];
    json_t *body;
    snprintf(path, sizeof path, "/sim/v1/book?symbol=%s&%s", lane_symbol_name(symbol), where);
    bus_err err = lane_world_ask(c->world, path, &body);
    if (err)
        return err;
    if (json_is_true(json_object_get(body, "complete"))) {
        uint64_t before = c->differences;
        err = lane_ladder_differences(lane_symbol_side(symbol, true), json_object_get(body, "bids"),
                                      &c->differences);
        if (!err)
            err = lane_ladder_differences(lane_symbol_side(symbol, false),
                                          json_object_get(body, "asks"), &c->differences);
        c->compared++;
        if (c->differences != before)
            fprintf(stderr, "book of %s differs from the exchange's at %s in %llu levels\n",
                    lane_symbol_name(symbol), where, (unsigned long long)(c->differences - before));
    }
    json_decref(body);
    return err;
}

void lane_book_check_update(void *ctx, lane_symbol *symbol, uint64_t update_id)
{
    lane_book_check *c = ctx;
    char where[40];
    for (size_t i = 0; i < c->point_count && !c->err; i++) {
        if (c->points[i].update_id != update_id ||
            strcmp(c->points[i].symbol, lane_symbol_name(symbol)) != 0)
            continue;
        snprintf(where, sizeof where, "update_id=%llu", (unsigned long long)update_id);
        c->err = compare(c, symbol, where);
        if (c->err)
            snprintf(c->text, sizeof c->text, "%s", bus_err_text());
    }
}

void lane_book_check_end(void *ctx, lane_symbol *symbol, uint64_t last_update_id, bool whole)
{
    lane_book_check *c = ctx;
    if (!whole || !last_update_id || c->err)
        return;
    c->err = compare(c, symbol, "at=end");
    if (c->err)
        snprintf(c->text, sizeof c->text, "%s", bus_err_text());
}
