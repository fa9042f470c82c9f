// wire: the broker's protocol in bytes: the frame of a publish, and the frames that arrive. Pure.
// For connections whose owner reads and writes the socket itself (pipe.h); all others leave it to the library.
// Internal to bus/nats. Thread: any. Source: schemas/specs/recording.md, "Frames".
#ifndef BUS_NATS_WIRE_H
#define BUS_NATS_WIRE_H

#include "bus/nats/conn.h"

enum {
    BUS_WIRE_LINE_MAX =
        64 * 1024,         // the first line of a frame that arrives; the greeting is the longest
    BUS_WIRE_NUMBERS = 48, // a frame's two lengths and all its separators
};

typedef enum {
    BUS_WIRE_MSG,
    BUS_WIRE_PING,
    BUS_WIRE_PONG,
    BUS_WIRE_ERR,
    BUS_WIRE_OTHER
} bus_wire_kind;
typedef struct {
    bus_wire_kind kind;
    // MSG; all point into the bytes given
    uint64_t sid;
    // headers: "NATS/1.0…" to the empty line, or empty: also when they begin otherwise
    bus_view subject, reply, headers, payload;
    bus_view text; // ERR: the broker's words
} bus_wire_frame;

typedef enum {
    BUS_WIRE_WHOLE, // *len is the frame's length
    BUS_WIRE_PART,  // more is to come: at least *len bytes in all
    BUS_WIRE_BAD,   // this is not the protocol
} bus_wire_result;
bus_wire_result bus_wire_take(bus_wire_frame *out, bus_view bytes, size_t *len);

typedef struct {
    bus_view subject, reply; // reply may be empty
    bus_view headers;        // as they stand on the wire, or empty
    bus_view payload;
} bus_wire_out;
static inline size_t bus_wire_publish_max(const bus_wire_out *m)
{
    return BUS_WIRE_NUMBERS + m->subject.len + m->reply.len + m->headers.len + m->payload.len;
}
// bus_wire_publish writes at most bus_wire_publish_max bytes and returns how many.
size_t bus_wire_publish(uint8_t *at, const bus_wire_out *m);

// The headers of a message as they stand on the wire.
size_t bus_wire_headers_len(const bus_header_pair *headers, size_t count); // 0 when there are none
void bus_wire_headers(char *at, const bus_header_pair *headers, size_t count);
// bus_wire_header_next steps through a block: false at its end. *at is 0 at first.
bool bus_wire_header_next(bus_view block, size_t *at, bus_view *name, bus_view *value);

#endif
