// session: what a verb that needs the bus has at hand: its command line, the connection, output in two
// forms (JSON lines, tables for people), an interrupt flag.
// Thread: main. Source: schemas/specs/cli.md, "Command line".
#ifndef CLI_SESSION_H
#define CLI_SESSION_H

#include <stdbool.h>

#include "bus/nats/conn.h"
#include "cli/args.h"
#include "cli/json.h"

struct lane_cli {
    lane_args args;
    bus_conn *conn; // opened by lane_connect
    bus_span timeout;
    bool json;
};

int lane_session_run(const lane_verb *verb, int argc, char **argv); // exit code

// --- command line -----------------------------------------------------------------------------------
const char *lane_arg(const lane_cli *cli, int i); // NULL when not given
const char *lane_opt(const lane_cli *cli, const char *name, const char *otherwise);
bool lane_has(const lane_cli *cli, const char *name);
bus_err lane_opt_u64(const lane_cli *cli, const char *name, uint64_t otherwise, uint64_t *out);
bus_err lane_opt_span(const lane_cli *cli, const char *name, const char *otherwise, bus_span *out);

// --- connection ---------------------------------------------------------------------------------------
typedef struct {
    char *url, *creds, *user, *password, *token, *ca; // malloc'ed or NULL
    char *file; // the context file that some of it comes from, or NULL
} lane_connection;
// lane_connection_find: the settings, from options, the nats CLI's context, or the environment.
bus_err lane_connection_find(lane_connection *out, const lane_args *args);
void lane_connection_release(lane_connection *connection);
bus_conn_opts lane_connection_opts(const lane_connection *connection);
// lane_connect opens cli->conn once and waits for it.
bus_err lane_connect(lane_cli *cli);
// lane_flush: what was printed has left this process; BUS_EIO: some of it never will (disk full, pipe closed).
bus_err lane_flush(void);
bool lane_interrupted(void); // Ctrl-C or SIGTERM came

// --- output --------------------------------------------------------------------------------------------
// lane_say prints for people: of what comes from outside nothing is left that a terminal would take for more than text
// ('?' stands for a control character), and no line but the one that ends the format.
void lane_say(FILE *to, const char *format, ...) __attribute__((format(printf, 2, 3)));
// lane_fail prints "lane <verb>: <text of the last error>"; returns the exit code that belongs to err.
int lane_fail(const lane_cli *cli, bus_err err);
typedef struct {
    const char *title; // NULL ends a list
    const char *field; // path in the object: "market.lane"
} lane_column;
// lane_rows prints an array of objects: a table, or with --json each as a line. Takes over `rows`.
void lane_rows(const lane_cli *cli, const lane_column *columns, json_t *rows);
// lane_object prints one object: "field: value" lines, those of nested ones as "market.lane: hyp", or with
// --json one line. Takes over `object`.
void lane_object(const lane_cli *cli, json_t *object);
void lane_json_line(json_t *value); // takes over
// lane_event_line prints {"seq","subject","event"}, or "error" and "payload_base64" for what is no event; the
// event's text is the codec's own, not parsed and written again. seq 0: left out. msg may be NULL.
void lane_event_line(uint64_t seq, bus_view subject, const bus_msg *msg, bus_view payload,
                     bus_scratch *scratch);
// lane_event_people: the same on a line for people: time, subject, id, data.
void lane_event_people(uint64_t seq, bus_view subject, const bus_msg *msg, bus_view payload,
                       bus_scratch *scratch);

#endif
