// manager_impl: what the sources of the RPCs share. Thread: the loop's.
#ifndef WORKHOST_MANAGER_IMPL_H
#define WORKHOST_MANAGER_IMPL_H

#include "workhost/host.h"

// Names as protobuf-c makes them, shortened.
#define MSG(name)  Virtufin__Workmanager__V1__##name
#define INIT(name) VIRTUFIN__WORKMANAGER__V1__##name##__INIT
#define DESC(name) (&virtufin__workmanager__v1__##name##__descriptor)

// --- manager_list.c ----------------------------------------------------------------------------------
void work_manager_on_list(void *ctx, bus_call *call, const ProtobufCMessage *message);
void work_manager_on_history(void *ctx, bus_call *call, const ProtobufCMessage *message);

// --- manager_tags.c ----------------------------------------------------------------------------------
// work_manager_put_tag sets one tag. BUS_EINVAL: its length, or one tag too many.
bus_err work_manager_put_tag(json_t *tags, const char *key, const char *value);
void work_manager_on_set_tag(void *ctx, bus_call *call, const ProtobufCMessage *message);
void work_manager_on_get_tag(void *ctx, bus_call *call, const ProtobufCMessage *message);
void work_manager_on_set_tags(void *ctx, bus_call *call, const ProtobufCMessage *message);
void work_manager_on_get_tags(void *ctx, bus_call *call, const ProtobufCMessage *message);

#endif
