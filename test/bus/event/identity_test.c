// Source: schemas/specs/envelope.md, "Identity". The expected hashes were computed with Python's
// xxhash over the bytes that the specification names.
#include "bus/event/identity.h"

#include <string.h>

#include "test/support/test.h"

TestSuite(identity);

Test(identity, correlation_is_the_hash_of_source_and_id)
{
    char a[BUS_UUID_TEXT], b[BUS_UUID_TEXT];
    bus_view source = BUS_VIEW("urn:com.virtufin.exchange.binance");
    bus_identity_correlation(a, source, BUS_VIEW("trade.BTCUSDT.1"));
    bus_identity_correlation(b, source, BUS_VIEW("trade.BTCUSDT.1"));
    cr_assert_str_eq(a, b);
    cr_assert_str_eq(a, "9da1d59e-1fe5-48fe-4679-f6fbc8332b1d");
    // the separator keeps (ab, c) and (a, bc) apart
    bus_identity_correlation(a, BUS_VIEW("ab"), BUS_VIEW("c"));
    bus_identity_correlation(b, BUS_VIEW("a"), BUS_VIEW("bc"));
    cr_assert(strcmp(a, b) != 0);
}

Test(identity, an_output_id_depends_on_every_part)
{
    bus_view part[5] = {BUS_VIEW("bt1"), BUS_VIEW("run"), BUS_VIEW("sma"), BUS_VIEW("urn:x"),
                        BUS_VIEW("i")};
    char first[33], other[33];
    bus_identity_output(first, part[0], part[1], part[2], part[3], part[4], 0);
    cr_assert_str_eq(first, "06b6c403f58d5e4f6a515d2351081bbc");
    for (int i = 0; i < 5; i++) {
        bus_view kept = part[i];
        part[i] = BUS_VIEW("other");
        bus_identity_output(other, part[0], part[1], part[2], part[3], part[4], 0);
        cr_assert(strcmp(first, other) != 0);
        part[i] = kept;
    }
    bus_identity_output(other, part[0], part[1], part[2], part[3], part[4], 10);
    cr_assert(strcmp(first, other) != 0);
}

Test(identity, the_deduplication_id_names_run_source_and_id)
{
    char text[BUS_DEDUP_TEXT];
    size_t len;
    test_ok(
        bus_identity_dedup(text, sizeof text, (bus_view){0}, BUS_VIEW("s"), BUS_VIEW("i"), &len));
    cr_assert_str_eq(text, "s#i");
    cr_assert(len == 3);
    test_ok(
        bus_identity_dedup(text, sizeof text, BUS_VIEW("r"), BUS_VIEW("s"), BUS_VIEW("i"), NULL));
    cr_assert_str_eq(text, "r#s#i");
    test_expect_err(bus_identity_dedup(text, 5, BUS_VIEW("r"), BUS_VIEW("s"), BUS_VIEW("i"), NULL),
                    BUS_ELIMIT);
}

Test(identity, run_ids_are_version_4_and_differ)
{
    char a[BUS_UUID_TEXT], b[BUS_UUID_TEXT];
    test_ok(bus_identity_run(a));
    test_ok(bus_identity_run(b));
    cr_assert(strlen(a) == 36 && a[14] == '4' && strchr("89ab", a[19]) && strcmp(a, b) != 0);
}
