// outlet: a publisher's way to the broker and back: one connection of its own whose socket it reads and writes
// itself (the library does under TLS), one inbox. Frames go out with the headers the caller wants; answers come
// back with what stands behind the inbox in their subject. Internal to bus/nats. Thread: the owner's.
// Source: schemas/specs/recording.md, "Writing".
#ifndef BUS_NATS_OUTLET_H
#define BUS_NATS_OUTLET_H

#include "bus/nats/conn_impl.h"
#include "bus/nats/frame.h"
#include "bus/nats/watch.h"

enum { BUS_OUTLET_INBOX = 48, BUS_OUTLET_REPLY = 160 };

typedef struct {
    bus_conn *conn;
    bus_sub *in;
    bus_link *link; // what was sent since the last doubt went over this one; NULL: none
    bus_watch *watch;
    bool at_once; // each message is pushed out when it is sent
    char *block;  // headers being put together
    size_t block_cap;
    char inbox[BUS_OUTLET_INBOX]; // "_INBOX.<random>."
    size_t inbox_len;
} bus_outlet;

bus_err bus_outlet_open(bus_outlet *o, const bus_conn_opts *opts, uint32_t pending_max,
                        bus_wake wake);
void bus_outlet_close(bus_outlet *o);
// bus_outlet_follow: true when the link is another one than before, or there is none any more.
bool bus_outlet_follow(bus_outlet *o);
bool bus_outlet_up(const bus_outlet *o); // what is sent now goes over `link`
void bus_outlet_drop(bus_outlet *o);     // the link is to be replaced

// `tail`: what follows the inbox in the reply subject. False: the link is gone, or refuses; it is being replaced.
bool bus_outlet_send(bus_outlet *o, const bus_frame *frame, bool with_id, bus_view more,
                     bus_view tail);
bool bus_outlet_ask(bus_outlet *o, const char *subject, bus_view tail, bus_view payload);
void bus_outlet_push(bus_outlet *o);
// bus_outlet_next: the next answer, NULL when there is none; the caller releases it.
bus_msg *bus_outlet_next(bus_outlet *o, bus_view *tail);
// bus_outlet_sleep arms the wake: call it when everything was taken.
void bus_outlet_sleep(bus_outlet *o);
void bus_outlet_wait(bus_outlet *o, bus_span timeout); // for an answer
// What the broker says no to (bus_conn_denials, bus_conn_denied).
uint64_t bus_outlet_denials(bus_outlet *o);
bus_err bus_outlet_denied(bus_outlet *o, const char *subject, uint64_t since);

#endif
