// What a client sends to the simulated exchange's port, over a real connection and the real library: HTTP requests as
// they come (first byte odd), or what follows a WebSocket handshake: frames whole, in fragments, binary, with control
// frames between, masked as they should be, or any bytes. What comes back is whole: HTTP, or frames whose text is JSON;
// at most one answer a request; the connection ends, and the exchange is there for the next one.
#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bus/base/log.h"
#include "feeds/sim/server.h"

enum { BYTES_MAX = 8192, BACK_MAX = 4 << 20, WAIT_MS = 8000, QUIET_MS = 20, INPUTS_A_SERVER = 500 };

static struct {
    sim_server *server;
    int inputs;             // it has seen
    uint8_t back[BACK_MAX]; // what the exchange said
    size_t back_len;
    bool ended;
    int requests; // text messages that were sent whole; -1: it is not known
} the;

static void demand(bool ok)
{
    if (!ok)
        abort();
}

// --- the exchange -------------------------------------------------------------------------------------------

static void open_exchange(void)
{
    static const char *const symbols[] = {"BTCUSDT"};
    sim_exchange *x;
    sim_exchange_opts opts = {
        .speed = "1x",
        .exchange_info = "",
        .symbols = symbols,
        .symbol_count = 1,
        .seed = 1,
        .rate = 100,
        .state_folder = "",
        .send_log = "",
        .log_entries = 100,
        .history_bytes = 1 << 20,
        .hub = {BUS_SPAN_S(20), BUS_SPAN_S(60), BUS_SPAN_S(86400), 50, 8, 1 << 20, false, false}};
    if (the.server && the.inputs++ < INPUTS_A_SERVER)
        return;
    sim_server_close(the.server);
    the.inputs = 0;
    demand(sim_exchange_open(&x, &opts) == BUS_OK);
    demand(sim_server_open(&the.server, &(sim_server_opts){"127.0.0.1:0", "", ""}, x) == BUS_OK);
}

// --- the client ---------------------------------------------------------------------------------------------

static int connect_to(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    at.sin_port = htons((uint16_t)sim_server_port(the.server));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    demand(fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) == 0);
    the.back_len = 0;
    the.ended = false;
    return fd;
}

// Waits for something from the exchange; false: nothing came.
static bool hear(int fd, int timeout_ms)
{
    struct pollfd p = {fd, POLLIN, 0};
    int heard = the.ended ? 0 : poll(&p, 1, timeout_ms);
    if (heard < 0 && errno == EINTR) // the fuzzer's alarm
        return true;
    if (heard != 1)
        return false;
    ssize_t n = recv(fd, the.back + the.back_len, sizeof the.back - the.back_len, 0);
    the.ended = n <= 0;
    the.back_len += n > 0 ? (size_t)n : 0;
    demand(the.back_len < sizeof the.back);
    return true;
}

static void say(int fd, const void *bytes, size_t len)
{
    while (hear(fd, 0))
        ;
    if (len && !the.ended && send(fd, bytes, len, MSG_NOSIGNAL) < 0)
        the.ended = true;
}

static void hear_the_end(int fd)
{
    shutdown(fd, SHUT_WR);
    while (!the.ended)
        demand(hear(fd, WAIT_MS));
}

// The end of an HTTP head; 0: it is not there yet.
static size_t head_end(void)
{
    const uint8_t *at = memmem(the.back, the.back_len, "\r\n\r\n", 4);
    return at ? (size_t)(at - the.back) + 4 : 0;
}

// Faults that were asked for do not reach the next input.
static void is_there(void)
{
    static const char ask[] =
        "DELETE /sim/v1/fault HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    int fd = connect_to();
    say(fd, ask, sizeof ask - 1);
    while (!head_end())
        demand(hear(fd, WAIT_MS));
    demand(memcmp(the.back, "HTTP/1.1 200 ", 13) == 0);
    close(fd);
}

// --- a WebSocket --------------------------------------------------------------------------------------------

static bool shake_hands(int fd, uint8_t which)
{
    static const char *const paths[] = {"/ws", "/stream", "/ws/btcusdt@trade/btcusdt@bookTicker",
                                        "/stream?streams=btcusdt@depth@100ms&timeUnit=MICROSECOND"};
    char text[512];
    int len = snprintf(text, sizeof text,
                       "GET %s HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                       "Sec-WebSocket-Version: 13\r\n\r\n",
                       paths[which % 4]);
    say(fd, text, (size_t)len);
    while (!the.ended && !head_end())
        demand(hear(fd, WAIT_MS));
    demand(head_end() && memcmp(the.back, "HTTP/1.1 101 ", 13) == 0);
    return true;
}

static void send_frame(int fd, uint8_t first, const uint8_t *payload, size_t len)
{
    static const uint8_t mask[] = {0x11, 0x22, 0x33, 0x44};
    uint8_t frame[300] = {first, (uint8_t)(0x80 | (len < 126 ? len : 126))};
    size_t at = 2;
    if (len >= 126) {
        frame[at++] = (uint8_t)(len >> 8);
        frame[at++] = (uint8_t)len;
    }
    memcpy(frame + at, mask, sizeof mask);
    at += sizeof mask;
    for (size_t i = 0; i < len; i++)
        frame[at++] = payload[i] ^ mask[i % sizeof mask];
    say(fd, frame, at);
}

// Parts: how (the frame's first byte, but one of its reserved bits is: raw, these bytes as they are), length, bytes.
static void send_parts(int fd, const uint8_t *data, size_t size)
{
    enum { RAW = 0x10, FIN = 0x80, RESERVED = 0x70 };
    while (size >= 2) {
        uint8_t how = data[0];
        size_t len = data[1] < size - 2 ? data[1] : size - 2;
        if (how & RAW) {
            the.requests = -1;
            say(fd, data + 2, len);
        } else {
            if (the.requests >= 0 && how & FIN)
                the.requests++; // a control frame counts too: it is a bound
            send_frame(fd, how, data + 2, len);
        }
        data += 2 + len;
        size -= 2 + len;
    }
}

// Until all is answered, as far as one can tell: what waits at the end of the connection is not sent any more.
static void hear_answers(int fd)
{
    static const char pong[] = {'\x8a', 3, 'e', 'n', 'd'};
    send_frame(fd, 0x89, (const uint8_t *)"end", 3);
    while (!memmem(the.back, the.back_len, pong, sizeof pong) && hear(fd, QUIET_MS))
        ;
    while (hear(fd, 1))
        ;
}

static void look_at_text(const uint8_t *text, size_t len, int *answers)
{
    json_error_t bad;
    json_t *message = json_loadb((const char *)text, len, JSON_DECODE_ANY, &bad);
    demand(message != NULL);
    *answers += json_object_get(message, "result") || json_object_get(message, "code");
    json_decref(message);
}

// The exchange's frames: whole, not masked, nothing behind its own closing one. (What it has queued does come behind
// one by which the library answers a client that does not speak the protocol.)
static void look_at_frames(size_t at)
{
    int answers = 0;
    bool closed = false;
    while (the.back_len - at >= 2) {
        const uint8_t *f = the.back + at;
        size_t len = f[1] & 127, head = len == 126 ? 4 : len == 127 ? 10 : 2;
        if (the.back_len - at < head)
            break;
        for (size_t i = 2; i < head; i++)
            len = (i == 2 ? 0 : len << 8) | f[i];
        demand(!closed && !(f[1] & 0x80) && (f[0] & 0xf0) == 0x80);
        if (len > the.back_len - at - head)
            break; // cut by the end
        closed = (f[0] & 15) == 8 && len >= 2 && (f[head] << 8 | f[head + 1]) == 1008;
        if ((f[0] & 15) == 1)
            look_at_text(f + head, len, &answers);
        else
            demand((f[0] & 15) == 2 || (f[0] & 15) >= 8);
        at += head + len;
    }
    demand(the.requests < 0 || answers <= the.requests);
}

static void play_websocket(const uint8_t *data, size_t size)
{
    int fd = connect_to();
    the.requests = 0;
    if (shake_hands(fd, data[0] >> 1)) {
        size_t head = head_end();
        send_parts(fd, data + 1, size - 1);
        hear_answers(fd);
        hear_the_end(fd);
        look_at_frames(head);
    }
    close(fd);
}

// --- HTTP ---------------------------------------------------------------------------------------------------

static void play_http(const uint8_t *data, size_t size)
{
    int fd = connect_to();
    size_t step = data[0] >> 1 ? (size_t)(data[0] >> 1) * 8 : size;
    for (size_t at = 1; at < size; at += step)
        say(fd, data + at, size - at < step ? size - at : step);
    shutdown(fd, SHUT_WR); // a kept connection may stay: nobody need close it at once
    while (hear(fd, QUIET_MS))
        ;
    demand(the.back_len == 0 || (the.back_len > 12 && memcmp(the.back, "HTTP/1.", 7) == 0));
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > BYTES_MAX)
        return 0;
    bus_log_init("fuzz", BUS_LOG_ERROR, BUS_LOG_TEXT);
    open_exchange();
    if (data[0] & 1)
        play_http(data, size);
    else
        play_websocket(data, size);
    is_there();
    return 0;
}
