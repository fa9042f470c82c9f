// config_help: the pages of --help and --version. Part of config.h.
#ifndef BUS_BASE_CONFIG_HELP_H
#define BUS_BASE_CONFIG_HELP_H

#include <stdio.h>

#include "bus/base/config.h"

void bus_config_help(const bus_config_spec *spec, FILE *out);
void bus_config_version(const bus_config_spec *spec, FILE *out);
// The known flag that is nearest to `name` (two edits at most), or NULL. In buf, without dashes.
const char *bus_config_nearest(const bus_config_spec *spec, const char *name, char *buf,
                               size_t cap);

#endif
