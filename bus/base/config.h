// config: settings declared once, as rows; from a row come the flag, the environment variable, the key
// in the YAML file, the default, the range check and the line of --help.
// Precedence: flag > environment > file > default. Row "ack_window" of feedd is --ack-window,
// TRADELANE_FEEDD_ACK_WINDOW, and ack_window: in the file. Thread: main, before others start.
// Source: schemas/specs/daemons.md, "Settings".
#ifndef BUS_BASE_CONFIG_H
#define BUS_BASE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus/base/err.h"
#include "bus/base/secrets.h"
#include "bus/base/time.h"

typedef enum {
    BUS_CONFIG_TEXT, // const char *; "" when not given
    BUS_CONFIG_INT,  // int64_t, within [min, max]
    BUS_CONFIG_BOOL, // bool; the flag alone means true, --no-<flag> false
    BUS_CONFIG_SPAN, // bus_span, written with its unit; min and max are in milliseconds
    BUS_CONFIG_SIZE, // int64_t bytes, written 4096, 64KiB, 1GiB
    BUS_CONFIG_LIST, // bus_config_list; flag and environment: comma-separated, file: a sequence
} bus_config_kind;

typedef struct {
    const char **item; // NUL-terminated
    size_t count;
} bus_config_list;

typedef struct {
    const char *name; // snake_case
    bus_config_kind kind;
    size_t offset;       // of the field in the settings struct
    const char *preset;  // the default, as one would type it
    int64_t min, max;    // INT, SPAN (ms), SIZE; both 0: any
    const char *help;    // one line
    bool shared;         // means the same to every program: its variable is TRADELANE_<NAME>
    bool secret;         // not accepted as a flag; shown as ***
    char letter;         // a short flag, or 0
    const char *choices; // TEXT: what is allowed, "text|json"; NULL: any
    bus_file_use file;   // TEXT that is a path: who may do what with that file
} bus_config_row;

#define BUS_CONFIG_FIELD(type, field) offsetof(type, field)

typedef struct {
    const char *program;        // "feedd"
    const char *purpose;        // one sentence, first line of --help
    const char *usage;          // what follows the flags, or NULL
    const char *epilog;         // last lines of --help (examples), or NULL
    const bus_config_row *rows; // ends with name NULL
    const char *file_preset;    // read when --config is not given and it exists; or NULL
} bus_config_spec;

typedef struct bus_config bus_config; // owns every string and list in the settings

// bus_config_load fills `settings` (zeroed by the caller) from all four sources.
//   argc, argv   as main got them; what is no flag is left in rest (borrowed from argv)
//   errors       BUS_EUSAGE for a flag; else BUS_EINVAL naming file, line, key and rule (an unknown
//                key, a value out of range, a file that is not there when --config named it)
//   --help and --version print to stdout and set *finished: the program then exits 0
bus_err bus_config_load(bus_config **out, const bus_config_spec *spec, void *settings, int argc,
                        char **argv, bus_config_list *rest, bool *finished);
void bus_config_free(bus_config *config);
// bus_config_warning: what the user should know about the files (a secret that others can read), one sentence for
// each i from 0; NULL: no more.
const char *bus_config_warning(const bus_config *config, int i);
// bus_config_holds_secret: a secret, or a file that holds one, is set.
bool bus_config_holds_secret(const bus_config *config);
// bus_config_each reports settings that differ from their default, one "name=value" a call.
void bus_config_each(const bus_config *config,
                     void (*fn)(void *ctx, const char *name, const char *value), void *ctx);

#endif
