// One REST request: a GET, and the whole of its answer, told once.
#include <stdlib.h>

#include "feeds/net_impl.h"

enum { BODY_BYTES_MAX = 64 << 20 };

static void finish(feed_request *r, const char *text)
{
    if (r->told)
        return;
    r->told = true;
    r->net->on.answered(r->net->on.ctx, r->tag, text ? 0 : r->status,
                        (bus_view){r->body.ptr, r->body.len}, text ? text : "");
}

static int read_body(struct lws *wsi)
{
    char buf[LWS_PRE + 16384], *at = buf + LWS_PRE;
    int len = (int)sizeof buf - LWS_PRE;
    return lws_http_client_read(wsi, &at, &len) < 0 ? -1 : 0;
}

int feed_request_event(struct lws *wsi, enum lws_callback_reasons reason, feed_request *r, void *in,
                       size_t len)
{
    if (r->net->closing)
        return 0;
    switch (reason) {
    case LWS_CALLBACK_ESTABLISHED_CLIENT_HTTP:
        r->status = (int)lws_http_client_http_response(wsi);
        return 0;
    case LWS_CALLBACK_RECEIVE_CLIENT_HTTP:
        return read_body(wsi);
    case LWS_CALLBACK_RECEIVE_CLIENT_HTTP_READ:
        if (feed_bytes_append(&r->body, in, len, BODY_BYTES_MAX))
            return 0;
        finish(r, "an answer beyond 64 MiB");
        return -1;
    case LWS_CALLBACK_COMPLETED_CLIENT_HTTP:
        finish(r, NULL);
        return -1;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        finish(r, in ? (const char *)in : "no connection");
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        r->wsi = NULL;
        finish(r, "the connection broke before the answer was whole");
        return 0;
    case LWS_CALLBACK_CLOSED_CLIENT_HTTP:
        finish(r, "the connection broke before the answer was whole");
        return 0;
    default:
        return 0;
    }
}

bus_err feed_net_get(feed_net *net, const char *url, const char *path, uint64_t tag)
{
    feed_target t;
    bus_err err = feed_target_of(&t, url, path, false);
    if (err)
        return err;
    feed_request *r = calloc(1, sizeof *r);
    if (!r)
        return bus_fail(BUS_ENOMEM, "request");
    r->kind = FEED_REQUEST;
    r->net = net;
    r->tag = tag;
    r->next = net->requests;
    net->requests = r;
    if (!feed_net_start(net, &t, "GET", "rest", r, &r->wsi)) {
        r->wsi = NULL;
        finish(r, "no connection");
    }
    return BUS_OK;
}

void feed_request_free(feed_request *r)
{
    free(r->body.ptr);
    free(r);
}
