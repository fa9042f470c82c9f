#include "bus/base/kill_point.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/base/log.h"
#include "bus/base/view.h"

bool bus_kill_armed;

// Of the entry that is armed.
static char point[64], token[256];
static _Atomic uint64_t left; // passes until it ends

// <name>:<n>[@<file>]
static bool parse(bus_view text)
{
    const char *colon = memchr(text.ptr, ':', text.len), *end = text.ptr + text.len;
    const char *at = colon ? memchr(colon, '@', (size_t)(end - colon)) : NULL;
    const char *digits_end = at ? at : end;
    uint64_t n = 0;
    if (!colon || (size_t)(colon - text.ptr) >= sizeof point ||
        (at && (size_t)(end - at) > sizeof token) ||
        !bus_view_u64((bus_view){colon + 1, (size_t)(digits_end - colon - 1)}, &n) || n == 0)
        return false;
    bus_view_copy((bus_view){text.ptr, (size_t)(colon - text.ptr)}, point, sizeof point);
    token[0] = '\0';
    if (at)
        bus_view_copy((bus_view){at + 1, (size_t)(end - at - 1)}, token, sizeof token);
    atomic_store(&left, n);
    return true;
}

void bus_kill_arm(void)
{
    const char *text = getenv("TL_KILL_AT");
    bus_kill_armed = false;
    for (const char *at = text; at && *at && !bus_kill_armed;) {
        size_t len = strcspn(at, ",");
        if (!parse((bus_view){at, len})) {
            bus_warn("TL_KILL_AT: <point>:<n>[@<file>][,...] is expected, n at least 1: '%.80s' is "
                     "not used",
                     text);
            return;
        }
        // Somebody died of this one before: the next one is for us.
        bus_kill_armed = !*token || access(token, F_OK) == 0;
        at += len + (at[len] == ',');
    }
}

void bus_kill_pass(const char *name)
{
    if (strcmp(name, point) != 0 || atomic_fetch_sub(&left, 1) != 1)
        return;
    if (*token && unlink(token) != 0)
        return; // somebody died of it before: once is enough
    bus_warn("killed at point %s", name);
    raise(SIGKILL);
}
