// Connections of the venue's port, and the heads of their requests.
#include "feeds/sim/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

sim_peer *sim_peer_of(struct lws *wsi)
{
    return lws_get_opaque_user_data(wsi);
}

sim_server *sim_server_of(struct lws *wsi)
{
    return lws_context_user(lws_get_context(wsi));
}

sim_peer *sim_peer_add(struct lws *wsi)
{
    sim_peer *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->server = sim_server_of(wsi);
    p->wsi = wsi;
    p->next = p->server->peers;
    p->server->peers = p;
    lws_set_opaque_user_data(wsi, p);
    return p;
}

void sim_peer_remove(struct lws *wsi)
{
    sim_peer *p = sim_peer_of(wsi);
    if (!p)
        return;
    sim_peer **at = &p->server->peers;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    if (p->client)
        sim_hub_leave(sim_exchange_hub(p->server->exchange), p->client);
    if (p->waits)
        sim_exchange_forget(p->server->exchange, p);
    sim_text_release(&p->inbound);
    sim_text_release(&p->answer.body);
    free(p);
    lws_set_opaque_user_data(wsi, NULL);
}

static void read_query(struct lws *wsi, char *query, size_t cap)
{
    char part[1024];
    size_t len = 0;
    query[0] = 0;
    for (int i = 0;; i++) {
        int n = lws_hdr_copy_fragment(wsi, part, sizeof part, WSI_TOKEN_HTTP_URI_ARGS, i);
        if (n < 0)
            return;
        int wrote = snprintf(query + len, cap - len, "%s%s", i ? "&" : "", part);
        if (wrote < 0 || (size_t)wrote >= cap - len) {
            query[len] = 0; // one that does not fit is as if it had not been sent
            return;
        }
        len += (size_t)wrote;
    }
}

bool sim_peer_read_head(sim_peer *p)
{
    static const struct {
        enum lws_token_indexes token;
        const char *method;
    } methods[] = {
        {WSI_TOKEN_GET_URI, "GET"},         {WSI_TOKEN_POST_URI, "POST"},
        {WSI_TOKEN_DELETE_URI, "DELETE"},   {WSI_TOKEN_PUT_URI, "PUT"},
        {WSI_TOKEN_PATCH_URI, "PATCH"},     {WSI_TOKEN_HEAD_URI, "HEAD"},
        {WSI_TOKEN_OPTIONS_URI, "OPTIONS"},
    };
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (lws_hdr_total_length(p->wsi, methods[i].token) == 0)
            continue;
        snprintf(p->method, sizeof p->method, "%s", methods[i].method);
        read_query(p->wsi, p->query, sizeof p->query);
        return lws_hdr_copy(p->wsi, p->path, sizeof p->path, methods[i].token) > 0;
    }
    return false;
}
