// The frames of a connection whose owner reads and writes it. Source: schemas/specs/recording.md, "Frames".
#include "bus/nats/wire.h"

#include <stdlib.h>

#include "test/support/test.h"

static const struct {
    bus_wire_out out;
    const char *frame;
} frames_out[] = {
    {{BUS_VIEW("a.b"), {0}, {0}, BUS_VIEW("hello")}, "PUB a.b 5\r\nhello\r\n"},
    {{BUS_VIEW("a"), BUS_VIEW("r.1"), {0}, {0}}, "PUB a r.1 0\r\n\r\n"},
    {{BUS_VIEW("a"), {0}, BUS_VIEW("NATS/1.0\r\nK: v\r\n\r\n"), BUS_VIEW("xyz")},
     "HPUB a 18 21\r\nNATS/1.0\r\nK: v\r\n\r\nxyz\r\n"},
    {{BUS_VIEW("a"), BUS_VIEW("r"), BUS_VIEW("NATS/1.0\r\nK: v\r\n\r\n"), {0}},
     "HPUB a r 18 18\r\nNATS/1.0\r\nK: v\r\n\r\n\r\n"},
};

Test(wire, a_publish_is_the_frame_the_protocol_asks_for)
{
    for (size_t i = 0; i < sizeof frames_out / sizeof *frames_out; i++) {
        uint8_t at[256];
        size_t len = bus_wire_publish(at, &frames_out[i].out);
        cr_assert(len <= bus_wire_publish_max(&frames_out[i].out));
        cr_assert(bus_view_is((bus_view){(const char *)at, len}, frames_out[i].frame), "%.*s",
                  (int)len, at);
    }
}

Test(wire, headers_are_written_and_stepped_through)
{
    const bus_header_pair pairs[] = {{"Lane-Seq", "12"}, {"Empty", ""}, {"Lane-Run", "a:b c"}};
    char block[128];
    bus_view name, value, whole = {block, bus_wire_headers_len(pairs, 3)};
    bus_wire_headers(block, pairs, 3);
    cr_assert(bus_view_is(whole, "NATS/1.0\r\nLane-Seq: 12\r\nEmpty: \r\nLane-Run: a:b c\r\n\r\n"));
    size_t at = 0;
    for (int i = 0; i < 3; i++) {
        cr_assert(bus_wire_header_next(whole, &at, &name, &value));
        cr_assert(bus_view_is(name, pairs[i].name) && bus_view_is(value, pairs[i].value));
    }
    cr_assert(!bus_wire_header_next(whole, &at, &name, &value));
    cr_assert_eq(bus_wire_headers_len(NULL, 0), 0);
}

static const struct {
    const char *frame;
    uint64_t sid;
    const char *subject, *reply, *headers, *payload;
} frames_in[] = {
    {"MSG a.b 7 5\r\nhello\r\n", 7, "a.b", "", "", "hello"},
    {"MSG a 18446744073709551615 r.1 0\r\n\r\n", UINT64_MAX, "a", "r.1", "", ""},
    {"HMSG a 1 18 21\r\nNATS/1.0\r\nK: v\r\n\r\nx\r\n\r\n", 1, "a", "", "NATS/1.0\r\nK: v\r\n\r\n",
     "x\r\n"},
    {"HMSG a 1 $JS.ACK.x 28 28\r\nNATS/1.0 404 No Messages\r\n\r\n\r\n", 1, "a", "$JS.ACK.x",
     "NATS/1.0 404 No Messages\r\n\r\n", ""},
};

Test(wire, a_message_is_taken_whole_and_never_before_its_last_byte)
{
    for (size_t i = 0; i < sizeof frames_in / sizeof *frames_in; i++) {
        bus_view all = bus_view_of(frames_in[i].frame);
        bus_wire_frame f;
        size_t len = 0;
        for (size_t cut = 0; cut < all.len; cut++) {
            char *exact = malloc(cut + 1); // so that a look behind the cut is seen by the sanitizer
            memcpy(exact, all.ptr, cut);
            cr_assert_eq(bus_wire_take(&f, (bus_view){exact, cut}, &len), BUS_WIRE_PART, "%zu",
                         cut);
            cr_assert(len > cut && len <= all.len);
            free(exact);
        }
        cr_assert_eq(bus_wire_take(&f, all, &len), BUS_WIRE_WHOLE);
        cr_assert(f.kind == BUS_WIRE_MSG && len == all.len && f.sid == frames_in[i].sid);
        cr_assert(bus_view_is(f.subject, frames_in[i].subject));
        cr_assert(bus_view_is(f.reply, frames_in[i].reply));
        cr_assert(bus_view_is(f.headers, frames_in[i].headers));
        cr_assert(bus_view_is(f.payload, frames_in[i].payload));
    }
}

Test(wire, what_is_no_message_is_told_apart)
{
    static const struct {
        const char *frame;
        bus_wire_kind kind;
    } lines[] = {{"PING\r\n", BUS_WIRE_PING},
                 {"PONG\r\n", BUS_WIRE_PONG},
                 {"+OK\r\n", BUS_WIRE_OTHER},
                 {"INFO {\"x\":1}\r\n", BUS_WIRE_OTHER},
                 {"-ERR 'Permissions Violation'\r\n", BUS_WIRE_ERR}};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        bus_wire_frame f = {0};
        size_t len = 0;
        cr_assert_eq(bus_wire_take(&f, bus_view_of(lines[i].frame), &len), BUS_WIRE_WHOLE);
        cr_assert(f.kind == lines[i].kind && len == strlen(lines[i].frame));
        if (f.kind == BUS_WIRE_ERR)
            cr_assert(bus_view_is(f.text, "'Permissions Violation'"));
    }
}

Test(wire, what_is_not_the_protocol_is_refused)
{
    static const char *const bad[] = {
        "HELLO\r\n",
        "MSG a 1\r\n",
        "MSG a x 1\r\n.\r\n",
        "MSG a 1 r 2 3 4 5\r\n",
        "MSG a 1 -1\r\n",
        "MSG a 1 1\r\nxyz",
        "HMSG a 1 5 4\r\n",
        "HMSG a 1 4\r\n",
        "MSG a 1 99999999999\r\n",
        "\n",
        "MSG a 1 1\n",
        "MSG a 1 18446744073709551616\r\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bus_wire_frame f;
        size_t len = 0;
        cr_assert_eq(bus_wire_take(&f, bus_view_of(bad[i]), &len), BUS_WIRE_BAD, "%s", bad[i]);
    }
    bus_wire_frame f;
    size_t len, long_line = BUS_WIRE_LINE_MAX + 1;
    char *endless = malloc(long_line);
    memset(endless, 'x', long_line);
    cr_assert_eq(bus_wire_take(&f, (bus_view){endless, long_line}, &len), BUS_WIRE_BAD);
    free(endless);
}
