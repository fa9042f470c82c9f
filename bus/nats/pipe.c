#include "bus/nats/pipe.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "bus/base/log.h"

enum {
    BLOCK_BYTES = 256 * 1024,
    BLOCK_MSGS = 2048,
    READ_MIN = 32 * 1024, // less room than this and the next read goes to a fresh block
    OUT_BYTES = 128 * 1024,
    PUSH_AT = 64 * 1024, // gathered bytes that are written without being asked for
    FREE_BLOCKS_MAX = 2,
    PING_MS = 5000,
    PINGS_OUT_MAX = 2,
    WRITE_DEADLINE_MS = 2000,
};

// Blocks outlive the pipe when somebody holds a message of theirs; the pool then goes with the last one.
typedef struct {
    bus_pipe_block *free;
    uint32_t free_count, out; // blocks that are somewhere else
    bool closed;              // the pipe is gone
} block_pool;

//   bytes:  0 …… parsed …… len …… cap
struct bus_pipe_block {
    block_pool *pool;
    bus_pipe_block *next; // in the list of free ones
    uint32_t refs;        // the pipe's, and one for each message
    uint32_t msgs;        // slots used
    size_t len, parsed, cap;
    bus_pipe_msg msg[BLOCK_MSGS];
    uint8_t bytes[];
};

struct bus_pipe {
    int fd;
    bool down;
    size_t max_frame;
    block_pool *pool;
    bus_pipe_block *in; // what is being filled
    uint8_t *out;
    size_t out_len, out_cap;
    uint64_t pings, pongs; // sent, answered
    bus_mono pinged, heard;
    bus_denied *denied; // NULL: nobody wants to know
};

// --- blocks -----------------------------------------------------------------------------------------------

static bus_pipe_block *block_take(block_pool *pool, size_t bytes)
{
    bus_pipe_block *b = pool->free;
    if (b && b->cap >= bytes) {
        pool->free = b->next;
        pool->free_count--;
    } else {
        b = malloc(sizeof *b + bytes);
        if (!b)
            return NULL;
        b->cap = bytes;
    }
    b->pool = pool;
    b->refs = 1;
    b->msgs = 0;
    b->len = b->parsed = 0;
    pool->out++;
    return b;
}

static void pool_unref(block_pool *pool)
{
    if (!pool->closed || pool->out)
        return;
    while (pool->free) {
        bus_pipe_block *b = pool->free;
        pool->free = b->next;
        free(b);
    }
    free(pool);
}

static void block_unref(bus_pipe_block *b)
{
    if (!b || --b->refs)
        return;
    block_pool *pool = b->pool;
    pool->out--;
    if (!pool->closed && b->cap == BLOCK_BYTES && pool->free_count < FREE_BLOCKS_MAX) {
        b->next = pool->free;
        pool->free = b;
        pool->free_count++;
        return;
    }
    free(b);
    pool_unref(pool);
}

void bus_pipe_release(bus_pipe_msg *msg)
{
    block_unref(msg->block);
}

// --- life -------------------------------------------------------------------------------------------------

bus_err bus_pipe_open(bus_pipe **out, int fd, int64_t max_payload)
{
    bus_pipe *p = calloc(1, sizeof *p);
    if (!p)
        return bus_fail(BUS_ENOMEM, "pipe");
    p->fd = fd;
    p->max_frame = (size_t)max_payload + BUS_WIRE_LINE_MAX;
    p->out = malloc(OUT_BYTES);
    p->out_cap = OUT_BYTES;
    p->pool = calloc(1, sizeof *p->pool);
    p->in = p->pool ? block_take(p->pool, BLOCK_BYTES) : NULL;
    p->heard = p->pinged = bus_machine_mono();
    if (!p->out || !p->in) {
        bus_pipe_close(p);
        return bus_fail(BUS_ENOMEM, "buffers of a pipe");
    }
    *out = p;
    return BUS_OK;
}

void bus_pipe_note_denials(bus_pipe *p, bus_denied *denied)
{
    p->denied = denied;
}

void bus_pipe_close(bus_pipe *p)
{
    if (!p)
        return;
    if (p->pool) {
        p->pool->closed = true;
        p->pool->out++; // so that it lives until here
        block_unref(p->in);
        p->pool->out--;
        pool_unref(p->pool);
    }
    free(p->out);
    free(p);
}

bool bus_pipe_down(const bus_pipe *p)
{
    return p->down;
}

static bool fail(bus_pipe *p, const char *what)
{
    if (!p->down)
        bus_debug("pipe to the broker: %s", what);
    p->down = true;
    return false;
}

static int ms_of(bus_span span)
{
    return span.ns <= 0 ? 0 : (int)((span.ns + 999999) / 1000000);
}

// --- writing ----------------------------------------------------------------------------------------------

// Room for `need` bytes behind what is gathered; NULL: the pipe is down.
static uint8_t *room(bus_pipe *p, size_t need)
{
    if (p->down || (p->out_len + need > p->out_cap && !bus_pipe_push(p)))
        return NULL;
    if (need > p->out_cap) {
        uint8_t *wider = realloc(p->out, need);
        if (!wider) {
            fail(p, "no memory for a large message");
            return NULL;
        }
        p->out = wider;
        p->out_cap = need;
    }
    return p->out + p->out_len;
}

static bool gathered(bus_pipe *p, size_t len)
{
    p->out_len += len;
    return p->out_len < PUSH_AT || bus_pipe_push(p);
}

bool bus_pipe_publish(bus_pipe *p, const bus_wire_out *msg)
{
    uint8_t *at = room(p, bus_wire_publish_max(msg));
    return at && gathered(p, bus_wire_publish(at, msg));
}

// The headers are written behind where the frame will stand at the latest, then moved into it.
bool bus_pipe_publish_pairs(bus_pipe *p, const bus_wire_out *msg, const bus_header_pair *headers,
                            size_t count)
{
    bus_wire_out m = *msg;
    m.headers = (bus_view){NULL, bus_wire_headers_len(headers, count)};
    size_t most = bus_wire_publish_max(&m);
    uint8_t *at = room(p, most + m.headers.len);
    if (!at)
        return false;
    bus_wire_headers((char *)at + most, headers, count);
    m.headers.ptr = (const char *)at + most;
    return gathered(p, bus_wire_publish(at, &m));
}

static bool say(bus_pipe *p, const char *line)
{
    size_t len = strlen(line);
    uint8_t *at = room(p, len);
    if (!at)
        return false;
    memcpy(at, line, len);
    return gathered(p, len);
}

bool bus_pipe_subscribe(bus_pipe *p, uint64_t sid, const char *subject, const char *queue_group)
{
    char line[1024];
    int len = snprintf(line, sizeof line, "SUB %s%s%s %llu\r\n", subject, *queue_group ? " " : "",
                       queue_group, (unsigned long long)sid);
    return len < (int)sizeof line ? say(p, line) : fail(p, "a subject that is too long");
}

bool bus_pipe_unsubscribe(bus_pipe *p, uint64_t sid)
{
    char line[64];
    snprintf(line, sizeof line, "UNSUB %llu\r\n", (unsigned long long)sid);
    return say(p, line);
}

bool bus_pipe_push(bus_pipe *p)
{
    size_t at = 0;
    while (at < p->out_len && !p->down) {
        ssize_t n = send(p->fd, p->out + at, p->out_len - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            at += (size_t)n;
        } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            struct pollfd fd = {.fd = p->fd, .events = POLLOUT};
            if (poll(&fd, 1, WRITE_DEADLINE_MS) == 0)
                fail(p, "the broker takes nothing any more");
        } else if (n == 0 || errno != EINTR) {
            fail(p, "writing failed");
        }
    }
    p->out_len = 0;
    return !p->down;
}

// --- reading ----------------------------------------------------------------------------------------------

static bool ping(bus_pipe *p)
{
    p->pings++;
    p->pinged = bus_machine_mono();
    return say(p, "PING\r\n");
}

// The bytes that are not parsed yet move to a block that can hold `need` of them.
static bool fresh_block(bus_pipe *p, size_t need)
{
    bus_pipe_block *old = p->in;
    size_t rest = old->len - old->parsed;
    if (need < rest + READ_MIN)
        need = rest + READ_MIN;
    bus_pipe_block *b = block_take(p->pool, need > BLOCK_BYTES ? need : BLOCK_BYTES);
    if (!b)
        return fail(p, "no memory to read into");
    memcpy(b->bytes, old->bytes + old->parsed, rest);
    b->len = rest;
    p->in = b;
    block_unref(old);
    return true;
}

// A block that nobody has a message of is used again from its start.
static void rewind_block(bus_pipe_block *b)
{
    if (b->refs != 1 || b->parsed < b->len)
        return;
    b->len = b->parsed = 0;
    b->msgs = 0;
}

static void take_message(bus_pipe *p, const bus_wire_frame *f, bus_pipe_fn fn, void *ctx)
{
    bus_pipe_block *b = p->in;
    bus_pipe_msg *m = &b->msg[b->msgs++];
    *m = (bus_pipe_msg){b, f->subject, f->reply, f->headers, f->payload};
    b->refs++;
    fn(ctx, f->sid, m);
}

static void take_control(bus_pipe *p, const bus_wire_frame *f)
{
    switch (f->kind) {
    case BUS_WIRE_PING:
        say(p, "PONG\r\n");
        break;
    case BUS_WIRE_PONG:
        p->pongs++;
        break;
    case BUS_WIRE_ERR:
        if (!p->denied || bus_denied_note(p->denied, f->text))
            bus_warn("broker: %.*s", BUS_VIEW_ARG(f->text)); // it closes when it means it
        break;
    case BUS_WIRE_MSG:
    case BUS_WIRE_OTHER:
        break;
    }
}

// Gives out whole messages; *need: bytes that the frame cut off at the end has at least.
static size_t parse(bus_pipe *p, size_t *need, bus_pipe_fn fn, void *ctx)
{
    size_t count = 0;
    for (;;) {
        bus_pipe_block *b = p->in;
        bus_wire_frame f;
        size_t len = 0;
        bus_view rest = {(const char *)b->bytes + b->parsed, b->len - b->parsed};
        *need = 0;
        if (rest.len == 0)
            return count;
        if (b->msgs == BLOCK_MSGS) {
            if (!fresh_block(p, rest.len))
                return count;
            continue;
        }
        bus_wire_result result = bus_wire_take(&f, rest, &len);
        if (result == BUS_WIRE_BAD || len > p->max_frame) {
            fail(p, "bytes that are not the protocol");
            return count;
        }
        if (result == BUS_WIRE_PART) {
            *need = len;
            return count;
        }
        b->parsed += len;
        if (f.kind == BUS_WIRE_MSG) {
            take_message(p, &f, fn, ctx);
            count++;
        } else {
            take_control(p, &f);
        }
    }
}

// True: something came. Waits up to `timeout` for it.
static bool receive(bus_pipe *p, bus_span timeout)
{
    bus_pipe_block *b = p->in;
    for (;;) {
        ssize_t n = recv(p->fd, b->bytes + b->len, b->cap - b->len, MSG_DONTWAIT);
        if (n > 0) {
            b->len += (size_t)n;
            return true;
        }
        if (n == 0)
            return fail(p, "the broker closed the connection");
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            return fail(p, "reading failed");
        struct pollfd fd = {.fd = p->fd, .events = POLLIN};
        if (timeout.ns <= 0 || poll(&fd, 1, ms_of(timeout)) <= 0)
            return false;
        timeout = (bus_span){0};
    }
}

// The broker is there as long as pings are answered; any byte will do.
static void mind_pings(bus_pipe *p, bool came)
{
    bus_mono now = bus_machine_mono();
    if (came)
        p->heard = now;
    if (bus_mono_since(now, p->pinged).ns < BUS_SPAN_MS(PING_MS).ns)
        return;
    if (p->pings - p->pongs > PINGS_OUT_MAX &&
        bus_mono_since(now, p->heard).ns > BUS_SPAN_MS(PING_MS * PINGS_OUT_MAX).ns)
        fail(p, "pings are not answered");
    else if (ping(p))
        bus_pipe_push(p);
}

size_t bus_pipe_read(bus_pipe *p, bus_span timeout, bus_pipe_fn fn, void *ctx)
{
    size_t need = 0, count = 0;
    if (!bus_pipe_push(p))
        return 0;
    rewind_block(p->in);
    if (p->in->cap - p->in->len < READ_MIN && !fresh_block(p, 0))
        return 0;
    bool came = receive(p, timeout);
    if (came)
        count = parse(p, &need, fn, ctx);
    if (need > p->in->cap - p->in->parsed)
        fresh_block(p, need);
    if (p->out_len)
        bus_pipe_push(p);
    if (!count)
        mind_pings(p, came);
    return count;
}

bool bus_pipe_flush(bus_pipe *p, bus_span timeout, bus_pipe_fn fn, void *ctx)
{
    bus_mono until = bus_mono_add(bus_machine_mono(), timeout);
    if (!ping(p))
        return false;
    for (uint64_t wanted = p->pings; p->pongs < wanted && !p->down;) {
        bus_span left = {bus_mono_since(until, bus_machine_mono()).ns};
        if (left.ns <= 0)
            return false;
        bus_pipe_read(p, left, fn, ctx);
    }
    return !p->down;
}
