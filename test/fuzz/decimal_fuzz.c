// First byte: the scale; the rest: a decimal. What parses prints as the same value.
#include <stdlib.h>
#include <string.h>

#include "bus/base/decimal.h"

static void demand(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    int scale = data[0] % (BUS_DECIMAL_SCALE_MAX + 1), least;
    bus_view text = {(const char *)data + 1, size - 1};
    int64_t v, again;
    char buf[BUS_DECIMAL_TEXT];
    bus_err err = bus_decimal_scale_of(text, &least);
    if (bus_decimal_parse(text, scale, &v) != BUS_OK)
        return 0;
    demand(err == BUS_OK && least <= scale);
    int len = bus_decimal_format(v, scale, buf);
    demand(bus_decimal_parse((bus_view){buf, (size_t)len}, scale, &again) == BUS_OK && v == again);
    len = bus_wide_format(v, scale, buf);
    demand(bus_decimal_parse((bus_view){buf, (size_t)len}, scale, &again) == BUS_OK && v == again);
    return 0;
}
