// completion: a script for bash made from the table of verbs. Thread: main.
#ifndef CLI_COMPLETION_H
#define CLI_COMPLETION_H

#include "cli/args.h"

int lane_completion(const lane_verb *const *groups, int argc, char **argv); // exit code

#endif
