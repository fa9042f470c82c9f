#include "proxy.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test/support/test.h"

enum { PAIRS = 16, CHUNK = 65536 };

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

// fds[2k] is a client, fds[2k+1] its broker; -1: free.
static void accept_one(const test_proxy *proxy, int *fds)
{
    struct sockaddr_in to = loopback(proxy->to_port);
    int client = accept(proxy->listener, NULL, NULL), server = socket(AF_INET, SOCK_STREAM, 0);
    int k = 0;
    while (k < PAIRS && fds[2 * k] >= 0)
        k++;
    if (client < 0 || k == PAIRS || connect(server, (struct sockaddr *)&to, sizeof to)) {
        close(client);
        close(server);
        return;
    }
    fds[2 * k] = client;
    fds[2 * k + 1] = server;
}

static void close_pair(int *pair)
{
    close(pair[0]);
    close(pair[1]);
    pair[0] = pair[1] = -1;
}

static void relay(test_proxy *proxy, int *fds, int i)
{
    static char chunk[CHUNK];
    ssize_t n = read(fds[i], chunk, sizeof chunk);
    bool from_server = i % 2;
    if (n <= 0)
        close_pair(fds + i / 2 * 2);
    else if (!(from_server && proxy->deaf) &&
             send(fds[i ^ 1], chunk, (size_t)n, MSG_NOSIGNAL) != n && !from_server)
        close_pair(fds + i / 2 * 2); // a client that is gone: what it sent goes on
}

static void *run(void *ctx)
{
    test_proxy *proxy = ctx;
    int fds[2 * PAIRS];
    bool held[PAIRS] = {false};
    int hold = 0;
    memset(fds, -1, sizeof fds);
    while (!proxy->ending) {
        struct pollfd p[2 * PAIRS + 1];
        for (int k = 0; k < PAIRS; k++)
            held[k] = proxy->hold && fds[2 * k] >= 0 && (held[k] || !hold);
        hold = proxy->hold;
        for (int i = 0; i < 2 * PAIRS; i++)
            p[i] = (struct pollfd){.fd = held[i / 2] && i % 2 == 0 ? -1 : fds[i], .events = POLLIN};
        p[2 * PAIRS] = (struct pollfd){.fd = proxy->listener, .events = POLLIN};
        poll(p, 2 * PAIRS + 1, 10);
        bool cut = atomic_exchange(&proxy->cut, 0);
        for (int k = 0; k < PAIRS; k++) {
            if (fds[2 * k] >= 0 && cut)
                close_pair(fds + 2 * k);
            for (int i = 2 * k; i < 2 * k + 2; i++)
                if (fds[i] >= 0 && p[i].revents)
                    relay(proxy, fds, i);
        }
        if (p[2 * PAIRS].revents)
            accept_one(proxy, fds);
    }
    for (int k = 0; k < PAIRS; k++)
        if (fds[2 * k] >= 0)
            close_pair(fds + 2 * k);
    return NULL;
}

void test_proxy_start(test_proxy *proxy, int to_port)
{
    struct sockaddr_in here = loopback(0);
    socklen_t len = sizeof here;
    memset(proxy, 0, sizeof *proxy);
    proxy->to_port = to_port;
    proxy->listener = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert(bind(proxy->listener, (struct sockaddr *)&here, sizeof here) == 0 &&
              listen(proxy->listener, 8) == 0 &&
              getsockname(proxy->listener, (struct sockaddr *)&here, &len) == 0);
    proxy->port = ntohs(here.sin_port);
    snprintf(proxy->url, sizeof proxy->url, "nats://127.0.0.1:%d", proxy->port);
    cr_assert_eq(pthread_create(&proxy->thread, NULL, run, proxy), 0);
}

void test_proxy_stop(test_proxy *proxy)
{
    proxy->ending = 1;
    pthread_join(proxy->thread, NULL);
    close(proxy->listener);
}
