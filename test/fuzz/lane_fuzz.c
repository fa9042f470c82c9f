// Any bytes as a subject, a pattern, a token. What parses is built again byte for byte.
#include <stdlib.h>
#include <string.h>

#include "bus/lane/lane.h"

static void demand(bool ok)
{
    if (!ok)
        abort();
}

static void build_again(const bus_lane *parsed, bus_view subject)
{
    char id[2][BUS_LANE_ID_MAX + 1], text[BUS_SUBJECT_BUF];
    bus_lane lane = *parsed;
    size_t len;
    for (int i = 0; i < lane.ids; i++) {
        demand(bus_token_unescape(id[i], sizeof id[i], parsed->id[i], '~', &len) == BUS_OK);
        lane.id[i] = (bus_view){id[i], len};
    }
    demand(bus_lane_format(text, &lane, &len) == BUS_OK);
    demand(bus_view_eq((bus_view){text, len}, subject));
    demand(bus_subject_check(subject, false) == BUS_OK);
    if (lane.kind == BUS_LANE_ACT && subject.len < 200) {
        char hyp[BUS_SUBJECT_BUF];
        demand(bus_lane_to_hyp(hyp, subject, BUS_VIEW("mon"), &len) == BUS_OK);
        demand(bus_lane_parse(&lane, (bus_view){hyp, len}) == BUS_OK);
        demand(lane.kind == BUS_LANE_HYP && bus_view_is(lane.selector, "mon"));
        demand(len == subject.len + sizeof "mon" && // "hyp.mon" for "act"
               memcmp(hyp + sizeof "hyp.mon" - 1, subject.ptr + 3, subject.len - 3) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bus_view text = {(const char *)data, size};
    const char *line = size ? memchr(data, '\n', size) : NULL;
    bus_view head = {text.ptr, line ? (size_t)(line - text.ptr) : size};
    bus_view tail = {line ? line + 1 : "", line ? size - head.len - 1 : 0};
    bus_lane lane;
    char token[256], back[256];
    size_t len;
    if (bus_lane_parse(&lane, head) == BUS_OK)
        build_again(&lane, head);
    bus_subject_match(head, tail);
    bus_subject_check(head, true);
    if (bus_token_unescape(token, sizeof token, head, '~', &len) == BUS_OK &&
        bus_token_escape(back, sizeof back, (bus_view){token, len}, '~', &len) == BUS_OK)
        demand(bus_view_eq((bus_view){back, len}, head));
    return 0;
}
