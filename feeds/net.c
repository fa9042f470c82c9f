#include "feeds/net.h"

#include <stdlib.h>
#include <string.h>

#include "bus/base/log.h"
#include "feeds/net_impl.h"

enum { DESCRIPTORS_MAX = 256 };

bool feed_bytes_append(feed_bytes *b, const void *ptr, size_t len, size_t max)
{
    if (len == 0) // an empty fragment
        return true;
    if (b->len + len > max)
        return false;
    if (b->cap - b->len < len) {
        size_t cap = b->cap ? b->cap : FEED_READ_BYTES;
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

// --- whose a callback is -------------------------------------------------------------------------------

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
    return *(feed_net_kind *)user == FEED_SOCKET ? feed_socket_event(wsi, reason, user, in, len)
                                                 : feed_request_event(wsi, reason, user, in, len);
}

static const struct lws_protocols protocols[] = {
    {.name = "venue", .callback = on_event, .rx_buffer_size = FEED_READ_BYTES},
    {.name = "rest", .callback = on_event, .rx_buffer_size = FEED_READ_BYTES},
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
        .pt_serv_buf_size = FEED_READ_BYTES, // else a read is 4 KiB
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

void feed_net_close(feed_net *net)
{
    if (!net)
        return;
    net->closing = true;
    lws_sul_cancel(&net->timer);
    lws_context_destroy(net->context);
    for (feed_socket *s = net->sockets, *next; s; s = next) {
        next = s->next;
        feed_socket_free(s);
    }
    for (feed_request *r = net->requests, *next; r; r = next) {
        next = r->next;
        feed_request_free(r);
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
        feed_socket_free(s);
    }
    for (feed_request **at = &net->requests; *at;) {
        feed_request *r = *at;
        if (r->wsi || !r->told) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        feed_request_free(r);
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

bus_err feed_target_of(feed_target *t, const char *url, const char *path, bool websocket)
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
    feed_target t;
    return feed_target_of(&t, url, "/", websocket);
}

struct lws *feed_net_start(feed_net *net, feed_target *t, const char *method, const char *protocol,
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
