// What replays and participants tell each other, and the re-addressing of any stored bytes.
#include <stdlib.h>

#include "bus/nats/readdress.h"
#include "bus/nats/watermark.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bus_watermark mark;
    static uint8_t out[BUS_READDRESS_BUF];
    char subject[BUS_SUBJECT_BUF];
    uint64_t seq;
    bool leave;
    bus_event event;
    bus_view in = {(const char *)data, size}, run, name;
    bus_readdress_to to = {BUS_VIEW("s"), BUS_VIEW("r"), {1}, NULL};
    bus_pack p = bus_pack_to(out, sizeof out);
    bus_watermark_decode(&mark, in);
    bus_done_parse(in, &seq, &leave);
    if (bus_done_subject_read(in, &run, &name) == BUS_OK &&
        (run.len >= in.len || name.len >= in.len))
        abort();
    if (bus_readdress(&p, subject, BUS_VIEW("act.exchange.x.y.z"), in, &to, NULL) == BUS_OK &&
        bus_event_decode_msgpack(&event, (bus_view){(const char *)out, p.len}) == BUS_EINVAL)
        abort(); // what was an event still is one (or has become too large)
    return 0;
}
