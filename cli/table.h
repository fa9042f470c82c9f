// table: rows of JSON objects as columns of text that fit a width, and the lines of a page.
// Pure. Thread: any.
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    LANE_CELL_CAP = 256,
    LANE_COLUMNS_MAX = 12,
    LANE_LINE_CAP = 2048, // bytes of a line before it is cut to the width
};

// LANE_AS_TAIL: a sentence in the last column, cut at the edge; left out where no row has one.
typedef enum {
    LANE_AS_TEXT,
    LANE_AS_NAME,
    LANE_AS_TAIL,
    LANE_AS_RATE,
    LANE_AS_COUNT,
    LANE_AS_BYTES,
    LANE_AS_MS,
    LANE_AS_SPAN,
    LANE_AS_PERCENT
} lane_form;

typedef struct {
    const char *title, *field;
    lane_form form;
    int weight; // the higher, the sooner it is left out; 0: never
} lane_table_column;

typedef struct {
    char *ptr; // malloc'ed, NUL-terminated
    size_t len, cap;
    bool failed; // out of memory
    bool color;
    int width, height; // height 0: no limit
    int lines;
} lane_page;

#define LANE_BOLD "\033[1m"
#define LANE_RED  "\033[31m"
#define LANE_DIM  "\033[2m"

bool lane_page_open(lane_page *out, int width, int height, bool color);
// lane_page_line adds a line, cut to the width; none below the last line of the page.
void lane_page_line(lane_page *page, const char *style, const char *text);

typedef struct {
    const lane_table_column *columns; // ends with title NULL
    int count, width[LANE_COLUMNS_MAX];
    bool shown[LANE_COLUMNS_MAX];
} lane_table;

// lane_table_measure decides on columns and their widths by what is in all of the rows.
void lane_table_measure(lane_table *out, const lane_table_column *columns, const json_t *rows,
                        int width);
// lane_table_row adds a row as a line; row NULL: the titles.
void lane_table_row(lane_page *page, const lane_table *table, const json_t *row, const char *style);

#endif
