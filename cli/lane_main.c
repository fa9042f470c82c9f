// lane: the front door. `lane cat` is done here, in a program that needs no broker library and so starts
// in well under a millisecond; every other verb is lane-bus, in libexec beside the folder of lane.
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cat.h"

static int run_cat(int argc, char **argv)
{
    lane_args args;
    if (lane_args_read(&args, &lane_cat_verb, argc, argv)) {
        fprintf(stderr, "lane cat: %s\n", bus_err_text());
        return 2;
    }
    if (args.help) {
        lane_args_help(stdout, &lane_cat_verb);
        return 0;
    }
    return lane_cat(&args);
}

static int run_elsewhere(char **argv)
{
    char path[PATH_MAX];
    static const char helper[] = "/../libexec/lane-bus";
    ssize_t len = readlink("/proc/self/exe", path, sizeof path - sizeof helper); // links resolved
    char *slash = len > 0 ? memrchr(path, '/', (size_t)len) : NULL;
    if (!slash) {
        fprintf(stderr, "lane: /proc/self/exe: %s\n", strerror(errno));
        return 1;
    }
    memcpy(slash, helper, sizeof helper);
    execv(path, argv);
    fprintf(stderr, "lane: %s: %s\n", path, strerror(errno));
    return 1;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "cat") == 0)
        return run_cat(argc - 2, argv + 2);
    return run_elsewhere(argv);
}
