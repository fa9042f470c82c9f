// services: asks everything that answers on $SRV. Thread: main. Source: schemas/specs/services.md.
#ifndef CLI_SERVICES_H
#define CLI_SERVICES_H

#include "cli/session.h"

// lane_services_ask sends $SRV.<verb>[.<name>] and gathers the answers (an array, new reference) until none
// came for a quarter of a second, two seconds at most. verb: PING, INFO, STATS. name may be NULL.
bus_err lane_services_ask(lane_cli *cli, const char *verb, const char *name, json_t **answers);

#endif
