// What comes on stdin of `lane`. First byte: keys typed while `lane top` has the terminal, in one read each or several; or
// anything piped into `lane cat`, and the form that is asked for. Every key that is typed is told, once and in order; an
// event that is printed can be read again.
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bus/event/event.h"
#include "cli/cat.h"
#include "cli/terminal.h"
#include "input.h"

enum { AT_ONCE = 48 };

// --- keys -----------------------------------------------------------------------------------------------------

// The next key of what was typed at once, 0: a sequence that is none of ours.
static int key_of(bus_view *rest)
{
    static const char *const names[] = {"[A", "OA", "[B", "OB", "[5~", "[6~"};
    static const int keys[] = {LANE_KEY_UP,   LANE_KEY_UP,      LANE_KEY_DOWN,
                               LANE_KEY_DOWN, LANE_KEY_PAGE_UP, LANE_KEY_PAGE_DOWN};
    bus_view all = *rest;
    *rest = (bus_view){all.ptr + 1, all.len - 1};
    if (*all.ptr != '\033')
        return (unsigned char)*all.ptr;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t len = strlen(names[i]);
        if (rest->len < len || memcmp(rest->ptr, names[i], len) != 0)
            continue;
        *rest = (bus_view){rest->ptr + len, rest->len - len};
        return keys[i];
    }
    if (rest->len < 2 || !memchr("[O", *rest->ptr, 2))
        return 0;
    size_t end = 1;
    while (*rest->ptr == '[' && end < rest->len - 1 && rest->ptr[end] >= ' ' &&
           rest->ptr[end] < '@')
        end++;
    *rest = (bus_view){rest->ptr + end + 1, rest->len - end - 1};
    return 0;
}

static void try_keys(void)
{
    int ends[2];
    if (pipe(ends) != 0)
        return;
    demand(dup2(ends[0], STDIN_FILENO) == STDIN_FILENO);
    while (input.left) {
        bus_view rest = bytes_of(byte() % AT_ONCE);
        demand(rest.len == 0 || write(ends[1], rest.ptr, rest.len) == (ssize_t)rest.len);
        while (rest.len)
            demand(lane_terminal_key((bus_span){0}) == key_of(&rest));
        demand(lane_terminal_key((bus_span){0}) == LANE_KEY_NONE);
    }
    close(ends[0]);
    close(ends[1]);
    demand(lane_terminal_key((bus_span){0}) == LANE_KEY_GONE);
}

// --- events -----------------------------------------------------------------------------------------------------

static void look_at_event(const char *form, const char *text, size_t len)
{
    bus_scratch scratch = {0};
    bus_event event;
    if (strcmp(form, "msgpack") == 0)
        demand(bus_event_decode_msgpack(&event, (bus_view){text, len}) == BUS_OK);
    if (strcmp(form, "json") == 0)
        demand(bus_event_decode_json(&event, (bus_view){text, len - 1}, &scratch) == BUS_OK);
    bus_scratch_release(&scratch);
}

static void look_at_words(const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        demand(*at == '\n' || (*at >= ' ' && *at != 0x7f));
        demand(*at != 0xc2 || at[1] >= 0xa0); // controls above 0x7f
    }
}

static void try_cat(uint8_t first)
{
    static char to[] = "--to", data[] = "--data", json[] = "json", msgpack[] = "msgpack",
                headers[] = "headers";
    char *const forms[] = {json, msgpack, headers, json};
    char *words[] = {to, forms[first % 4], data}, *text[2] = {0};
    size_t len[2] = {0};
    int fd = memfd_create("stdin", MFD_CLOEXEC);
    lane_args args;
    FILE *before[] = {stdout, stderr};
    demand(lane_args_read(&args, &lane_cat_verb, first % 4 == 3 ? 3 : 2, words) == BUS_OK);
    demand(write(fd, input.bytes, input.left) == (ssize_t)input.left);
    demand(lseek(fd, 0, SEEK_SET) == 0 && dup2(fd, STDIN_FILENO) == STDIN_FILENO);
    close(fd);
    stdout = open_memstream(&text[0], &len[0]);
    stderr = open_memstream(&text[1], &len[1]);
    int code = lane_cat(&args);
    fclose(stdout);
    fclose(stderr);
    stdout = before[0];
    stderr = before[1];
    demand(code == 0 ? len[0] > 0 && !len[1] : len[1] > 0);
    if (code == 0 && first % 4 != 3)
        look_at_event(words[1], text[0], len[0]);
    look_at_words(text[1]);
    free(text[0]);
    free(text[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    input.bytes = data + 1;
    input.left = size - 1;
    if (data[0] & 1)
        try_keys();
    else
        try_cat(data[0] >> 1);
    return 0;
}
