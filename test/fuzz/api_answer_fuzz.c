// Any bytes as what the broker and services answer to requests: streams, single messages by either way, buckets, calls.
// First byte: what is asked for. What comes out is whole, or there is an error with words.
#include "bus/nats/kv.h"
#include "bus/nats/service.h"
#include "bus/nats/stream.h"
#include "kinds.pb-c.h"
#include "played_bus.h"

static bus_conn conn;

static uint64_t sum(bus_view v)
{
    uint64_t all = v.len;
    for (size_t i = 0; i < v.len; i++)
        all = all * 31 + (unsigned char)v.ptr[i];
    return all;
}

static bool says_null; // the input itself does

static void look_at_info(void *ctx, const bus_stream_info *info)
{
    (void)ctx;
    demand(strlen(info->name) < sizeof info->name && info->bytes_max >= 0);
    demand(strlen(info->subjects) < sizeof info->subjects);
    demand(says_null || !strstr(info->subjects, "(null)"));
}

static void look_at_record(const bus_record *record, bus_msg *owner)
{
    demand(owner && (sum(record->subject) + sum(record->payload)) != 1);
    demand(record->stored.ns != INT64_MIN);
    bus_msg_release(owner);
}

static void look_at_entry(bus_kv_entry *entry)
{
    demand(entry->key.ptr[entry->key.len] == '\0' && !entry->deleted);
    demand(sum(entry->value) != 1 || entry->value.len == 1);
    bus_kv_entry_release(entry);
}

static bus_err call(void)
{
    Test__Kinds__Kinds request;
    ProtobufCMessage *reply = NULL;
    test__kinds__kinds__init(&request);
    bus_err err = bus_service_call(&conn, "A.B", "C", &request.base,
                                   &test__kinds__kinds__descriptor, BUS_SPAN_S(1), &reply);
    demand((err == BUS_OK) == (reply != NULL));
    if (reply)
        protobuf_c_message_free_unpacked(reply, NULL);
    return err;
}

static bus_err ensure(void)
{
    static const char *const subjects[] = {"act.>", NULL};
    bool changed;
    return bus_stream_ensure(
        &conn, &(bus_stream_def){.name = "ACT", .subjects = subjects, .allow_batched = true},
        &changed);
}

static bus_err ask(uint8_t what)
{
    bus_record record;
    bus_msg *owner = NULL;
    bus_stream_info info;
    bus_kv_entry entry = {0};
    uint64_t revision;
    bus_err err = BUS_OK;
    switch (what % 10) {
    case 0:
        if (!(err = bus_stream_info_get(&conn, "ACT", &info)))
            look_at_info(NULL, &info);
        break;
    case 1:
        err = bus_stream_list(&conn, look_at_info, NULL);
        break;
    case 2:
        if (!(err = bus_stream_get(&conn, "ACT", 7, &record, &owner)))
            look_at_record(&record, owner);
        break;
    case 3:
        if (!(err = bus_stream_last(&conn, "ACT", "act.>", &record, &owner)))
            look_at_record(&record, owner);
        break;
    case 4:
        if (!(err = bus_kv_get(&conn, "workers", "a.b", &entry)))
            look_at_entry(&entry);
        break;
    case 5:
        err = bus_kv_create(&conn, "workers", "a.b", BUS_VIEW("{}"), &revision);
        break;
    case 6:
        err = bus_kv_update(&conn, "workers", "a.b", BUS_VIEW("{}"), 5, &revision);
        break;
    case 7:
        err = call();
        break;
    case 8:
        err = ensure();
        break;
    default:
        (void)bus_stream_holds(&conn, "ACT", (bus_mark){9, {1}});
        break;
    }
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || !play_open(data + 1, size - 1))
        return 0;
    says_null = memmem(data, size, "null)", 5) != NULL;
    for (int i = 0; i < 8 && input.left; i++)
        if (ask((uint8_t)(data[0] + i)))
            demand(*bus_err_text());
    play_close();
    return 0;
}
