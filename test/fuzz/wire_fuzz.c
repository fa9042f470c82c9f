// Frames as a broker might send them: whole ones point into the bytes given, and a cut frame never ends early.
#include <stdlib.h>

#include "bus/nats/wire.h"

static void inside(bus_view all, bus_view part)
{
    if (part.len && (part.ptr < all.ptr || part.ptr + part.len > all.ptr + all.len))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bus_view rest = {(const char *)data, size};
    while (rest.len) {
        bus_wire_frame f = {.kind = BUS_WIRE_OTHER};
        size_t len = 0, at = 0;
        bus_view name, value;
        bus_wire_result result = bus_wire_take(&f, rest, &len);
        if (result == BUS_WIRE_PART && len <= rest.len)
            abort();
        if (result != BUS_WIRE_WHOLE)
            return 0;
        if (len == 0 || len > rest.len)
            abort();
        if (f.kind == BUS_WIRE_MSG) {
            inside(rest, f.subject);
            inside(rest, f.reply);
            inside(rest, f.headers);
            inside(rest, f.payload);
            while (bus_wire_header_next(f.headers, &at, &name, &value)) {
                inside(f.headers, name);
                inside(f.headers, value);
            }
        }
        rest.ptr += len;
        rest.len -= len;
    }
    return 0;
}
