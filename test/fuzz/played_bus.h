// A bus whose every answer a fuzz target makes up: with the linker's --wrap the requests, publications, subscriptions and
// the clock of bus/nats come here (test/fuzz/CMakeLists.txt), and what is under test is the real rest of it.
// A message is put together as the broker sends it and goes through the real pipe.
#ifndef TEST_FUZZ_PLAYED_BUS_H
#define TEST_FUZZ_PLAYED_BUS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bus/base/log.h"
#include "bus/lane/lane.h"
#include "bus/nats/conn_impl.h"
#include "input.h"

enum { PLAYED_MSGS = 64, PLAYED_FRAME = 8192 };

static struct {
    bus_pipe *pipe;
    int ends[2];
    bus_msg *in[PLAYED_MSGS]; // for the subscription
    size_t in_at, in_len;
    bus_pipe_msg *made;
    int64_t now_ns;
    uint32_t epoch;
    bool down;
    char subject[BUS_SUBJECT_BUF], reply[128],
        inbox[128]; // of the last publication; of the subscription
} played;

// Called when nothing is left to be read; may deliver. NULL: nothing more comes.
static void (*play_more)(void);

static void on_made(void *ctx, uint64_t sid, bus_pipe_msg *msg)
{
    (void)ctx;
    (void)sid;
    demand(!played.made);
    played.made = msg;
}

static bool plain_token(bus_view v)
{
    for (size_t i = 0; i < v.len; i++)
        if ((unsigned char)v.ptr[i] <= ' ' || (unsigned char)v.ptr[i] > 126)
            return false;
    return true;
}

// NULL: what the protocol cannot carry.
static bus_msg *message(bus_view subject, bus_view reply, bus_view headers, bus_view payload)
{
    char frame[PLAYED_FRAME];
    if (subject.len == 0 || !plain_token(subject) || !plain_token(reply) ||
        subject.len + reply.len + headers.len + payload.len + 128 > sizeof frame)
        return NULL;
    int len = headers.len ? snprintf(frame, sizeof frame, "HMSG %.*s 1 %.*s %zu %zu\r\n",
                                     BUS_VIEW_ARG(subject), BUS_VIEW_ARG(reply), headers.len,
                                     headers.len + payload.len)
                          : snprintf(frame, sizeof frame, "MSG %.*s 1 %.*s %zu\r\n",
                                     BUS_VIEW_ARG(subject), BUS_VIEW_ARG(reply), payload.len);
    if (headers.len)
        memcpy(frame + len, headers.ptr, headers.len);
    len += (int)headers.len;
    if (payload.len)
        memcpy(frame + len, payload.ptr, payload.len);
    len += (int)payload.len;
    memcpy(frame + len, "\r\n", 2);
    demand(send(played.ends[1], frame, (size_t)len + 2, MSG_NOSIGNAL) == len + 2);
    played.made = NULL;
    bus_pipe_read(played.pipe, (bus_span){0}, on_made, NULL);
    demand(played.made != NULL);
    return bus_msg_of_pipe(played.made);
}

static inline void deliver(bus_view subject, bus_view reply, bus_view headers, bus_view payload)
{
    bus_msg *msg = played.in_len < PLAYED_MSGS ? message(subject, reply, headers, payload) : NULL;
    if (msg)
        played.in[played.in_len++] = msg;
}

static bool play_open(const uint8_t *data, size_t size)
{
    memset(&played, 0, sizeof played);
    input.bytes = data;
    input.left = size;
    played.now_ns = 1000000000000;
    played.epoch = 1;
    bus_log_init("fuzz", BUS_LOG_ERROR, BUS_LOG_TEXT);
    (void)nats_Open(-1); // once: the library's own messages need it
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, played.ends))
        return false;
    demand(bus_pipe_open(&played.pipe, played.ends[0], PLAYED_FRAME) == BUS_OK);
    return true;
}

static void play_close(void)
{
    while (played.in_at < played.in_len)
        bus_msg_release(played.in[played.in_at++]);
    bus_pipe_close(played.pipe);
    close(played.ends[0]);
    close(played.ends[1]);
}

// --- instead of bus/nats ----------------------------------------------------------------------------------

bus_mono __wrap_bus_machine_mono(void);
bus_mono __wrap_bus_machine_mono(void)
{
    return (bus_mono){played.now_ns += 1000};
}

int __wrap_nanosleep(const struct timespec *span, struct timespec *left);
int __wrap_nanosleep(const struct timespec *span, struct timespec *left)
{
    (void)left;
    played.now_ns += (int64_t)span->tv_sec * 1000000000 + span->tv_nsec;
    return 0;
}

uint32_t __wrap_bus_conn_epoch(const bus_conn *conn);
uint32_t __wrap_bus_conn_epoch(const bus_conn *conn)
{
    (void)conn;
    return played.epoch;
}

bus_conn_state __wrap_bus_conn_state_of(const bus_conn *conn);
bus_conn_state __wrap_bus_conn_state_of(const bus_conn *conn)
{
    (void)conn;
    return played.down ? BUS_CONN_CONNECTING : BUS_CONN_UP;
}

bus_err __wrap_bus_conn_flush(bus_conn *conn, bus_span timeout);
bus_err __wrap_bus_conn_flush(bus_conn *conn, bus_span timeout)
{
    (void)conn;
    (void)timeout;
    return BUS_OK;
}

uint32_t __wrap_bus_conn_broker(const bus_conn *conn);
uint32_t __wrap_bus_conn_broker(const bus_conn *conn)
{
    (void)conn;
    return 2015001;
}

bus_err __wrap_bus_publish(bus_conn *conn, const char *subject, const char *reply,
                           const bus_header_pair *headers, size_t count, bus_view payload);
bus_err __wrap_bus_publish(bus_conn *conn, const char *subject, const char *reply,
                           const bus_header_pair *headers, size_t count, bus_view payload)
{
    (void)conn;
    (void)headers;
    (void)count;
    (void)payload;
    snprintf(played.subject, sizeof played.subject, "%s", subject);
    if (reply)
        snprintf(played.reply, sizeof played.reply, "%s", reply);
    return played.down ? bus_fail(BUS_EUNAVAILABLE, "down") : BUS_OK;
}

// Kinds: nobody answers, no answer in time, headers and a body, a body alone. Then a length each, and the bytes.
bus_err __wrap_bus_request(bus_conn *conn, const char *subject, const bus_header_pair *headers,
                           size_t count, bus_view payload, bus_span timeout, bus_msg **reply);
bus_err __wrap_bus_request(bus_conn *conn, const char *subject, const bus_header_pair *headers,
                           size_t count, bus_view payload, bus_span timeout, bus_msg **reply)
{
    (void)conn;
    (void)headers;
    (void)count;
    (void)payload;
    (void)timeout;
    uint8_t kind = input.left ? byte() % 8 : 0;
    snprintf(played.subject, sizeof played.subject, "%s", subject);
    if (kind < 2)
        return bus_fail(kind ? BUS_ETIMEOUT : BUS_EUNAVAILABLE, "'%s' is not answered", subject);
    bus_view head = {0}, body;
    if (kind == 2)
        head = bytes_of(byte());
    body = bytes_of(byte() | (size_t)(byte() & 7) << 8);
    *reply = message(BUS_VIEW("_INBOX.x"), (bus_view){0}, head, body);
    return *reply ? BUS_OK : bus_fail(BUS_ETIMEOUT, "'%s' is not answered", subject);
}

bus_err __wrap_bus_sub_open(bus_sub **out, bus_conn *conn, const bus_sub_opts *opts);
bus_err __wrap_bus_sub_open(bus_sub **out, bus_conn *conn, const bus_sub_opts *opts)
{
    static bus_sub one;
    (void)conn;
    snprintf(played.inbox, sizeof played.inbox, "%s", opts->subject);
    *out = &one;
    return BUS_OK;
}

void __wrap_bus_sub_close(bus_sub *sub);
void __wrap_bus_sub_close(bus_sub *sub)
{
    (void)sub;
}

bool __wrap_bus_sub_wait(bus_sub *sub, bus_span timeout);
bool __wrap_bus_sub_wait(bus_sub *sub, bus_span timeout)
{
    (void)sub;
    played.now_ns += timeout.ns;
    return played.in_at < played.in_len;
}

bus_msg *__wrap_bus_sub_next(bus_sub *sub, bus_span timeout);
bus_msg *__wrap_bus_sub_next(bus_sub *sub, bus_span timeout)
{
    (void)sub;
    if (played.in_at == played.in_len) {
        played.in_at = played.in_len = 0;
        if (play_more)
            play_more();
    }
    if (played.in_at < played.in_len)
        return played.in[played.in_at++];
    played.now_ns += timeout.ns;
    return NULL;
}

#endif
