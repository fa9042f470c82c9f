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

// <name>:<n>[@<file>]
static char point[64], token[256];
static _Atomic uint64_t left; // passes until it ends

static bool parse(const char *text)
{
    const char *colon = strchr(text, ':'), *at = colon ? strchr(colon, '@') : NULL;
    uint64_t n = 0;
    if (!colon || (size_t)(colon - text) >= sizeof point || (at && strlen(at + 1) >= sizeof token))
        return false;
    const char *end = at ? at : colon + strlen(colon);
    if (!bus_view_u64((bus_view){colon + 1, (size_t)(end - colon - 1)}, &n) || n == 0)
        return false;
    memcpy(point, text, (size_t)(colon - text));
    point[colon - text] = '\0';
    snprintf(token, sizeof token, "%s", at ? at + 1 : "");
    atomic_store(&left, n);
    return true;
}

void bus_kill_arm(void)
{
    const char *text = getenv("TL_KILL_AT");
    if (!text || !*text)
        return;
    bus_kill_armed = parse(text);
    if (!bus_kill_armed)
        bus_warn("TL_KILL_AT: <point>:<n>[@<file>] is expected, n at least 1: '%.80s' is not used",
                 text);
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
