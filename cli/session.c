#include "cli/session.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/base/log.h"
#include "bus/base/secrets.h"

static volatile sig_atomic_t interrupted;

static void on_signal(int signal_number)
{
    (void)signal_number;
    if (interrupted) // asked twice: no more waiting
        _exit(1);
    interrupted = 1;
}

bool lane_interrupted(void)
{
    return interrupted != 0;
}

static int exit_code(bus_err err)
{
    return err == BUS_OK ? 0 : err == BUS_EUSAGE ? 2 : 1;
}

// Whoever read our output has seen enough (`| head`): that is told by the exit code, as programs do that end of it.
static bool reader_gone(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO};
    return poll(&out, 1, 0) > 0 && (out.revents & POLLERR);
}

int lane_fail(const lane_cli *cli, bus_err err)
{
    if (err == BUS_EIO && reader_gone())
        return exit_code(err);
    lane_say(stderr, "lane %s: %s\n", cli->args.verb->name, bus_err_text());
    return exit_code(err);
}

int lane_session_run(const lane_verb *verb, int argc, char **argv)
{
    lane_cli cli = {0};
    bus_err err = lane_args_read(&cli.args, verb, argc, argv);
    cli.args.verb = verb;
    if (err) {
        fprintf(stderr, "lane %s: %s\n(lane %s --help)\n", verb->name, bus_err_text(), verb->name);
        return 2;
    }
    if (cli.args.help) {
        lane_args_help(stdout, verb);
        return 0;
    }
    cli.json = lane_args_has(&cli.args, "json");
    bus_log_init("lane", BUS_LOG_ERROR, BUS_LOG_TEXT); // what went wrong is the verb's to say
    const char *timeout = getenv("TRADELANE_TIMEOUT");
    err = lane_opt_span(&cli, "timeout", timeout && *timeout ? timeout : "5s", &cli.timeout);
    if (err)
        return lane_fail(&cli, err);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    int code = verb->run(&cli);
    bus_conn_close(cli.conn);
    if (code == 0 && lane_flush())
        code = lane_fail(&cli, BUS_EIO);
    return code;
}

// --- command line -----------------------------------------------------------------------------------

const char *lane_arg(const lane_cli *cli, int i)
{
    return i < cli->args.args ? cli->args.arg[i] : NULL;
}

const char *lane_opt(const lane_cli *cli, const char *name, const char *otherwise)
{
    const char *value = lane_args_value(&cli->args, name);
    return value ? value : otherwise;
}

bool lane_has(const lane_cli *cli, const char *name)
{
    return lane_args_has(&cli->args, name);
}

bus_err lane_opt_u64(const lane_cli *cli, const char *name, uint64_t otherwise, uint64_t *out)
{
    const char *value = lane_args_value(&cli->args, name);
    *out = otherwise;
    if (value && !bus_view_u64(bus_view_of(value), out))
        return bus_fail(BUS_EUSAGE, "--%s '%s' is not a whole number", name, value);
    return BUS_OK;
}

bus_err lane_opt_span(const lane_cli *cli, const char *name, const char *otherwise, bus_span *out)
{
    bus_err err = bus_span_parse(bus_view_of(lane_opt(cli, name, otherwise)), out);
    return err ? bus_note(BUS_EUSAGE, "--%s", name) : BUS_OK;
}

bus_err lane_connect(lane_cli *cli)
{
    if (cli->conn)
        return BUS_OK;
    lane_connection found = {0};
    bus_err err = lane_connection_find(&found, &cli->args);
    if (!err) {
        bus_conn_opts opts = lane_connection_opts(&found);
        bus_secrets_protect(found.password || found.token || found.creds);
        err = bus_conn_open(&cli->conn, &opts);
    }
    if (!err)
        err = bus_conn_wait(cli->conn, cli->timeout);
    lane_connection_release(&found);
    return err;
}
