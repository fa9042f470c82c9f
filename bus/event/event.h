// event: one CloudEvent 1.0 as a struct of views, its rules, and its three codecs.
//   msgpack   one map, keys = attribute names, extensions at the top level, `data` inline   (written)
//   JSON      application/cloudevents+json                                                   (read; written at the edges)
//   headers   ce-* headers and a payload of any content type                                 (read; written at the edges)
// A decoded event points into the received bytes (msgpack) or into the scratch (JSON, headers); it
// lives as long as they do. Thread: any; the size bound is the only global. Source: schemas/specs/envelope.md.
#ifndef BUS_EVENT_EVENT_H
#define BUS_EVENT_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/base/err.h"
#include "bus/base/time.h"
#include "bus/base/view.h"
#include "bus/event/pack.h"

#define BUS_CONTENT_MSGPACK "application/cloudevents+msgpack"
#define BUS_CONTENT_JSON    "application/cloudevents+json"

enum {
    BUS_EVENT_SIZE_MAX = 64 * 1024, // default bound of one encoded event, bytes
    BUS_EVENT_EXTRA_MAX = 32,       // extensions beyond the ones named below
};

// The attributes we know, in the order they are written. X(field, name on the wire).
#define BUS_EVENT_ATTRIBUTES(X)                                                                    \
    X(id, "id")                                                                                    \
    X(source, "source")                                                                            \
    X(type, "type")                                                                                \
    X(subject, "subject")                                                                          \
    X(time, "time")                                                                                \
    X(datacontenttype, "datacontenttype")                                                          \
    X(dataschema, "dataschema")                                                                    \
    X(correlationid, "correlationid")                                                              \
    X(causationid, "causationid")                                                                  \
    X(causationseq, "causationseq")                                                                \
    X(scenarioid, "scenarioid")                                                                    \
    X(runid, "runid")                                                                              \
    X(exchange, "exchange")                                                                        \
    X(clocktype, "clocktype")                                                                      \
    X(eventtime, "eventtime")                                                                      \
    X(recordedtime, "recordedtime")                                                                \
    X(walltime, "walltime")                                                                        \
    X(marketlane, "marketlane")                                                                    \
    X(marketselector, "marketselector")                                                            \
    X(portfoliolane, "portfoliolane")                                                              \
    X(strategylane, "strategylane")                                                                \
    X(replytopic, "replytopic")                                                                    \
    X(traceparent, "traceparent")

// An extension of any CloudEvents type, as its packed msgpack value (str, int, bool, bin).
typedef struct {
    bus_view name;
    bus_view packed;
} bus_event_extra;

typedef struct {
// Every known attribute as its canonical string; len 0 means absent. specversion is always "1.0".
#define X(field, name) bus_view field;
    BUS_EVENT_ATTRIBUTES(X)
#undef X
    bus_event_extra extra[BUS_EVENT_EXTRA_MAX];
    uint32_t extra_count;
    // One packed msgpack value: inline JSON data model, or str (text), or bin (bytes). len 0: no data.
    bus_view data;
} bus_event;

// bus_event_attribute: the place of a known attribute, by its name on the wire (dotted spellings too); NULL:
// the name is no attribute of ours, so its value is an extra.
bus_view *bus_event_attribute(bus_event *event, bus_view name);

// Scratch for what cannot be pointed at. Caller-owned, reusable, never shrinks.
typedef struct {
    uint8_t *buf;
    size_t cap;
} bus_scratch;
void bus_scratch_release(bus_scratch *scratch);

// --- writing --------------------------------------------------------------------------------------
// bus_event_encode appends the msgpack form to p. Checks the rules of bus_event_check first.
bus_err bus_event_encode(bus_pack *p, const bus_event *event);
// bus_event_encode_json returns malloc'ed, NUL-terminated application/cloudevents+json (one line).
bus_err bus_event_encode_json(char **out, size_t *len, const bus_event *event);
// Header form: fn is called once per header; values are percent-encoded. Payload = *payload
// (JSON text of data when datacontenttype is JSON: then it points into scratch). The scratch must not be
// the one that `event` points into.
typedef void (*bus_header_fn)(void *ctx, const char *name, const char *value);
bus_err bus_event_encode_headers(const bus_event *event, bus_scratch *scratch, bus_view *payload,
                                 bus_header_fn fn, void *ctx);

// --- reading --------------------------------------------------------------------------------------
// content_type as in the NATS header "Content-Type"; empty: guessed (0x80..0x8f, 0xde, 0xdf: msgpack;
// '{': JSON). Everything is validated first; dotted extension names are accepted for the four lanes.
bus_err bus_event_decode(bus_event *out, bus_view content_type, bus_view payload,
                         bus_scratch *scratch);
bus_err bus_event_decode_msgpack(bus_event *out, bus_view payload);
bus_err bus_event_decode_json(bus_event *out, bus_view payload, bus_scratch *scratch);
// headers: ce-* pairs, names as they came. Returns BUS_EINVAL naming the header and the rule.
typedef struct {
    bus_view name, value;
} bus_header;
bus_err bus_event_decode_headers(bus_event *out, const bus_header *headers, size_t count,
                                 bus_view payload, bus_scratch *scratch);

// bus_event_pairs: how many keys its msgpack form has.
uint32_t bus_event_pairs(const bus_event *event);

// --- rules ----------------------------------------------------------------------------------------
// bus_event_check: required attributes, name and value rules of CloudEvents 1.0, RFC 3339 times,
// 32-bit integers, the size. Every codec applies the same rules. `data` is trusted to be one packed value:
// whoever wrote it used bus_pack, and what came from outside was validated when it was read.
bus_err bus_event_check(const bus_event *event);
// The bound of one encoded event, for the whole process: BUS_EVENT_SIZE_MAX unless main sets another at its
// start. Larger is BUS_ELIMIT with both numbers.
size_t bus_event_size_max(void);
void bus_event_set_size_max(size_t bytes);

#endif
