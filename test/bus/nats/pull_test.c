// Source: schemas/specs/recording.md, "Reading".
#include "bus/nats/pull.h"
#include "test/support/test.h"

static bus_place place_of(const char *reply)
{
    bus_place place = {0};
    cr_assert(bus_place_parse(&place, bus_view_of(reply)), "%s", reply);
    return place;
}

Test(place, reads_the_short_and_both_long_forms)
{
    static const char *const forms[] = {
        "$JS.ACK.ACT.readabc.1.4711.42.1700000000000000001.9",
        "$JS.ACK.hub.hAsH.ACT.readabc.1.4711.42.1700000000000000001.9",
        "$JS.ACK._.hAsH.ACT.readabc.1.4711.42.1700000000000000001.9.xyz123",
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        bus_place place = place_of(forms[i]);
        cr_assert(bus_view_is(place.consumer, "readabc"), "%s", forms[i]);
        cr_assert_eq(place.stream_seq, 4711);
        cr_assert_eq(place.consumer_seq, 42);
        cr_assert_eq(place.stored.ns, 1700000000000000001);
        cr_assert_eq(place.pending, 9);
    }
}

Test(place, refuses_what_is_no_acknowledgement_subject)
{
    static const char *const others[] = {
        "",
        "$JS.ACK.",
        "$JS.ACK.ACT.c.1.2.3.4",
        "$JS.ACK.ACT.c.1.2.3.4.x",
        "$JS.ACK.ACT.c.1..3.4.5",
        "_INBOX.abc.1.2.3.4.5.6.7",
        "$JS.ACK.a.b.c.d.e.f.g.h.i.j.k.l.m",
        "$JS.ACK.ACT.c.1.18446744073709551615.1.1700000000000000001.0", // none comes after it
        "$JS.ACK.ACT.c.1.18446744073709551617.1.1700000000000000001.0", // not 1
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        bus_place place;
        cr_assert_not(bus_place_parse(&place, bus_view_of(others[i])), "%s", others[i]);
    }
}

static bus_place_verdict meet(bus_continuity *c, uint64_t consumer_seq, uint64_t stream_seq,
                              bus_seq_range *gap)
{
    bus_place place = {.consumer_seq = consumer_seq, .stream_seq = stream_seq};
    return bus_continuity_check(c, &place, gap);
}

Test(continuity, tells_a_hole_in_the_stream_from_a_lost_delivery)
{
    bus_continuity c = {.next_seq = 10};
    bus_seq_range gap = {0};
    cr_assert_eq(meet(&c, 1, 10, &gap), BUS_PLACE_NEXT);
    cr_assert_eq(meet(&c, 2, 15, &gap), BUS_PLACE_GAP);
    cr_assert(gap.first == 11 && gap.last == 14);
    cr_assert_eq(meet(&c, 4, 17, &gap), BUS_PLACE_LOST);
    cr_assert_eq(c.next_seq, 16, "what was lost is asked for again");
}

Test(continuity, takes_other_subjects_for_no_gap_when_filtered)
{
    bus_continuity c = {.next_seq = 10, .filtered = true};
    bus_seq_range gap = {0};
    cr_assert_eq(meet(&c, 1, 25, &gap), BUS_PLACE_NEXT);
    cr_assert_eq(meet(&c, 3, 26, &gap), BUS_PLACE_LOST);
}

Test(continuity, doubts_a_sequence_that_goes_back)
{
    bus_continuity c = {.next_seq = 10};
    bus_seq_range gap = {0};
    cr_assert_eq(meet(&c, 1, 9, &gap), BUS_PLACE_LOST);
}
