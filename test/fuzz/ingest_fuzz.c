// What a broker answers to a publisher, whatever it says: acknowledgements of batches and of single messages, refusals,
// headers, descriptions of the stream, in any order, to subjects that were asked on and to others, with connections
// lost between. The publisher and its two paths are the real ones; its way out, and the tail of the stream, are played
// here. Each message ends once, in order; it counts as recorded only when it was sent and an answer that is no refusal
// names it, or the tail holds it.
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bus/base/log.h"
#include "bus/nats/publisher_impl.h"
#include "input.h"

#define INBOX "_INBOX.0123456789abcdef."
enum { MSGS_MAX = 1024, REPLIES_MAX = 512, ANSWERS_MAX = 64, PAYLOAD_MAX = 512, OPS_MAX = 400 };

typedef struct {
    char tail[BUS_OUTLET_REPLY]; // what the answer's subject ends with
    uint64_t first, place;       // of a batch; first 0: another question, or a message by itself
    uint64_t number;             // the message that was sent with it; 0: none
} question;

static struct {
    bus_publisher *pub;
    bus_link link;
    bool fresh; // the link is another one than before
    bus_pipe *pipe;
    int peer;
    bus_pipe_msg *in[ANSWERS_MAX];
    size_t in_at, in_len;
    question asked[REPLIES_MAX];
    size_t asked_count;
    bool sent[MSGS_MAX + 1], recorded[MSGS_MAX + 1], refusable[MSGS_MAX + 1];
    uint64_t taken, ended; // messages the publisher took; of those it told the end
} the;

// --- the way out --------------------------------------------------------------------------------------------

bus_err bus_outlet_open(bus_outlet *o, const bus_conn_opts *opts, uint32_t pending_max,
                        bus_wake wake)
{
    (void)opts;
    (void)pending_max;
    (void)wake;
    *o = (bus_outlet){.inbox = INBOX, .inbox_len = sizeof INBOX - 1};
    return BUS_OK;
}

void bus_outlet_close(bus_outlet *o)
{
    (void)o;
}

bool bus_outlet_follow(bus_outlet *o)
{
    bool fresh = the.fresh;
    the.fresh = false;
    o->link = &the.link;
    return fresh;
}

bool bus_outlet_up(const bus_outlet *o)
{
    return o->link && !the.fresh;
}

void bus_outlet_drop(bus_outlet *o)
{
    (void)o;
    the.fresh = true;
}

void bus_outlet_push(bus_outlet *o)
{
    (void)o;
}

void bus_outlet_sleep(bus_outlet *o)
{
    (void)o;
}

void bus_outlet_wait(bus_outlet *o, bus_span timeout)
{
    (void)o;
    (void)timeout;
}

static question *note(bus_view tail)
{
    question *q = &the.asked[the.asked_count++ % REPLIES_MAX];
    *q = (question){0};
    demand(bus_view_copy(tail, q->tail, sizeof q->tail));
    unsigned long flow, place;
    char random[16];
    uint64_t after;
    if (sscanf(q->tail, "%8[0-9a-f]-%" SCNx64 "-%" SCNx64 ".%lu.fail.%lu.", random, &q->first,
               &after, &flow, &place) == 5)
        q->place = place;
    return q;
}

bool bus_outlet_ask(bus_outlet *o, const char *subject, bus_view tail, bus_view payload)
{
    json_error_t bad;
    json_t *body = payload.len ? json_loadb(payload.ptr, payload.len, 0, &bad) : NULL;
    demand(bus_outlet_up(o) && *subject && (payload.len == 0 || body));
    json_decref(body);
    note(tail);
    return byte() != 0xff;
}

bool bus_outlet_send(bus_outlet *o, const bus_frame *frame, bool with_id, bus_view more,
                     bus_view tail)
{
    demand(bus_outlet_up(o));
    demand((int64_t)(frame->payload.len + bus_frame_block_len(frame, with_id, more)) <=
           the.link.max_payload);
    question *q = note(tail);
    demand(frame->payload.len >= sizeof q->number);
    memcpy(&q->number, frame->payload.ptr, sizeof q->number);
    demand(q->number > the.ended && q->number <= the.taken); // nothing that ended is sent again
    demand(q->first == 0 || q->number == q->first + q->place - 1);
    the.sent[q->number] = true;
    return true;
}

uint64_t bus_outlet_denials(bus_outlet *o)
{
    (void)o;
    return 0; // there are no users here
}

bus_err bus_outlet_denied(bus_outlet *o, const char *subject, uint64_t since)
{
    (void)o;
    (void)subject;
    (void)since;
    return BUS_OK;
}

// --- the tail of the stream ---------------------------------------------------------------------------------

struct bus_tail {
    uint64_t last;
};

bus_err bus_tail_open(bus_tail **out, bus_conn *conn, const bus_window *window,
                      const bus_tail_opts *opts)
{
    (void)conn;
    (void)window;
    if (byte() == 0xff)
        return bus_fail(BUS_ENOMEM, "the tail");
    *out = calloc(1, sizeof **out);
    demand(*out != NULL);
    (*out)->last = opts->after_seq;
    return BUS_OK;
}

// It holds a first part of what was tried.
bool bus_tail_poll(bus_tail *tail, bus_window *window)
{
    uint8_t held = byte();
    for (uint64_t n = window->head; n < window->tail && held; n++) {
        const bus_slot *slot = bus_window_slot(window, n);
        if (slot->state != BUS_SLOT_QUEUED || !slot->tries)
            continue;
        demand(the.sent[n]);
        the.recorded[n] = true;
        bus_window_stored(window, n, ++tail->last, true);
        held--;
    }
    return byte() & 1;
}

uint64_t bus_tail_last(const bus_tail *tail)
{
    return tail->last;
}

void bus_tail_close(bus_tail *tail)
{
    free(tail);
}

// --- what an answer says, read once more ----------------------------------------------------------------------

// What was asked last with this subject; NULL: nothing.
static const question *question_of(bus_view tail)
{
    size_t known = the.asked_count < REPLIES_MAX ? the.asked_count : REPLIES_MAX;
    for (size_t i = 1; i <= known; i++) {
        const question *q = &the.asked[(the.asked_count - i) % REPLIES_MAX];
        if (bus_view_is(tail, q->tail))
            return q;
    }
    return NULL;
}

static void record(uint64_t first, uint64_t upto)
{
    uint64_t sent = 0; // of this batch
    for (size_t i = 0; i < the.asked_count && i < REPLIES_MAX; i++)
        if (the.asked[i].first == first && the.asked[i].number && the.asked[i].place > sent)
            sent = the.asked[i].place;
    for (uint64_t n = first; upto <= sent && n < first + upto; n++)
        the.recorded[n] = true;
}

static uint64_t whole(const json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value > 0 ? (uint64_t)value : 0;
}

static void read_answer(const question *q, bus_view payload)
{
    enum { TOO_LARGE = 10054, HEADER_TOO_LARGE = 10097 };
    json_error_t bad;
    json_t *answer = payload.len ? json_loadb(payload.ptr, payload.len, 0, &bad) : NULL;
    const json_t *error = json_object_get(answer, "error");
    const char *type = json_string_value(json_object_get(answer, "type"));
    uint64_t seq = whole(answer, "seq"), code = whole(error, "err_code");
    uint64_t place = type && error ? seq : q->place,
             number = q->first ? q->first + place - 1 : q->number;
    if (json_is_object(error)) {
        if ((code == TOO_LARGE || code == HEADER_TOO_LARGE) && number <= MSGS_MAX)
            the.refusable[number] = true;
    } else if (q->first && type && strcmp(type, "ack") == 0) {
        record(q->first, seq);
    } else if (q->first && json_is_integer(json_object_get(answer, "count"))) {
        record(q->first, whole(answer, "count"));
    } else if (!q->first && q->number && json_is_integer(json_object_get(answer, "seq"))) {
        the.recorded[q->number] = true;
    }
    json_decref(answer);
}

// Read when the publisher takes it: what it may count was sent by then.
bus_msg *bus_outlet_next(bus_outlet *o, bus_view *tail)
{
    while (the.in_at < the.in_len) {
        bus_msg *msg = bus_msg_of_pipe(the.in[the.in_at++]);
        bus_view subject = bus_msg_subject(msg);
        if (subject.len > o->inbox_len) {
            *tail = (bus_view){subject.ptr + o->inbox_len, subject.len - o->inbox_len};
            const question *q = question_of(*tail);
            if (q)
                read_answer(q, bus_msg_payload(msg));
            return msg;
        }
        bus_msg_release(msg);
    }
    return NULL;
}

static void on_ack(void *ctx, const bus_ack *ack)
{
    (void)ctx;
    demand(ack->tag == the.ended + 1 && ack->tag <= the.taken);
    the.ended = ack->tag;
    if (ack->err) {
        demand(the.refusable[ack->tag] && *ack->text && ack->payload.len >= 8);
        demand(memcmp(ack->payload.ptr, &ack->tag, sizeof ack->tag) == 0);
    } else {
        demand(the.sent[ack->tag] && the.recorded[ack->tag]);
    }
}

// --- what happens ---------------------------------------------------------------------------------------------

static void on_message(void *ctx, uint64_t sid, bus_pipe_msg *msg)
{
    (void)ctx;
    (void)sid;
    if (the.in_len < ANSWERS_MAX)
        the.in[the.in_len++] = msg;
    else
        bus_pipe_release(msg);
}

// As the broker sends it: the bytes go through the real pipe.
static void deliver(const char *tail, bus_view headers, bus_view payload)
{
    char frame[4096];
    int len = headers.len
                  ? snprintf(frame, sizeof frame, "HMSG " INBOX "%s 1 %zu %zu\r\n", tail,
                             headers.len, headers.len + payload.len)
                  : snprintf(frame, sizeof frame, "MSG " INBOX "%s 1 %zu\r\n", tail, payload.len);
    if (the.in_len == ANSWERS_MAX || (size_t)len + headers.len + payload.len + 2 > sizeof frame)
        return;
    if (headers.len)
        memcpy(frame + len, headers.ptr, headers.len);
    len += (int)headers.len;
    if (payload.len)
        memcpy(frame + len, payload.ptr, payload.len);
    len += (int)payload.len;
    memcpy(frame + len, "\r\n", 2);
    demand(send(the.peer, frame, (size_t)len + 2, MSG_NOSIGNAL) == len + 2);
    size_t before = the.in_len;
    bus_pipe_read(the.pipe, (bus_span){0}, on_message, NULL);
    demand(the.in_len == before + 1);
}

static void take_messages(uint8_t count)
{
    static const char *const subjects[] = {"act.exchange.x.trade.tape.s", "act.exchange.x.e.f.g"};
    for (int i = 0; i <= count % 64 && the.taken < MSGS_MAX; i++) {
        uint8_t payload[PAYLOAD_MAX] = {0};
        uint64_t number = the.taken + 1;
        size_t len = number % 61 == 0 ? sizeof payload : 8 + number % 5;
        memcpy(payload, &number, sizeof number);
        // Before: it may go out, and even end, in this call.
        the.refusable[number] = len == sizeof payload && the.link.max_payload < PAYLOAD_MAX;
        the.taken = number;
        bus_publish_result result =
            bus_publisher_send(the.pub, subjects[number & 1], number & 2 ? "an id" : NULL, NULL, 0,
                               (bus_view){(const char *)payload, len}, number);
        demand(result != BUS_PUBLISH_ERROR || len == sizeof payload);
        the.taken -= result != BUS_PUBLISH_SENT;
        if (result != BUS_PUBLISH_SENT)
            return;
    }
}

static const question *chosen(void)
{
    static const question none = {.tail = "0"};
    size_t known = the.asked_count < REPLIES_MAX ? the.asked_count : REPLIES_MAX, back = byte();
    return known ? &the.asked[(the.asked_count - 1 - back % known) % REPLIES_MAX] : &none;
}

// A usual answer to something that was asked, with numbers near to the right ones.
static void answer_usual(uint8_t kind)
{
    static const int codes[] = {10071, 10164, 10054, 10097, 10205, 10208, 10037, 10077};
    const question *q = chosen();
    char text[256];
    int near = byte() % 8 - 3;
    int64_t place = (int64_t)q->place + near;
    int code = codes[byte() % (sizeof codes / sizeof *codes)];
    switch (kind) {
    case 0:
        snprintf(text, sizeof text, "{\"type\":\"ack\",\"seq\":%" PRId64 ",\"msgs\":%d}", place,
                 near + 3);
        break;
    case 1:
        snprintf(text, sizeof text,
                 "{\"stream\":\"ACT\",\"seq\":%d,\"batch\":\"b\",\"count\":%" PRId64 "}", byte(),
                 place);
        break;
    case 2:
        snprintf(text, sizeof text,
                 "{\"type\":\"err\",\"seq\":%" PRId64 ",\"error\":{\"code\":400,\"err_code\":%d}}",
                 place, code);
        break;
    case 3:
        snprintf(text, sizeof text,
                 "{\"error\":{\"code\":400,\"err_code\":%d,\"description\":\"no\"},"
                 "\"stream\":\"ACT\",\"seq\":0}",
                 code);
        break;
    case 4:
        snprintf(text, sizeof text, "{\"stream\":\"ACT\", \"seq\":%d%s}", near + 4,
                 code & 1 ? ", \"duplicate\": true" : "");
        break;
    case 5:
        snprintf(text, sizeof text, "{\"config\":{\"allow_batched\":%s}}",
                 near & 1 ? "true" : "false");
        break;
    default:
        snprintf(text, sizeof text, "{\"message\":{\"seq\":%d}}", byte());
        break;
    }
    bus_view payload = bus_view_of(text);
    deliver(q->tail, (bus_view){0}, payload);
}

static void answer_any(void)
{
    const question *q = chosen();
    uint8_t how = byte();
    bus_view headers = {0}, payload = bytes_of(byte());
    if (how % 4 == 1) {
        headers = BUS_VIEW("NATS/1.0 503\r\n\r\n");
        payload.len = 0;
    } else if (how % 4 == 2) {
        headers = bytes_of(byte());
    }
    deliver(q->tail, headers, payload);
}

// To a subject that nobody asked on, below our inbox: it ends nothing.
static void answer_stray(void)
{
    char tail[96];
    bus_view bytes = bytes_of(byte() % sizeof tail), payload = bytes_of(byte());
    size_t len = 0;
    for (size_t i = 0; i < bytes.len; i++)
        if (bytes.ptr[i] > ' ' && bytes.ptr[i] < 127)
            tail[len++] = bytes.ptr[i];
    tail[len] = '\0';
    deliver(tail, (bus_view){0}, payload);
}

static void earlier(bus_mono *at, int64_t ns)
{
    at->ns -= at->ns ? ns : 0;
}

static void pass(int64_t ns)
{
    bus_publisher *p = the.pub;
    earlier(&p->asked, ns);
    earlier(&p->ask_at, ns);
    earlier(&p->batch.pause_until, ns);
    earlier(&p->batch.last_sent, ns);
    earlier(&p->batch.asked, ns);
    earlier(&p->window.pause_until, ns);
    for (uint64_t n = p->window.head; n < p->window.tail; n++) {
        bus_slot *slot = bus_window_slot(&p->window, n);
        earlier(&slot->sent, ns);
        earlier(&slot->first, ns);
    }
}

static void look(void)
{
    const bus_window *w = &the.pub->window;
    const bus_batch *b = &the.pub->batch;
    uint32_t sent = 0;
    for (uint64_t n = w->head; n < w->tail; n++)
        sent += bus_window_slot(w, n)->state == BUS_SLOT_SENT;
    demand(sent == w->sent_count && w->head <= w->next && w->next <= w->tail);
    demand(w->head == the.ended + 1 && w->tail == the.taken + 1);
    demand(b->acked <= b->sent && b->sent <= BUS_BATCH_MAX);
}

static void poll(void)
{
    bus_publisher_poll(the.pub);
    if (the.in_at == the.in_len)
        the.in_at = the.in_len = 0;
    look();
}

static void step(uint8_t op)
{
    switch (op % 16) {
    case 0:
    case 1:
        take_messages(byte());
        break;
    case 2:
    case 3:
        poll();
        break;
    case 4:
        answer_any();
        break;
    case 5:
        answer_stray();
        break;
    case 6:
        the.fresh = true;
        break;
    case 7:
        pass((int64_t)byte() * byte() * 1000000);
        break;
    case 8:
        the.link.max_payload = byte() & 1 ? 4096 : PAYLOAD_MAX - 1;
        for (uint64_t n = the.ended + 1; n <= the.taken; n++)
            the.refusable[n] |= n % 61 == 0 && the.link.max_payload < PAYLOAD_MAX;
        break;
    default:
        answer_usual((uint8_t)(op % 16 - 9));
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int ends[2];
    memset(&the, 0, sizeof the);
    if (size < 2 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends))
        return 0;
    bus_log_init("fuzz", BUS_LOG_ERROR, BUS_LOG_TEXT);
    the.peer = ends[1];
    input.bytes = data + 1;
    input.left = size - 1;
    the.link = (bus_link){.fd = -1, .broker = data[0] & 1 ? 2015000 : 2012000, .max_payload = 4096};
    the.fresh = true;
    demand(bus_pipe_open(&the.pipe, ends[0], 4096) == BUS_OK);
    bus_publisher_opts opts = {
        .window_msgs_max = data[0] & 2 ? 1024 : 64, .window_bytes_max = 64 << 10, .on_ack = on_ack};
    if (!(data[0] & 4)) {
        opts.owned = "act.exchange.x.>";
        opts.owned_stream = "ACT";
    }
    demand(bus_publisher_open(&the.pub, &opts) == BUS_OK);
    for (int i = 0; i < OPS_MAX && input.left; i++)
        step(byte());
    poll();
    bus_publisher_close(the.pub);
    while (the.in_at < the.in_len)
        bus_pipe_release(the.in[the.in_at++]);
    bus_pipe_close(the.pipe);
    close(ends[0]);
    close(ends[1]);
    return 0;
}
