#include "bus/base/config_help.h"

#include <string.h>

#include "bus/base/config_value.h"
#include "tradelane_version.h"

enum { NAME_CAP = 80, COLUMN_MAX = 30 };

void bus_config_version(const bus_config_spec *spec, FILE *out)
{
    fprintf(out, "%s %s\n", spec->program, TRADELANE_VERSION);
}

// "-c, --config FILE", "    --ack-window N", or the key alone for what has no flag.
static void put_left(const bus_config_row *row, char *buf, size_t cap)
{
    char flag[NAME_CAP];
    bus_config_flag_name(row->name, flag, sizeof flag);
    const char *sign = bus_config_value_sign(row);
    const char *blank = *sign ? " " : "";
    if (row->secret)
        snprintf(buf, cap, "    (%s)", row->name);
    else if (row->letter)
        snprintf(buf, cap, "-%c, --%s%s%s", row->letter, flag, blank, sign);
    else
        snprintf(buf, cap, "    --%s%s%s", flag, blank, sign);
}

static void put_line(FILE *out, int column, const char *left, const char *right)
{
    // Bytes and columns differ for the one sign that is not ASCII.
    int extra = strstr(left, "…") ? 2 : 0;
    if ((int)strlen(left) - extra > column)
        fprintf(out, "  %s\n  %*s  %s\n", left, column, "", right);
    else
        fprintf(out, "  %-*s  %s\n", column + extra, left, right);
}

static void put_row(FILE *out, int column, const char *program, const bus_config_row *row)
{
    char left[NAME_CAP + 20], env[NAME_CAP], range[NAME_CAP], facts[3 * NAME_CAP];
    put_left(row, left, sizeof left);
    put_line(out, column, left, row->help ? row->help : "");
    bus_config_env_name(program, row->name, row->shared, env, sizeof env);
    bus_config_value_range(row, range, sizeof range);
    const char *preset = row->preset && *row->preset ? row->preset : "none";
    snprintf(facts, sizeof facts, "default %s%s%s; %s%s", preset, *range ? "; " : "", range, env,
             row->secret ? ", or the file; no flag, because command lines are public" : "");
    fprintf(out, "  %*s  [%s]\n", column, "", facts);
}

static int column_of(const bus_config_spec *spec)
{
    int column = 17; // "-c, --config FILE"
    char left[NAME_CAP + 20];
    for (const bus_config_row *row = spec->rows; row->name; row++) {
        put_left(row, left, sizeof left);
        int len = (int)strlen(left);
        if (len > column && len <= COLUMN_MAX)
            column = len;
    }
    return column;
}

void bus_config_help(const bus_config_spec *spec, FILE *out)
{
    int column = column_of(spec);
    fprintf(out, "%s: %s\n\n", spec->program, spec->purpose);
    fprintf(out, "Usage: %s [flags]%s%s\n\n", spec->program, spec->usage ? " " : "",
            spec->usage ? spec->usage : "");
    fprintf(out,
            "Flag, then environment, then file, then default. In the file the key is the flag's\n"
            "name with '_' for '-'.\n\n");
    for (const bus_config_row *row = spec->rows; row->name; row++)
        put_row(out, column, spec->program, row);
    char line[200];
    snprintf(line, sizeof line, "read settings from this YAML file%s%s%s",
             spec->file_preset ? " (default: " : "", spec->file_preset ? spec->file_preset : "",
             spec->file_preset ? ", if it exists)" : "");
    put_line(out, column, "-c, --config FILE", line);
    bus_config_env_name(spec->program, "config", false, line, sizeof line);
    fprintf(out, "  %*s  [%s]\n", column, "", line);
    put_line(out, column, "-h, --help", "print this page and exit");
    put_line(out, column, "    --version", "print the version and exit");
    if (spec->epilog)
        fprintf(out, "\n%s\n", spec->epilog);
}

// Edit distance of two short names, in one row of memory.
static int distance(const char *a, const char *b)
{
    int row[NAME_CAP];
    int b_len = (int)strlen(b);
    if (b_len >= NAME_CAP)
        return NAME_CAP;
    for (int j = 0; j <= b_len; j++)
        row[j] = j;
    for (int i = 1; *a; a++, i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= b_len; j++) {
            int best = diagonal + (*a != b[j - 1]);
            diagonal = row[j];
            best = row[j] + 1 < best ? row[j] + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
        }
    }
    return row[b_len];
}

const char *bus_config_nearest(const bus_config_spec *spec, const char *name, char *buf, size_t cap)
{
    int best = 3;
    for (const bus_config_row *row = spec->rows; row->name; row++) {
        char flag[NAME_CAP];
        bus_config_flag_name(row->name, flag, sizeof flag);
        int d = row->secret ? best : distance(name, flag);
        if (d < best) {
            best = d;
            snprintf(buf, cap, "%s", flag);
        }
    }
    return best < 3 ? buf : NULL;
}
