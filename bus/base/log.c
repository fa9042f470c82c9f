#include "bus/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bus/base/json_text.h"
#include "bus/base/time.h"

// A control character takes six bytes in JSON ("\u0001").
enum { MESSAGE_MAX = 4000, LINE_CAP = MESSAGE_MAX * 6 + 256 };

static const char *log_program = "tradelane";
static atomic_int log_level = BUS_LOG_INFO;
static atomic_int log_format = BUS_LOG_TEXT;
static _Atomic int64_t log_records[4];

static const char *const level_text[] = {"DEBUG", "INFO ", "WARN ", "ERROR"};
static const char *const level_json[] = {"debug", "info", "warn", "error"};

void bus_log_init(const char *program, bus_log_level level, bus_log_format format)
{
    log_program = program;
    atomic_store(&log_level, level);
    atomic_store(&log_format, format);
}

bus_err bus_log_level_parse(const char *text, bus_log_level *out)
{
    for (int i = 0; i < 4; i++) {
        if (strcmp(text, level_json[i]) == 0) {
            *out = (bus_log_level)i;
            return BUS_OK;
        }
    }
    return bus_fail(BUS_EINVAL, "log level '%s' is none of debug, info, warn, error", text);
}

int64_t bus_log_count(bus_log_level level)
{
    return atomic_load_explicit(&log_records[level], memory_order_relaxed);
}

// A line break in a message could forge a record, so control characters are written out.
static size_t put_text(char *out, const char *message)
{
    static const char hex[] = "0123456789abcdef";
    size_t n = 0;
    for (const unsigned char *p = (const unsigned char *)message; *p; p++) {
        if (*p >= 0x20 && *p != 0x7f) {
            out[n++] = (char)*p;
            continue;
        }
        out[n++] = '\\';
        out[n++] = 'x';
        out[n++] = hex[*p >> 4];
        out[n++] = hex[*p & 15];
    }
    return n;
}

// Never cuts a UTF-8 sequence in two.
static void mark_cut(char *message)
{
    size_t n = MESSAGE_MAX - 3;
    while (n > 0 && ((unsigned char)message[n] & 0xc0) == 0x80)
        n--;
    memcpy(message + n, "\xe2\x80\xa6", 4);
}

static void write_all(const char *line, size_t len)
{
    while (len) {
        ssize_t n = write(STDERR_FILENO, line, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; // nobody listens: a log line is not worth dying for
        line += n;
        len -= (size_t)n;
    }
}

void bus_log(bus_log_level level, const char *fmt, ...)
{
    if ((int)level < atomic_load_explicit(&log_level, memory_order_relaxed))
        return;
    atomic_fetch_add_explicit(&log_records[level], 1, memory_order_relaxed);
    int saved = errno;
    char message[MESSAGE_MAX + 1];
    va_list args;
    va_start(args, fmt);
    if (vsnprintf(message, sizeof message, fmt, args) > MESSAGE_MAX)
        mark_cut(message);
    va_end(args);
    char now[BUS_TIME_TEXT];
    bus_time_format(bus_now_wall().ns, now);
    char line[LINE_CAP];
    size_t n;
    if (atomic_load_explicit(&log_format, memory_order_relaxed) == BUS_LOG_TEXT) {
        n = (size_t)snprintf(line, 256, "%s %s %s: ", now, level_text[level], log_program);
        n += put_text(line + n, message);
    } else {
        n = (size_t)snprintf(line, 256,
                             "{\"time\":\"%s\",\"level\":\"%s\",\"program\":\"%s\",\"message\":\"",
                             now, level_json[level], log_program);
        n += bus_json_text(line + n, message);
        line[n++] = '"';
        line[n++] = '}';
    }
    line[n++] = '\n';
    write_all(line, n);
    errno = saved;
}
