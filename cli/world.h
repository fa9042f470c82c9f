// world: a broker, stored, simexd and feedd of our own, on free ports and in a temporary folder, for checks
// that must touch nothing else. All of them end with this process, however it ends.
// Thread: main. Source: schemas/specs/cli.md, "lane feed check".
#ifndef CLI_WORLD_H
#define CLI_WORLD_H

#include <jansson.h>
#include <stdbool.h>

#include "bus/base/err.h"

typedef struct lane_world lane_world;

// nats_server: its program, or NULL: $TL_NATS_SERVER, then beside our programs, then PATH.
bus_err lane_world_open(lane_world **out, const char *nats_server, bool keep);
void lane_world_close(lane_world *world); // ends the programs; removes the folder unless it is kept
const char *lane_world_folder(const lane_world *world);
const char *lane_world_nats_url(const lane_world *world);
// lane_world_ask: what simexd answers at a path, as JSON; whatever is no answer is an error.
bus_err lane_world_ask(const lane_world *world, const char *path, json_t **body);

bus_err lane_world_broker(lane_world *world);
bus_err lane_world_stored(lane_world *world);
bus_err lane_world_simexd(lane_world *world, const char *captures, const char *speed);
bus_err lane_world_feedd(lane_world *world, const char *symbols, const char *channels);
// lane_world_check: BUS_EUNAVAILABLE with the end of its log when a program has ended by itself.
bus_err lane_world_check(lane_world *world);

#endif
