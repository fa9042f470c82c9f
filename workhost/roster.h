// roster: the workers workhostd knows: declared in files, created by the service, kept in the bucket.
// Thread: the loop's; the bucket is talked to in place, so only while the broker is there.
// Source: schemas/specs/workers.md, "Declaration" and "Records".
#ifndef WORKHOST_ROSTER_H
#define WORKHOST_ROSTER_H

#include "workhost/record.h"

enum { WORK_ROSTER_MAX = 1024 };

typedef struct {
    const char *workers_dir; // "": none
    const char *builtin_dir, *code_dir;
    work_record *records[WORK_ROSTER_MAX]; // by name
    size_t count;
} work_roster;

// Reads the bucket, then the files; brings the bucket up to date with the files.
bus_err work_roster_load(work_roster *roster, bus_conn *conn);
void work_roster_release(work_roster *roster);
work_record *work_roster_find(const work_roster *roster,
                              const char *name);                   // NULL; sets the error text
bus_err work_roster_add(work_roster *roster, work_record *record); // takes it over
void work_roster_remove(work_roster *roster, work_record *record); // and frees it

#endif
