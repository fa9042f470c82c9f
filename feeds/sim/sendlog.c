#include "feeds/sim/sendlog.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base/log.h"

struct sim_sendlog {
    sim_sent *ring;
    uint64_t cap, max; // cap grows up to max, then the oldest entry makes room
    uint64_t last;     // number of the newest entry; 0: none yet
    uint64_t kept;
    FILE *file;
    char *path;
    sim_text line;
    bool write_failed;
};

enum { FILE_BUFFER_BYTES = 256 * 1024, FIRST_ENTRIES = 4096 };

bus_err sim_sendlog_open(sim_sendlog **out, uint64_t entries_max, const char *path)
{
    sim_sendlog *log = calloc(1, sizeof *log);
    if (!log)
        return bus_fail(BUS_ENOMEM, "send log");
    log->max = entries_max ? entries_max : 1;
    if (path && path[0]) {
        log->path = strdup(path);
        log->file = log->path ? fopen(path, "we") : NULL;
        if (!log->file) {
            bus_err err = bus_fail(BUS_EIO, "send log '%s': %s", path, strerror(errno));
            sim_sendlog_close(log);
            return err;
        }
        setvbuf(log->file, NULL, _IOFBF, FILE_BUFFER_BYTES);
    }
    *out = log;
    return BUS_OK;
}

// From the first entry on that is not in the file nothing more is written: it ends early, but has no hole.
static void give_up(sim_sendlog *log, const char *why)
{
    log->write_failed = true;
    bus_error("send log '%s': %s; it ends here, entries are kept in memory alone", log->path, why);
}

void sim_sendlog_close(sim_sendlog *log)
{
    if (!log)
        return;
    if (log->file && fclose(log->file) != 0 && !log->write_failed)
        give_up(log, strerror(errno));
    free(log->path);
    sim_text_release(&log->line);
    free(log->ring);
    free(log);
}

static void render(const sim_sent *sent, uint64_t n, sim_text *out)
{
    sim_text_str(out, "{\"n\":");
    sim_text_int(out, (int64_t)n);
    sim_text_str(out, ",\"sent_ns\":");
    sim_text_int(out, sent->sent_ns);
    sim_text_str(out, ",\"recorded_ns\":");
    sim_text_int(out, sent->recorded_ns);
    sim_text_str(out, ",\"symbol\":\"");
    sim_text_str(out, sent->symbol);
    sim_text_str(out, "\",\"channel\":\"");
    sim_text_str(out, sent->channel);
    sim_text_str(out, "\",\"first_id\":");
    sim_text_int(out, sent->first_id);
    sim_text_str(out, ",\"last_id\":");
    sim_text_int(out, sent->last_id);
    sim_text_str(out, ",\"connections\":");
    sim_text_int(out, sent->connections);
    sim_text_str(out, ",\"fault\":\"");
    sim_text_str(out, sent->fault);
    sim_text_str(out, "\"}\n");
}

static void write_line(sim_sendlog *log, const sim_sent *sent)
{
    if (log->write_failed)
        return;
    sim_text_clear(&log->line);
    render(sent, log->last, &log->line);
    if (log->line.failed)
        give_up(log, strerror(ENOMEM));
    else if (fwrite(log->line.ptr, 1, log->line.len, log->file) != log->line.len)
        give_up(log, strerror(errno));
}

// Room for one more entry; when memory is short the ring stays as large as it is.
static void grow(sim_sendlog *log)
{
    if (log->kept < log->cap || log->cap == log->max)
        return;
    uint64_t cap = log->cap ? log->cap * 2 : FIRST_ENTRIES;
    cap = cap > log->max ? log->max : cap;
    sim_sent *ring = malloc(cap * sizeof *ring);
    if (!ring)
        return;
    for (uint64_t i = 0; i < log->kept; i++) {
        uint64_t n = log->last - log->kept + 1 + i;
        ring[n % cap] = log->ring[n % log->cap];
    }
    free(log->ring);
    log->ring = ring;
    log->cap = cap;
}

void sim_sendlog_add(sim_sendlog *log, const sim_sent *sent)
{
    grow(log);
    log->last++;
    if (log->cap) {
        log->ring[log->last % log->cap] = *sent;
        if (log->kept < log->cap)
            log->kept++;
    }
    if (log->file)
        write_line(log, sent);
}

void sim_sendlog_flush(sim_sendlog *log)
{
    if (log->file && !log->write_failed && fflush(log->file) != 0)
        give_up(log, strerror(errno));
}

bool sim_sendlog_failed(const sim_sendlog *log)
{
    return log->write_failed;
}

uint64_t sim_sendlog_first(const sim_sendlog *log)
{
    return log->last - log->kept + 1;
}

uint64_t sim_sendlog_last(const sim_sendlog *log)
{
    return log->last;
}

bus_err sim_sendlog_render(const sim_sendlog *log, uint64_t from, uint64_t limit, sim_text *out)
{
    if (from < sim_sendlog_first(log))
        return bus_fail(BUS_ENOTFOUND, "log: entry %llu is no longer kept, the first is %llu",
                        (unsigned long long)from, (unsigned long long)sim_sendlog_first(log));
    for (uint64_t n = from; n <= log->last && n - from < limit; n++)
        render(&log->ring[n % log->cap], n, out);
    return out->failed ? bus_fail(BUS_ENOMEM, "log: %zu bytes", out->len) : BUS_OK;
}
