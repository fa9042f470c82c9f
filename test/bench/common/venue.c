#include "test/bench/common/venue.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void give_up(const char *what)
{
    perror(what);
    exit(1);
}

static void write_trade(FILE *file, int64_t at, uint64_t id)
{
    fprintf(file,
            "%" PRId64 " {\"stream\":\"btcusdt@trade\",\"data\":{\"e\":\"trade\",\"E\":%" PRId64
            ",\"s\":\"BTCUSDT\",\"t\":%" PRIu64
            ",\"p\":\"6183%d.63000000\",\"q\":\"0.00100000\",\"T\":%" PRId64
            ",\"m\":%s,\"M\":true}}\n",
            at, at / 1000000, id, id % 2 ? 8 : 7, at / 1000000, id % 2 ? "true" : "false");
}

static void write_quote(FILE *file, int64_t at, uint64_t id)
{
    fprintf(file,
            "%" PRId64 " {\"stream\":\"btcusdt@bookTicker\",\"data\":{\"u\":%" PRIu64
            ",\"s\":\"BTCUSDT\",\"b\":\"61837.62000000\",\"B\":\"3.7%04d000\","
            "\"a\":\"61837.63000000\",\"A\":\"0.99000000\"}}\n",
            at, id, (int)(id % 10000));
}

static void write_market(const bench_market *m, const char *path)
{
    FILE *file = fopen(path, "w");
    int64_t at = 1723161254000000000;
    if (!file)
        give_up(path);
    for (uint64_t i = 0; i < m->trades; i++, at += m->apart_ns) {
        write_trade(file, at, m->first + i);
        if (m->quotes)
            write_quote(file, at += m->apart_ns, m->first + i);
    }
    if (fclose(file))
        give_up(path);
}

void bench_venue_start(bench_venue *v, const bench_market *market)
{
    char path[128];
    snprintf(path, sizeof path, "%s/market.txt", bench_folder());
    write_market(market, path);
    const char *const args[] = {"--listen",    "127.0.0.1:0",   "--capture", path, "--speed",
                                market->speed, "--log-entries", "1000",      NULL};
    bench_daemon_start(&v->simexd, "simexd", args);
    v->port = bench_daemon_port(&v->simexd, "listening venue=");
    snprintf(v->ws, sizeof v->ws, "ws://127.0.0.1:%d", v->port);
    snprintf(v->rest, sizeof v->rest, "http://127.0.0.1:%d", v->port);
    bench_daemon_line(&v->simexd, "ready in ", NULL, 0);
}

static void get(int port, const char *path, char *buf, size_t cap)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    size_t len = 0;
    ssize_t n;
    if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) ||
        dprintf(fd, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path) < 0)
        give_up("asking the venue");
    while (len < cap - 1 && (n = read(fd, buf + len, cap - 1 - len)) > 0)
        len += (size_t)n;
    buf[len] = 0;
    close(fd);
}

uint64_t bench_venue_sent(const bench_venue *v)
{
    static char text[65536];
    get(v->port, "/sim/v1/status", text, sizeof text);
    const char *log = strstr(text, "\"log\":{"), *last = log ? strstr(log, "\"last\":") : NULL;
    return last ? strtoull(last + 7, NULL, 10) : 0;
}
