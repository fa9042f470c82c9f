#include "bus/nats/api.h"

#include <stdlib.h>
#include <string.h>

bus_err bus_api_name_check(const char *name, const char *what)
{
    size_t len = name ? strlen(name) : 0;
    size_t ok =
        name ? strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") : 0;
    if (len == 0 || len > 64 || ok != len)
        return bus_fail(BUS_EINVAL, "%s '%s': 1 to 64 of A-Z a-z 0-9 _ - are expected", what,
                        name ? name : "");
    return BUS_OK;
}

static bus_err code_of(int code, int err_code)
{
    switch (err_code) {
    case 10065: // subjects overlap with an existing stream
    case 10071: // wrong last sequence
    case 10060: // expected stream does not match
    case 10164: // wrong last sequence (constant text)
        return BUS_ECONFLICT;
    case 10058: // stream name already in use with a different configuration
        return BUS_EEXISTS;
    default:
        break;
    }
    switch (code) {
    case 404:
        return BUS_ENOTFOUND;
    case 503:
    case 408:
        return BUS_EUNAVAILABLE;
    default:
        return BUS_ESTATE;
    }
}

bus_err bus_api_error(const json_t *answer, int *err_code)
{
    const json_t *error = json_object_get(answer, "error");
    if (!json_is_object(error))
        return BUS_OK;
    int code = (int)json_integer_value(json_object_get(error, "code"));
    int number = (int)json_integer_value(json_object_get(error, "err_code"));
    const char *words = json_string_value(json_object_get(error, "description"));
    if (err_code)
        *err_code = number;
    return bus_fail(code_of(code, number), "the broker says: %s (%d)", words ? words : "?", number);
}

bus_err bus_api_call(json_t **answer, bus_conn *conn, const char *subject, const json_t *body)
{
    char *text = NULL;
    bus_msg *reply = NULL;
    json_t *parsed = NULL;
    bus_err err = BUS_OK;
    if (body) {
        text = json_dumps(body, JSON_COMPACT);
        if (!text)
            return bus_fail(BUS_ENOMEM, "request on '%s'", subject);
    }
    err = bus_request(conn, subject, NULL, 0, bus_view_of(text), BUS_SPAN_MS(BUS_API_TIMEOUT_MS),
                      &reply);
    if (err)
        goto done;
    bus_view payload = bus_msg_payload(reply);
    json_error_t bad;
    parsed = json_loadb(payload.ptr, payload.len, 0, &bad);
    if (!parsed) {
        err = bus_fail(BUS_EINTERNAL, "answer on '%s' is no JSON: %s", subject, bad.text);
        goto done;
    }
    err = bus_api_error(parsed, NULL);
    if (err)
        goto done;
    *answer = parsed;
    parsed = NULL;
done:
    json_decref(parsed);
    bus_msg_release(reply);
    free(text);
    return err;
}
