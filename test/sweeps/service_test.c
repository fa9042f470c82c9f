// Requests of services when memory is out. Source: schemas/specs/services.md.
#include <stdlib.h>

#include "bus/nats/service.h"
#include "kinds.pb-c.h"
#include "sweep.h"
#include "test/support/test.h"

#define KINDS                                                                                      \
    "{\"i32\":-1,\"u32\":1e3,\"i64\":\"-6\",\"text\":\"\\u00e4\",\"raw\":\"AAEC\",\"color\":"      \
    "\"RED\","                                                                                     \
    "\"inner\":{\"name\":\"a\",\"inner\":{\"number\":2}},\"texts\":[\"x\",\"\"],"                  \
    "\"numbers\":[1,-2],\"inners\":[{\"name\":\"c\"}],\"colors\":[\"BLUE\",7],"                    \
    "\"raws\":[\"AA==\",\"_-8\"],\"tags\":{\"k\":\"v\"},\"byNumber\":{\"-5\":{\"name\":\"d\"}},"   \
    "\"choiceInner\":{\"name\":\"e\"},\"flags\":[true],\"reals\":[0.5,\"-Infinity\"]}"

static bus_err as_json(void *ctx)
{
    ProtobufCMessage *message = NULL;
    char *text = NULL;
    (void)ctx;
    bus_err err = bus_proto_from_json(&message, &test__kinds__kinds__descriptor, BUS_VIEW(KINDS));
    if (err)
        return err;
    err = bus_proto_to_json(&text, NULL, message);
    if (!err && !(strstr(text, "\"AAEC\"") && strstr(text, "\"-5\"") && strstr(text, "Infinity")))
        err = bus_fail(BUS_EDATALOSS, "something is not there any more: %s", text);
    free(text);
    protobuf_c_message_free_unpacked(message, NULL);
    return err;
}

static uint8_t packed[1024];
static size_t packed_len;

static bus_err as_protobuf(void *ctx)
{
    ProtobufCMessage *message = NULL;
    (void)ctx;
    bus_err err = bus_proto_unpack(&message, &test__kinds__kinds__descriptor,
                                   (bus_view){(const char *)packed, packed_len});
    if (!err)
        protobuf_c_message_free_unpacked(message, NULL);
    return err;
}

static void given_packed(void)
{
    ProtobufCMessage *message = NULL;
    test_ok(bus_proto_from_json(&message, &test__kinds__kinds__descriptor, BUS_VIEW(KINDS)));
    packed_len = protobuf_c_message_pack(message, packed);
    protobuf_c_message_free_unpacked(message, NULL);
}

Test(service_memory, a_request_is_read_whole_or_refused_for_what_it_is)
{
    given_packed();
    sweep_allocations(
        &(sweep_case){.name = "JSON", .run = as_json, .allocations_min = 120, .may_end = true});
    sweep_allocations(&(sweep_case){.name = "protobuf", .run = as_protobuf, .allocations_min = 20});
}
