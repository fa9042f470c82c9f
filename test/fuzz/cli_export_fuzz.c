// Any bytes as a file that `lane diff` compares: read to its end or refused.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/side.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    static char path[64];
    lane_side *side = NULL;
    lane_decision d;
    uint64_t start, done;
    bool end = false;
    if (fd < 0) {
        fd = memfd_create("export", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
        return 0;
    if (lane_side_open(&side, NULL, path, NULL))
        return 0;
    lane_side_range(side, &start, &done);
    while (!end && lane_side_next(side, 0, UINT64_MAX, &d, &end) == BUS_OK)
        ;
    lane_side_close(side);
    return 0;
}
