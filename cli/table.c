#include "cli/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/units.h"

enum { TAIL_MIN = 12 }; // of a sentence's column

// --- values as text ----------------------------------------------------------------------------------

static bool is_left(lane_form f)
{
    return f == LANE_AS_TEXT || f == LANE_AS_NAME || f == LANE_AS_TAIL;
}

static void put_cell(char out[LANE_CELL_CAP], const json_t *row, const lane_table_column *c)
{
    const json_t *value = json_object_get(row, c->field);
    double number = json_number_value(value);
    out[0] = '\0';
    if (!value || json_is_null(value)) {
        snprintf(out, LANE_CELL_CAP, "%s", is_left(c->form) ? "" : "-");
        return;
    }
    switch (c->form) {
    case LANE_AS_TEXT:
    case LANE_AS_NAME:
    case LANE_AS_TAIL:
        lane_units_plain(out, LANE_CELL_CAP,
                         json_string_value(value) ? json_string_value(value) : "");
        break;
    case LANE_AS_RATE:
        lane_units_rate(out, LANE_CELL_CAP, number);
        break;
    case LANE_AS_COUNT:
        lane_units_count(out, LANE_CELL_CAP, number);
        break;
    case LANE_AS_BYTES:
        lane_units_bytes(out, LANE_CELL_CAP, number);
        break;
    case LANE_AS_MS:
        lane_units_ms(out, LANE_CELL_CAP, number);
        break;
    case LANE_AS_SPAN:
        lane_units_span(out, LANE_CELL_CAP, number);
        break;
    case LANE_AS_PERCENT:
        snprintf(out, LANE_CELL_CAP, "%.0f%%", number);
        break;
    }
}

bool lane_page_open(lane_page *out, int width, int height, bool color)
{
    *out = (lane_page){
        .ptr = calloc(1, 4096), .cap = 4096, .width = width, .height = height, .color = color};
    return out->ptr != NULL;
}

// --- lines -------------------------------------------------------------------------------------------

static void put(lane_page *p, const char *text, size_t len)
{
    while (!p->failed && p->len + len + 1 > p->cap) {
        char *grown = realloc(p->ptr, p->cap * 2 + len);
        p->failed = !grown;
        if (!grown)
            return;
        p->ptr = grown;
        p->cap = p->cap * 2 + len;
    }
    if (p->failed)
        return;
    memcpy(p->ptr + p->len, text, len);
    p->len += len;
    p->ptr[p->len] = '\0';
}

void lane_page_line(lane_page *p, const char *style, const char *text)
{
    if (p->height && p->lines >= p->height)
        return;
    bool styled = p->color && *style;
    size_t len = lane_units_fit(text, (size_t)p->width);
    while (len && text[len - 1] == ' ')
        len--;
    if (styled)
        put(p, style, strlen(style));
    put(p, text, len);
    if (styled)
        put(p, "\033[0m", 4);
    put(p, "\n", 1);
    p->lines++;
}

// --- tables ------------------------------------------------------------------------------------------

static int total_width(const lane_table *t)
{
    int sum = 0;
    for (int c = 0; c < t->count; c++)
        sum += t->shown[c] ? t->width[c] + (sum ? 2 : 0) : 0;
    return sum;
}

static int heaviest(const lane_table *t)
{
    int found = -1;
    for (int c = 0; c < t->count; c++)
        if (t->shown[c] && t->columns[c].weight &&
            (found < 0 || t->columns[c].weight >= t->columns[found].weight))
            found = c;
    return found;
}

// Leaves out columns, then cuts names, until a row fits.
static void fit(lane_table *t, int width)
{
    while (total_width(t) > width) {
        int c = heaviest(t);
        if (c < 0)
            break;
        t->shown[c] = false;
    }
    int over = total_width(t) - width;
    if (over > 0)
        t->width[0] = t->width[0] - over > 8 ? t->width[0] - over : 8;
}

void lane_table_measure(lane_table *t, const lane_table_column *columns, const json_t *rows,
                        int width)
{
    char cell[LANE_CELL_CAP];
    const json_t *row;
    size_t i;
    *t = (lane_table){.columns = columns};
    for (t->count = 0; columns[t->count].title; t->count++) {
        const lane_table_column *c = &columns[t->count];
        int w = (int)strlen(c->title);
        json_array_foreach (rows, i, row) {
            put_cell(cell, row, c);
            int len = (int)lane_units_width(cell);
            w = len > w ? len : w;
        }
        bool tail = c->form == LANE_AS_TAIL;
        t->shown[t->count] = !tail || w > (int)strlen(c->title);
        t->width[t->count] = tail && w > TAIL_MIN ? TAIL_MIN : w;
    }
    fit(t, width);
}

static void put_field(char *line, size_t *len, const char *cell, int width, bool left, bool first)
{
    int pad = width - (int)lane_units_width(cell);
    pad = pad > 0 ? pad : 0;
    int n = snprintf(line + *len, LANE_LINE_CAP - *len, "%s%*s%s%*s", first ? "" : "  ",
                     left ? 0 : pad, "", cell, left ? pad : 0, "");
    *len += n > 0 && (size_t)n < LANE_LINE_CAP - *len ? (size_t)n : 0;
}

void lane_table_row(lane_page *p, const lane_table *t, const json_t *row, const char *style)
{
    char line[LANE_LINE_CAP], cell[LANE_CELL_CAP];
    size_t len = 0;
    line[0] = '\0';
    for (int c = 0; c < t->count; c++) {
        if (!t->shown[c])
            continue;
        if (row)
            put_cell(cell, row, &t->columns[c]);
        else
            snprintf(cell, sizeof cell, "%s", t->columns[c].title);
        if (row && t->columns[c].form == LANE_AS_NAME)
            lane_units_shorten(cell, (size_t)t->width[c]);
        put_field(line, &len, cell, t->width[c], is_left(t->columns[c].form), c == 0);
    }
    lane_page_line(p, style, line);
}
