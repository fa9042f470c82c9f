#include "feeds/sim/capture.h"

#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "bus/base/log.h"
#include "feeds/sim/json.h"
#include "feeds/sim/lines.h"

enum { FILES_MAX = 64, BAD_LINES_LOGGED = 20 };

// A snapshot without a symbol; resolved once the whole file is known.
typedef struct {
    int64_t id;
    int symbol_no;
} bare;

typedef struct {
    char path[PATH_MAX];
    sim_lines *lines;
    sim_format format;
    sim_line line; // the next one; merged by its time
    bool has_line;
    bare *bare;
    size_t bare_count, bare_cap, bare_next;
} file;

struct sim_capture {
    file file[FILES_MAX];
    size_t count;
    sim_topics *topics;
    sim_symbol_facts *facts;
    size_t facts_count;
    uint64_t frames, bad_lines;
    bool opening, scanning;
    file *used; // whose line the last record points into; advanced by the next call
    sim_text info;
    bus_err err; // of the scan: something could not be read
};

// --- files ------------------------------------------------------------------------------------------

static bus_err add_file(sim_capture *c, const char *path)
{
    for (size_t i = 0; i < c->count; i++)
        if (strcmp(c->file[i].path, path) == 0)
            return BUS_OK;
    if (c->count == FILES_MAX)
        return bus_fail(BUS_ELIMIT, "more than %d capture files", FILES_MAX);
    if (strlen(path) >= PATH_MAX)
        return bus_fail(BUS_EINVAL, "capture '%.60s…': the path is too long", path);
    snprintf(c->file[c->count++].path, PATH_MAX, "%s", path);
    return BUS_OK;
}

// For ….ws.… every file of the folder with the same prefix and ".http.".
static bus_err add_siblings(sim_capture *c, const char *path)
{
    char folder[PATH_MAX], prefix[PATH_MAX], other[PATH_MAX * 2];
    const char *name = strrchr(path, '/');
    name = name ? name + 1 : path;
    const char *mark = strstr(name, ".ws.");
    if (!mark)
        return BUS_OK;
    int folder_len = (int)(name - path);
    snprintf(folder, sizeof folder, "%.*s", folder_len, path);
    snprintf(prefix, sizeof prefix, "%.*s.http.", (int)(mark - name), name);
    DIR *dir = opendir(folder_len ? folder : ".");
    bus_err err =
        dir ? BUS_OK : bus_fail(BUS_EIO, "the folder of capture '%s': %s", path, strerror(errno));
    for (struct dirent *e = dir ? readdir(dir) : NULL; e && !err; e = readdir(dir)) {
        if (strncmp(e->d_name, prefix, strlen(prefix)) != 0)
            continue;
        snprintf(other, sizeof other, "%s%s", folder, e->d_name);
        err = add_file(c, other);
    }
    if (dir)
        closedir(dir);
    return err;
}

static void bad_line(sim_capture *c, const file *f, const char *why)
{
    if (!c->scanning)
        return;
    c->bad_lines++;
    if (c->bad_lines <= BAD_LINES_LOGGED)
        bus_warn("capture '%s' line %llu: %s: skipped%s", f->path,
                 (unsigned long long)sim_lines_number(f->lines), why,
                 c->bad_lines == BAD_LINES_LOGGED ? " (more are counted, not logged)" : "");
}

// A file that ends in the middle (it is still being written) is played as far as it goes. What could not be read
// may be read the next time: then the capture is not taken for what it is not.
static void broken(sim_capture *c, const file *f)
{
    bus_err err = sim_lines_err(f->lines);
    if (err != BUS_ENOMEM && err != BUS_EIO)
        bad_line(c, f, bus_err_text());
    else if (c->opening)
        c->err = err;
    else
        bus_error("%s: the rest is not played", bus_err_text());
}

// Reads on to the file's next line that carries something.
static void advance(sim_capture *c, file *f)
{
    bus_view text;
    f->has_line = false;
    while (!f->has_line) {
        int got = sim_lines_next(f->lines, &text);
        if (got < 0)
            broken(c, f);
        if (got <= 0)
            return;
        if (f->format == SIM_FORMAT_UNKNOWN)
            f->format = sim_line_format(text);
        bus_err err = sim_line_parse(&f->line, f->format, text);
        if (err)
            bad_line(c, f, bus_err_text());
        f->has_line = !err && f->line.kind != SIM_LINE_SKIP;
    }
}

static bus_err rewind_files(sim_capture *c)
{
    c->used = NULL;
    for (size_t i = 0; i < c->count; i++) {
        file *f = &c->file[i];
        sim_lines_close(f->lines);
        f->lines = NULL;
        f->bare_next = 0;
        bus_err err = sim_lines_open(&f->lines, f->path);
        if (err)
            return err;
        advance(c, f);
    }
    return c->err;
}

// --- records ----------------------------------------------------------------------------------------

static bool symbol_from_url(bus_view url, char symbol[SIM_SYMBOL_MAX])
{
    static const char key[] = "symbol=";
    const char *at = memmem(url.ptr, url.len, key, sizeof key - 1);
    if (!at)
        return false;
    at += sizeof key - 1;
    size_t len = 0;
    while (at + len < url.ptr + url.len && at[len] != '&' && at[len] != ' ')
        len++;
    return bus_view_copy((bus_view){at, len}, symbol, SIM_SYMBOL_MAX) && len > 0;
}

static bus_err add_bare(file *f, int64_t id)
{
    if (f->bare_count == f->bare_cap) {
        size_t cap = f->bare_cap ? f->bare_cap * 2 : 16;
        bare *grown = realloc(f->bare, cap * sizeof *grown);
        if (!grown)
            return bus_fail(BUS_ENOMEM, "%zu snapshots", cap);
        f->bare = grown;
        f->bare_cap = cap;
    }
    f->bare[f->bare_count++] = (bare){id, -1};
    return BUS_OK;
}

// While scanning a bare snapshot's symbol is not known yet: "" then.
static bool snapshot_symbol(sim_capture *c, file *f, sim_record *out)
{
    bus_view value;
    int64_t id;
    if (f->line.url.len)
        return symbol_from_url(f->line.url, out->symbol);
    out->symbol[0] = 0;
    if (c->scanning)
        return sim_json_get(f->line.text, "lastUpdateId", &value) && sim_json_int(value, &id) &&
               (c->err = add_bare(f, id)) == BUS_OK;
    if (f->bare_next >= f->bare_count || f->bare[f->bare_next].symbol_no < 0) {
        f->bare_next++;
        return false;
    }
    int symbol_no = f->bare[f->bare_next++].symbol_no;
    memcpy(out->symbol, c->topics->symbol[symbol_no].name, SIM_SYMBOL_MAX);
    return true;
}

static bool make_record(sim_capture *c, file *f, sim_record *out)
{
    out->kind = f->line.kind;
    out->recorded_ns = f->line.recorded_ns;
    out->text = f->line.text;
    if (out->kind == SIM_LINE_SNAPSHOT)
        return snapshot_symbol(c, f, out);
    if (out->kind == SIM_LINE_INFO)
        return true;
    if (!sim_frame_parse(&out->frame, f->line.text))
        return false;
    memcpy(out->symbol, out->frame.symbol, SIM_SYMBOL_MAX);
    return true;
}

static file *earliest(sim_capture *c)
{
    file *first = NULL;
    for (size_t i = 0; i < c->count; i++)
        if (c->file[i].has_line &&
            (!first || c->file[i].line.recorded_ns < first->line.recorded_ns))
            first = &c->file[i];
    return first;
}

// The line that a record points into must live until the next call, so a file is advanced late.
bool sim_capture_next(sim_capture *c, sim_record *out)
{
    for (;;) {
        if (c->used)
            advance(c, c->used);
        c->used = earliest(c);
        if (!c->used)
            return false;
        if (make_record(c, c->used, out))
            return true;
        if (c->err)
            return false;
        bad_line(c, c->used, "neither a frame of the venue nor a snapshot");
    }
}

// --- what is in it ----------------------------------------------------------------------------------

static int point_digits(bus_view text)
{
    const char *point = text.len ? memchr(text.ptr, '.', text.len) : NULL;
    return point ? (int)(text.ptr + text.len - point - 1) : 0;
}

static int significant_digits(bus_view text)
{
    int digits = point_digits(text);
    while (digits > 0 && text.ptr[text.len - 1] == '0') {
        text.len--;
        digits--;
    }
    return digits;
}

static void widen(int *to, int digits)
{
    if (digits > *to && digits <= 18)
        *to = digits;
}

static void note_level(void *ctx, bus_view price, bus_view quantity)
{
    sim_symbol_facts *facts = ctx;
    widen(&facts->price_digits, point_digits(price));
    widen(&facts->price_scale, significant_digits(price));
    widen(&facts->quantity_digits, point_digits(quantity));
    widen(&facts->quantity_scale, significant_digits(quantity));
}

bool sim_capture_levels(bus_view array, void (*fn)(void *ctx, bus_view price, bus_view quantity),
                        void *ctx)
{
    sim_json levels, level;
    bus_view item, price, quantity;
    if (array.len == 0 || array.ptr[0] != '[' || !sim_json_open(&levels, array))
        return false;
    while (sim_json_element(&levels, &item)) {
        if (item.ptr[0] != '[' || !sim_json_open(&level, item) ||
            !sim_json_element(&level, &price) || !sim_json_element(&level, &quantity) ||
            !sim_json_text(price, &price) || !sim_json_text(quantity, &quantity))
            return false;
        fn(ctx, price, quantity);
    }
    return !levels.bad;
}

// The strings of a trade or a bookTicker need digits too.
static void note_strings(sim_symbol_facts *facts, const sim_frame *frame)
{
    bool ticker = strcmp(frame->channel, "bookTicker") == 0;
    bus_view price, quantity;
    const char *prices[] = {ticker ? "b" : "p", ticker ? "a" : "p"};
    const char *quantities[] = {ticker ? "B" : "q", ticker ? "A" : "q"};
    for (int i = 0; i < 2; i++)
        if (sim_json_get(frame->data, prices[i], &price) && sim_json_text(price, &price) &&
            sim_json_get(frame->data, quantities[i], &quantity) &&
            sim_json_text(quantity, &quantity))
            note_level(facts, price, quantity);
}

static bus_err facts_for(sim_capture *c, int symbol_no, sim_symbol_facts **out)
{
    while ((size_t)symbol_no >= c->facts_count) {
        size_t count = c->facts_count ? c->facts_count * 2 : 64;
        sim_symbol_facts *grown = realloc(c->facts, count * sizeof *grown);
        if (!grown)
            return bus_fail(BUS_ENOMEM, "%zu symbols", count);
        memset(grown + c->facts_count, 0, (count - c->facts_count) * sizeof *grown);
        c->facts = grown;
        c->facts_count = count;
    }
    *out = &c->facts[symbol_no];
    return BUS_OK;
}

static bus_err scan_frame(sim_capture *c, const sim_frame *frame)
{
    int topic;
    sim_symbol_facts *facts;
    bus_err err = sim_topics_add(c->topics, frame->symbol, frame->channel, &topic);
    if (!err)
        err = facts_for(c, c->topics->topic[topic].symbol_no, &facts);
    if (err)
        return err;
    c->topics->topic[topic].total++;
    c->frames++;
    if (strcmp(frame->channel, "depth") == 0) {
        (void)sim_capture_levels(frame->bids, note_level, facts);
        (void)sim_capture_levels(frame->asks, note_level, facts);
        if (facts->first_id == 0)
            facts->first_id = frame->first_id;
        if (frame->last_id > facts->last_id)
            facts->last_id = frame->last_id;
    } else {
        note_strings(facts, frame);
    }
    return BUS_OK;
}

// A snapshot of a symbol that sends no frame is of no use.
static bus_err scan_snapshot(sim_capture *c, const char *symbol, bus_view body)
{
    bus_view side;
    sim_symbol_facts *facts;
    int symbol_no = sim_topics_symbol(c->topics, bus_view_of(symbol));
    if (symbol_no < 0)
        return BUS_OK;
    bus_err err = facts_for(c, symbol_no, &facts);
    if (err)
        return err;
    facts->snapshots++;
    if (sim_json_get(body, "bids", &side))
        (void)sim_capture_levels(side, note_level, facts);
    if (sim_json_get(body, "asks", &side))
        (void)sim_capture_levels(side, note_level, facts);
    return BUS_OK;
}

// The depth symbol in whose range of ids the snapshot lies, else the nearest.
static int nearest_symbol(const sim_capture *c, int64_t id)
{
    int best = -1;
    int64_t best_distance = INT64_MAX;
    for (size_t i = 0; i < c->topics->symbol_count && i < c->facts_count; i++) {
        const sim_symbol_facts *f = &c->facts[i];
        if (f->last_id == 0)
            continue;
        int64_t distance = id < f->first_id  ? f->first_id - id
                           : id > f->last_id ? id - f->last_id
                                             : 0;
        if (distance < best_distance) {
            best = (int)i;
            best_distance = distance;
        }
    }
    return best;
}

static bus_err scan(sim_capture *c, uint64_t *snapshots)
{
    sim_record r;
    bus_err err = BUS_OK;
    c->scanning = true;
    while (!err && sim_capture_next(c, &r)) {
        if (r.kind == SIM_LINE_FRAME)
            err = scan_frame(c, &r.frame);
        else if (r.kind == SIM_LINE_SNAPSHOT)
            ++*snapshots;
        else if (c->info.len == 0)
            sim_text_add(&c->info, r.text);
    }
    if (!err && c->info.failed)
        err = bus_fail(BUS_ENOMEM, "the instruments of a capture");
    if (!err)
        err = c->err;
    c->scanning = false;
    for (size_t i = 0; i < c->count; i++)
        for (size_t k = 0; k < c->file[i].bare_count; k++)
            c->file[i].bare[k].symbol_no = nearest_symbol(c, c->file[i].bare[k].id);
    return err;
}

// Whose a snapshot is can be told only when all symbols are known: they get a second look.
static bus_err scan_snapshots(sim_capture *c, uint64_t snapshots)
{
    sim_record r;
    bus_err err = rewind_files(c);
    while (!err && snapshots > 0 && sim_capture_next(c, &r)) {
        if (r.kind != SIM_LINE_SNAPSHOT)
            continue;
        snapshots--;
        err = scan_snapshot(c, r.symbol, r.text);
    }
    return err ? err : c->err;
}

bus_err sim_capture_open(sim_capture **out, const char *const *paths, size_t count,
                         sim_topics *topics)
{
    bus_err err = BUS_OK;
    uint64_t snapshots = 0;
    sim_capture *c = calloc(1, sizeof *c);
    if (!c)
        return bus_fail(BUS_ENOMEM, "capture");
    c->topics = topics;
    c->opening = true;
    for (size_t i = 0; i < count && !err; i++)
        err = add_file(c, paths[i]);
    for (size_t i = 0; i < count && !err; i++)
        err = add_siblings(c, paths[i]);
    if (!err)
        err = rewind_files(c);
    if (!err)
        err = scan(c, &snapshots);
    if (!err && c->frames == 0)
        err = bus_fail(BUS_EINVAL, "capture '%s': no frame of the venue in it", paths[0]);
    if (!err)
        err = scan_snapshots(c, snapshots);
    if (!err)
        err = rewind_files(c);
    if (err) {
        sim_capture_close(c);
        return err;
    }
    c->opening = false;
    *out = c;
    return BUS_OK;
}

void sim_capture_close(sim_capture *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->count; i++) {
        sim_lines_close(c->file[i].lines);
        free(c->file[i].bare);
    }
    free(c->facts);
    sim_text_release(&c->info);
    free(c);
}

const sim_symbol_facts *sim_capture_facts(const sim_capture *c, int symbol_no)
{
    static const sim_symbol_facts none;
    return symbol_no >= 0 && (size_t)symbol_no < c->facts_count ? &c->facts[symbol_no] : &none;
}

uint64_t sim_capture_frames(const sim_capture *c)
{
    return c->frames;
}

uint64_t sim_capture_bad_lines(const sim_capture *c)
{
    return c->bad_lines;
}

bus_view sim_capture_info(const sim_capture *c)
{
    return sim_text_view(&c->info);
}
