// verbs: every verb of lane-bus, one table a group; lane_bus_main.c joins them.
#ifndef CLI_VERBS_H
#define CLI_VERBS_H

#include "cli/args.h"

// Each ends with a row without a name.
extern const lane_verb lane_pub_verbs[], lane_sub_verbs[], lane_streams_verbs[], lane_kv_verbs[],
    lane_services_verbs[], lane_workers_verbs[], lane_connections_verbs[], lane_scenario_verbs[],
    lane_replay_verbs[], lane_diff_verbs[], lane_export_verbs[], lane_feed_verbs[],
    lane_top_verbs[], lane_doctor_verbs[];

#endif
