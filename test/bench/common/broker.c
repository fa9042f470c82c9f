#include "test/bench/common/broker.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pid_t server;
static char folder[64];

static void give_up(const char *what)
{
    perror(what);
    exit(1);
}

static void stop(void)
{
    char command[128];
    if (server <= 0)
        return;
    kill(server, SIGTERM);
    waitpid(server, NULL, 0);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command))
        fprintf(stderr, "%s stays\n", folder);
}

static const char *program(void)
{
    static const char tree[] = TL_SOURCE_DIR "/build/nats-server";
    const char *given = getenv("TL_NATS_SERVER");
    if (given && *given && access(given, X_OK) == 0)
        return given;
    return access(tree, X_OK) == 0 ? tree : "nats-server";
}

static int socket_on(struct sockaddr_in *at)
{
    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return socket(AF_INET, SOCK_STREAM, 0);
}

static int free_port(void)
{
    struct sockaddr_in at;
    socklen_t len = sizeof at;
    int fd = socket_on(&at);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) ||
        getsockname(fd, (struct sockaddr *)&at, &len))
        give_up("free port");
    close(fd);
    return ntohs(at.sin_port);
}

static void wait_port(int port)
{
    for (int tries = 0; tries < 1000; tries++) {
        struct sockaddr_in at;
        int fd = socket_on(&at);
        at.sin_port = htons((uint16_t)port);
        int failed = connect(fd, (struct sockaddr *)&at, sizeof at);
        close(fd);
        if (!failed)
            return;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    give_up("nats-server does not listen");
}

void bench_broker_start(char *url, size_t cap)
{
    char number[8];
    int port = free_port();
    snprintf(folder, sizeof folder, "/tmp/tradelane-bench-XXXXXX");
    if (!mkdtemp(folder))
        give_up(folder);
    snprintf(number, sizeof number, "%d", port);
    server = fork();
    if (server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execlp(program(), "nats-server", "-a", "127.0.0.1", "-p", number, "-js", "-sd", folder,
               "-l", "/dev/null", (char *)NULL);
        _exit(127);
    }
    atexit(stop);
    wait_port(port);
    snprintf(url, cap, "nats://127.0.0.1:%d", port);
}
