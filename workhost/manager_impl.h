// manager_impl: what the sources of the RPCs share. Thread: the loop's.
#ifndef WORKHOST_MANAGER_IMPL_H
#define WORKHOST_MANAGER_IMPL_H

#include "workhost/host.h"

// Names as protobuf-c makes them, shortened.
#define MSG(name)  Virtufin__Workmanager__V1__##name
#define INIT(name) VIRTUFIN__WORKMANAGER__V1__##name##__INIT
#define DESC(name) (&virtufin__workmanager__v1__##name##__descriptor)

void work_manager_on_list(void *ctx, bus_call *call, const ProtobufCMessage *message);
void work_manager_on_history(void *ctx, bus_call *call, const ProtobufCMessage *message);

#endif
