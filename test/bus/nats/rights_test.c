// Source: schemas/specs/recording.md, "Buckets".
#include "bus/nats/rights.h"

#include "test/support/test.h"

static const char create[] = "$JS.API.STREAM.CREATE.KV_leases";

static bool may(const char *info)
{
    return bus_rights_read(bus_view_of(info), create);
}

Test(rights, who_has_no_list_may_do_everything)
{
    cr_assert(may("{\"data\":{\"user\":\"\",\"account\":\"$G\"}}"));
    cr_assert(may("{\"data\":{\"permissions\":{\"subscribe\":{\"allow\":[\"a\"]}}}}"));
}

Test(rights, a_list_allows_what_it_matches)
{
    cr_assert(may("{\"data\":{\"permissions\":{\"publish\":{\"allow\":[\"a\",\"$JS.API.STREAM."
                  "CREATE.*\"]}}}}"));
    cr_assert_not(may("{\"data\":{\"permissions\":{\"publish\":{\"allow\":[\"a\",\"$JS.API.STREAM."
                      "INFO.*\"]}}}}"));
}

Test(rights, what_is_denied_is_denied_whatever_is_allowed)
{
    cr_assert_not(may("{\"data\":{\"permissions\":{\"publish\":{\"deny\":[\"$JS.>\"]}}}}"));
    cr_assert_not(may(
        "{\"data\":{\"permissions\":{\"publish\":{\"allow\":[\">\"],\"deny\":[\"$JS.API.>\"]}}}}"));
}

Test(rights, an_answer_of_another_form_forbids_nothing)
{
    // then it is tried, and the broker itself says no
    cr_assert(may(""));
    cr_assert(may("{\"data\":[]}"));
    cr_assert(may("{\"data\":{\"permissions\":{\"publish\":{\"allow\":\"a\",\"deny\":[7]}}}}"));
}
