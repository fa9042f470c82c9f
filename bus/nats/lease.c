#include "bus/nats/lease.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base/log.h"
#include "bus/nats/kv.h"
#include "bus/nats/lease_logic.h"
#include "bus/nats/wait.h"

enum { SPAN_S = 15, LOOK_MS = 100, EARLY_MS = 2, HOLDER_CAP = 128, BY_CAP = 24 };

struct bus_lease {
    bus_conn *conn;
    char *bucket, *key;
    char holder[HOLDER_CAP], by[BY_CAP]; // by: this very lease, among all that were ever opened
    bus_wake wake;
    pthread_t keeper;

    uint64_t renewals;                // the keeper's alone
    bool bucket_made, bucket_awaited; // awaited: somebody else will make it
    bus_lease_standing told;

    _Atomic int64_t held_until_ns; // of the logic; 0: not held
    bus_gate gate;                 // guards what follows
    bus_lease_logic logic;
    char seen[HOLDER_CAP];
    char why[256]; // the bucket could not be asked at the last try; ""
    bool closing, abandoned;
};

// --- the keeper's thread ------------------------------------------------------------------------------------

static char *value_of(const bus_lease *lease, const char *holder)
{
    json_t *value = json_pack("{s:s, s:s, s:I, s:I}", "holder", holder, "by", lease->by, "n",
                              (json_int_t)lease->renewals, "span_ms",
                              (json_int_t)(lease->logic.span.ns / 1000000));
    char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
    json_decref(value);
    return text;
}

// With the gate locked, after whatever the logic was told.
static void show(bus_lease *lease)
{
    bool held = bus_lease_logic_standing(&lease->logic, bus_machine_mono()) == BUS_LEASE_HELD;
    atomic_store(&lease->held_until_ns, held ? lease->logic.held_until.ns : 0);
}

// Our own name is an obstacle like any other: what an earlier process of that name sent may still be on its
// way. Only what this lease wrote itself is its own.
static bus_lease_record record_of(const bus_lease *lease, const json_t *value, const char *holder)
{
    const char *by = json_string_value(json_object_get(value, "by"));
    if (!*holder)
        return BUS_LEASE_FREE;
    return by && strcmp(by, lease->by) == 0 ? BUS_LEASE_OUR_OWN : BUS_LEASE_NAMED;
}

static void note_why(bus_lease *lease, const char *why)
{
    bus_gate_lock(&lease->gate);
    bool other = strncmp(lease->why, why, sizeof lease->why - 1) != 0; // longer ones are cut
    snprintf(lease->why, sizeof lease->why, "%s", why);
    bus_gate_unlock(&lease->gate);
    if (other && lease->wake.fn)
        lease->wake.fn(lease->wake.ctx);
}

// False: no answer, so it is asked again at the next look.
static bool read_key(bus_lease *lease)
{
    bus_kv_entry entry;
    char holder[HOLDER_CAP] = "";
    uint64_t revision = 0;
    bus_lease_record record = BUS_LEASE_FREE;
    bus_err err = bus_kv_get(lease->conn, lease->bucket, lease->key, &entry);
    bool answered = !err || err == BUS_ENOTFOUND;
    note_why(lease, answered ? "" : bus_err_text());
    if (!answered)
        return false;
    if (!err) {
        json_t *value = json_loadb(entry.value.ptr, entry.value.len, 0, NULL);
        const char *text = json_string_value(json_object_get(value, "holder"));
        snprintf(holder, sizeof holder, "%s", text ? text : "");
        record = record_of(lease, value, holder);
        json_decref(value);
        revision = entry.revision;
        bus_kv_entry_release(&entry);
    }
    bus_gate_lock(&lease->gate);
    bus_lease_logic_seen(&lease->logic, revision, record, bus_machine_mono());
    show(lease);
    memcpy(lease->seen, holder, sizeof holder);
    bus_gate_unlock(&lease->gate);
    return true;
}

static bus_lease_write result_of(bus_err err)
{
    switch (err) {
    case BUS_OK:
        return BUS_LEASE_WRITTEN;
    case BUS_ECONFLICT:
    case BUS_EEXISTS:
        return BUS_LEASE_CONFLICT;
    default:
        return BUS_LEASE_UNKNOWN;
    }
}

static void write_key(bus_lease *lease, bus_lease_step step, uint64_t expected)
{
    char *text = value_of(lease, lease->holder);
    bus_mono started = bus_machine_mono();
    uint64_t revision = 0;
    bus_err err = BUS_ENOMEM;
    if (text && step == BUS_LEASE_CREATE)
        err = bus_kv_create(lease->conn, lease->bucket, lease->key, bus_view_of(text), &revision);
    else if (text)
        err = bus_kv_update(lease->conn, lease->bucket, lease->key, bus_view_of(text), expected,
                            &revision);
    free(text);
    lease->renewals++;
    bus_gate_lock(&lease->gate);
    bus_lease_logic_written(&lease->logic, result_of(err), revision, started, bus_machine_mono());
    show(lease);
    if (!err)
        memcpy(lease->seen, lease->holder, sizeof lease->seen);
    bus_gate_unlock(&lease->gate);
}

static void make_bucket(bus_lease *lease)
{
    if (lease->bucket_made || bus_conn_state_of(lease->conn) != BUS_CONN_UP)
        return;
    const bus_kv_def def = {.bucket = lease->bucket, .description = "leases", .history = 1};
    bus_err err = bus_kv_ensure(lease->conn, &def);
    lease->bucket_made = err == BUS_OK;
    lease->bucket_awaited = err == BUS_ENOTFOUND;
    note_why(lease, lease->bucket_made ? "" : bus_err_text());
}

// The owner acts by bus_lease_poll; here it is said once, and the owner woken.
static void tell(bus_lease *lease)
{
    char seen[HOLDER_CAP];
    bus_gate_lock(&lease->gate);
    bus_lease_standing now = bus_lease_logic_standing(&lease->logic, bus_machine_mono());
    uint64_t fence = lease->logic.fence;
    memcpy(seen, lease->seen, sizeof seen);
    bus_gate_unlock(&lease->gate);
    bus_lease_standing before = lease->told;
    lease->told = now;
    if (now == before)
        return;
    if (now == BUS_LEASE_LAPSED)
        bus_warn("lease '%s' was not renewed in time: paused until it is", lease->key);
    else if (before == BUS_LEASE_LAPSED && now == BUS_LEASE_HELD)
        bus_info("lease '%s' is renewed: going on (session %" PRIu64 ")", lease->key, fence);
    else if (now == BUS_LEASE_NONE)
        bus_warn("lease '%s' is lost to %s", lease->key, *seen ? seen : "nobody");
    if (lease->wake.fn)
        lease->wake.fn(lease->wake.ctx);
}

// True: the key was just read, and what to do about it is due now (a free lease is not left lying).
static bool turn(bus_lease *lease)
{
    if (!bus_clock_is_told()) {
        note_why(lease, "the clock was not told yet");
        return false;
    }
    make_bucket(lease);
    if (!lease->bucket_made)
        return false;
    uint64_t expected;
    bus_gate_lock(&lease->gate);
    bus_lease_step step = bus_lease_logic_step(&lease->logic, bus_machine_mono(), &expected);
    bus_gate_unlock(&lease->gate);
    bool read = step == BUS_LEASE_READ && read_key(lease);
    if (step != BUS_LEASE_READ && step != BUS_LEASE_WAIT)
        write_key(lease, step, expected);
    return read;
}

static void give_back(bus_lease *lease)
{
    bus_gate_lock(&lease->gate);
    bool held = !lease->abandoned &&
                bus_lease_logic_standing(&lease->logic, bus_machine_mono()) == BUS_LEASE_HELD;
    uint64_t revision = lease->logic.revision;
    lease->logic.fence = 0;
    show(lease);
    bus_gate_unlock(&lease->gate);
    char *text = held && bus_conn_state_of(lease->conn) == BUS_CONN_UP ? value_of(lease, "") : NULL;
    if (text) // best effort: else it runs out by itself
        bus_kv_update(lease->conn, lease->bucket, lease->key, bus_view_of(text), revision,
                      &revision);
    free(text);
}

static void *keep(void *ctx)
{
    bus_lease *lease = ctx;
    bool closing = false;
    bus_mono begin = bus_machine_mono();
    while (!closing) {
        tell(lease); // a write may take long: what ran out before it is told before it
        bool again = turn(lease);
        tell(lease);
        // The connection is coming up: milliseconds, and a start is to be as short. A bucket that somebody else makes
        // may take longer.
        bool early = !lease->bucket_made && !lease->bucket_awaited &&
                     bus_mono_since(bus_machine_mono(), begin).ns < BUS_SPAN_S(2).ns;
        bus_span look = BUS_SPAN_MS(early ? EARLY_MS : LOOK_MS);
        bus_gate_lock(&lease->gate);
        if (!lease->closing && !again)
            bus_gate_wait(&lease->gate, bus_mono_add(bus_machine_mono(), look));
        closing = lease->closing;
        bus_gate_unlock(&lease->gate);
    }
    give_back(lease);
    return NULL;
}

// --- the owner's --------------------------------------------------------------------------------------------

static void release(bus_lease *lease)
{
    bus_gate_release(&lease->gate);
    free(lease->bucket);
    free(lease->key);
    free(lease);
}

bus_err bus_lease_open(bus_lease **out, bus_conn *conn, const bus_lease_opts *opts)
{
    if (!opts->holder || !*opts->holder)
        return bus_fail(BUS_EINVAL, "lease '%s': a holder's name is needed", opts->key);
    bus_lease *lease = calloc(1, sizeof *lease);
    if (!lease)
        return bus_fail(BUS_ENOMEM, "lease '%s'", opts->key);
    bus_gate_init(&lease->gate);
    lease->conn = conn;
    lease->bucket = strdup(opts->bucket);
    lease->key = strdup(opts->key);
    lease->wake = opts->wake;
    snprintf(lease->holder, sizeof lease->holder, "%s", opts->holder);
    snprintf(lease->by, sizeof lease->by, "%016" PRIx64, bus_machine_random());
    bus_lease_logic_init(&lease->logic, opts->span.ns ? opts->span : BUS_SPAN_S(SPAN_S));
    if (!lease->bucket || !lease->key || pthread_create(&lease->keeper, NULL, keep, lease)) {
        release(lease);
        return bus_fail(BUS_ENOMEM, "lease '%s'", opts->key);
    }
    *out = lease;
    return BUS_OK;
}

bool bus_lease_poll(bus_lease *lease, uint64_t *fence)
{
    bus_gate_lock(&lease->gate);
    bool held = bus_lease_logic_standing(&lease->logic, bus_machine_mono()) == BUS_LEASE_HELD;
    if (fence)
        *fence = lease->logic.fence;
    bus_gate_unlock(&lease->gate);
    return held;
}

bool bus_lease_held(const bus_lease *lease)
{
    return bus_machine_mono().ns < atomic_load(&lease->held_until_ns);
}

const char *bus_lease_why(const bus_lease *lease, char *buf, size_t cap)
{
    bus_lease *l = (bus_lease *)(uintptr_t)lease;
    bus_gate_lock(&l->gate);
    snprintf(buf, cap, "%s", l->why);
    bus_gate_unlock(&l->gate);
    return buf;
}

const char *bus_lease_holder(const bus_lease *lease, char *buf, size_t cap)
{
    bus_lease *l = (bus_lease *)(uintptr_t)lease;
    bus_gate_lock(&l->gate);
    snprintf(buf, cap, "%s", l->seen);
    bus_gate_unlock(&l->gate);
    return buf;
}

static void end(bus_lease *lease, bool abandoned)
{
    if (!lease)
        return;
    bus_gate_lock(&lease->gate);
    lease->closing = true;
    lease->abandoned = abandoned;
    bus_gate_signal(&lease->gate);
    bus_gate_unlock(&lease->gate);
    pthread_join(lease->keeper, NULL);
    release(lease);
}

void bus_lease_close(bus_lease *lease)
{
    end(lease, false);
}

void bus_lease_abandon(bus_lease *lease)
{
    end(lease, true);
}
