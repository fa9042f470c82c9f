#include "compare.h"

#include "bus/event/pack.h"

enum { PAIRS_MAX = 64, SET = 5 };

typedef struct {
    bus_view key, value; // value: packed
} pair;

static const char *const set[SET] = {"runid", "walltime", "clocktype", "marketlane",
                                     "marketselector"};

static int set_index(bus_view key)
{
    for (int i = 0; i < SET; i++)
        if (bus_view_is(key, set[i]))
            return i;
    return -1;
}

static int read_pairs(bus_view bytes, pair out[PAIRS_MAX])
{
    if (bus_pack_validate(bytes, NULL))
        return -1;
    bus_cursor c = bus_cursor_of(bytes);
    bus_pack_value v;
    if (!bus_cursor_next(&c, &v) || v.kind != BUS_PACK_MAP || v.as.count > PAIRS_MAX)
        return -1;
    int count = (int)v.as.count;
    for (int i = 0; i < count; i++) {
        if (!bus_cursor_next(&c, &v) || v.kind != BUS_PACK_STR)
            return -1;
        out[i].key = v.as.bytes;
        if (!bus_cursor_skip(&c, &out[i].value))
            return -1;
    }
    return count;
}

static void digest_add(uint64_t *digest, bus_view v)
{
    for (size_t i = 0; i < v.len; i++)
        *digest = (*digest ^ (uint8_t)v.ptr[i]) * UINT64_C(0x100000001b3);
    *digest = (*digest ^ 0xff) * UINT64_C(0x100000001b3);
}

static bool set_value_is_right(int which, bus_view packed, const compare_run *run)
{
    bus_cursor c = bus_cursor_of(packed);
    bus_pack_value v;
    if (!bus_cursor_next(&c, &v) || v.kind != BUS_PACK_STR)
        return false;
    switch (which) {
    case 0:
        return bus_view_eq(v.as.bytes, run->runid);
    case 1:
        return v.as.bytes.len == 30;
    case 2:
        return bus_view_is(v.as.bytes, "historical");
    case 3:
        return bus_view_is(v.as.bytes, "hyp");
    default:
        return bus_view_eq(v.as.bytes, run->selector);
    }
}

static bool same_subject(bus_view act, bus_view hyp, bus_view selector)
{
    // act.<rest> and hyp.<selector>.<rest>
    size_t head = 4 + selector.len + 1;
    return act.len > 4 && hyp.len == act.len - 4 + head && memcmp(act.ptr, "act.", 4) == 0 &&
           memcmp(hyp.ptr, "hyp.", 4) == 0 &&
           memcmp(hyp.ptr + 4, selector.ptr, selector.len) == 0 && hyp.ptr[head - 1] == '.' &&
           memcmp(hyp.ptr + head, act.ptr + 4, act.len - 4) == 0;
}

bool compare_event(bus_view act_subject, bus_view stored, bus_view hyp_subject, bus_view replayed,
                   const compare_run *run, uint64_t *digest, const char **why)
{
    pair a[PAIRS_MAX], b[PAIRS_MAX];
    int stored_count = read_pairs(stored, a), count = read_pairs(replayed, b);
    *why = "not a map of at most 64 pairs";
    if (stored_count < 0 || count < 0)
        return false;
    *why = "subject";
    if (!same_subject(act_subject, hyp_subject, run->selector))
        return false;
    digest_add(digest, hyp_subject);
    int seen = 0;
    for (int i = 0; i < count; i++) {
        int which = set_index(b[i].key);
        *why = "a key is missing, added or in another place";
        if (i < stored_count ? !bus_view_eq(a[i].key, b[i].key) : which < 0)
            return false;
        *why = "a value that must stay has changed";
        if (which < 0 && !bus_view_eq(a[i].value, b[i].value))
            return false;
        *why = "one of the five attributes is not what it must be";
        if (which >= 0 && !set_value_is_right(which, b[i].value, run))
            return false;
        seen |= which >= 0 ? 1 << which : 0;
        digest_add(digest, b[i].key);
        if (which != 0 && which != 1)
            digest_add(digest, b[i].value);
    }
    *why = "one of the five attributes is missing";
    if (seen != (1 << SET) - 1 || count < stored_count)
        return false;
    *why = NULL;
    return true;
}
