// A bus_msg is the library's message under our name, or one of a pipe with the lowest bit of its address set: no
// copy, no second allocation.
#include <stdlib.h>

#include "bus/nats/conn_impl.h"

#define HEADERS_START "NATS/1.0"
enum { HEADERS_BYTES_MIN = 12, HEADERS_BYTES_MAX = 128 * 1024, HEADERS_MAX = 64 };

static natsMsg *lib(const bus_msg *msg)
{
    return (natsMsg *)(uintptr_t)msg;
}

static const bus_pipe_msg *piped(const bus_msg *msg)
{
    uintptr_t at = (uintptr_t)msg;
    return at & 1 ? (const bus_pipe_msg *)(at - 1) : NULL;
}

bus_msg *bus_msg_of_pipe(bus_pipe_msg *msg)
{
    return (bus_msg *)((uintptr_t)msg | 1);
}

bus_view bus_msg_subject(const bus_msg *msg)
{
    if (piped(msg))
        return piped(msg)->subject;
    return bus_view_of(natsMsg_GetSubject(lib(msg)));
}

bus_view bus_msg_reply(const bus_msg *msg)
{
    if (piped(msg))
        return piped(msg)->reply;
    return bus_view_of(natsMsg_GetReply(lib(msg)));
}

bus_view bus_msg_payload(const bus_msg *msg)
{
    if (piped(msg))
        return piped(msg)->payload;
    return (bus_view){natsMsg_GetData(lib(msg)), (size_t)natsMsg_GetDataLength(lib(msg))};
}

// --- headers ------------------------------------------------------------------------------------------
// A received message is one block: subject 0 [reply 0] [headers 0] payload 0. The library parses the headers
// into a table at the first look, which costs more than 1 us a message, and then finds "Lane" where only
// "Lane-Seq" is. So they are searched as they lie there, when they do: "NATS/1.0" must stand in front.

//
// Of a message without payload the library has read the status (no responders?), which parses the headers in
// place: what lies there is text no more.

static bus_view raw_headers(natsMsg *msg)
{
    if (natsMsg_GetDataLength(msg) == 0)
        return (bus_view){0};
    const char *before = natsMsg_GetReply(msg), *end = natsMsg_GetData(msg);
    if (!before)
        before = natsMsg_GetSubject(msg);
    const char *at = before + strlen(before) + 1;
    if (!end || end < at + HEADERS_BYTES_MIN || end - at > HEADERS_BYTES_MAX ||
        memcmp(at, HEADERS_START, sizeof HEADERS_START - 1) != 0)
        return (bus_view){0};
    return (bus_view){at, (size_t)(end - at) - 1};
}

// The first line may carry a status: "NATS/1.0 404 No Messages".
static bool status_header(const char *at, const char *end, const char *name, bus_view *value)
{
    bus_view rest = bus_view_trimmed(at + sizeof HEADERS_START - 1, end);
    if (rest.len < 3)
        return false;
    if (strcmp(name, "Status") == 0)
        *value = (bus_view){rest.ptr, 3};
    else if (strcmp(name, "Description") == 0 && rest.len > 4)
        *value = bus_view_trimmed(rest.ptr + 3, end);
    else
        return false;
    return true;
}

static bool find_raw(bus_view raw, const char *name, bus_view *value)
{
    size_t len = strlen(name);
    const char *at = raw.ptr, *end = raw.ptr + raw.len;
    for (bool first = true; at < end; first = false) {
        const char *stop = memmem(at, (size_t)(end - at), "\r\n", 2);
        if (!stop)
            return false;
        if (first && status_header(at, stop, name, value))
            return true;
        if (!first && (size_t)(stop - at) > len && at[len] == ':' && memcmp(at, name, len) == 0) {
            *value = bus_view_trimmed(at + len + 1, stop);
            return true;
        }
        at = stop + 2;
    }
    return false;
}

// A message we made ourselves has its headers in the library's table.
static bool find_in_table(natsMsg *msg, const char *name, bus_view *value)
{
    const char **keys = NULL, *text = NULL;
    int count = 0;
    bool found = false;
    if (natsMsgHeader_Keys(msg, &keys, &count) != NATS_OK)
        return false;
    for (int i = 0; i < count; i++)
        found |= strcmp(keys[i], name) == 0;
    free(keys);
    if (!found || natsMsgHeader_Get(msg, name, &text) != NATS_OK)
        return false;
    *value = bus_view_of(text);
    return true;
}

bool bus_msg_header(const bus_msg *msg, const char *name, bus_view *value)
{
    if (piped(msg))
        return find_raw(piped(msg)->headers, name, value);
    bus_view raw = raw_headers(lib(msg));
    return raw.len ? find_raw(raw, name, value) : find_in_table(lib(msg), name, value);
}

bool bus_msg_no_responders(const bus_msg *msg)
{
    bus_view status;
    if (piped(msg))
        return piped(msg)->payload.len == 0 && bus_msg_header(msg, "Status", &status) &&
               bus_view_is(status, "503");
    return natsMsg_IsNoResponders(lib(msg));
}

void bus_msg_release(bus_msg *msg)
{
    if (piped(msg))
        bus_pipe_release((bus_pipe_msg *)((uintptr_t)msg - 1));
    else
        natsMsg_Destroy(lib(msg));
}

// --- CloudEvents in a message -------------------------------------------------------------------------

// Binary mode: every header is handed over; the codec takes the ce-* ones and Content-Type.
static bus_err decode_headers(const bus_msg *msg, bus_event *out, bus_scratch *scratch)
{
    const char **keys = NULL;
    int count = 0;
    bus_header headers[HEADERS_MAX];
    size_t used = 0;
    if (piped(msg)) {
        size_t at = 0;
        while (used < HEADERS_MAX &&
               bus_wire_header_next(piped(msg)->headers, &at, &headers[used].name,
                                    &headers[used].value))
            used++;
        if (used == HEADERS_MAX)
            return bus_fail(BUS_ELIMIT, "%d headers or more; fewer are read", HEADERS_MAX);
        return bus_event_decode_headers(out, headers, used, bus_msg_payload(msg), scratch);
    }
    if (natsMsgHeader_Keys(lib(msg), &keys, &count) != NATS_OK)
        return bus_fail(BUS_EINVAL, "no headers");
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
