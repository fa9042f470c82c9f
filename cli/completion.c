#include "cli/completion.h"

#include <string.h>

#include "cli/cat.h"

static void print_options(const lane_option *table)
{
    for (; table && table->name; table++)
        printf(" --%s", table->name);
}

static void print_case(const lane_verb *verb)
{
    printf("    '%s') words='", verb->name);
    print_options(verb->options);
    print_options(lane_verb_bus_options(verb));
    print_options(lane_common_options);
    puts("' ;;");
}

// The words that may stand first, and behind a group's name its verbs.
static void print_first_words(const lane_verb *const *groups)
{
    char last[32] = "";
    printf("cat completion");
    for (int g = 0; groups[g]; g++)
        for (const lane_verb *verb = groups[g]; verb->name; verb++) {
            size_t len = strcspn(verb->name, " ");
            if (strncmp(last, verb->name, len) != 0 || last[len]) {
                snprintf(last, sizeof last, "%.*s", (int)len, verb->name);
                printf(" %s", last);
            }
        }
}

static void print_second_words(const lane_verb *const *groups)
{
    for (int g = 0; groups[g]; g++) {
        if (!strchr(groups[g]->name, ' '))
            continue;
        printf("    %.*s) words='", (int)strcspn(groups[g]->name, " "), groups[g]->name);
        for (const lane_verb *verb = groups[g]; verb->name; verb++)
            printf(" %s", strchr(verb->name, ' ') + 1);
        puts("' ;;");
    }
}

int lane_completion(const lane_verb *const *groups, int argc, char **argv)
{
    if (argc != 1 || strcmp(argv[0], "bash") != 0) {
        fputs(
            "lane completion: bash is the one shell there is a script for: lane completion bash\n",
            stderr);
        return argc == 1 && strcmp(argv[0], "--help") == 0 ? 0 : 2;
    }
    puts("_lane() {\n"
         "  local words= cur=${COMP_WORDS[COMP_CWORD]} one=${COMP_WORDS[1]} two=${COMP_WORDS[2]}");
    printf("  if ((COMP_CWORD == 1)); then words='");
    print_first_words(groups);
    puts("'\n  elif ((COMP_CWORD == 2)) && [[ $cur != -* ]]; then\n    case $one in");
    print_second_words(groups);
    puts("    esac\n  else\n    case \"$one $two\" in");
    for (int g = 0; groups[g]; g++)
        for (const lane_verb *verb = groups[g]; verb->name; verb++)
            if (strchr(verb->name, ' '))
                print_case(verb);
    puts("    *) case $one in");
    print_case(&lane_cat_verb);
    for (int g = 0; groups[g]; g++)
        for (const lane_verb *verb = groups[g]; verb->name; verb++)
            if (!strchr(verb->name, ' '))
                print_case(verb);
    puts("    esac ;;\n    esac\n  fi\n"
         "  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
         "  [[ $COMPREPLY ]] || COMPREPLY=($(compgen -f -- \"$cur\"))\n}\n"
         "complete -F _lane lane");
    return 0;
}
