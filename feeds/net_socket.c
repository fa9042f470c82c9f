// One WebSocket: whole messages in, messages and pings out, its end told once.
#include <stdlib.h>
#include <string.h>

#include "feeds/net_impl.h"

enum { MESSAGE_BYTES_MAX = 16 << 20, SEND_BYTES_MAX = 64 * 1024 };

// --- what libwebsockets tells ------------------------------------------------------------------------

// The connection is over. The library still holds the wsi until it says that it destroyed it.
static void gone(feed_socket *s, const char *why)
{
    if (s->told)
        return;
    s->told = true;
    if (why && !s->why[0])
        snprintf(s->why, sizeof s->why, "%s", why);
    if (!s->released && !s->net->closing)
        s->net->on.closed(s->net->on.ctx, s, s->peer_closed, s->why);
}

// 0 goes on; -1 closes.
static int take(feed_socket *s, struct lws *wsi, const char *in, size_t len)
{
    feed_net *net = s->net;
    bus_recorded_time received = {bus_now_wall().ns};
    bool whole = lws_is_final_fragment(wsi) && lws_remaining_packet_payload(wsi) == 0;
    if (s->released)
        return 0;
    if (whole && s->message.len == 0) { // nearly always: straight from the socket's buffer
        net->on.message(net->on.ctx, s, (bus_view){in, len}, received);
        return 0;
    }
    if (!feed_bytes_append(&s->message, in, len, MESSAGE_BYTES_MAX)) {
        snprintf(s->why, sizeof s->why, "a message beyond %d bytes", MESSAGE_BYTES_MAX);
        return -1;
    }
    if (whole) {
        net->on.message(net->on.ctx, s, (bus_view){s->message.ptr, s->message.len}, received);
        s->message.len = 0;
    }
    return 0;
}

// One write a call: a rule of libwebsockets.
static int write_one(feed_socket *s, struct lws *wsi)
{
    if (s->closing) {
        lws_close_reason(wsi, LWS_CLOSE_STATUS_NORMAL, NULL, 0);
        return -1;
    }
    if (s->ping) {
        unsigned char ping[LWS_PRE + sizeof s->ping];
        memcpy(ping + LWS_PRE, &s->ping, sizeof s->ping); // an echo: any order of bytes will do
        s->ping = 0;
        if (lws_write(wsi, ping + LWS_PRE, sizeof s->ping, LWS_WRITE_PING) < 0)
            return -1;
    } else if (s->sends) {
        unsigned char *text = s->send[0].text;
        int wrote = lws_write(wsi, text + LWS_PRE, s->send[0].len, LWS_WRITE_TEXT);
        free(text);
        memmove(s->send, s->send + 1, --s->sends * sizeof *s->send);
        if (wrote < 0)
            return -1;
    }
    if (s->sends || s->ping)
        lws_callback_on_writable(wsi);
    return 0;
}

// The close frame's code and text, for the one who asks why.
static void peer_closes(feed_socket *s, const unsigned char *in, size_t len)
{
    s->peer_closed = true;
    if (len >= 2)
        snprintf(s->why, sizeof s->why, "closed by the venue: %d %.*s", in[0] << 8 | in[1],
                 (int)(len - 2), (const char *)in + 2);
    else
        snprintf(s->why, sizeof s->why, "closed by the venue");
}

static uint64_t pong_number(const void *in, size_t len)
{
    uint64_t number = 0;
    if (len == sizeof number)
        memcpy(&number, in, sizeof number);
    return number;
}

int feed_socket_event(struct lws *wsi, enum lws_callback_reasons reason, feed_socket *s, void *in,
                      size_t len)
{
    if (s->net->closing)
        return 0;
    switch (reason) {
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        s->wsi = wsi;
        s->open = true;
        if (!s->released)
            s->net->on.opened(s->net->on.ctx, s);
        return 0;
    case LWS_CALLBACK_CLIENT_RECEIVE:
        return take(s, wsi, in, len);
    case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
        if (!s->released)
            s->net->on.alive(s->net->on.ctx, s, pong_number(in, len));
        return 0;
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        return write_one(s, wsi);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        peer_closes(s, in, len);
        return 0;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        gone(s, in ? (const char *)in : "no connection");
        return 0;
    case LWS_CALLBACK_CLIENT_CLOSED:
        gone(s, "the connection broke");
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        s->wsi = NULL;
        gone(s, "the connection broke");
        return 0;
    default:
        return 0;
    }
}

// --- what its owner asks for -------------------------------------------------------------------------

bus_err feed_net_connect(feed_net *net, feed_socket **out, const char *url, const char *path,
                         void *owner)
{
    feed_target t;
    bus_err err = feed_target_of(&t, url, path, true);
    if (err)
        return err;
    feed_socket *s = calloc(1, sizeof *s);
    if (!s)
        return bus_fail(BUS_ENOMEM, "socket");
    s->net = net;
    s->owner = owner;
    s->next = net->sockets;
    net->sockets = s;
    *out = s;
    if (!feed_net_start(net, &t, NULL, "venue", s, &s->wsi)) {
        s->wsi = NULL;
        gone(s, "no connection");
    }
    return BUS_OK;
}

bus_err feed_socket_send(feed_socket *socket, bus_view text)
{
    if (text.len > SEND_BYTES_MAX || socket->sends == FEED_SENDS_MAX)
        return bus_fail(BUS_ELIMIT, "message of %zu bytes: at most %d bytes and %d waiting",
                        text.len, SEND_BYTES_MAX, FEED_SENDS_MAX);
    unsigned char *copy = malloc(LWS_PRE + text.len);
    if (!copy)
        return bus_fail(BUS_ENOMEM, "message");
    memcpy(copy + LWS_PRE, text.ptr, text.len);
    socket->send[socket->sends].text = copy;
    socket->send[socket->sends++].len = text.len;
    if (socket->wsi && !socket->told)
        lws_callback_on_writable(socket->wsi);
    return BUS_OK;
}

void feed_socket_ping(feed_socket *socket, uint64_t number)
{
    socket->ping = number;
    if (socket->wsi && !socket->told)
        lws_callback_on_writable(socket->wsi);
}

void feed_socket_pause(feed_socket *socket, bool paused)
{
    socket->want_pause = paused;
}

void feed_socket_release(feed_socket *socket, bool abrupt)
{
    if (!socket)
        return;
    socket->released = true;
    if (!socket->wsi || socket->told)
        return;
    if (abrupt || !socket->open) {
        lws_set_timeout(socket->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
    } else {
        socket->closing = true;
        lws_callback_on_writable(socket->wsi);
    }
}

void feed_socket_free(feed_socket *s)
{
    for (unsigned i = 0; i < s->sends; i++)
        free(s->send[i].text);
    free(s->message.ptr);
    free(s);
}
