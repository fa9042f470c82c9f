// What a lease reads of its record in the bucket, and what becomes of its writes: another one takes the record by the
// rules whenever they let it, somebody writes any bytes there, answers are lost on either way, time passes. With nobody
// but the two, never both may act; and whoever may act has written the record and nobody after it.
#include <inttypes.h>
#include <jansson.h>
#include <semaphore.h>

#include "bus/nats/lease.h"
#include "played_bus.h"

static const int64_t SPAN_NS = INT64_C(15000000000);

enum { VALUE_MAX = 256 };

static struct {
    bus_lease *lease;
    sem_t opened, over;
    bool started, ended;
    // the record
    uint64_t revision; // 0: there is none
    char value[VALUE_MAX];
    size_t len;
    bool ours;
    bool foreign; // somebody wrote who does not keep to the rules
    // the other one: when it saw which revision first, and until when it may act
    uint64_t seen;
    int64_t seen_ns, held_until_ns;
} the;

static void await(sem_t *event)
{
    while (sem_wait(event) != 0) // a signal of the fuzzer's own
        ;
}

// --- the others ---------------------------------------------------------------------------------------------

static void write_record(bus_view value, bool ours)
{
    the.revision += 1;
    the.len = value.len;
    memcpy(the.value, value.ptr, value.len);
    the.ours = ours;
}

static bool names_somebody(void)
{
    json_t *value = json_loadb(the.value, the.len, 0, NULL);
    const char *holder = json_string_value(json_object_get(value, "holder"));
    bool named = holder && *holder;
    json_decref(value);
    return named;
}

// It looks at the record; where it has not changed for a span, or names nobody, it takes it, or renews.
static void other_looks(void)
{
    static const char name[] = "{\"holder\":\"other\",\"by\":\"1\"}";
    bool own = the.held_until_ns && the.seen == the.revision;
    if (!own && the.seen != the.revision) {
        the.seen = the.revision;
        the.seen_ns = played.now_ns;
        the.held_until_ns = 0;
    }
    if (!own && the.revision && names_somebody() && played.now_ns - the.seen_ns < SPAN_NS)
        return;
    write_record(bus_view_of(name), false);
    the.seen = the.revision;
    the.seen_ns = played.now_ns;
    the.held_until_ns = played.now_ns + SPAN_NS / 3 * 2;
}

static void stranger_writes(void)
{
    static const char *const texts[] = {"", "{}", "{\"holder\":\"\"}", "{\"holder\":7,\"by\":{}}"};
    uint8_t which = byte();
    the.foreign = true;
    write_record(which & 1 ? bus_view_of(texts[which >> 1 & 3]) : bytes_of(which), false);
}

// --- the broker -----------------------------------------------------------------------------------------------

static bus_msg *in_words(const char *text)
{
    return message(BUS_VIEW("_INBOX.x"), (bus_view){0}, (bus_view){0}, bus_view_of(text));
}

static bus_msg *the_record(void)
{
    char head[256];
    if (!the.revision)
        return message(BUS_VIEW("_INBOX.x"), (bus_view){0},
                       BUS_VIEW("NATS/1.0 404 Message Not Found\r\n\r\n"), (bus_view){0});
    int len =
        snprintf(head, sizeof head,
                 "NATS/1.0\r\nNats-Stream: KV_leases\r\nNats-Subject: $KV.leases.k\r\n"
                 "Nats-Sequence: %" PRIu64 "\r\nNats-Time-Stamp: 2026-11-21T00:00:00Z\r\n\r\n",
                 the.revision);
    return message(BUS_VIEW("_INBOX.x"), (bus_view){0}, (bus_view){head, (size_t)len},
                   (bus_view){the.value, the.len});
}

static bus_msg *store(bus_view payload)
{
    char text[64];
    uint64_t expected = 0;
    json_t *value = json_loadb(payload.ptr, payload.len, 0, NULL);
    const char *holder = json_string_value(json_object_get(value, "holder"));
    demand(holder && (strcmp(holder, "us") == 0 || (the.ended && !*holder)));
    json_decref(value);
    demand(played.header_count == 1 && payload.len <= VALUE_MAX);
    demand(bus_view_u64(bus_view_of(played.headers[0].value), &expected));
    if (expected != the.revision)
        return in_words("{\"error\":{\"code\":400,\"err_code\":10071,\"description\":\"wrong\"}}");
    write_record(payload, true);
    snprintf(text, sizeof text, "{\"stream\":\"KV_leases\",\"seq\":%" PRIu64 "}", the.revision);
    return in_words(text);
}

static bool on_request(const char *subject, bus_view payload, bus_msg **answer)
{
    if (!the.started)
        await(&the.opened);
    the.started = true;
    uint8_t how = input.left ? byte() : 0;
    bool lost = (how & 7) == 7;
    played.now_ns += (int64_t)(how >> 4) * 500000000; // the way there
    *answer = NULL;
    if (lost && how & 8)
        return true;
    if (strcmp(subject, "$KV.leases.k") == 0)
        *answer = store(payload);
    else if (strcmp(subject, "$JS.API.DIRECT.GET.KV_leases") == 0)
        *answer = the_record();
    else
        *answer = in_words("{\"config\":{\"name\":\"KV_leases\"}}");
    if (how & 8)
        other_looks();
    played.now_ns += (int64_t)(how >> 4) * 500000000; // and back
    if (!lost)
        return true;
    bus_msg_release(*answer);
    *answer = NULL;
    return true;
}

// --- the keeper's thread ----------------------------------------------------------------------------------------

static void look_at(void)
{
    bool held = bus_lease_held(the.lease);
    if (!the.foreign)
        demand(!held || played.now_ns >= the.held_until_ns);
    if (held && !the.foreign)
        demand(the.ours && names_somebody());
}

static void something_happens(void)
{
    uint8_t op = byte();
    switch (op % 8) {
    case 0:
        other_looks();
        break;
    case 1:
        if (byte() % 16 == 0)
            stranger_writes();
        break;
    case 2:
        played.now_ns += (int64_t)(op >> 3) * 500000000;
        break;
    case 3:
        played.down = op & 8;
        break;
    default:
        break;
    }
}

bool __real_bus_gate_wait(bus_gate *gate, bus_mono until);
bool __wrap_bus_gate_wait(bus_gate *gate, bus_mono until);
bool __wrap_bus_gate_wait(bus_gate *gate, bus_mono until)
{
    if (!the.started)
        await(&the.opened);
    the.started = true;
    if (!input.left) {
        the.ended = true;
        sem_post(&the.over);
        return __real_bus_gate_wait(gate, (bus_mono){INT64_MAX / 2}); // until it is closed
    }
    played.now_ns = until.ns > played.now_ns ? until.ns : played.now_ns;
    something_happens();
    look_at();
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bus_conn conn;
    char text[160];
    uint64_t fence;
    if (size < 2 || !play_open(data + 1, size - 1))
        return 0;
    memset(&the, 0, sizeof the);
    sem_init(&the.opened, 0, 0);
    sem_init(&the.over, 0, 0);
    play_answer = on_request;
    demand(bus_lease_open(&the.lease, &conn,
                          &(bus_lease_opts){.bucket = "leases", .key = "k", .holder = "us"}) ==
           BUS_OK);
    sem_post(&the.opened);
    await(&the.over);
    demand(!bus_lease_poll(the.lease, &fence) || fence);
    demand(strlen(bus_lease_holder(the.lease, text, sizeof text)) < 128);
    if (data[0] & 1)
        bus_lease_abandon(the.lease);
    else
        bus_lease_close(the.lease);
    sem_destroy(&the.opened);
    sem_destroy(&the.over);
    play_close();
    return 0;
}
