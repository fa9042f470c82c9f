#include "feeds/net.h"

#include <libwebsockets.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base/log.h"

enum {
    READ_BYTES = 64 * 1024, // of one read from a socket
    MESSAGE_BYTES_MAX = 16 << 20,
    BODY_BYTES_MAX = 64 << 20,
    SEND_BYTES_MAX = 64 * 1024,
    SENDS_MAX = 64, // waiting messages of one socket
    DESCRIPTORS_MAX = 256,
};

typedef struct {
    char *ptr;
    size_t len, cap;
} bytes;

// libwebsockets reports the end of any connection to the first protocol's callback, whichever it
// belongs to: so both kinds of ours begin with what they are.
typedef enum { SOCKET, REQUEST } kind;

struct feed_socket {
    kind kind; // SOCKET
    feed_net *net;
    struct lws *wsi; // NULL: destroyed, or never made
    void *owner;
    bytes message; // of fragments so far
    struct {
        unsigned char *text; // LWS_PRE bytes before it
        size_t len;
    } send[SENDS_MAX];
    unsigned sends;
    uint64_t ping; // to send; 0: none
    bool open, told, released, closing, peer_closed;
    bool want_pause, paused;
    char why[256];
    feed_socket *next;
};

typedef struct request {
    kind kind; // REQUEST
    feed_net *net;
    struct lws *wsi;
    uint64_t tag;
    int status;
    bytes body;
    bool told;
    struct request *next;
} request;

struct feed_net {
    struct lws_context *context;
    feed_net_events on;
    bus_span turn_max;
    lws_sorted_usec_list_t timer;
    feed_socket *sockets;
    request *requests;
    bool closing;
    char ca_file[1024];
};

static bool append(bytes *b, const void *ptr, size_t len, size_t max)
{
    if (len == 0) // an empty fragment
        return true;
    if (b->len + len > max)
        return false;
    if (b->cap - b->len < len) {
        size_t cap = b->cap ? b->cap : READ_BYTES;
        while (cap - b->len < len)
            cap *= 2;
        char *grown = realloc(b->ptr, cap);
        if (!grown)
            return false;
        b->ptr = grown;
        b->cap = cap;
    }
    memcpy(b->ptr + b->len, ptr, len);
    b->len += len;
    return true;
}

// --- WebSocket ---------------------------------------------------------------------------------------

// The connection is over. The library still holds the wsi until it says that it destroyed it.
static void socket_gone(feed_socket *s, const char *why)
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
static int socket_received(feed_socket *s, struct lws *wsi, const char *in, size_t len)
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
    if (!append(&s->message, in, len, MESSAGE_BYTES_MAX)) {
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
static int socket_writeable(feed_socket *s, struct lws *wsi)
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
static void socket_peer_closes(feed_socket *s, const unsigned char *in, size_t len)
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

static int on_websocket(struct lws *wsi, enum lws_callback_reasons reason, feed_socket *s, void *in,
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
        return socket_received(s, wsi, in, len);
    case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
        if (!s->released)
            s->net->on.alive(s->net->on.ctx, s, pong_number(in, len));
        return 0;
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        return socket_writeable(s, wsi);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        socket_peer_closes(s, in, len);
        return 0;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        socket_gone(s, in ? (const char *)in : "no connection");
        return 0;
    case LWS_CALLBACK_CLIENT_CLOSED:
        socket_gone(s, "the connection broke");
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        s->wsi = NULL;
        socket_gone(s, "the connection broke");
        return 0;
    default:
        return 0;
    }
}

// --- HTTP --------------------------------------------------------------------------------------------

static void request_done(request *r, const char *text)
{
    if (r->told)
        return;
    r->told = true;
    r->net->on.answered(r->net->on.ctx, r->tag, text ? 0 : r->status,
                        (bus_view){r->body.ptr, r->body.len}, text ? text : "");
}

static int request_read(struct lws *wsi)
{
    char buf[LWS_PRE + 16384], *at = buf + LWS_PRE;
    int len = (int)sizeof buf - LWS_PRE;
    return lws_http_client_read(wsi, &at, &len) < 0 ? -1 : 0;
}

static int on_http(struct lws *wsi, enum lws_callback_reasons reason, request *r, void *in,
                   size_t len)
{
    if (r->net->closing)
        return 0;
    switch (reason) {
    case LWS_CALLBACK_ESTABLISHED_CLIENT_HTTP:
        r->status = (int)lws_http_client_http_response(wsi);
        return 0;
    case LWS_CALLBACK_RECEIVE_CLIENT_HTTP:
        return request_read(wsi);
    case LWS_CALLBACK_RECEIVE_CLIENT_HTTP_READ:
        if (append(&r->body, in, len, BODY_BYTES_MAX))
            return 0;
        request_done(r, "an answer beyond 64 MiB");
        return -1;
    case LWS_CALLBACK_COMPLETED_CLIENT_HTTP:
        request_done(r, NULL);
        return -1;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        request_done(r, in ? (const char *)in : "no connection");
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        r->wsi = NULL;
        request_done(r, "the connection broke before the answer was whole");
        return 0;
    case LWS_CALLBACK_CLOSED_CLIENT_HTTP:
        request_done(r, "the connection broke before the answer was whole");
        return 0;
    default:
        return 0;
    }
}

// libwebsockets calls the first protocol's callback for matters of its own too (its TLS contexts, a
// socket's descriptor), with a `user` that is not ours.
static bool ours(enum lws_callback_reasons reason)
{
    switch (reason) {
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
    case LWS_CALLBACK_CLIENT_RECEIVE:
    case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
    case LWS_CALLBACK_CLIENT_WRITEABLE:
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
    case LWS_CALLBACK_CLIENT_CLOSED:
    case LWS_CALLBACK_WSI_DESTROY:
    case LWS_CALLBACK_ESTABLISHED_CLIENT_HTTP:
    case LWS_CALLBACK_RECEIVE_CLIENT_HTTP:
    case LWS_CALLBACK_RECEIVE_CLIENT_HTTP_READ:
    case LWS_CALLBACK_COMPLETED_CLIENT_HTTP:
    case LWS_CALLBACK_CLOSED_CLIENT_HTTP:
        return true;
    default:
        return false;
    }
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t len)
{
    if (!ours(reason) || !user)
        return 0;
    return *(kind *)user == SOCKET ? on_websocket(wsi, reason, user, in, len)
                                   : on_http(wsi, reason, user, in, len);
}

static const struct lws_protocols protocols[] = {
    {.name = "venue", .callback = on_event, .rx_buffer_size = READ_BYTES},
    {.name = "rest", .callback = on_event, .rx_buffer_size = READ_BYTES},
    {0},
};

// --- the loop ----------------------------------------------------------------------------------------

static void on_log(int level, const char *line)
{
    size_t len = strcspn(line, "\n");
    bus_log(level == LLL_ERR ? BUS_LOG_WARN : BUS_LOG_DEBUG, "libwebsockets: %.*s", (int)len, line);
}

static void on_timer(lws_sorted_usec_list_t *timer)
{
    feed_net *net = lws_container_of(timer, feed_net, timer);
    lws_sul_schedule(net->context, 0, &net->timer, on_timer, net->turn_max.ns / 1000);
}

bus_err feed_net_open(feed_net **out, const feed_net_opts *opts, const feed_net_events *events)
{
    feed_net *net = calloc(1, sizeof *net);
    if (!net)
        return bus_fail(BUS_ENOMEM, "network");
    net->on = *events;
    net->turn_max = opts->turn_max;
    snprintf(net->ca_file, sizeof net->ca_file, "%s", opts->ca_file ? opts->ca_file : "");
    lws_set_log_level(LLL_ERR | LLL_WARN, on_log);
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .protocols = protocols,
        .gid = (gid_t)-1,
        .uid = (uid_t)-1,
        .options = opts->tls ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0,
        .client_ssl_ca_filepath = net->ca_file[0] ? net->ca_file : NULL,
        .timeout_secs = (unsigned)(opts->rest_timeout.ns / 1000000000),
        .pt_serv_buf_size = READ_BYTES, // else a read is 4 KiB
        .fd_limit_per_thread = DESCRIPTORS_MAX,
    };
    net->context = lws_create_context(&info);
    if (!net->context) {
        free(net);
        return bus_fail(BUS_EIO, "libwebsockets has no context (CA file '%s'?)",
                        opts->ca_file ? opts->ca_file : "");
    }
    on_timer(&net->timer);
    *out = net;
    return BUS_OK;
}

static void socket_free(feed_socket *s)
{
    for (unsigned i = 0; i < s->sends; i++)
        free(s->send[i].text);
    free(s->message.ptr);
    free(s);
}

static void request_free(request *r)
{
    free(r->body.ptr);
    free(r);
}

void feed_net_close(feed_net *net)
{
    if (!net)
        return;
    net->closing = true;
    lws_sul_cancel(&net->timer);
    lws_context_destroy(net->context);
    for (feed_socket *s = net->sockets, *next; s; s = next) {
        next = s->next;
        socket_free(s);
    }
    for (request *r = net->requests, *next; r; r = next) {
        next = r->next;
        request_free(r);
    }
    free(net);
}

// What is both finished and let go is freed here, outside of any callback.
static void sweep(feed_net *net)
{
    for (feed_socket **at = &net->sockets; *at;) {
        feed_socket *s = *at;
        if (!s->released || s->wsi) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        socket_free(s);
    }
    for (request **at = &net->requests; *at;) {
        request *r = *at;
        if (r->wsi || !r->told) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        request_free(r);
    }
}

// Only between two reads: asked for in the middle of one, libwebsockets copies the rest of it to a list
// of its own and gives from that later. This way there is never a rest.
static void pause_sockets(feed_net *net)
{
    for (feed_socket *s = net->sockets; s; s = s->next)
        if (s->want_pause != s->paused && s->wsi && s->open && !s->told) {
            lws_rx_flow_control(s->wsi, !s->want_pause);
            s->paused = s->want_pause;
        }
}

void feed_net_turn(feed_net *net)
{
    pause_sockets(net);
    lws_service(net->context, 0);
    pause_sockets(net);
    sweep(net);
}

void feed_net_wake(feed_net *net)
{
    lws_cancel_service(net->context);
}

// --- connecting --------------------------------------------------------------------------------------

typedef struct {
    char text[1024], path[4608];
    const char *host;
    int port;
    bool tls;
} target;

static bus_err target_of(target *t, const char *url, const char *path, bool websocket)
{
    const char *scheme, *rest;
    if (!bus_view_copy(bus_view_of(url), t->text, sizeof t->text))
        return bus_fail(BUS_EINVAL, "URL '%.64s…': longer than %zu bytes", url, sizeof t->text - 1);
    if (lws_parse_uri(t->text, &scheme, &t->host, &t->port, &rest) || !t->host[0])
        return bus_fail(BUS_EINVAL, "URL '%s': <scheme>://<host>[:port] is expected", url);
    t->tls = strcmp(scheme, websocket ? "wss" : "https") == 0;
    if (!t->tls && strcmp(scheme, websocket ? "ws" : "http") != 0)
        return bus_fail(BUS_EINVAL, "URL '%s': %s is expected", url,
                        websocket ? "ws:// or wss://" : "http:// or https://");
    size_t base = strlen(rest); // a path of the URL goes in front
    while (base && rest[base - 1] == '/')
        base--;
    snprintf(t->path, sizeof t->path, "%s%.*s%s", base ? "/" : "", (int)base, rest, path);
    return BUS_OK;
}

bus_err feed_net_check_url(const char *url, bool websocket)
{
    target t;
    return target_of(&t, url, "/", websocket);
}

static struct lws *start(feed_net *net, target *t, const char *method, const char *protocol,
                         void *user, struct lws **wsi)
{
    char host[512];
    bool usual = t->port == (t->tls ? 443 : 80);
    snprintf(host, sizeof host, usual ? "%s" : "%s:%d", t->host, t->port);
    struct lws_client_connect_info info = {
        .context = net->context,
        .address = t->host,
        .port = t->port,
        .path = t->path,
        .host = host,
        .method = method,
        .local_protocol_name = protocol,
        .ssl_connection = t->tls ? LCCSCF_USE_SSL : 0,
        .alpn = "http/1.1",
        .userdata = user,
        .pwsi = wsi,
    };
    return lws_client_connect_via_info(&info);
}

bus_err feed_net_connect(feed_net *net, feed_socket **out, const char *url, const char *path,
                         void *owner)
{
    target t;
    bus_err err = target_of(&t, url, path, true);
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
    if (!start(net, &t, NULL, "venue", s, &s->wsi)) {
        s->wsi = NULL;
        socket_gone(s, "no connection");
    }
    return BUS_OK;
}

bus_err feed_socket_send(feed_socket *socket, bus_view text)
{
    if (text.len > SEND_BYTES_MAX || socket->sends == SENDS_MAX)
        return bus_fail(BUS_ELIMIT, "message of %zu bytes: at most %d bytes and %d waiting",
                        text.len, SEND_BYTES_MAX, SENDS_MAX);
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

bus_err feed_net_get(feed_net *net, const char *url, const char *path, uint64_t tag)
{
    target t;
    bus_err err = target_of(&t, url, path, false);
    if (err)
        return err;
    request *r = calloc(1, sizeof *r);
    if (!r)
        return bus_fail(BUS_ENOMEM, "request");
    r->kind = REQUEST;
    r->net = net;
    r->tag = tag;
    r->next = net->requests;
    net->requests = r;
    if (!start(net, &t, "GET", "rest", r, &r->wsi)) {
        r->wsi = NULL;
        request_done(r, "no connection");
    }
    return BUS_OK;
}
