#include "bus/base/secrets.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "test/support/test.h"

// Source: schemas/specs/access.md, "Credentials".
Test(secrets, finds_a_login_in_any_of_several_urls)
{
    static const struct {
        const char *urls;
        bool login;
    } cases[] = {
        {"", false},
        {"nats://127.0.0.1:4222", false},
        {"127.0.0.1:4222", false},
        {"nats://user:pw@127.0.0.1:4222", true},
        {"user@127.0.0.1:4222", true},
        {"nats://token@h", true},
        {"wss://stream.example/ws/btc@trade", false}, // behind the host it is no login
        {"https://h/path?who=me@home", false},
        {"nats://a:4222,nats://b:4222", false},
        {"nats://a:4222,tls://u:p@b:4222", true},
        {"nats://a:4222, u@b", true},
        {",", false},
        {"nats://@", true},
        {"://@/", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect(bus_secrets_in_url(cases[i].urls) == cases[i].login, "'%s'", cases[i].urls);
}

Test(secrets, names_a_loose_file_its_mode_and_the_remedy)
{
    static const struct {
        unsigned mode;
        bus_file_use use;
        const char *says; // NULL: it is not loose
    } cases[] = {
        {0600, BUS_FILE_SECRET, NULL},
        {0400, BUS_FILE_SECRET, NULL},
        {0640, BUS_FILE_SECRET, "holds a secret and others may read or write it (mode 640)"},
        {0604, BUS_FILE_SECRET, "(mode 604): chmod 600 it"},
        {0620, BUS_FILE_SECRET, "(mode 620)"},
        {0644, BUS_FILE_TRUSTED, NULL},
        {0664, BUS_FILE_TRUSTED, "may be written by others (mode 664): chmod go-w it"},
        {0646, BUS_FILE_TRUSTED, "(mode 646)"},
        {0666, BUS_FILE_ANY, NULL},
    };
    char path[300], why[600];
    snprintf(path, sizeof path, "%s/file", test_tmp());
    fclose(fopen(path, "w"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        chmod(path, cases[i].mode);
        why[0] = '\0';
        bool loose = bus_secrets_loose(path, cases[i].use, why, sizeof why);
        cr_expect(loose == (cases[i].says != NULL), "mode %03o", cases[i].mode);
        cr_expect(!cases[i].says || strstr(why, cases[i].says), "%s", why);
        cr_expect(!loose || strstr(why, path), "%s", why);
    }
}

Test(secrets, what_is_no_file_is_not_loose)
{
    char why[300];
    cr_expect(!bus_secrets_loose("/nowhere/at/all", BUS_FILE_SECRET, why, sizeof why));
    cr_expect(!bus_secrets_loose(test_tmp(), BUS_FILE_SECRET, why, sizeof why));
    cr_expect(!bus_secrets_loose("", BUS_FILE_SECRET, why, sizeof why));
    cr_expect(!bus_secrets_loose(NULL, BUS_FILE_SECRET, why, sizeof why));
}

Test(secrets, a_wiped_variable_is_gone_and_so_is_its_text)
{
    static char text[] = "TRADELANE_TEST_SECRET=hunter2";
    putenv(text); // the environment holds this very text
    bus_secrets_wipe("TRADELANE_TEST_SECRET");
    cr_expect_null(getenv("TRADELANE_TEST_SECRET"));
    cr_expect_str_eq(text, "TRADELANE_TEST_SECRET=");
    bus_secrets_wipe("TRADELANE_TEST_SECRET");
}
