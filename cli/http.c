#include "cli/http.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_MAX = 64 << 20, WAIT_S = 30 };

static bus_err connect_to(int *out, int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval wait = {.tv_sec = WAIT_S};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return bus_fail(BUS_EIO, "socket: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    if (connect(fd, (struct sockaddr *)&at, sizeof at) != 0) {
        bus_err err = bus_fail(BUS_EUNAVAILABLE, "port %d: %s", port, strerror(errno));
        close(fd);
        return err;
    }
    *out = fd;
    return BUS_OK;
}

// The whole answer, NUL-terminated. The server closes when it is done, or says how long the body is.
static bus_err read_answer(int fd, char **out, size_t *len)
{
    size_t cap = 256 * 1024, at = 0, whole = 0;
    char *buf = malloc(cap);
    while (buf) {
        ssize_t got = recv(fd, buf + at, cap - at - 1, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            free(buf);
            return bus_fail(BUS_EIO, "reading: %s", strerror(errno));
        }
        at += (size_t)got;
        buf[at] = '\0';
        if (!whole) {
            const char *end = strstr(buf, "\r\n\r\n"), *length;
            if (end && (length = strcasestr(buf, "\r\ncontent-length:")) && length < end)
                whole = (size_t)(end - buf) + 4 + strtoul(length + 17, NULL, 10);
        }
        if (got == 0 || (whole && at >= whole))
            break;
        if (at + 1 == cap && cap < ANSWER_MAX) {
            char *more = realloc(buf, cap *= 2);
            if (!more)
                free(buf);
            buf = more;
        } else if (at + 1 == cap) {
            free(buf);
            return bus_fail(BUS_ELIMIT, "the answer is longer than %d bytes", ANSWER_MAX);
        }
    }
    if (!buf)
        return bus_fail(BUS_ENOMEM, "an answer of %zu bytes", cap);
    *out = buf;
    *len = at;
    return BUS_OK;
}

// Joins the pieces of a chunked body in place and returns its length: what came of it, when a piece is cut off or
// its length is none.
static size_t join_chunks(char *body, const char *body_end)
{
    char *from = body, *to = body;
    for (;;) {
        char *line_end = memmem(from, (size_t)(body_end - from), "\r\n", 2);
        bool number = line_end && isxdigit((unsigned char)*from);
        unsigned long size = number ? strtoul(from, NULL, 16) : 0;
        if (size == 0)
            return (size_t)(to - body);
        size_t left = (size_t)(body_end - line_end) - 2;
        if (size > left)
            size = left;
        memmove(to, line_end + 2, size);
        to += size;
        from = line_end + 2 + size;
        if (body_end - from < 2)
            return (size_t)(to - body);
        from += 2;
    }
}

bus_err lane_http_answer_read(char *answer, size_t len, int *status, json_t **body)
{
    char *end = strstr(answer, "\r\n\r\n");
    if (len < 12 || strncmp(answer, "HTTP/1.", 7) != 0 || !end)
        return bus_fail(BUS_EINVAL, "the answer is no HTTP");
    const char *chunked = strcasestr(answer, "\r\ntransfer-encoding: chunked");
    char *text = end + 4;
    size_t text_len = len - (size_t)(text - answer);
    if (chunked && chunked < end)
        text_len = join_chunks(text, text + text_len);
    *status = (int)strtol(answer + 9, NULL, 10);
    *body = json_loadb(text, text_len, 0, NULL);
    return BUS_OK;
}

bus_err lane_http_json(int port, const char *path, int *status, json_t **body)
{
    int fd = -1;
    char request[512], *answer = NULL;
    size_t len = 0;
    bus_err err = connect_to(&fd, port);
    if (err)
        return bus_note(err, "GET %s", path);
    int size = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", path);
    if (send(fd, request, (size_t)size, MSG_NOSIGNAL) != size)
        err = bus_fail(BUS_EIO, "writing: %s", strerror(errno));
    if (!err)
        err = read_answer(fd, &answer, &len);
    close(fd);
    if (!err)
        err = lane_http_answer_read(answer, len, status, body);
    free(answer);
    return err ? bus_note(err, "GET %s", path) : BUS_OK;
}
