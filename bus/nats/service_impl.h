// service_impl: what the files of the service share. Internal to bus/nats.
#ifndef BUS_NATS_SERVICE_IMPL_H
#define BUS_NATS_SERVICE_IMPL_H

#include "bus/nats/service.h"
#include "bus/nats/wait.h"

enum {
    BUS_STREAM_CREDIT = 16, // items a server may send before the caller gave more
    BUS_ERROR_TEXT = 512,
};

#define BUS_JSON_TYPE "application/json"

typedef struct {
    const bus_service_spec *spec; // in service->spec; NULL: reflect
    const bus_method *method;
    char name[80];
    char subject[256];
    uint64_t requests, errors;
    int64_t busy_ns;
    char last_error[BUS_ERROR_TEXT];
} service_endpoint;

enum { DISCOVERY_SCOPES = 3 };

struct bus_service {
    bus_conn *conn;
    bus_service_spec *spec; // copies; the first one's daemon and description are the service's
    size_t spec_count;
    service_endpoint *endpoint; // one a method, then reflect
    size_t endpoint_count;
    char id[40], started[BUS_TIME_TEXT], hash[40];
    bus_sub *discovery[DISCOVERY_SCOPES]; // $SRV.*, $SRV.*.<name>, $SRV.*.<name>.<id>
    bus_sub **requests;                   // one a spec, then reflect
    bus_sub *control;                     // _INBOX.<id>.*: what callers of streams send
    uint64_t last_call;
    bus_call *calls; // not ended
    bus_wake wake;
    bus_silence silence;
};

struct bus_call {
    bus_service *service;
    service_endpoint *endpoint;
    bus_call *next;
    uint64_t number; // names its control subject
    char *reply;     // "" when the caller wants no answer
    ProtobufCMessage *request;
    bool json, in_handler, ended, gone;
    bus_mono began;
    // streaming
    uint64_t sent, credit;
    bus_mono said, heard;
};

// The answer to $SRV.<verb>: malloc'ed JSON, NULL for a verb that is none.
char *bus_service_describe(const bus_service *service, bus_view verb);

bus_call *bus_call_open(bus_service *service, service_endpoint *endpoint, bus_msg *msg, bool json);
void bus_call_free(bus_call *call);
void bus_call_control(bus_call *call, bus_view text); // credit n | alive | cancel
void bus_call_tick(bus_call *call, bus_mono now);     // signs of life, silence

bus_silence bus_silence_or_default(bus_silence given);
// bus_stream_call_silence: other times than the rules have, for a test that does not wait so long. Before the first
// next.
void bus_stream_call_silence(bus_stream_call *call, bus_silence silence);
// bus_reply_error: the error a reply's headers tell; BUS_OK when they tell none.
bus_err bus_reply_error(const bus_msg *reply);

#endif
