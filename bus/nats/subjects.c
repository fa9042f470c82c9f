#include "bus/nats/subjects.h"

#include <stdlib.h>

enum { FIRST_CAP = 256 };

static uint64_t mix(uint64_t hash, const char *at, size_t len)
{
    uint64_t eight = 0;
    memcpy(&eight, at, len);
    hash = (hash ^ eight) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

// Eight bytes a step: subjects are looked up for every event, and the sum is only a place in a table of our
// own making.
static uint64_t hash_of(bus_view text)
{
    uint64_t hash = text.len;
    size_t i = 0;
    for (; i + 8 <= text.len; i += 8)
        hash = mix(hash, text.ptr + i, 8);
    return mix(hash, text.ptr + i, text.len - i);
}

static bus_subject_row *slot_of(const bus_subjects *table, bus_view subject, uint64_t hash)
{
    size_t at = hash & (table->cap - 1);
    for (;; at = (at + 1) & (table->cap - 1)) {
        bus_subject_row *row = &table->row[at];
        if (!row->text)
            return row;
        if (row->hash == hash && row->len == subject.len &&
            memcmp(row->text, subject.ptr, subject.len) == 0)
            return row;
    }
}

static bus_err grow(bus_subjects *table)
{
    bus_subjects wider = {.cap = table->cap ? table->cap * 2 : FIRST_CAP, .used = table->used};
    wider.row = calloc(wider.cap, sizeof *wider.row);
    if (!wider.row)
        return bus_fail(BUS_ENOMEM, "a table of %zu subjects", wider.cap);
    for (size_t i = 0; i < table->cap; i++) {
        const bus_subject_row *row = &table->row[i];
        if (row->text)
            *slot_of(&wider, (bus_view){row->text, row->len}, row->hash) = *row;
    }
    free(table->row);
    *table = wider;
    return BUS_OK;
}

bus_err bus_subjects_at(bus_subjects *table, bus_view subject, bus_subject_row **out)
{
    if (table->used * 2 >= table->cap) {
        bus_err err = grow(table);
        if (err)
            return err;
    }
    uint64_t hash = hash_of(subject);
    bus_subject_row *row = slot_of(table, subject, hash);
    if (!row->text) {
        char *text = malloc(subject.len + 1);
        if (!text)
            return bus_fail(BUS_ENOMEM, "subject '%.*s'", BUS_VIEW_ARG(subject));
        memcpy(text, subject.ptr, subject.len);
        text[subject.len] = 0;
        *row = (bus_subject_row){.text = text, .len = (uint32_t)subject.len, .hash = hash};
        table->used++;
    }
    *out = row;
    return BUS_OK;
}

void bus_subjects_release(bus_subjects *table)
{
    for (size_t i = 0; i < table->cap; i++)
        free(table->row[i].text);
    free(table->row);
    *table = (bus_subjects){0};
}
