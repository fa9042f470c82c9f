// args: command lines read by one table, so that every verb takes options, asks for help and refuses
// mistakes in the same way. Thread: main. Source: schemas/specs/cli.md, "Command line".
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include <stdbool.h>
#include <stdio.h>

#include "bus/base/err.h"

typedef struct {
    const char *name;  // without the dashes; NULL ends a table
    char letter;       // 0: none
    const char *value; // what --help calls the value; NULL: a switch
    const char *help;
} lane_option;

typedef struct lane_cli lane_cli;
typedef struct {
    const char *name; // "scenario create"; NULL ends a table
    const char *args; // what --help shows behind it: "ID"
    int args_min, args_max;
    const char *help;           // one line
    const lane_option *options; // or NULL
    int (*run)(lane_cli *cli);  // exit code; NULL: lane does it itself, without a broker
} lane_verb;

extern const lane_option lane_common_options[]; // of every verb
extern const lane_option lane_bus_options[];    // of every verb that needs the broker
// lane_verb_bus_options: those, or none (an empty table): of a verb without a broker, and of one that starts its
// own, which lists --timeout, the one with a meaning to it, itself.
const lane_option *lane_verb_bus_options(const lane_verb *verb);

enum { LANE_ARGS_MAX = 32, LANE_GIVEN_MAX = 64 };
typedef struct {
    const lane_verb *verb;
    const char *arg[LANE_ARGS_MAX]; // borrowed from argv
    int args;
    struct {
        const lane_option *option;
        const char *value;
    } given[LANE_GIVEN_MAX];
    int given_count;
    bool help; // --help was asked for
} lane_args;

// lane_args_read reads what follows the verb. BUS_EUSAGE names the mistake.
bus_err lane_args_read(lane_args *out, const lane_verb *verb, int argc, char **argv);
bool lane_args_has(const lane_args *args, const char *name);
const char *lane_args_value(const lane_args *args, const char *name); // the last one given, or NULL
// lane_args_next: the values of an option that may be given several times; *at starts at 0.
const char *lane_args_next(const lane_args *args, const char *name, int *at);
// lane_args_leading: how many words in front of the verb are options of every verb. BUS_EUSAGE names another.
bus_err lane_args_leading(int argc, char **argv, int *count);
size_t lane_args_width(const char *text); // characters, not bytes
void lane_args_help(FILE *out, const lane_verb *verb);

#endif
