// WebSocket connections. Source: schemas/specs/simexd.md, "Venue endpoints: WebSocket".
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "bus/base/log.h"
#include "feeds/sim/session.h"

_Static_assert(SIM_MESSAGE_PRE >= LWS_PRE, "the WebSocket header must fit before a message");

static bool is_micros(bus_view query)
{
    const char *at = query.ptr;
    static const char key[] = "timeUnit=";
    at = strstr(at, key);
    return at && strncasecmp(at + sizeof key - 1, "MICROSECOND", 11) == 0;
}

// streams=a/b of a query of at most 64 KiB; the caller frees.
static char *streams_of(struct lws *wsi)
{
    enum { STREAMS_BYTES_MAX = 64 * 1024 };
    char *text = malloc(STREAMS_BYTES_MAX);
    for (int i = 0; text; i++) {
        int n = lws_hdr_copy_fragment(wsi, text, STREAMS_BYTES_MAX, WSI_TOKEN_HTTP_URI_ARGS, i);
        if (n < 0)
            break;
        if (strncmp(text, "streams=", 8) == 0)
            return text;
    }
    if (text)
        memcpy(text, "streams=", sizeof "streams=");
    return text;
}

// The library would answer an upgrade it refuses as HTTP/1.0, which clients take for garbage.
static int refuse_upgrade(struct lws *wsi, int status)
{
    char buf[LWS_PRE + 512];
    const char *why = status == 404 ? "Not Found" : "Bad Request";
    bus_info("connection refused: %s", bus_err_text());
    int len =
        snprintf(buf + LWS_PRE, sizeof buf - LWS_PRE,
                 "HTTP/1.1 %d %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status, why);
    (void)lws_write(wsi, (unsigned char *)buf + LWS_PRE, (size_t)len, LWS_WRITE_HTTP_HEADERS);
    return -1;
}

int sim_ws_upgrade(struct lws *wsi)
{
    sim_peer *p = sim_peer_of(wsi) ? sim_peer_of(wsi) : sim_peer_add(wsi);
    char *streams = streams_of(wsi);
    bus_err err = BUS_EINVAL;
    if (p && streams && sim_peer_read_head(p))
        err = sim_hub_join(sim_exchange_hub(p->server->exchange), bus_view_of(p->path),
                           bus_view_of(streams + 8), is_micros(bus_view_of(p->query)),
                           bus_now_mono(), &p->client);
    free(streams);
    if (err)
        return refuse_upgrade(wsi, err == BUS_ENOTFOUND ? 404 : 400);
    p->client->conn = wsi;
    return 0;
}

int sim_ws_message(sim_peer *p, const void *in, size_t len)
{
    struct lws *wsi = p->wsi;
    sim_hub *hub = sim_exchange_hub(p->server->exchange);
    bus_mono now = bus_now_mono();
    if (lws_is_first_fragment(wsi)) {
        sim_text_clear(&p->inbound);
        p->too_long = false;
    }
    p->too_long = p->too_long || p->inbound.len + len > SIM_REQUEST_BYTES_MAX;
    if (!p->too_long)
        sim_text_add(&p->inbound, (bus_view){in, len});
    if (lws_frame_is_binary(wsi))
        sim_hub_close(hub, p->client, 1008, "binary message", now);
    else if (p->too_long)
        sim_hub_close(hub, p->client, 1008, "request too long", now);
    else if (lws_is_final_fragment(wsi) && lws_remaining_packet_payload(wsi) == 0)
        sim_hub_request(hub, p->client, sim_text_view(&p->inbound), now);
    sim_server_hurry(p->server);
    return 0;
}

static int close_now(sim_peer *p)
{
    sim_client *c = p->client;
    if (c->reset) { // no close frame
        struct linger gone = {1, 0};
        (void)setsockopt(lws_get_socket_fd(p->wsi), SOL_SOCKET, SO_LINGER, &gone, sizeof gone);
        return -1;
    }
    lws_close_reason(p->wsi, (enum lws_close_status)c->close_code, (unsigned char *)c->close_reason,
                     strlen(c->close_reason));
    return -1;
}

static int write_ping(sim_peer *p)
{
    unsigned char buf[LWS_PRE + 32];
    int len = snprintf((char *)buf + LWS_PRE, 32, "%lld", (long long)(bus_now_wall().ns / 1000000));
    p->client->ping_due = false;
    return lws_write(p->wsi, buf + LWS_PRE, (size_t)len, LWS_WRITE_PING) < 0 ? -1 : 0;
}

static int write_message(sim_peer *p)
{
    sim_message *m = sim_client_next(p->client);
    if (!m)
        return 0;
    int wrote = lws_write(p->wsi, m->bytes, m->len, m->binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT);
    sim_message_drop(m);
    return wrote < 0 ? -1 : 0;
}

// Several messages a turn, as long as the socket takes them: what does not fit stays in the queue.
int sim_ws_writable(sim_peer *p)
{
    sim_client *c = p->client;
    bus_mono now = bus_now_mono();
    bool close = c->closing && c->close_at.ns <= now.ns;
    if (close && (c->reset || c->queued == 0 || now.ns > c->close_at.ns + SIM_DRAIN_NS))
        return close_now(p);
    if (c->silent)
        return 0;
    if (c->ping_due && !c->closing)
        return write_ping(p) < 0 ? -1 : (lws_callback_on_writable(p->wsi), 0);
    for (int i = 0; i < SIM_WRITES_A_TURN && c->queued; i++) {
        if (write_message(p) < 0)
            return -1;
        if (lws_send_pipe_choked(p->wsi))
            break;
    }
    if (c->queued || close)
        lws_callback_on_writable(p->wsi);
    return 0;
}

// The hub's wish: this client has something to write, or is to be closed.
void sim_ws_wake(void *ctx, sim_client *client)
{
    (void)ctx;
    if (!client->conn)
        return;
    bus_mono now = bus_now_mono();
    bool stuck = client->closing && now.ns > client->close_at.ns + SIM_DRAIN_NS;
    if (client->silent) // what the client says piles up in its own socket
        lws_rx_flow_control(client->conn, client->closing);
    if (stuck)
        lws_set_timeout(client->conn, PENDING_TIMEOUT_KILLED_BY_PARENT, LWS_TO_KILL_ASYNC);
    else
        lws_callback_on_writable(client->conn);
}
