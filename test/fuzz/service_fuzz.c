// What comes to a service, whatever it is: requests to its methods and to none, with any headers, for discovery and
// reflection, and what callers of streams send back; with answers given now, later and item by item, and time passing.
// Who asked for an answer gets one and no more; a stream sends no more than its caller gave credit for, numbered.
#include <inttypes.h>
#include <jansson.h>

#include "bus/nats/service.h"
#include "kinds.pb-c.h"
#include "played_bus.h"

enum { OPS_MAX = 300, ASKED_MAX = 64, OPEN_MAX = 16, FIRST_CREDIT = 16, CREDIT_MAX = 1 << 20 };

typedef enum { UNARY, STREAM } kind;

static struct {
    bus_service *service;
    struct {
        kind kind;
        bool ended;
        uint64_t items, credit; // items: sent; credit: given
    } asked[ASKED_MAX];
    size_t count;
    bus_call *open[OPEN_MAX]; // to be answered
    bool is_stream[OPEN_MAX];
    size_t opened;
} the;

// --- what it sends ----------------------------------------------------------------------------------------------

static const char *header(const char *name)
{
    for (size_t i = 0; i < played.header_count; i++)
        if (strcmp(played.headers[i].name, name) == 0)
            return played.headers[i].value;
    return NULL;
}

static void on_published(const char *subject, const char *reply, bus_view payload)
{
    unsigned number;
    (void)reply;
    if (sscanf(subject, "_INBOX.me.%u", &number) != 1)
        return; // discovery and such
    demand(number < the.count && !the.asked[number].ended);
    const char *item = header("Lane-Stream"), *code = header("Nats-Service-Error-Code");
    for (size_t i = 0; i < played.header_count; i++)
        demand(!strpbrk(played.headers[i].value, "\r\n"));
    demand(!code || header("Nats-Service-Error"));
    if (the.asked[number].kind == STREAM && item && !header("Lane-Stream-End")) {
        demand(strtoull(item, NULL, 10) == ++the.asked[number].items);
        demand(the.asked[number].items <= the.asked[number].credit);
    } else if (the.asked[number].kind == UNARY || header("Lane-Stream-End") || code) {
        the.asked[number].ended = true;
    }
    const char *type = header("Content-Type");
    if (type && strcmp(type, "application/json") == 0 && payload.len) {
        json_t *json = json_loadb(payload.ptr, payload.len, 0, NULL);
        demand(json != NULL);
        json_decref(json);
    }
}

// --- its methods ------------------------------------------------------------------------------------------------

static const Test__Kinds__Number answer = {
    PROTOBUF_C_MESSAGE_INIT(&test__kinds__number__descriptor), 7, (char *)(uintptr_t) "seven"};

static void add(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    (void)ctx;
    demand(request->descriptor == &test__kinds__count__descriptor);
    bus_call_reply(call, &answer.base);
}

static void fail(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    (void)ctx;
    (void)request;
    (void)bus_call_fail(call, BUS_ENOTFOUND, "there is\r\nnone");
}

static void open_call(bus_call *call, bool stream)
{
    if (the.opened == OPEN_MAX) {
        (void)bus_call_fail(call, BUS_ELIMIT, "too many");
        return;
    }
    the.open[the.opened] = call;
    the.is_stream[the.opened++] = stream;
}

static void later(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    (void)ctx;
    (void)request;
    open_call(call, false);
}

static void numbers(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    (void)ctx;
    (void)request;
    open_call(call, true);
}

static void kinds(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    (void)ctx;
    bus_call_reply(call, request);
}

#define METHOD(name, from, to, stream, fn)                                                         \
    {                                                                                              \
        name, &test__kinds__##from##__descriptor, &test__kinds__##to##__descriptor, stream, fn     \
    }
static const bus_method methods[] = {
    METHOD("Add", count, number, false, add),     METHOD("Fail", count, number, false, fail),
    METHOD("Later", count, number, false, later), METHOD("Numbers", count, number, true, numbers),
    METHOD("Kinds", kinds, kinds, false, kinds),  {NULL, NULL, NULL, false, NULL},
};

// --- what comes ---------------------------------------------------------------------------------------------------

static void request(uint8_t how)
{
    static const char *const heads[] = {
        "", "NATS/1.0\r\nContent-Type: application/json\r\n\r\n",
        "NATS/1.0\r\nContent-Type: application/x-protobuf\r\n\r\n",
        "NATS/1.0\r\nContent-Type: APPLICATION/JSON; charset=utf-8\r\n\r\n"};
    char subject[128], reply[32] = "";
    const char *method = how % 6 < 5 ? methods[how % 6].method : "None";
    bool wanted = how & 0x80 && the.count < ASKED_MAX;
    snprintf(subject, sizeof subject, "svc.test.kinds.Counter.%s", method);
    if (wanted) {
        the.asked[the.count].kind = how % 6 == 3 ? STREAM : UNARY;
        the.asked[the.count].credit = FIRST_CREDIT;
        snprintf(reply, sizeof reply, "_INBOX.me.%zu", the.count++);
    }
    deliver_to(sub_of(bus_view_of(subject)), bus_view_of(subject), bus_view_of(reply),
               bus_view_of(heads[how / 6 % 4]), bytes_of(byte()));
    bus_service_poll(the.service);
}

static void discover(void)
{
    static const char *const subjects[] = {"$SRV.PING", "$SRV.INFO.svcd", "$SRV.STATS",
                                           "$SRV.X.svcd", "svc.reflect.svcd"};
    bus_view subject = bus_view_of(subjects[byte() % 5]);
    deliver_to(sub_of(subject), subject, BUS_VIEW("_INBOX.other"), (bus_view){0}, bytes_of(byte()));
}

// What a caller of a stream says back: to a call there is, or to any number.
static void control(uint8_t op)
{
    char subject[128] = "", text[32];
    uint8_t which = byte(), more = byte();
    for (int i = 0; i < PLAYED_SUBS; i++) // "_INBOX.<id>.*"
        if (strncmp(played.subs[i].subject, "_INBOX.", 7) == 0)
            snprintf(subject, sizeof subject, "%.*s%u", (int)strlen(played.subs[i].subject) - 1,
                     played.subs[i].subject, which);
    bus_view words = {text, (size_t)snprintf(text, sizeof text, "credit %u", more)};
    if (op & 0x40)
        words = op & 0x80 ? BUS_VIEW("cancel") : bytes_of(more % 32);
    for (size_t i = 0; i < the.count; i++) // whose it is only the service knows
        the.asked[i].credit += op & 0x40 ? CREDIT_MAX : more;
    deliver_to(sub_of(bus_view_of(subject)), bus_view_of(subject), (bus_view){0}, (bus_view){0},
               words);
}

// A reply, or the end of a stream, or some more of its items.
static void answer_one(uint8_t op)
{
    if (!the.opened)
        return;
    size_t i = byte() % the.opened;
    bus_call *call = the.open[i];
    if (the.is_stream[i] && op & 8) {
        for (int n = op / 16; n >= 0 && bus_call_send(call, &answer.base) == BUS_CALL_SENT; n--)
            ;
        return;
    }
    if (the.is_stream[i])
        bus_call_end(call);
    else
        bus_call_reply(call, &answer.base);
    the.open[i] = the.open[--the.opened];
    the.is_stream[i] = the.is_stream[the.opened];
}

static void step(uint8_t op)
{
    switch (op % 8) {
    case 0:
    case 1:
    case 2:
        request(byte());
        break;
    case 3:
        discover();
        break;
    case 4:
        control(op);
        break;
    case 5:
    case 6:
        answer_one(op);
        break;
    default:
        played.now_ns += (int64_t)(op / 8) * 1000000000;
        break;
    }
    bus_service_poll(the.service);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bus_conn conn;
    if (size < 2 || !play_open(data, size))
        return 0;
    memset(&the, 0, sizeof the);
    play_published = on_published;
    bus_service_spec spec = {.daemon = "svcd",
                             .description = "counts",
                             .service = "test.kinds.Counter",
                             .methods = methods,
                             .descriptors = (const uint8_t *)"x",
                             .descriptors_len = 1};
    demand(bus_service_open(&the.service, &conn, &spec, 1) == BUS_OK);
    for (int i = 0; i < OPS_MAX && input.left; i++)
        step(byte());
    bus_service_close(the.service);
    for (size_t i = 0; i < the.count; i++)
        demand(the.asked[i].ended || the.asked[i].kind == STREAM);
    play_close();
    return 0;
}
