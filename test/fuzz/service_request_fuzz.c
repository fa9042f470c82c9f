// Protobuf requests of services as they are unpacked: what is accepted can be written as JSON and read again.
#include <stdlib.h>

#include "bus/nats/service.h"
#include "kinds.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = NULL;
    size_t len = 0;
    ProtobufCMessage *message = NULL, *again = NULL;
    bus_view bytes = {(const char *)data, size};
    if (bus_proto_unpack(&message, &test__kinds__kinds__descriptor, bytes))
        return 0;
    if (bus_proto_to_json(&text, &len, message))
        abort();
    if (bus_proto_from_json(&again, &test__kinds__kinds__descriptor, (bus_view){text, len}) ==
        BUS_OK)
        protobuf_c_message_free_unpacked(again, NULL);
    free(text);
    protobuf_c_message_free_unpacked(message, NULL);
    return 0;
}
