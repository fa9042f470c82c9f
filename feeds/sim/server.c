#include "feeds/sim/server.h"

#include <libwebsockets.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "bus/base/log.h"

_Static_assert(SIM_MESSAGE_PRE >= LWS_PRE, "the WebSocket header must fit before a message");

enum {
    BODY_BYTES_MAX = 64 * 1024,
    REQUEST_BYTES_MAX = 64 * 1024,
    CHUNK_BYTES = 64 * 1024, // of an HTTP answer
    WRITES_A_TURN = 64,      // messages written to one connection before others get their turn
    CONNECTIONS_MAX = 500,
    DRAIN_NS = 1000000000, // how long a closing connection may take to empty its queue
};

// One connection: a WebSocket client, or an HTTP request being answered.
typedef struct peer {
    sim_server *server;
    struct lws *wsi;
    sim_client *client; // WebSocket; NULL for HTTP
    sim_text inbound;   // message or body so far
    bool too_long;
    char method[8];
    char path[256], query[2048];
    bool waits; // the exchange will answer later
    bool answering;
    sim_answer answer;
    size_t sent;
    struct peer *next;
} peer;

struct sim_server {
    struct lws_context *context;
    struct lws_vhost *vhost;
    sim_exchange *exchange;
    pthread_t thread;
    bool thread_runs;
    lws_sorted_usec_list_t timer;
    peer *peers;
    int port;
    _Atomic bool stop, serves;
    bool stopping;
    bus_mono stop_at;
    bus_wake done;
    pthread_mutex_t lock; // figures
    sim_exchange_figures figures;
    int weight; // used in this minute
    int64_t weight_minute;
};

static peer *peer_of(struct lws *wsi)
{
    return lws_get_opaque_user_data(wsi);
}

static sim_server *server_of(struct lws *wsi)
{
    return lws_context_user(lws_get_context(wsi));
}

static peer *peer_add(struct lws *wsi)
{
    peer *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->server = server_of(wsi);
    p->wsi = wsi;
    p->next = p->server->peers;
    p->server->peers = p;
    lws_set_opaque_user_data(wsi, p);
    return p;
}

static void peer_remove(struct lws *wsi)
{
    peer *p = peer_of(wsi);
    if (!p)
        return;
    peer **at = &p->server->peers;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    if (p->client)
        sim_hub_leave(sim_exchange_hub(p->server->exchange), p->client);
    if (p->waits)
        sim_exchange_forget(p->server->exchange, p);
    sim_text_release(&p->inbound);
    sim_text_release(&p->answer.body);
    free(p);
    lws_set_opaque_user_data(wsi, NULL);
}

// --- time -------------------------------------------------------------------------------------------

static void on_timer(lws_sorted_usec_list_t *timer);

static void schedule(sim_server *s, bus_mono now, bus_mono at)
{
    // The library waits in whole milliseconds and spins through what is left of one.
    int64_t ms = (at.ns - now.ns + 999999) / 1000000;
    lws_sul_schedule(s->context, 0, &s->timer, on_timer, ms < 1 ? 1 : ms * 1000);
}

static void turn(sim_server *s)
{
    bus_mono now = bus_now_mono();
    schedule(s, now, sim_exchange_turn(s->exchange, now));
    pthread_mutex_lock(&s->lock);
    s->figures = sim_exchange_measure(s->exchange);
    pthread_mutex_unlock(&s->lock);
}

static void on_timer(lws_sorted_usec_list_t *timer)
{
    turn(lws_container_of(timer, sim_server, timer));
}

// Something came in that may let play go on: come back at once.
static void hurry(sim_server *s)
{
    lws_sul_schedule(s->context, 0, &s->timer, on_timer, 1);
}

// --- the path and query of a request ----------------------------------------------------------------

static void read_query(struct lws *wsi, char *query, size_t cap)
{
    char part[1024];
    size_t len = 0;
    query[0] = 0;
    for (int i = 0;; i++) {
        int n = lws_hdr_copy_fragment(wsi, part, sizeof part, WSI_TOKEN_HTTP_URI_ARGS, i);
        if (n < 0)
            return;
        int wrote = snprintf(query + len, cap - len, "%s%s", i ? "&" : "", part);
        if (wrote < 0 || (size_t)wrote >= cap - len) {
            query[len] = 0; // one that does not fit is as if it had not been sent
            return;
        }
        len += (size_t)wrote;
    }
}

static bool read_head(peer *p)
{
    static const struct {
        enum lws_token_indexes token;
        const char *method;
    } methods[] = {
        {WSI_TOKEN_GET_URI, "GET"},         {WSI_TOKEN_POST_URI, "POST"},
        {WSI_TOKEN_DELETE_URI, "DELETE"},   {WSI_TOKEN_PUT_URI, "PUT"},
        {WSI_TOKEN_PATCH_URI, "PATCH"},     {WSI_TOKEN_HEAD_URI, "HEAD"},
        {WSI_TOKEN_OPTIONS_URI, "OPTIONS"},
    };
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (lws_hdr_total_length(p->wsi, methods[i].token) == 0)
            continue;
        snprintf(p->method, sizeof p->method, "%s", methods[i].method);
        read_query(p->wsi, p->query, sizeof p->query);
        return lws_hdr_copy(p->wsi, p->path, sizeof p->path, methods[i].token) > 0;
    }
    return false;
}

// --- WebSocket --------------------------------------------------------------------------------------

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
        strcpy(text, "streams=");
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

static int on_upgrade(struct lws *wsi)
{
    peer *p = peer_of(wsi) ? peer_of(wsi) : peer_add(wsi);
    char *streams = streams_of(wsi);
    bus_err err = BUS_EINVAL;
    if (p && streams && read_head(p))
        err = sim_hub_join(sim_exchange_hub(p->server->exchange), bus_view_of(p->path),
                           bus_view_of(streams + 8), is_micros(bus_view_of(p->query)),
                           bus_now_mono(), &p->client);
    free(streams);
    if (err)
        return refuse_upgrade(wsi, err == BUS_ENOTFOUND ? 404 : 400);
    p->client->conn = wsi;
    return 0;
}

static int on_message(peer *p, const void *in, size_t len)
{
    struct lws *wsi = p->wsi;
    sim_hub *hub = sim_exchange_hub(p->server->exchange);
    bus_mono now = bus_now_mono();
    if (lws_is_first_fragment(wsi)) {
        sim_text_clear(&p->inbound);
        p->too_long = false;
    }
    p->too_long = p->too_long || p->inbound.len + len > REQUEST_BYTES_MAX;
    if (!p->too_long)
        sim_text_add(&p->inbound, (bus_view){in, len});
    if (lws_frame_is_binary(wsi))
        sim_hub_close(hub, p->client, 1008, "binary message", now);
    else if (p->too_long)
        sim_hub_close(hub, p->client, 1008, "request too long", now);
    else if (lws_is_final_fragment(wsi) && lws_remaining_packet_payload(wsi) == 0)
        sim_hub_request(hub, p->client, sim_text_view(&p->inbound), now);
    hurry(p->server);
    return 0;
}

static int close_now(peer *p)
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

static int write_ping(peer *p)
{
    unsigned char buf[LWS_PRE + 32];
    int len = snprintf((char *)buf + LWS_PRE, 32, "%lld", (long long)(bus_now_wall().ns / 1000000));
    p->client->ping_due = false;
    return lws_write(p->wsi, buf + LWS_PRE, (size_t)len, LWS_WRITE_PING) < 0 ? -1 : 0;
}

static int write_message(peer *p)
{
    sim_message *m = sim_client_next(p->client);
    if (!m)
        return 0;
    int wrote = lws_write(p->wsi, m->bytes, m->len, m->binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT);
    sim_message_drop(m);
    return wrote < 0 ? -1 : 0;
}

// Several messages a turn, as long as the socket takes them: what does not fit stays in the queue.
static int on_writable(peer *p)
{
    sim_client *c = p->client;
    bus_mono now = bus_now_mono();
    bool close = c->closing && c->close_at.ns <= now.ns;
    if (close && (c->reset || c->queued == 0 || now.ns > c->close_at.ns + DRAIN_NS))
        return close_now(p);
    if (c->silent)
        return 0;
    if (c->ping_due && !c->closing)
        return write_ping(p) < 0 ? -1 : (lws_callback_on_writable(p->wsi), 0);
    for (int i = 0; i < WRITES_A_TURN && c->queued; i++) {
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
static void on_wake(void *ctx, sim_client *client)
{
    (void)ctx;
    if (!client->conn)
        return;
    bus_mono now = bus_now_mono();
    bool stuck = client->closing && now.ns > client->close_at.ns + DRAIN_NS;
    if (client->silent) // what the client says piles up in its own socket
        lws_rx_flow_control(client->conn, client->closing);
    if (stuck)
        lws_set_timeout(client->conn, PENDING_TIMEOUT_KILLED_BY_PARENT, LWS_TO_KILL_ASYNC);
    else
        lws_callback_on_writable(client->conn);
}

// --- HTTP -------------------------------------------------------------------------------------------

static int used_weight(sim_server *s, int weight)
{
    int64_t minute = bus_now_wall().ns / 60000000000;
    if (minute != s->weight_minute) {
        s->weight_minute = minute;
        s->weight = 0;
    }
    return s->weight += weight;
}

static int write_head(peer *p)
{
    unsigned char buf[LWS_PRE + 1024], *at = buf + LWS_PRE, *end = buf + sizeof buf;
    char weight[16];
    int len = snprintf(weight, sizeof weight, "%d", used_weight(p->server, p->answer.weight));
    if (lws_add_http_common_headers(p->wsi, (unsigned)p->answer.status, p->answer.type,
                                    p->answer.body.len, &at, end))
        return -1;
    if (p->answer.weight &&
        lws_add_http_header_by_name(p->wsi, (const unsigned char *)"x-mbx-used-weight-1m:",
                                    (const unsigned char *)weight, len, &at, end))
        return -1;
    return lws_finalize_write_http_header(p->wsi, buf + LWS_PRE, &at, end) ? -1 : 0;
}

static int begin_answer(peer *p)
{
    p->waits = false;
    p->answering = true;
    p->sent = 0;
    if (p->answer.body.failed) {
        sim_text_clear(&p->answer.body);
        p->answer.status = 500;
    }
    if (write_head(p))
        return -1;
    lws_callback_on_writable(p->wsi);
    return 0;
}

static void on_answer(void *ctx, void *cookie, sim_answer *answer)
{
    peer *p = cookie;
    (void)ctx;
    p->answer = *answer;
    if (begin_answer(p) < 0)
        lws_set_timeout(p->wsi, PENDING_TIMEOUT_KILLED_BY_PARENT, LWS_TO_KILL_ASYNC);
}

static int ask(peer *p)
{
    sim_ask a = {bus_view_of(p->method), bus_view_of(p->path), bus_view_of(p->query),
                 sim_text_view(&p->inbound), p};
    if (p->too_long) {
        p->answer = (sim_answer){.status = 413, .type = "application/json"};
        sim_text_printf(&p->answer.body, "{\"error\":\"a body is at most %d bytes\"}",
                        BODY_BYTES_MAX);
        return begin_answer(p);
    }
    sim_exchange_ask(p->server->exchange, &a, &p->answer, bus_now_mono());
    hurry(p->server);
    if (p->answer.status)
        return begin_answer(p);
    p->waits = true;
    lws_set_timeout(p->wsi, NO_PENDING_TIMEOUT, 0);
    return 0;
}

static int on_request(struct lws *wsi)
{
    peer *p = peer_of(wsi) ? peer_of(wsi) : peer_add(wsi); // a kept connection asks again
    if (!p)
        return -1;
    sim_text_clear(&p->inbound);
    p->too_long = false;
    if (!read_head(p))
        return lws_return_http_status(wsi, 400, NULL) ? -1 : lws_http_transaction_completed(wsi);
    if (lws_hdr_total_length(wsi, WSI_TOKEN_POST_URI) &&
        lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH))
        return 0; // the body comes first
    return ask(p);
}

static int on_body(peer *p, const void *in, size_t len)
{
    p->too_long = p->too_long || p->inbound.len + len > BODY_BYTES_MAX;
    if (!p->too_long)
        sim_text_add(&p->inbound, (bus_view){in, len});
    return 0;
}

static int on_http_writable(peer *p)
{
    unsigned char buf[LWS_PRE + CHUNK_BYTES];
    if (!p->answering)
        return 0;
    size_t left = p->answer.body.len - p->sent;
    size_t len = left < CHUNK_BYTES ? left : CHUNK_BYTES;
    if (len)
        memcpy(buf + LWS_PRE, p->answer.body.ptr + p->sent, len);
    p->sent += len;
    bool last = p->sent == p->answer.body.len;
    if (lws_write(p->wsi, buf + LWS_PRE, len, last ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP) < 0)
        return -1;
    if (!last) {
        lws_callback_on_writable(p->wsi);
        return 0;
    }
    p->answering = false;
    sim_text_release(&p->answer.body);
    return lws_http_transaction_completed(p->wsi) ? -1 : 0;
}

// --- libwebsockets ----------------------------------------------------------------------------------

static void stop_begins(sim_server *s)
{
    if (s->stopping || !atomic_load(&s->stop))
        return;
    s->stopping = true;
    bus_mono now = bus_now_mono();
    s->stop_at = bus_mono_add(now, BUS_SPAN_MS(1500));
    sim_hub_shutdown(sim_exchange_hub(s->exchange), now);
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t len)
{
    peer *p = wsi ? peer_of(wsi) : NULL;
    (void)user;
    switch (reason) {
    case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
        stop_begins(server_of(wsi));
        return 0;
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
        return on_upgrade(wsi);
    case LWS_CALLBACK_ESTABLISHED:
        if (!p || !p->client)
            return -1;
        lws_callback_on_writable(wsi);
        hurry(p->server);
        return 0;
    case LWS_CALLBACK_RECEIVE:
        return p && p->client ? on_message(p, in, len) : -1;
    case LWS_CALLBACK_RECEIVE_PONG:
        if (p && p->client && !p->client->silent)
            p->client->ponged = bus_now_mono();
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return p && p->client ? on_writable(p) : -1;
    case LWS_CALLBACK_HTTP:
        return on_request(wsi);
    case LWS_CALLBACK_HTTP_BODY:
        return p ? on_body(p, in, len) : -1;
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return p ? ask(p) : -1;
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return p ? on_http_writable(p) : 0;
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_CLOSED_HTTP:
    case LWS_CALLBACK_WSI_DESTROY:
        if (p)
            hurry(p->server);
        peer_remove(wsi);
        return 0;
    default:
        return 0;
    }
}

static void on_log(int level, const char *line)
{
    int len = (int)strcspn(line, "\n");
    bus_log(level == LLL_ERR ? BUS_LOG_ERROR : BUS_LOG_DEBUG, "libwebsockets: %.*s", len, line);
}

static void *run(void *arg)
{
    sim_server *s = arg;
    turn(s);
    atomic_store(&s->serves, true);
    while (!s->stopping || (s->peers && bus_now_mono().ns < s->stop_at.ns))
        if (lws_service(s->context, 0) < 0)
            break;
    atomic_store(&s->serves, false);
    if (s->done.fn)
        s->done.fn(s->done.ctx);
    return NULL;
}

// "address:port", the address without brackets.
static bus_err split_address(const char *text, char host[64], int *port)
{
    const char *colon = strrchr(text, ':');
    uint64_t n = 0;
    bus_view head = {text, colon ? (size_t)(colon - text) : 0};
    if (head.len > 2 && text[0] == '[' && head.ptr[head.len - 1] == ']')
        head = (bus_view){text + 1, head.len - 2};
    if (!colon || head.len == 0 || !bus_view_copy(head, host, 64) ||
        !bus_view_u64(bus_view_of(colon + 1), &n) || n > 65535)
        return bus_fail(BUS_EINVAL, "listen '%s' is not address:port", text);
    *port = (int)n;
    return BUS_OK;
}

static bus_err make_context(sim_server *s, const sim_server_opts *opts, const char *host, int port)
{
    static const struct lws_protocols protocols[] = {
        {.name = "simexd", .callback = on_event, .rx_buffer_size = REQUEST_BYTES_MAX},
        {0},
    };
    // No keep-alive of the library's own: pings are the venue's business.
    static const lws_retry_bo_t patience = {.secs_since_valid_ping = 0xffff,
                                            .secs_since_valid_hangup = 0xffff};
    struct lws_context_creation_info info = {
        .port = port,
        .iface = host,
        .protocols = protocols,
        .user = s,
        .retry_and_idle_policy = &patience,
        .pt_serv_buf_size = CHUNK_BYTES,
        .max_http_header_data2 = 64 * 1024,
        .max_http_header_pool2 = 64,
        .fd_limit_per_thread = CONNECTIONS_MAX + 12,
        .keepalive_timeout = 60,
        .timeout_secs = 20,
        .ssl_cert_filepath = opts->tls_cert[0] ? opts->tls_cert : NULL,
        .ssl_private_key_filepath = opts->tls_key[0] ? opts->tls_key : NULL,
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
                   (opts->tls_cert[0] ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0),
    };
    lws_set_log_level(LLL_ERR | LLL_WARN, on_log);
    s->context = lws_create_context(&info);
    if (!s->context)
        return bus_fail(BUS_EINTERNAL, "libwebsockets: no context");
    s->vhost = lws_create_vhost(s->context, &info);
    if (!s->vhost)
        return bus_fail(BUS_EIO,
                        "listen '%s': the port is in use, or the address or certificate "
                        "cannot be used",
                        opts->listen);
    s->port = lws_get_vhost_listen_port(s->vhost);
    if (s->port <= 0)
        return bus_fail(BUS_EIO, "listen '%s': the port is in use or the address is not ours",
                        opts->listen);
    return BUS_OK;
}

static bus_err start_thread(sim_server *s)
{
    sigset_t all, old;
    sigfillset(&all); // signals belong to the daemon's thread
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&s->thread, NULL, run, s);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed)
        return bus_fail(BUS_EINTERNAL, "thread: %s", strerror(failed));
    s->thread_runs = true;
    return BUS_OK;
}

bus_err sim_server_open(sim_server **out, const sim_server_opts *opts, sim_exchange *exchange)
{
    char host[64];
    int port;
    sim_server *s = calloc(1, sizeof *s);
    if (!s)
        return bus_fail(BUS_ENOMEM, "server");
    pthread_mutex_init(&s->lock, NULL);
    s->exchange = exchange;
    sim_exchange_hub(exchange)->wake = on_wake;
    sim_exchange_on_answer(exchange, on_answer, s);
    bus_err err = split_address(opts->listen, host, &port);
    if (!err && !opts->tls_cert[0] != !opts->tls_key[0])
        err = bus_fail(BUS_EINVAL, "tls-cert and tls-key go together");
    if (!err)
        err = make_context(s, opts, host, port);
    if (!err)
        err = start_thread(s);
    if (err) {
        s->exchange = NULL; // still the caller's
        sim_server_close(s);
        return err;
    }
    *out = s;
    return BUS_OK;
}

int sim_server_port(const sim_server *s)
{
    return s->port;
}

bool sim_server_serves(const sim_server *s)
{
    return atomic_load(&s->serves);
}

sim_exchange_figures sim_server_figures(sim_server *s)
{
    pthread_mutex_lock(&s->lock);
    sim_exchange_figures figures = s->figures;
    pthread_mutex_unlock(&s->lock);
    return figures;
}

void sim_server_stop(sim_server *s, bus_wake done)
{
    s->done = done;
    atomic_store(&s->stop, true);
    lws_cancel_service(s->context);
}

void sim_server_close(sim_server *s)
{
    if (!s)
        return;
    if (s->thread_runs) {
        if (!atomic_exchange(&s->stop, true))
            lws_cancel_service(s->context);
        pthread_join(s->thread, NULL);
    }
    if (s->context)
        lws_context_destroy(s->context); // peers go first: they reach into the exchange
    sim_exchange_close(s->exchange);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
