#include "bus/nats/filters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/lane/lane.h"
#include "bus/nats/credit.h"

static bus_err check_pattern(bus_view pattern, bus_view prefix)
{
    bus_err err = bus_subject_check(pattern, true);
    if (err)
        return err;
    if (pattern.len <= prefix.len || memcmp(pattern.ptr, prefix.ptr, prefix.len) != 0)
        return bus_fail(BUS_EINVAL, "filter '%.*s' must begin with '%.*s'", BUS_VIEW_ARG(pattern),
                        BUS_VIEW_ARG(prefix));
    return BUS_OK;
}

static bus_err copy_checked(bus_filters *out, const bus_view *patterns, size_t count)
{
    size_t bytes = count * sizeof(bus_view);
    for (size_t i = 0; i < count; i++)
        bytes += patterns[i].len;
    // one block: the views, then the text they point to
    out->item = malloc(bytes);
    if (!out->item)
        return bus_fail(BUS_ENOMEM, "%zu filters", count);
    char *text = (char *)(out->item + count);
    for (size_t i = 0; i < count; i++) {
        memcpy(text, patterns[i].ptr, patterns[i].len);
        out->item[i] = (bus_view){text, patterns[i].len};
        text += patterns[i].len;
    }
    out->count = count;
    return BUS_OK;
}

bus_err bus_filters_init(bus_filters *out, bus_view selector, const bus_view *patterns,
                         size_t count)
{
    char prefix[BUS_LANE_NAME_MAX + 8], all[BUS_LANE_NAME_MAX + 24];
    bus_err err = bus_lane_check_selector(selector, "selector");
    if (err)
        return err;
    if (count > BUS_CREDIT_FILTERS_MAX)
        return bus_fail(BUS_EINVAL, "%zu filters, at most %d", count, BUS_CREDIT_FILTERS_MAX);
    snprintf(prefix, sizeof prefix, "hyp.%.*s.", BUS_VIEW_ARG(selector));
    snprintf(all, sizeof all, "%sexchange.>", prefix);
    bus_view everything = bus_view_of(all);
    if (count == 0) {
        patterns = &everything;
        count = 1;
    }
    for (size_t i = 0; i < count; i++) {
        err = check_pattern(patterns[i], bus_view_of(prefix));
        if (err)
            return err;
    }
    return copy_checked(out, patterns, count);
}

bus_err bus_filters_copy(bus_filters *out, const bus_view *patterns, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bus_err err = bus_subject_check(patterns[i], true);
        if (err)
            return bus_note(err, "filter %zu", i + 1);
    }
    return copy_checked(out, patterns, count);
}

// The first two that overlap become one, in the place (and the text) of the first.
static bool join_two(bus_filters *set, bool *wider)
{
    for (size_t i = 0; i < set->count; i++)
        for (size_t k = i + 1; k < set->count; k++) {
            bus_view *a = &set->item[i], b = set->item[k];
            char both[BUS_SUBJECT_BUF];
            if (!bus_subject_overlap(*a, b))
                continue;
            bus_view joined = {both, bus_subject_join(both, *a, b)};
            *wider = *wider || (!bus_view_eq(joined, *a) && !bus_view_eq(joined, b));
            a->len = joined.len;
            memcpy((char *)a->ptr, both, joined.len);
            set->count--;
            memmove(&set->item[k], &set->item[k + 1], (set->count - k) * sizeof *set->item);
            return true;
        }
    return false;
}

bus_err bus_filters_disjoint(bus_filters *out, const bus_filters *of, bool *wider)
{
    *wider = false;
    bus_err err = copy_checked(out, of->item, of->count);
    while (!err && join_two(out, wider)) {
    }
    return err;
}

void bus_filters_release(bus_filters *filters)
{
    free(filters->item);
    *filters = (bus_filters){0};
}

bool bus_filters_match(const bus_filters *filters, bus_view subject)
{
    for (size_t i = 0; i < filters->count; i++)
        if (bus_subject_match(filters->item[i], subject))
            return true;
    return false;
}
