#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "test/support/broker.h"
#include "test/support/data.h"
#include "test/support/test.h"

TestSuite(support, .timeout = 30);

Test(support, keeps_a_brokers_port_and_store_over_a_kill)
{
    test_broker broker;
    test_broker_start(&broker, NULL);
    int port = broker.port;
    test_broker_kill(&broker);
    cr_assert_not(test_proc_running(&broker.proc));
    test_broker_restart(&broker);
    cr_assert_eq(broker.port, port);
    test_broker_stop(&broker);
}

Test(support, freezes_and_thaws_a_broker)
{
    test_broker broker;
    test_broker_start(&broker, &(test_broker_opts){.config = "max_payload: 2MB"});
    test_broker_freeze(&broker);
    test_broker_thaw(&broker);
    cr_assert(test_proc_running(&broker.proc));
    test_broker_stop(&broker);
}

Test(support, tells_how_a_process_ended)
{
    test_proc proc = {0};
    const char *argv[] = {"sh", "-c", "echo one; echo \"two $NAME\"; exit 3", NULL};
    const char *env[] = {"NAME=b", NULL};
    char log[300], line[64];
    snprintf(log, sizeof log, "%s/log", test_tmp());
    test_proc_start(&proc, argv, env, log);
    test_proc_wait_line(&proc, "two", 5000, line, sizeof line);
    cr_assert_str_eq(line, "two b");
    cr_assert_eq(test_proc_wait(&proc, 5000), 3);
}

Test(support, gives_folders_that_differ)
{
    cr_assert_str_neq(test_tmp(), test_tmp());
    cr_expect_float_eq(1.0, 1.0 + 1e-12, 1e-9);
    cr_expect_arr_eq("ab", "ab", 2);
}

Test(support, finds_the_tree)
{
    cr_assert_eq(access(test_tree("CMakeLists.txt"), R_OK), 0);
}

Test(support, sees_a_signal_as_expected, .signal = SIGABRT)
{
    abort();
}
