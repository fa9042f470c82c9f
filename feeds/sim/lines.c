#include "feeds/sim/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

struct sim_lines {
    gzFile file;
    char *path;
    char *buf;
    size_t at, len, cap;
    uint64_t number;
    bool ended;
    bus_err err;
};

enum { READ_BYTES = 256 * 1024, LINE_BYTES_MAX = 16 * 1024 * 1024 };

bus_err sim_lines_open(sim_lines **out, const char *path)
{
    sim_lines *l = calloc(1, sizeof *l);
    if (!l)
        return bus_fail(BUS_ENOMEM, "capture file");
    l->path = strdup(path);
    l->buf = malloc(READ_BYTES);
    l->cap = READ_BYTES;
    l->file = gzopen(path, "rb"); // reads plain files as they are
    bool memory = !l->buf || !l->path || (!l->file && errno == ENOMEM);
    if (memory || !l->file) {
        bus_err err = bus_fail(memory ? BUS_ENOMEM : BUS_ENOTFOUND, "capture '%s': %s", path,
                               strerror(memory ? ENOMEM : errno));
        sim_lines_close(l);
        return err;
    }
    gzbuffer(l->file, READ_BYTES);
    *out = l;
    return BUS_OK;
}

void sim_lines_close(sim_lines *l)
{
    if (!l)
        return;
    if (l->file)
        gzclose(l->file);
    free(l->path);
    free(l->buf);
    free(l);
}

static int broken(sim_lines *l)
{
    int code = 0;
    const char *why = gzerror(l->file, &code);
    l->err = code == Z_ERRNO ? BUS_EIO : code == Z_MEM_ERROR ? BUS_ENOMEM : BUS_EDATALOSS;
    bus_fail(l->err, "capture '%s' after line %llu: %s", l->path, (unsigned long long)l->number,
             code == Z_ERRNO ? strerror(errno) : why);
    l->ended = true;
    return -1;
}

// Reads more behind what is held; makes room first. 1: got some, 0: end of the file, -1: broken.
static int refill(sim_lines *l)
{
    if (l->at > 0) {
        memmove(l->buf, l->buf + l->at, l->len - l->at);
        l->len -= l->at;
        l->at = 0;
    }
    if (l->len == l->cap) {
        if (l->cap >= LINE_BYTES_MAX) {
            l->err = bus_fail(BUS_ELIMIT, "capture '%s' line %llu: longer than %d bytes", l->path,
                              (unsigned long long)l->number + 1, LINE_BYTES_MAX);
            l->ended = true;
            return -1;
        }
        char *grown = realloc(l->buf, l->cap * 2);
        if (!grown) {
            l->err = bus_fail(BUS_ENOMEM, "a line of %zu bytes", l->cap);
            l->ended = true;
            return -1;
        }
        l->buf = grown;
        l->cap *= 2;
    }
    int got = gzread(l->file, l->buf + l->len, (unsigned)(l->cap - l->len));
    if (got < 0)
        return broken(l);
    l->len += (size_t)got;
    if (got == 0) {
        int code = 0;
        (void)gzerror(l->file, &code);
        l->ended = true;
        return code == Z_OK || code == Z_STREAM_END ? 0 : broken(l);
    }
    return 1;
}

int sim_lines_next(sim_lines *l, bus_view *line)
{
    size_t seen = 0;
    for (;;) {
        char *from = l->buf + l->at;
        char *end = memchr(from + seen, '\n', l->len - l->at - seen);
        if (end) {
            *line = (bus_view){from, (size_t)(end - from)};
            l->at += line->len + 1;
            l->number++;
            return 1;
        }
        seen = l->len - l->at;
        int more = l->ended ? 0 : refill(l);
        if (more < 0)
            return -1;
        if (more == 0)
            break;
    }
    if (l->at == l->len)
        return 0;
    *line = (bus_view){l->buf + l->at, l->len - l->at};
    l->at = l->len;
    l->number++;
    return 1;
}

bus_err sim_lines_err(const sim_lines *l)
{
    return l->err;
}

uint64_t sim_lines_number(const sim_lines *l)
{
    return l->number;
}
