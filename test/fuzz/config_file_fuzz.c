// Any bytes as a settings file: read or refused, and every value can be asked for.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bus/base/config_file.h"

static const bus_config_row rows[] = {
    {.name = "http"},
    {.name = "symbols", .kind = BUS_CONFIG_LIST},
    {.name = "ack_window", .kind = BUS_CONFIG_INT},
    {0},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    static char path[64];
    bus_config_file *file = NULL;
    if (fd < 0) {
        fd = memfd_create("settings", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
        return 0;
    if (bus_config_file_open(&file, path, rows))
        return 0;
    for (size_t i = 0; i < 3; i++) {
        char **items = NULL;
        size_t count = rows[i].kind == BUS_CONFIG_LIST ? bus_config_file_list(file, i, &items) : 0;
        for (size_t k = 0; k < count; k++)
            if (items[k] && strlen(items[k]) > size)
                abort();
        if (rows[i].kind != BUS_CONFIG_LIST)
            (void)strlen(bus_config_file_text(file, i));
    }
    bus_config_file_close(file);
    return 0;
}
