// cat: one event from stdin, in whichever form, as one line of JSON on stdout. Other programs run it once
// a message, so it needs neither broker nor settings.
// Thread: main. Source: schemas/specs/cli.md, "lane cat".
#ifndef CLI_CAT_H
#define CLI_CAT_H

#include "cli/args.h"

extern const lane_verb lane_cat_verb;
int lane_cat(const lane_args *args); // exit code

#endif
