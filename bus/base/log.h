// log: one line a record on stderr, text or JSON. Thread: any; a line is written with one write(2).
// Never log a secret: settings marked secret print as "***". Source: schemas/specs/daemons.md, "Logs".
#ifndef BUS_BASE_LOG_H
#define BUS_BASE_LOG_H

#include <stdint.h>

#include "bus/base/err.h"

typedef enum { BUS_LOG_DEBUG, BUS_LOG_INFO, BUS_LOG_WARN, BUS_LOG_ERROR } bus_log_level;
typedef enum { BUS_LOG_TEXT, BUS_LOG_JSON } bus_log_format;

// program is borrowed for ever (a literal). Before this call: level INFO, text.
void bus_log_init(const char *program, bus_log_level level, bus_log_format format);
bus_err bus_log_level_parse(const char *text, bus_log_level *out);
void bus_log(bus_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

// bus_log_count: records of this level written so far (for /metrics).
int64_t bus_log_count(bus_log_level level);

#define bus_debug(...) bus_log(BUS_LOG_DEBUG, __VA_ARGS__)
#define bus_info(...)  bus_log(BUS_LOG_INFO, __VA_ARGS__)
#define bus_warn(...)  bus_log(BUS_LOG_WARN, __VA_ARGS__)
#define bus_error(...) bus_log(BUS_LOG_ERROR, __VA_ARGS__)

#endif
