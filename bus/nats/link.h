// link: one connection of the library, from connect to loss; never reconnects by itself.
// conn and publisher each keep at most one and open the next one when it is lost. A lost link stays lost,
// so nothing can be buffered for a broker that is away and nothing is sent twice behind our back.
// Internal to bus/nats. Thread: any; counted references. Source: schemas/specs/recording.md, "Connections".
#ifndef BUS_NATS_LINK_H
#define BUS_NATS_LINK_H

#include <nats/nats.h>

#include "bus/nats/conn.h"
#include "bus/nats/denied.h"
#include "bus/nats/info.h"

// Connection settings that outlive the caller's strings.
typedef struct {
    bus_conn_opts opts; // strings point into text
    bus_denied *denied; // what the broker says no to goes here
    char *text;
} bus_link_opts;
bus_err bus_link_opts_init(bus_link_opts *out, const bus_conn_opts *opts); // checks URLs and files
void bus_link_opts_release(bus_link_opts *opts);

enum {
    BUS_BROKER_MIN = 2011001, // 2.11.1
    BUS_LINK_WHY = 512,
};

typedef struct bus_link bus_link;
struct bus_link {
    _Atomic int refs;
    _Atomic bool lost;
    _Atomic bool told; // the last callback is over
    natsConnection *nc;
    int fd; // BUS_PROFILE_OWNER: its socket, ours to read and write; -1: the library does
    uint32_t broker;
    int64_t max_payload;
    bool in_clear;      // a secret of ours went there, and anybody on the way could read it
    bus_wake wake;      // when lost; a library thread calls it
    bus_denied *denied; // outlives the link
};

typedef enum { BUS_LINK_UP, BUS_LINK_DOWN, BUS_LINK_REFUSED } bus_link_result;

// bus_link_open blocks up to 2 s. On DOWN or REFUSED `why` says it in a sentence.
// `wake` must stay valid until bus_link_close returned.
bus_link_result bus_link_open(bus_link **out, const bus_link_opts *opts, bus_wake wake,
                              char why[BUS_LINK_WHY]);
void bus_link_ref(bus_link *link);
void bus_link_unref(bus_link *link); // NULL is fine
// bus_link_close ends the connection, waits until its last callback returned, drops the caller's reference.
void bus_link_close(bus_link *link);

// bus_link_in_clear: does a login with these settings show a password or token to whoever is on the way to this broker?
// Credentials files do not: what is sent of them is a signature.
bool bus_link_in_clear(const bus_conn_opts *opts, const bus_broker_info *broker);

// bus_nats_fail turns a status of the library into our error: "<what>: <library's words>".
bus_err bus_nats_fail(natsStatus status, const char *what);

#endif
