// capture: recorded sessions of the venue, read again in the order of their receive times.
// Opening reads every file once (what is in it: streams, scales, ids), playing reads them a second time;
// nothing but one line per file is held. Formats: hftbacktest collector, cryptofeed v1; .gz or plain.
// Thread: the owner's. Source: schemas/specs/simexd.md, "Capture play".
#ifndef FEEDS_SIM_CAPTURE_H
#define FEEDS_SIM_CAPTURE_H

#include "bus/base/err.h"
#include "feeds/sim/frame.h"
#include "feeds/sim/text.h"
#include "feeds/sim/topic.h"

typedef enum { SIM_LINE_FRAME, SIM_LINE_SNAPSHOT, SIM_LINE_INFO, SIM_LINE_SKIP } sim_line_kind;

typedef struct {
    sim_line_kind kind;
    int64_t recorded_ns;
    bus_view text; // frame or body, as recorded
    bus_view url;  // of a cryptofeed http line
} sim_line;

typedef enum { SIM_FORMAT_UNKNOWN, SIM_FORMAT_COLLECTOR, SIM_FORMAT_CRYPTOFEED } sim_format;

// sim_line_format tells a file's format by a line; sim_line_parse takes one line apart.
// Errors (BUS_EINVAL) name the rule; the caller adds file and line.
sim_format sim_line_format(bus_view line);
bus_err sim_line_parse(sim_line *out, sim_format format, bus_view line);

typedef struct {
    sim_line_kind kind; // FRAME, SNAPSHOT or INFO
    int64_t recorded_ns;
    sim_frame frame;             // FRAME
    char symbol[SIM_SYMBOL_MAX]; // FRAME, SNAPSHOT
    bus_view text;               // SNAPSHOT, INFO: the body
} sim_record;                    // views live until the next sim_capture_next

// What one symbol's strings need.
typedef struct {
    int price_digits, quantity_digits; // most digits behind the point, as written
    int price_scale, quantity_scale;   // the same without trailing zeros
    uint64_t snapshots;
    int64_t first_id, last_id; // range of its depth frames
} sim_symbol_facts;

typedef struct sim_capture sim_capture;

// paths: at least one; cryptofeed http files beside ws files are found by themselves. topics gets every
// (symbol, channel) with its total.
bus_err sim_capture_open(sim_capture **out, const char *const *paths, size_t count,
                         sim_topics *topics);
void sim_capture_close(sim_capture *capture);
const sim_symbol_facts *sim_capture_facts(const sim_capture *capture, int symbol_no);
uint64_t sim_capture_frames(const sim_capture *capture);
uint64_t sim_capture_bad_lines(const sim_capture *capture);
// sim_capture_info: the exchangeInfo body recorded in the capture; empty when there is none.
bus_view sim_capture_info(const sim_capture *capture);
// sim_capture_next: true and the next record, false at the end. Unreadable lines are skipped (they were
// logged when the capture was opened).
bool sim_capture_next(sim_capture *capture, sim_record *out);

// sim_capture_levels calls fn for each ["price","quantity"] of an array; false: it is not such an array.
bool sim_capture_levels(bus_view array, void (*fn)(void *ctx, bus_view price, bus_view quantity),
                        void *ctx);

#endif
