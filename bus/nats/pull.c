#include "bus/nats/pull.h"

// What 64 bits always hold; a sequence below the highest, so that one comes after it.
enum { DIGITS_MAX = 19 };

// Reads one number that ends at *end and the dot in front of it; moves *end to that dot.
static bool number_before(const char *start, const char **end, uint64_t *out)
{
    const char *at = *end;
    uint64_t value = 0, unit = 1;
    while (at > start && at[-1] >= '0' && at[-1] <= '9') {
        at--;
        value += (uint64_t)(*at - '0') * unit;
        unit *= 10;
    }
    if (at == *end || at == start || at[-1] != '.' || *end - at > DIGITS_MAX)
        return false;
    *out = value;
    *end = at - 1;
    return true;
}

static const char *token_before(const char *start, const char *end)
{
    while (end > start && end[-1] != '.')
        end--;
    return end;
}

static int dots(bus_view v)
{
    int n = 0;
    for (size_t i = 0; i < v.len; i++)
        n += v.ptr[i] == '.';
    return n;
}

// The five numbers stand at the end, so they are read backwards. The long form may carry one random token
// behind them: then it has eleven dots.
bool bus_place_parse(bus_place *out, bus_view reply)
{
    static const char start[] = "$JS.ACK.";
    if (reply.len < sizeof start || memcmp(reply.ptr, start, sizeof start - 1) != 0)
        return false;
    const char *end = reply.ptr + reply.len;
    int n = dots(reply);
    if (n == 11)
        end = token_before(reply.ptr, end) - 1;
    else if (n != 8 && n != 10)
        return false;
    bus_place place = {0};
    uint64_t time = 0, delivered;
    if (!number_before(reply.ptr, &end, &place.pending) || !number_before(reply.ptr, &end, &time) ||
        !number_before(reply.ptr, &end, &place.consumer_seq) ||
        !number_before(reply.ptr, &end, &place.stream_seq) ||
        !number_before(reply.ptr, &end, &delivered))
        return false;
    place.consumer.ptr = token_before(reply.ptr, end);
    place.consumer.len = (size_t)(end - place.consumer.ptr);
    place.stored.ns = (int64_t)time;
    *out = place;
    return true;
}

bus_place_verdict bus_continuity_check(bus_continuity *c, const bus_place *place,
                                       bus_seq_range *gap)
{
    if (place->consumer_seq != c->consumer_seq + 1)
        return BUS_PLACE_LOST;
    if (place->stream_seq < c->next_seq)
        return BUS_PLACE_LOST; // the stream was made anew under the consumer
    bool hole = !c->filtered && c->next_seq != 0 && place->stream_seq > c->next_seq;
    if (hole)
        *gap = (bus_seq_range){.first = c->next_seq, .last = place->stream_seq - 1};
    c->consumer_seq = place->consumer_seq;
    c->next_seq = place->stream_seq + 1;
    return hole ? BUS_PLACE_GAP : BUS_PLACE_NEXT;
}
