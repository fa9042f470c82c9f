// frame: one message as it lies in a publisher's window, ready to be sent again and again.
//   u32 payload length | u16 subject length | u16 headers | subject 0 | name 0 value 0 … | payload
// Internal to bus/nats. Thread: any. Source: schemas/specs/recording.md, "Writing".
#ifndef BUS_NATS_FRAME_H
#define BUS_NATS_FRAME_H

#include "bus/nats/conn.h"

typedef struct {
    const char *subject;
    const char *headers; // name 0 value 0 …
    uint16_t count;
    size_t headers_len; // on the wire, with their start and line ends
    bus_view payload;
} bus_frame;

bus_frame bus_frame_at(bus_view bytes);
// bus_frame_head_len: bytes in front of the payload.
size_t bus_frame_head_len(const char *subject, const bus_header_pair *headers, size_t count);
// bus_frame_write_head returns where the payload goes.
uint8_t *bus_frame_write_head(uint8_t *at, const char *subject, const bus_header_pair *headers,
                              size_t count, uint32_t payload_len);
bus_view bus_frame_id(const bus_frame *frame); // Nats-Msg-Id; empty when it has none

#endif
