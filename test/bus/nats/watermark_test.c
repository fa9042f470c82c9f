// The bytes of watermarks and done reports. Source: schemas/specs/replay.md.
#include "bus/nats/watermark.h"

#include <stdio.h>

#include "bus/event/event.h"
#include "test/support/test.h"

static size_t given_a_watermark(uint8_t *buf, size_t cap, bus_watermark *mark)
{
    bus_pack p = bus_pack_to(buf, cap);
    bus_watermark_envelope envelope = {
        BUS_VIEW("mon"), BUS_VIEW("run-1"), 7, {1700000000000000000}, {1800000000000000000}};
    test_ok(bus_watermark_encode(&p, mark, &envelope));
    return p.len;
}

Test(watermark, survives_with_the_most_and_longest_participants)
{
    static bus_watermark mark, back;
    static char names[BUS_PARTICIPANTS_MAX][BUS_PARTICIPANT_NAME_MAX + 1];
    static uint8_t buf[BUS_WATERMARK_BYTES_MAX];
    mark = (bus_watermark){.seq = 1ull << 62, .sent = 12, .end = true, .state = BUS_VIEW("paused")};
    for (int i = 0; i < BUS_PARTICIPANTS_MAX; i++) {
        snprintf(names[i], sizeof names[i], "%063d", i);
        mark.part[mark.part_count++] =
            (bus_watermark_part){bus_view_of(names[i]), 1ull << 61, 1ull << 60, (uint64_t)i};
    }
    size_t len = given_a_watermark(buf, sizeof buf, &mark);
    test_ok(bus_watermark_decode(&back, (bus_view){(const char *)buf, len}));
    cr_assert(back.seq == mark.seq && back.sent == 12 && back.end);
    cr_assert(bus_view_is(back.state, "paused"));
    cr_assert_eq(back.part_count, BUS_PARTICIPANTS_MAX);
    const bus_watermark_part *part = bus_watermark_find(&back, bus_view_of(names[63]));
    cr_assert(part && part->done == 63 && part->base == 1ull << 61 && part->count == 1ull << 60);
    cr_assert_null(bus_watermark_find(&back, BUS_VIEW("nobody")));
    bus_event event;
    test_ok(bus_event_decode_msgpack(&event, (bus_view){(const char *)buf, len}));
    cr_assert(bus_view_is(event.id, "run-1.7") && bus_view_is(event.clocktype, "historical"));
    cr_assert(bus_view_is(event.type, BUS_WATERMARK_TYPE) && bus_view_is(event.marketlane, "hyp"));
}

Test(watermark, refuses_any_cut_of_itself)
{
    static bus_watermark mark, back;
    uint8_t buf[1024];
    mark = (bus_watermark){.seq = 1, .state = BUS_VIEW("running")};
    size_t len = given_a_watermark(buf, sizeof buf, &mark);
    for (size_t cut = 0; cut < len; cut++)
        test_expect_err(bus_watermark_decode(&back, (bus_view){(const char *)buf, cut}),
                        BUS_EINVAL);
}

Test(watermark, knows_its_subject)
{
    char subject[BUS_SUBJECT_BUF];
    bus_watermark_subject(subject, BUS_VIEW("mon"));
    cr_assert_str_eq(subject, "hyp.mon.control.watermark");
    cr_assert(bus_watermark_is(bus_view_of(subject)));
    const char *others[] = {"hyp.mon.control.watermarks", "hyp.a.b.control.watermark",
                            "act.mon.control.watermark", "hyp.control.watermark", ""};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        cr_assert_not(bus_watermark_is(bus_view_of(others[i])), "%s", others[i]);
}

Test(watermark, done_reports_survive_and_bad_ones_are_named)
{
    char text[64], subject[BUS_SUBJECT_BUF];
    uint64_t seq = 0;
    bool leave = false;
    bus_view run, name;
    int len = bus_done_format(text, 42, false);
    test_ok(bus_done_parse((bus_view){text, (size_t)len}, &seq, &leave));
    cr_assert(seq == 42 && !leave);
    len = bus_done_format(text, INT64_MAX, true);
    test_ok(bus_done_parse((bus_view){text, (size_t)len}, &seq, &leave));
    cr_assert(seq == INT64_MAX && leave);
    const char *bad[] = {"",
                         "7",
                         "[]",
                         "{}",
                         "{\"seq\":-1}",
                         "{\"seq\":\"1\"}",
                         "{\"seq\":1.5}",
                         "{\"seq\":1,\"leave\":1}",
                         "{\"seq\":1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert(bus_done_parse(bus_view_of(bad[i]), &seq, &leave) != BUS_OK, "%s", bad[i]);
    test_ok(bus_done_subject(subject, BUS_VIEW("run-1"), BUS_VIEW("scenario-X")));
    cr_assert_str_eq(subject, "replay.run-1.done.scenario-X");
    test_ok(bus_done_subject_read(bus_view_of(subject), &run, &name));
    cr_assert(bus_view_is(run, "run-1") && bus_view_is(name, "scenario-X"));
    const char *others[] = {"replay.done.x", "replay.r.done.", "replay.r.done.a.b", "replay.r.x.y"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        test_expect_err(bus_done_subject_read(bus_view_of(others[i]), &run, &name), BUS_EINVAL);
}
