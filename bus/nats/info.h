// info: the greeting a NATS server sends to whoever connects ("INFO {json}\r\n"), for its version, and from where it
// comes. The client library reads it too but does not show it. Internal to bus/nats. Thread: any; blocks up to
// the timeout. Source: schemas/specs/recording.md, "Connections".
#ifndef BUS_NATS_INFO_H
#define BUS_NATS_INFO_H

#include <stdbool.h>

#include "bus/base/err.h"
#include "bus/base/time.h"

struct sockaddr_storage;

typedef struct {
    char version[32]; // as the server writes it, "2.15.1"
    uint32_t broker;  // major*1000000 + minor*1000 + patch
    bool tls;         // it wants TLS on this address
    bool loopback;    // what is sent there does not leave the machine
} bus_broker_info;

// url: nats://host:port, tls://…, or host:port. BUS_EUNAVAILABLE, BUS_ETIMEOUT, BUS_EINVAL (not a NATS server).
bus_err bus_broker_peek(bus_broker_info *out, const char *url, bus_span timeout);
uint32_t bus_broker_version(const char *text); // "2.11.0-RC.1" -> 2011000; 0 when it is none
// bus_broker_fault: what is known against a version that is new enough, and what to do, in words; NULL: nothing.
const char *bus_broker_fault(uint32_t broker);
// bus_broker_loopback: is it 127.0.0.0/8, also as IPv6 writes it, or ::1?
bool bus_broker_loopback(const struct sockaddr_storage *address);

#endif
