#include "workhost/fetch.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test/support/test.h"

// Source: schemas/specs/workers.md, "Service".
Test(fetch, reads_urls_and_refuses_what_is_none)
{
    static const struct {
        const char *text;
        bool ok, tls;
        const char *host, *port, *path;
    } cases[] = {
        {"http://example.com/a/b.so?x=1#frag", true, false, "example.com", "80", "/a/b.so?x=1"},
        {"HTTPS://example.com", true, true, "example.com", "443", "/"},
        {"https://example.com:8443?x", true, true, "example.com", "8443", "/?x"},
        {"http://[2001:db8::1]:81/x", true, false, "2001:db8::1", "81", "/x"},
        {"ftp://example.com/x", false, false, "", "", ""},
        {"file:///etc/passwd", false, false, "", "", ""},
        {"/x", false, false, "", "", ""},
        {"http://", false, false, "", "", ""},
        {"http:///x", false, false, "", "", ""},
        {"http://user:secret@example.com/", false, false, "", "", ""},
        {"http://example.com:0/", false, false, "", "", ""},
        {"http://example.com:99999/", false, false, "", "", ""},
        {"http://example.com/a b", false, false, "", "", ""},
        {"http://example.com/a\r\nX: y", false, false, "", "", ""},
        {"http://[::1/x", false, false, "", "", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        work_url url = {0};
        cr_expect((work_url_parse(&url, cases[i].text) == BUS_OK) == cases[i].ok, "%s",
                  cases[i].text);
        cr_expect_eq(url.tls, cases[i].tls);
        cr_expect_str_eq(url.host, cases[i].host);
        cr_expect_str_eq(url.port, cases[i].port);
        cr_expect_str_eq(url.path, cases[i].path);
        cr_expect_null(strstr(bus_err_text(), "secret"));
    }
}

Test(fetch, refuses_every_address_that_is_not_public)
{
    static const struct {
        const char *text;
        bool refused;
    } cases[] = {
        {"0.0.0.0", true},
        {"10.1.2.3", true},
        {"100.64.0.1", true},
        {"100.128.0.1", false},
        {"127.0.0.1", true},
        {"127.255.255.255", true},
        {"169.254.169.254", true},
        {"172.16.0.1", true},
        {"172.31.255.255", true},
        {"172.32.0.1", false},
        {"192.0.0.1", true},
        {"192.168.1.1", true},
        {"198.18.0.1", true},
        {"198.20.0.1", false},
        {"224.0.0.1", true},
        {"255.255.255.255", true},
        {"8.8.8.8", false},
        {"93.184.216.34", false},
        {"::", true},
        {"::1", true},
        {"::ffff:127.0.0.1", true},
        {"::ffff:8.8.8.8", false},
        {"::10.0.0.1", true},
        {"64:ff9b::a00:1", true},
        {"64:ff9b::808:808", false},
        {"2002:7f00:1::", true},
        {"fc00::1", true},
        {"fd12::1", true},
        {"fe80::1", true},
        {"fec0::1", true},
        {"ff02::1", true},
        {"2606:4700::1111", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sockaddr_in v4 = {.sin_family = AF_INET};
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
        bool six = inet_pton(AF_INET, cases[i].text, &v4.sin_addr) != 1;
        if (six)
            cr_assert_eq(inet_pton(AF_INET6, cases[i].text, &v6.sin6_addr), 1);
        const struct sockaddr *a = six ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;
        cr_expect(work_address_refused(a) == cases[i].refused, "%s", cases[i].text);
    }
}

// A server that gives one answer.
typedef struct {
    int fd, port;
    const char *answer;
    char request[4096];
    pthread_t thread;
} server;

static void *serve(void *ctx)
{
    server *s = ctx;
    int peer = accept(s->fd, NULL, NULL);
    ssize_t n = recv(peer, s->request, sizeof s->request - 1, 0);
    s->request[n > 0 ? n : 0] = '\0';
    send(peer, s->answer, strlen(s->answer), MSG_NOSIGNAL);
    close(peer);
    return NULL;
}

static void given_server(server *s, const char *answer)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    *s = (server){.fd = socket(AF_INET, SOCK_STREAM, 0), .answer = answer};
    cr_assert_eq(bind(s->fd, (struct sockaddr *)&at, sizeof at), 0);
    cr_assert_eq(listen(s->fd, 1), 0);
    getsockname(s->fd, (struct sockaddr *)&at, &len);
    s->port = ntohs(at.sin_port);
    pthread_create(&s->thread, NULL, serve, s);
}

static bus_err fetch(int port, const char *allowed, const char *bearer, char *out, size_t cap)
{
    char url[80];
    work_fetch *f = NULL;
    bus_err err = BUS_OK;
    bus_view bytes;
    bus_config_list list = {&allowed, allowed != NULL};
    snprintf(url, sizeof url, "http://127.0.0.1:%d/code.so", port);
    work_fetch_opts opts = {.url = url,
                            .allowed_hosts = &list,
                            .username = "",
                            .password = "",
                            .bearer = bearer,
                            .timeout = BUS_SPAN_S(3)};
    err = work_fetch_open(&f, &opts);
    if (err)
        return err;
    while (!work_fetch_done(f, &err, &bytes))
        usleep(1000);
    if (!err)
        cr_assert(bus_view_copy(bytes, out, cap));
    work_fetch_close(f);
    return err;
}

Test(fetch, brings_the_bytes_of_a_host_that_is_allowed_by_name)
{
    server s;
    char out[100];
    given_server(&s, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nbytes");
    test_ok(fetch(s.port, "127.0.0.1", "token", out, sizeof out));
    pthread_join(s.thread, NULL);
    cr_expect_str_eq(out, "bytes");
    cr_expect_not_null(strstr(s.request, "GET /code.so HTTP/1.0\r\n"));
    cr_expect_not_null(strstr(s.request, "Authorization: Bearer token\r\n"));
    close(s.fd);
}

Test(fetch, does_not_reach_a_private_address_nor_a_host_that_is_not_listed)
{
    char out[100];
    test_expect_err(fetch(9, NULL, "", out, sizeof out), BUS_EPERM);
    cr_expect_not_null(strstr(bus_err_text(), "private, local or reserved"));
    test_expect_err(fetch(9, "example.com", "", out, sizeof out), BUS_EPERM);
    cr_expect_not_null(strstr(bus_err_text(), "not in allowed_code_hosts"));
}

Test(fetch, says_what_is_wrong_with_an_answer)
{
    static const struct {
        const char *answer;
        bus_err err;
    } cases[] = {
        {"HTTP/1.1 404 Not Found\r\n\r\n", BUS_ENOTFOUND},
        {"HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/\r\n\r\n", BUS_EUNAVAILABLE},
        {"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort", BUS_EDATALOSS},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", BUS_EUNSUPPORTED},
        {"SSH-2.0-x\r\n", BUS_EUNAVAILABLE},
        {"", BUS_EUNAVAILABLE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        server s;
        char out[100];
        given_server(&s, cases[i].answer);
        bus_err err = fetch(s.port, "127.0.0.1", "", out, sizeof out);
        cr_expect(err == cases[i].err, "case %zu: %d %s", i, (int)err, bus_err_text());
        pthread_join(s.thread, NULL);
        close(s.fd);
    }
}
