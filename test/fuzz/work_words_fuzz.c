// What a scenario's process says to workhostd, on its socket, on its page and by its end, cut anywhere: words of ours and
// any others. The process is played here; child and cell are the real ones. What comes of it are events that can be read,
// dead letters of the workers that there are, each after as many tries as it takes, and never two processes at once.
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "played_bus.h"
#include "workhost/cell.h"
#include "workhost/child.h"

enum { PID = 1 << 22, TRIES = 3, SEQS = 8, OPS_MAX = 200 };

static const char plan[] =
    "{\"scenario\":\"bt1\",\"workers\":[{\"name\":\"sma\",\"inputs\":[\"exchange.x.a.b\"]},"
    "{\"name\":\"ema\",\"inputs\":[\"exchange.x.a.b\"]}]}";

static struct {
    bus_loop *loop;
    work_cell *cell;
    int socket, page, bell; // of the process: its socket and its page; what its pidfd is
    bool lives;             // until it is reaped
    int status;             // as waitpid tells; 0x7f: it runs
    uint32_t starts;
    uint64_t tag; // of the dead letter that is on its way; 0: none
} the;

// --- the process ----------------------------------------------------------------------------------------------

pid_t __wrap_fork(void);
pid_t __wrap_fork(void)
{
    demand(!the.lives);
    the.lives = true;
    the.status = 0x7f;
    the.starts++;
    return PID;
}

int __real_socketpair(int domain, int type, int protocol, int ends[2]);
int __wrap_socketpair(int domain, int type, int protocol, int ends[2]);
int __wrap_socketpair(int domain, int type, int protocol, int ends[2])
{
    int result = __real_socketpair(domain, type, protocol, ends);
    if (domain == AF_UNIX && played.pipe && result == 0) // not the played bus's own
        the.socket = dup(ends[1]);
    return result;
}

int __real_memfd_create(const char *name, unsigned flags);
int __wrap_memfd_create(const char *name, unsigned flags);
int __wrap_memfd_create(const char *name, unsigned flags)
{
    int fd = __real_memfd_create(name, flags);
    the.page = dup(fd);
    return fd;
}

long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
    demand(number == SYS_pidfd_open);
    the.bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return the.bell;
}

pid_t __wrap_waitpid(pid_t pid, int *status, int options);
pid_t __wrap_waitpid(pid_t pid, int *status, int options)
{
    demand(pid == PID && the.lives);
    if (the.status == 0x7f && options)
        return 0;
    if (status)
        *status = the.status;
    the.lives = false;
    close(the.socket);
    close(the.page);
    return PID;
}

static void end_process(int status)
{
    uint64_t one = 1;
    if (!the.lives || the.status != 0x7f)
        return;
    the.status = status;
    shutdown(the.socket, SHUT_WR);
    demand(write(the.bell, &one, sizeof one) == sizeof one);
}

int __wrap_kill(pid_t pid, int signal_number);
int __wrap_kill(pid_t pid, int signal_number)
{
    demand(pid == PID);
    if (signal_number == SIGKILL)
        end_process(SIGKILL);
    return 0;
}

static void say(bus_view words)
{
    if (the.lives && the.status == 0x7f)
        (void)!send(the.socket, words.ptr, words.len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

// --- the rest of workhostd --------------------------------------------------------------------------------------

bus_loop *__wrap_bus_daemon_loop(bus_daemon *daemon);
bus_loop *__wrap_bus_daemon_loop(bus_daemon *daemon)
{
    (void)daemon;
    return the.loop;
}

bool __wrap_work_host_may_act(const work_host_daemon *host);
bool __wrap_work_host_may_act(const work_host_daemon *host)
{
    (void)host;
    return true;
}

void __wrap_bus_log(bus_log_level level, const char *fmt, ...);
void __wrap_bus_log(bus_log_level level, const char *fmt, ...)
{
    char line[1024];
    va_list args;
    (void)level;
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
}

bus_mono __wrap_bus_now_mono(void);
bus_mono __wrap_bus_now_mono(void)
{
    return bus_machine_mono();
}

bus_publish_result __wrap_bus_publisher_event(bus_publisher *pub, const char *subject,
                                              const bus_event *event, uint64_t tag);
bus_publish_result __wrap_bus_publisher_event(bus_publisher *pub, const char *subject,
                                              const bus_event *event, uint64_t tag)
{
    uint8_t buf[8192];
    bus_event again;
    bus_pack p = bus_pack_to(buf, sizeof buf);
    (void)pub;
    (void)subject;
    (void)tag;
    demand(bus_event_encode(&p, event) == BUS_OK && !p.overflow);
    demand(bus_event_decode_msgpack(&again, (bus_view){(const char *)buf, p.len}) == BUS_OK);
    return BUS_PUBLISH_SENT;
}

bus_publish_result __wrap_bus_publisher_send(bus_publisher *pub, const char *subject,
                                             const char *msg_id, const bus_header_pair *headers,
                                             size_t count, bus_view payload, uint64_t tag);
bus_publish_result __wrap_bus_publisher_send(bus_publisher *pub, const char *subject,
                                             const char *msg_id, const bus_header_pair *headers,
                                             size_t count, bus_view payload, uint64_t tag)
{
    (void)pub;
    (void)payload;
    demand(strcmp(subject, "dlq.ACT.sma") == 0 || strcmp(subject, "dlq.ACT.ema") == 0);
    demand(strncmp(msg_id, "bt1.", 4) == 0);
    for (size_t i = 0; i < count; i++) {
        for (const unsigned char *at = (const unsigned char *)headers[i].value; *at; at++)
            demand(*at >= ' ');
        if (strcmp(headers[i].name, "Dlq-Deliveries") == 0)
            demand(atoi(headers[i].value) >= TRIES);
    }
    the.tag = tag;
    return BUS_PUBLISH_SENT;
}

// A worker's progress; the input that becomes a dead letter is not there any more.
static bool on_request(const char *subject, bus_view payload, bus_msg **answer)
{
    static const char none[] = "NATS/1.0 404 Message Not Found\r\n\r\n";
    static const char *const kept[] = {"$KV.workers.sc.bt1.sma", "$KV.workers.sc.bt1.ema"};
    char head[256];
    *answer = NULL;
    uint8_t how = input.left ? byte() : 0;
    if (how == 0xff)
        return true;
    if (strncmp(subject, "$KV.", 4) == 0) {
        demand(strcmp(subject, kept[0]) == 0 || strcmp(subject, kept[1]) == 0);
        *answer = message(BUS_VIEW("_INBOX.x"), (bus_view){0}, (bus_view){0},
                          BUS_VIEW("{\"stream\":\"KV_workers\",\"seq\":9}"));
        return true;
    }
    json_t *body = json_loadb(payload.ptr, payload.len, 0, NULL);
    const char *key = json_string_value(json_object_get(body, "last_by_subj"));
    int len = snprintf(head, sizeof head,
                       "NATS/1.0\r\nNats-Stream: KV_workers\r\nNats-Subject: %s\r\n"
                       "Nats-Sequence: 8\r\nNats-Time-Stamp: 2026-11-21T00:00:00Z\r\n\r\n",
                       key ? key : "x");
    if (key)
        demand(strcmp(key, kept[0]) == 0 || strcmp(key, kept[1]) == 0);
    if (key && how != 0xfe)
        *answer = message(BUS_VIEW("_INBOX.x"), (bus_view){0}, (bus_view){head, (size_t)len},
                          BUS_VIEW("{\"stream\":\"ACT\",\"session\":\"1\",\"start_seq\":1}"));
    else
        *answer = message(BUS_VIEW("_INBOX.x"), (bus_view){0}, bus_view_of(none), (bus_view){0});
    json_decref(body);
    return true;
}

// --- what happens -------------------------------------------------------------------------------------------------

static void turn(void)
{
    event_base_loop(bus_loop_base(the.loop), EVLOOP_NONBLOCK);
    work_cell_turn(the.cell, bus_machine_mono());
    work_cell_measure(the.cell);
    work_cell_info info = work_cell_tell(the.cell);
    demand(info.state_name && strlen(info.error) < 300);
    demand((info.pid == PID) == (the.lives && the.starts > 0));
}

// Bits: what, of whom, on which input; and words too long for the host, of characters of two bytes, from either byte on.
static void say_ours(uint8_t what, uint8_t input_seq)
{
    static const char *const states[] = {"online", "goes", "waits", "failed", "retry"};
    static const char *const names[] = {"sma", "ema", "another", "a b\\r\\n"};
    char text[1024], why[512] = "why";
    for (size_t at = input_seq >> 6 & 1; input_seq & 0x80 && at + 2 < sizeof why; at += 2)
        memcpy(why + at, "\xc3\xa9", 3);
    int size = snprintf(text, sizeof text,
                        "{\"state\":\"%s\",\"worker\":\"%s\",\"seq\":%u,\"error\":\"%s\"}\n",
                        states[what % 5], names[what / 5 % 4], input_seq % SEQS, why);
    say((bus_view){text, (size_t)size});
}

// Which call it is in: of worker `busy`, on input `seq`.
static void write_page(uint32_t busy, uint64_t seq)
{
    work_mark mark = {.busy = busy, .seq = seq, .since = played.now_ns};
    if (the.lives)
        demand(pwrite(the.page, &mark, sizeof mark, 0) == sizeof mark);
}

static void acknowledge(bool refused)
{
    bus_ack ack = {.tag = the.tag, .err = refused ? BUS_ESTATE : BUS_OK, .text = "no"};
    (void)work_cell_letter_acked(the.cell, &ack);
}

static void step(uint8_t op)
{
    static const int ends[] = {0, 1 << 8, 3 << 8, 4 << 8, 4 << 8, SIGSEGV, SIGABRT, 9};
    switch (op % 10) {
    case 0:
        say(bytes_of(byte() % 64));
        break;
    case 1:
        say_ours(byte(), byte());
        break;
    case 2:
        end_process(ends[op / 10 % 8]);
        break;
    case 3:
        played.now_ns += (int64_t)(op / 10) * 400000000;
        break;
    case 4:
        work_cell_want(the.cell, op & 0x40 ? strdup(plan) : NULL, op & 0x80);
        break;
    case 5:
        work_cell_want(the.cell, strdup(plan), false);
        break;
    case 6:
        acknowledge(op & 0x40);
        break;
    case 7:
        work_cell_recover(the.cell);
        break;
    case 8:
        write_page(byte() % 20, byte());
        break;
    default: // a call that fails again and again
        say_ours((uint8_t)(4 + op / 10 % 4 * 5), op & 0xc0);
        end_process(4 << 8);
        break;
    }
    turn();
}

static work_record *given_a_worker(const char *name)
{
    work_record *record;
    demand(work_record_new(&record, name) == BUS_OK);
    demand(work_record_add_input(record, "exchange.x.a.b.C") == BUS_OK);
    return record;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bus_conn conn;
    static work_host_daemon host;
    static const work_settings settings = {.call_limit = BUS_SPAN_S(2)};
    if (size < 2 || !play_open(data, size))
        return 0;
    memset(&the, 0, sizeof the);
    host = (work_host_daemon){.settings = &settings, .conn = &conn, .replica = "r"};
    demand(work_roster_add(&host.roster, given_a_worker("sma")) == BUS_OK);
    demand(work_roster_add(&host.roster, given_a_worker("ema")) == BUS_OK);
    play_answer = on_request;
    demand(bus_loop_open(&the.loop) == BUS_OK);
    demand(work_cell_open(&the.cell, &host, "bt1") == BUS_OK);
    work_cell_want(the.cell, strdup(plan), false);
    turn();
    for (int i = 0; i < OPS_MAX && input.left; i++)
        step(byte());
    work_cell_close(the.cell);
    demand(!the.lives);
    bus_loop_close(the.loop);
    work_roster_release(&host.roster);
    play_close();
    return 0;
}
