#include "bus/base/err.h"

#include <string.h>

#include "test/support/test.h"

// Source: schemas/specs/daemons.md, "Errors".
Test(err, grows_its_sentence_outward)
{
    bus_err err = bus_fail(BUS_ENOTFOUND, "stream '%s' does not exist", "ACT");
    cr_expect(bus_note(err, "reading %d", 7) == BUS_ENOTFOUND);
    cr_expect_str_eq(bus_err_text(), "reading 7: stream 'ACT' does not exist");
    cr_expect(bus_note(BUS_OK, "nothing") == BUS_OK);
    cr_expect_str_eq(bus_err_text(), "reading 7: stream 'ACT' does not exist");
}

Test(err, may_quote_the_sentence_it_replaces)
{
    bus_fail(BUS_EINVAL, "first");
    bus_fail(BUS_EINVAL, "second after %s", bus_err_text());
    cr_expect_str_eq(bus_err_text(), "second after first");
}

Test(err, keeps_long_sentences_bounded)
{
    char long_text[3000];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    bus_fail(BUS_EINVAL, "%s", long_text);
    cr_expect_eq(strlen(bus_err_text()), 1023);
    bus_note(BUS_EINVAL, "%s", long_text); // too long to put in front: the cause stays
    cr_expect_eq(strlen(bus_err_text()), 1023);
}

Test(err, maps_every_code_to_a_grpc_status)
{
    cr_expect_eq(bus_err_grpc(BUS_ENOMEM), 8);
    cr_expect_eq(bus_err_grpc(BUS_EIO), 14);
    cr_expect_eq(bus_err_grpc(BUS_EUSAGE), 3);
    cr_expect_eq(bus_err_grpc(BUS_ECONFLICT), 10);
    cr_expect_eq(bus_err_grpc((bus_err)99), 2);
    cr_expect_str_eq(bus_err_name(BUS_ENOTFOUND), "NOT_FOUND");
    cr_expect_str_eq(bus_err_name(BUS_EAUTH), "UNAUTHENTICATED");
}
