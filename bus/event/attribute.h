// attribute: the known attributes as rows: name, place in bus_event, rule. Inside bus/event only.
// Source: schemas/specs/envelope.md, "Attributes".
#ifndef BUS_EVENT_ATTRIBUTE_H
#define BUS_EVENT_ATTRIBUTE_H

#include "bus/event/event.h"

typedef enum {
    ATTRIBUTE_TEXT,
    ATTRIBUTE_URI_REF,
    ATTRIBUTE_URI,
    ATTRIBUTE_TIME,
    ATTRIBUTE_MEDIA
} attribute_kind;

typedef struct {
    uint8_t tag;   // msgpack fixstr header of the name, so that tag and name are the packed key
    char name[23]; // 15 characters at most
    uint8_t name_len;
    uint8_t kind;
    bool core; // of CloudEvents itself: present means not empty
    uint16_t offset;
} attribute_row;

enum { ATTRIBUTE_COUNT = 23 };
extern const attribute_row attribute_rows[ATTRIBUTE_COUNT];

static inline bus_view *attribute_slot(bus_event *event, const attribute_row *row)
{
    return (bus_view *)((char *)event + row->offset);
}
static inline bus_view attribute_get(const bus_event *event, const attribute_row *row)
{
    return *(const bus_view *)((const char *)event + row->offset);
}

// attribute_find: the row of a name, NULL for an extension we do not know. The dotted spellings of the
// four lane attributes are found too. `guess` is where to begin: writers keep one order.
const attribute_row *attribute_find(bus_view name, unsigned guess);
bus_err attribute_check(const attribute_row *row, bus_view value);
// attribute_check_extra: name and one packed str, 32-bit int, bool or bin.
bus_err attribute_check_extra(const bus_event_extra *extra);
// attribute_set: a decoded string for `row`; BUS_EINVAL when it is set already or breaks its rule.
bus_err attribute_set(bus_event *event, const attribute_row *row, bus_view value);
bus_err attribute_add_extra(bus_event *event, bus_view name, bus_view packed);
bus_err attribute_check_required(const bus_event *event);

void event_clear(bus_event *event);
void event_copy(bus_event *out, const bus_event *event); // only the extensions that are there
// event_take_map reads the attributes of one validated map into `out`. *base64 (NULL: not allowed) is
// the string of "data_base64".
bus_err event_take_map(bus_event *out, bus_view packed, bus_view *base64);

// scratch_need: at least `need` bytes; what was there is kept, but may move.
bus_err scratch_need(bus_scratch *scratch, size_t need);

#endif
