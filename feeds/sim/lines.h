// lines: the lines of a file, plain or gzip, one at a time. A line is at most 16 MiB; a longer one is
// an error. Thread: the owner's. Source: schemas/specs/simexd.md, "Capture play".
#ifndef FEEDS_SIM_LINES_H
#define FEEDS_SIM_LINES_H

#include <stdint.h>

#include "bus/base/err.h"
#include "bus/base/view.h"

typedef struct sim_lines sim_lines;

bus_err sim_lines_open(sim_lines **out, const char *path);
void sim_lines_close(sim_lines *lines);
// sim_lines_next: 1 and a line (without its end; valid until the next call), 0 at the end, -1 when the
// file is broken there (bus_err_text says how).
int sim_lines_next(sim_lines *lines, bus_view *line);
bus_err sim_lines_err(const sim_lines *lines);     // why the file is broken; BUS_OK: it is not
uint64_t sim_lines_number(const sim_lines *lines); // of the last line, 1-based

#endif
