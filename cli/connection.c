// How lane finds the broker. Source: schemas/specs/cli.md, "Command line".
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base/memory.h"
#include "cli/session.h"

static const char *env(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] ? value : NULL;
}

// Never NULL for want of memory: a command must not go to another broker, or as another user, than it was told.
static char *copy(const char *text)
{
    return text && text[0] ? bus_memory_copy(text, "a connection's setting") : NULL;
}

static void take_field(char **out, const json_t *context, const char *name)
{
    const char *value = json_string_value(json_object_get(context, name));
    if (value && value[0]) {
        free(*out);
        *out = copy(value);
    }
}

// Ways to authenticate that only the nats CLI knows: better an error than a refusal nobody understands.
static bus_err refuse_unknown(const json_t *context, const char *path)
{
    static const char *const fields[] = {"nkey", "cert", "key", "nsc", "user_jwt", "socks_proxy"};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const char *value = json_string_value(json_object_get(context, fields[i]));
        if (value && value[0])
            return bus_fail(BUS_EUNSUPPORTED, "context file '%s': '%s' is not supported here", path,
                            fields[i]);
    }
    return BUS_OK;
}

static bus_err context_path(char *out, size_t cap, const char *name)
{
    const char *base = env("XDG_CONFIG_HOME"), *home = env("HOME");
    if (!name[0] || strchr(name, '/') || name[0] == '.')
        return bus_fail(BUS_EUSAGE, "context '%s' is not a name", name);
    if (!base && !home)
        return bus_fail(BUS_ENOTFOUND, "neither XDG_CONFIG_HOME nor HOME is set");
    int len = base ? snprintf(out, cap, "%s/nats/context/%s.json", base, name)
                   : snprintf(out, cap, "%s/.config/nats/context/%s.json", home, name);
    return len > 0 && (size_t)len < cap ? BUS_OK : bus_fail(BUS_EINVAL, "context path is too long");
}

static bus_err take_context(lane_connection *out, const char *name)
{
    char path[1024];
    json_error_t error;
    bus_err err = context_path(path, sizeof path, name);
    if (err)
        return err;
    FILE *file = fopen(path, "r");
    if (!file)
        return bus_fail(errno == ENOENT ? BUS_ENOTFOUND : BUS_EIO, "context file '%s': %s", path,
                        strerror(errno));
    json_t *context = json_loadf(file, 0, &error);
    fclose(file);
    if (!context)
        return bus_fail(BUS_EINVAL, "context file '%s' line %d: %s", path, error.line, error.text);
    err = refuse_unknown(context, path);
    if (!err) {
        take_field(&out->url, context, "url");
        take_field(&out->user, context, "user");
        take_field(&out->password, context, "password");
        take_field(&out->token, context, "token");
        take_field(&out->creds, context, "creds");
        take_field(&out->ca, context, "ca");
        out->file = copy(path);
    }
    json_decref(context);
    return err;
}

bus_err lane_connection_find(lane_connection *out, const lane_args *args)
{
    const char *url = lane_args_value(args, "nats-url"), *creds = lane_args_value(args, "creds");
    const char *context = lane_args_value(args, "context");
    if (!context && !url)
        context = env("NATS_CONTEXT");
    *out = (lane_connection){.creds = copy(env("TRADELANE_NATS_CREDS")),
                             .user = copy(env("TRADELANE_NATS_USER")),
                             .password = copy(env("TRADELANE_NATS_PASSWORD")),
                             .token = copy(env("TRADELANE_NATS_TOKEN")),
                             .ca = copy(env("TRADELANE_NATS_CA"))};
    bus_err err = context ? take_context(out, context) : BUS_OK;
    if (err)
        return err;
    if (creds) {
        free(out->creds);
        out->creds = copy(creds);
    }
    if (url || !out->url) {
        const char *found = url ? url : env("TRADELANE_NATS_URL");
        found = found ? found : env("NATS_URL");
        free(out->url);
        out->url = copy(found ? found : "nats://127.0.0.1:4222");
    }
    return BUS_OK;
}

void lane_connection_release(lane_connection *c)
{
    free(c->url);
    free(c->creds);
    free(c->user);
    free(c->password);
    free(c->token);
    free(c->ca);
    free(c->file);
}

bus_conn_opts lane_connection_opts(const lane_connection *c)
{
    return (bus_conn_opts){.url = c->url,
                           .creds = c->creds,
                           .user = c->user,
                           .password = c->password,
                           .token = c->token,
                           .ca = c->ca,
                           .name = "lane",
                           .side = BUS_SIDE_LIVE,
                           .profile = BUS_PROFILE_LATENCY};
}
