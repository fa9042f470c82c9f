// screen: a picture as lines of text that fit a terminal: columns are left out where it is narrow, rows where it
// is low. Pure. Thread: any. Source: schemas/specs/cli.md, "lane top".
#ifndef CLI_SCREEN_H
#define CLI_SCREEN_H

#include <jansson.h>
#include <stdbool.h>

typedef enum {
    LANE_SORT_RATE,
    LANE_SORT_LAG,
    LANE_SORT_BYTES,
    LANE_SORT_NAME,
    LANE_SORTS
} lane_sort;

typedef struct {
    int width, height; // height 0: as many lines as there are
    bool color;        // may use bold and red
    bool keys;         // the last line says which keys there are
    lane_sort sort;    // of the lanes
    bool reverse, paused, help;
    int only;        // 1..LANE_SECTIONS: one section on the whole screen; 0: all
    int skip;        // rows scrolled over: of the lanes, or of that section
    const char *url; // of the broker
    double every_s;  // between two pictures
} lane_view;

enum { LANE_SECTIONS = 7, LANE_WIDTH_MIN = 20, LANE_WIDTH_MAX = 500 };

// lane_screen_draw: malloc'ed text, each line ending with '\n'; NULL when out of memory. picture NULL: none yet.
char *lane_screen_draw(const json_t *picture, const lane_view *view);
const char *lane_sort_name(lane_sort sort);

#endif
