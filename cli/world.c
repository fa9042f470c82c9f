#include "cli/world.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus/base/view.h"
#include "cli/http.h"
#include "cli/session.h"

enum { PROGRAMS_MAX = 4, ARGV_MAX = 32, START_S = 20, STOP_MS = 5000, TAIL = 600 };

typedef struct {
    const char *name;
    pid_t pid; // 0: ended
    char log[PATH_MAX];
} program;

struct lane_world {
    char folder[64];
    char bin[PATH_MAX - 64]; // folder of our programs
    const char *nats_server;
    bool keep;
    program programs[PROGRAMS_MAX];
    int count;
    char nats_url[64];
    int venue_port;
};

const char *lane_world_folder(const lane_world *world)
{
    return world->folder;
}

const char *lane_world_nats_url(const lane_world *world)
{
    return world->nats_url;
}

bus_err lane_world_ask(const lane_world *w, const char *path, json_t **body)
{
    int status = 0;
    bus_err err = lane_http_json(w->venue_port, path, &status, body);
    if (!err && (status != 200 || !*body)) {
        const char *said = json_string_value(json_object_get(*body, "error"));
        err = bus_fail(BUS_EUNAVAILABLE, "simexd %s: status %d: %s", path, status,
                       said ? said : "no JSON");
        json_decref(*body);
    }
    return err;
}

bus_err lane_world_open(lane_world **out, const char *nats_server, bool keep)
{
    lane_world *w = calloc(1, sizeof *w);
    if (!w)
        return bus_fail(BUS_ENOMEM, "a world");
    const char *tmp = getenv("TMPDIR");
    int len = snprintf(w->folder, sizeof w->folder, "%s/lane-check-XXXXXX",
                       tmp && tmp[0] && strlen(tmp) < 32 ? tmp : "/tmp");
    static const char beside[] = "/../bin"; // we are in libexec
    ssize_t path = readlink("/proc/self/exe", w->bin, sizeof w->bin - sizeof beside);
    char *slash = path > 0 ? strrchr(w->bin, '/') : NULL;
    if (len < 0 || !slash || !mkdtemp(w->folder)) {
        bus_err err = bus_fail(BUS_EIO, "temporary folder '%s': %s", w->folder, strerror(errno));
        free(w);
        return err;
    }
    memcpy(slash, beside, sizeof beside);
    w->nats_server = nats_server;
    w->keep = keep;
    *out = w;
    return BUS_OK;
}

// --- programs ------------------------------------------------------------------------------------------

static void run_child(const program *p, char *const *argv)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0); // Ctrl-C is for us; we end them in order
    int log = open(p->log, O_WRONLY | O_CREAT | O_APPEND, 0644), null = open("/dev/null", O_RDONLY);
    dup2(null, STDIN_FILENO);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    execvp(argv[0], argv);
    dprintf(STDERR_FILENO, "cannot run %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static bus_err start(lane_world *w, const char *name, const char *path, const char *const *args,
                     program **out)
{
    const char *argv[ARGV_MAX] = {path};
    int argc = 1;
    for (; args[argc - 1] && argc < ARGV_MAX - 1; argc++)
        argv[argc] = args[argc - 1];
    program *p = &w->programs[w->count];
    p->name = name;
    char log[sizeof p->log]; // apart: gcc sees folder and log in one object and refuses
    snprintf(log, sizeof log, "%s/%s.log", w->folder, name);
    memcpy(p->log, log, sizeof log);
    fflush(NULL);
    p->pid = fork();
    if (p->pid < 0)
        return bus_fail(BUS_EIO, "starting %s: %s", name, strerror(errno));
    if (p->pid == 0)
        run_child(p, (char *const *)(uintptr_t)argv);
    w->count++;
    *out = p;
    return BUS_OK;
}

static bus_err start_ours(lane_world *w, const char *name, const char *const *args, program **out)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", w->bin, name);
    return start(w, name, path, args, out);
}

static char *read_log(const program *p)
{
    FILE *file = fopen(p->log, "r");
    struct stat st;
    char *text = NULL;
    if (file && fstat(fileno(file), &st) == 0 && (text = malloc((size_t)st.st_size + 1)))
        text[fread(text, 1, (size_t)st.st_size, file)] = '\0';
    if (file)
        fclose(file);
    return text ? text : strdup("");
}

static bool has_ended(program *p)
{
    if (p->pid > 0 && waitpid(p->pid, NULL, WNOHANG) == p->pid)
        p->pid = 0;
    return p->pid <= 0;
}

static bus_err ended_by_itself(const program *p)
{
    char *text = read_log(p);
    size_t len = strlen(text);
    bus_err err = bus_fail(BUS_EUNAVAILABLE, "%s ended by itself; its log ends:\n%s", p->name,
                           text + (len > TAIL ? len - TAIL : 0));
    free(text);
    return err;
}

bus_err lane_world_check(lane_world *world)
{
    for (int i = 0; i < world->count; i++)
        if (has_ended(&world->programs[i]))
            return ended_by_itself(&world->programs[i]);
    return BUS_OK;
}

// Waits for a line with `mark`; *port (may be NULL) is the number behind the mark's last ':'.
static bus_err wait_line(program *p, const char *mark, int *port)
{
    for (int tries = 0; tries < START_S * 100; tries++) {
        char *text = read_log(p), *at = strstr(text, mark);
        if (at && strchr(at, '\n')) {
            if (port)
                *port = atoi(at + strlen(mark));
            free(text);
            return BUS_OK;
        }
        free(text);
        if (has_ended(p))
            return ended_by_itself(p);
        if (lane_interrupted())
            return bus_fail(BUS_ECANCELLED, "interrupted");
        usleep(10000);
    }
    return bus_fail(BUS_ETIMEOUT, "%s did not write '%s' within %d s (its log: %s)", p->name, mark,
                    START_S, p->log);
}

static const char *nats_server_of(const lane_world *w, char *buf, size_t cap)
{
    const char *named = w->nats_server ? w->nats_server : getenv("TL_NATS_SERVER");
    if (named && named[0])
        return named;
    snprintf(buf, cap, "%s/../../nats-server", w->bin); // build/<preset>/bin: build
    return access(buf, X_OK) == 0 ? buf : "nats-server";
}

bus_err lane_world_broker(lane_world *world)
{
    char path[PATH_MAX];
    int port = 0;
    program *p;
    const char *args[] = {"-a", "127.0.0.1", "-p", "-1", "-js", "-sd", world->folder, NULL};
    bus_err err = start(world, "nats-server", nats_server_of(world, path, sizeof path), args, &p);
    if (!err)
        err = wait_line(p, "Listening for client connections on 127.0.0.1:", &port);
    if (!err)
        err = wait_line(p, "Server is ready", NULL);
    snprintf(world->nats_url, sizeof world->nats_url, "nats://127.0.0.1:%d", port);
    return err;
}

bus_err lane_world_stored(lane_world *world)
{
    program *p;
    const char *args[] = {"--nats-url", world->nats_url, "--http", "127.0.0.1:0", NULL};
    bus_err err = start_ours(world, "stored", args, &p);
    return err ? err : wait_line(p, "ready in", NULL);
}

bus_err lane_world_simexd(lane_world *world, const char *captures, const char *speed)
{
    program *p;
    char log[PATH_MAX];
    snprintf(log, sizeof log, "%s/send.log", world->folder);
    const char *args[] = {"--listen",        "127.0.0.1:0", "--http", "127.0.0.1:0", "--capture",
                          captures,          "--speed",     speed,    "--send-log",  log,
                          "--history-bytes", "1GiB",        NULL};
    bus_err err = start_ours(world, "simexd", args, &p);
    if (!err)
        err = wait_line(p, "listening venue=127.0.0.1:", &world->venue_port);
    return err;
}

bus_err lane_world_feedd(lane_world *world, const char *symbols, const char *channels)
{
    program *p;
    char ws[64], rest[64];
    snprintf(ws, sizeof ws, "ws://127.0.0.1:%d", world->venue_port);
    snprintf(rest, sizeof rest, "http://127.0.0.1:%d", world->venue_port);
    const char *args[] = {"--nats-url", world->nats_url, "--http", "127.0.0.1:0", "--ws-url",
                          ws,           "--rest-url",    rest,     "--symbols",   symbols,
                          "--channels", channels,        NULL};
    bus_err err = start_ours(world, "feedd", args, &p);
    return err ? err : wait_line(p, "listening http=", NULL);
}

// --- the end -----------------------------------------------------------------------------------------------

static void remove_folder(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        char name[PATH_MAX];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (entry->d_type == DT_DIR)
            remove_folder(name);
        else
            unlink(name);
    }
    if (dir)
        closedir(dir);
    rmdir(path);
}

// Last started first, so that nobody loses a peer it still writes to.
static void stop(program *p)
{
    if (has_ended(p))
        return;
    kill(p->pid, SIGTERM);
    for (int waited = 0; waited < STOP_MS && !has_ended(p); waited += 10)
        usleep(10000);
    if (!has_ended(p)) {
        kill(p->pid, SIGKILL);
        waitpid(p->pid, NULL, 0);
    }
}

void lane_world_close(lane_world *world)
{
    if (!world)
        return;
    for (int i = world->count - 1; i >= 0; i--)
        stop(&world->programs[i]);
    if (!world->keep)
        remove_folder(world->folder);
    free(world);
}
