// picture: the state of the whole system at one moment, as one JSON object: what `lane top` shows.
// Rates and lags are those since the picture before. Gathering asks the bus and blocks for its answers.
// Thread: one at a time. Source: schemas/specs/cli.md, "lane top".
#ifndef CLI_PICTURE_H
#define CLI_PICTURE_H

#include "cli/session.h"

typedef struct lane_painter lane_painter;
// subjects: the lanes to listen to; none: act, hyp and sc.
bus_err lane_painter_open(lane_painter **out, lane_cli *cli, const char *const *subjects,
                          size_t count);
json_t *lane_painter_paint(lane_painter *painter); // new reference; NULL: out of memory
void lane_painter_close(lane_painter *painter);

#endif
