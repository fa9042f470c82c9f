#include "bus/base/file.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "test/support/test.h"

// Source: schemas/specs/daemons.md, "Files".
static const char *given_path(void)
{
    static char path[600];
    snprintf(path, sizeof path, "%s/it", test_tmp());
    return path;
}

static void expect_text(const char *path, const char *text)
{
    char got[64] = "";
    FILE *f = fopen(path, "r");
    cr_assert(f != NULL);
    cr_expect(fread(got, 1, sizeof got - 1, f) == strlen(text));
    fclose(f);
    cr_expect_str_eq(got, text);
}

static int entries_beside(const char *path)
{
    char folder[600];
    int count = 0;
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
    DIR *dir = opendir(folder);
    for (struct dirent *e = readdir(dir); e; e = readdir(dir))
        count += e->d_name[0] != '.';
    closedir(dir);
    return count;
}

Test(file, is_replaced_whole)
{
    const char *path = given_path();
    struct stat st;
    test_ok(bus_file_write(path, BUS_VIEW("one"), 0600));
    test_ok(bus_file_write(path, BUS_VIEW("another"), 0600));
    expect_text(path, "another");
    cr_expect(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
    cr_expect(entries_beside(path) == 1);
}

Test(file, stays_as_it_was_when_only_a_part_can_be_written)
{
    const char *path = given_path();
    struct rlimit limit = {5, 5}; // bytes a file may have: a short write, then none
    test_ok(bus_file_write(path, BUS_VIEW("one"), 0600));
    signal(SIGXFSZ, SIG_IGN);
    cr_assert(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    test_expect_err(bus_file_write(path, BUS_VIEW("much more"), 0600), BUS_EIO);
    cr_expect(strstr(bus_err_text(), path) && strstr(bus_err_text(), "File too large"), "%s",
              bus_err_text());
    expect_text(path, "one");
    cr_expect(entries_beside(path) == 1);
}

Test(file, names_the_path_that_cannot_be_written)
{
    test_expect_err(bus_file_write("/nowhere/at/all", BUS_VIEW("x"), 0600), BUS_EIO);
    cr_expect(strstr(bus_err_text(), "/nowhere/at/all") != NULL);
    char folder[700];
    snprintf(folder, sizeof folder, "%s/folder", test_tmp());
    cr_assert(mkdir(folder, 0700) == 0);
    test_expect_err(bus_file_write(folder, BUS_VIEW("x"), 0600), BUS_EIO); // the rename fails
    cr_expect(entries_beside(folder) == 1);
}
