// watermark: what a replay and its participants tell each other, in bytes: the headers of a hyp message,
// the watermark event, the done report. Encode and decode, no state.
// Thread: any. Source: schemas/specs/replay.md, "Messages on the lane" and "Taking part".
#ifndef BUS_NATS_WATERMARK_H
#define BUS_NATS_WATERMARK_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/base/err.h"
#include "bus/base/time.h"
#include "bus/base/view.h"
#include "bus/event/pack.h"
#include "bus/lane/lane.h"
#include "bus/nats/conn.h"

#define BUS_WATERMARK_TYPE   "com.virtufin.replay.control.watermark"
#define BUS_WATERMARK_SOURCE "urn:com.virtufin.replay"

enum {
    BUS_PARTICIPANTS_MAX = 64,
    BUS_PARTICIPANT_NAME_MAX = 64,
    BUS_WATERMARK_BYTES_MAX = 16 * 1024, // 64 participants with the longest names fit
};

// Where a message stands in its run: Lane-Seq, Lane-Prev, Lane-Count.
typedef struct {
    uint64_t seq, prev, count;
} bus_lane_stamp;

// The five headers of a hyp message, ready for the wire (bus_publish_block): what a run's messages have in common
// is written once.
enum { BUS_LANE_BLOCK_CAP = 320 };
typedef struct {
    char text[BUS_LANE_BLOCK_CAP];
    size_t fixed; // bytes up to the first number
} bus_lane_block;
bus_err bus_lane_block_init(bus_lane_block *out, bus_view runid);
bus_view bus_lane_block_of(bus_lane_block *block,
                           const bus_lane_stamp *stamp); // until the next call
// bus_lane_headers_read: false when one is missing or is no number. run points into msg.
bool bus_lane_headers_read(const bus_msg *msg, bus_lane_stamp *stamp, bus_view *run);

typedef struct {
    bus_view name;
    uint64_t base, count, done;
} bus_watermark_part;

typedef struct {
    uint64_t seq, sent;
    bool end;
    bus_view state;
    uint32_t part_count;
    bus_watermark_part part[BUS_PARTICIPANTS_MAX];
} bus_watermark;

typedef struct {
    bus_view selector, runid;
    uint64_t n;                 // 1, 2, … in the run
    bus_recorded_time recorded; // highest sent; 0: walltime
    bus_wall walltime;
} bus_watermark_envelope;

void bus_watermark_subject(char out[BUS_SUBJECT_BUF], bus_view selector);
bool bus_watermark_is(bus_view subject); // hyp.<selector>.control.watermark
// bus_watermark_encode appends the msgpack event.
bus_err bus_watermark_encode(bus_pack *p, const bus_watermark *mark,
                             const bus_watermark_envelope *envelope);
// bus_watermark_decode: from the envelope; views point into payload. BUS_EINVAL naming the field.
bus_err bus_watermark_decode(bus_watermark *out, bus_view payload);
const bus_watermark_part *bus_watermark_find(const bus_watermark *mark, bus_view name);

// replay.<runid>.done.<participant> and its payload {"seq":N[,"leave":true]}.
bus_err bus_done_subject(char out[BUS_SUBJECT_BUF], bus_view runid, bus_view participant);
bus_err bus_done_subject_read(bus_view subject, bus_view *runid, bus_view *participant);
int bus_done_format(char buf[64], uint64_t seq, bool leave); // returns the length
bus_err bus_done_parse(bus_view payload, uint64_t *seq, bool *leave);

bus_err bus_participant_name_check(bus_view name); // [A-Za-z0-9_-]{1,64}

#endif
