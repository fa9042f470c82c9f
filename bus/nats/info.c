#include "bus/nats/info.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { INFO_BYTES_MAX = 32 * 1024 };

uint32_t bus_broker_version(const char *text)
{
    unsigned major = 0, minor = 0, patch = 0;
    if (sscanf(text, "%u.%u.%u", &major, &minor, &patch) != 3)
        return 0;
    if (major > 999 || minor > 999 || patch > 999)
        return 0;
    return major * 1000000 + minor * 1000 + patch;
}

// Source: schemas/specs/recording.md, "Connections". scripts/lib/common.sh has the same words.
const char *bus_broker_fault(uint32_t broker)
{
    static const char any_subject[] =
        "a user can have message traces put onto subjects that its list forbids (CVE-2026-33249): "
        "use 2.15.1 or newer";
    static const char panic[] = "a user with a list of permissions can end it by a header "
                                "(Nats-Trace-Dest): use 2.15.1 or newer";
    static const struct {
        uint32_t first, last;
        const char *words;
    } faults[] = {
        {2011001, 2011014, any_subject}, {2012000, 2012005, any_subject}, {2011015, 2011999, panic},
        {2012006, 2012011, panic},       {2014000, 2014002, panic},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        if (broker >= faults[i].first && broker <= faults[i].last)
            return faults[i].words;
    return NULL;
}

bool bus_broker_loopback(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
    if (address->ss_family != AF_INET6)
        return false;
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    const uint8_t *bytes = ((const struct sockaddr_in6 *)address)->sin6_addr.s6_addr;
    return memcmp(bytes, mapped, sizeof mapped) == 0 ? bytes[12] == 127
                                                     : memcmp(bytes, &in6addr_loopback, 16) == 0;
}

// "nats://user:pw@[::1]:4222" -> host "::1", port "4222"
static bool split_url(const char *url, char host[256], char port[8])
{
    const char *at = strstr(url, "://");
    at = at ? at + 3 : url;
    const char *user_end = strrchr(at, '@');
    if (user_end)
        at = user_end + 1;
    const char *host_end;
    if (*at == '[') {
        at++;
        host_end = strchr(at, ']');
    } else {
        host_end = at + strcspn(at, ":/");
    }
    if (!host_end || host_end == at || host_end - at > 255)
        return false;
    memcpy(host, at, (size_t)(host_end - at));
    host[host_end - at] = '\0';
    const char *colon = strchr(host_end, ':');
    snprintf(port, 8, "%s", colon ? colon + 1 : "4222");
    port[strcspn(port, "/")] = '\0';
    return true;
}

static int left_ms(bus_mono until)
{
    int64_t ns = until.ns - bus_machine_mono().ns;
    return ns > 0 ? (int)(ns / 1000000) + 1 : 0;
}

static int dial(const char *host, const char *port, bus_mono until)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    if (getaddrinfo(host, port, &hints, &list))
        return -1;
    int fd = -1;
    for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
            continue;
        int failed = 0;
        socklen_t len = sizeof failed;
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        if (connect(fd, a->ai_addr, a->ai_addrlen) &&
            (errno != EINPROGRESS || poll(&p, 1, left_ms(until)) != 1 ||
             getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &len) || failed)) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    return fd;
}

static bool stays_here(int fd)
{
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof peer;
    return getpeername(fd, (struct sockaddr *)&peer, &len) == 0 && bus_broker_loopback(&peer);
}

// Reads up to the end of the first line; false on timeout, end of stream or a line that is too long.
static bool read_line(int fd, char *buf, size_t cap, bus_mono until)
{
    size_t len = 0;
    while (len < cap - 1) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, left_ms(until)) != 1)
            return false;
        ssize_t n = read(fd, buf + len, cap - 1 - len);
        if (n <= 0)
            return false;
        len += (size_t)n;
        buf[len] = '\0';
        if (memchr(buf, '\n', len))
            return true;
    }
    return false;
}

bus_err bus_broker_peek(bus_broker_info *out, const char *url, bus_span timeout)
{
    char host[256], port[8];
    if (!split_url(url, host, port))
        return bus_fail(BUS_EINVAL, "'%s' is no host:port", url);
    bus_mono until = bus_mono_add(bus_machine_mono(), timeout);
    int fd = dial(host, port, until);
    if (fd < 0)
        return bus_fail(BUS_EUNAVAILABLE, "nobody listens at %s:%s", host, port);
    bus_err err = BUS_OK;
    char *line = malloc(INFO_BYTES_MAX);
    if (!line) {
        err = bus_fail(BUS_ENOMEM, "greeting of the broker");
        goto done;
    }
    if (!read_line(fd, line, INFO_BYTES_MAX, until)) {
        err = bus_fail(BUS_ETIMEOUT, "%s:%s sent no greeting", host, port);
        goto done;
    }
    static const char key[] = "\"version\":\"";
    const char *at = strncmp(line, "INFO ", 5) ? NULL : strstr(line, key);
    if (!at) {
        err = bus_fail(BUS_EINVAL, "%s:%s is not a NATS server", host, port);
        goto done;
    }
    at += sizeof key - 1;
    size_t len = strcspn(at, "\"\n");
    if (len >= sizeof out->version)
        len = sizeof out->version - 1;
    memcpy(out->version, at, len);
    out->version[len] = '\0';
    out->broker = bus_broker_version(out->version);
    out->tls = strstr(line, "\"tls_required\":true") != NULL;
    out->loopback = stays_here(fd);
done:
    free(line);
    close(fd);
    return err;
}
