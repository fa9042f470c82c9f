#include "workhost/roster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base/log.h"
#include "workhost/code.h"
#include "workhost/declaration.h"
#include "workhost/runtime/progress.h"

work_record *work_roster_find(const work_roster *roster, const char *name)
{
    for (size_t i = 0; i < roster->count; i++) {
        if (strcmp(roster->records[i]->name, name) == 0)
            return roster->records[i];
    }
    bus_fail(BUS_ENOTFOUND, "there is no worker '%.80s'", name);
    return NULL;
}

bus_err work_roster_add(work_roster *roster, work_record *record)
{
    if (roster->count == WORK_ROSTER_MAX) {
        work_record_free(record);
        return bus_fail(BUS_ELIMIT, "more than %d workers", WORK_ROSTER_MAX);
    }
    size_t i = roster->count++;
    for (; i > 0 && strcmp(roster->records[i - 1]->name, record->name) > 0; i--)
        roster->records[i] = roster->records[i - 1];
    roster->records[i] = record;
    return BUS_OK;
}

void work_roster_remove(work_roster *roster, work_record *record)
{
    size_t i = 0;
    while (i < roster->count && roster->records[i] != record)
        i++;
    if (i == roster->count)
        return;
    roster->count--;
    memmove(&roster->records[i], &roster->records[i + 1],
            (roster->count - i) * sizeof *roster->records);
    work_record_free(record);
}

void work_roster_release(work_roster *roster)
{
    for (size_t i = 0; i < roster->count; i++)
        work_record_free(roster->records[i]);
    roster->count = 0;
}

static void take_entry(void *ctx, const bus_kv_entry *entry)
{
    work_record *record = NULL;
    if (work_record_from_json(&record, entry->value)) {
        bus_error("bucket " WORK_BUCKET ", key '%.*s': %s: left out", BUS_VIEW_ARG(entry->key),
                  bus_err_text());
        return;
    }
    work_roster_add(ctx, record);
}

typedef struct {
    work_roster *roster;
    bus_conn *conn;
    char seen[WORK_ROSTER_MAX][WORK_NAME_MAX + 1];
    size_t seen_count;
    bus_err err;
} merging;

static bool already_seen(const merging *m, const char *name)
{
    for (size_t i = 0; i < m->seen_count; i++) {
        if (strcmp(m->seen[i], name) == 0)
            return true;
    }
    return false;
}

static bool same_meaning(const work_record *a, const work_record *b)
{
    return strcmp(a->mime, b->mime) == 0 && json_equal(a->config, b->config) &&
           a->input_count == b->input_count && memcmp(a->inputs, b->inputs, sizeof a->inputs) == 0;
}

// What the bucket knows of an earlier life of a declared worker: whether a user stopped it, its
// generation, history and tags. Other inputs or settings make another worker of it: a new generation.
static void inherit(work_record *fresh, const work_record *known)
{
    json_decref(fresh->history);
    fresh->history = json_incref(known->history);
    json_decref(fresh->tags);
    fresh->tags = json_incref(known->tags);
    fresh->running = known->running;
    fresh->generation = known->generation + !same_meaning(fresh, known);
    snprintf(fresh->created_at, sizeof fresh->created_at, "%s", known->created_at);
    snprintf(fresh->sha256, sizeof fresh->sha256, "%s", known->sha256);
    snprintf(fresh->source, sizeof fresh->source, "%s", known->source);
    fresh->bytes = known->bytes;
}

// A code that cannot be read leaves the worker known, with its reason.
static void take_code(merging *m, work_record *record, const char *code)
{
    char sha256[WORK_SHA256_TEXT];
    uint64_t bytes = 0;
    if (work_code_put_file(m->roster->code_dir, code, sha256, &bytes)) {
        snprintf(record->error, sizeof record->error, "%s", bus_err_text());
        bus_error("worker %s: %s", record->name, record->error);
    } else if (strcmp(record->sha256, sha256) != 0) {
        work_record_set_code(record, sha256, bytes, code);
    }
}

static void take_declaration(void *ctx, work_record *record, const char *code)
{
    merging *m = ctx;
    work_record *known = work_roster_find(m->roster, record->name);
    if (already_seen(m, record->name) || (known && !known->declared)) {
        bus_error("worker declaration %s: '%s' is %s: left out", record->file, record->name,
                  known && !known->declared ? "a worker that the service created"
                                            : "declared twice");
        work_record_free(record);
        return;
    }
    if (m->seen_count < WORK_ROSTER_MAX)
        snprintf(m->seen[m->seen_count++], sizeof m->seen[0], "%s", record->name);
    if (known) {
        inherit(record, known);
        work_roster_remove(m->roster, known);
    }
    take_code(m, record, code);
    bus_err err = work_record_store(m->conn, record);
    if (err)
        m->err = err;
    work_roster_add(m->roster, record);
}

// Declared once, and not any more.
static void drop_undeclared(merging *m)
{
    for (size_t i = m->roster->count; i-- > 0;) {
        work_record *record = m->roster->records[i];
        if (!record->declared || already_seen(m, record->name))
            continue;
        bus_info("worker %s is not declared any more", record->name);
        work_record_erase(m->conn, record);
        work_roster_remove(m->roster, record);
    }
}

bus_err work_roster_load(work_roster *roster, bus_conn *conn)
{
    bus_err err;
    work_roster_release(roster);
    merging *m = calloc(1, sizeof *m);
    if (!m)
        return bus_fail(BUS_ENOMEM, "roster");
    m->roster = roster;
    m->conn = conn;
    err = bus_kv_each(conn, WORK_BUCKET, "worker.*", take_entry, roster);
    if (!err && *roster->workers_dir)
        err = work_declarations_each(roster->workers_dir, roster->builtin_dir, take_declaration, m);
    if (!err)
        err = m->err;
    if (!err)
        drop_undeclared(m);
    free(m);
    return bus_note(err, "loading the workers");
}
