#include "cli/terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static struct termios before;
static bool is_open;
static volatile sig_atomic_t resized, stop_asked;

static const char enter[] = "\033[?1049h\033[?25l"; // the second screen; no cursor
static const char leave[] = "\033[?25h\033[?1049l";

static void on_resize(int signal_number)
{
    (void)signal_number;
    resized = 1;
}

static void on_stop(int signal_number)
{
    (void)signal_number;
    stop_asked = 1;
}

static bool write_all(const char *text, size_t len)
{
    while (len) {
        ssize_t n = write(STDOUT_FILENO, text, len);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return false;
        if (n > 0) {
            text += n;
            len -= (size_t)n;
        }
    }
    return true;
}

bool lane_terminal_there(void)
{
    const char *kind = getenv("TERM");
    return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && kind && *kind &&
           strcmp(kind, "dumb") != 0;
}

static bool take(void)
{
    struct termios raw;
    if (tcgetattr(STDIN_FILENO, &before) != 0)
        return false;
    raw = before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO); // Ctrl-C and Ctrl-Z stay signals
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) != 0)
        return false;
    is_open = true;
    return write_all(enter, sizeof enter - 1);
}

static void give_back(void)
{
    if (!is_open)
        return;
    is_open = false;
    write_all(leave, sizeof leave - 1);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
}

bool lane_terminal_open(void)
{
    struct sigaction resize = {.sa_handler = on_resize}, stop = {.sa_handler = on_stop};
    sigaction(SIGWINCH, &resize, NULL);
    sigaction(SIGTSTP, &stop, NULL);
    if (take())
        return true;
    give_back();
    return false;
}

void lane_terminal_close(void)
{
    give_back();
    signal(SIGWINCH, SIG_DFL);
    signal(SIGTSTP, SIG_DFL);
}

void lane_terminal_size(int *width, int *height)
{
    struct winsize size;
    *width = 80;
    *height = 24;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0)
        return;
    *width = size.ws_col ? size.ws_col : *width;
    *height = size.ws_row ? size.ws_row : *height;
}

// --- keys --------------------------------------------------------------------------------------------

// Ctrl-Z: the shell gets its screen back; after `fg` we take it again.
static int stop_and_go_on(void)
{
    stop_asked = 0;
    give_back();
    raise(SIGSTOP);
    return take() ? LANE_KEY_RESIZED : LANE_KEY_GONE;
}

// What was typed and is no key yet: a key that is held down comes several at a time.
static struct {
    char bytes[64];
    size_t at, len;
} typed;

// Bytes of an escape sequence: ESC [ parameters and a letter or ~, ESC O and a letter; else ESC alone.
static size_t escape_len(const char *text, size_t len)
{
    size_t n = 2;
    if (len < 3 || (text[1] != '[' && text[1] != 'O'))
        return 1;
    while (text[1] == '[' && n < len - 1 && text[n] >= ' ' && text[n] < '@')
        n++;
    return n + 1;
}

static int escape_key(const char *text, size_t len)
{
    static const struct {
        const char *text;
        int key;
    } keys[] = {{"\033[A", LANE_KEY_UP},       {"\033OA", LANE_KEY_UP},
                {"\033[B", LANE_KEY_DOWN},     {"\033OB", LANE_KEY_DOWN},
                {"\033[5~", LANE_KEY_PAGE_UP}, {"\033[6~", LANE_KEY_PAGE_DOWN}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strlen(keys[i].text) == len && memcmp(keys[i].text, text, len) == 0)
            return keys[i].key;
    return LANE_KEY_NONE;
}

static int next_typed(void)
{
    const char *text = typed.bytes + typed.at;
    bool escape = *text == '\033';
    size_t len = escape ? escape_len(text, typed.len - typed.at) : 1;
    typed.at += len;
    return escape ? escape_key(text, len) : (unsigned char)*text;
}

static int read_key(void)
{
    ssize_t n = read(STDIN_FILENO, typed.bytes, sizeof typed.bytes);
    if (n == 0)
        return LANE_KEY_GONE; // poll said there was something: an end
    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? LANE_KEY_NONE : LANE_KEY_GONE;
    typed.at = 0;
    typed.len = (size_t)n;
    return next_typed();
}

int lane_terminal_key(bus_span timeout)
{
    if (typed.at < typed.len && !stop_asked && !resized)
        return next_typed();
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    int ms = timeout.ns > 0 ? (int)((timeout.ns + 999999) / 1000000) : 0;
    int n = stop_asked || resized ? 0 : poll(&in, 1, ms);
    if (stop_asked)
        return stop_and_go_on();
    if (resized) {
        resized = 0;
        return LANE_KEY_RESIZED;
    }
    if (n <= 0)
        return LANE_KEY_NONE;
    if (in.revents & POLLIN)
        return read_key();
    return LANE_KEY_GONE;
}

// --- drawing -----------------------------------------------------------------------------------------

// Each line is overwritten and its rest cleared: nothing flickers, and an unchanged screen costs one write.
bool lane_terminal_show(const char *lines)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return true; // the next one may find memory
    fputs("\033[H", out);
    while (*lines) {
        size_t n = strcspn(lines, "\n");
        fprintf(out, "%.*s\033[K", (int)n, lines);
        lines += n;
        if (*lines && *++lines)
            fputs("\r\n", out);
    }
    fputs("\033[J", out);
    if (fclose(out) != 0) {
        free(text);
        return true;
    }
    bool ok = write_all(text, len);
    free(text);
    return ok;
}
