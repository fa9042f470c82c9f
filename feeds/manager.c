#include "feeds/manager.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base/log.h"
#include "bus/nats/kv.h"
#include "bus/nats/service.h"
#include "feeds/counters.h"
#include "virtufin/websocketmanager/v1/websocketmanager.pb-c.h"

#define BUCKET "connections"

extern const uint8_t schema_websocketmanager_descriptors[];
extern const size_t schema_websocketmanager_descriptors_len;

struct feed_manager {
    feed_manager_opts opts;
    feed *feed;
    bus_waker *changed, *called;
    bus_timer *timer;
    bus_service *service;
    bool dirty;
};

typedef Virtufin__Websocketmanager__V1__Connection connection_message;

static void on_list(void *ctx, bus_call *call, const ProtobufCMessage *request)
{
    feed_manager *m = ctx;
    (void)request;
    connection_message c = VIRTUFIN__WEBSOCKETMANAGER__V1__CONNECTION__INIT;
    connection_message *all[] = {&c};
    Virtufin__Websocketmanager__V1__ListReply reply =
        VIRTUFIN__WEBSOCKETMANAGER__V1__LIST_REPLY__INIT;
    feed_status_view view = {0};
    char topic[64], created[BUS_TIME_TEXT];
    if (m->feed)
        feed_status_of(m->feed, &view);
    snprintf(topic, sizeof topic, "act.exchange.%s", m->opts.venue);
    bus_time_format(view.created.ns, created);
    c.id = (char *)m->opts.connection_id;
    c.url = (char *)m->opts.url;
    c.status = (Virtufin__Websocketmanager__V1__ConnectionStatus)view.kind;
    c.instance_id = (char *)m->opts.instance_id;
    c.topic = topic;
    c.created_at = view.created.ns ? created : (char *)"";
    c.auto_reconnect = true;
    c.venue = (char *)m->opts.venue;
    c.streams = view.streams;
    c.attempt = view.attempt;
    c.why = view.why;
    reply.connections = all;
    reply.n_connections = 1;
    bus_call_reply(call, &reply.base);
}

static const char *const kind_name[] = {"unknown", "connecting", "connected", "disconnected",
                                        "error"};

static void record_put(feed_manager *m)
{
    feed_status_view view;
    char created[BUS_TIME_TEXT], json[1024];
    feed_status_of(m->feed, &view);
    bus_time_format(view.created.ns, created);
    feed_count_set(FEED_COUNT_CONNECTED, view.kind == FEED_STATUS_CONNECTED);
    // every text here is of our own making and needs no escape, but the URL: settings refuse '"' there
    int len =
        snprintf(json, sizeof json,
                 "{\"id\":\"%s\",\"url\":\"%s\",\"status\":\"%s\",\"instance_id\":\"%s\","
                 "\"topic\":\"act.exchange.%s\",\"created_at\":\"%s\",\"auto_reconnect\":true}",
                 m->opts.connection_id, m->opts.url, kind_name[view.kind], m->opts.instance_id,
                 m->opts.venue, created);
    // The bucket is stored's to make; until it has, nobody answers and that is known at once.
    bus_err err = bus_kv_put(m->opts.conn, BUCKET, m->opts.connection_id,
                             (bus_view){json, (size_t)len}, NULL);
    if (err)
        bus_debug("connection record: %s", bus_err_text());
    else
        m->dirty = false;
}

static void on_changed(void *ctx)
{
    feed_manager *m = ctx;
    m->dirty = true;
    if (m->feed && bus_conn_state_of(m->opts.conn) == BUS_CONN_UP)
        record_put(m);
}

static void on_called(void *ctx)
{
    bus_service_poll(((feed_manager *)ctx)->service);
}

static void on_timer(void *ctx, bus_mono now)
{
    feed_manager *m = ctx;
    (void)now;
    if (m->dirty)
        on_changed(m);
    bus_service_poll(m->service);
}

static bus_err service_open(feed_manager *m)
{
    static const bus_method methods[] = {
        {.method = "List",
         .request = &virtufin__websocketmanager__v1__list_request__descriptor,
         .reply = &virtufin__websocketmanager__v1__list_reply__descriptor,
         .fn = on_list},
        {0}};
    bus_service_spec spec = {.daemon = "feedd",
                             .description = "connections to venues",
                             .service = "virtufin.websocketmanager.v1.WebSocketManager",
                             .methods = methods,
                             .descriptors = schema_websocketmanager_descriptors,
                             .descriptors_len = schema_websocketmanager_descriptors_len,
                             .ctx = m,
                             .wake = bus_waker_as_wake(m->called)};
    return bus_service_open(&m->service, m->opts.conn, &spec, 1);
}

bus_err feed_manager_open(feed_manager **out, const feed_manager_opts *opts)
{
    feed_manager *m = calloc(1, sizeof *m);
    if (!m)
        return bus_fail(BUS_ENOMEM, "manager");
    m->opts = *opts;
    bus_err err = bus_waker_open(&m->changed, opts->loop, on_changed, m);
    if (!err)
        err = bus_waker_open(&m->called, opts->loop, on_called, m);
    if (!err)
        err = service_open(m);
    if (!err)
        err = bus_timer_open(&m->timer, opts->loop, on_timer, m);
    if (err) {
        feed_manager_close(m);
        return bus_note(err, "service of connections");
    }
    bus_timer_start(m->timer, BUS_SPAN_MS(500), BUS_SPAN_MS(500));
    *out = m;
    return BUS_OK;
}

void feed_manager_close(feed_manager *m)
{
    if (!m)
        return;
    if (m->timer)
        bus_timer_close(m->timer);
    if (m->service)
        bus_service_close(m->service);
    if (m->called)
        bus_waker_close(m->called);
    if (m->changed)
        bus_waker_close(m->changed);
    free(m);
}

void feed_manager_watch(feed_manager *m, feed *f)
{
    m->feed = f;
    m->dirty = true;
}

bus_wake feed_manager_wake(feed_manager *m)
{
    return bus_waker_as_wake(m->changed);
}
