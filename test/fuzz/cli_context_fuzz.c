// Any bytes as a context file of the nats CLI: taken over or refused.
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/session.h"

static const char *given_folder(void)
{
    static char base[64], path[128];
    if (base[0])
        return base;
    snprintf(base, sizeof base, "/tmp/cli_context_fuzz.%d", (int)getpid());
    mkdir(base, 0700);
    snprintf(path, sizeof path, "%s/nats", base);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/nats/context", base);
    mkdir(path, 0700);
    setenv("XDG_CONFIG_HOME", base, 1);
    setenv("NATS_CONTEXT", "given", 1);
    return base;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[160];
    lane_connection connection = {0};
    lane_args args = {0};
    snprintf(path, sizeof path, "%s/nats/context/given.json", given_folder());
    FILE *f = fopen(path, "w");
    if (!f)
        return 0;
    fwrite(data, 1, size, f);
    fclose(f);
    if (lane_connection_find(&connection, &args) == BUS_OK && !connection.url)
        abort();
    lane_connection_release(&connection);
    unlink(path);
    return 0;
}
