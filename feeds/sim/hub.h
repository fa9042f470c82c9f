// hub: from one frame of the venue to the queues of whoever subscribed, through the faults and into the
// send log. Owns the topics, clients, faults and the log; knows no sockets: `wake` asks the socket's
// owner to empty a client's queue, or to close it when client->closing.
// Thread: the exchange's. Source: schemas/specs/simexd.md, "Venue endpoints: WebSocket", "Faults".
#ifndef FEEDS_SIM_HUB_H
#define FEEDS_SIM_HUB_H

#include "feeds/sim/client.h"
#include "feeds/sim/fault.h"
#include "feeds/sim/sendlog.h"
#include "feeds/sim/topic.h"

typedef struct {
    bus_span ping_every, pong_within, connection_limit;
    int messages_per_second;
    uint32_t streams_max; // per connection
    size_t client_bytes;  // queued for one connection; more closes it …
    bool patient;         // … unless the producer waits for room (speed max)
    bool alias_depth;     // capture play: depth, depth@100ms, depth@0ms are one channel
} sim_hub_opts;

typedef struct {
    sim_hub_opts opts;
    sim_topics topics;
    sim_faults faults;
    sim_sendlog *log;
    sim_client *clients;
    size_t client_count;
    uint64_t next_client, frames; // frames of the venue published
    size_t micros_clients;        // connections with timeUnit=MICROSECOND
    bus_mono now;                 // of the last publish or turn
    sim_text wrap;
    void (*wake)(void *ctx, sim_client *client);
    void *ctx;
} sim_hub;

// One frame of the venue. Views are borrowed for the call.
typedef struct {
    int topic;
    bus_view payload;
    bus_view micros; // the same with times in microseconds; empty: payload serves everybody
    int64_t recorded_ns, first_id, last_id;
} sim_outgoing;

void sim_hub_init(sim_hub *hub, const sim_hub_opts *opts, sim_sendlog *log);
void sim_hub_release(sim_hub *hub);

// sim_hub_join: path and query as the client asked. BUS_ENOTFOUND: no such path; BUS_EINVAL: a stream name.
bus_err sim_hub_join(sim_hub *hub, bus_view path, bus_view streams, bool micros, bus_mono now,
                     sim_client **out);
void sim_hub_leave(sim_hub *hub, sim_client *client); // frees it
bus_err sim_hub_subscribe(sim_hub *hub, sim_client *client, bus_view name);
void sim_hub_unsubscribe(sim_hub *hub, sim_client *client, bus_view name);
// sim_hub_request answers one text message of a client (queued to it), or begins to close it.
void sim_hub_request(sim_hub *hub, sim_client *client, bus_view text, bus_mono now);
void sim_hub_close(sim_hub *hub, sim_client *client, int code, const char *reason, bus_mono at);
void sim_hub_shutdown(sim_hub *hub, bus_mono close_at); // serverShutdown to all, then closed
void sim_hub_reply(sim_hub *hub, sim_client *client, bus_view text); // queues one text message

void sim_hub_publish(sim_hub *hub, const sim_outgoing *out, bus_mono now);
void sim_hub_note(sim_hub *hub, const char *symbol, const char *channel, int64_t id,
                  uint32_t connections, const char *fault); // an entry that is no frame
// sim_hub_arm: a fault that was just added; those on connections without after_frames act at once.
void sim_hub_arm(sim_hub *hub, sim_fault *fault, bus_mono now);
void sim_hub_disarm(sim_hub *hub); // DELETE /sim/v1/fault
// sim_hub_turn does what is due: held frames, pings, silence, ages. Returns when to come again.
bus_mono sim_hub_turn(sim_hub *hub, bus_mono now);
size_t sim_hub_queued_max(const sim_hub *hub); // bytes in the fullest queue that is being read
bool sim_hub_listened(const sim_hub *hub, int topic);

#endif
