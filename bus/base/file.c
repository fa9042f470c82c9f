#include "bus/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool write_all(int fd, bus_view bytes)
{
    for (size_t done = 0; done < bytes.len;) {
        ssize_t n = write(fd, bytes.ptr + done, bytes.len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n == 0 ? ENOSPC : errno;
            return false;
        }
        done += (size_t)n;
    }
    return true;
}

static bool put(const char *path, bus_view bytes, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0)
        return false;
    bool ok = write_all(fd, bytes) && fdatasync(fd) == 0;
    int why = errno;
    if (close(fd) != 0 && ok)
        return false;
    errno = why;
    return ok;
}

// The name itself is the folder's, which is written for itself.
static bool sync_folder(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int len = slash == path ? 1 : slash ? (int)(slash - path) : 1;
    snprintf(folder, sizeof folder, "%.*s", len, slash ? path : ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    int why = errno;
    if (fd >= 0)
        close(fd);
    errno = why;
    return ok;
}

bus_err bus_file_write(const char *path, bus_view bytes, mode_t mode)
{
    char fresh[PATH_MAX];
    int len = snprintf(fresh, sizeof fresh, "%s.%d", path, (int)getpid());
    if (len < 0 || (size_t)len >= sizeof fresh)
        return bus_fail(BUS_EINVAL, "'%.60s…': the path is too long", path);
    if (!put(fresh, bytes, mode) || rename(fresh, path) != 0) {
        bus_err err = bus_fail(BUS_EIO, "writing '%s': %s", path, strerror(errno));
        unlink(fresh);
        return err;
    }
    if (!sync_folder(path))
        return bus_fail(BUS_EIO, "writing the folder of '%s': %s", path, strerror(errno));
    return BUS_OK;
}
