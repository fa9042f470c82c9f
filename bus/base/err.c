#include "bus/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#undef bus_fail
#undef bus_note

enum { TEXT_CAP = 1024 };

static _Thread_local char err_text[TEXT_CAP];

bus_err bus_fail(bus_err code, const char *fmt, ...)
{
    char fresh[TEXT_CAP]; // an argument may be the old text itself
    va_list args;
    va_start(args, fmt);
    vsnprintf(fresh, sizeof fresh, fmt, args);
    va_end(args);
    memcpy(err_text, fresh, sizeof fresh);
    return code;
}

bus_err bus_note(bus_err err, const char *fmt, ...)
{
    if (err == BUS_OK)
        return BUS_OK;
    char note[TEXT_CAP];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(note, sizeof note, fmt, args);
    va_end(args);
    if (len < 0 || len >= TEXT_CAP - 3)
        return err;
    snprintf(note + len, sizeof note - (size_t)len, ": %s", err_text);
    memcpy(err_text, note, sizeof note);
    return err;
}

const char *bus_err_text(void)
{
    return err_text;
}

static const char *const grpc_names[] = {
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
};

int bus_err_grpc(bus_err err)
{
    switch (err) {
    case BUS_ENOMEM:
        return BUS_ELIMIT;
    case BUS_EIO:
        return BUS_EUNAVAILABLE;
    case BUS_EUSAGE:
        return BUS_EINVAL;
    default:
        return err >= BUS_OK && err <= BUS_EAUTH ? (int)err : (int)BUS_EUNKNOWN;
    }
}

const char *bus_err_name(bus_err err)
{
    return grpc_names[bus_err_grpc(err)];
}
