// A bus_msg is the library's message under our name: no copy, no second allocation.
#include <stdlib.h>

#include "bus/nats/conn.h"
#include "bus/nats/link.h"

static natsMsg *lib(const bus_msg *msg)
{
    return (natsMsg *)(uintptr_t)msg;
}

bus_view bus_msg_subject(const bus_msg *msg)
{
    return bus_view_of(natsMsg_GetSubject(lib(msg)));
}

bus_view bus_msg_reply(const bus_msg *msg)
{
    return bus_view_of(natsMsg_GetReply(lib(msg)));
}

bus_view bus_msg_payload(const bus_msg *msg)
{
    return (bus_view){natsMsg_GetData(lib(msg)), (size_t)natsMsg_GetDataLength(lib(msg))};
}

bool bus_msg_header(const bus_msg *msg, const char *name, bus_view *value)
{
    const char *text = NULL;
    if (natsMsgHeader_Get(lib(msg), name, &text) != NATS_OK)
        return false;
    *value = bus_view_of(text);
    return true;
}

bool bus_msg_no_responders(const bus_msg *msg)
{
    return natsMsg_IsNoResponders(lib(msg));
}

void bus_msg_release(bus_msg *msg)
{
    natsMsg_Destroy(lib(msg));
}

// --- CloudEvents in a message -------------------------------------------------------------------------

enum { HEADERS_MAX = 64 };

// Binary mode: every header is handed over; the codec takes the ce-* ones and Content-Type.
static bus_err decode_headers(const bus_msg *msg, bus_event *out, bus_scratch *scratch)
{
    const char **keys = NULL;
    int count = 0;
    if (natsMsgHeader_Keys(lib(msg), &keys, &count) != NATS_OK)
        return bus_fail(BUS_EINVAL, "no headers");
    bus_header headers[HEADERS_MAX];
    size_t used = 0;
    for (int i = 0; i < count && used < HEADERS_MAX; i++) {
        headers[used].name = bus_view_of(keys[i]);
        if (bus_msg_header(msg, keys[i], &headers[used].value))
            used++;
    }
    bus_err err = count > HEADERS_MAX
                      ? bus_fail(BUS_ELIMIT, "%d headers; at most %d are read", count, HEADERS_MAX)
                      : bus_event_decode_headers(out, headers, used, bus_msg_payload(msg), scratch);
    free(keys);
    return err;
}

// The header name is written "ce-specversion" by the binding, but some writers capitalise it.
static bool is_binary(const bus_msg *msg)
{
    bus_view v;
    return bus_msg_header(msg, "ce-specversion", &v) || bus_msg_header(msg, "Ce-Specversion", &v);
}

bus_err bus_msg_event(const bus_msg *msg, bus_event *out, bus_scratch *scratch)
{
    bus_view type = {0};
    bool typed = bus_msg_header(msg, "Content-Type", &type);
    if (typed && bus_view_is(type, BUS_CONTENT_MSGPACK))
        return bus_event_decode_msgpack(out, bus_msg_payload(msg));
    if (is_binary(msg))
        return decode_headers(msg, out, scratch);
    return bus_event_decode(out, type, bus_msg_payload(msg), scratch);
}
