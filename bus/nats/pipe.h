// pipe: the bytes of one connection, read and written by its owner: what is published is gathered in one
// buffer, what arrives is parsed where it lies. No thread, no lock, no allocation per message.
// The library has connected and authenticated the socket before. A pipe that is down stays down.
// Internal to bus/nats. Thread: the owner's, also for releasing messages.
// Source: schemas/specs/recording.md, "Frames".
#ifndef BUS_NATS_PIPE_H
#define BUS_NATS_PIPE_H

#include "bus/nats/denied.h"
#include "bus/nats/wire.h"

typedef struct bus_pipe bus_pipe;

// A message points into a block of received bytes, which lives until the last of its messages is released,
// also when the pipe is gone by then.
typedef struct bus_pipe_block bus_pipe_block;
typedef struct {
    bus_pipe_block *block;
    bus_view subject, reply, headers, payload;
} bus_pipe_msg;
void bus_pipe_release(bus_pipe_msg *msg);

// fd is borrowed and must not block.
bus_err bus_pipe_open(bus_pipe **out, int fd, int64_t max_payload);
void bus_pipe_note_denials(bus_pipe *pipe,
                           bus_denied *denied); // what the broker says no to; outlives the pipe
void bus_pipe_close(bus_pipe *pipe);            // does not write what is gathered
bool bus_pipe_down(const bus_pipe *pipe);

// --- writing: gathered until push, or until there is a good deal of it ------------------------------------
// False: the pipe is down (or just went down).
bool bus_pipe_publish(bus_pipe *pipe, const bus_wire_out *msg);
bool bus_pipe_publish_pairs(bus_pipe *pipe, const bus_wire_out *msg, const bus_header_pair *headers,
                            size_t count);
bool bus_pipe_subscribe(bus_pipe *pipe, uint64_t sid, const char *subject, const char *queue_group);
bool bus_pipe_unsubscribe(bus_pipe *pipe, uint64_t sid);
bool bus_pipe_push(bus_pipe *pipe); // waits for the socket up to 2 s, then the pipe is down

// --- reading --------------------------------------------------------------------------------------------
// bus_pipe_read pushes, then looks at the socket once, waiting up to `timeout` for it, and gives each whole
// message to fn, who releases it at any time. Pings are answered and sent by the way: it must be called
// every few seconds. Returns how many messages there were; 0 also when the pipe is down.
typedef void (*bus_pipe_fn)(void *ctx, uint64_t sid, bus_pipe_msg *msg);
size_t bus_pipe_read(bus_pipe *pipe, bus_span timeout, bus_pipe_fn fn, void *ctx);
// bus_pipe_flush: a ping has been answered, so the broker has everything. False: not within `timeout`.
bool bus_pipe_flush(bus_pipe *pipe, bus_span timeout, bus_pipe_fn fn, void *ctx);

#endif
