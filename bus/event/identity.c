#include "bus/event/identity.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

static const char hex[] = "0123456789abcdef";

static void feed(XXH3_state_t *state, bus_view v)
{
    if (v.len)
        XXH3_128bits_update(state, v.ptr, v.len);
}

static void feed_part(XXH3_state_t *state, bus_view v)
{
    feed(state, v);
    feed(state, BUS_VIEW("\x1f"));
}

// 16 bytes, high half first, as 8-4-4-4-12.
static void write_uuid(char out[BUS_UUID_TEXT], const uint8_t bytes[16])
{
    int at = 0;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            out[at++] = '-';
        out[at++] = hex[bytes[i] >> 4];
        out[at++] = hex[bytes[i] & 15];
    }
    out[at] = '\0';
}

static void hash_bytes(uint8_t out[16], XXH128_hash_t h)
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, h);
    memcpy(out, canonical.digest, 16);
}

void bus_identity_correlation(char out[BUS_UUID_TEXT], bus_view source, bus_view id)
{
    XXH3_state_t state;
    uint8_t bytes[16];
    XXH3_128bits_reset(&state);
    feed_part(&state, source);
    feed(&state, id);
    hash_bytes(bytes, XXH3_128bits_digest(&state));
    write_uuid(out, bytes);
}

static bus_view decimal(char buf[12], uint32_t n)
{
    int at = 12;
    do
        buf[--at] = (char)('0' + n % 10);
    while (n /= 10);
    return (bus_view){buf + at, (size_t)(12 - at)};
}

void bus_identity_output(char out[33], bus_view scenario, bus_view run, bus_view worker,
                         bus_view input_source, bus_view input_id, uint32_t n)
{
    XXH3_state_t state;
    uint8_t bytes[16];
    char digits[12];
    XXH3_128bits_reset(&state);
    feed_part(&state, scenario);
    feed_part(&state, run);
    feed_part(&state, worker);
    feed_part(&state, input_source);
    feed_part(&state, input_id);
    feed_part(&state, decimal(digits, n));
    hash_bytes(bytes, XXH3_128bits_digest(&state));
    for (int i = 0; i < 16; i++) {
        out[2 * i] = hex[bytes[i] >> 4];
        out[2 * i + 1] = hex[bytes[i] & 15];
    }
    out[32] = '\0';
}

static char *append(char *at, bus_view v)
{
    if (v.len)
        memcpy(at, v.ptr, v.len);
    return at + v.len;
}

bus_err bus_identity_dedup(char *buf, size_t cap, bus_view runid, bus_view source, bus_view id,
                           size_t *len)
{
    size_t total = (runid.len ? runid.len + 1 : 0) + source.len + 1 + id.len;
    if (total >= cap)
        return bus_fail(BUS_ELIMIT,
                        "de-duplication id of '%.*s' has %zu bytes, at most %zu are "
                        "allowed",
                        BUS_VIEW_ARG(id), total, cap - 1);
    char *at = buf;
    if (runid.len) {
        at = append(at, runid);
        *at++ = '#';
    }
    at = append(at, source);
    *at++ = '#';
    at = append(at, id);
    *at = '\0';
    if (len)
        *len = total;
    return BUS_OK;
}

bus_err bus_identity_run(char out[BUS_UUID_TEXT])
{
    uint8_t bytes[16];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return bus_fail(BUS_EIO, "random bytes for a run id: %s", strerror(errno));
    bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40); // version 4
    bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80); // RFC 4122 variant
    write_uuid(out, bytes);
    return BUS_OK;
}
