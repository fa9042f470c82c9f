#include "bus/nats/request.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bus/nats/conn_impl.h"

struct bus_waiting {
    bus_waiting *next;
    uint64_t number;
    bus_msg *answer;
};

// --- answers -----------------------------------------------------------------------------------------------

// The library's thread. Whoever does not wait any more gets nothing.
static void on_answer(void *ctx, bus_msg *msg)
{
    bus_requests *r = ctx;
    bus_view subject = bus_msg_subject(msg);
    uint64_t number = 0;
    bool ours =
        subject.len > r->inbox_len &&
        bus_view_u64((bus_view){subject.ptr + r->inbox_len, subject.len - r->inbox_len}, &number);
    bus_gate_lock(&r->gate);
    bus_waiting *w = ours ? r->list : NULL;
    while (w && w->number != number)
        w = w->next;
    if (w && !w->answer) {
        w->answer = msg;
        msg = NULL;
        bus_gate_signal(&r->gate);
    }
    bus_gate_unlock(&r->gate);
    bus_msg_release(msg);
}

void bus_requests_look(void *requests)
{
    bus_requests *r = requests;
    bus_gate_lock(&r->gate);
    bus_gate_signal(&r->gate);
    bus_gate_unlock(&r->gate);
}

// --- life --------------------------------------------------------------------------------------------------

void bus_requests_init(bus_requests *r)
{
    bus_gate_init(&r->gate);
    snprintf(r->inbox, sizeof r->inbox, "_INBOX.%016" PRIx64 "%08x.", bus_machine_random(),
             (unsigned)bus_machine_random());
    r->inbox_len = strlen(r->inbox);
}

void bus_requests_stop(bus_requests *r)
{
    bus_sub_close(r->answers);
    r->answers = NULL;
}

void bus_requests_release(bus_requests *r)
{
    bus_gate_release(&r->gate);
}

// The subscription is opened without the gate, which answers need; of two that are opened at once one is closed again.
static bus_err listen_for_answers(bus_conn *conn)
{
    bus_requests *r = &conn->requests;
    char subject[sizeof r->inbox + 2];
    bus_sub *made = NULL;
    bus_gate_lock(&r->gate);
    bool there = r->answers != NULL;
    bus_gate_unlock(&r->gate);
    if (there)
        return BUS_OK;
    snprintf(subject, sizeof subject, "%s*", r->inbox);
    bus_err err =
        bus_sub_open_routed(&made, conn, &(bus_sub_opts){.subject = subject}, on_answer, r);
    bus_gate_lock(&r->gate);
    if (!r->answers) {
        r->answers = made;
        made = NULL;
    }
    bus_gate_unlock(&r->gate);
    bus_sub_close(made);
    return err;
}

// --- one request -------------------------------------------------------------------------------------------

static void begin(bus_requests *r, bus_waiting *w)
{
    bus_gate_lock(&r->gate);
    w->number = ++r->last;
    w->next = r->list;
    r->list = w;
    bus_gate_unlock(&r->gate);
}

// Holds the gate.
static void leave(bus_requests *r, bus_waiting *w)
{
    bus_waiting **at = &r->list;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
}

static bool denied(bus_conn *conn, const char *subject, uint64_t after)
{
    return bus_denied_has(&conn->denied, subject, after) ||
           bus_denied_has(&conn->denied, conn->requests.answers->subject, 0);
}

static bus_err no_answer(const bus_link *link, const char *subject, bool refused, bus_span timeout)
{
    if (refused)
        return bus_fail(BUS_EPERM, "not permitted: %s", subject);
    if (link->lost)
        return bus_fail(BUS_EUNAVAILABLE, "%s: the connection was lost", subject);
    return bus_fail(BUS_ETIMEOUT, "no answer on '%s' within %lld ms", subject,
                    (long long)(timeout.ns / 1000000));
}

static bus_err nobody(const char *subject)
{
    if (strncmp(subject, "$JS.API.", 8) == 0)
        return bus_fail(BUS_EUNAVAILABLE,
                        "the broker has no JetStream for us (start it with: nats-server -js); "
                        "nobody answers on '%s'",
                        subject);
    return bus_fail(BUS_EUNAVAILABLE, "nobody answers on '%s'", subject);
}

// Always takes `w` off the list.
static bus_err wait_answer(bus_conn *conn, const bus_link *link, bus_waiting *w,
                           const char *subject, uint64_t after, bus_span timeout)
{
    bus_requests *r = &conn->requests;
    bus_mono until = bus_mono_add(bus_machine_mono(), timeout);
    bool refused = false;
    bus_gate_lock(&r->gate);
    while (!w->answer && !link->lost && !(refused = denied(conn, subject, after)) &&
           bus_gate_wait(&r->gate, until))
        ;
    leave(r, w);
    bus_gate_unlock(&r->gate);
    if (!w->answer)
        return no_answer(link, subject, refused, timeout);
    if (!bus_msg_no_responders(w->answer))
        return BUS_OK;
    bus_msg_release(w->answer);
    w->answer = NULL;
    return nobody(subject);
}

bus_err bus_request(bus_conn *conn, const char *subject, const bus_header_pair *headers,
                    size_t count, bus_view payload, bus_span timeout, bus_msg **reply)
{
    char inbox[sizeof conn->requests.inbox + 24];
    bus_waiting w = {0};
    if (conn->opts.opts.profile == BUS_PROFILE_OWNER)
        return bus_fail(BUS_EUNAVAILABLE, "request: this connection makes none");
    bus_link *link = bus_conn_link(conn);
    if (!link) {
        char why[BUS_LINK_WHY];
        return bus_fail(BUS_EUNAVAILABLE, "request: %s: %s", subject,
                        bus_conn_why(conn, why, sizeof why));
    }
    bus_err err = listen_for_answers(conn);
    if (!err) {
        uint64_t after = bus_denied_count(&conn->denied);
        begin(&conn->requests, &w);
        snprintf(inbox, sizeof inbox, "%s%" PRIu64, conn->requests.inbox, w.number);
        err = bus_publish(conn, subject, inbox, headers, count, payload);
        if (err) {
            bus_gate_lock(&conn->requests.gate);
            leave(&conn->requests, &w);
            bus_gate_unlock(&conn->requests.gate);
        } else {
            err = wait_answer(conn, link, &w, subject, after, timeout);
        }
    }
    bus_link_unref(link);
    *reply = err ? *reply : w.answer;
    return err && err != BUS_EPERM ? bus_note(err, "request") : err;
}
