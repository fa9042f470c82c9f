// JSON requests of services: whatever comes, no crash; what is accepted can be written and read again.
#include <stdlib.h>

#include "bus/nats/service.h"
#include "kinds.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ProtobufCMessage *message = NULL, *again = NULL;
    char *text = NULL;
    size_t len = 0;
    bus_view json = {(const char *)data, size};
    if (bus_proto_from_json(&message, &test__kinds__kinds__descriptor, json) != BUS_OK)
        return 0;
    if (bus_proto_to_json(&text, &len, message) != BUS_OK)
        abort();
    if (bus_proto_from_json(&again, message->descriptor, (bus_view){text, len}) != BUS_OK)
        abort();
    protobuf_c_message_free_unpacked(again, NULL);
    protobuf_c_message_free_unpacked(message, NULL);
    free(text);
    return 0;
}
