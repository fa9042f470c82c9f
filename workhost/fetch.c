#include "workhost/fetch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <unistd.h>

#include "workhost/code.h"

enum { HEAD_MAX = 16384, SLICE_S = 2, AUTH_MAX = 4096 };

// --- URLs and addresses ------------------------------------------------------------------------------

bus_err work_url_parse(work_url *out, const char *text)
{
    work_url url = {0};
    const char *rest = text;
    if (strncasecmp(text, "https://", 8) == 0)
        url.tls = true, rest += 8;
    else if (strncasecmp(text, "http://", 7) == 0)
        rest += 7;
    else
        return bus_fail(BUS_EINVAL, "url '%.200s' is not an absolute http or https URL", text);
    size_t len = strcspn(rest, "/?#");
    bus_view authority = {rest, len};
    if (memchr(rest, '@', len))
        return bus_fail(BUS_EINVAL, "url: credentials do not belong into it");
    for (const char *p = rest; *p; p++) {
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return bus_fail(BUS_EINVAL, "url: blanks and control characters are not allowed");
    }
    bool v6 = len && rest[0] == '[';
    const char *colon = memchr(rest, ':', len);
    if (v6) {
        const char *close = memchr(rest, ']', len);
        colon = close && close + 1 < rest + len && close[1] == ':' ? close + 1 : NULL;
        authority = (bus_view){rest + 1, close ? (size_t)(close - rest) - 1 : 0};
    } else if (colon) {
        authority.len = (size_t)(colon - rest);
    }
    uint64_t port = url.tls ? 443 : 80;
    bus_view digits = {colon ? colon + 1 : "", colon ? (size_t)(rest + len - colon) - 1 : 0};
    if (authority.len == 0 || !bus_view_copy(authority, url.host, sizeof url.host) ||
        (colon && (!bus_view_u64(digits, &port) || port < 1 || port > 65535)))
        return bus_fail(BUS_EINVAL, "url '%.200s' names no host, or a bad port", text);
    snprintf(url.port, sizeof url.port, "%u", (unsigned)port);
    size_t path = strcspn(rest + len, "#");
    const char *slash = rest[len] == '/' ? "" : "/";
    if (snprintf(url.path, sizeof url.path, "%s%.*s", slash, (int)path, rest + len) >=
        (int)sizeof url.path)
        return bus_fail(BUS_EINVAL, "url: the path is longer than %zu bytes", sizeof url.path);
    *out = url;
    return BUS_OK;
}

static bool v4_refused(uint32_t a)
{
    static const struct {
        uint32_t net;
        int bits;
    } nets[] = {
        {0x00000000, 8},  {0x0a000000, 8},  {0x64400000, 10}, {0x7f000000, 8},
        {0xa9fe0000, 16}, {0xac100000, 12}, {0xc0000000, 24}, {0xc0a80000, 16},
        {0xc6120000, 15}, {0xe0000000, 4},  {0xf0000000, 4},
    };
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        if ((a ^ nets[i].net) >> (32 - nets[i].bits) == 0)
            return true;
    }
    return false;
}

static uint32_t u32_of(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

// IPv4 addresses hide in several IPv6 forms: mapped, compatible, NAT64 and 6to4.
static bool v6_refused(const uint8_t a[16])
{
    static const uint8_t zero[16], mapped[12] = {[10] = 0xff, [11] = 0xff},
                                   nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    if (memcmp(a, zero, 12) == 0 || memcmp(a, mapped, 12) == 0 || memcmp(a, nat64, 12) == 0)
        return v4_refused(u32_of(a + 12)); // :: and ::1 are 0.0.0.0/8 in this form
    if (a[0] == 0x20 && a[1] == 0x02)
        return v4_refused(u32_of(a + 2));
    return (a[0] & 0xfe) == 0xfc || (a[0] == 0xfe && (a[1] & 0xc0) == 0x80) ||
           (a[0] == 0xfe && (a[1] & 0xc0) == 0xc0) || a[0] == 0xff;
}

bool work_address_refused(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return v4_refused(
            ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr));
    if (address->sa_family == AF_INET6)
        return v6_refused(((const struct sockaddr_in6 *)(const void *)address)->sin6_addr.s6_addr);
    return true;
}

// --- the fetch ---------------------------------------------------------------------------------------

struct work_fetch {
    work_url url;
    bool host_allowed; // by name: then private addresses are too
    char auth[AUTH_MAX];
    bus_span timeout;
    bus_mono deadline;
    pthread_mutex_t lock;
    bool done, abandoned;
    bus_wake wake;
    bus_err err;
    char text[600];
    uint8_t *bytes;
    size_t len, cap, head;
    int fd;
    SSL_CTX *tls;
    SSL *ssl;
};

static void release(work_fetch *f)
{
    OPENSSL_cleanse(f->auth, sizeof f->auth);
    pthread_mutex_destroy(&f->lock);
    free(f->bytes);
    free(f);
}

static int ms_left(const work_fetch *f)
{
    int64_t ns = f->deadline.ns - bus_machine_mono().ns;
    return ns <= 0 ? 0 : (int)(ns / 1000000) + 1;
}

static bus_err connect_one(work_fetch *f, const struct addrinfo *info)
{
    struct timeval slice = {.tv_sec = SLICE_S};
    f->fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (f->fd < 0)
        return bus_fail(BUS_EIO, "socket: %s", strerror(errno));
    if (connect(f->fd, info->ai_addr, info->ai_addrlen) != 0 && errno != EINPROGRESS)
        return bus_fail(BUS_EUNAVAILABLE, "connecting: %s", strerror(errno));
    struct pollfd wait = {.fd = f->fd, .events = POLLOUT};
    int failed = 0;
    socklen_t len = sizeof failed;
    if (poll(&wait, 1, ms_left(f)) <= 0)
        return bus_fail(BUS_ETIMEOUT, "connecting took too long");
    if (getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &failed, &len) != 0 || failed)
        return bus_fail(BUS_EUNAVAILABLE, "connecting: %s", strerror(failed));
    // Blocking from here on, in slices, so that the deadline is looked at.
    int flags = 0;
    if (ioctl(f->fd, FIONBIO, &flags) != 0)
        return bus_fail(BUS_EIO, "socket: %s", strerror(errno));
    setsockopt(f->fd, SOL_SOCKET, SO_RCVTIMEO, &slice, sizeof slice);
    setsockopt(f->fd, SOL_SOCKET, SO_SNDTIMEO, &slice, sizeof slice);
    return BUS_OK;
}

// All addresses are checked before one is used, and the one that was checked is the one connected to:
// a name that answers differently a second time gains nothing.
static bus_err reach_host(work_fetch *f)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    int failed = getaddrinfo(f->url.host, f->url.port, &hints, &list);
    if (failed)
        return bus_fail(BUS_EUNAVAILABLE, "host '%s': %s", f->url.host, gai_strerror(failed));
    bus_err err =
        list ? BUS_OK : bus_fail(BUS_EUNAVAILABLE, "host '%s' has no address", f->url.host);
    for (const struct addrinfo *i = list; i && !err && !f->host_allowed; i = i->ai_next) {
        if (work_address_refused(i->ai_addr))
            err = bus_fail(BUS_EPERM,
                           "host '%s' has a private, local or reserved address; allow it by name "
                           "with allowed_code_hosts if that is meant",
                           f->url.host);
    }
    if (!err && list)
        err = bus_note(connect_one(f, list), "host '%s'", f->url.host);
    if (list)
        freeaddrinfo(list);
    return err;
}

static bus_err start_tls(work_fetch *f)
{
    if (!f->url.tls)
        return BUS_OK;
    f->tls = SSL_CTX_new(TLS_client_method());
    if (!f->tls)
        return bus_fail(BUS_ENOMEM, "TLS");
    SSL_CTX_set_verify(f->tls, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_default_verify_paths(f->tls);
    f->ssl = SSL_new(f->tls);
    if (!f->ssl || SSL_set1_host(f->ssl, f->url.host) != 1 ||
        SSL_set_tlsext_host_name(f->ssl, f->url.host) != 1 || SSL_set_fd(f->ssl, f->fd) != 1)
        return bus_fail(BUS_ENOMEM, "TLS");
    if (SSL_connect(f->ssl) == 1)
        return BUS_OK;
    long verdict = SSL_get_verify_result(f->ssl);
    if (verdict != X509_V_OK)
        return bus_fail(BUS_EPERM, "certificate of '%s': %s", f->url.host,
                        X509_verify_cert_error_string(verdict));
    return bus_fail(BUS_EUNAVAILABLE, "TLS with '%s': %s", f->url.host,
                    ERR_reason_error_string(ERR_get_error()));
}

static bus_err send_all(work_fetch *f, const char *text, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = f->ssl ? SSL_write(f->ssl, text + done, (int)(len - done))
                           : send(f->fd, text + done, len - done, MSG_NOSIGNAL);
        if (n <= 0)
            return bus_fail(BUS_EUNAVAILABLE, "sending the request to '%s'", f->url.host);
        done += (size_t)n;
    }
    return BUS_OK;
}

// HTTP/1.0: the answer comes whole, not in chunks.
static bus_err ask(work_fetch *f)
{
    char text[8192];
    bool usual = strcmp(f->url.port, f->url.tls ? "443" : "80") == 0;
    bool v6 = strchr(f->url.host, ':') != NULL;
    int n = snprintf(text, sizeof text,
                     "GET %s HTTP/1.0\r\nHost: %s%s%s%s%s\r\nAccept: */*\r\nUser-Agent: "
                     "tradelane-workhostd\r\n%sConnection: close\r\n\r\n",
                     f->url.path, v6 ? "[" : "", f->url.host, v6 ? "]" : "", usual ? "" : ":",
                     usual ? "" : f->url.port, f->auth);
    bus_err err = n < (int)sizeof text ? send_all(f, text, (size_t)n)
                                       : bus_fail(BUS_EINVAL, "the request is too long");
    OPENSSL_cleanse(text, sizeof text);
    return err;
}

// >0: bytes; 0: the end; <0: failure.
static ssize_t receive(work_fetch *f, void *buf, size_t cap)
{
    for (;;) {
        ssize_t n = f->ssl ? SSL_read(f->ssl, buf, (int)cap) : recv(f->fd, buf, cap, 0);
        if (n > 0 || (n == 0 && !f->ssl))
            return n;
        if (f->ssl && SSL_get_error(f->ssl, (int)n) == SSL_ERROR_ZERO_RETURN)
            return 0;
        bool again = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
        if (!again || ms_left(f) == 0)
            return -1;
    }
}

static bus_err read_answer(work_fetch *f)
{
    for (;;) {
        if (f->len + 65536 > f->cap) {
            f->cap = f->cap ? f->cap * 2 : 131072;
            uint8_t *grown = realloc(f->bytes, f->cap);
            if (!grown)
                return bus_fail(BUS_ENOMEM, "code");
            f->bytes = grown;
        }
        ssize_t n = receive(f, f->bytes + f->len, 65536);
        if (n < 0 || ms_left(f) == 0)
            return bus_fail(BUS_ETIMEOUT, "the answer of '%s' broke off or took longer than %lld s",
                            f->url.host, (long long)(f->timeout.ns / 1000000000));
        if (n == 0)
            return BUS_OK;
        f->len += (size_t)n;
        if (f->len > WORK_CODE_BYTES_MAX + HEAD_MAX)
            return bus_fail(BUS_ELIMIT, "the code is larger than %d bytes", WORK_CODE_BYTES_MAX);
    }
}

static const char *header_of(const char *head, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, len) == 0 && line[len] == ':')
            return line + len + 1 + strspn(line + len + 1, " \t");
    }
    return NULL;
}

bus_err work_answer_read(bus_view answer, const char *host, size_t *body)
{
    char head[HEAD_MAX];
    const char *end = answer.len ? memmem(answer.ptr, answer.len, "\r\n\r\n", 4) : NULL;
    size_t len = end ? (size_t)(end - answer.ptr) : 0;
    int status = 0;
    if (!end || len + 1 > sizeof head)
        return bus_fail(BUS_EUNAVAILABLE, "'%s' gave no HTTP answer", host);
    memcpy(head, answer.ptr, len);
    head[len] = '\0';
    size_t got = answer.len - len - 4;
    if (sscanf(head, "HTTP/1.%*1[01] %3d", &status) != 1 || status != 200)
        return bus_fail(status == 404 ? BUS_ENOTFOUND : BUS_EUNAVAILABLE,
                        "'%s' answered %d; 200 is wanted, and redirects are not followed", host,
                        status);
    const char *length = header_of(head, "Content-Length");
    uint64_t bytes;
    if (header_of(head, "Transfer-Encoding"))
        return bus_fail(BUS_EUNSUPPORTED, "'%s' answers in chunks although it was asked not to",
                        host);
    if (length &&
        (!bus_view_u64((bus_view){length, strspn(length, "0123456789")}, &bytes) || bytes != got))
        return bus_fail(BUS_EDATALOSS, "'%s' sent %zu bytes and announced %.20s", host, got,
                        length);
    *body = len + 4;
    return BUS_OK;
}

static void *run(void *ctx)
{
    work_fetch *f = ctx;
    bus_err err;
    if (!(err = reach_host(f)) && !(err = start_tls(f)) && !(err = ask(f)) &&
        !(err = read_answer(f)))
        err = work_answer_read((bus_view){(const char *)f->bytes, f->len}, f->url.host, &f->head);
    if (f->ssl)
        SSL_free(f->ssl);
    if (f->tls)
        SSL_CTX_free(f->tls);
    if (f->fd >= 0)
        close(f->fd);
    OPENSSL_cleanse(f->auth, sizeof f->auth);
    pthread_mutex_lock(&f->lock);
    f->err = err;
    snprintf(f->text, sizeof f->text, "%s", err ? bus_err_text() : "");
    f->done = true;
    bool abandoned = f->abandoned;
    if (!abandoned && f->wake.fn)
        f->wake.fn(f->wake.ctx);
    pthread_mutex_unlock(&f->lock);
    if (abandoned)
        release(f);
    return NULL;
}

static bool listed(const bus_config_list *hosts, const char *host)
{
    for (size_t i = 0; i < hosts->count; i++) {
        if (strcasecmp(hosts->item[i], host) == 0)
            return true;
    }
    return false;
}

static bus_err put_auth(work_fetch *f, const work_fetch_opts *opts)
{
    char plain[1024], coded[1400];
    for (const char *p = opts->bearer; *p; p++) {
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return bus_fail(BUS_EINVAL, "credential: the bearer token has a blank in it");
    }
    if (*opts->bearer) {
        if (snprintf(f->auth, sizeof f->auth, "Authorization: Bearer %s\r\n", opts->bearer) >=
            (int)sizeof f->auth)
            return bus_fail(BUS_ELIMIT, "credential: the bearer token is too long");
        return BUS_OK;
    }
    if (!*opts->username)
        return BUS_OK;
    int n = snprintf(plain, sizeof plain, "%s:%s", opts->username, opts->password);
    if (n >= (int)sizeof plain)
        return bus_fail(BUS_ELIMIT, "credential: longer than %zu bytes", sizeof plain);
    EVP_EncodeBlock((unsigned char *)coded, (const unsigned char *)plain, n);
    snprintf(f->auth, sizeof f->auth, "Authorization: Basic %s\r\n", coded);
    OPENSSL_cleanse(plain, sizeof plain);
    OPENSSL_cleanse(coded, sizeof coded);
    return BUS_OK;
}

bus_err work_fetch_open(work_fetch **out, const work_fetch_opts *opts)
{
    pthread_t thread;
    pthread_attr_t detached;
    work_fetch *f = calloc(1, sizeof *f);
    if (!f)
        return bus_fail(BUS_ENOMEM, "fetch");
    pthread_mutex_init(&f->lock, NULL);
    f->fd = -1;
    f->wake = opts->wake;
    f->timeout = opts->timeout.ns ? opts->timeout : BUS_SPAN_S(30);
    f->deadline = bus_mono_add(bus_machine_mono(), f->timeout);
    bus_err err = work_url_parse(&f->url, opts->url);
    if (!err) {
        f->host_allowed = listed(opts->allowed_hosts, f->url.host);
        if (opts->allowed_hosts->count && !f->host_allowed)
            err = bus_fail(BUS_EPERM, "host '%s' is not in allowed_code_hosts", f->url.host);
    }
    if (!err)
        err = put_auth(f, opts);
    if (!err) {
        pthread_attr_init(&detached);
        pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
        if (pthread_create(&thread, &detached, run, f) != 0)
            err = bus_fail(BUS_ENOMEM, "fetch thread");
        pthread_attr_destroy(&detached);
    }
    if (err) {
        release(f);
        return err;
    }
    *out = f;
    return BUS_OK;
}

bool work_fetch_done(work_fetch *f, bus_err *err, bus_view *bytes)
{
    pthread_mutex_lock(&f->lock);
    bool done = f->done;
    pthread_mutex_unlock(&f->lock);
    if (!done)
        return false;
    *err = f->err ? bus_fail(f->err, "%s", f->text) : BUS_OK;
    *bytes = (bus_view){(const char *)f->bytes + f->head, f->len - f->head};
    return true;
}

void work_fetch_close(work_fetch *f)
{
    if (!f)
        return;
    pthread_mutex_lock(&f->lock);
    bool done = f->done;
    f->abandoned = true; // then the thread frees it
    pthread_mutex_unlock(&f->lock);
    if (done)
        release(f);
}
