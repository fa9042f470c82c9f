// A model of a replay and its participants: the two state machines of credit.h and proof.h joined by a
// network that loses, repeats, delays and reorders, with participants that are slow, hang beyond their
// lease, lose their connection, die and come back, and with seeks. What must hold in every round:
//   order     each participant is given exactly the events of its filters, once, in order
//   proof     the replay never believes more done than was given and finished
//   window    nothing is sent beyond the window of anybody it waits for
//   progress  the run ends (no deadlock)
// TL_SEED and TL_ROUNDS choose the rounds. Source: schemas/specs/replay.md, "Credit".
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "bus/nats/credit.h"
#include "bus/nats/proof.h"
#include "test/support/test.h"

enum {
    SOURCE_MAX = 160,
    SUBJECTS = 6,
    ACTORS_MAX = 3,
    INBOX_MAX = 4096,
    STEP_MS = 10,
    LEASE_MS = 1500,
    ROUND_MS_MAX = 120000,
};

static uint64_t rng_state;

static uint64_t rng(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return rng_state;
}

static uint32_t below(uint32_t n)
{
    return (uint32_t)(rng() % n);
}

static bool chance(uint32_t percent)
{
    return below(100) < percent;
}

// --- the world ---------------------------------------------------------------------------------------

static const char *const subjects[SUBJECTS] = {
    "hyp.m.exchange.a.trade.tape.X",   "hyp.m.exchange.a.trade.tape.Y",
    "hyp.m.exchange.a.quote.update.X", "hyp.m.exchange.b.trade.tape.X",
    "hyp.m.exchange.b.feed.gap",       "hyp.m.exchange.b.ohlcv.candle.1m.X",
};

static const char *const filter_sets[][3] = {
    {NULL},
    {"hyp.m.exchange.>"},
    {"hyp.m.exchange.a.>"},
    {"hyp.m.exchange.*.trade.tape.X"},
    {"hyp.m.exchange.b.feed.gap", "hyp.m.exchange.b.>"},
    {"hyp.m.exchange.c.>"}, // meets nothing
    {"hyp.m.exchange.a.quote.update.X", "hyp.m.exchange.b.ohlcv.candle.1m.X"},
};
enum { FILTER_SETS = sizeof filter_sets / sizeof *filter_sets };

typedef struct {
    int64_t at; // ms when it arrives
    uint64_t order;
    bool is_mark;
    char run[16];
    bus_lane_stamp stamp;
    int subject;
    bus_watermark mark;
    char names[ACTORS_MAX][16];
} message;

typedef enum { AWAY, JOINING, PLAYING } actor_state;
typedef struct {
    char name[16];
    int filters;
    actor_state state;
    bool dead_for_good;
    int64_t back_at, answer_at, hang_until, cut_until; // ms
    bool answer_lost;
    bus_proof_run answer;
    char answer_run[16];
    bus_proof *proof;
    char run[16];      // the run its work belongs to
    uint64_t given;    // last sequence given to the work in this run
    uint64_t finished; // last sequence the work has finished
    uint64_t kept;     // finished, as its saved state has it (survives a kill)
    char kept_run[16];
    uint64_t began_with; // what its join said was finished
    uint64_t believed;   // the most the replay was told, in this run
    bool ended;
    uint64_t slow; // events per step
    message *inbox;
    uint32_t inbox_len;
} actor;

static struct {
    int64_t now;
    uint64_t order;
    int source[SOURCE_MAX + 1]; // subject of sequence 1.., -1: not an event
    uint32_t bytes[SOURCE_MAX + 1];
    uint64_t last_seq;
    int runs;
    char run[16];
    bus_credit *credit;
    uint32_t window_events, window_bytes;
    uint64_t first_seq, next_seq;
    uint32_t pace; // events per step, at most
    uint32_t loss; // percent
    uint32_t late; // percent
    int seeks_left;
    int64_t paused_until; // ms
    bool finished;
    actor actor[ACTORS_MAX];
    int actors;
    uint64_t lapses, holes, joins;
} w;

static bus_mono mono(void)
{
    return (bus_mono){(w.now + 1000000) * 1000000};
}

// --- the network -------------------------------------------------------------------------------------

static void deliver(actor *a, const message *m)
{
    if (a->state == AWAY || w.now < a->cut_until || chance(w.loss))
        return;
    int copies = chance(w.late) ? 2 : 1;
    for (int i = 0; i < copies && a->inbox_len < INBOX_MAX; i++) {
        message *in = &a->inbox[a->inbox_len++];
        *in = *m;
        in->order = w.order++;
        in->at = w.now + (chance(w.late) ? below(200) : 0);
        for (uint32_t p = 0; p < in->mark.part_count && in->is_mark; p++) {
            bus_view_copy(m->mark.part[p].name, in->names[p], sizeof in->names[p]);
            in->mark.part[p].name = bus_view_of(in->names[p]);
        }
    }
}

static message *next_message(actor *a)
{
    message *best = NULL;
    for (uint32_t i = 0; i < a->inbox_len; i++) {
        message *m = &a->inbox[i];
        if (m->at <= w.now &&
            (!best || m->at < best->at || (m->at == best->at && m->order < best->order)))
            best = m;
    }
    return best;
}

static void drop_message(actor *a, message *m)
{
    *m = a->inbox[--a->inbox_len];
    for (uint32_t p = 0; p < m->mark.part_count && m->is_mark; p++)
        m->mark.part[p].name = bus_view_of(m->names[p]);
}

// --- a participant -----------------------------------------------------------------------------------

static bool wants(const actor *a, int subject)
{
    const char *const *filters = filter_sets[a->filters];
    bool any = !filters[0]; // none: all of exchange, which all these subjects are
    for (size_t i = 0; i < 3 && filters[i] && !any; i++)
        any = bus_subject_match(bus_view_of(filters[i]), bus_view_of(subjects[subject]));
    return any;
}

static uint64_t next_expected(const actor *a, uint64_t after)
{
    for (uint64_t seq = after + 1; seq <= w.last_seq; seq++)
        if (w.source[seq] >= 0 && wants(a, w.source[seq]))
            return seq;
    return 0;
}

static void give(actor *a, uint64_t seq)
{
    uint64_t expected = next_expected(a, a->given);
    cr_assert(seq == expected, "%s was given %" PRIu64 " where %" PRIu64 " is next", a->name, seq,
              expected);
    a->given = seq;
}

static void read_source(actor *a, uint64_t first, uint64_t last)
{
    w.holes++;
    cr_assert(last <= w.last_seq && first <= last && last < w.next_seq);
    for (uint64_t seq = first; seq <= last; seq++)
        if (w.source[seq] >= 0 &&
            bus_proof_read(a->proof, seq, bus_view_of(subjects[w.source[seq]])) ==
                BUS_PROOF_DELIVER)
            give(a, seq);
    bus_proof_read_to(a->proof, last);
}

static void send_join(actor *a);

static void show(actor *a, const message *m)
{
    uint64_t first = 0, last = 0;
    for (int again = 0; again < 2; again++) {
        bus_proof_result r =
            m->is_mark ? bus_proof_watermark(a->proof, bus_view_of(m->run), &m->mark, &first, &last)
                       : bus_proof_event(a->proof, bus_view_of(m->run), &m->stamp,
                                         bus_view_of(subjects[m->subject]), &first, &last);
        cr_assert(r != BUS_PROOF_LOST, "%s: count differs", a->name);
        if (r == BUS_PROOF_HOLE) {
            cr_assert(again == 0, "a hole was read and is still there");
            read_source(a, first, last);
            continue;
        }
        if (r == BUS_PROOF_DELIVER)
            give(a, m->stamp.seq);
        if (r == BUS_PROOF_PROVEN && m->mark.end)
            a->ended = true;
        if (r == BUS_PROOF_ABSENT)
            send_join(a);
        return;
    }
}

static void work(actor *a)
{
    // it finishes what it was given, some events behind; a watermark finishes what is not for it
    uint64_t limit = a->given;
    if (chance(70))
        a->finished = limit;
    else if (a->finished < limit)
        a->finished += 1 + below((uint32_t)(limit - a->finished));
    if (a->finished > limit)
        a->finished = limit;
    uint64_t mark = bus_proof_proven(a->proof);
    bool idle = a->finished == a->given && mark > a->finished;
    bus_proof_done(a->proof, idle ? mark : a->finished, mono());
    if (chance(50) && a->finished >= a->kept) {
        a->kept = a->finished;
        memcpy(a->kept_run, a->run, sizeof a->run);
    }
}

static void report(actor *a)
{
    uint64_t seq = 0;
    if (!bus_proof_report_due(a->proof, mono(), &seq))
        return;
    cr_assert(seq <= bus_proof_proven(a->proof) || seq <= a->began_with, "%s: unproven report",
              a->name);
    uint64_t owed = next_expected(a, a->finished);
    cr_assert(owed == 0 || seq < owed, "%s reports %" PRIu64 " and owes %" PRIu64, a->name, seq,
              owed);
    if (w.now < a->cut_until || chance(w.loss) || strcmp(a->run, w.run) != 0)
        return;
    if (bus_credit_done(w.credit, bus_view_of(a->name), seq, mono()) && seq > a->believed)
        a->believed = seq;
}

static void send_join(actor *a)
{
    bus_view filters[3];
    size_t count = 0;
    for (; count < 3 && filter_sets[a->filters][count]; count++)
        filters[count] = bus_view_of(filter_sets[a->filters][count]);
    w.joins++;
    a->state = JOINING;
    a->answer_at = w.now + 10 + below(100);
    a->answer_lost = w.now < a->cut_until || chance(w.loss);
    if (a->answer_lost && chance(50))
        return; // the request was lost, not the answer
    bool same = strcmp(a->run, w.run) == 0;
    uint64_t done = same ? bus_proof_done_seq(a->proof) : 0;
    if (!a->run[0] && strcmp(a->kept_run, w.run) == 0)
        done = a->kept;
    uint64_t base = 0;
    test_ok(bus_credit_join(w.credit, bus_view_of(a->name), filters, count, done, mono(), &base));
    memcpy(a->answer_run, w.run, sizeof w.run);
    a->answer = (bus_proof_run){{0}, w.first_seq, base, done, w.window_events};
    // who joined before believed nothing of ours stays: the join says it anew
    a->believed = done;
}

static void take_answer(actor *a)
{
    if (w.now < a->answer_at)
        return;
    if (a->answer_lost || strcmp(a->answer_run, w.run) != 0) {
        if (w.now >= a->answer_at + 200)
            send_join(a);
        return;
    }
    bool fresh = strcmp(a->run, a->answer_run) != 0;
    a->answer.runid = bus_view_of(a->answer_run);
    test_ok(bus_proof_join(a->proof, &a->answer, mono()));
    if (fresh) {
        memcpy(a->run, a->answer_run, sizeof a->run);
        a->ended = false;
        a->given = a->finished = a->answer.done_seq ? a->answer.done_seq : a->answer.first_seq - 1;
        a->kept = a->began_with = a->given;
        memcpy(a->kept_run, a->run, sizeof a->run);
    }
    a->state = PLAYING;
}

static void start_actor(actor *a)
{
    bus_view filters[3];
    size_t count = 0;
    for (; count < 3 && filter_sets[a->filters][count]; count++)
        filters[count] = bus_view_of(filter_sets[a->filters][count]);
    bus_proof_close(a->proof);
    a->proof = NULL;
    test_ok(bus_proof_open(&a->proof, BUS_VIEW("m"), bus_view_of(a->name), filters, count));
    a->run[0] = 0;
    a->inbox_len = 0;
    a->ended = false;
    send_join(a);
}

static void misfortune(actor *a)
{
    if (a->state != PLAYING)
        return;
    if (chance(1)) { // killed, with whatever it had not saved
        a->state = AWAY;
        a->back_at = w.now + below(3000);
        a->dead_for_good = chance(20);
    } else if (chance(1)) {
        a->hang_until = w.now + below(4000); // sometimes longer than the lease
    } else if (chance(1)) {
        a->cut_until = w.now + below(1500);
    }
}

static void step_actor(actor *a, bool calm)
{
    if (a->state == AWAY) {
        if (!a->dead_for_good && w.now >= a->back_at)
            start_actor(a);
        return;
    }
    if (!calm)
        misfortune(a);
    if (a->state == AWAY || w.now < a->hang_until)
        return;
    bool was_cut = a->cut_until && w.now >= a->cut_until;
    if (was_cut) {
        a->cut_until = 0;
        send_join(a);
    }
    if (a->state == JOINING)
        take_answer(a);
    for (uint64_t i = 0; i < a->slow && a->state == PLAYING; i++) {
        if (strcmp(a->run, w.run) != 0) {
            send_join(a); // the record tells of a new run
            break;
        }
        message *m = next_message(a);
        if (!m)
            break;
        message copy = *m;
        for (uint32_t p = 0; p < copy.mark.part_count && copy.is_mark; p++)
            copy.mark.part[p].name = bus_view_of(copy.names[p]);
        drop_message(a, m);
        show(a, &copy);
    }
    if (a->state == PLAYING) {
        work(a);
        report(a);
    }
}

// --- the replay --------------------------------------------------------------------------------------

static void begin_run(uint64_t first)
{
    bus_credit_close(w.credit);
    w.credit = NULL;
    snprintf(w.run, sizeof w.run, "run-%d", ++w.runs);
    w.first_seq = w.next_seq = first;
    bus_credit_opts opts = {"m", first, w.window_events, w.window_bytes, BUS_SPAN_MS(LEASE_MS)};
    test_ok(bus_credit_open(&w.credit, &opts));
    for (int i = 0; i < w.actors; i++)
        w.actor[i].believed = 0;
}

static void check_window(uint64_t seq)
{
    bus_credit_member m;
    for (size_t i = 0; bus_credit_at(w.credit, i, &m); i++) {
        uint64_t events = 0, bytes = 0;
        if (m.state != BUS_MEMBER_JOINED)
            continue;
        for (uint64_t s = m.done + 1; s <= seq; s++) {
            if (s < w.first_seq || w.source[s] < 0)
                continue;
            events++;
            bytes += w.bytes[s];
        }
        cr_assert(events <= w.window_events, "%" PRIu64 " events ahead of a window of %u", events,
                  w.window_events);
        cr_assert(events == 1 || bytes <= w.window_bytes,
                  "%" PRIu64 " bytes ahead of a window of %u", bytes, w.window_bytes);
    }
}

static void check_belief(void)
{
    bus_credit_member m;
    for (int i = 0; i < w.actors; i++) {
        const actor *a = &w.actor[i];
        if (bus_credit_find(w.credit, bus_view_of(a->name), &m) && m.done >= w.first_seq)
            cr_assert(m.done <= a->believed, "the replay believes %" PRIu64 ", told %" PRIu64,
                      m.done, a->believed);
    }
}

static void send_mark(void)
{
    message m = {.is_mark = true};
    memcpy(m.run, w.run, sizeof m.run);
    bus_credit_watermark(w.credit, mono(), &m.mark, &m.stamp);
    m.mark.end = w.next_seq > w.last_seq;
    for (int i = 0; i < w.actors; i++)
        deliver(&w.actor[i], &m);
}

static bool send_one(void)
{
    uint64_t seq = w.next_seq;
    if (w.source[seq] < 0) {
        bus_credit_reach(w.credit, seq);
        w.next_seq++;
        return true;
    }
    if (!bus_credit_may_send(w.credit, w.bytes[seq]))
        return false;
    message m = {.subject = w.source[seq]};
    memcpy(m.run, w.run, sizeof m.run);
    test_ok(
        bus_credit_send(w.credit, seq, bus_view_of(subjects[m.subject]), w.bytes[seq], &m.stamp));
    w.next_seq++;
    check_window(seq);
    for (int i = 0; i < w.actors; i++)
        deliver(&w.actor[i], &m);
    if (w.next_seq > w.last_seq)
        bus_credit_stopped(w.credit);
    return true;
}

static void step_replay(void)
{
    w.lapses += bus_credit_lapse(w.credit, mono(), NULL, NULL);
    if (w.seeks_left && chance(2)) {
        w.seeks_left--;
        begin_run(1 + below((uint32_t)w.last_seq));
        return;
    }
    if (chance(1))
        w.paused_until = w.now + below(2 * LEASE_MS);
    for (uint32_t i = 0; i < w.pace && w.now >= w.paused_until && w.next_seq <= w.last_seq; i++) {
        if (!send_one())
            break;
        if (bus_credit_watermark_due(w.credit, mono()))
            send_mark();
    }
    check_belief();
    if (bus_credit_watermark_due(w.credit, mono()))
        send_mark();
    w.finished = w.next_seq > w.last_seq && bus_credit_all_done(w.credit);
}

// --- a round -----------------------------------------------------------------------------------------

static void given_a_world(void)
{
    message *inboxes[ACTORS_MAX];
    for (int i = 0; i < ACTORS_MAX; i++) {
        inboxes[i] = w.actor[i].inbox ? w.actor[i].inbox : malloc(INBOX_MAX * sizeof(message));
        bus_proof_close(w.actor[i].proof);
    }
    bus_credit_close(w.credit);
    memset(&w, 0, sizeof w);
    w.last_seq = 1 + below(SOURCE_MAX);
    for (uint64_t s = 1; s <= w.last_seq; s++) {
        w.source[s] = chance(10) ? -1 : (int)below(SUBJECTS);
        w.bytes[s] = 1 + below(100);
    }
    w.window_events = 1 + below(40);
    w.window_bytes = 50 + below(2000);
    w.pace = 1 + below(20);
    w.loss = chance(60) ? below(15) : 0;
    w.late = chance(40) ? below(10) : 0;
    w.seeks_left = chance(20) ? 1 + (int)below(3) : 0;
    w.actors = (int)below(ACTORS_MAX + 1);
    begin_run(1 + below((uint32_t)w.last_seq));
    for (int i = 0; i < ACTORS_MAX; i++) {
        actor *a = &w.actor[i];
        a->inbox = inboxes[i];
        snprintf(a->name, sizeof a->name, "p%d", i);
        a->filters = (int)below(FILTER_SETS);
        a->slow = 1 + below(30);
        a->back_at = chance(70) ? 0 : below(500); // some join late
    }
}

static bool everybody_is_through(void)
{
    if (!w.finished)
        return false;
    for (int i = 0; i < w.actors; i++) {
        const actor *a = &w.actor[i];
        if (a->dead_for_good)
            continue;
        if (a->state != PLAYING || !a->ended || strcmp(a->run, w.run) != 0)
            return false;
        if (next_expected(a, a->given) != 0)
            return false;
    }
    return true;
}

static void play_round(uint64_t seed, uint64_t round)
{
    rng_state = seed + round * 0x9e3779b97f4a7c15u;
    rng_state = rng_state ? rng_state : 1;
    for (int i = 0; i < 8; i++)
        rng();
    given_a_world();
    bool through = false;
    while (!through && w.now < ROUND_MS_MAX) {
        bool calm = w.now > 10000; // misfortune ends some time, else a round might not
        if (calm)
            w.loss = w.loss > 5 ? 5 : w.loss;
        step_replay();
        for (int i = 0; i < w.actors; i++)
            step_actor(&w.actor[i], calm);
        through = everybody_is_through();
        w.now += STEP_MS;
    }
    cr_assert(through, "deadlock in round %" PRIu64, round);
}

static uint64_t number_from(const char *name, uint64_t preset)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 0) : preset;
}

Test(credit_model, neither_blocks_nor_believes_what_is_not_proven, .timeout = 120)
{
    uint64_t seed = number_from("TL_SEED", (uint64_t)bus_now_wall().ns);
    uint64_t rounds = number_from("TL_ROUNDS", 10000), first = number_from("TL_ROUND", 0);
    uint64_t lapses = 0, holes = 0, joins = 0;
    fprintf(stderr, "credit model: TL_SEED=%" PRIu64 ", %" PRIu64 " rounds\n", seed, rounds);
    for (uint64_t round = first; round < first + rounds; round++) {
        play_round(seed, round);
        lapses += w.lapses;
        holes += w.holes;
        joins += w.joins;
    }
    fprintf(stderr, "credit model: %" PRIu64 " joins, %" PRIu64 " holes, %" PRIu64 " lapses\n",
            joins, holes, lapses);
    cr_assert(rounds < 1000 || (lapses > 0 && holes > 0), "the model met no trouble");
    for (int i = 0; i < ACTORS_MAX; i++) {
        bus_proof_close(w.actor[i].proof);
        free(w.actor[i].inbox);
    }
    bus_credit_close(w.credit);
}
