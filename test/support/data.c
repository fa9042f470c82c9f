#include "test/support/data.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "test/support/test.h"

static const char *join(const char *folder, const char *name)
{
    char *path = NULL;
    cr_assert(asprintf(&path, "%s/%s", folder, name) > 0);
    return test_keep(path);
}

static const char *folder(void)
{
    const char *given = getenv("TRADELANE_DATA");
    return given && *given ? given : TL_CAPTURES_DEFAULT;
}

bool test_have_data(void)
{
    return access(join(folder(), "golden.json"), R_OK) == 0;
}

const char *test_data(const char *name)
{
    if (!test_have_data())
        test_skip("no captures");
    const char *path = join(folder(), name);
    cr_assert(access(path, R_OK) == 0, "the captures in '%s' have no '%s'", folder(), name);
    return path;
}

const char *test_tree(const char *name)
{
    return join(TL_SOURCE_DIR, name);
}
