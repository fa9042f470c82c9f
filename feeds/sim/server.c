#include "feeds/sim/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base/log.h"
#include "bus/base/thread.h"
#include "feeds/sim/session.h"

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
void sim_server_hurry(sim_server *s)
{
    lws_sul_schedule(s->context, 0, &s->timer, on_timer, 1);
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
    sim_peer *p = wsi ? sim_peer_of(wsi) : NULL;
    (void)user;
    switch (reason) {
    case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
        stop_begins(sim_server_of(wsi));
        return 0;
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
        return sim_ws_upgrade(wsi);
    case LWS_CALLBACK_ESTABLISHED:
        if (!p || !p->client)
            return -1;
        lws_callback_on_writable(wsi);
        sim_server_hurry(p->server);
        return 0;
    case LWS_CALLBACK_RECEIVE:
        return p && p->client ? sim_ws_message(p, in, len) : -1;
    case LWS_CALLBACK_RECEIVE_PONG:
        if (p && p->client && !p->client->silent)
            p->client->ponged = bus_now_mono();
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return p && p->client ? sim_ws_writable(p) : -1;
    case LWS_CALLBACK_HTTP:
        return sim_http_request(wsi);
    case LWS_CALLBACK_HTTP_BODY:
        return p ? sim_http_body(p, in, len) : -1;
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return p ? sim_http_ask(p) : -1;
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return p ? sim_http_writable(p) : 0;
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_CLOSED_HTTP:
    case LWS_CALLBACK_WSI_DESTROY:
        if (p)
            sim_server_hurry(p->server);
        sim_peer_remove(wsi);
        return 0;
    default:
        return 0;
    }
}

// While the port is opened what fails is told in one sentence of ours: the library's lines only add to it.
static bool opening;

static void on_log(int level, const char *line)
{
    int len = (int)strcspn(line, "\n");
    bus_log(level == LLL_ERR && !opening ? BUS_LOG_ERROR : BUS_LOG_DEBUG, "libwebsockets: %.*s",
            len, line);
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
    if (strcmp(host, "localhost") == 0) // the library knows addresses and interfaces, not names
        snprintf(host, 64, "127.0.0.1");
    *port = (int)n;
    return BUS_OK;
}

static bus_err make_context(sim_server *s, const sim_server_opts *opts, const char *host, int port)
{
    static const struct lws_protocols protocols[] = {
        {.name = "simexd", .callback = on_event, .rx_buffer_size = SIM_REQUEST_BYTES_MAX},
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
        .pt_serv_buf_size = SIM_CHUNK_BYTES,
        .max_http_header_data2 = UINT16_MAX, // libwebsockets 4.3 keeps 16 bits of it
        .max_http_header_pool2 = 64,
        .fd_limit_per_thread = SIM_CONNECTIONS_MAX + 12,
        .keepalive_timeout = 60,
        .timeout_secs = 20,
        .ssl_cert_filepath = opts->tls_cert[0] ? opts->tls_cert : NULL,
        .ssl_private_key_filepath = opts->tls_key[0] ? opts->tls_key : NULL,
        // With IPv6 on, the library binds an IPv4 address given as text to every interface.
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
                   (strchr(host, ':') ? 0 : LWS_SERVER_OPTION_DISABLE_IPV6) |
                   (opts->tls_cert[0] ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0),
    };
    lws_set_log_level(LLL_ERR | LLL_WARN, on_log);
    opening = true;
    s->context = lws_create_context(&info);
    s->vhost = s->context ? lws_create_vhost(s->context, &info) : NULL;
    opening = false;
    if (!s->context)
        return bus_fail(BUS_EINTERNAL, "libwebsockets: no context");
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

bus_err sim_server_open(sim_server **out, const sim_server_opts *opts, sim_exchange *exchange)
{
    char host[64];
    int port;
    sim_server *s = calloc(1, sizeof *s);
    if (!s)
        return bus_fail(BUS_ENOMEM, "server");
    pthread_mutex_init(&s->lock, NULL);
    s->exchange = exchange;
    sim_exchange_hub(exchange)->wake = sim_ws_wake;
    sim_exchange_on_answer(exchange, sim_http_answer, s);
    bus_err err = split_address(opts->listen, host, &port);
    if (!err && !opts->tls_cert[0] != !opts->tls_key[0])
        err = bus_fail(BUS_EINVAL, "tls-cert and tls-key go together");
    if (!err)
        err = make_context(s, opts, host, port);
    if (!err)
        err = bus_thread_start(&s->thread, run, s, "the exchange");
    if (err) {
        s->exchange = NULL; // still the caller's
        sim_server_close(s);
        return err;
    }
    s->thread_runs = true;
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
