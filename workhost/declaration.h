// declaration: workers written down in YAML files. Thread: one.
// Source: schemas/specs/workers.md, "Declaration".
#ifndef WORKHOST_DECLARATION_H
#define WORKHOST_DECLARATION_H

#include "workhost/record.h"

// Reads one file. `builtin` stands for ${workers} in `code`. *code is malloc'ed: the path of the code.
// Errors name file, line, key and rule.
bus_err work_declaration_read(work_record **out, char **code, const char *path,
                              const char *builtin);

typedef void (*work_declaration_fn)(void *ctx, work_record *record, const char *code);
// Reads every *.yaml and *.yml of the folder, in order of name; fn takes each record over. A bad file is
// logged and left out. BUS_EIO when the folder cannot be read.
bus_err work_declarations_each(const char *folder, const char *builtin, work_declaration_fn fn,
                               void *ctx);

#endif
