// A pipe against the other end of a socket pair: blocks, pings, cuts. Source: schemas/specs/recording.md, "Frames".
#include "bus/nats/conn_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test/support/test.h"

TestSuite(pipe, .timeout = 60);

enum { HELD_MAX = 8192 };

typedef struct {
    int fd[2]; // ours, the broker's
    bus_pipe *pipe;
    bus_pipe_msg *held[HELD_MAX];
    uint32_t count;
} world;

static void given_a_pipe(world *w)
{
    *w = (world){.count = 0};
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, w->fd), 0);
    test_ok(bus_pipe_open(&w->pipe, w->fd[0], 1 << 20));
}

static void end(world *w)
{
    bus_pipe_close(w->pipe);
    for (uint32_t i = 0; i < w->count; i++)
        bus_pipe_release(w->held[i]);
    close(w->fd[0]);
    close(w->fd[1]);
}

static void hold(void *ctx, uint64_t sid, bus_pipe_msg *msg)
{
    world *w = ctx;
    cr_assert(sid == 5 && w->count < HELD_MAX);
    w->held[w->count++] = msg;
}

static void broker_says(world *w, const char *bytes, size_t len)
{
    cr_assert_eq(write(w->fd[1], bytes, len), (ssize_t)len);
}

static size_t broker_hears(world *w, char *buf, size_t cap)
{
    ssize_t n = read(w->fd[1], buf, cap - 1);
    buf[n > 0 ? n : 0] = 0;
    return n > 0 ? (size_t)n : 0;
}

// "MSG s.<n> 5 <len>": its payload tells its number all over.
static int frame(char *buf, size_t cap, uint32_t n, int len)
{
    int head = snprintf(buf, cap, "MSG s.%u 5 %d\r\n", n, len);
    memset(buf + head, 'a' + (int)(n % 26), (size_t)len);
    memcpy(buf + head + len, "\r\n", 2);
    return head + len + 2;
}

static void expect(const world *w, uint32_t n, size_t len)
{
    char subject[32];
    snprintf(subject, sizeof subject, "s.%u", n);
    cr_assert(bus_view_is(w->held[n]->subject, subject));
    cr_assert_eq(w->held[n]->payload.len, len);
    for (size_t i = 0; i < len; i++)
        cr_assert_eq(w->held[n]->payload.ptr[i], 'a' + (int)(n % 26));
}

Test(pipe, messages_cut_anywhere_arrive_whole_and_stay_as_long_as_they_are_held)
{
    world w;
    given_a_pipe(&w);
    enum { MESSAGES = 6000, LEN = 180 }; // several blocks, by bytes and by number of messages
    char buf[512];
    for (uint32_t n = 0; n < MESSAGES; n++) {
        int len = frame(buf, sizeof buf, n, n % 3 ? LEN : 1), cut = (int)(n * 7 % (uint32_t)len);
        broker_says(&w, buf, (size_t)cut);
        bus_pipe_read(w.pipe, (bus_span){0}, hold, &w);
        cr_assert_eq(w.count, n);
        broker_says(&w, buf + cut, (size_t)(len - cut));
        cr_assert_eq(bus_pipe_read(w.pipe, (bus_span){0}, hold, &w), 1);
    }
    bus_pipe_close(w.pipe); // the messages outlive it
    w.pipe = NULL;
    for (uint32_t n = 0; n < MESSAGES; n++)
        expect(&w, n, n % 3 ? LEN : 1);
    end(&w);
}

Test(pipe, a_message_larger_than_a_block_arrives)
{
    world w;
    given_a_pipe(&w);
    enum { LEN = 1 << 20 };
    char *buf = malloc(LEN + 64);
    int len = frame(buf, LEN + 64, 0, LEN), at = 0;
    while (w.count == 0) {
        ssize_t n = at < len ? write(w.fd[1], buf + at, (size_t)(len - at)) : 0;
        at += n > 0 ? (int)n : 0;
        bus_pipe_read(w.pipe, (bus_span){0}, hold, &w);
    }
    expect(&w, 0, LEN);
    free(buf);
    end(&w);
}

Test(pipe, one_that_is_larger_than_the_broker_allows_ends_it)
{
    world w;
    given_a_pipe(&w);
    broker_says(&w, "MSG a 5 2000000\r\n", 17);
    cr_assert_eq(bus_pipe_read(w.pipe, (bus_span){0}, hold, &w), 0);
    cr_assert(bus_pipe_down(w.pipe));
    end(&w);
}

Test(pipe, what_is_published_waits_for_the_push_and_pings_are_answered)
{
    world w;
    char heard[256];
    given_a_pipe(&w);
    const bus_header_pair pair = {"K", "v"};
    cr_assert(bus_pipe_publish(w.pipe, &(bus_wire_out){BUS_VIEW("a"), {0}, {0}, BUS_VIEW("x")}));
    cr_assert(bus_pipe_publish_pairs(
        w.pipe, &(bus_wire_out){BUS_VIEW("b"), BUS_VIEW("r"), {0}, {0}}, &pair, 1));
    cr_assert_eq(broker_hears(&w, heard, sizeof heard), 0);
    cr_assert(bus_pipe_push(w.pipe));
    broker_hears(&w, heard, sizeof heard);
    cr_assert_str_eq(heard, "PUB a 1\r\nx\r\nHPUB b r 18 18\r\nNATS/1.0\r\nK: v\r\n\r\n\r\n");
    broker_says(&w, "PING\r\n", 6);
    bus_pipe_read(w.pipe, (bus_span){0}, hold, &w);
    broker_hears(&w, heard, sizeof heard);
    cr_assert_str_eq(heard, "PONG\r\n");
    broker_says(&w, "PONG\r\n", 6); // to the flush that comes
    cr_assert(bus_pipe_flush(w.pipe, BUS_SPAN_MS(1000), hold, &w));
    cr_assert(!bus_pipe_flush(w.pipe, BUS_SPAN_MS(20), hold, &w)); // nobody answers
    end(&w);
}

Test(pipe, the_end_of_the_other_side_and_nonsense_put_it_down_for_good)
{
    world w;
    given_a_pipe(&w);
    shutdown(w.fd[1], SHUT_RDWR);
    bus_pipe_read(w.pipe, (bus_span){0}, hold, &w);
    cr_assert(bus_pipe_down(w.pipe));
    cr_assert(!bus_pipe_publish(w.pipe, &(bus_wire_out){BUS_VIEW("a"), {0}, {0}, {0}}));
    end(&w);
    given_a_pipe(&w);
    broker_says(&w, "what?\r\n", 7);
    bus_pipe_read(w.pipe, (bus_span){0}, hold, &w);
    cr_assert(bus_pipe_down(w.pipe));
    end(&w);
}

Test(pipe, a_broker_that_takes_nothing_is_waited_for_two_seconds_and_no_longer)
{
    world w;
    given_a_pipe(&w);
    static char payload[60000];
    bus_wire_out out = {BUS_VIEW("a"), {0}, {0}, {payload, sizeof payload}};
    bus_mono begin = bus_machine_mono();
    while (bus_pipe_publish(w.pipe, &out))
        ;
    int64_t took_ms = bus_mono_since(bus_machine_mono(), begin).ns / 1000000;
    cr_assert(bus_pipe_down(w.pipe) && took_ms >= 1900, "%lld", (long long)took_ms);
    end(&w);
}

// The broker hands on whatever a sender put there.
Test(pipe, headers_that_are_none_are_as_if_there_were_none)
{
    static const char bytes[] = "HMSG a 5 6 8\r\nab\r\n\r\nhi\r\n";
    world w;
    bus_view value;
    given_a_pipe(&w);
    broker_says(&w, bytes, sizeof bytes - 1);
    cr_assert_eq(bus_pipe_read(w.pipe, (bus_span){0}, hold, &w), 1);
    const bus_msg *msg = bus_msg_of_pipe(w.held[0]);
    cr_expect(bus_view_is(bus_msg_payload(msg), "hi"));
    cr_expect_not(bus_msg_header(msg, "Status", &value));
    cr_expect_not(bus_msg_header(msg, "Description", &value));
    end(&w);
}
