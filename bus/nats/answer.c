#include "bus/nats/answer.h"

// Each takes its part off the front; false leaves `from` anywhere in front of what does not fit.
static bool word(bus_view *from, const char *text)
{
    size_t len = strlen(text);
    if (from->len < len || memcmp(from->ptr, text, len) != 0)
        return false;
    *from = (bus_view){from->ptr + len, from->len - len};
    return true;
}

static bool key(bus_view *from, const char *quoted)
{
    while (word(from, " "))
        ;
    if (!word(from, quoted) || !word(from, ":"))
        return false;
    while (word(from, " "))
        ;
    return true;
}

static bool number(bus_view *from, uint64_t *value)
{
    size_t len = 0;
    while (len < from->len && from->ptr[len] >= '0' && from->ptr[len] <= '9')
        len++;
    bus_view digits = {from->ptr, len};
    *from = (bus_view){from->ptr + len, from->len - len};
    return bus_view_u64(digits, value);
}

// A name without escapes.
static bool name(bus_view *from, bus_view *value)
{
    if (!word(from, "\""))
        return false;
    const char *quote = from->len ? memchr(from->ptr, '"', from->len) : NULL;
    if (!quote)
        return false;
    *value = (bus_view){from->ptr, (size_t)(quote - from->ptr)};
    if (value->len && memchr(value->ptr, '\\', value->len))
        return false;
    *from = (bus_view){quote + 1, from->len - value->len - 1};
    return true;
}

bool bus_answer_read(bus_answer *out, bus_view payload)
{
    bus_view domain;
    if (!word(&payload, "{") || !key(&payload, "\"stream\"") || !name(&payload, &out->stream) ||
        !word(&payload, ","))
        return false;
    if (key(&payload, "\"domain\"") && (!name(&payload, &domain) || !word(&payload, ",")))
        return false;
    if (!key(&payload, "\"seq\"") || !number(&payload, &out->seq) || out->seq == 0)
        return false;
    out->duplicate = word(&payload, ",");
    if (out->duplicate && (!key(&payload, "\"duplicate\"") || !word(&payload, "true")))
        return false;
    return word(&payload, "}") && payload.len == 0;
}

bool bus_answer_read_batch(uint64_t *place, uint64_t *step, bus_view payload)
{
    return word(&payload, "{\"type\":\"ack\",\"seq\":") && number(&payload, place) &&
           word(&payload, ",\"msgs\":") && number(&payload, step) && word(&payload, "}") &&
           payload.len == 0;
}
