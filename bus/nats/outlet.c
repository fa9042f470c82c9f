#include "bus/nats/outlet.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "bus/lane/lane.h"
#include "bus/nats/wire.h"

// --- life ---------------------------------------------------------------------------------------------------

// Under TLS the socket's bytes are the library's alone, and its threads do what the profile asks of them.
static bool owns_socket(const bus_conn_opts *opts)
{
    return !(opts->ca && *opts->ca) && !(opts->url && strstr(opts->url, "tls://"));
}

bus_err bus_outlet_open(bus_outlet *o, const bus_conn_opts *opts, uint32_t pending_max,
                        bus_wake wake)
{
    *o = (bus_outlet){.at_once = opts->profile == BUS_PROFILE_LATENCY};
    snprintf(o->inbox, sizeof o->inbox, "_INBOX.%016" PRIx64 ".", bus_machine_random());
    o->inbox_len = strlen(o->inbox);
    char subject[BUS_OUTLET_INBOX + 2];
    snprintf(subject, sizeof subject, "%s>", o->inbox);
    bus_conn_opts conn = *opts;
    conn.wake = wake;
    bool owner = owns_socket(opts);
    if (owner)
        conn.profile = BUS_PROFILE_OWNER;
    bus_err err = owner && wake.fn ? bus_watch_open(&o->watch, wake) : BUS_OK;
    if (!err)
        err = bus_conn_open(&o->conn, &conn);
    if (!err)
        err = bus_sub_open(
            &o->in, o->conn,
            &(bus_sub_opts){.subject = subject, .pending_max = pending_max, .wake = wake});
    if (err)
        bus_outlet_close(o);
    return err;
}

void bus_outlet_close(bus_outlet *o)
{
    bus_watch_close(o->watch);
    bus_link_unref(o->link);
    bus_sub_close(o->in);
    bus_conn_close(o->conn);
    free(o->block);
    *o = (bus_outlet){0};
}

// --- the connection -----------------------------------------------------------------------------------------

static bus_link *live_link(bus_outlet *o)
{
    if (!bus_owner_pipe(o->conn))
        return o->conn->opts.opts.profile == BUS_PROFILE_OWNER ? NULL : bus_conn_link(o->conn);
    bus_link_ref(o->conn->mine);
    return o->conn->mine;
}

bool bus_outlet_follow(bus_outlet *o)
{
    bus_link *link = live_link(o);
    if (link == o->link) {
        bus_link_unref(link);
        return false;
    }
    if (o->watch)
        bus_watch_arm(o->watch, NULL);
    bus_link_unref(o->link);
    o->link = link;
    return true;
}

bool bus_outlet_up(const bus_outlet *o)
{
    if (!o->link || o->link->lost)
        return false;
    return o->link->fd < 0 ||
           (o->conn->mine == o->link && o->conn->pipe && !bus_pipe_down(o->conn->pipe));
}

void bus_outlet_drop(bus_outlet *o)
{
    bus_conn_drop(o->conn, o->link);
}

// --- out ----------------------------------------------------------------------------------------------------

static bool grow(bus_outlet *o, size_t len)
{
    if (len <= o->block_cap)
        return true;
    char *wider = realloc(o->block, len);
    if (!wider)
        return false;
    o->block = wider;
    o->block_cap = len;
    return true;
}

// Headers through the library: it wants them one by one, NUL-terminated.
static natsStatus add_headers(natsMsg *msg, bus_view block)
{
    bus_view name, value;
    natsStatus s = NATS_OK;
    for (size_t at = 0; s == NATS_OK && bus_wire_header_next(block, &at, &name, &value);) {
        char *n = strndup(name.ptr, name.len), *v = strndup(value.ptr, value.len);
        s = n && v ? natsMsgHeader_Add(msg, n, v) : NATS_NO_MEMORY;
        free(n);
        free(v);
    }
    return s;
}

static bool by_library(bus_outlet *o, const bus_wire_out *out)
{
    char subject[BUS_SUBJECT_BUF], reply[BUS_OUTLET_REPLY];
    natsMsg *msg = NULL;
    if (!bus_view_copy(out->subject, subject, sizeof subject) ||
        !bus_view_copy(out->reply, reply, sizeof reply))
        return false;
    natsStatus s = natsMsg_Create(&msg, subject, reply, out->payload.ptr, (int)out->payload.len);
    if (s == NATS_OK)
        s = add_headers(msg, out->headers);
    if (s == NATS_OK)
        s = natsConnection_PublishMsg(o->link->nc, msg);
    natsMsg_Destroy(msg);
    return s == NATS_OK;
}

static bool put(bus_outlet *o, bus_wire_out out, bus_view tail)
{
    char reply[BUS_OUTLET_REPLY];
    if (!bus_outlet_up(o) || o->inbox_len + tail.len >= sizeof reply)
        return false;
    memcpy(reply, o->inbox, o->inbox_len);
    memcpy(reply + o->inbox_len, tail.ptr, tail.len);
    out.reply = (bus_view){reply, o->inbox_len + tail.len};
    bool ok = o->link->fd < 0 ? by_library(o, &out) : bus_pipe_publish(o->conn->pipe, &out);
    if (ok && o->at_once)
        bus_outlet_push(o);
    if (!ok)
        bus_outlet_drop(o);
    return ok;
}

bool bus_outlet_send(bus_outlet *o, const bus_frame *frame, bool with_id, bus_view more,
                     bus_view tail)
{
    bus_wire_out out = {.subject = frame->subject, .payload = frame->payload};
    size_t len = bus_frame_block_len(frame, with_id, more);
    if (len) {
        if (!grow(o, len))
            return false;
        bus_frame_block(o->block, frame, with_id, more);
        out.headers = (bus_view){o->block, len};
    }
    return put(o, out, tail);
}

bool bus_outlet_ask(bus_outlet *o, const char *subject, bus_view tail, bus_view payload)
{
    bus_wire_out out = {.subject = bus_view_of(subject), .payload = payload};
    return put(o, out, tail);
}

void bus_outlet_push(bus_outlet *o)
{
    if (bus_outlet_up(o) && o->link->fd >= 0)
        bus_pipe_push(o->conn->pipe);
}

// --- in -----------------------------------------------------------------------------------------------------

bus_msg *bus_outlet_next(bus_outlet *o, bus_view *tail)
{
    for (bus_msg *msg; (msg = bus_sub_next(o->in, (bus_span){0})) != NULL; bus_msg_release(msg)) {
        bus_view subject = bus_msg_subject(msg);
        if (subject.len <= o->inbox_len)
            continue;
        *tail = (bus_view){subject.ptr + o->inbox_len, subject.len - o->inbox_len};
        return msg;
    }
    return NULL;
}

void bus_outlet_sleep(bus_outlet *o)
{
    if (o->watch && bus_outlet_up(o))
        bus_watch_arm(o->watch, o->link);
}

void bus_outlet_wait(bus_outlet *o, bus_span timeout)
{
    bus_sub_wait(o->in, timeout);
}

uint64_t bus_outlet_denials(bus_outlet *o)
{
    return bus_conn_denials(o->conn);
}

bus_err bus_outlet_denied(bus_outlet *o, const char *subject, uint64_t since)
{
    return bus_conn_denied(o->conn, subject, since);
}
