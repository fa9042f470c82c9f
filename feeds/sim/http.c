// HTTP requests and their answers. An answer ends its connection: libwebsockets 4.1 reads the body of a request that
// was sent behind another one from memory it has freed. Source: schemas/specs/simexd.md, "Venue endpoints: REST".
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feeds/sim/session.h"

static int used_weight(sim_server *s, int weight)
{
    int64_t minute = bus_now_wall().ns / 60000000000;
    if (minute != s->weight_minute) {
        s->weight_minute = minute;
        s->weight = 0;
    }
    return s->weight += weight;
}

static int write_head(sim_peer *p)
{
    unsigned char buf[LWS_PRE + 1024], *at = buf + LWS_PRE, *end = buf + sizeof buf;
    char weight[16];
    int len = snprintf(weight, sizeof weight, "%d", used_weight(p->server, p->answer.weight));
    if (lws_add_http_common_headers(p->wsi, (unsigned)p->answer.status, p->answer.type,
                                    p->answer.body.len, &at, end))
        return -1;
    if (p->answer.weight &&
        lws_add_http_header_by_name(p->wsi, (const unsigned char *)"x-mbx-used-weight-1m:",
                                    (const unsigned char *)weight, len, &at, end))
        return -1;
    if (lws_add_http_header_by_token(p->wsi, WSI_TOKEN_CONNECTION, (const unsigned char *)"close",
                                     5, &at, end))
        return -1;
    return lws_finalize_write_http_header(p->wsi, buf + LWS_PRE, &at, end) ? -1 : 0;
}

static int begin_answer(sim_peer *p)
{
    p->waits = false;
    p->answering = true;
    p->sent = 0;
    if (p->answer.body.failed) {
        sim_text_clear(&p->answer.body);
        p->answer.status = 500;
    }
    if (write_head(p))
        return -1;
    lws_callback_on_writable(p->wsi);
    return 0;
}

void sim_http_answer(void *ctx, void *cookie, sim_answer *answer)
{
    sim_peer *p = cookie;
    (void)ctx;
    p->answer = *answer;
    if (begin_answer(p) < 0)
        lws_set_timeout(p->wsi, PENDING_TIMEOUT_KILLED_BY_PARENT, LWS_TO_KILL_ASYNC);
}

static int answer_error(sim_peer *p, int status, const char *sentence)
{
    p->answer = (sim_answer){.status = status, .type = "application/json"};
    sim_text_printf(&p->answer.body, "{\"error\":\"%s\"}", sentence);
    return begin_answer(p);
}

// The library says that a body has ended once more when bytes follow, and of other methods than POST after the head;
// from 4.3 on it does not say it at all when bytes follow.
int sim_http_ask(sim_peer *p)
{
    if (p->answering || p->waits)
        return 0;
    sim_ask a = {bus_view_of(p->method), bus_view_of(p->path), bus_view_of(p->query),
                 sim_text_view(&p->inbound), p};
    if (p->too_long) {
        char sentence[48];
        snprintf(sentence, sizeof sentence, "a body is at most %d bytes", SIM_BODY_BYTES_MAX);
        return answer_error(p, 413, sentence);
    }
    sim_exchange_ask(p->server->exchange, &a, &p->answer, bus_now_mono());
    sim_server_hurry(p->server);
    if (p->answer.status)
        return begin_answer(p);
    p->waits = true;
    lws_set_timeout(p->wsi, NO_PENDING_TIMEOUT, 0);
    return 0;
}

static bool body_length(struct lws *wsi, uint64_t *out)
{
    char text[24];
    int len = lws_hdr_copy(wsi, text, sizeof text, WSI_TOKEN_HTTP_CONTENT_LENGTH);
    return len > 0 && bus_view_u64((bus_view){text, (size_t)len}, out) && *out > 0;
}

int sim_http_request(struct lws *wsi)
{
    sim_peer *p = sim_peer_of(wsi) ? NULL : sim_peer_add(wsi); // one request a connection
    if (!p)
        return -1;
    if (!sim_peer_read_head(p))
        return answer_error(p, 400, "a method that is not known");
    if (lws_hdr_total_length(wsi, WSI_TOKEN_POST_URI) && body_length(wsi, &p->body_left))
        return 0; // the body comes first
    return sim_http_ask(p);
}

int sim_http_body(sim_peer *p, const void *in, size_t len)
{
    p->too_long = p->too_long || p->inbound.len + len > SIM_BODY_BYTES_MAX;
    if (!p->too_long)
        sim_text_add(&p->inbound, (bus_view){in, len});
    p->body_left -= len < p->body_left ? len : p->body_left;
    return p->body_left ? 0 : sim_http_ask(p);
}

int sim_http_writable(sim_peer *p)
{
    unsigned char buf[LWS_PRE + SIM_CHUNK_BYTES];
    if (!p->answering)
        return 0;
    size_t left = p->answer.body.len - p->sent;
    size_t len = left < SIM_CHUNK_BYTES ? left : SIM_CHUNK_BYTES;
    if (len)
        memcpy(buf + LWS_PRE, p->answer.body.ptr + p->sent, len);
    p->sent += len;
    bool last = p->sent == p->answer.body.len;
    if (lws_write(p->wsi, buf + LWS_PRE, len, last ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP) < 0)
        return -1;
    if (!last) {
        lws_callback_on_writable(p->wsi);
        return 0;
    }
    return -1; // what is not written yet goes out before the end
}
