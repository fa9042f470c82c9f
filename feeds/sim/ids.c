#include "feeds/sim/ids.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bus/base/file.h"

static const int64_t MARGIN = 10000000, AHEAD = 100000000;

static bus_err write_file(const char *path, int64_t until)
{
    char text[32];
    int len = snprintf(text, sizeof text, "%lld\n", (long long)until);
    return bus_note(bus_file_write(path, (bus_view){text, (size_t)len}, 0644), "ids");
}

static bus_err read_file(const char *path, int64_t *until)
{
    char text[32];
    uint64_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    *until = 0;
    if (fd < 0)
        return errno == ENOENT ? BUS_OK : bus_fail(BUS_EIO, "ids '%s': %s", path, strerror(errno));
    ssize_t len = read(fd, text, sizeof text);
    close(fd);
    if (len < 2 || text[len - 1] != '\n' || !bus_view_u64((bus_view){text, (size_t)len - 1}, &n) ||
        n > INT64_MAX / 2)
        return bus_fail(BUS_EINVAL, "ids '%s': not one decimal number and a newline", path);
    *until = (int64_t)n;
    return BUS_OK;
}

bus_err sim_ids_open(sim_ids *ids, const char *folder, bus_wall now, int64_t *base)
{
    int64_t us = now.ns / 1000;
    *ids = (sim_ids){.until = 0};
    *base = us;
    if (!folder || !folder[0])
        return BUS_OK;
    if (snprintf(ids->path, sizeof ids->path, "%s/simexd.ids", folder) >= (int)sizeof ids->path)
        return bus_fail(BUS_EINVAL, "state '%.60s…': the path is too long", folder);
    bus_err err = read_file(ids->path, &ids->until);
    if (err)
        return err;
    *base = ids->until > us ? ids->until : us;
    return sim_ids_raise(ids, *base);
}

bus_err sim_ids_raise(sim_ids *ids, int64_t highest)
{
    if (!ids->path[0] || highest + MARGIN <= ids->until)
        return BUS_OK;
    int64_t until = highest + AHEAD;
    bus_err err = write_file(ids->path, until);
    if (!err)
        ids->until = until;
    return err;
}
