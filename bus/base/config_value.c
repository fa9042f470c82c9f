#include "bus/base/config_value.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "bus/base/view.h"

static bool take_int(const char *text, int64_t *out)
{
    bool negative = *text == '-';
    uint64_t n;
    if (!bus_view_u64(bus_view_of(text + (negative || *text == '+')), &n))
        return false;
    if (n > (uint64_t)INT64_MAX + negative)
        return false;
    *out = negative ? (int64_t)-n : (int64_t)n;
    return true;
}

static bool take_bool(const char *text, bool *out)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(text, words[i]) == 0) {
            *out = i % 2;
            return true;
        }
    }
    return false;
}

static bool take_size(const char *text, int64_t *out)
{
    static const struct {
        const char *name;
        int64_t bytes;
    } units[] = {
        {"", 1},
        {"B", 1},
        {"KiB", 1LL << 10},
        {"MiB", 1LL << 20},
        {"GiB", 1LL << 30},
        {"TiB", 1LL << 40},
        {"KB", 1000},
        {"MB", 1000000},
        {"GB", 1000000000},
        {"TB", 1000000000000},
    };
    size_t digits = strspn(text, "0123456789");
    uint64_t n;
    if (!bus_view_u64((bus_view){text, digits}, &n) || n > INT64_MAX)
        return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(text + digits, units[i].name) == 0)
            return !__builtin_mul_overflow((int64_t)n, units[i].bytes, out);
    }
    return false;
}

static void put_size(int64_t bytes, char *buf, size_t cap)
{
    static const char *const names[] = {"", "KiB", "MiB", "GiB", "TiB"};
    int i = 0;
    for (; i < 4 && bytes && bytes % 1024 == 0; i++)
        bytes /= 1024;
    snprintf(buf, cap, "%lld%s", (long long)bytes, names[i]);
}

static void put_ms(int64_t ms, char *buf, size_t cap)
{
    if (ms % 3600000 == 0 && ms)
        snprintf(buf, cap, "%lldh", (long long)(ms / 3600000));
    else if (ms % 60000 == 0 && ms)
        snprintf(buf, cap, "%lldm", (long long)(ms / 60000));
    else if (ms % 1000 == 0 && ms)
        snprintf(buf, cap, "%llds", (long long)(ms / 1000));
    else
        snprintf(buf, cap, "%lldms", (long long)ms);
}

static void put_bound(const bus_config_row *row, int64_t bound, char *buf, size_t cap)
{
    if (row->kind == BUS_CONFIG_SPAN)
        put_ms(bound, buf, cap);
    else if (row->kind == BUS_CONFIG_SIZE)
        put_size(bound, buf, cap);
    else
        snprintf(buf, cap, "%lld", (long long)bound);
}

void bus_config_value_range(const bus_config_row *row, char *buf, size_t cap)
{
    char low[32], high[32];
    buf[0] = '\0';
    if (row->choices) {
        snprintf(buf, cap, "%s", row->choices);
        return;
    }
    bool ranged =
        row->kind == BUS_CONFIG_INT || row->kind == BUS_CONFIG_SPAN || row->kind == BUS_CONFIG_SIZE;
    if (!ranged || (row->min == 0 && row->max == 0))
        return;
    put_bound(row, row->min, low, sizeof low);
    put_bound(row, row->max, high, sizeof high);
    snprintf(buf, cap, "%s..%s", low, high);
}

const char *bus_config_value_sign(const bus_config_row *row)
{
    static const char *const signs[] = {"TEXT", "N", "", "TIME", "SIZE", "A,B,…"};
    return signs[row->kind];
}

static bool is_choice(const char *choices, const char *text)
{
    size_t len = strlen(text);
    for (const char *at = choices; *at; at += *at == '|') {
        size_t n = strcspn(at, "|");
        if (n == len && memcmp(at, text, n) == 0)
            return true;
        at += n;
    }
    return false;
}

static bus_err wrong(const bus_config_row *row, const char *text)
{
    static const char *const rules[] = {
        [BUS_CONFIG_INT] = "a whole number is wanted",
        [BUS_CONFIG_BOOL] = "true or false is wanted",
        [BUS_CONFIG_SPAN] = "a time with its unit is wanted, such as 250us, 1.5s or 24h",
        [BUS_CONFIG_SIZE] = "a size is wanted, such as 4096, 64KiB or 1GiB",
    };
    return bus_fail(BUS_EINVAL, "'%s' is '%.80s'; %s", row->name, row->secret ? "***" : text,
                    rules[row->kind]);
}

// span_ns may be finer than the bounds, which are in milliseconds, so it is compared in nanoseconds.
static bus_err check_range(const bus_config_row *row, const char *text, int64_t value)
{
    char range[80];
    __int128 unit = row->kind == BUS_CONFIG_SPAN ? 1000000 : 1;
    if (row->min == 0 && row->max == 0)
        return BUS_OK;
    if (value >= row->min * unit && value <= row->max * unit)
        return BUS_OK;
    bus_config_value_range(row, range, sizeof range);
    return bus_fail(BUS_EINVAL, "'%s' is %.80s; the range is %s", row->name, text, range);
}

static bus_err check_text(const bus_config_row *row, const char *text)
{
    if (strstr(text, "://") && bus_secrets_in_url(text))
        return bus_fail(BUS_EINVAL,
                        "'%s' is a URL with a user or password in it, which command lines and "
                        "logs would show: use the settings for them",
                        row->name);
    if (row->choices && !is_choice(row->choices, text))
        return bus_fail(BUS_EINVAL, "'%s' is '%.80s'; it is one of %s", row->name, text,
                        row->choices);
    return BUS_OK;
}

bus_err bus_config_value_set(const bus_config_row *row, const char *text, void *settings)
{
    void *field = (char *)settings + row->offset;
    int64_t number = 0;
    bool truth;
    bus_span span;
    bus_err err;
    switch (row->kind) {
    case BUS_CONFIG_TEXT:
        err = check_text(row, text);
        if (!err)
            memcpy(field, &text, sizeof text);
        return err;
    case BUS_CONFIG_BOOL:
        if (!take_bool(text, &truth))
            return wrong(row, text);
        memcpy(field, &truth, sizeof truth);
        return BUS_OK;
    case BUS_CONFIG_INT:
        if (!take_int(text, &number))
            return wrong(row, text);
        break;
    case BUS_CONFIG_SIZE:
        if (!take_size(text, &number))
            return wrong(row, text);
        break;
    case BUS_CONFIG_SPAN:
        if (bus_span_parse(bus_view_of(text), &span))
            return wrong(row, text);
        number = span.ns;
        break;
    default:
        return bus_fail(BUS_EINTERNAL, "'%s' is of kind %d", row->name, (int)row->kind);
    }
    err = check_range(row, text, number);
    if (err)
        return err;
    memcpy(field, &number, sizeof number); // a bus_span is one int64
    return BUS_OK;
}

void bus_config_flag_name(const char *name, char *buf, size_t cap)
{
    snprintf(buf, cap, "%s", name);
    for (char *p = buf; *p; p++)
        *p = *p == '_' ? '-' : *p;
}

void bus_config_env_name(const char *program, const char *name, bool shared, char *buf, size_t cap)
{
    if (shared)
        snprintf(buf, cap, "TRADELANE_%s", name);
    else
        snprintf(buf, cap, "TRADELANE_%s_%s", program, name);
    for (char *p = buf; *p; p++)
        *p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
}
