#include "bus/nats/conn.h"

#include <stdio.h>
#include <stdlib.h>

#include "bus/base/log.h"
#include "bus/lane/lane.h"
#include "bus/nats/conn_impl.h"
#include "bus/nats/counters.h"

enum { BACKOFF_FIRST_MS = 20, BACKOFF_MS_MAX = 2000, FLUSH_MS = 2000, DENIED_MS = 500 };

bus_conn_opts bus_conn_opts_of(const bus_daemon_settings *settings, const char *name, bus_side side,
                               bus_profile profile)
{
    return (bus_conn_opts){.url = settings->nats_url,
                           .creds = settings->nats_creds,
                           .user = settings->nats_user,
                           .password = settings->nats_password,
                           .token = settings->nats_token,
                           .ca = settings->nats_ca,
                           .name = name,
                           .side = side,
                           .profile = profile};
}

// --- the supervisor: one thread a connection ----------------------------------------------------------

static void on_lost(void *ctx)
{
    bus_conn *conn = ctx;
    bus_gate_lock(&conn->gate);
    bus_gate_signal(&conn->gate);
    bus_gate_unlock(&conn->gate);
    bus_requests_look(&conn->requests);
}

static void tell(bus_conn *conn)
{
    if (conn->opts.opts.wake.fn)
        conn->opts.opts.wake.fn(conn->opts.opts.wake.ctx);
}

// Holds the gate. Subscriptions that already are on the link are left alone.
static bool attach_all(bus_conn *conn, bus_link *link)
{
    if (link->fd >= 0)
        return true; // the owner does it
    for (bus_sub *sub = conn->subs; sub; sub = sub->next)
        if (!sub->on && bus_sub_attach(sub, link->nc) != NATS_OK)
            return false;
    return true;
}

static void detach_all(bus_conn *conn)
{
    for (bus_sub *sub = conn->subs; sub; sub = sub->next)
        bus_sub_detach(sub);
}

// All subscriptions stand at the broker before anybody can use the link. The gate is free while we wait
// for the broker; what was opened meanwhile is attached by the second pass.
static bool settle(bus_conn *conn, bus_link *link)
{
    bool ok = attach_all(conn, link);
    bus_gate_unlock(&conn->gate);
    ok = ok && (link->fd >= 0 || natsConnection_FlushTimeout(link->nc, FLUSH_MS) == NATS_OK);
    bus_gate_lock(&conn->gate);
    return ok && attach_all(conn, link);
}

// Once a connection: it is the same again after every loss.
static void warn_in_clear(bus_conn *conn, const bus_link *link)
{
    if (!link->in_clear || conn->warned)
        return;
    conn->warned = true;
    bus_warn("the password or token went to the broker at %s in clear, and anybody on the way can "
             "read it: use TLS (nats_ca, or a URL tls://...), then change it",
             conn->opts.opts.url);
}

// One try. Returns the link when it is up; else the state and its reason are set.
static bus_link *try_connect(bus_conn *conn, bus_conn_state *state)
{
    bus_link *link = NULL;
    char why[BUS_LINK_WHY] = "";
    bus_denied_anew(&conn->denied);
    bus_link_result result = bus_link_open(&link, &conn->opts, (bus_wake){on_lost, conn}, why);
    bus_gate_lock(&conn->gate);
    if (result == BUS_LINK_UP && !settle(conn, link)) {
        detach_all(conn);
        snprintf(why, sizeof why, "the broker went away while subscribing");
        result = BUS_LINK_DOWN;
    }
    if (result == BUS_LINK_UP) {
        conn->link = link;
        conn->broker = link->broker;
        conn->max_payload = link->max_payload;
        conn->in_clear = link->in_clear;
        conn->epoch++;
        conn->state = BUS_CONN_UP;
    } else {
        conn->state = result == BUS_LINK_REFUSED ? BUS_CONN_REFUSED : BUS_CONN_CONNECTING;
    }
    *state = conn->state;
    memcpy(conn->why, why, sizeof why);
    bus_gate_signal(&conn->gate);
    bus_gate_unlock(&conn->gate);
    if (result == BUS_LINK_UP) {
        warn_in_clear(conn, link);
        return link;
    }
    bus_link_close(link);
    return NULL;
}

static bool closing(bus_conn *conn)
{
    bus_gate_lock(&conn->gate);
    bool yes = conn->closing;
    bus_gate_unlock(&conn->gate);
    return yes;
}

static void wait_until_lost(bus_conn *conn, bus_link *link)
{
    bus_gate_lock(&conn->gate);
    while (!conn->closing && !conn->drop && !link->lost)
        bus_gate_wait(&conn->gate, bus_mono_add(bus_machine_mono(), BUS_SPAN_S(1)));
    conn->link = NULL;
    conn->drop = false;
    if (!conn->closing) {
        conn->state = BUS_CONN_CONNECTING;
        snprintf(conn->why, sizeof conn->why, "the connection to %s was lost", conn->opts.opts.url);
    }
    detach_all(conn);
    bus_gate_unlock(&conn->gate);
}

static void back_off(bus_conn *conn, int *backoff_ms)
{
    int ms = *backoff_ms / 2 + (int)(bus_machine_random() % (uint64_t)(*backoff_ms / 2 + 1));
    *backoff_ms = *backoff_ms * 2 > BACKOFF_MS_MAX ? BACKOFF_MS_MAX : *backoff_ms * 2;
    bus_mono until = bus_mono_add(bus_machine_mono(), BUS_SPAN_MS(ms));
    bus_gate_lock(&conn->gate);
    while (!conn->closing && bus_gate_wait(&conn->gate, until))
        ;
    bus_gate_unlock(&conn->gate);
}

static void *supervise(void *ctx)
{
    bus_conn *conn = ctx;
    int backoff_ms = BACKOFF_FIRST_MS;
    bus_conn_state told = BUS_CONN_CONNECTING, state = told;
    while (!closing(conn)) {
        bus_link *link = try_connect(conn, &state);
        if (state != told)
            tell(conn);
        told = state;
        if (link) {
            backoff_ms = BACKOFF_FIRST_MS;
            bus_counters_up();
            wait_until_lost(conn, link);
            bus_counters_down(!closing(conn));
            bus_link_close(link);
            told = BUS_CONN_CONNECTING;
            tell(conn);
        }
        back_off(conn, &backoff_ms);
    }
    nats_ReleaseThreadMemory();
    return NULL;
}

// --- life ---------------------------------------------------------------------------------------------

static void release(bus_conn *conn)
{
    bus_denied_release(&conn->denied);
    bus_requests_release(&conn->requests);
    bus_gate_release(&conn->gate);
    bus_link_opts_release(&conn->opts);
    free(conn);
}

bus_err bus_conn_open(bus_conn **out, const bus_conn_opts *opts)
{
    bus_conn *conn = calloc(1, sizeof *conn);
    if (!conn)
        return bus_fail(BUS_ENOMEM, "connection");
    bus_err err = bus_link_opts_init(&conn->opts, opts);
    if (err) {
        free(conn);
        return bus_note(err, "connecting to the broker");
    }
    bus_counters_register();
    bus_gate_init(&conn->gate);
    bus_requests_init(&conn->requests);
    bus_denied_init(&conn->denied, (bus_wake){bus_requests_look, &conn->requests});
    conn->opts.denied = &conn->denied;
    snprintf(conn->why, sizeof conn->why, "connecting to %s", conn->opts.opts.url);
    if (pthread_create(&conn->supervisor, NULL, supervise, conn)) {
        release(conn);
        return bus_fail(BUS_ENOMEM, "thread of the connection");
    }
    *out = conn;
    return BUS_OK;
}

void bus_conn_close(bus_conn *conn)
{
    if (!conn)
        return;
    if (bus_conn_state_of(conn) ==
        BUS_CONN_UP) // else there is nothing to be said over the owner's last error
        bus_conn_flush(conn, BUS_SPAN_S(1)); // closing alone may leave bytes behind in the library
    bus_requests_stop(&conn->requests);
    bus_owner_release(conn);
    bus_gate_lock(&conn->gate);
    conn->closing = true;
    bus_gate_signal(&conn->gate);
    bus_gate_unlock(&conn->gate);
    pthread_join(conn->supervisor, NULL);
    release(conn);
}

bus_link *bus_conn_link(bus_conn *conn)
{
    bus_gate_lock(&conn->gate);
    bus_link *link = conn->link;
    if (link)
        bus_link_ref(link);
    bus_gate_unlock(&conn->gate);
    return link;
}

void bus_conn_drop(bus_conn *conn, bus_link *link)
{
    bus_gate_lock(&conn->gate);
    if (link && conn->link == link) {
        conn->drop = true;
        bus_gate_signal(&conn->gate);
    }
    bus_gate_unlock(&conn->gate);
}

// --- state --------------------------------------------------------------------------------------------

static bus_conn *writable(const bus_conn *conn)
{
    return (bus_conn *)(uintptr_t)conn;
}

bus_conn_state bus_conn_state_of(const bus_conn *conn)
{
    bus_conn *c = writable(conn);
    bus_gate_lock(&c->gate);
    bus_conn_state state = c->state;
    bus_gate_unlock(&c->gate);
    return state;
}

// One of our fields, read under the gate.
static uint32_t read_field(const bus_conn *conn, const uint32_t *field)
{
    bus_conn *c = writable(conn);
    bus_gate_lock(&c->gate);
    uint32_t value = *field;
    bus_gate_unlock(&c->gate);
    return value;
}

uint32_t bus_conn_epoch(const bus_conn *conn)
{
    return read_field(conn, &conn->epoch);
}

uint32_t bus_conn_broker(const bus_conn *conn)
{
    return read_field(conn, &conn->broker);
}

const char *bus_conn_fault(const bus_conn *conn)
{
    return bus_broker_fault(bus_conn_broker(conn));
}

bool bus_conn_in_clear(const bus_conn *conn)
{
    return read_field(conn, &conn->in_clear);
}

bus_err bus_conn_wait(bus_conn *conn, bus_span timeout)
{
    bus_mono until = bus_mono_add(bus_machine_mono(), timeout);
    bus_gate_lock(&conn->gate);
    while (conn->state == BUS_CONN_CONNECTING && bus_gate_wait(&conn->gate, until))
        ;
    bus_conn_state state = conn->state;
    char why[BUS_LINK_WHY];
    memcpy(why, conn->why, sizeof why);
    bus_gate_unlock(&conn->gate);
    if (state == BUS_CONN_UP)
        return BUS_OK;
    return bus_fail(state == BUS_CONN_REFUSED ? BUS_ESTATE : BUS_EUNAVAILABLE, "%s", why);
}

const char *bus_conn_why(const bus_conn *conn, char *buf, size_t cap)
{
    bus_conn *c = writable(conn);
    bus_gate_lock(&c->gate);
    snprintf(buf, cap, "%s", c->why);
    bus_gate_unlock(&c->gate);
    return buf;
}

int64_t bus_conn_max_payload(const bus_conn *conn)
{
    bus_conn *c = writable(conn);
    bus_gate_lock(&c->gate);
    int64_t max = c->max_payload;
    bus_gate_unlock(&c->gate);
    return max;
}

uint64_t bus_conn_denials(bus_conn *conn)
{
    return bus_denied_count(&conn->denied);
}

bus_err bus_conn_denied(bus_conn *conn, const char *subject, uint64_t since)
{
    if (!bus_denied_has(&conn->denied, subject, since))
        return BUS_OK;
    return bus_fail(BUS_EPERM, "not permitted: %s", subject);
}

static bus_err down(bus_conn *conn, const char *what)
{
    char why[BUS_LINK_WHY];
    return bus_fail(BUS_EUNAVAILABLE, "%s: %s", what, bus_conn_why(conn, why, sizeof why));
}

bus_err bus_conn_flush(bus_conn *conn, bus_span timeout)
{
    bus_link *link = bus_conn_link(conn);
    if (!link)
        return down(conn, "flushing");
    if (link->fd >= 0) {
        bus_link_unref(link);
        return bus_owner_flush(conn, timeout) ? BUS_OK : bus_fail(BUS_ETIMEOUT, "flushing");
    }
    natsStatus s = natsConnection_FlushTimeout(link->nc, timeout.ns / 1000000 + 1);
    const char *words = NULL; // not ours to read: another thread may be writing them
    if (s == NATS_OK && natsConnection_GetLastError(link->nc, &words) == NATS_NOT_PERMITTED)
        bus_denied_wait(&conn->denied, BUS_SPAN_MS(DENIED_MS)); // it is on its way to us
    bus_link_unref(link);
    return s == NATS_OK ? BUS_OK : bus_nats_fail(s, "flushing");
}

// --- messages -----------------------------------------------------------------------------------------

static natsStatus make(natsMsg **out, const char *subject, const char *reply,
                       const bus_header_pair *headers, size_t count, bus_view payload)
{
    natsStatus s = natsMsg_Create(out, subject, reply, payload.ptr, (int)payload.len);
    for (size_t i = 0; s == NATS_OK && i < count; i++)
        s = natsMsgHeader_Add(*out, headers[i].name, headers[i].value);
    return s;
}

static bus_err check_size(const bus_link *link, bus_view subject, bus_view payload)
{
    if ((int64_t)payload.len <= link->max_payload)
        return BUS_OK;
    return bus_fail(BUS_ELIMIT, "message on '%.*s': %zu bytes; the broker takes at most %lld",
                    BUS_VIEW_ARG(subject), payload.len, (long long)link->max_payload);
}

// A reference on the live link if the library reads and writes it.
static bus_link *library_link(bus_conn *conn)
{
    bus_link *link = bus_conn_link(conn);
    if (!link || link->fd < 0)
        return link;
    bus_link_unref(link);
    return NULL;
}

static bus_err publish_owner(bus_conn *conn, const bus_wire_out *msg,
                             const bus_header_pair *headers, size_t count)
{
    bus_err err = check_size(conn->mine, msg->subject, msg->payload);
    if (err)
        return bus_note(err, "publishing");
    bool ok = count ? bus_pipe_publish_pairs(conn->pipe, msg, headers, count)
                    : bus_pipe_publish(conn->pipe, msg);
    return ok ? BUS_OK : down(conn, "publishing");
}

bus_err bus_publish(bus_conn *conn, const char *subject, const char *reply,
                    const bus_header_pair *headers, size_t count, bus_view payload)
{
    if (bus_owner_pipe(conn)) {
        bus_wire_out out = {
            .subject = bus_view_of(subject), .reply = bus_view_of(reply), .payload = payload};
        return publish_owner(conn, &out, headers, count);
    }
    bus_link *link = library_link(conn);
    if (!link)
        return down(conn, subject);
    natsMsg *msg = NULL;
    natsStatus s = NATS_OK;
    bus_err err = check_size(link, bus_view_of(subject), payload);
    if (err)
        goto done;
    if (count == 0 && reply) {
        s = natsConnection_PublishRequest(link->nc, subject, reply, payload.ptr, (int)payload.len);
    } else if (count == 0) {
        s = natsConnection_Publish(link->nc, subject, payload.ptr, (int)payload.len);
    } else {
        s = make(&msg, subject, reply, headers, count, payload);
        if (s == NATS_OK)
            s = natsConnection_PublishMsg(link->nc, msg);
    }
    if (s != NATS_OK)
        err = bus_nats_fail(s, subject);
done:
    natsMsg_Destroy(msg);
    bus_link_unref(link);
    return err ? bus_note(err, "publishing") : BUS_OK;
}

// Ready headers through the library: it wants them one by one, NUL-terminated.
static natsStatus add_block(natsMsg *msg, bus_view block)
{
    char name[128], value[1024];
    bus_view n, v;
    natsStatus s = NATS_OK;
    for (size_t at = 0; s == NATS_OK && bus_wire_header_next(block, &at, &n, &v);)
        s = bus_view_copy(n, name, sizeof name) && bus_view_copy(v, value, sizeof value)
                ? natsMsgHeader_Add(msg, name, value)
                : NATS_INVALID_ARG;
    return s;
}

bus_err bus_publish_block(bus_conn *conn, bus_view subject, bus_view reply, bus_view headers,
                          bus_view payload)
{
    if (bus_owner_pipe(conn)) {
        bus_wire_out out = {subject, reply, headers, payload};
        return publish_owner(conn, &out, NULL, 0);
    }
    char name[BUS_SUBJECT_BUF], answer[BUS_SUBJECT_BUF];
    bus_link *link = library_link(conn);
    if (!link)
        return down(conn, "publishing");
    natsMsg *msg = NULL;
    bus_err err =
        bus_view_copy(subject, name, sizeof name) && bus_view_copy(reply, answer, sizeof answer)
            ? check_size(link, subject, payload)
            : bus_fail(BUS_EINVAL, "subject '%.*s' is too long", BUS_VIEW_ARG(subject));
    natsStatus s = NATS_OK;
    if (!err) {
        s = natsMsg_Create(&msg, name, *answer ? answer : NULL, payload.ptr, (int)payload.len);
        if (s == NATS_OK)
            s = add_block(msg, headers);
        if (s == NATS_OK)
            s = natsConnection_PublishMsg(link->nc, msg);
    }
    if (s != NATS_OK)
        err = bus_nats_fail(s, name);
    natsMsg_Destroy(msg);
    bus_link_unref(link);
    return err ? bus_note(err, "publishing") : BUS_OK;
}
