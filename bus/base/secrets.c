#include "bus/base/secrets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

// "nats://user:pw@host:4222/path": what stands between the scheme and the first slash has an '@'.
static bool has_login(const char *url, size_t len)
{
    const char *scheme = memmem(url, len, "://", 3);
    const char *at = scheme ? scheme + 3 : url, *end = url + len;
    const char *slash = memchr(at, '/', (size_t)(end - at));
    return memchr(at, '@', (size_t)((slash ? slash : end) - at)) != NULL;
}

bool bus_secrets_in_url(const char *urls)
{
    for (const char *at = urls; *at; at += *at == ',') {
        size_t len = strcspn(at, ",");
        if (has_login(at, len))
            return true;
        at += len;
    }
    return false;
}

bool bus_secrets_loose(const char *path, bus_file_use use, char *why, size_t why_cap)
{
    struct stat st;
    if (!path || !*path || use == BUS_FILE_ANY || stat(path, &st) || !S_ISREG(st.st_mode))
        return false;
    unsigned mode = st.st_mode & 0777;
    if (use == BUS_FILE_SECRET && (mode & 077))
        snprintf(why, why_cap,
                 "'%s' holds a secret and others may read or write it (mode %03o): chmod 600 it",
                 path, mode);
    else if (mode & 022)
        snprintf(why, why_cap, "'%s' may be written by others (mode %03o): chmod go-w it", path,
                 mode);
    else
        return false;
    return true;
}

void bus_secrets_protect(bool held)
{
    const struct rlimit none = {0};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (!held)
        return;
    setrlimit(RLIMIT_CORE, &none);
    // Also where the kernel hands dumps to a program and asks no limit; and /proc/<pid> becomes root's.
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

void bus_secrets_wipe(const char *name)
{
    char *text = getenv(name);
    if (!text)
        return;
    explicit_bzero(text, strlen(text));
    unsetenv(name);
}
