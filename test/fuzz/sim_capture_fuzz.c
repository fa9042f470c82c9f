// First byte: the format of the file; the rest: its lines. What is read of a line stays within it, and a
// frame's ids, levels and names can be used.
#include <stdlib.h>
#include <string.h>

#include "feeds/sim/capture.h"

static void demand(bool ok)
{
    if (!ok)
        abort();
}

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    sim_format format = (sim_format)(data[0] % 3);
    bus_view rest = {(const char *)data + 1, size - 1};
    while (rest.len) {
        const char *end = memchr(rest.ptr, '\n', rest.len);
        size_t len = end ? (size_t)(end - rest.ptr) : rest.len;
        try_line(format, (bus_view){rest.ptr, len});
        size_t used = end ? len + 1 : len;
        rest = (bus_view){rest.ptr + used, rest.len - used};
    }
    return 0;
}
