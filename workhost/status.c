// status: what happens to workers, as events. Source: schemas/specs/workers.md, "Lifecycle events".
#include <stdio.h>

#include "bus/base/log.h"
#include "workhost/host.h"

static void put_pair(bus_pack *p, const char *key, const char *value)
{
    bus_pack_key(p, key);
    bus_pack_str(p, bus_view_of(value));
}

static void announce_change(work_host_daemon *host, const char *worker, const char *state,
                            const bus_event *told)
{
    char data[256], key[64], packed[2048], id[64];
    bus_event e = *told;
    bus_pack p = bus_pack_to(data, sizeof data);
    bus_header_pair type = {"Content-Type", BUS_CONTENT_MSGPACK};
    snprintf(key, sizeof key, "worker.%s", worker);
    bus_pack_map(&p, 3);
    put_pair(&p, "service", "workmanager");
    put_pair(&p, "key", key);
    put_pair(&p, "change", state);
    snprintf(id, sizeof id, "%lld.%llu.change", (long long)host->epoch_ms,
             (unsigned long long)host->event_count);
    e.id = bus_view_of(id);
    e.type = BUS_VIEW("com.virtufin.workmanager.state.changed");
    e.data = (bus_view){data, p.len};
    bus_pack out = bus_pack_to(packed, sizeof packed);
    if (bus_event_encode(&out, &e) == BUS_OK && !out.overflow)
        bus_publish(host->conn, "state.change", NULL, &type, 1, (bus_view){packed, out.len});
}

void work_status(work_host_daemon *host, const work_record *record, const char *scenario,
                 const char *state, const char *error_type, const char *error)
{
    char id[64], type[96], subject[80], now[BUS_TIME_TEXT], data[1600];
    bus_event e = {.source = BUS_VIEW("urn:com.virtufin.workmanager"),
                   .datacontenttype = BUS_VIEW("application/json"),
                   .clocktype = BUS_VIEW("wall")};
    bus_pack p = bus_pack_to(data, sizeof data);
    bus_pack_map(&p, error_type ? 6 : 4);
    put_pair(&p, "worker_id", record->name);
    put_pair(&p, "topic", record->input_count ? record->inputs[0] : "");
    put_pair(&p, "scenario", scenario);
    put_pair(&p, "replica_id", host->replica);
    if (error_type) {
        put_pair(&p, "error_type", error_type);
        put_pair(&p, "error_message", error ? error : "");
    }
    snprintf(id, sizeof id, "%lld.%llu", (long long)host->epoch_ms,
             (unsigned long long)++host->event_count);
    snprintf(type, sizeof type, "com.virtufin.workmanager.worker.%s", state);
    snprintf(subject, sizeof subject, "worker/%s", record->name);
    bus_time_format(bus_now_wall().ns, now);
    e.id = bus_view_of(id);
    e.type = bus_view_of(type);
    e.subject = bus_view_of(subject);
    e.time = e.eventtime = e.recordedtime = e.walltime = bus_view_of(now);
    e.data = (bus_view){data, p.len};
    if (p.overflow ||
        bus_publisher_event(host->publisher, "workmanager.workerstatus", &e, 0) != BUS_PUBLISH_SENT)
        bus_warn("worker %s is %s: not announced (%s)", record->name, state,
                 p.overflow ? "too long" : "the window is full, or refused");
    announce_change(host, record->name, state, &e);
}
