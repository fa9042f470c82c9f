#include "feeds/lifecycle.h"

#include <stdio.h>

#include "feeds/venues/emit.h"

void feed_lifecycle_tell(feed_lifecycle *l, feed_outbox *outbox, const char *state,
                         uint32_t attempt, const char *error_type, const char *error_message)
{
    uint8_t buf[4096];
    char id[160], type[96], subject[160], now[BUS_TIME_TEXT], correlation[BUS_UUID_TEXT];
    bool attempts = attempt > 0, error = error_type != NULL;
    bus_pack p = bus_pack_to(buf, sizeof buf);
    bus_pack_map(&p, 3u + attempts + (error ? 2u : 0u));
    feed_put_text(&p, "connection_id", l->connection_id);
    feed_put_text(&p, "url", l->url);
    feed_put_text(&p, "instance_id", l->instance_id);
    if (attempts)
        feed_put_uint(&p, "attempt", attempt);
    if (error) {
        feed_put_text(&p, "error_type", error_type);
        feed_put_text(&p, "error_message", error_message);
    }
    int id_len = snprintf(id, sizeof id, "%s.%lld.%llu", l->connection_id, (long long)l->epoch_ms,
                          (unsigned long long)++l->n);
    snprintf(type, sizeof type, "com.virtufin.websocketmanager.connection.%s", state);
    snprintf(subject, sizeof subject, "connection/%s", l->connection_id);
    int now_len = bus_time_format(bus_now_wall().ns, now);
    bus_event event = {.id = {id, (size_t)id_len},
                       .source = BUS_VIEW("urn:com.virtufin.websocketmanager"),
                       .type = bus_view_of(type),
                       .subject = bus_view_of(subject),
                       .datacontenttype = BUS_VIEW("application/json"),
                       .data = {(const char *)buf, p.len}};
    event.time = event.eventtime = event.walltime = (bus_view){now, (size_t)now_len};
    bus_identity_correlation(correlation, event.source, event.id);
    event.correlationid = (bus_view){correlation, BUS_UUID_TEXT - 1};
    if (!p.overflow)
        feed_outbox_lifecycle(outbox, "websocketmanager.connectionstatus", &event);
}
