// terminal: the whole screen of a terminal while it is watched: keys one by one, a second screen so that
// what was there before is there again, its size. Put back whatever happens, a stop by Ctrl-Z included.
// Thread: main; one at a time.
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include <stdbool.h>

#include "bus/base/time.h"

typedef enum {
    LANE_KEY_NONE = 0, // a printable key is itself
    LANE_KEY_UP = 256,
    LANE_KEY_DOWN,
    LANE_KEY_PAGE_UP,
    LANE_KEY_PAGE_DOWN,
    LANE_KEY_RESIZED, // or shown again after a stop: draw anew
    LANE_KEY_GONE,    // the terminal is
} lane_key;

bool lane_terminal_there(void); // stdin and stdout are one that can be drawn on
bool lane_terminal_open(void);  // false: it would not
void lane_terminal_close(void);
void lane_terminal_size(int *width, int *height); // 80 x 24 where it does not say
int lane_terminal_key(bus_span timeout);
// lane_terminal_show draws lines from the top; each ends with '\n'. False: the terminal is gone.
bool lane_terminal_show(const char *lines);

#endif
