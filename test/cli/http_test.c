#include "cli/http.h"

#include <stdlib.h>
#include <string.h>

#include "test/support/test.h"

static bus_err read_answer(const char *text, int *status, json_t **body)
{
    char *answer = strdup(text); // of just that size: reading beyond it is found
    *body = NULL;
    bus_err err = lane_http_answer_read(answer, strlen(answer), status, body);
    free(answer);
    return err;
}

Test(http, a_body_is_read_whole_or_in_chunks)
{
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
        "chunked\r\n\r\n3\r\n{\"a\r\n4;x\r\n\":1}\r\n0\r\n\r\n",
    };
    for (size_t i = 0; i < 2; i++) {
        int status;
        json_t *body;
        test_ok(read_answer(answers[i], &status, &body));
        cr_expect_eq(status, 200);
        cr_expect_eq(json_integer_value(json_object_get(body, "a")), 1);
        json_decref(body);
    }
}

// A length was believed before its bytes were there.
Test(http, a_chunk_that_is_cut_off_is_read_to_the_end_of_the_answer)
{
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{}",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n{}\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n5",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n",
    };
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        int status;
        json_t *body;
        test_ok(read_answer(answers[i], &status, &body));
        cr_expect_eq(json_is_object(body), i != 4, "%s", answers[i]);
        json_decref(body);
    }
}

Test(http, what_is_no_answer_is_refused)
{
    static const char *const answers[] = {"", "HTTP/1.1 200", "SSH-2.0-x\r\n\r\n{}"};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        int status;
        json_t *body;
        test_expect_err(read_answer(answers[i], &status, &body), BUS_EINVAL);
    }
}
