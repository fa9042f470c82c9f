#include "bus/base/daemon_http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bus/base/json_text.h"
#include "bus/base/metrics.h"
#include "tradelane_version.h"

enum { HOST_CAP = 256, REQUEST_BYTES_MAX = 16 * 1024, REQUEST_TIMEOUT_S = 5 };

struct bus_daemon_http {
    bus_daemon_http_opts opts;
    struct evhttp *server;
    int fd; // until the server took it
    int port;
    char bound[HOST_CAP + 16];
};

// --- pages -------------------------------------------------------------------------------------------

static bool get_only(struct evhttp_request *req)
{
    enum evhttp_cmd_type method = evhttp_request_get_command(req);
    if (method == EVHTTP_REQ_GET || method == EVHTTP_REQ_HEAD)
        return true;
    evhttp_add_header(evhttp_request_get_output_headers(req), "Allow", "GET, HEAD");
    evhttp_send_reply(req, 405, "Method Not Allowed", NULL);
    return false;
}

static void send_page(struct evhttp_request *req, int code, const char *reason, const char *type)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
    evhttp_add_header(headers, "Content-Type", type);
    evhttp_add_header(headers, "Cache-Control", "no-store");
    evhttp_send_reply(req, code, reason, NULL);
}

static void put_string(struct evbuffer *out, const char *text)
{
    char escaped[6 * BUS_PROBE_WHY];
    size_t len = bus_json_text(escaped, text);
    evbuffer_add_printf(out, "\"%.*s\"", (int)len, escaped);
}

static void on_health(struct evhttp_request *req, void *ctx)
{
    bus_daemon_http *http = ctx;
    bus_health health = {0};
    if (!get_only(req))
        return;
    http->opts.health(http->opts.ctx, &health);
    struct evbuffer *out = evhttp_request_get_output_buffer(req);
    evbuffer_add_printf(out,
                        "{\"status\":\"%s\",\"daemon\":\"%s\",\"version\":\"%s\","
                        "\"uptime_ms\":%lld,\"entries\":[",
                        health.ready ? "ready" : "not ready", health.daemon, TRADELANE_VERSION,
                        (long long)health.uptime_ms);
    for (size_t i = 0; i < health.count; i++) {
        evbuffer_add_printf(out, "%s{\"name\":", i ? "," : "");
        put_string(out, health.entry[i].name);
        evbuffer_add_printf(out, ",\"ready\":%s", health.entry[i].ready ? "true" : "false");
        if (!health.entry[i].ready) {
            evbuffer_add_printf(out, ",\"why\":");
            put_string(out, health.entry[i].why);
        }
        evbuffer_add_printf(out, "}");
    }
    evbuffer_add_printf(out, "]}\n");
    send_page(req, health.ready ? 200 : 503, health.ready ? "OK" : "Service Unavailable",
              "application/json");
}

static void on_live(struct evhttp_request *req, void *ctx)
{
    (void)ctx;
    if (!get_only(req))
        return;
    evbuffer_add_printf(evhttp_request_get_output_buffer(req), "{\"status\":\"live\"}\n");
    send_page(req, 200, "OK", "application/json");
}

static void on_metrics(struct evhttp_request *req, void *ctx)
{
    bus_daemon_http *http = ctx;
    size_t len = 0;
    if (!get_only(req))
        return;
    http->opts.refresh(http->opts.ctx);
    char *text = bus_metrics_text(&len);
    if (!text) {
        evhttp_send_error(req, 500, "out of memory");
        return;
    }
    evbuffer_add(evhttp_request_get_output_buffer(req), text, len);
    free(text);
    send_page(req, 200, "OK", "text/plain; version=0.0.4; charset=utf-8");
}

static void on_other(struct evhttp_request *req, void *ctx)
{
    (void)ctx;
    if (!get_only(req))
        return;
    evbuffer_add_printf(evhttp_request_get_output_buffer(req),
                        "{\"error\":\"no such page; try /health, /health/live, /metrics\"}\n");
    send_page(req, 404, "Not Found", "application/json");
}

// --- the socket --------------------------------------------------------------------------------------

// "host:port" or "[v6]:port".
static bus_err split_address(const char *address, char host[HOST_CAP], const char **port)
{
    const char *colon = strrchr(address, ':');
    const char *first = address;
    size_t len = colon ? (size_t)(colon - address) : 0;
    uint64_t number;
    if (len >= 2 && address[0] == '[' && colon[-1] == ']') {
        first++;
        len -= 2;
    }
    if (!colon || !bus_view_u64(bus_view_of(colon + 1), &number) || number > 65535 ||
        !bus_view_copy((bus_view){first, len}, host, HOST_CAP))
        return bus_fail(BUS_EINVAL, "'http' is '%s'; an address such as 127.0.0.1:7411 is wanted",
                        address);
    *port = colon + 1;
    return BUS_OK;
}

static bus_err bind_to(bus_daemon_http *http, const struct addrinfo *info)
{
    int on = 1;
    http->fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (http->fd < 0)
        return bus_fail(BUS_EIO, "socket: %s", strerror(errno));
    setsockopt(http->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(http->fd, info->ai_addr, info->ai_addrlen) == 0 && listen(http->fd, 64) == 0)
        return BUS_OK;
    if (errno == EADDRINUSE)
        return bus_fail(BUS_EIO, "the port is in use by another process; set --http to a free one");
    return bus_fail(BUS_EIO, "%s", strerror(errno));
}

static void note_bound(bus_daemon_http *http, const char *host)
{
    struct sockaddr_storage addr;
    socklen_t len = sizeof addr;
    if (getsockname(http->fd, (struct sockaddr *)&addr, &len) == 0)
        http->port = ntohs(addr.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&addr)->sin6_port
                                                      : ((struct sockaddr_in *)&addr)->sin_port);
    snprintf(http->bound, sizeof http->bound, strchr(host, ':') ? "[%s]:%d" : "%s:%d", host,
             http->port);
}

static bus_err listen_on(bus_daemon_http *http, const char *address)
{
    char host[HOST_CAP];
    const char *port;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *info = NULL;
    bus_err err = split_address(address, host, &port);
    if (err)
        return err;
    int failed = getaddrinfo(host, port, &hints, &info);
    if (failed)
        return bus_fail(BUS_EINVAL, "http %s: %s", address, gai_strerror(failed));
    err = bus_note(bind_to(http, info), "http %s", address);
    freeaddrinfo(info);
    if (!err)
        note_bound(http, host);
    return err;
}

bus_err bus_daemon_http_open(bus_daemon_http **out, const bus_daemon_http_opts *opts)
{
    bus_err err = BUS_OK;
    bus_daemon_http *http = calloc(1, sizeof *http);
    if (!http)
        return bus_fail(BUS_ENOMEM, "http server");
    http->opts = *opts;
    http->fd = -1;
    err = listen_on(http, opts->address);
    if (err)
        goto done;
    http->server = evhttp_new(bus_loop_base(opts->loop));
    if (!http->server || evhttp_accept_socket(http->server, http->fd) != 0) {
        err = bus_fail(BUS_ENOMEM, "http server");
        goto done;
    }
    http->fd = -1;                                    // the server owns it now
    evhttp_set_allowed_methods(http->server, 0xffff); // the pages answer 405 themselves
    evhttp_set_max_headers_size(http->server, REQUEST_BYTES_MAX);
    evhttp_set_max_body_size(http->server, REQUEST_BYTES_MAX);
    evhttp_set_timeout(http->server, REQUEST_TIMEOUT_S);
    evhttp_set_cb(http->server, "/health", on_health, http);
    evhttp_set_cb(http->server, "/health/live", on_live, http);
    evhttp_set_cb(http->server, "/metrics", on_metrics, http);
    evhttp_set_gencb(http->server, on_other, http);
    *out = http;
    http = NULL;
done:
    bus_daemon_http_close(http);
    return err;
}

void bus_daemon_http_close(bus_daemon_http *http)
{
    if (!http)
        return;
    if (http->server)
        evhttp_free(http->server);
    if (http->fd >= 0)
        close(http->fd);
    free(http);
}

const char *bus_daemon_http_bound(const bus_daemon_http *http)
{
    return http->bound;
}
