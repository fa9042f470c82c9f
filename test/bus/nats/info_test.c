// Source: schemas/specs/recording.md, "Connections"; schemas/specs/access.md, "Limits".
#include "bus/nats/info.h"

#include <arpa/inet.h>

#include "bus/nats/link.h"
#include "test/support/test.h"

static bool stays_here(const char *text)
{
    struct sockaddr_storage address = {.ss_family = strchr(text, ':') ? AF_INET6 : AF_INET};
    void *at = address.ss_family == AF_INET ? (void *)&((struct sockaddr_in *)&address)->sin_addr
                                            : &((struct sockaddr_in6 *)&address)->sin6_addr;
    cr_assert_eq(inet_pton(address.ss_family, text, at), 1, "%s", text);
    return bus_broker_loopback(&address);
}

Test(info, knows_the_addresses_that_do_not_leave_the_machine)
{
    static const char *const here[] = {"127.0.0.1", "127.200.3.4", "::1", "::ffff:127.0.0.1"};
    static const char *const away[] = {
        "10.0.0.5", "0.0.0.0", "128.0.0.1", "::", "fe80::1", "::ffff:10.0.0.5", "7f00::ffff:7f00"};
    for (size_t i = 0; i < sizeof here / sizeof *here; i++)
        cr_expect(stays_here(here[i]), "%s", here[i]);
    for (size_t i = 0; i < sizeof away / sizeof *away; i++)
        cr_expect(!stays_here(away[i]), "%s", away[i]);
    cr_expect(!bus_broker_loopback(&(struct sockaddr_storage){.ss_family = AF_UNIX}));
}

static bool in_clear(const char *url, const char *password, const char *token, const char *ca,
                     bool tls, bool loopback)
{
    bus_conn_opts opts = {
        .url = url, .user = "u", .creds = "", .password = password, .token = token, .ca = ca};
    bus_broker_info broker = {.tls = tls, .loopback = loopback};
    return bus_link_in_clear(&opts, &broker);
}

Test(info, a_secret_is_in_clear_where_it_leaves_the_machine_without_tls)
{
    static const char far[] = "nats://10.0.0.5:4222";
    cr_expect(in_clear(far, "p", "", "", false, false));
    cr_expect(in_clear(far, "", "t", "", false, false));
    cr_expect(!in_clear(far, "", "", "", false, false), "nothing secret is sent");
    cr_expect(!in_clear(far, "p", "", "", false, true), "it stays on the machine");
    cr_expect(!in_clear(far, "p", "", "ca.pem", false, false), "TLS by our setting");
    cr_expect(!in_clear("tls://10.0.0.5:4222", "p", "", "", false, false), "TLS by the URL");
    cr_expect(!in_clear(far, "p", "", "", true, false), "TLS by the broker's wish");
}

static bool has_fault(const char *version, const char *words)
{
    const char *fault = bus_broker_fault(bus_broker_version(version));
    return words ? fault && strstr(fault, words) : !fault;
}

Test(info, knows_the_faults_of_brokers_that_are_taken)
{
    static const char any_subject[] = "CVE-2026-33249", panic[] = "Nats-Trace-Dest";
    cr_expect(has_fault("2.11.1", any_subject) && has_fault("2.11.14", any_subject));
    cr_expect(has_fault("2.12.0", any_subject) && has_fault("2.12.5", any_subject));
    cr_expect(has_fault("2.11.15", panic) && has_fault("2.11.17", panic));
    cr_expect(has_fault("2.12.6", panic) && has_fault("2.12.11", panic));
    cr_expect(has_fault("2.14.0", panic) && has_fault("2.14.2", panic));
    cr_expect(has_fault("2.12.12", NULL) && has_fault("2.14.3", NULL));
    cr_expect(has_fault("2.15.1", NULL) && has_fault("3.0.0", NULL));
}
