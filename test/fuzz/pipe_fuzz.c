// Bytes of a broker through a socket, cut as the first byte says, and what is asked of the messages in them: headers,
// the event, the place in a stream, the entry of a bucket. The messages are those that stand in the bytes read at
// once, and each lives until it is released. The bytes are also what a broker greets with.
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bus/base/log.h"
#include "bus/nats/conn_impl.h"
#include "bus/nats/info.h"
#include "bus/nats/kv_impl.h"
#include "bus/nats/pull.h"
#include "bus/nats/watermark.h"

#include "played_peer.h"

enum { HELD_MAX = 64, PAYLOAD_MAX = 2048 };

typedef struct {
    uint64_t count, sum;
    bus_pipe_msg *held[HELD_MAX];
    uint64_t sums[HELD_MAX]; // of those
} met;

static void add(met *m, bus_view part)
{
    for (size_t i = 0; i < part.len; i++)
        m->sum = m->sum * 31 + (unsigned char)part.ptr[i];
    m->sum = m->sum * 31 + part.len;
}

static void look_at(bus_msg *msg)
{
    static const char *const names[] = {"Status", "Description", "Lane-Seq", "Content-Type",
                                        "Nats-Time-Stamp"};
    static bus_scratch scratch;
    met sink = {0};
    bus_view value, run;
    bus_lane_stamp stamp;
    bus_place place;
    bus_event event;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (bus_msg_header(msg, names[i], &value))
            add(&sink, value);
    if (bus_lane_headers_read(msg, &stamp, &run))
        add(&sink, run);
    if (bus_place_parse(&place, bus_msg_reply(msg)))
        add(&sink, place.consumer);
    if (bus_msg_event(msg, &event, &scratch) == BUS_OK)
        add(&sink, event.id);
    (void)bus_msg_no_responders(msg);
}

static uint64_t sum_of(const bus_pipe_msg *msg)
{
    met sink = {0};
    add(&sink, msg->subject);
    add(&sink, msg->reply);
    add(&sink, msg->headers);
    add(&sink, msg->payload);
    return sink.sum;
}

static void let_go(met *m, size_t slot)
{
    if (!m->held[slot])
        return;
    demand(sum_of(m->held[slot]) == m->sums[slot]); // nobody wrote there
    bus_pipe_release(m->held[slot]);
    m->held[slot] = NULL;
}

static void on_message(void *ctx, uint64_t sid, bus_pipe_msg *msg)
{
    met *m = ctx;
    bus_msg *as_msg = bus_msg_of_pipe(msg);
    (void)sid;
    add(m, msg->subject);
    add(m, msg->payload);
    look_at(as_msg);
    size_t slot = m->count++ % HELD_MAX;
    let_go(m, slot);
    if (msg->payload.len % 3 == 0) { // an entry owns its message
        bus_kv_entry entry = {0};
        if (bus_kv_entry_of(&entry, "workers", as_msg, msg->subject, 1, (bus_wall){0}) == BUS_OK) {
            demand(entry.key.ptr[entry.key.len] == '\0');
            bus_kv_entry_release(&entry);
        }
        return;
    }
    m->held[slot] = msg;
    m->sums[slot] = sum_of(msg);
}

// What stands in the bytes, read in one go; false: they are not the protocol somewhere.
static bool expected(met *m, bus_view rest)
{
    while (rest.len) {
        bus_wire_frame f = {.kind = BUS_WIRE_OTHER};
        size_t len = 0;
        bus_wire_result result = bus_wire_take(&f, rest, &len);
        if (result == BUS_WIRE_BAD || len > PAYLOAD_MAX + BUS_WIRE_LINE_MAX)
            return false;
        if (result == BUS_WIRE_PART)
            return true;
        if (f.kind == BUS_WIRE_MSG) {
            m->count++;
            add(m, f.subject);
            add(m, f.payload);
        }
        rest.ptr += len;
        rest.len -= len;
    }
    return true;
}

static void play(bus_pipe *pipe, int peer, bus_view bytes, size_t step, met *m)
{
    char back[4096];
    while (bytes.len && !bus_pipe_down(pipe)) {
        size_t n = bytes.len < step ? bytes.len : step;
        demand(send(peer, bytes.ptr, n, MSG_NOSIGNAL) == (ssize_t)n);
        bytes.ptr += n;
        bytes.len -= n;
        bus_pipe_read(pipe, (bus_span){0}, on_message, m);
        while (recv(peer, back, sizeof back, MSG_DONTWAIT) > 0)
            ;
    }
}

static void greet(bus_view bytes)
{
    bus_broker_info info = {.broker = 0};
    peer_says = bytes;
    if (bytes.len == 0 || bytes.ptr[0] != 'I') // all else is no greeting from its first letter on
        return;
    if (bus_broker_peek(&info, "nats://127.0.0.1:4222", BUS_SPAN_S(1)) == BUS_OK)
        demand(strlen(info.version) < sizeof info.version &&
               info.broker == bus_broker_version(info.version));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int ends[2];
    bus_pipe *pipe;
    met got = {0}, want = {0};
    if (size < 2 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends))
        return 0;
    bus_log_init("fuzz", BUS_LOG_ERROR, BUS_LOG_TEXT);
    demand(bus_pipe_open(&pipe, ends[0], PAYLOAD_MAX) == BUS_OK);
    bus_view bytes = {(const char *)data + 1, size - 1};
    greet(bytes);
    bool sound = expected(&want, bytes);
    play(pipe, ends[1], bytes, data[0] ? data[0] * (size_t)7 : size, &got);
    demand(bus_pipe_down(pipe) == !sound);
    demand(got.count == want.count && got.sum == want.sum);
    bus_pipe_close(pipe);
    for (size_t i = 0; i < HELD_MAX; i++)
        let_go(&got, i);
    close(ends[0]);
    close(ends[1]);
    return 0;
}
