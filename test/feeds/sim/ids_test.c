#include "feeds/sim/ids.h"

#include <stdio.h>

#include "test/support/test.h"

Test(ids, never_go_back_even_when_the_clock_does)
{
    sim_ids ids;
    int64_t base, again;
    const char *folder = test_tmp();
    test_ok(sim_ids_open(&ids, folder, (bus_wall){1723161200000000000}, &base));
    cr_expect_eq(base, 1723161200000000);
    int64_t highest = base + 25000000;
    test_ok(sim_ids_raise(&ids, highest));
    cr_expect_geq(ids.until, highest + 10000000);
    test_ok(sim_ids_open(&ids, folder, (bus_wall){1000000000000000000}, &again));
    cr_expect_gt(again, highest);
    test_ok(sim_ids_open(&ids, folder, (bus_wall){2000000000000000000}, &again));
    cr_expect_eq(again, 2000000000000000);
}

Test(ids, without_a_folder_rest_on_the_clock)
{
    sim_ids ids;
    int64_t base;
    test_ok(sim_ids_open(&ids, "", (bus_wall){1723161200123456789}, &base));
    cr_expect_eq(base, 1723161200123456);
    test_ok(sim_ids_raise(&ids, INT64_MAX / 2));
}

Test(ids, a_file_that_is_no_number_is_refused_by_name)
{
    char path[512];
    sim_ids ids;
    int64_t base;
    const char *folder = test_tmp();
    snprintf(path, sizeof path, "%s/simexd.ids", folder);
    FILE *f = fopen(path, "w");
    fputs("12x\n", f);
    fclose(f);
    test_expect_err(sim_ids_open(&ids, folder, (bus_wall){1}, &base), BUS_EINVAL);
    cr_expect(strstr(bus_err_text(), "simexd.ids"), "%s", bus_err_text());
}
