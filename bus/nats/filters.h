// filters: the subject patterns of one participant or reader, checked and copied.
// Thread: the owner's. Source: schemas/specs/replay.md, "Taking part"; schemas/specs/recording.md, "Reading".
#ifndef BUS_NATS_FILTERS_H
#define BUS_NATS_FILTERS_H

#include "bus/base/err.h"
#include "bus/base/view.h"

typedef struct {
    bus_view *item;
    size_t count;
} bus_filters;

// bus_filters_init: patterns must begin hyp.<selector>.; count 0: hyp.<selector>.exchange.>
bus_err bus_filters_init(bus_filters *out, bus_view selector, const bus_view *patterns,
                         size_t count);
bus_err bus_filters_copy(bus_filters *out, const bus_view *patterns, size_t count); // any patterns
// bus_filters_disjoint: patterns that match all that `of` does, no two of which match the same subject;
// `wider` is set when they match more. What does not overlap stays as it is, in its order.
bus_err bus_filters_disjoint(bus_filters *out, const bus_filters *of, bool *wider);
void bus_filters_release(bus_filters *filters);
bool bus_filters_match(const bus_filters *filters, bus_view subject);

#endif
