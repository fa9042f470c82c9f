// method: one row of the calls of a service in package virtufin.api.v1.
#ifndef STORE_METHOD_H
#define STORE_METHOD_H

#include "bus/nats/service.h"

#define STORE_METHOD(method_, request_, reply_, streaming_, fn_)                                   \
    {                                                                                              \
        .method = (method_), .request = &virtufin__api__v1__##request_##__descriptor,              \
        .reply = &virtufin__api__v1__##reply_##__descriptor, .server_streaming = (streaming_),     \
        .fn = (fn_)                                                                                \
    }

#endif
