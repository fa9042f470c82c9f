#include "cli/screen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/table.h"
#include "cli/units.h"

enum { ALL_LINES = 100000 };

typedef struct {
    const char *title, *field;
    const char *nothing; // said when there are no rows; NULL: then the section is left out
    lane_table_column columns[LANE_COLUMNS_MAX];
    bool (*bad)(const json_t *row); // shown in red; NULL: none is
} section;

// --- sections ----------------------------------------------------------------------------------------

static bool not_ready(const json_t *row)
{
    return !json_is_true(json_object_get(row, "ready"));
}

static bool not_connected(const json_t *row)
{
    const char *status = json_string_value(json_object_get(row, "status"));
    return !status || strcmp(status, "connected") != 0;
}

static bool has_failed(const json_t *row)
{
    const char *state = json_string_value(json_object_get(row, "state"));
    return state && strcmp(state, "failed") == 0;
}

enum { LANES = 2, LATENCIES = 3 };
// In the order of the screen. The first column of each names the row.
static const section sections[] = {
    {"DAEMONS",
     "daemons",
     "none answers",
     {{"DAEMON", "daemon", LANE_AS_NAME, 0},
      {"STATE", "state", LANE_AS_TEXT, 0},
      {"UP", "uptime_s", LANE_AS_SPAN, 3},
      {"CPU", "cpu_percent", LANE_AS_PERCENT, 1},
      {"MEMORY", "resident_bytes", LANE_AS_BYTES, 2},
      {"FDS", "fds", LANE_AS_COUNT, 6},
      {"WARNINGS", "warnings", LANE_AS_COUNT, 4},
      {"ERRORS", "errors", LANE_AS_COUNT, 3},
      {"LOSSES", "broker_losses", LANE_AS_COUNT, 5},
      {"WHY", "why", LANE_AS_TAIL, 0},
      {0}},
     not_ready},
    {"CONNECTIONS",
     "connections",
     NULL,
     {{"CONNECTION", "connection", LANE_AS_NAME, 0},
      {"STATUS", "status", LANE_AS_TEXT, 0},
      {"SINCE", "since_s", LANE_AS_SPAN, 1},
      {"TOPIC", "topic", LANE_AS_TEXT, 2},
      {"URL", "url", LANE_AS_TEXT, 3},
      {0}},
     not_connected},
    {"LANES",
     "lanes",
     "no message on any lane yet",
     {{"LANE", "lane", LANE_AS_NAME, 0},
      {"EVENTS/S", "events_per_s", LANE_AS_RATE, 0},
      {"BYTES/S", "bytes_per_s", LANE_AS_BYTES, 3},
      {"LAG", "lag_ms", LANE_AS_MS, 1},
      {"WORST", "lag_worst_ms", LANE_AS_MS, 4},
      {"SUBJECTS", "subjects", LANE_AS_COUNT, 5},
      {"QUIET", "idle_s", LANE_AS_SPAN, 2},
      {0}},
     NULL},
    {"LATENCY",
     "latencies",
     NULL,
     {{"LATENCY", "title", LANE_AS_NAME, 0},
      {"P50", "p50_ms", LANE_AS_MS, 0},
      {"P99", "p99_ms", LANE_AS_MS, 0},
      {"EVENTS/S", "events_per_s", LANE_AS_RATE, 2},
      {"DAEMON", "daemon", LANE_AS_TEXT, 1},
      {0}},
     NULL},
    {"REPLAYS",
     "replays",
     NULL,
     {{"SELECTOR", "selector", LANE_AS_NAME, 0},
      {"STATE", "state", LANE_AS_TEXT, 0},
      {"DONE", "done_percent", LANE_AS_PERCENT, 0},
      {"EVENTS/S", "events_per_s", LANE_AS_RATE, 1},
      {"SPEED", "speed", LANE_AS_TEXT, 4},
      {"BEHIND", "behind", LANE_AS_COUNT, 2},
      {"SLOWEST", "slowest", LANE_AS_TEXT, 5},
      {"STREAM", "stream", LANE_AS_TEXT, 6},
      {"MESSAGE", "message", LANE_AS_TAIL, 7},
      {0}},
     has_failed},
    {"WORKERS",
     "workers",
     NULL,
     {{"SCENARIO", "scenario", LANE_AS_NAME, 0},
      {"WORKER", "worker", LANE_AS_TEXT, 1},
      {"STATE", "state", LANE_AS_TEXT, 4},
      {"BEHIND", "behind", LANE_AS_COUNT, 0},
      {"OUTPUTS", "outputs", LANE_AS_COUNT, 2},
      {"AT", "done_seq", LANE_AS_COUNT, 3},
      {0}},
     NULL},
    {"STREAMS",
     "streams",
     "none",
     {{"STREAM", "stream", LANE_AS_NAME, 0},
      {"EVENTS/S", "events_per_s", LANE_AS_RATE, 0},
      {"MESSAGES", "messages", LANE_AS_COUNT, 2},
      {"BYTES", "bytes", LANE_AS_BYTES, 1},
      {"OF", "bytes_max", LANE_AS_BYTES, 3},
      {"FULL", "full_percent", LANE_AS_PERCENT, 3},
      {"LAST", "last_seq", LANE_AS_COUNT, 4},
      {"READERS", "consumers", LANE_AS_COUNT, 5},
      {0}},
     NULL},
};

enum { SECTIONS = LANE_SECTIONS };
_Static_assert(sizeof sections / sizeof *sections == SECTIONS, "the header says how many");

// frame_to_worker of LIVE: "frame to worker, LIVE"
static json_t *latency_title(const json_t *row)
{
    char title[LANE_CELL_CAP];
    const char *name = json_string_value(json_object_get(row, "latency"));
    const char *of = json_string_value(json_object_get(row, "of"));
    snprintf(title, sizeof title, "%s%s%s", name ? name : "", of && *of ? ", " : "", of ? of : "");
    for (char *at = title; *at && *at != ','; at++)
        *at = *at == '_' ? ' ' : *at;
    return json_string(title);
}

// What the screen shows and the picture does not have as such.
static void derive(json_t *rows, int which)
{
    json_t *row;
    size_t i;
    json_array_foreach (rows, i, row) {
        const char *why = json_string_value(json_object_get(row, "why"));
        double max = json_number_value(json_object_get(row, "bytes_max"));
        if (which == 0)
            json_object_set_new(row, "state", json_string(why && *why ? "not ready" : "ready"));
        if (which == LATENCIES)
            json_object_set_new(row, "title", latency_title(row));
        if (which == SECTIONS - 1 && max > 0)
            json_object_set_new(
                row, "full_percent",
                json_real(100 * json_number_value(json_object_get(row, "bytes")) / max));
    }
}

// --- order -------------------------------------------------------------------------------------------

const char *lane_sort_name(lane_sort sort)
{
    static const char *const names[LANE_SORTS] = {"rate", "lag", "bytes", "name"};
    return names[sort];
}

typedef struct {
    json_t *row;
    const char *name, *daemon,
        *id;  // "" where a row has none; id: two of a kind stay where they are
    int rank; // 0: trouble, first; 2: idle, last
    double key;
} ranked;

static int rank_of(const section *s, const json_t *row)
{
    const char *state = json_string_value(json_object_get(row, "state"));
    bool over = state && (strcmp(state, "ended") == 0 || strcmp(state, "finished") == 0 ||
                          strcmp(state, "stopped") == 0);
    if (s->bad && s->bad(row))
        return 0;
    return over || json_is_null(json_object_get(row, "p99_ms")) ? 2 : 1;
}

static int by_name(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank - y->rank;
    int order = strcmp(x->name, y->name);
    if (!order)
        order = strcmp(x->daemon, y->daemon);
    return order ? order : strcmp(x->id, y->id);
}

static int by_key(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    return x->key < y->key ? 1 : x->key > y->key ? -1 : by_name(a, b);
}

static const char *text_of(const json_t *row, const char *field)
{
    const char *text = json_string_value(json_object_get(row, field));
    return text ? text : "";
}

// Takes over rows.
static json_t *sorted(const section *s, json_t *rows, const char *key, bool reverse)
{
    size_t count = json_array_size(rows);
    ranked *list = calloc(count + 1, sizeof *list);
    json_t *out = json_array();
    for (size_t i = 0; list && i < count; i++) {
        json_t *row = json_array_get(rows, i);
        list[i] = (ranked){.row = row,
                           .name = text_of(row, s->columns[0].field),
                           .daemon = text_of(row, "daemon"),
                           .id = text_of(row, "id"),
                           .rank = rank_of(s, row),
                           .key = key ? json_number_value(json_object_get(row, key)) : 0};
    }
    if (list)
        qsort(list, count, sizeof *list, key ? by_key : by_name);
    for (size_t i = 0; list && i < count; i++)
        json_array_append(out, list[reverse ? count - 1 - i : i].row);
    free(list);
    json_decref(rows);
    return out;
}

static json_t *rows_of(const json_t *picture, int which, const lane_view *view)
{
    static const char *const keys[LANE_SORTS] = {"events_per_s", "lag_ms", "bytes_per_s", NULL};
    const section *s = &sections[which];
    bool lanes = which == LANES;
    json_t *rows = json_deep_copy(json_object_get(picture, s->field));
    derive(rows, which);
    return sorted(s, rows, lanes ? keys[view->sort] : NULL, lanes && view->reverse);
}

// --- heights -----------------------------------------------------------------------------------------

typedef struct {
    json_t *rows;
    int wanted, given;
    bool shown;
} block;

// What a section needs to be of use, and which go first where the terminal is too low for all.
static const int rows_min[SECTIONS] = {4, 2, 4, 3, 2, 2, 2};
static const int dispensable[] = {6, 3, 5, 4, 1, 0};

static int least(const block *part, int i)
{
    return part->wanted < rows_min[i] ? part->wanted : rows_min[i];
}

// Lines of the titles of what is shown, of blank lines before them, and of the rows that each needs.
static int lines_needed(const block parts[], bool blank, bool all)
{
    int lines = 0;
    for (int i = 0; i < SECTIONS; i++)
        if (parts[i].shown)
            lines += 1 + blank + (all ? parts[i].wanted : least(&parts[i], i));
    return lines;
}

// Gives each section up to `most` rows in turn, lanes two at a time, while there are lines.
static int deal(block parts[], int lines, bool only_least)
{
    for (bool more = true; more && lines > 0;) {
        more = false;
        for (int i = 0; i < SECTIONS; i++) {
            int most = only_least ? least(&parts[i], i) : parts[i].wanted;
            for (int n = 0; n < (i == LANES ? 2 : 1); n++) {
                if (!parts[i].shown || parts[i].given >= most || lines <= 0)
                    break;
                parts[i].given++;
                lines--;
                more = true;
            }
        }
    }
    return lines;
}

// True when there is room for blank lines between the sections.
static bool lay_out(block parts[], int lines)
{
    bool blank = lines_needed(parts, true, true) <= lines;
    for (size_t i = 0; i < sizeof dispensable / sizeof *dispensable; i++)
        if (lines_needed(parts, blank, false) > lines)
            parts[dispensable[i]].shown = false;
    for (int i = 0; i < SECTIONS; i++)
        lines -= parts[i].shown ? 1 + blank : 0;
    deal(parts, deal(parts, lines, true), false);
    return blank;
}

// --- the page ----------------------------------------------------------------------------------------

static void put_head(lane_page *p, const lane_view *view, const json_t *picture)
{
    char line[LANE_LINE_CAP], rtt[32], every[32];
    if (!picture) {
        lane_page_line(p, LANE_BOLD, "lane top  looking ...");
        return;
    }
    const json_t *broker = json_object_get(picture, "broker");
    const char *time = json_string_value(json_object_get(picture, "time"));
    const char *version = json_string_value(json_object_get(broker, "version"));
    const char *why = json_string_value(json_object_get(broker, "why"));
    lane_units_ms(rtt, sizeof rtt, json_number_value(json_object_get(broker, "rtt_ms")));
    lane_units_span(every, sizeof every, view->every_s);
    snprintf(line, sizeof line, "lane top  %.8s UTC  every %s%s  by %s%s%s",
             time && strlen(time) > 19 ? time + 11 : "", every, view->paused ? " (paused)" : "",
             lane_sort_name(view->sort), view->reverse ? ", reversed" : "",
             json_is_true(json_object_get(picture, "sampled")) ? "  (lanes sampled)" : "");
    lane_page_line(p, LANE_BOLD, line);
    if (json_is_true(json_object_get(broker, "connected"))) {
        snprintf(line, sizeof line, "broker %s  round trip %s  %s", version, rtt, view->url);
        lane_page_line(p, "", line);
    } else {
        snprintf(line, sizeof line, "broker away: %s", why ? why : view->url);
        lane_page_line(p, LANE_RED, line);
    }
}

static void put_trouble(lane_page *p, const char *title, const char *why)
{
    char line[LANE_LINE_CAP], plain[LANE_LINE_CAP];
    lane_units_plain(plain, sizeof plain, why);
    snprintf(line, sizeof line, "%s: %.1900s", title, plain);
    lane_page_line(p, LANE_RED, line);
}

static const char *trouble_of(const json_t *picture, const char *field)
{
    return json_string_value(json_object_get(json_object_get(picture, "errors"), field));
}

// What could not be had stands where it would; of a part that was had in part, in front of everything.
static void put_errors(lane_page *p, const json_t *picture)
{
    for (int i = 0; i < SECTIONS; i++) {
        const char *why = trouble_of(picture, sections[i].field);
        if (why && json_array_size(json_object_get(picture, sections[i].field)) > 0)
            put_trouble(p, sections[i].title, why);
    }
}

static void put_section(lane_page *p, int which, const block *part, const char *trouble, int skip)
{
    const section *s = &sections[which];
    lane_table_column columns[LANE_COLUMNS_MAX];
    char line[128];
    lane_table t;
    int total = part->wanted;
    if (total == 0 && trouble) {
        put_trouble(p, s->title, trouble);
        return;
    }
    if (total == 0) {
        snprintf(line, sizeof line, "%s: %s", s->title, s->nothing);
        lane_page_line(p, LANE_DIM, line);
        return;
    }
    memcpy(columns, s->columns, sizeof columns);
    if (part->given < total) { // the title says that there are more
        snprintf(line, sizeof line, "%s %d-%d/%d", columns[0].title, skip + 1, skip + part->given,
                 total);
        columns[0].title = line;
    }
    lane_table_measure(&t, columns, part->rows, p->width);
    lane_table_row(p, &t, NULL, LANE_BOLD);
    for (int i = 0; i < part->given && skip + i < total; i++) {
        const json_t *row = json_array_get(part->rows, (size_t)skip + (size_t)i);
        lane_table_row(p, &t, row, s->bad && s->bad(row) ? LANE_RED : "");
    }
}

static void put_sections(lane_page *p, const lane_view *view, const json_t *picture, int lines)
{
    block parts[SECTIONS] = {0};
    for (int i = 0; i < SECTIONS; i++) {
        parts[i].rows = rows_of(picture, i, view);
        parts[i].wanted = (int)json_array_size(parts[i].rows);
        const char *trouble = trouble_of(picture, sections[i].field);
        parts[i].shown = (parts[i].wanted || sections[i].nothing || trouble) &&
                         json_object_get(picture, sections[i].field) &&
                         (!view->only || view->only == i + 1);
    }
    bool blank = lay_out(parts, lines);
    for (int i = 0; i < SECTIONS; i++) {
        int most = parts[i].wanted - parts[i].given;
        bool scrolled = view->only ? view->only == i + 1 : i == LANES;
        int skip = !scrolled ? 0 : view->skip < most ? view->skip : most;
        if (parts[i].shown && blank)
            lane_page_line(p, "", "");
        if (parts[i].shown)
            put_section(p, i, &parts[i], trouble_of(picture, sections[i].field), skip);
    }
    for (int i = 0; i < SECTIONS; i++)
        json_decref(parts[i].rows);
}

static void put_help(lane_page *p)
{
    static const char *const lines[] = {
        "",
        "  q        end",
        "  s        sort the lanes by the next of rate, lag, bytes, name",
        "  r        the other way round",
        "  Tab      one section after the other on the whole screen, then all again",
        "  up down  scroll the lanes, or the one section (also k and j; PgUp, PgDn)",
        "  p, space hold the picture, go on",
        "  + -      twice as often, half as often",
        "  h, ?     this page",
        "",
        "LAG is the time from the receipt of a frame (act) or the publication (others) to here.",
        "BEHIND is how many sequences a worker or participant has not finished.",
        "LATENCY is of the last interval, as the daemons measured it.",
        "(lanes sampled): more comes than is listened to; rates are of a part of each second.",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        lane_page_line(p, "", lines[i]);
}

static int within(int n, int min, int max)
{
    return n < min ? min : n > max ? max : n;
}

char *lane_screen_draw(const json_t *picture, const lane_view *view)
{
    static const char keys[] =
        "q end  s sort  r reverse  p hold  + - pace  Tab section  up down scroll  h help";
    lane_page p;
    int foot = view->keys && view->height > 1 ? 1 : 0;
    int height = view->height ? view->height - foot : 0;
    if (!lane_page_open(&p, within(view->width, LANE_WIDTH_MIN, LANE_WIDTH_MAX), height,
                        view->color))
        return NULL;
    put_head(&p, view, picture);
    put_errors(&p, picture);
    if (view->help)
        put_help(&p);
    else if (picture)
        put_sections(&p, view, picture, height ? height - p.lines : ALL_LINES);
    while (foot && p.lines < height)
        lane_page_line(&p, "", "");
    p.height += foot;
    if (foot)
        lane_page_line(&p, LANE_DIM, keys);
    if (p.failed) {
        free(p.ptr);
        return NULL;
    }
    return p.ptr;
}
