// Source: schemas/specs/workers.md, "Records".
#include "workhost/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/support/test.h"

#define HASH "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

static char *given_record(const char *field)
{
    static char json[2048];
    snprintf(json, sizeof json,
             "{\"id\":\"sma\",\"inputs\":[\"exchange.x.y.z\"],\"config\":{\"fast\":\"3\"},\"code\":"
             "{\"sha256\":"
             "\"" HASH "\",\"source\":\"/w/sma.so\",\"bytes\":12},\"status\":\"running\"%s%s}",
             *field ? "," : "", field);
    return json;
}

Test(record, is_written_and_read_back)
{
    work_record *r = NULL, *again = NULL;
    test_ok(work_record_from_json(
        &r, bus_view_of(given_record("\"tags\":{\"team\":\"x\"},\"generation\":4"))));
    char *text = work_record_to_json(r);
    test_ok(work_record_from_json(&again, bus_view_of(text)));
    cr_expect_str_eq(again->sha256, HASH);
    cr_expect_str_eq(again->source, "/w/sma.so");
    cr_expect(again->running && again->generation == 4 && again->bytes == 12);
    cr_expect(json_equal(r->config, again->config) && json_equal(r->tags, again->tags));
    work_record_free(r);
    work_record_free(again);
    free(text);
}

// The hash names the file that is loaded; a text cut in the middle of a character could not be stored again.
Test(record, a_field_that_is_not_as_it_was_written_is_refused)
{
    static char group[128] = "\"group\":\"";
    memset(group + strlen(group), 'g', 64);
    strcat(group, "\"");
    const char *const fields[] = {
        group, "\"generation\":-1", "\"config\":{\"fast\":3}", "\"tags\":[]", "\"id\":\"twice\"",
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        work_record *r = NULL;
        const char *json = given_record(fields[i]);
        // a key given twice is refused as a whole, so what is tested must not be there yet
        if (strncmp(fields[i], "\"config\"", 8) == 0)
            json = "{\"id\":\"sma\",\"config\":{\"fast\":3}}";
        test_expect_err(work_record_from_json(&r, bus_view_of(json)), BUS_EDATALOSS);
    }
    static const char *const hashes[] = {"../../../tmp/evil", "9F86", HASH "0", "/"};
    for (size_t i = 0; i < sizeof hashes / sizeof *hashes; i++) {
        char json[256];
        work_record *r = NULL;
        snprintf(json, sizeof json, "{\"id\":\"sma\",\"code\":{\"sha256\":\"%s\"}}", hashes[i]);
        test_expect_err(work_record_from_json(&r, bus_view_of(json)), BUS_EDATALOSS);
    }
}
