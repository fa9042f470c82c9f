// frame: one message as it lies in a publisher's window, ready to be sent again and again, with its id or without.
//   u32 payload length | u32 lines length | u16 subject length | u16 id length
//   subject 0 | id 0 | header lines "<name>: <value>" CR LF … | payload
// Internal to bus/nats. Thread: any. Source: schemas/specs/recording.md, "Writing".
#ifndef BUS_NATS_FRAME_H
#define BUS_NATS_FRAME_H

#include "bus/nats/conn.h"

typedef struct {
    bus_view subject, id; // NUL-terminated; id empty: none
    bus_view lines;       // headers without the id
    bus_view payload;
} bus_frame;

bus_frame bus_frame_at(bus_view bytes);

typedef struct {
    const char *subject, *id; // id NULL: none
    const bus_header_pair *headers;
    size_t count;
} bus_frame_head;
// bus_frame_head_len: bytes in front of the payload.
size_t bus_frame_head_len(const bus_frame_head *head);
// bus_frame_write_head returns where the payload goes. A line end in a header's value becomes a blank.
uint8_t *bus_frame_write_head(uint8_t *at, const bus_frame_head *head, uint32_t payload_len);

// The headers as they stand on the wire: "NATS/1.0", `with_id` Nats-Msg-Id, `more` (lines or empty), those of the
// frame. 0 when there are none at all.
size_t bus_frame_block_len(const bus_frame *frame, bool with_id, bus_view more);
void bus_frame_block(char *at, const bus_frame *frame, bool with_id, bus_view more);

#endif
