// lane top: lanes, rates, lags, connections, replays and daemons, live. A thread gathers the pictures, so
// that the keys answer whatever the broker does. Source: schemas/specs/cli.md, "lane top".
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/meter.h"
#include "cli/picture.h"
#include "cli/screen.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

enum { EVERY_MS_MIN = 200, EVERY_MS_MAX = 60000, ANSWER_MS = 1000, QUIT_MS = 300, SKIP_MAX = 1000 };

typedef struct {
    lane_cli *cli;
    lane_painter *painter;
    pthread_t thread;
    pthread_mutex_t lock; // guards what follows
    pthread_cond_t turn;
    json_t *picture; // the newest
    uint64_t number; // how many there were
    bus_span every;
    bool stop;
} gatherer;

// --- gathering ---------------------------------------------------------------------------------------

// Holds the lock. Waits for the next picture's time, or the end.
static void wait_turn(gatherer *g)
{
    int64_t at = bus_now_wall().ns + g->every.ns;
    struct timespec until = {.tv_sec = at / 1000000000, .tv_nsec = at % 1000000000};
    while (!g->stop && pthread_cond_timedwait(&g->turn, &g->lock, &until) != ETIMEDOUT)
        ;
}

static void *gather(void *ctx)
{
    gatherer *g = ctx;
    pthread_mutex_lock(&g->lock);
    while (!g->stop) {
        pthread_mutex_unlock(&g->lock);
        json_t *picture = lane_painter_paint(g->painter);
        pthread_mutex_lock(&g->lock);
        if (picture) {
            json_decref(g->picture);
            g->picture = picture;
            g->number++;
        }
        wait_turn(g);
    }
    pthread_mutex_unlock(&g->lock);
    return NULL;
}

static json_t *newest(gatherer *g, uint64_t *number)
{
    pthread_mutex_lock(&g->lock);
    json_t *picture = g->picture ? json_deep_copy(g->picture) : NULL;
    *number = g->number;
    pthread_mutex_unlock(&g->lock);
    return picture;
}

static void set_pace(gatherer *g, bus_span every)
{
    pthread_mutex_lock(&g->lock);
    g->every = every;
    pthread_mutex_unlock(&g->lock);
}

// --- on a terminal -----------------------------------------------------------------------------------

static void change_pace(gatherer *g, lane_view *view, bool faster)
{
    int64_t ms = (int64_t)(view->every_s * 1000);
    ms = faster ? ms / 2 : ms * 2;
    ms = ms < EVERY_MS_MIN ? EVERY_MS_MIN : ms > EVERY_MS_MAX ? EVERY_MS_MAX : ms;
    view->every_s = (double)ms / 1000;
    set_pace(g, BUS_SPAN_MS(ms));
}

// Rows that a key goes down; 0: it is none of those that scroll.
static int scroll_of(int key, int page)
{
    switch (key) {
    case LANE_KEY_UP:
    case 'k':
        return -1;
    case LANE_KEY_DOWN:
    case 'j':
        return 1;
    case LANE_KEY_PAGE_UP:
        return -page;
    case LANE_KEY_PAGE_DOWN:
        return page;
    default:
        return 0;
    }
}

// False: it is over.
static bool obey(gatherer *g, lane_view *view, int key)
{
    switch (key) {
    case 'q':
    case 'Q':
    case LANE_KEY_GONE:
        return false;
    case 's':
        view->sort = (lane_sort)((view->sort + 1) % LANE_SORTS);
        break;
    case 'r':
        view->reverse = !view->reverse;
        break;
    case 'p':
    case ' ':
        view->paused = !view->paused;
        break;
    case '\t':
        view->only = (view->only + 1) % (LANE_SECTIONS + 1);
        view->skip = 0;
        break;
    case 'h':
    case '?':
        view->help = !view->help;
        break;
    case '+':
    case '-':
        change_pace(g, view, key == '+');
        break;
    default:
        view->skip += scroll_of(key, view->height / 2);
        break;
    }
    view->skip = view->skip < 0 ? 0 : view->skip > SKIP_MAX ? SKIP_MAX : view->skip;
    return true;
}

static bool draw(const json_t *picture, lane_view *view)
{
    lane_terminal_size(&view->width, &view->height);
    char *text = lane_screen_draw(picture, view);
    bool ok = !text || lane_terminal_show(text);
    free(text);
    return ok;
}

static int watch(gatherer *g, lane_view *view)
{
    json_t *picture = NULL;
    uint64_t shown = 0, number = 0;
    bool going = lane_terminal_open() && draw(NULL, view);
    int key = LANE_KEY_NONE;
    while (going && !lane_interrupted()) {
        json_t *fresh = view->paused ? NULL : newest(g, &number);
        bool news = fresh && number != shown;
        if (news) {
            json_decref(picture);
            picture = json_incref(fresh);
            shown = number;
        }
        json_decref(fresh);
        if (news || key != LANE_KEY_NONE)
            going = draw(picture, view);
        key = going ? lane_terminal_key(BUS_SPAN_MS(100)) : LANE_KEY_NONE;
        going = going && obey(g, view, key);
    }
    lane_terminal_close();
    json_decref(picture);
    return 0;
}

// --- without one -------------------------------------------------------------------------------------

static void print(const lane_cli *cli, json_t *picture, const lane_view *view)
{
    char *text = cli->json ? NULL : lane_screen_draw(picture, view);
    if (cli->json)
        lane_json_line(json_incref(picture));
    else if (text)
        fputs(text, stdout);
    fflush(stdout);
    free(text);
}

// The first picture has nothing to take rates from: the second is the first one shown.
static int report(gatherer *g, const lane_view *view, bool once)
{
    uint64_t shown = 1, number = 0;
    while (!lane_interrupted() && !ferror(stdout)) {
        json_t *picture = newest(g, &number);
        if (picture && number > shown) {
            print(g->cli, picture, view);
            shown = number;
        }
        bool done = once && number > 1;
        json_decref(picture);
        if (done)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    return 0;
}

// --- the verb -----------------------------------------------------------------------------------------

static bus_err read_sort(const char *text, lane_sort *out)
{
    for (int i = 0; i < LANE_SORTS; i++) {
        if (strcmp(text, lane_sort_name((lane_sort)i)) == 0) {
            *out = (lane_sort)i;
            return BUS_OK;
        }
    }
    return bus_fail(BUS_EUSAGE, "--sort '%s': rate, lag, bytes or name is wanted", text);
}

static bus_err read_width(const lane_cli *cli, int *width)
{
    uint64_t n;
    const char *columns = getenv("COLUMNS");
    uint64_t preset = 120;
    if (columns)
        bus_view_u64(bus_view_of(columns), &preset);
    bus_err err = lane_opt_u64(cli, "width", preset, &n);
    *width = n > LANE_WIDTH_MAX ? LANE_WIDTH_MAX : (int)n;
    if (!err && lane_has(cli, "width") && (n < LANE_WIDTH_MIN || n > LANE_WIDTH_MAX))
        err = bus_fail(BUS_EUSAGE, "--width %llu: %d to %d is wanted", (unsigned long long)n,
                       LANE_WIDTH_MIN, LANE_WIDTH_MAX);
    return err;
}

static bus_err read_options(gatherer *g, lane_view *view)
{
    const lane_cli *cli = g->cli;
    bus_err err = lane_opt_span(cli, "every", lane_has(cli, "once") ? "1s" : "2s", &g->every);
    if (!err &&
        (g->every.ns < BUS_SPAN_MS(EVERY_MS_MIN).ns || g->every.ns > BUS_SPAN_MS(EVERY_MS_MAX).ns))
        err = bus_fail(BUS_EUSAGE, "--every: %d ms to %d s is wanted", EVERY_MS_MIN,
                       EVERY_MS_MAX / 1000);
    if (!err)
        err = read_sort(lane_opt(cli, "sort", "rate"), &view->sort);
    if (!err)
        err = read_width(cli, &view->width);
    view->every_s = (double)g->every.ns / 1e9;
    return err;
}

// Whoever asks a broker that does not answer may wait for seconds: at the end nobody waits for him.
static void end(gatherer *g, int code)
{
    pthread_mutex_lock(&g->lock);
    g->stop = true;
    pthread_cond_signal(&g->turn);
    pthread_mutex_unlock(&g->lock);
    int64_t at = bus_now_wall().ns + BUS_SPAN_MS(QUIT_MS).ns;
    struct timespec until = {.tv_sec = at / 1000000000, .tv_nsec = at % 1000000000};
    if (pthread_timedjoin_np(g->thread, NULL, &until) != 0) {
        fflush(stdout);
        _exit(code);
    }
    json_decref(g->picture);
    lane_painter_close(g->painter);
}

static int run_top(lane_cli *cli)
{
    static const char no_color[] = "NO_COLOR";
    gatherer g = {.cli = cli, .lock = PTHREAD_MUTEX_INITIALIZER, .turn = PTHREAD_COND_INITIALIZER};
    lane_connection where = {0};
    lane_view view = {.color = !getenv(no_color)};
    bool once = lane_has(cli, "once");
    bool screen = !once && !cli->json && lane_terminal_there();
    bus_err err = read_options(&g, &view);
    if (!err)
        err = lane_connection_find(&where, &cli->args);
    if (!err)
        err = lane_connect(cli);
    if (cli->timeout.ns > BUS_SPAN_MS(ANSWER_MS).ns)
        cli->timeout = BUS_SPAN_MS(ANSWER_MS); // of one question
    if (!err)
        err = lane_painter_open(&g.painter, cli, cli->args.arg, (size_t)cli->args.args);
    if (!err && pthread_create(&g.thread, NULL, gather, &g))
        err = bus_fail(BUS_EIO, "a thread");
    if (err) {
        lane_painter_close(g.painter);
        lane_connection_release(&where);
        return lane_fail(cli, err);
    }
    view.url = where.url;
    view.keys = screen;
    view.color = view.color && screen;
    int code = screen ? watch(&g, &view) : report(&g, &view, once || !cli->json);
    end(&g, code);
    lane_connection_release(&where);
    return code;
}

static const lane_option top_options[] = {
    {"once", 0, NULL, "print one picture and end; what happens without a terminal"},
    {"every", 'e', "SPAN", "time between two pictures (default: 2s; with --once: 1s)"},
    {"sort", 0, "BY", "order of the lanes: rate, lag, bytes, name (default: rate)"},
    {"width", 0, "N", "columns of the text with --once (default: $COLUMNS, else 120)"},
    {0},
};

const lane_verb lane_top_verbs[] = {
    {"top", "[SUBJECT...]", 0, LANE_METER_SUBJECTS_MAX,
     "lanes, rates, lags, connections, replays and daemons, live", top_options, run_top},
    {0},
};
