// Protobuf requests of services as they are unpacked, and what is unpacked as JSON (text that is not
// UTF-8 is refused there).
#include <stdlib.h>

#include "bus/nats/service.h"
#include "kinds.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = NULL;
    ProtobufCMessage *message =
        protobuf_c_message_unpack(&test__kinds__kinds__descriptor, NULL, size, data);
    if (!message)
        return 0;
    if (bus_proto_to_json(&text, NULL, message) == BUS_OK)
        free(text);
    protobuf_c_message_free_unpacked(message, NULL);
    return 0;
}
