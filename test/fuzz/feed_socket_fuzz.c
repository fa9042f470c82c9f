// What a venue sends behind the handshake, raw: frames whole, in fragments, with control frames between, cut anywhere.
// A real connection over loopback and the real library. Each message that reaches the feed is one that a small reader
// of RFC 6455 finds in the bytes, in order; the end is told once.
#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bus/base/log.h"
#include "feeds/net.h"

enum { MESSAGES_MAX = 512, TURNS_MAX = 2000, BYTES_MAX = 4096 };

typedef struct {
    size_t len;
    uint64_t sum;
} message;

static struct {
    feed_net *net;
    int listener, port;
    bool opened;
    int closed;
    message got[MESSAGES_MAX];
    size_t got_count;
} the;

static void demand(bool ok)
{
    if (!ok)
        abort();
}

static uint64_t add(uint64_t sum, const char *ptr, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sum = sum * 31 + (unsigned char)ptr[i] + 1;
    return sum;
}

// --- the feed's side -------------------------------------------------------------------------------------

static void on_opened(void *ctx, feed_socket *socket)
{
    (void)ctx;
    (void)socket;
    the.opened = true;
}

static void on_message(void *ctx, feed_socket *socket, bus_view text, bus_recorded_time received)
{
    (void)ctx;
    (void)socket;
    demand(received.ns > 0 && the.closed == 0 && the.got_count < MESSAGES_MAX);
    the.got[the.got_count++] = (message){text.len, add(0, text.ptr, text.len)};
}

static void on_alive(void *ctx, feed_socket *socket, uint64_t number)
{
    (void)ctx;
    (void)socket;
    (void)number;
}

static void on_closed(void *ctx, feed_socket *socket, bool clean, const char *text)
{
    (void)ctx;
    (void)socket;
    (void)clean;
    demand(strlen(text) < 256);
    the.closed++;
}

static void on_answered(void *ctx, uint64_t tag, int status, bus_view body, const char *text)
{
    (void)ctx;
    (void)tag;
    (void)status;
    (void)body;
    (void)text;
}

static void open_once(void)
{
    static const feed_net_events events = {on_opened, on_message,  on_alive,
                                           on_closed, on_answered, NULL};
    feed_net_opts opts = {.rest_timeout = BUS_SPAN_S(20), .turn_max = BUS_SPAN_MS(2)};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    if (the.net)
        return;
    bus_log_init("fuzz", BUS_LOG_ERROR, BUS_LOG_TEXT);
    the.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    demand(bind(the.listener, (struct sockaddr *)&at, sizeof at) == 0 &&
           listen(the.listener, 8) == 0);
    demand(getsockname(the.listener, (struct sockaddr *)&at, &len) == 0);
    the.port = ntohs(at.sin_port);
    demand(fcntl(the.listener, F_SETFL, O_NONBLOCK) == 0);
    demand(feed_net_open(&the.net, &opts, &events) == BUS_OK);
}

// --- the venue's side ------------------------------------------------------------------------------------

static void answer_handshake(int fd, const char *request)
{
    static const char name[] = "Sec-WebSocket-Key: ";
    char key[128], text[256];
    unsigned char digest[SHA_DIGEST_LENGTH], accept[64];
    const char *at = strcasestr(request, name);
    demand(at && sscanf(at + sizeof name - 1, "%40s", key) == 1);
    strcat(key, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    SHA1((unsigned char *)key, strlen(key), digest);
    EVP_EncodeBlock(accept, digest, sizeof digest);
    int len =
        snprintf(text, sizeof text,
                 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Accept: %s\r\n\r\n",
                 accept);
    demand(send(fd, text, (size_t)len, MSG_NOSIGNAL) == len);
}

// The connection of this run, with its handshake done; -1: it did not come about.
static int take_connection(void)
{
    char request[4096];
    size_t len = 0;
    int fd = -1;
    bool answered = false;
    for (int i = 0; i < TURNS_MAX && !the.opened && !the.closed; i++) {
        feed_net_turn(the.net);
        if (fd < 0)
            fd = accept4(the.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        ssize_t n = fd < 0 || answered ? -1 : recv(fd, request + len, sizeof request - 1 - len, 0);
        len += n > 0 ? (size_t)n : 0;
        request[len] = '\0';
        if (!answered && strstr(request, "\r\n\r\n")) {
            answer_handshake(fd, request);
            answered = true;
        }
    }
    return fd;
}

// --- what stands in the bytes ----------------------------------------------------------------------------

static size_t messages_in(const uint8_t *at, size_t left, message *out, bool *masked)
{
    size_t count = 0;
    message m = {0};
    while (left >= 2 && count < MESSAGES_MAX) {
        uint8_t opcode = at[0] & 15;
        bool final = at[0] & 0x80;
        size_t head = 2, len = at[1] & 127;
        size_t more = len == 126 ? 2 : len == 127 ? 8 : 0;
        *masked = at[1] & 0x80;
        if (*masked || left < head + more)
            break;
        for (size_t i = 0; i < more; i++)
            len = (i ? len << 8 : 0) | at[2 + i];
        head += more;
        if (len > left - head || opcode == 8)
            break;
        if (opcode < 8) {
            if (opcode)
                m = (message){0};
            m.sum = add(m.sum, (const char *)at + head, len);
            m.len += len;
            if (final)
                out[count++] = m;
        }
        at += head + len;
        left -= head + len;
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static message want[MESSAGES_MAX];
    char url[64];
    feed_socket *socket;
    if (size > BYTES_MAX)
        return 0;
    open_once();
    the.opened = false;
    the.closed = 0;
    the.got_count = 0;
    snprintf(url, sizeof url, "ws://127.0.0.1:%d", the.port);
    demand(feed_net_connect(the.net, &socket, url, "/ws", NULL) == BUS_OK);
    int fd = take_connection();
    if (fd >= 0 && the.opened) {
        demand(size == 0 || send(fd, data, size, MSG_NOSIGNAL) == (ssize_t)size);
        shutdown(fd, SHUT_WR);
        for (int i = 0; i < TURNS_MAX && !the.closed; i++)
            feed_net_turn(the.net);
        demand(the.closed == 1);
    }
    bool masked = false;
    size_t count = messages_in(data, size, want, &masked);
    demand(the.got_count <= count || masked);
    for (size_t i = 0; i < the.got_count && i < count; i++)
        demand(the.got[i].len == want[i].len && the.got[i].sum == want[i].sum);
    feed_socket_release(socket, true);
    if (fd >= 0)
        close(fd);
    for (int i = 0; i < 3; i++)
        feed_net_turn(the.net);
    return 0;
}
