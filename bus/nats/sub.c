#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "bus/lane/lane.h"
#include "bus/nats/conn_impl.h"

enum { PENDING_MAX = 65536, QUEUE_MIN = 64, FLUSH_MS = 2000, DIRECT_BATCH = 256 };
static const uint64_t BYTES_MAX = 64u << 20;

static void sub_unref(bus_sub *sub)
{
    if (atomic_fetch_sub(&sub->refs, 1) != 1)
        return;
    for (uint32_t i = 0; i < sub->in_len; i++)
        natsMsg_Destroy(sub->in[i]);
    for (uint32_t i = sub->out_at; i < sub->out_len; i++)
        bus_msg_release((bus_msg *)sub->out[i]);
    free(sub->in);
    free(sub->out);
    free(sub->subject);
    free(sub->queue_group);
    bus_gate_release(&sub->gate);
    free(sub);
}

// --- the library's thread -----------------------------------------------------------------------------

static bool grow(bus_sub *sub)
{
    if (sub->in_len < sub->in_cap)
        return true;
    uint32_t cap = sub->in_cap ? sub->in_cap * 2 : QUEUE_MIN;
    natsMsg **in = realloc(sub->in, cap * sizeof(natsMsg *));
    if (!in)
        return false;
    sub->in = in;
    sub->in_cap = cap;
    return true;
}

static void on_message(natsConnection *nc, natsSubscription *from, natsMsg *msg, void *ctx)
{
    (void)nc;
    (void)from;
    bus_sub *sub = ctx;
    uint64_t size = (uint64_t)natsMsg_GetDataLength(msg);
    bool first = false;
    bus_gate_lock(&sub->gate);
    if (!sub->closed && sub->route) {
        sub->route(sub->route_ctx, (bus_msg *)msg);
        msg = NULL;
    } else if (!sub->closed && sub->in_len + sub->out_left < sub->pending_max &&
               sub->bytes + size <= sub->bytes_max && grow(sub)) {
        first = sub->in_len == 0;
        sub->in[sub->in_len++] = msg;
        sub->bytes += size;
        msg = NULL;
        if (first)
            bus_gate_signal(&sub->gate);
        // Within the gate: what it wakes may be gone as soon as close returns.
        if (first && sub->wake.fn)
            sub->wake.fn(sub->wake.ctx);
    } else {
        sub->lost++;
    }
    bus_gate_unlock(&sub->gate);
    natsMsg_Destroy(msg);
}

static void on_complete(void *ctx)
{
    sub_unref(ctx);
}

// --- the supervisor -----------------------------------------------------------------------------------

static natsStatus attach_direct(bus_sub *sub, natsConnection *nc)
{
    natsSubscription *on = NULL;
    natsStatus s = natsConnection_SubscribeSync(&on, nc, sub->subject);
    if (s != NATS_OK)
        return s;
    natsSubscription_SetPendingLimits(on, -1, -1);
    sub->on = on;
    return NATS_OK;
}

natsStatus bus_sub_attach(bus_sub *sub, natsConnection *nc)
{
    natsSubscription *on = NULL;
    if (sub->direct)
        return attach_direct(sub, nc);
    atomic_fetch_add(&sub->refs, 1);
    natsStatus s = *sub->queue_group
                       ? natsConnection_QueueSubscribe(&on, nc, sub->subject, sub->queue_group,
                                                       on_message, sub)
                       : natsConnection_Subscribe(&on, nc, sub->subject, on_message, sub);
    if (s != NATS_OK) {
        sub_unref(sub);
        return s;
    }
    // The library's own limits (65,536 messages; bytes counted as messages x 1,024) drop in silence: off.
    // Ours are above, in on_message, and counted.
    natsSubscription_SetPendingLimits(on, -1, -1);
    natsSubscription_SetOnCompleteCB(on, on_complete, sub);
    sub->on = on;
    return NATS_OK;
}

// In 3.4.1 the connection's reader looks a subscription up and locks it only after it gave up the lock of
// the table: one that is destroyed in between is locked when it is freed memory (seen as an abort in
// pthread_mutex_lock; mended in 3.6.1). So the last reference is given up later than any such reader can
// still be on its way.
enum { GRAVES = 256 };
static const bus_span grave_age = {INT64_C(2000000000)};
static struct {
    pthread_mutex_t lock;
    struct {
        natsSubscription *on;
        bus_mono since;
    } at[GRAVES];
    uint32_t first, count;
} graves = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void bury(natsSubscription *on)
{
    natsSubscription *old[GRAVES];
    uint32_t freed = 0;
    bus_mono now = bus_machine_mono();
    pthread_mutex_lock(&graves.lock);
    while (
        graves.count == GRAVES ||
        (graves.count && bus_mono_since(now, graves.at[graves.first].since).ns >= grave_age.ns)) {
        old[freed++] = graves.at[graves.first].on;
        graves.first = (graves.first + 1) % GRAVES;
        graves.count--;
    }
    uint32_t last = (graves.first + graves.count++) % GRAVES;
    graves.at[last].on = on;
    graves.at[last].since = now;
    pthread_mutex_unlock(&graves.lock);
    for (uint32_t i = 0; i < freed; i++)
        natsSubscription_Destroy(old[i]);
}

void bus_sub_detach(bus_sub *sub)
{
    if (!sub->on)
        return;
    natsSubscription_Unsubscribe(sub->on);
    bury(sub->on);
    sub->on = NULL;
}

// --- the owner ----------------------------------------------------------------------------------------

// When the connection is up the subscription stands at the broker before open returns.
static void enlist(bus_conn *conn, bus_sub *sub)
{
    bus_gate_lock(&conn->gate);
    sub->sid = ++conn->last_sid;
    sub->next = conn->subs;
    conn->subs = sub;
    bus_link *link = conn->link;
    if (link && link->fd >= 0) {
        bus_gate_unlock(&conn->gate);
        bus_owner_subscribe(sub);
        return;
    }
    if (link && bus_sub_attach(sub, link->nc) != NATS_OK)
        link = NULL;
    if (link)
        bus_link_ref(link);
    bus_gate_unlock(&conn->gate);
    if (link)
        natsConnection_FlushTimeout(link->nc, FLUSH_MS);
    bus_link_unref(link);
}

bus_err bus_sub_open(bus_sub **out, bus_conn *conn, const bus_sub_opts *opts)
{
    return bus_sub_open_routed(out, conn, opts, NULL, NULL);
}

bus_err bus_sub_open_routed(bus_sub **out, bus_conn *conn, const bus_sub_opts *opts,
                            bus_route_fn route, void *ctx)
{
    bus_sub *sub = calloc(1, sizeof *sub);
    if (!sub)
        return bus_fail(BUS_ENOMEM, "subscription to '%s'", opts->subject);
    sub->refs = 1;
    sub->conn = conn;
    bus_gate_init(&sub->gate);
    sub->subject = strdup(opts->subject ? opts->subject : "");
    sub->queue_group = strdup(opts->queue_group ? opts->queue_group : "");
    sub->pending_max = opts->pending_max ? opts->pending_max : PENDING_MAX;
    sub->bytes_max = opts->bytes_max ? opts->bytes_max : BYTES_MAX;
    sub->wake = opts->wake;
    sub->route = route;
    sub->route_ctx = ctx;
    sub->direct = opts->direct || conn->opts.opts.profile == BUS_PROFILE_OWNER;
    if (sub->direct) {
        sub->out = calloc(DIRECT_BATCH, sizeof *sub->out);
        sub->out_cap = DIRECT_BATCH;
    }
    if (!sub->subject || !sub->queue_group || (sub->direct && !sub->out)) {
        sub_unref(sub);
        return bus_fail(BUS_ENOMEM, "subscription");
    }
    bus_err err = bus_subject_check(bus_view_of(sub->subject), true);
    if (err) {
        sub_unref(sub);
        return bus_note(err, "subscribing");
    }
    enlist(conn, sub);
    *out = sub;
    return BUS_OK;
}

// The gate keeps the subscription on its link while a batch is taken. While it waits, without the gate, a
// subscription that is detached lives on (see the graves above) and ends the wait.
static bool take_direct(bus_sub *sub, bus_span timeout)
{
    natsMsg *msg = NULL;
    sub->out_at = sub->out_len = 0;
    bus_gate_lock(&sub->conn->gate);
    natsSubscription *on = sub->on;
    while (on && sub->out_len < DIRECT_BATCH && natsSubscription_NextMsg(&msg, on, 0) == NATS_OK)
        sub->out[sub->out_len++] = msg;
    bus_gate_unlock(&sub->conn->gate);
    if (sub->out_len > 0 || timeout.ns <= 0)
        return sub->out_len > 0;
    int64_t ms = timeout.ns / 1000000 + 1;
    if (on && natsSubscription_NextMsg(&msg, on, ms) == NATS_OK)
        sub->out[sub->out_len++] = msg;
    else if (!on)
        nats_Sleep(ms < 10 ? ms : 10);
    return sub->out_len > 0;
}

// Takes everything that has arrived in one exchange of the two halves.
static bool take(bus_sub *sub, bus_span timeout)
{
    if (bus_owner_pipe(sub->conn))
        return bus_owner_read(sub, timeout);
    if (sub->direct)
        return take_direct(sub, timeout);
    bus_gate_lock(&sub->gate);
    if (sub->in_len == 0 && timeout.ns > 0) {
        bus_mono until = bus_mono_add(bus_machine_mono(), timeout);
        while (sub->in_len == 0 && !sub->nudged && bus_gate_wait(&sub->gate, until))
            ;
        sub->nudged = false;
    }
    natsMsg **spare = sub->out;
    uint32_t spare_cap = sub->out_cap;
    sub->out = sub->in;
    sub->out_cap = sub->in_cap;
    sub->out_len = sub->in_len;
    sub->out_at = 0;
    sub->in = spare;
    sub->in_cap = spare_cap;
    sub->in_len = 0;
    sub->out_left = sub->out_len;
    sub->bytes = 0; // what the owner took in one go it works off before it comes again
    bus_gate_unlock(&sub->gate);
    return sub->out_len > 0;
}

void bus_sub_nudge(bus_sub *sub)
{
    bus_gate_lock(&sub->gate);
    sub->nudged = true;
    bus_gate_signal(&sub->gate);
    bus_gate_unlock(&sub->gate);
}

bool bus_sub_wait(bus_sub *sub, bus_span timeout)
{
    return sub->out_at < sub->out_len || take(sub, timeout);
}

// The end of a batch is said on a subject of the batch's, so whoever listens there gets it: it is for the stream alone.
// Source: schemas/specs/recording.md, "Fast ingest".
static bool ends_batch(const bus_msg *msg)
{
    static const char tail[] = ".3.$FI";
    if (bus_msg_payload(msg).len > 0)
        return false;
    bus_view reply = bus_msg_reply(msg);
    return reply.len >= sizeof tail - 1 &&
           memcmp(reply.ptr + reply.len - (sizeof tail - 1), tail, sizeof tail - 1) == 0;
}

bus_msg *bus_sub_next(bus_sub *sub, bus_span timeout)
{
    for (;;) {
        if (sub->out_at == sub->out_len && !take(sub, timeout))
            return NULL;
        bus_msg *msg = (bus_msg *)sub->out[sub->out_at++];
        if (!ends_batch(msg))
            return msg;
        bus_msg_release(msg);
    }
}

uint64_t bus_sub_lost(const bus_sub *sub)
{
    bus_sub *s = (bus_sub *)(uintptr_t)sub;
    bus_gate_lock(&s->gate);
    uint64_t lost = s->lost;
    bus_gate_unlock(&s->gate);
    return lost;
}

bus_err bus_sub_denied(const bus_sub *sub)
{
    return bus_conn_denied(sub->conn, sub->subject, 0);
}

void bus_sub_close(bus_sub *sub)
{
    if (!sub)
        return;
    bus_conn *conn = sub->conn;
    bus_gate_lock(&conn->gate);
    bus_sub **at = &conn->subs;
    while (*at && *at != sub)
        at = &(*at)->next;
    if (*at)
        *at = sub->next;
    bus_sub_detach(sub);
    bus_gate_unlock(&conn->gate);
    bus_owner_unsubscribe(sub);
    bus_gate_lock(&sub->gate);
    sub->closed = true;
    sub->wake.fn = NULL;
    bus_gate_unlock(&sub->gate);
    sub_unref(sub);
}
