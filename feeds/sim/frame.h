// frame: what one recorded message of the venue is: whose, which channel, which ids. The text stays
// as it is. Thread: any. Source: schemas/specs/simexd.md, "Capture play".
#ifndef FEEDS_SIM_FRAME_H
#define FEEDS_SIM_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/base/view.h"

enum { SIM_SYMBOL_MAX = 24, SIM_CHANNEL_MAX = 32, SIM_STREAM_MAX = 64 }; // with the NUL

typedef struct {
    bus_view stream;               // as recorded; empty when the frame was not wrapped
    bus_view data;                 // the payload: these bytes are sent
    char symbol[SIM_SYMBOL_MAX];   // upper case
    char channel[SIM_CHANNEL_MAX]; // "depth", "trade", "kline_1m" …
    int64_t first_id, last_id;     // see the send log; 0 where there is none
    bus_view bids, asks;           // of a depth frame: its arrays
    bool whole;                    // the payload could be read; false: name alone is known
} sim_frame;

// sim_frame_parse: false when the text is no frame of the venue. A wrapped frame whose data cannot be
// read is still a frame (whole is false): what was recorded is played.
bool sim_frame_parse(sim_frame *out, bus_view text);

// sim_stream_split takes "<symbol>@<channel>" apart: symbol to upper case. False when it is no stream name.
bool sim_stream_split(bus_view name, char symbol[SIM_SYMBOL_MAX], char channel[SIM_CHANNEL_MAX]);
// sim_channel_is_depth: "depth", or "depth@" and a speed.
bool sim_channel_is_depth(const char *channel);

#endif
