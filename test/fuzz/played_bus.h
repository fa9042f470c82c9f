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

enum { PLAYED_MSGS = 64, PLAYED_FRAME = 8192, PLAYED_SUBS = 16, PLAYED_ANY = -1 };

static struct {
    bus_pipe *pipe;
    int ends[2];
    struct {
        bus_msg *msg;
        int to; // number of the subscription, PLAYED_ANY: whichever is read next
    } in[PLAYED_MSGS];
    size_t in_len;
    struct {
        bus_sub sub;
        char subject[128]; // "": closed
    } subs[PLAYED_SUBS];
    bus_pipe_msg *made;
    int64_t now_ns;
    uint32_t epoch;
    bool down;
    char subject[BUS_SUBJECT_BUF], reply[128]; // of the last publication
    const bus_header_pair *headers;            // of the request or publication at hand
    size_t header_count;
} played;

// Called when nothing is left to be read; may deliver. NULL: nothing more comes.
static void (*play_more)(void);
// Called with every publication; may deliver. NULL: nobody listens.
static void (*play_published)(const char *subject, const char *reply, bus_view payload);
// Answers a request (*answer NULL: nobody does); false, and NULL: the next bytes are the answer.
static bool (*play_answer)(const char *subject, bus_view payload, bus_msg **answer);

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

static inline void deliver_to(int sub, bus_view subject, bus_view reply, bus_view headers,
                              bus_view payload)
{
    bus_msg *msg = played.in_len < PLAYED_MSGS ? message(subject, reply, headers, payload) : NULL;
    if (!msg)
        return;
    played.in[played.in_len].msg = msg;
    played.in[played.in_len++].to = sub;
}

static inline void deliver(bus_view subject, bus_view reply, bus_view headers, bus_view payload)
{
    deliver_to(PLAYED_ANY, subject, reply, headers, payload);
}

// The number of the newest subscription that takes this subject, or a number of none.
static inline int sub_of(bus_view subject)
{
    for (int i = PLAYED_SUBS - 1; i >= 0; i--)
        if (*played.subs[i].subject &&
            bus_subject_match(bus_view_of(played.subs[i].subject), subject))
            return i;
    return PLAYED_SUBS;
}

static bool play_open(const uint8_t *data, size_t size)
{
    memset(&played, 0, sizeof played);
    play_more = NULL;
    play_published = NULL;
    play_answer = NULL;
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
    while (played.in_len)
        bus_msg_release(played.in[--played.in_len].msg);
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
    played.headers = headers;
    played.header_count = count;
    snprintf(played.subject, sizeof played.subject, "%s", subject);
    if (reply)
        snprintf(played.reply, sizeof played.reply, "%s", reply);
    if (played.down)
        return bus_fail(BUS_EUNAVAILABLE, "down");
    if (play_published)
        play_published(subject, reply ? reply : "", payload);
    return BUS_OK;
}

// Kinds: nobody answers, no answer in time, headers and a body, a body alone. Then a length each, and the bytes.
bus_err __wrap_bus_request(bus_conn *conn, const char *subject, const bus_header_pair *headers,
                           size_t count, bus_view payload, bus_span timeout, bus_msg **reply);
bus_err __wrap_bus_request(bus_conn *conn, const char *subject, const bus_header_pair *headers,
                           size_t count, bus_view payload, bus_span timeout, bus_msg **reply)
{
    (void)conn;
    (void)timeout;
    played.headers = headers;
    played.header_count = count;
    snprintf(played.subject, sizeof played.subject, "%s", subject);
    if (play_answer && play_answer(subject, payload, reply))
        return *reply ? BUS_OK : bus_fail(BUS_EUNAVAILABLE, "'%s' is not answered", subject);
    uint8_t kind = input.left ? byte() % 8 : 0;
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
    int i = 0;
    while (i < PLAYED_SUBS && *played.subs[i].subject)
        i++;
    demand(i < PLAYED_SUBS);
    snprintf(played.subs[i].subject, sizeof played.subs[i].subject, "%s", opts->subject);
    played.subs[i].sub.conn = conn;
    *out = &played.subs[i].sub;
    return BUS_OK;
}

static int number_of_sub(const bus_sub *sub)
{
    int i = 0;
    while (&played.subs[i].sub != sub)
        i++;
    return i;
}

void __wrap_bus_sub_close(bus_sub *sub);
void __wrap_bus_sub_close(bus_sub *sub)
{
    if (!sub)
        return;
    int number = number_of_sub(sub);
    *played.subs[number].subject = '\0';
    for (size_t i = 0; i < played.in_len;) {
        if (played.in[i].to != number) {
            i++;
            continue;
        }
        bus_msg_release(played.in[i].msg);
        memmove(&played.in[i], &played.in[i + 1], (--played.in_len - i) * sizeof *played.in);
    }
}

// Where the next message for a subscription stands in the queue; its end: there is none.
static size_t next_for(const bus_sub *sub)
{
    size_t i = 0;
    int number = number_of_sub(sub);
    while (i < played.in_len && played.in[i].to != PLAYED_ANY && played.in[i].to != number)
        i++;
    return i;
}

bool __wrap_bus_sub_wait(bus_sub *sub, bus_span timeout);
bool __wrap_bus_sub_wait(bus_sub *sub, bus_span timeout)
{
    played.now_ns += timeout.ns;
    return next_for(sub) < played.in_len;
}

bus_msg *__wrap_bus_sub_next(bus_sub *sub, bus_span timeout);
bus_msg *__wrap_bus_sub_next(bus_sub *sub, bus_span timeout)
{
    size_t at = next_for(sub);
    if (at == played.in_len && play_more) {
        play_more();
        at = next_for(sub);
    }
    if (at == played.in_len) {
        played.now_ns += timeout.ns;
        return NULL;
    }
    bus_msg *msg = played.in[at].msg;
    memmove(&played.in[at], &played.in[at + 1], (--played.in_len - at) * sizeof *played.in);
    return msg;
}

#endif
