// hub_inside: what hub.c (connections), hub_send.c (frames) and hub_fault.c share. Nobody else's.
#ifndef FEEDS_SIM_HUB_INSIDE_H
#define FEEDS_SIM_HUB_INSIDE_H

#include "feeds/sim/hub.h"

// A connection that is to be closed later still gets its frames until then.
bool sim_hub_receives(const sim_hub *hub, const sim_client *client);
// sim_hub_deliver queues a message; a queue above its bound closes the connection.
bool sim_hub_deliver(sim_hub *hub, sim_client *client, sim_message *message);
void sim_hub_tell_shutdown(sim_hub *hub, sim_client *client);

// sim_hub_send queues a frame to all who listen and writes its entry. truncate: cut at this random place.
void sim_hub_send(sim_hub *hub, const sim_outgoing *out, const char *fault, uint64_t *truncate);
void sim_hub_send_garbage(sim_hub *hub, sim_fault *fault, const sim_outgoing *out);

// A frame that a fault took: true when it is dealt with.
bool sim_hub_apply_fault(sim_hub *hub, sim_fault *fault, const sim_outgoing *out, bus_mono now);
// The second frame of a reorder goes first: true when this one was it.
bool sim_hub_swap_reordered(sim_hub *hub, const sim_outgoing *out);
void sim_hub_release_due(sim_hub *hub, bus_mono now); // held frames whose time has come

#endif
