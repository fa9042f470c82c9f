// workers: what workhostd has, for the verbs that name a worker. Thread: main.
#ifndef CLI_WORKERS_H
#define CLI_WORKERS_H

#include "cli/session.h"

// lane_workers_list: an array of workers (new reference), each with its status in plain words.
bus_err lane_workers_list(lane_cli *cli, json_t **workers);

#endif
