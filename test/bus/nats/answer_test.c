// Source: schemas/specs/recording.md, "Writing" and "Fast ingest".
#include "bus/nats/answer.h"
#include "test/support/test.h"

static bool single(bus_answer *answer, const char *text)
{
    *answer = (bus_answer){0};
    return bus_answer_read(answer, bus_view_of(text));
}

Test(answer, of_a_message_is_read_as_brokers_write_it)
{
    bus_answer a;
    cr_assert(single(&a, "{\"stream\":\"ACT\",\"seq\":42}"));
    cr_assert(bus_view_is(a.stream, "ACT"));
    cr_assert(a.seq == 42 && !a.duplicate);
    cr_assert(single(&a, "{\"stream\":\"ACT\", \"seq\":18446744073709551615,\"duplicate\": true}"));
    cr_assert(a.seq == UINT64_MAX && a.duplicate);
    cr_assert(single(&a, "{\"stream\":\"S\", \"domain\":\"hub\", \"seq\":7,\"duplicate\":true}"));
    cr_assert(bus_view_is(a.stream, "S"));
    cr_assert(a.seq == 7 && a.duplicate);
}

Test(answer, of_a_message_is_no_refusal_and_nothing_that_merely_begins_like_one)
{
    static const char *const others[] = {
        "",
        "{\"stream\":\"ACT\",\"error\":{\"code\":503,\"seq\":6}}",
        "{\"stream\":\"ACT\",\"seq\":6,\"error\":{\"code\":503}}",
        "{\"error\":{\"code\":503},\"stream\":\"ACT\",\"seq\":6}",
        "{\"stream\":\"a\\\",\\\"seq\\\":6\"}",
        "{\"stream\":\"ACT\",\"seq\":0}",
        "{\"stream\":\"ACT\",\"seq\":-1}",
        "{\"stream\":\"ACT\",\"seq\":18446744073709551616}",
        "{\"stream\":\"ACT\",\"seq\":6,\"duplicate\":false}",
        "{\"stream\":\"ACT\",\"seq\":6",
        "{\"stream\":\"ACT\",\"seq\":6}}",
        "{\"stream\":\"ACT",
        "{\"stream\":\"ACT\"",
        "{\"stream\":\"ACT\",",
    };
    bus_answer a;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        cr_assert(!single(&a, others[i]), "%s", others[i]);
}

Test(answer, of_a_batch_says_how_far_it_is_stored)
{
    uint64_t place = 0, step = 0;
    cr_assert(bus_answer_read_batch(&place, &step,
                                    BUS_VIEW("{\"type\":\"ack\",\"seq\":500,\"msgs\":250}")));
    cr_assert(place == 500 && step == 250);
}

Test(answer, of_a_batch_is_no_refusal_and_nothing_that_merely_begins_like_one)
{
    static const char *const others[] = {
        "",
        "{\"type\":\"ack\"",
        "{\"type\":\"ack\",\"error\":{\"code\":400,\"seq\":6},\"msgs\":1}",
        "{\"type\":\"ack\",\"seq\":6,\"msgs\":1,\"error\":{\"code\":400}}",
        "{\"type\":\"err\",\"seq\":6,\"msgs\":1}",
        "{\"type\":\"ack\",\"seq\":6,\"msgs\":",
        "{\"type\":\"ack\",\"seq\":6,\"msgs\":1",
        "{\"type\":\"ack\",\"seq\":,\"msgs\":1}",
    };
    uint64_t place, step;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        cr_assert(!bus_answer_read_batch(&place, &step, bus_view_of(others[i])), "%s", others[i]);
}
