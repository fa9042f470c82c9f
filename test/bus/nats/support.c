#include "support.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "test/support/test.h"

void sleep_ms(int ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&ts, NULL);
}

void wait_until_up(bus_conn *conn, int timeout_ms)
{
    test_ok(bus_conn_wait(conn, BUS_SPAN_MS(timeout_ms)));
}

bus_conn *given_conn(const test_broker *broker, bus_profile profile)
{
    bus_conn *conn = NULL;
    test_ok(bus_conn_open(
        &conn, &(bus_conn_opts){.url = broker->url, .name = "test", .profile = profile}));
    wait_until_up(conn, 10000);
    return conn;
}

void given_stream(bus_conn *conn, const char *name, const char *subject)
{
    const char *const subjects[] = {subject, NULL};
    test_ok(bus_stream_ensure(
        conn, &(bus_stream_def){.name = name, .subjects = subjects, .allow_direct = true}, NULL));
}

uint64_t stream_messages(bus_conn *conn, const char *stream)
{
    bus_stream_info info;
    test_ok(bus_stream_info_get(conn, stream, &info));
    return info.messages;
}

void given_records(bus_conn *conn, const char *stream, const char *subject, uint64_t count,
                   size_t len)
{
    uint64_t before = stream_messages(conn, stream);
    char *payload = calloc(1, len + 24);
    for (uint64_t i = 1; i <= count; i++) {
        snprintf(payload, 24, "%" PRIu64, i);
        test_ok(bus_publish(conn, subject, NULL, NULL, 0, (bus_view){payload, len}));
        if (i % 2000 == 0) // a stream drops what comes faster than it stores
            while (stream_messages(conn, stream) + 4000 < before + i)
                sleep_ms(1);
    }
    free(payload);
    for (int i = 0; i < 1000 && stream_messages(conn, stream) < before + count; i++)
        sleep_ms(10);
    cr_assert_eq(stream_messages(conn, stream), before + count);
}

void purge_stream(bus_conn *conn, const char *name, const char *subject)
{
    char api[80], body[128];
    bus_msg *answer = NULL;
    snprintf(api, sizeof api, "$JS.API.STREAM.PURGE.%s", name);
    snprintf(body, sizeof body, "{\"filter\":\"%s\"}", *subject ? subject : ">");
    test_ok(bus_request(conn, api, NULL, 0, bus_view_of(body), BUS_SPAN_S(5), &answer));
    bus_msg_release(answer);
}

long memory_kb(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%*d %ld", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}
