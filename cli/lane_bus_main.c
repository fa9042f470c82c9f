// lane-bus: every verb of lane but `cat`. One table of verbs; a group's name alone asks for its help.
#include <stdio.h>
#include <string.h>

#include "bus/base/log.h"
#include "bus/base/memory.h"
#include "cli/cat.h"
#include "cli/completion.h"
#include "cli/session.h"
#include "cli/verbs.h"
#include "tradelane_version.h"

static const lane_verb *const groups[] = {
    lane_pub_verbs,         lane_sub_verbs,      lane_streams_verbs,
    lane_kv_verbs,          lane_services_verbs, lane_workers_verbs,
    lane_connections_verbs, lane_scenario_verbs, lane_replay_verbs,
    lane_diff_verbs,        lane_export_verbs,   lane_feed_verbs,
    lane_top_verbs,         lane_doctor_verbs,   NULL,
};

static int words_of(const char *name)
{
    return strchr(name, ' ') ? 2 : 1;
}

static bool names(const lane_verb *verb, int argc, char **argv)
{
    char typed[64];
    if (words_of(verb->name) > argc)
        return false;
    if (words_of(verb->name) == 1)
        return strcmp(verb->name, argv[0]) == 0;
    snprintf(typed, sizeof typed, "%s %s", argv[0], argv[1]);
    return strcmp(verb->name, typed) == 0;
}

static void print_verb(const lane_verb *verb)
{
    char line[96];
    snprintf(line, sizeof line, "%s%s%s", verb->name, verb->args[0] ? " " : "", verb->args);
    int gap = 42 - (int)lane_args_width(line);
    printf("  lane %s%*s %s\n", line, gap > 0 ? gap : 0, "", verb->help);
}

// All verbs, or those of one group; false when there is no such group.
static bool print_verbs(const char *group)
{
    bool any = false;
    size_t len = group ? strlen(group) : 0;
    if (!group)
        print_verb(&lane_cat_verb);
    for (int g = 0; groups[g]; g++)
        for (const lane_verb *verb = groups[g]; verb->name; verb++)
            if (!group || (strncmp(verb->name, group, len) == 0 && verb->name[len] == ' ')) {
                print_verb(verb);
                any = true;
            }
    return any;
}

static int print_all(void)
{
    puts("lane: the command line of Tradelane.\n\nusage: lane VERB [arguments] [options]\n");
    print_verbs(NULL);
    printf("  lane %-42s %s\n", "completion bash",
           "what bash needs: eval \"$(lane completion bash)\"");
    puts("\nEvery verb: --json, --nats-url/-s URL, --context NAME, --creds FILE,\n"
         "            --timeout SPAN, --help; in front of the verb or behind it.\n"
         "lane VERB --help says more.");
    return 0;
}

static int run_group(int argc, char **argv)
{
    bool help = argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
    if ((argc == 1 || help) && print_verbs(argv[0]))
        return help ? 0 : 2;
    fprintf(stderr, "lane: no verb '%s%s%s' (lane --help)\n", argv[0],
            argc > 1 && argv[1][0] != '-' ? " " : "", argc > 1 && argv[1][0] != '-' ? argv[1] : "");
    return 2;
}

// The verb's words change places with the options in front of them, which then are options behind it.
static int run_verb(const lane_verb *verb, int leading, int argc, char **argv)
{
    int used = words_of(verb->name);
    memmove(argv + used, argv, (size_t)leading * sizeof *argv);
    return lane_session_run(verb, argc - used, argv + used);
}

int main(int argc, char **argv)
{
    int leading = 0;
    bus_log_init("lane", BUS_LOG_INFO, BUS_LOG_TEXT);
    bus_memory_json();
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0)
        return print_all();
    if (strcmp(argv[1], "--version") == 0) {
        printf("lane %s\n", TRADELANE_VERSION);
        return 0;
    }
    argc--;
    argv++;
    if (lane_args_leading(argc, argv, &leading)) {
        fprintf(stderr, "lane: %s (lane --help)\n", bus_err_text());
        return 2;
    }
    if (leading == argc) {
        bool help = strcmp(argv[argc - 1], "--help") == 0 || strcmp(argv[argc - 1], "-h") == 0;
        print_all();
        return help ? 0 : 2;
    }
    if (strcmp(argv[0], "completion") == 0)
        return lane_completion(groups, argc - 1, argv + 1);
    for (int g = 0; groups[g]; g++)
        for (const lane_verb *verb = groups[g]; verb->name; verb++)
            if (names(verb, argc - leading, argv + leading))
                return run_verb(verb, leading, argc, argv);
    if (leading && strcmp(argv[leading], "cat") == 0) {
        fputs("lane: the options of cat stand behind it: lane cat [options]\n", stderr);
        return 2;
    }
    return run_group(argc - leading, argv + leading);
}
