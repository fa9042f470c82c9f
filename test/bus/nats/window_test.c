// Source: schemas/specs/recording.md, "Writing".
#include <string.h>

#include "bus/nats/window.h"
#include "test/support/test.h"

static bus_window w;

static const bus_mono start = {1000};

static void given_a_window(uint32_t msgs, uint32_t bytes)
{
    test_ok(bus_window_init(&w, msgs, bytes));
}

static uint64_t put(uint32_t len, uint64_t tag)
{
    uint8_t *room = bus_window_room(&w, len);
    if (!room)
        return 0;
    memset(room, (int)tag, len);
    return bus_window_put(&w, len, tag);
}

static int send_all(bus_mono now)
{
    int n = 0;
    for (uint64_t number; (number = bus_window_due(&w, now)) != 0; n++)
        bus_window_sent(&w, number, now);
    return n;
}

static uint64_t popped(void)
{
    bus_slot slot;
    return bus_window_pop(&w, &slot) ? slot.tag : 0;
}

Test(window, sends_one_message_until_the_broker_took_it_then_everything)
{
    given_a_window(8, 800);
    for (uint64_t i = 1; i <= 5; i++)
        put(10, i);
    cr_assert_eq(send_all(start), 1);
    bus_window_stored(&w, 1, 7, false);
    cr_assert_eq(send_all(start), 4);
}

Test(window, counts_nothing_as_stored_that_was_never_sent)
{
    given_a_window(8, 800);
    put(10, 1), put(10, 2), put(10, 3);
    send_all(start);
    bus_window_stored(&w, 3, 9, false);
    bus_window_stored(&w, 1, 7, false);
    cr_assert_eq(send_all(start), 2);
    bus_window_stored(&w, 2, 8, false);
    cr_assert_eq(popped(), 1);
    cr_assert_eq(popped(), 2);
    cr_assert_eq(popped(), 0);
}

Test(window, hands_acknowledgements_out_in_order_of_sending)
{
    given_a_window(8, 800);
    put(10, 1), put(10, 2), put(10, 3);
    send_all(start);
    bus_window_stored(&w, 1, 7, false);
    send_all(start);
    bus_window_stored(&w, 3, 9, false);
    cr_assert_eq(popped(), 1);
    cr_assert_eq(popped(), 0);
    bus_window_stored(&w, 2, 8, false);
    cr_assert_eq(popped(), 2);
    cr_assert_eq(popped(), 3);
}

Test(window, sends_again_in_order_after_doubt_what_was_not_acknowledged)
{
    given_a_window(8, 800);
    put(10, 1), put(10, 2), put(10, 3);
    send_all(start);
    bus_window_stored(&w, 1, 7, false);
    send_all(start);
    bus_window_stored(&w, 2, 8, false);
    bus_window_doubt(&w);
    cr_assert_eq(bus_window_due(&w, start), 3);
}

Test(window, an_answer_to_the_first_sending_counts_after_doubt)
{
    given_a_window(8, 800);
    put(10, 1);
    send_all(start);
    bus_window_doubt(&w);
    bus_window_stored(&w, 1, 7, true);
    cr_assert_eq(popped(), 1);
    cr_assert_eq(bus_window_due(&w, start), 0);
}

Test(window, pauses_after_a_refusal_for_now_and_probes_with_the_oldest)
{
    given_a_window(8, 800);
    put(10, 1), put(10, 2), put(10, 3);
    send_all(start);
    bus_window_stored(&w, 1, 7, false);
    send_all(start);
    bus_window_declined(&w, 2);
    cr_assert_eq(bus_window_due(&w, start), 0, "3 is not answered yet");
    bus_window_declined(&w, 3);
    cr_assert_eq(bus_window_due(&w, start), 0, "the pause");
    bus_mono later = bus_mono_add(start, BUS_SPAN_MS(51));
    cr_assert_eq(bus_window_due(&w, later), 2);
    bus_window_sent(&w, 2, later);
    cr_assert_eq(bus_window_due(&w, later), 0, "a probe is alone");
}

Test(window, pauses_double_up_to_two_seconds_and_start_anew_after_success)
{
    given_a_window(8, 800);
    put(10, 1);
    bus_mono now = start;
    int64_t last = 0;
    for (int i = 0; i < 10; i++) {
        while (!bus_window_due(&w, now))
            now = bus_mono_add(now, BUS_SPAN_MS(1));
        bus_window_sent(&w, 1, now);
        bus_window_declined(&w, 1);
        bus_window_due(&w, now);
        last = w.pause_until.ns - now.ns;
    }
    cr_assert_eq(last, 2000000000);
    now = w.pause_until;
    bus_window_sent(&w, bus_window_due(&w, now), now);
    bus_window_stored(&w, 1, 7, false);
    cr_assert_eq(w.pause.ns, 50000000);
}

Test(window, is_full_by_count_and_by_bytes_and_has_room_again_when_the_head_leaves)
{
    given_a_window(4, 100);
    cr_assert(put(60, 1));
    cr_assert_not(put(60, 2), "bytes");
    cr_assert(put(40, 2));
    cr_assert_not(put(1, 3), "bytes to the last one");
    send_all(start);
    bus_window_stored(&w, 1, 1, false);
    cr_assert_eq(popped(), 1);
    cr_assert(put(60, 3));
    bus_window_release(&w);
    given_a_window(4, 100);
    for (uint64_t i = 1; i <= 4; i++)
        cr_assert(put(1, i));
    cr_assert_not(put(1, 5), "count");
}

Test(window, keeps_every_byte_of_every_message_through_many_turns_of_the_ring)
{
    given_a_window(16, 1000);
    uint32_t roll = 12345;
    uint64_t tag = 0, out = 0;
    for (int i = 0; i < 200000; i++) {
        roll = roll * 1664525 + 1013904223;
        if (put(1 + roll % 300, tag + 1))
            tag++;
        send_all(start);
        for (uint64_t n = w.head; n < w.tail; n++) {
            bus_view bytes = bus_window_bytes(&w, n);
            cr_assert_eq((uint8_t)bytes.ptr[0], (uint8_t)n);
            cr_assert_eq((uint8_t)bytes.ptr[bytes.len - 1], (uint8_t)n);
        }
        if (roll >> 31) {
            bus_window_stored(&w, w.head, 1, false);
            uint64_t got = popped();
            cr_assert_eq(got, got ? ++out : 0);
        }
    }
    cr_assert_gt(out, 1000);
}

Test(window, tells_the_words_of_a_refusal_for_good_and_goes_on)
{
    given_a_window(4, 400);
    put(60, 1), put(60, 2);
    send_all(start);
    bus_window_refused(&w, 1, BUS_ELIMIT, "too large");
    bus_slot slot;
    cr_assert(bus_window_pop(&w, &slot));
    cr_assert_eq(slot.err, BUS_ELIMIT);
    cr_assert_str_eq(slot.words, "too large");
    cr_assert(bus_window_popped(&w, &slot).len == 60, "the message itself is still there");
    cr_assert_eq(bus_window_due(&w, start), 2);
}

static bool holds(uint64_t number, uint32_t len, uint8_t fill)
{
    bus_view bytes = bus_window_bytes(&w, number);
    if (bytes.len != len)
        return false;
    for (uint32_t i = 0; i < len; i++)
        if ((uint8_t)bytes.ptr[i] != fill)
            return false;
    return true;
}

// An event is written into room for its upper bound and put with its true length, so the room may be at
// the start of the ring although the message would have fitted at the end.
Test(window, a_message_shorter_than_its_room_keeps_its_bytes_round_the_ring)
{
    enum { ROUNDS = 20000, SHORT = 100 };
    uint64_t seed = 88172645463325252u, oldest = 1, number = 0;
    uint32_t len_of[64] = {0};
    given_a_window(64, 1000);
    for (int i = 0; i < ROUNDS; i++) {
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        uint32_t len = 1 + (uint32_t)(seed % SHORT), room_len = len + (uint32_t)(seed >> 32) % 60;
        uint8_t *room = bus_window_room(&w, room_len);
        if (room) {
            memset(room, (int)((number + 1) & 0xff), len);
            number = bus_window_put(&w, len, number + 1);
            len_of[number % 64] = len;
        }
        for (uint64_t n = oldest; n <= number; n++)
            cr_assert(holds(n, len_of[n % 64], (uint8_t)n), "message %d", (int)n);
        if (!room || seed % 3 == 0) {
            send_all(start);
            bus_window_stored(&w, oldest, oldest, false);
            oldest += popped() != 0;
        }
    }
    cr_assert_gt(number, ROUNDS / 2);
}
