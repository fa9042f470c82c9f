// lane: the subject grammar of market and scenario events: build, parse, match, escape, re-address.
//   act.exchange.<venue>.<entity>.<event>[.<id>[.<id>]]
//   hyp.<selector>.exchange.<venue>.<entity>.<event>[.<id>[.<id>]]
//   sc.<scenario>.<domain>.<entity>.<event>[.<id>[.<id>]]
// No allocation. Thread: any. Source: schemas/specs/lanes.md.
#ifndef BUS_LANE_LANE_H
#define BUS_LANE_LANE_H

#include <stdbool.h>

#include "bus/base/err.h"
#include "bus/base/view.h"

enum {
    BUS_LANE_NAME_MAX = 32, // venue, entity, event, domain, selector, scenario
    BUS_LANE_ID_MAX = 64,   // one id token, escaped
    BUS_SUBJECT_MAX = 255,  // a whole subject
    BUS_SUBJECT_BUF = 256,
};

typedef enum { BUS_LANE_ACT, BUS_LANE_HYP, BUS_LANE_SC } bus_lane_kind;

typedef struct {
    bus_lane_kind kind;
    bus_view selector;      // HYP only: [A-Za-z0-9_-]{1,32}, LIVE reserved
    bus_view scenario;      // SC only: the same; "LIVE" allowed
    bus_view venue;         // ACT and HYP: [a-z0-9_-]{1,32}
    bus_view domain;        // SC: trading position risk pnl strategy control
    bus_view entity, event; // [a-z0-9_-]{1,32}
    bus_view id[2]; // raw (unescaped) when formatting; escaped views into the subject when parsed
    int ids;        // 0..2
} bus_lane;

// A replay's own signals are hyp.<selector>.control.<event>: parsed with venue empty, entity "control".
// bus_lane_parse: a published subject, so a wildcard is an error. Views point into subject.
bus_err bus_lane_parse(bus_lane *out, bus_view subject);
// bus_lane_format checks every token, escapes the ids, NUL-terminates. len may be NULL.
bus_err bus_lane_format(char buf[BUS_SUBJECT_BUF], const bus_lane *lane, size_t *len);

bus_err bus_lane_check_name(bus_view token, const char *what);     // [a-z0-9_-]{1,32}
bus_err bus_lane_check_selector(bus_view token, const char *what); // [A-Za-z0-9_-]{1,32}, not LIVE
bus_err bus_lane_check_scenario(bus_view token); // the same but exact "LIVE" is allowed
// Is this a lane (first token act, hyp or sc), so that the rules above apply to it?
bool bus_lane_is_lane(bus_view subject);

// Escape: every byte outside [A-Za-z0-9_-] becomes <mark> and two upper-case hex digits; mark is '~'
// in subjects, '=' in KV keys. Reversible; unescape refuses what escape would not have written.
bus_err bus_token_escape(char *buf, size_t cap, bus_view raw, char mark, size_t *len);
bus_err bus_token_unescape(char *buf, size_t cap, bus_view token, char mark, size_t *len);

// NATS matching: '*' one token, '>' one or more at the end.
bool bus_subject_match(bus_view pattern, bus_view subject);
// Of two patterns: does any subject match both; and the narrowest pattern that matches whatever either of
// two that overlap does. It is no longer than the shorter one; buf may not be a's or b's own text.
bool bus_subject_overlap(bus_view a, bus_view b);
size_t bus_subject_join(char buf[BUS_SUBJECT_BUF], bus_view a, bus_view b);
bus_err bus_subject_check(bus_view subject,
                          bool wildcards); // legal NATS subject of at most 255 bytes

// "act.exchange.…" + selector -> "hyp.<selector>.exchange.…". Anything but act.exchange is BUS_EINVAL.
bus_err bus_lane_to_hyp(char buf[BUS_SUBJECT_BUF], bus_view act_subject, bus_view selector,
                        size_t *len);

#endif
