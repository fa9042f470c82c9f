// asyncapi <folder of event schemas>: prints the AsyncAPI document; schemas/asyncapi.json is its output.
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base/log.h"
#include "bus/base/memory.h"
#include "store/asyncapi.h"
#include "tradelane_version.h"

int main(int argc, char **argv)
{
    char *text = NULL;
    size_t len = 0;
    bus_log_init("asyncapi", BUS_LOG_INFO, BUS_LOG_TEXT);
    bus_memory_json();
    if (argc != 2 || argv[1][0] == '-') {
        fprintf(stderr, "usage: asyncapi <folder of event schemas>\n");
        return 2;
    }
    if (store_asyncapi_text(&text, &len, argv[1], TRADELANE_VERSION)) {
        fprintf(stderr, "asyncapi: %s\n", bus_err_text());
        return 1;
    }
    bool ok = fwrite(text, 1, len, stdout) == len && fflush(stdout) == 0;
    free(text);
    if (!ok)
        fprintf(stderr, "asyncapi: writing: %s\n", strerror(errno));
    return ok ? 0 : 1;
}
