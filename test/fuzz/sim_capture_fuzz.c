// First byte: the format of the file; the rest: its lines. What is read of a line stays within it, and a
// frame's ids, levels and names can be used. The rest is also the file that says where ids begin.
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bus/base/file.h"
#include "feeds/sim/capture.h"
#include "feeds/sim/ids.h"
#include "input.h"

static void within(bus_view part, bus_view whole)
{
    demand(part.len == 0 ||
           (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len));
}

static void on_level(void *ctx, bus_view price, bus_view quantity)
{
    within(price, *(const bus_view *)ctx);
    within(quantity, *(const bus_view *)ctx);
}

static void try_line(sim_format format, bus_view text)
{
    sim_line line;
    sim_frame frame;
    if (text.len && format == SIM_FORMAT_UNKNOWN)
        format = sim_line_format(text);
    if (sim_line_parse(&line, format, text) != BUS_OK)
        return;
    within(line.text, text);
    within(line.url, text);
    if (!sim_frame_parse(&frame, line.text))
        return;
    within(frame.data, text);
    within(frame.stream, text);
    demand(frame.symbol[0] && strlen(frame.symbol) < SIM_SYMBOL_MAX);
    demand(frame.channel[0] && strlen(frame.channel) < SIM_CHANNEL_MAX);
    (void)sim_capture_levels(frame.bids, on_level, &text);
    (void)sim_capture_levels(frame.asks, on_level, &text);
}

// --- the file of ids ------------------------------------------------------------------------------------------

static bus_view ids_file;
static char ids_written[64];

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    int mode = flags & O_CREAT ? va_arg(more, int) : 0;
    va_end(more);
    if (strcmp(path, "played/simexd.ids") != 0)
        return __real_open(path, flags, mode);
    int fd = memfd_create("ids", MFD_CLOEXEC);
    demand(write(fd, ids_file.ptr, ids_file.len) == (ssize_t)ids_file.len);
    demand(lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

bus_err __wrap_bus_file_write(const char *path, bus_view bytes, mode_t mode);
bus_err __wrap_bus_file_write(const char *path, bus_view bytes, mode_t mode)
{
    (void)mode;
    demand(strcmp(path, "played/simexd.ids") == 0);
    demand(bus_view_copy(bytes, ids_written, sizeof ids_written));
    return BUS_OK;
}

// No id is given out that the file before could have stood for; what is written is read again.
static void try_ids(bus_view file)
{
    static const int64_t now_us = 1700000000000000, margin = 10000000;
    sim_ids ids, again;
    int64_t base = 0, base_again = 0;
    if (file.len == 0)
        return;
    ids_file = file;
    if (sim_ids_open(&ids, "played", (bus_wall){now_us * 1000}, &base))
        return;
    long long said = strtoll(file.ptr, NULL, 10); // it ends with a newline
    demand(base >= now_us && base >= said && ids.until >= base + margin);
    ids_file = bus_view_of(ids_written);
    if (ids.until == said) // nothing was written: the file stands for more already
        return;
    demand(sim_ids_open(&again, "played", (bus_wall){0}, &base_again) == BUS_OK);
    demand(base_again == ids.until);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    sim_format format = (sim_format)(data[0] % 3);
    bus_view rest = {(const char *)data + 1, size - 1};
    try_ids(rest);
    while (rest.len) {
        const char *end = memchr(rest.ptr, '\n', rest.len);
        size_t len = end ? (size_t)(end - rest.ptr) : rest.len;
        try_line(format, (bus_view){rest.ptr, len});
        size_t used = end ? len + 1 : len;
        rest = (bus_view){rest.ptr + used, rest.len - used};
    }
    return 0;
}
