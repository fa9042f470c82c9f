#include "cli/meter.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    KNOWN_MAX = 1 << 15, // subjects whose family is remembered; a power of two
    SAMPLES_MAX = 64,    // of a family, between two takes
    SAMPLE_EVERY_NS = 10000000,
    SECOND_NS = 1000000000,
};

typedef struct {
    lane_family shown;
    int64_t sample[SAMPLES_MAX];
    uint32_t samples;
    int64_t sampled_at;
} family;

typedef struct {
    uint64_t hash; // 0: free
    uint16_t family;
} known_subject;

struct lane_meter {
    bus_conn *conn;
    char *subject[LANE_METER_SUBJECTS_MAX];
    bus_sub *sub[LANE_METER_SUBJECTS_MAX];
    bool denied[LANE_METER_SUBJECTS_MAX]; // guarded by lock
    size_t subjects;
    pthread_t thread;
    bool running;
    pthread_mutex_t lock; // guards all below; the library's thread only sets `awake`
    pthread_cond_t news;
    bool awake, closing, listening;
    bus_mono second, since, taken; // begin of this second, of listening, of the last take
    uint64_t heard;                // in this second
    int64_t listened_ns;           // since the last take, without the present stretch
    uint64_t lost;
    family *families[LANE_METER_FAMILIES_MAX];
    size_t count;
    known_subject known[KNOWN_MAX];
    size_t known_count;
    bus_scratch scratch;
};

// --- families ----------------------------------------------------------------------------------------

// How many tokens name the family.
static int tokens_of(bus_view subject)
{
    if (subject.len > 4 && memcmp(subject.ptr, "hyp.", 4) == 0)
        return 6;
    if (subject.len > 4 && memcmp(subject.ptr, "act.", 4) == 0)
        return 5;
    return subject.len > 3 && memcmp(subject.ptr, "sc.", 3) == 0 ? 5 : 3;
}

void lane_family_of(char out[LANE_FAMILY_CAP], bus_view subject)
{
    int left = tokens_of(subject);
    size_t len = 0;
    while (len < subject.len && (subject.ptr[len] != '.' || --left > 0))
        len++;
    snprintf(out, LANE_FAMILY_CAP, "%.*s", (int)len, subject.ptr);
}

static uint16_t family_named(lane_meter *m, const char *name)
{
    for (size_t i = 0; i < m->count; i++)
        if (strcmp(m->families[i]->shown.name, name) == 0)
            return (uint16_t)i;
    if (m->count == LANE_METER_FAMILIES_MAX - 1 && strcmp(name, "(others)") != 0)
        return family_named(m, "(others)");
    family *f = m->count < LANE_METER_FAMILIES_MAX ? calloc(1, sizeof *f) : NULL;
    if (!f)
        return 0; // counted with the first one, rather than not at all
    snprintf(f->shown.name, sizeof f->shown.name, "%s", name);
    m->families[m->count] = f;
    return (uint16_t)m->count++;
}

static uint64_t hash_of(bus_view text)
{
    uint64_t h = UINT64_C(14695981039346656037); // FNV-1a
    for (size_t i = 0; i < text.len; i++)
        h = (h ^ (unsigned char)text.ptr[i]) * UINT64_C(1099511628211);
    return h ? h : 1;
}

static family *family_of(lane_meter *m, bus_view subject)
{
    char name[LANE_FAMILY_CAP];
    uint64_t hash = hash_of(subject);
    size_t at = hash & (KNOWN_MAX - 1);
    for (; m->known[at].hash; at = (at + 1) & (KNOWN_MAX - 1))
        if (m->known[at].hash == hash)
            return m->families[m->known[at].family];
    lane_family_of(name, subject);
    uint16_t index = family_named(m, name);
    if (index >= m->count)
        return NULL; // out of memory with the first of all
    if (m->known_count < KNOWN_MAX / 2) {
        m->known[at] = (known_subject){hash, index};
        m->known_count++;
        m->families[index]->shown.subjects++;
    }
    return m->families[index];
}

// --- messages ----------------------------------------------------------------------------------------

static void sample_lag(lane_meter *m, family *f, const bus_msg *msg, bool act)
{
    bus_event event;
    int64_t then;
    int64_t now = bus_now_wall().ns;
    if (f->samples == SAMPLES_MAX || now - f->sampled_at < SAMPLE_EVERY_NS)
        return;
    f->sampled_at = now;
    if (bus_msg_event(msg, &event, &m->scratch))
        return;
    bus_view time = act ? event.recordedtime : event.walltime;
    if (time.len && bus_time_parse(time, &then) == BUS_OK)
        f->sample[f->samples++] = now - then;
}

static void take_message(lane_meter *m, const bus_msg *msg)
{
    bus_view subject = bus_msg_subject(msg);
    family *f = family_of(m, subject);
    m->heard++;
    if (!f)
        return;
    f->shown.messages++;
    f->shown.bytes += bus_msg_payload(msg).len;
    f->shown.last = bus_now_wall();
    sample_lag(m, f, msg, subject.len > 4 && memcmp(subject.ptr, "act.", 4) == 0);
}

// --- listening ---------------------------------------------------------------------------------------

static void on_news(void *ctx)
{
    lane_meter *m = ctx;
    pthread_mutex_lock(&m->lock);
    m->awake = true;
    pthread_cond_signal(&m->news);
    pthread_mutex_unlock(&m->lock);
}

// Without the lock: the library may be calling on_news.
static void close_subs(lane_meter *m)
{
    for (size_t i = 0; i < m->subjects; i++) {
        uint64_t lost = m->sub[i] ? bus_sub_lost(m->sub[i]) : 0;
        bus_sub_close(m->sub[i]);
        m->sub[i] = NULL;
        pthread_mutex_lock(&m->lock);
        m->lost += lost;
        pthread_mutex_unlock(&m->lock);
    }
}

static bus_err open_sub(lane_meter *m, size_t i)
{
    bus_sub_opts opts = {
        .subject = m->subject[i], .pending_max = LANE_METER_MESSAGES_MAX, .wake = {on_news, m}};
    return bus_sub_open(&m->sub[i], m->conn, &opts);
}

static bus_err open_subs(lane_meter *m)
{
    bus_err err = BUS_OK;
    for (size_t i = 0; i < m->subjects && !err; i++)
        err = open_sub(m, i);
    return err;
}

static void drain(lane_meter *m)
{
    for (size_t i = 0; i < m->subjects; i++) {
        bus_msg *msg;
        for (int n = 0; n < 1024 && m->sub[i] && (msg = bus_sub_next(m->sub[i], (bus_span){0}));
             n++) {
            pthread_mutex_lock(&m->lock);
            take_message(m, msg);
            m->awake = m->awake || n == 1023;
            pthread_mutex_unlock(&m->lock);
            bus_msg_release(msg);
        }
    }
}

// Begins or ends listening as the second's budget says. Holds no lock; only this thread listens.
static void keep_budget(lane_meter *m)
{
    bus_mono now = bus_machine_mono();
    bool over = now.ns - m->second.ns >= SECOND_NS;
    bool stop = m->listening && !over && m->heard >= LANE_METER_MESSAGES_MAX;
    bool begin = !m->listening && over;
    if (stop)
        close_subs(m);
    pthread_mutex_lock(&m->lock);
    if (stop)
        m->listened_ns += bus_machine_mono().ns - m->since.ns;
    if (begin)
        m->since = now;
    if (over) {
        m->second = now;
        m->heard = 0;
    }
    m->listening = begin || (m->listening && !stop);
    pthread_mutex_unlock(&m->lock);
    if (begin && open_subs(m))
        close_subs(m); // the connection is being closed: nothing more will come
}

static void wait_news(lane_meter *m)
{
    struct timespec until;
    pthread_mutex_lock(&m->lock);
    int64_t at = bus_now_wall().ns + 50000000;
    until = (struct timespec){.tv_sec = at / SECOND_NS, .tv_nsec = at % SECOND_NS};
    while (!m->awake && !m->closing &&
           pthread_cond_timedwait(&m->news, &m->lock, &until) != ETIMEDOUT)
        ;
    m->awake = false;
    pthread_mutex_unlock(&m->lock);
}

// Who may not listen to all decisions may still listen to those of LIVE (access.md, "Users").
static void look_at_denials(lane_meter *m)
{
    static const char all[] = "sc.>", live[] = "sc.LIVE.>";
    for (size_t i = 0; i < m->subjects; i++) {
        if (!m->sub[i] || !bus_sub_denied(m->sub[i]))
            continue;
        bool narrower = strcmp(m->subject[i], all) == 0;
        bus_sub_close(m->sub[i]);
        m->sub[i] = NULL;
        pthread_mutex_lock(&m->lock);
        if (narrower)
            memcpy(m->subject[i], live, sizeof live);
        m->denied[i] = !narrower;
        pthread_mutex_unlock(&m->lock);
        if (narrower)
            open_sub(m, i);
    }
}

static void *listen_thread(void *ctx)
{
    lane_meter *m = ctx;
    for (;;) {
        pthread_mutex_lock(&m->lock);
        bool closing = m->closing;
        pthread_mutex_unlock(&m->lock);
        if (closing)
            return NULL;
        drain(m);
        look_at_denials(m);
        keep_budget(m);
        wait_news(m);
    }
}

// --- reading -----------------------------------------------------------------------------------------

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const lane_family *)a)->name, ((const lane_family *)b)->name);
}

static lane_family read_family(family *f)
{
    lane_family out = f->shown;
    qsort(f->sample, f->samples, sizeof f->sample[0], by_size);
    out.lag_ns = f->samples ? f->sample[f->samples / 2] : -1;
    out.lag_worst_ns = f->samples ? f->sample[f->samples - 1] : -1;
    f->samples = 0;
    f->shown.messages = f->shown.bytes = 0;
    return out;
}

// Holds the lock.
static void name_denied(const lane_meter *m, char *out, size_t cap)
{
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < m->subjects; i++)
        if (m->denied[i] && len < cap)
            len += (size_t)snprintf(out + len, cap - len, "%s%s", len ? ", " : "", m->subject[i]);
}

bus_err lane_meter_take(lane_meter *m, lane_reading *out)
{
    lane_family *list = calloc(LANE_METER_FAMILIES_MAX, sizeof *list);
    if (!list)
        return bus_fail(BUS_ENOMEM, "a reading of the lanes");
    pthread_mutex_lock(&m->lock);
    bus_mono now = bus_machine_mono();
    if (m->listening) {
        m->listened_ns += now.ns - m->since.ns;
        m->since = now;
    }
    *out = (lane_reading){.family = list,
                          .count = m->count,
                          .elapsed_s = (double)(now.ns - m->taken.ns) / SECOND_NS,
                          .listened_s = (double)m->listened_ns / SECOND_NS,
                          .lost = m->lost};
    name_denied(m, out->denied, sizeof out->denied);
    for (size_t i = 0; i < m->count; i++)
        list[i] = read_family(m->families[i]);
    m->taken = now;
    m->listened_ns = 0;
    m->lost = 0;
    pthread_mutex_unlock(&m->lock);
    qsort(list, out->count, sizeof *list, by_name);
    return BUS_OK;
}

// --- life ---------------------------------------------------------------------------------------------

// With room for a narrower one.
static char *copy_subject(const char *subject)
{
    enum { ROOM = 16 };
    size_t len = strlen(subject);
    char *copy = malloc(len + ROOM);
    if (copy)
        memcpy(copy, subject, len + 1);
    return copy;
}

bus_err lane_meter_open(lane_meter **out, bus_conn *conn, const char *const *subjects, size_t count)
{
    lane_meter *m = calloc(1, sizeof *m);
    if (!m)
        return bus_fail(BUS_ENOMEM, "meter");
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->news, NULL);
    m->conn = conn;
    bus_err err = count > LANE_METER_SUBJECTS_MAX ? bus_fail(BUS_EUSAGE, "%zu subjects; at most %d",
                                                             count, LANE_METER_SUBJECTS_MAX)
                                                  : BUS_OK;
    for (size_t i = 0; i < count && !err; i++, m->subjects++)
        if (!(m->subject[i] = copy_subject(subjects[i])))
            err = bus_fail(BUS_ENOMEM, "meter");
    if (!err)
        err = open_subs(m);
    m->second = m->since = m->taken = bus_machine_mono();
    m->listening = true;
    if (!err && pthread_create(&m->thread, NULL, listen_thread, m))
        err = bus_fail(BUS_EIO, "the meter's thread");
    m->running = !err;
    if (err) {
        lane_meter_close(m);
        return err;
    }
    *out = m;
    return BUS_OK;
}

void lane_meter_close(lane_meter *m)
{
    if (!m)
        return;
    pthread_mutex_lock(&m->lock);
    m->closing = true;
    pthread_cond_signal(&m->news);
    pthread_mutex_unlock(&m->lock);
    if (m->running)
        pthread_join(m->thread, NULL);
    close_subs(m);
    for (size_t i = 0; i < LANE_METER_SUBJECTS_MAX; i++)
        free(m->subject[i]);
    for (size_t i = 0; i < m->count; i++)
        free(m->families[i]);
    bus_scratch_release(&m->scratch);
    pthread_cond_destroy(&m->news);
    pthread_mutex_destroy(&m->lock);
    free(m);
}
