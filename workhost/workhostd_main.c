// workhostd: loads workers, runs each scenario's in a process of its own, supervises them.
#include <string.h>

#include "workhost/host.h"
#include "workhost/runtime/runtime.h"

#define AT(field) BUS_CONFIG_FIELD(work_settings, field)

static const bus_config_row rows[] = {
    {.name = "side",
     .offset = AT(side),
     .preset = "all",
     .choices = "all|live|research",
     .help = "whose scenarios: all, or with two accounts those of the one it is a user of"},
    {.name = "workers_dir",
     .offset = AT(workers_dir),
     .help = "folder of worker declarations (*.yaml)"},
    {.name = "builtin_dir",
     .offset = AT(builtin_dir),
     .help = "folder of the built-in workers; empty: ../workers from the program's own"},
    {.name = "code_dir",
     .offset = AT(code_dir),
     .help = "where code is kept, by content; empty: tradelane/code in the user's state folder"},
    {.name = "call_limit",
     .kind = BUS_CONFIG_SPAN,
     .offset = AT(call_limit),
     .preset = "30s",
     .min = 10,
     .max = 3600000,
     .help = "a call that takes longer counts as a death"},
    {.name = "lease",
     .kind = BUS_CONFIG_SPAN,
     .offset = AT(lease),
     .preset = "3s",
     .min = 1000,
     .max = 60000,
     .help = "how long another workhostd waits after this one is gone"},
    {.name = "allowed_code_hosts",
     .kind = BUS_CONFIG_LIST,
     .offset = AT(allowed_code_hosts),
     .help = "hosts that code may be fetched from, private ones included; empty: every public one"},
    {.name = NULL},
};

static const bus_daemon_spec spec = {
    .config = {.program = "workhostd",
               .purpose = "runs workers: one process a scenario, fed in the recorded order",
               .rows = rows,
               .epilog = "Workers are declared in YAML (examples/workers/sma.yaml) or created over "
                         "the bus."},
    .http_preset = "127.0.0.1:7413",
    .settings_size = sizeof(work_settings),
    .start = work_host_start,
    .stop = work_host_stop,
    .release = work_host_release,
};

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--runtime") == 0)
        return work_runtime_main(argv[2]);
    return bus_daemon_main(&spec, argc, argv);
}
