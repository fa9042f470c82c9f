// Any bytes as what is delivered to a reader of a stream, a watch of a bucket, a call that is answered by a stream (first
// byte): records at any place of any consumer, statuses, heartbeats, answers, with connections lost and time passing
// between. A reader hands out what was delivered, in order, and names what is missing before it goes on.
#include <inttypes.h>

#include "bus/nats/kv.h"
#include "bus/nats/reader.h"
#include "bus/nats/service.h"
#include "kinds.pb-c.h"
#include "played_bus.h"

enum { OPS_MAX = 400, READER = 0, WATCH = 1, CALL = 2 };

static bus_conn conn;

static struct {
    uint8_t what;
    bus_reader *reader;
    bool filtered;
    uint64_t next; // sequence that comes next, as the records and gaps handed out say; 0: any
    uint64_t delivered, consumer_seq; // highest; last
    uint64_t taken;                   // the consumer's count at the last record handed out
    char taken_from[64];
    bus_kv_watch *watch;
    bus_stream_call *call;
    uint64_t items;
    char consumer[64];
} the;

// --- the broker -------------------------------------------------------------------------------------------

// "$JS.API.CONSUMER.CREATE.<stream>.<consumer>" was published or asked for.
static void learn_consumer(void)
{
    static const char create[] = "$JS.API.CONSUMER.CREATE.", pull[] = "$JS.API.CONSUMER.MSG.NEXT.";
    const char *last = strrchr(played.subject, '.');
    if (strncmp(played.subject, create, sizeof create - 1) != 0 &&
        strncmp(played.subject, pull, sizeof pull - 1) != 0)
        return;
    if (strcmp(the.consumer, last + 1) == 0)
        return;
    snprintf(the.consumer, sizeof the.consumer, "%s", last + 1);
    the.consumer_seq = 0;
}

static const char *to_whom(void)
{
    return the.what == READER && *played.reply ? played.reply : "_INBOX.x";
}

static void deliver_record(void)
{
    char reply[160];
    uint64_t seq = the.delivered + byte() % 4, consumer_seq = the.consumer_seq + byte() % 3;
    uint8_t how = byte();
    bus_view payload = bytes_of(byte() % 64);
    if (how & 0x80)
        seq = UINT64_MAX - byte();
    if (how & 0x40)
        consumer_seq = byte();
    learn_consumer();
    snprintf(reply, sizeof reply, "$JS.ACK.ACT.%s.1.%" PRIu64 ".%" PRIu64 ".1700000000000000000.%u",
             how & 0x20 ? "another" : the.consumer, seq, consumer_seq, how & 3);
    the.delivered = how & 0x80 ? the.delivered : seq;
    the.consumer_seq = consumer_seq;
    deliver(how & 0x10 ? BUS_VIEW("hyp.x") : BUS_VIEW("$KV.workers.a.b"), bus_view_of(reply),
            (bus_view){0}, payload);
}

static void deliver_status(void)
{
    static const char *const heads[] = {
        "NATS/1.0 408 Request Timeout\r\n\r\n",
        "NATS/1.0 409 Message Size Exceeds MaxBytes\r\n\r\n",
        "NATS/1.0 409 Consumer Deleted\r\n\r\n",
        "NATS/1.0 503\r\n\r\n",
        "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 3\r\n\r\n",
        "NATS/1.0 100 FlowControl Request\r\nNats-Consumer-Stalled: $JS.FC.x\r\n\r\n",
        "NATS/1.0 404 No Messages\r\n\r\n",
    };
    uint8_t which = byte() % 8;
    bus_view reply = byte() & 1 ? BUS_VIEW("$JS.FC.ACT.y") : (bus_view){0};
    deliver(bus_view_of(to_whom()), reply, which < 7 ? bus_view_of(heads[which]) : bytes_of(byte()),
            (bus_view){0});
}

static void deliver_answer(void)
{
    static const char *const texts[] = {
        "{\"created\":\"2026-11-21T00:00:00Z\",\"config\":{},\"state\":{\"last_seq\":9}}",
        "{\"created\":\"2026-11-22T00:00:00Z\",\"state\":{}}",
        "{\"name\":\"c\",\"num_pending\":5}",
        "{\"name\":\"c\",\"num_pending\":0}",
        "{\"error\":{\"code\":404,\"err_code\":10059,\"description\":\"stream not found\"}}",
        "{\"error\":{\"code\":503,\"err_code\":10008}}",
    };
    uint8_t which = byte() % 7;
    bus_view payload = which < 6 ? bus_view_of(texts[which]) : bytes_of(byte());
    deliver(bus_view_of(to_whom()), (bus_view){0}, (bus_view){0}, payload);
}

// An item of a stream of answers, or its end.
static void deliver_item(void)
{
    char headers[256];
    uint8_t how = byte();
    int len = snprintf(headers, sizeof headers, "NATS/1.0\r\nLane-Stream%s: %" PRIu64 "\r\n",
                       how & 1 ? "-Alive" : "", the.items + byte() % 3);
    if (how & 2)
        len += snprintf(headers + len, sizeof headers - (size_t)len, "Lane-Stream-End: %d\r\n",
                        how >> 5);
    if (how & 4)
        len += snprintf(headers + len, sizeof headers - (size_t)len,
                        "Lane-Stream-Control: _INBOX.control\r\n");
    if (how & 8)
        len += snprintf(headers + len, sizeof headers - (size_t)len,
                        "Nats-Service-Error-Code: %d\r\nNats-Service-Error: no\r\n", how >> 4);
    memcpy(headers + len, "\r\n", 3);
    deliver(BUS_VIEW("_INBOX.x"), (bus_view){0}, bus_view_of(headers), bytes_of(byte() % 32));
}

static void deliver_any(void)
{
    bus_view subject = bytes_of(byte() % 64), reply = bytes_of(byte() % 96);
    bus_view headers = bytes_of(byte());
    deliver(subject, reply, headers, bytes_of(byte()));
}

// --- those who read ---------------------------------------------------------------------------------------

// No delivery of a consumer is left out: only so does a hole in the sequences mean that nothing is there.
static void follow(const bus_record *record)
{
    char reply[160], consumer[64];
    uint64_t seq, count;
    if (!bus_view_copy(bus_msg_reply(record->msg), reply, sizeof reply) ||
        sscanf(reply, "$JS.ACK.ACT.%63[^.].1.%" SCNu64 ".%" SCNu64 ".", consumer, &seq, &count) !=
            3)
        return;
    demand(seq == record->seq);
    demand(count == (strcmp(consumer, the.taken_from) == 0 ? the.taken + 1 : 1));
    the.taken = count;
    memcpy(the.taken_from, consumer, sizeof consumer);
}

static void read_stream(void)
{
    bus_record record;
    bus_seq_range gap;
    switch (bus_reader_next(the.reader, (bus_span){byte() & 1 ? 1000000 : 0}, &record, &gap)) {
    case BUS_READER_RECORD:
        demand(the.filtered ? record.seq >= the.next : the.next == 0 || record.seq == the.next);
        demand(record.seq < UINT64_MAX && bus_reader_seq(the.reader) == record.seq);
        the.next = record.seq + 1;
        follow(&record);
        break;
    case BUS_READER_GAP:
        demand(!the.filtered && gap.first == the.next && gap.last >= gap.first);
        the.next = gap.last + 1;
        break;
    case BUS_READER_ERROR:
        demand(*bus_err_text());
        break;
    default:
        break;
    }
}

static void read_watch(void)
{
    bus_kv_entry entry = {0};
    if (bus_kv_watch_next(the.watch, (bus_span){0}, &entry) != BUS_KV_ENTRY)
        return;
    demand(strlen(entry.key.ptr) <= entry.key.len && entry.owner);
    bus_kv_entry_release(&entry);
}

static void read_call(void)
{
    ProtobufCMessage *item = NULL;
    bool ended = false;
    bus_err err = bus_stream_call_next(the.call, (bus_span){0}, &item, &ended);
    demand(!item || !err);
    the.items += item != NULL;
    if (item)
        protobuf_c_message_free_unpacked(item, NULL);
}

static void turn(void)
{
    if (the.what == READER)
        read_stream();
    else if (the.what == WATCH)
        read_watch();
    else
        read_call();
    learn_consumer();
}

static void step(uint8_t op)
{
    switch (op % 10) {
    case 0:
    case 1:
        turn();
        break;
    case 2:
        deliver_record();
        break;
    case 3:
        deliver_status();
        break;
    case 4:
        deliver_answer();
        break;
    case 5:
        deliver_item();
        break;
    case 6:
        deliver_any();
        break;
    case 7:
        played.now_ns += (int64_t)byte() * 200000000;
        break;
    case 8:
        played.epoch++;
        break;
    default:
        played.down = byte() & 1;
        break;
    }
}

static bool open_what(uint8_t first)
{
    static const char *const filters[] = {"hyp.>"};
    Test__Kinds__Kinds request;
    test__kinds__kinds__init(&request);
    the.what = first % 3;
    the.filtered = first & 0x40;
    the.next = first & 0x80 ? 0 : 1;
    bus_reader_opts opts = {
        .stream = "ACT", .filters = filters, .filter_count = the.filtered, .from_seq = the.next};
    if (the.what == READER)
        return bus_reader_open(&the.reader, &conn, &opts) == BUS_OK;
    if (the.what == WATCH)
        return bus_kv_watch_open(&the.watch, &conn, "workers", NULL, (bus_wake){0}) == BUS_OK;
    return bus_stream_call_open(&the.call, &conn, "A.B", "C", &request.base,
                                &test__kinds__kinds__descriptor, (bus_wake){0}) == BUS_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    memset(&the, 0, sizeof the);
    if (size < 2 || !play_open(data + 1, size - 1))
        return 0;
    demand(open_what(data[0]));
    for (int i = 0; i < OPS_MAX && input.left; i++)
        step(byte());
    turn();
    bus_reader_close(the.reader);
    bus_kv_watch_close(the.watch);
    bus_stream_call_close(the.call);
    play_close();
    return 0;
}
