#include "test/support/broker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/support/test.h"

enum { START_MS = 20000, STOP_MS = 10000 };

static const char *program(void)
{
    static const char tree[] = TL_SOURCE_DIR "/build/nats-server";
    const char *given = getenv("TL_NATS_SERVER");
    if (given && *given)
        return given;
    return access(tree, X_OK) == 0 ? tree : "nats-server";
}

static void write_config(const test_broker *broker, const char *path)
{
    FILE *f = fopen(path, "w");
    cr_assert(f, "cannot write '%s': %s", path, strerror(errno));
    fprintf(f, "listen: \"127.0.0.1:%d\"\n", broker->port ? broker->port : -1);
    if (!broker->opts.no_jetstream)
        fprintf(f, "jetstream { store_dir: \"%s\", max_mem: 256MB, max_file: 16GB\n%s }\n",
                broker->dir, broker->opts.jetstream ? broker->opts.jetstream : "");
    if (broker->opts.config)
        fprintf(f, "%s\n", broker->opts.config);
    fclose(f);
}

static void start(test_broker *broker)
{
    char config[600], log[600], line[512];
    snprintf(config, sizeof config, "%s/nats.conf", broker->dir);
    snprintf(log, sizeof log, "%s/nats.log", broker->dir);
    write_config(broker, config);
    const char *argv[] = {program(), "-c", config, NULL};
    test_proc_start(&broker->proc, argv, NULL, log);
    test_proc_wait_line(&broker->proc, "Listening for client connections on", START_MS, line,
                        sizeof line);
    broker->port = test_port_of(line, "connections on");
    test_proc_wait_line(&broker->proc, "Server is ready", START_MS, NULL, 0);
    snprintf(broker->url, sizeof broker->url, "nats://127.0.0.1:%d", broker->port);
}

void test_broker_start(test_broker *broker, const test_broker_opts *opts)
{
    memset(broker, 0, sizeof *broker);
    if (opts)
        broker->opts = *opts;
    broker->port = broker->opts.port;
    broker->dir = test_tmp();
    start(broker);
}

void test_broker_kill(test_broker *broker)
{
    test_proc_kill(&broker->proc);
}

void test_broker_restart(test_broker *broker)
{
    test_proc_kill(&broker->proc);
    start(broker);
}

void test_broker_freeze(test_broker *broker)
{
    int status;
    test_proc_signal(&broker->proc, SIGSTOP);
    waitpid(broker->proc.pid, &status, WUNTRACED); // it may answer until it has stopped
}

void test_broker_thaw(test_broker *broker)
{
    test_proc_signal(&broker->proc, SIGCONT);
}

void test_broker_stop(test_broker *broker)
{
    test_proc_stop(&broker->proc, STOP_MS);
}
