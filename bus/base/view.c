#include "bus/base/view.h"

bool bus_view_u64(bus_view v, uint64_t *out)
{
    if (v.len == 0 || v.len > 20)
        return false;
    uint64_t n = 0;
    for (size_t i = 0; i < v.len; i++) {
        unsigned digit = (unsigned)v.ptr[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, digit, &n))
            return false;
    }
    *out = n;
    return true;
}

bool bus_view_copy(bus_view v, char *buf, size_t cap)
{
    if (cap == 0)
        return false;
    if (v.len >= cap) {
        buf[0] = '\0';
        return false;
    }
    if (v.len)
        memcpy(buf, v.ptr, v.len);
    buf[v.len] = '\0';
    return true;
}
