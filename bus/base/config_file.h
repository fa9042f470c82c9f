// config_file: a YAML file read against the rows: key -> text or list of texts, with its line.
// libcyaml loads and checks the shape, by a schema made from the rows; libyaml tells the lines
// (libcyaml 1.3.1 names the line of the mapping's last event, not of the key). Part of config.h.
// Thread: one. Source: schemas/specs/daemons.md, "Settings".
#ifndef BUS_BASE_CONFIG_FILE_H
#define BUS_BASE_CONFIG_FILE_H

#include "bus/base/config.h"

typedef struct bus_config_file bus_config_file;

// Errors: BUS_EINVAL naming file, line, key and rule; BUS_ENOTFOUND; BUS_EIO.
bus_err bus_config_file_open(bus_config_file **out, const char *path, const bus_config_row *rows);
void bus_config_file_close(bus_config_file *file);
// The line (1-based) where the file sets row number `index`, 0: it does not.
int bus_config_file_line(const bus_config_file *file, size_t index);
const char *bus_config_file_text(const bus_config_file *file, size_t index); // never NULL
size_t bus_config_file_list(const bus_config_file *file, size_t index, char ***items);

#endif
