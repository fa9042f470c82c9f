// The owner's half of a connection with BUS_PROFILE_OWNER: it takes the socket of the live link, puts its
// subscriptions on it, and is all that reads and writes there. The supervisor only makes the links.
#include <stdlib.h>

#include "bus/nats/conn_impl.h"

enum { FLUSH_MS = 2000, LOOK_MS = 250 };

static bool room(bus_sub *sub)
{
    if (sub->out_len < sub->out_cap)
        return true;
    uint32_t cap = sub->out_cap ? sub->out_cap * 2 : 64;
    natsMsg **out = realloc(sub->out, cap * sizeof *out);
    if (!out)
        return false;
    sub->out = out;
    sub->out_cap = cap;
    return true;
}

static void on_message(void *ctx, uint64_t sid, bus_pipe_msg *msg)
{
    bus_conn *conn = ctx;
    bus_sub *sub = conn->subs;
    while (sub && sub->sid != sid)
        sub = sub->next;
    if (sub && sub->out_at == sub->out_len)
        sub->out_at = sub->out_len = 0;
    if (sub && sub->out_len - sub->out_at < sub->pending_max && room(sub)) {
        sub->out[sub->out_len++] = (natsMsg *)bus_msg_of_pipe(msg);
        return;
    }
    if (sub)
        sub->lost++;
    bus_pipe_release(msg);
}

static void give_up(bus_conn *conn)
{
    bus_pipe_close(conn->pipe);
    conn->pipe = NULL;
    bus_conn_drop(conn, conn->mine);
    bus_link_unref(conn->mine);
    conn->mine = NULL;
}

// The live link's socket, with every subscription standing at the broker. Stops being asked for when there is none.
static bus_pipe *take_over(bus_conn *conn)
{
    give_up(conn);
    bus_link *link = bus_conn_link(conn);
    if (!link || link->fd < 0 || bus_pipe_open(&conn->pipe, link->fd, link->max_payload)) {
        bus_link_unref(link);
        return NULL;
    }
    conn->mine = link;
    bus_pipe_note_denials(conn->pipe, &conn->denied);
    for (bus_sub *sub = conn->subs; sub; sub = sub->next)
        bus_pipe_subscribe(conn->pipe, sub->sid, sub->subject, sub->queue_group);
    if (bus_pipe_flush(conn->pipe, BUS_SPAN_MS(FLUSH_MS), on_message, conn))
        return conn->pipe;
    give_up(conn);
    return NULL;
}

bus_pipe *bus_owner_pipe(bus_conn *conn)
{
    if (conn->pipe && !bus_pipe_down(conn->pipe) && !conn->mine->lost)
        return conn->pipe;
    return conn->opts.opts.profile == BUS_PROFILE_OWNER ? take_over(conn) : NULL;
}

bus_link *bus_owner_link(bus_conn *conn)
{
    return bus_owner_pipe(conn) ? conn->mine : NULL;
}

int bus_conn_fd(bus_conn *conn)
{
    bus_link *link = bus_owner_link(conn);
    return link ? link->fd : -1;
}

void bus_owner_release(bus_conn *conn)
{
    bus_pipe_close(conn->pipe);
    conn->pipe = NULL;
    bus_link_unref(conn->mine);
    conn->mine = NULL;
}

bool bus_owner_flush(bus_conn *conn, bus_span timeout)
{
    bus_pipe *pipe = bus_owner_pipe(conn);
    return pipe && bus_pipe_flush(pipe, timeout, on_message, conn);
}

void bus_owner_subscribe(bus_sub *sub)
{
    bus_conn *conn = sub->conn;
    bus_pipe *before = conn->pipe, *pipe = bus_owner_pipe(conn);
    if (!pipe || pipe != before)
        return; // it was put on the new one with all the others, or will be
    if (bus_pipe_subscribe(pipe, sub->sid, sub->subject, sub->queue_group))
        bus_pipe_flush(pipe, BUS_SPAN_MS(FLUSH_MS), on_message, conn);
}

void bus_owner_unsubscribe(bus_sub *sub)
{
    if (sub->conn->pipe && bus_pipe_unsubscribe(sub->conn->pipe, sub->sid))
        bus_pipe_push(sub->conn->pipe);
}

bool bus_owner_read(bus_sub *sub, bus_span timeout)
{
    bus_pipe_read(sub->conn->pipe, timeout, on_message, sub->conn);
    return sub->out_at < sub->out_len;
}

void bus_conn_push(bus_conn *conn)
{
    bus_pipe *pipe = bus_owner_pipe(conn);
    if (!pipe || !bus_pipe_push(pipe))
        return;
    bus_mono now = bus_machine_mono();
    if (bus_mono_since(now, conn->looked).ns < BUS_SPAN_MS(LOOK_MS).ns)
        return;
    conn->looked = now;
    bus_pipe_read(pipe, (bus_span){0}, on_message, conn);
}
