// code: the store of worker code, by content: <code_dir>/<sha256>.so. What runs is always a copy from
// here, so a file replaced under a running worker changes nothing. Thread: one.
// Source: schemas/specs/workers.md, "Native engine".
#ifndef WORKHOST_CODE_H
#define WORKHOST_CODE_H

#include "bus/base/err.h"
#include "bus/base/view.h"

enum { WORK_CODE_BYTES_MAX = 32 << 20, WORK_SHA256_TEXT = 65 };

bus_err work_code_hash(bus_view bytes, char out[WORK_SHA256_TEXT]);
bus_err work_code_put(const char *folder, bus_view bytes, char sha256[WORK_SHA256_TEXT]);
bus_err work_code_put_file(const char *folder, const char *path, char sha256[WORK_SHA256_TEXT],
                           uint64_t *bytes);
// The path of stored code; BUS_ENOTFOUND when it is not there.
bus_err work_code_path(const char *folder, const char *sha256, char *path, size_t cap);

#endif
