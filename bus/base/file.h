// file: a small file that is written whole or not at all: under another name, onto the disk, then renamed. Whoever reads
// it finds the old bytes or the new ones, whatever was killed, was full, or lost its power meanwhile.
// Thread: any; one writer a path. Source: schemas/specs/daemons.md, "Files".
#ifndef BUS_BASE_FILE_H
#define BUS_BASE_FILE_H

#include <sys/types.h>

#include "bus/base/err.h"
#include "bus/base/view.h"

// Errors are BUS_EIO and name the path; nothing is left of what was written then.
bus_err bus_file_write(const char *path, bus_view bytes, mode_t mode);

#endif
