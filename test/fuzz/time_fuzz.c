// Times and spans: whatever is accepted is written and read back to the same instant.
#include <assert.h>
#include <stddef.h>

#include "bus/base/time.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bus_view text = {(const char *)data, size};
    int64_t ns, again;
    bus_span span;
    char buf[BUS_TIME_TEXT];
    if (bus_time_parse(text, &ns) == BUS_OK) {
        int len = bus_time_format(ns, buf);
        assert(len == 30);
        assert(bus_time_parse((bus_view){buf, (size_t)len}, &again) == BUS_OK && again == ns);
    }
    bus_span_parse(text, &span);
    return 0;
}
