#include "publishing.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "test/support/test.h"

acks seen;
const char publishing_subject[] = "act.exchange.binance.trade.tape.BTCUSDT";

void note_ack(void *ctx, const bus_ack *ack)
{
    (void)ctx;
    seen.disorder |= ack->tag != seen.last_tag + 1;
    seen.last_tag = ack->tag;
    seen.duplicates += ack->duplicate;
    if (ack->err) {
        seen.refused++;
        snprintf(seen.words, sizeof seen.words, "%s", ack->text);
        snprintf(seen.refused_subject, sizeof seen.refused_subject, "%s", ack->subject);
        bus_view_copy(ack->msg_id, seen.refused_id, sizeof seen.refused_id);
        seen.refused_len = ack->payload.len;
        return;
    }
    seen.acked++;
    seen.disorder |= ack->stream_seq <= seen.last_seq && !seen.made_anew;
    seen.last_seq = ack->stream_seq;
}

bus_publisher *given_publisher(const test_broker *broker, bus_span ack_timeout)
{
    bus_publisher *pub = NULL;
    test_ok(bus_publisher_open(
        &pub, &(bus_publisher_opts){
                  .conn = {.url = broker->url, .name = "publisher", .profile = BUS_PROFILE_BULK},
                  .ack_timeout = ack_timeout,
                  .on_ack = note_ack}));
    return pub;
}

bus_publish_result send_one(bus_publisher *pub, uint64_t n)
{
    char id[48], payload[200] = "";
    snprintf(id, sizeof id, "urn:test#%" PRIu64, n);
    snprintf(payload, sizeof payload, "%" PRIu64, n);
    const bus_header_pair type = {"Content-Type", "text/plain"};
    return bus_publisher_send(pub, publishing_subject, id, &type, 1,
                              (bus_view){payload, sizeof payload}, n);
}

void send_range(bus_publisher *pub, uint64_t first, uint64_t last, uint64_t every,
                void (*fault)(void))
{
    for (uint64_t n = first; n <= last; n++) {
        bus_publish_result result;
        while ((result = send_one(pub, n)) == BUS_PUBLISH_FULL) {
            bus_publisher_poll(pub);
            sleep_ms(1);
        }
        cr_assert_eq(result, BUS_PUBLISH_SENT, "%s", bus_err_text());
        if (n % 64 == 0)
            bus_publisher_poll(pub);
        if (every && n % every == 0)
            fault();
    }
}

void expect_ours(bus_conn *conn, uint64_t count)
{
    const char *const filter = publishing_subject;
    bus_stream_info info;
    bus_reader *reader;
    test_ok(bus_stream_info_get(conn, "ACT", &info));
    test_ok(bus_reader_open(
        &reader, conn,
        &(bus_reader_opts){.stream = "ACT", .from_seq = 1, .filters = &filter, .filter_count = 1}));
    uint64_t n = 0, seq = 0;
    while (seq < info.last_seq) {
        bus_record record;
        bus_seq_range gap;
        bus_reader_result result = bus_reader_next(reader, BUS_SPAN_S(5), &record, &gap);
        if (result == BUS_READER_CAUGHT_UP)
            break;
        cr_assert_eq(result, BUS_READER_RECORD);
        uint64_t got = strtoull(record.payload.ptr, NULL, 10);
        cr_assert_eq(got, n + 1, "sequence %" PRIu64 " holds %" PRIu64 " behind %" PRIu64,
                     record.seq, got, n);
        n = got;
        seq = record.seq;
    }
    cr_assert_eq(n, count, "%" PRIu64 " of %" PRIu64, n, count);
    bus_reader_close(reader);
}

void expect_stream(bus_conn *conn, uint64_t count)
{
    cr_assert_eq(stream_messages(conn, "ACT"), count);
    expect_ours(conn, count);
}
