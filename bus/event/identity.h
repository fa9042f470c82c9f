// identity: derived ids, sources, types and correlation of events. Nothing here is random.
// Thread: any. Source: schemas/specs/envelope.md, "Identity".
#ifndef BUS_EVENT_IDENTITY_H
#define BUS_EVENT_IDENTITY_H

#include <stdint.h>

#include "bus/base/err.h"
#include "bus/base/view.h"

enum { BUS_UUID_TEXT = 37, BUS_DEDUP_TEXT = 512 };

// 128-bit XXH3 of source, 0x1f, id as a UUID ("8-4-4-4-12", lower-case hex): a market event's correlationid.
void bus_identity_correlation(char out[BUS_UUID_TEXT], bus_view source, bus_view id);
// Worker output id: XXH3-128 over scenario, runid or session, worker, input source, input id, n (each
// followed by 0x1f), as 32 hex digits.
void bus_identity_output(char out[33], bus_view scenario, bus_view run, bus_view worker,
                         bus_view input_source, bus_view input_id, uint32_t n);
// De-duplication id (Nats-Msg-Id): [runid#]source#id.
bus_err bus_identity_dedup(char *buf, size_t cap, bus_view runid, bus_view source, bus_view id,
                           size_t *len);
// A fresh random UUID v4 from the kernel: for run ids alone.
bus_err bus_identity_run(char out[BUS_UUID_TEXT]);

#endif
