#include "bus/nats/link.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bus/base/log.h"
#include "bus/base/secrets.h"

enum {
    SERVERS_MAX = 16,
    CONNECT_TIMEOUT_MS = 2000,
    // A stopped broker fills the socket; the library then holds its lock inside write(2). The deadline
    // bounds how long a publishing thread can be stuck there.
    WRITE_DEADLINE_MS = 2000,
    PING_INTERVAL_MS = 5000,
    PINGS_OUT_MAX = 2,
    DELIVERY_THREADS = 2,
};

static bus_err code_of(natsStatus status)
{
    switch (status) {
    case NATS_OK:
        return BUS_OK;
    case NATS_TIMEOUT:
        return BUS_ETIMEOUT;
    case NATS_NO_MEMORY:
        return BUS_ENOMEM;
    case NATS_NOT_PERMITTED:
        return BUS_EPERM;
    case NATS_CONNECTION_AUTH_FAILED:
        return BUS_EAUTH;
    case NATS_MAX_PAYLOAD:
        return BUS_ELIMIT;
    case NATS_INVALID_ARG:
    case NATS_INVALID_SUBJECT:
    case NATS_ADDRESS_MISSING:
        return BUS_EINVAL;
    default:
        return BUS_EUNAVAILABLE;
    }
}

bus_err bus_nats_fail(natsStatus status, const char *what)
{
    return bus_fail(code_of(status), "%s: %s", what, natsStatus_GetText(status));
}

// --- settings ---------------------------------------------------------------------------------------

static bus_err check_urls(const char *urls)
{
    bus_err err = BUS_OK;
    char *copy = strdup(urls), *save = NULL;
    if (!copy)
        return bus_fail(BUS_ENOMEM, "broker URL");
    int count = 0;
    if (bus_secrets_in_url(urls))
        err = bus_fail(BUS_EINVAL,
                       "a broker URL has a user or password in it, which logs would show: give "
                       "them apart (nats_user, nats_password, nats_token)");
    for (char *url = strtok_r(copy, ", ", &save); url && !err; url = strtok_r(NULL, ", ", &save)) {
        natsOptions *probe = NULL;
        natsStatus status = natsOptions_Create(&probe);
        if (status == NATS_OK)
            status = natsOptions_SetURL(probe, url);
        const char *scheme = strstr(url, "://");
        if (status != NATS_OK ||
            (scheme && strncmp(url, "nats://", 7) != 0 && strncmp(url, "tls://", 6) != 0))
            err = bus_fail(BUS_EINVAL,
                           "broker URL '%s': nats://host:port or tls://host:port is expected", url);
        natsOptions_Destroy(probe);
        if (++count > SERVERS_MAX)
            err = bus_fail(BUS_EINVAL, "broker URL: at most %d servers", SERVERS_MAX);
    }
    free(copy);
    if (!err && count == 0)
        err = bus_fail(BUS_EINVAL, "broker URL is empty");
    return err;
}

static bus_err check_file(const char *path, const char *what)
{
    if (!path || !*path || access(path, R_OK) == 0)
        return BUS_OK;
    return bus_fail(BUS_EINVAL, "%s '%s' cannot be read", what, path);
}

bus_err bus_link_opts_init(bus_link_opts *out, const bus_conn_opts *opts)
{
    bus_link_opts made = {.opts = *opts};
    const char **field[] = {&made.opts.url,      &made.opts.creds, &made.opts.user,
                            &made.opts.password, &made.opts.token, &made.opts.ca,
                            &made.opts.name};
    enum { FIELDS = sizeof field / sizeof *field };
    size_t len = 0;
    for (int i = 0; i < FIELDS; i++)
        len += (*field[i] ? strlen(*field[i]) : 0) + 1;
    made.text = malloc(len);
    if (!made.text)
        return bus_fail(BUS_ENOMEM, "connection settings");
    char *at = made.text;
    for (int i = 0; i < FIELDS; i++) {
        size_t n = *field[i] ? strlen(*field[i]) : 0;
        if (n)
            memcpy(at, *field[i], n);
        at[n] = '\0';
        *field[i] = at;
        at += n + 1;
    }
    bus_err err = check_urls(made.opts.url);
    if (!err)
        err = check_file(made.opts.creds, "credentials file");
    if (!err)
        err = check_file(made.opts.ca, "CA file");
    if (err) {
        free(made.text);
        return err;
    }
    *out = made;
    return BUS_OK;
}

void bus_link_opts_release(bus_link_opts *opts)
{
    free(opts->text);
    *opts = (bus_link_opts){0};
}

// --- life -------------------------------------------------------------------------------------------

static pthread_once_t library_once = PTHREAD_ONCE_INIT;

// One small pool of delivery threads for every subscription of the process, instead of a thread each:
// our callbacks only enqueue.
static void open_library(void)
{
    if (nats_Open(-1) == NATS_OK)
        nats_SetMessageDeliveryPoolSize(DELIVERY_THREADS);
}

void bus_link_ref(bus_link *link)
{
    atomic_fetch_add(&link->refs, 1);
}

void bus_link_unref(bus_link *link)
{
    if (!link || atomic_fetch_sub(&link->refs, 1) != 1)
        return;
    natsConnection_Destroy(link->nc);
    if (link->fd >= 0)
        close(link->fd);
    free(link);
}

static void on_closed(natsConnection *nc, void *ctx)
{
    (void)nc;
    bus_link *link = ctx;
    bus_wake wake = link->wake;
    atomic_store(&link->lost, true);
    if (wake.fn)
        wake.fn(wake.ctx);
    atomic_store(&link->told, true);
    bus_link_unref(link);
}

static void on_error(natsConnection *nc, natsSubscription *sub, natsStatus status, void *ctx)
{
    (void)nc;
    (void)sub;
    bus_link *link = ctx;
    const char *words =
        nats_GetLastError(NULL); // this error's: the connection's own is the last one by now
    if (status == NATS_NOT_PERMITTED && !bus_denied_note(link->denied, bus_view_of(words)))
        return;
    bus_warn("broker: %s%s%s", natsStatus_GetText(status), words && *words ? ": " : "",
             words && *words ? words : "");
}

// --- BUS_PROFILE_OWNER: the socket is handed over -----------------------------------------------------
// The library gives the socket of a connection that is to be polled by a loop of the program's own, and from
// then on neither reads nor writes by itself. We take it (a copy, so that its number stays ours whatever the
// library closes) and never tell the library of anything. Under TLS the socket's bytes are the library's alone.

static natsStatus take_socket(void **data, void *ctx, natsConnection *nc, natsSock socket)
{
    (void)nc;
    bus_link *link = ctx;
    *data = link;
    link->fd = fcntl(socket, F_DUPFD_CLOEXEC, 0);
    return link->fd < 0 ? NATS_ERR : NATS_OK;
}

static natsStatus ignore_poll(void *data, bool add)
{
    (void)data;
    (void)add;
    return NATS_OK;
}

static natsStatus ignore_detach(void *data)
{
    (void)data;
    return NATS_OK;
}

static bool wants_tls(const bus_conn_opts *o)
{
    return *o->ca || strstr(o->url, "tls://");
}

static bool wants_socket(const bus_conn_opts *o)
{
    return o->profile == BUS_PROFILE_OWNER && !wants_tls(o);
}

static natsStatus set_owner(natsOptions *no, bus_link *link)
{
    natsStatus s =
        natsOptions_SetEventLoop(no, link, take_socket, ignore_poll, ignore_poll, ignore_detach);
    if (s == NATS_OK)
        s = natsOptions_SetPingInterval(no, 0); // the pipe's
    if (s == NATS_OK)
        s = natsOptions_SetSendAsap(no, true); // no thread that would flush
    return s;
}

static natsStatus set_servers(natsOptions *no, const char *list)
{
    const char *servers[SERVERS_MAX];
    int count = 0;
    char *urls = strdup(list), *save = NULL;
    if (!urls)
        return NATS_NO_MEMORY;
    for (char *url = strtok_r(urls, ", ", &save); url && count < SERVERS_MAX;
         url = strtok_r(NULL, ", ", &save))
        servers[count++] = url;
    natsStatus s = natsOptions_SetServers(no, servers, count);
    free(urls);
    return s;
}

// Who we are to the broker, and who it has to be.
static natsStatus set_identity(natsOptions *no, const bus_conn_opts *o)
{
    natsStatus s = NATS_OK;
    if (*o->name)
        s = natsOptions_SetName(no, o->name);
    if (s == NATS_OK && *o->user)
        s = natsOptions_SetUserInfo(no, o->user, o->password);
    if (s == NATS_OK && *o->token)
        s = natsOptions_SetToken(no, o->token);
    if (s == NATS_OK && *o->creds)
        s = natsOptions_SetUserCredentialsFromFiles(no, o->creds, NULL);
    if (s == NATS_OK && *o->ca)
        s = natsOptions_LoadCATrustedCertificates(no, o->ca);
    // The library itself reads nothing out of "tls://". It verifies chain and host as long as nobody tells it not to.
    if (s == NATS_OK && wants_tls(o))
        s = natsOptions_SetSecure(no, true);
    return s;
}

static natsStatus set_options(natsOptions *no, const bus_link_opts *opts, bus_link *link,
                              bool socket)
{
    const bus_conn_opts *o = &opts->opts;
    natsStatus s = set_servers(no, o->url);
    if (s == NATS_OK)
        s = natsOptions_SetAllowReconnect(no, false);
    if (s == NATS_OK)
        s = natsOptions_SetTimeout(no, CONNECT_TIMEOUT_MS);
    if (s == NATS_OK)
        s = natsOptions_SetWriteDeadline(no, WRITE_DEADLINE_MS);
    if (s == NATS_OK)
        s = natsOptions_SetPingInterval(no, PING_INTERVAL_MS);
    if (s == NATS_OK)
        s = natsOptions_SetMaxPingsOut(no, PINGS_OUT_MAX);
    if (s == NATS_OK)
        s = natsOptions_UseGlobalMessageDelivery(no, true);
    if (s == NATS_OK)
        s = natsOptions_SetFailRequestsOnDisconnect(no, true);
    if (s == NATS_OK)
        s = natsOptions_SetSendAsap(no, o->profile == BUS_PROFILE_LATENCY);
    if (s == NATS_OK)
        s = natsOptions_SetClosedCB(no, on_closed, link);
    if (s == NATS_OK)
        s = natsOptions_SetErrorHandler(no, on_error, link);
    if (s == NATS_OK)
        s = set_identity(no, o);
    if (s == NATS_OK && socket)
        s = set_owner(no, link);
    return s;
}

bool bus_link_in_clear(const bus_conn_opts *opts, const bus_broker_info *broker)
{
    bool secret = *opts->password || *opts->token;
    return secret && !wants_tls(opts) && !broker->tls && !broker->loopback;
}

// Who answered, and is it new enough?
static bus_link_result check_broker(bus_link *link, const bus_conn_opts *opts,
                                    char why[BUS_LINK_WHY], bool *tls)
{
    char url[256] = "";
    natsConnection_GetConnectedUrl(link->nc, url, sizeof url);
    bus_broker_info info;
    if (bus_broker_peek(&info, url, BUS_SPAN_MS(CONNECT_TIMEOUT_MS))) {
        snprintf(why, BUS_LINK_WHY, "%s", bus_err_text());
        return BUS_LINK_DOWN;
    }
    if (info.broker < BUS_BROKER_MIN) {
        snprintf(why, BUS_LINK_WHY,
                 "nats-server %s at %s is too old: it lets one account erase another's streams; "
                 "2.11.1 or "
                 "newer is needed",
                 info.version, url);
        return BUS_LINK_REFUSED;
    }
    *tls = info.tls;
    link->broker = info.broker;
    link->in_clear = bus_link_in_clear(opts, &info);
    link->max_payload = natsConnection_GetMaxPayload(link->nc);
    return BUS_LINK_UP;
}

static bus_link_result open_link(bus_link **out, const bus_link_opts *opts, bus_wake wake,
                                 char why[BUS_LINK_WHY], bool socket, bool *tls)
{
    bus_link_result result = BUS_LINK_DOWN;
    natsOptions *no = NULL;
    bus_link *link = calloc(1, sizeof *link);
    natsStatus s = link ? natsOptions_Create(&no) : NATS_NO_MEMORY;
    if (link)
        link->fd = -1;
    if (s == NATS_OK)
        s = set_options(no, opts, link, socket);
    if (s == NATS_OK) {
        link->refs = 2; // the caller's, and the library's until on_closed
        link->wake = wake;
        link->denied = opts->denied;
        s = natsConnection_Connect(&link->nc, no);
    }
    natsOptions_Destroy(no);
    if (s != NATS_OK) { // a connection that never was up has no last callback
        if (link && link->fd >= 0)
            close(link->fd);
        free(link);
        const char *words = nats_GetLastError(NULL);
        snprintf(why, BUS_LINK_WHY, "broker at %s: %s%s%s", opts->opts.url, natsStatus_GetText(s),
                 words && *words ? ": " : "", words && *words ? words : "");
        bool said_no = s == NATS_CONNECTION_AUTH_FAILED || s == NATS_NOT_PERMITTED ||
                       s == NATS_SECURE_CONNECTION_REQUIRED || s == NATS_SECURE_CONNECTION_WANTED ||
                       s == NATS_SSL_ERROR;
        return said_no ? BUS_LINK_REFUSED : BUS_LINK_DOWN;
    }
    result = check_broker(link, &opts->opts, why, tls);
    if (result == BUS_LINK_UP)
        *out = link;
    else
        bus_link_close(link);
    return result;
}

bus_link_result bus_link_open(bus_link **out, const bus_link_opts *opts, bus_wake wake,
                              char why[BUS_LINK_WHY])
{
    bool socket = wants_socket(&opts->opts), tls = false;
    pthread_once(&library_once, open_library);
    bus_link_result result = open_link(out, opts, wake, why, socket, &tls);
    if (result == BUS_LINK_UP && socket && tls) { // the library switched to TLS by itself
        bus_link_close(*out);
        result = open_link(out, opts, wake, why, false, &tls);
    }
    return result;
}

void bus_link_close(bus_link *link)
{
    if (!link)
        return;
    natsConnection_Close(link->nc);
    // on_closed runs on a thread of the library that never waits for us: this ends within a moment.
    while (!atomic_load(&link->told))
        nats_Sleep(1);
    bus_link_unref(link);
}
