// fields: what an event's data must have, or the event is in error. Thread: any.
// Source: schemas/specs/market-events.md.
#ifndef CLI_FIELDS_H
#define CLI_FIELDS_H

#include "bus/event/event.h"
#include "cli/amount.h"

bus_err lane_need_text(bus_view data, const char *name, bus_view *out);
bus_err lane_need_id(bus_view data, const char *name,
                     uint64_t *out); // an integer that is not negative
bus_err lane_need_amount(bus_view data, const char *name, lane_amount *out);

#endif
