#include "feeds/sim/market.h"

#include <stdlib.h>

#include "feeds/sim/random.h"

enum {
    ORDERS_MAX = 4096,
    ORDERS_USUAL = 1200,  // cancellations balance additions here
    OPENING_ORDERS = 400, // a side
    FAIR_BITS = 20,       // binary digits of the fair value behind the tick
    GRAIN_PPM = 5,        // typical distance of a close order from the fair value,
    WIDE = 20,            // and how many times as far the other half is
    FAR_GRAINS = 1500,    // the farthest order
    STALE_CANCELS = 8,    // orders pulled at once when the fair value passed them
    TAKES_MAX = 12,       // fills of a usual market order
};

static const int64_t SECOND = 1000000000;
static const int64_t EXCITED_NS = 1000000000;        // an event is felt so long …
static const int64_t EXCITEMENT_MICROHERTZ = 500000; // … and brings half an event
static const int64_t REVERSION_NS = 600000000000;    // fair value to anchor
static const int64_t HOME_NS = 86400000000000;       // anchor to the first price
static const int64_t JUMP_NS = 120000000000;         // mean time between jumps

static const struct {
    int64_t volatility_ppm; // of the fair value, per square root of a second
    int64_t rate_percent;
    int64_t mean_ns;
} REGIME[] = {
    {8, 56, 60000000000},
    {20, 94, 120000000000},
    {60, 235, 30000000000},
};

struct sim_market {
    sim_market_spec spec;
    sim_random random;
    sim_orders *orders;
    int64_t now_ns, next_ns;
    int64_t fair, anchor; // ticks << FAIR_BITS
    int64_t grain;        // ticks
    int64_t excitement;   // microhertz above the base rate
    int regime;
    int64_t regime_left_ns;
    int64_t last_order;
};

static int64_t scale(int64_t a, int64_t b, int64_t c)
{
    return (int64_t)((__int128)a * b / c);
}

static int64_t square_root(int64_t n)
{
    uint64_t root = 0, bit = (uint64_t)1 << 62, left = n > 0 ? (uint64_t)n : 0;
    while (bit > left)
        bit >>= 2;
    for (; bit; bit >>= 2) {
        if (left >= root + bit) {
            left -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    return (int64_t)root;
}

static uint64_t below(sim_market *m, uint64_t n)
{
    return sim_random_below(&m->random, n);
}

// --- arrivals ---------------------------------------------------------------------------------------

static int64_t base_microhertz(const sim_market *m)
{
    // Half of all events come from excitement, so the base is half the mean.
    int64_t base = m->spec.millihertz * 1000 / 2 * REGIME[m->regime].rate_percent / 100;
    return base > 0 ? base : 1;
}

// Ogata's thinning: a candidate from the intensity now, kept with the chance that is left of it then.
static void draw_next(sim_market *m)
{
    m->next_ns = m->now_ns;
    for (int tries = 0; tries < 64; tries++) {
        int64_t intensity = base_microhertz(m) + m->excitement;
        int64_t unit = (int64_t)((__int128)SECOND * 1000000 / intensity); // mean gap
        int64_t gap =
            (int64_t)(((__int128)unit * (int64_t)sim_random_exponential(&m->random)) >> 20);
        m->next_ns += gap > 0 ? gap : 1;
        m->excitement = scale(m->excitement, EXCITED_NS, EXCITED_NS + gap);
        if ((int64_t)below(m, (uint64_t)intensity) < base_microhertz(m) + m->excitement)
            break;
    }
    m->excitement += EXCITEMENT_MICROHERTZ;
}

// --- fair value -------------------------------------------------------------------------------------

static int64_t wander(sim_market *m, int64_t value, int64_t ppm, int64_t gap_ns)
{
    int64_t deviation = scale(scale(value, ppm, 1000000), square_root(gap_ns), 31623);
    return value + scale(deviation, sim_random_normal(&m->random), 1 << 16);
}

static void change_regime(sim_market *m, int64_t gap_ns)
{
    m->regime_left_ns -= gap_ns;
    if (m->regime_left_ns > 0)
        return;
    m->regime = m->regime != 1 ? 1 : below(m, 2) ? 2 : 0;
    m->regime_left_ns =
        scale(REGIME[m->regime].mean_ns, (int64_t)sim_random_exponential(&m->random), 1 << 20);
}

static void move_fair(sim_market *m, int64_t gap_ns)
{
    int64_t home = m->spec.price << FAIR_BITS;
    change_regime(m, gap_ns);
    m->anchor = wander(m, m->anchor, 10, gap_ns) + scale(home - m->anchor, gap_ns, HOME_NS);
    m->fair = wander(m, m->fair, REGIME[m->regime].volatility_ppm, gap_ns) +
              scale(m->anchor - m->fair, gap_ns, REVERSION_NS);
    if ((int64_t)below(m, (uint64_t)JUMP_NS) < gap_ns) {
        int64_t jump = scale(m->fair, 200 + (int64_t)below(m, 1300), 1000000);
        jump = below(m, 2) ? jump : -jump;
        m->fair += jump;
        m->anchor += jump / 2;
    }
    // However long it runs, the price stays one that the symbol could have.
    if (m->fair < home / 4)
        m->fair = home / 4;
    if (m->fair > home * 4)
        m->fair = home * 4;
}

static int64_t fair_tick(const sim_market *m)
{
    int64_t tick = m->fair >> FAIR_BITS;
    return tick > 2 ? tick : 2;
}

// --- orders -----------------------------------------------------------------------------------------

static int64_t draw_quantity(sim_market *m)
{
    int64_t quantity = m->spec.lot * (8 + (int64_t)below(m, 48)) / 32;
    uint64_t size = below(m, 128);
    if (size == 0)
        quantity *= 25;
    else if (size < 9)
        quantity *= 4;
    return quantity > 0 ? quantity : 1;
}

// Power law: half of the close orders within a grain, one in k beyond k grains; a wide order the same
// with a grain WIDE times as large.
static int64_t draw_distance(sim_market *m)
{
    int64_t grain = below(m, 2) ? m->grain : m->grain * WIDE;
    int64_t distance = grain * 65536 / (1 + (int64_t)below(m, 65536)) - grain;
    int64_t most = m->grain * FAR_GRAINS;
    distance = distance > most ? most - (int64_t)below(m, (uint64_t)most / 2) : distance;
    return distance + (int64_t)below(m, (uint64_t)m->grain); // off the grid of the formula
}

static void note(sim_market_event *out, sim_change change)
{
    out->change[out->changes++] = change;
}

static void add_order(sim_market *m, sim_side side, sim_market_event *out)
{
    sim_change change;
    int64_t distance = draw_distance(m), fair = fair_tick(m);
    int64_t ask = sim_orders_best(m->orders, SIM_ASK), bid = sim_orders_best(m->orders, SIM_BID);
    int64_t price = side == SIM_BID ? fair - distance : fair + 1 + distance;
    if (side == SIM_BID && ask && price >= ask)
        price = ask - 1;
    if (side == SIM_ASK && bid && price <= bid)
        price = bid + 1;
    if (price < 1)
        price = 1;
    if (side == SIM_BID && ask && price >= ask)
        return; // nothing fits below an ask of one tick
    if (sim_orders_add(m->orders, ++m->last_order, side, price, draw_quantity(m), &change) !=
        SIM_NO_ORDER)
        note(out, change);
}

static void cancel_order(sim_market *m, uint32_t handle, sim_market_event *out)
{
    sim_change change;
    if (handle == SIM_NO_ORDER || out->changes == SIM_MARKET_CHANGES)
        return;
    if (sim_orders_levels(m->orders, sim_orders_side(m->orders, handle)) <= SIM_LEVELS_MIN)
        return;
    sim_orders_cancel(m->orders, handle, &change);
    note(out, change);
}

// How many fills leave at least the fewest levels, whatever they take.
static size_t takes_allowed(const sim_market *m, sim_side taker, size_t wanted)
{
    size_t levels = sim_orders_levels(m->orders, taker == SIM_BID ? SIM_ASK : SIM_BID);
    size_t spare = levels > SIM_LEVELS_MIN ? levels - SIM_LEVELS_MIN : 0;
    return wanted < spare ? wanted : spare;
}

static void take(sim_market *m, sim_side side, int64_t limit, int64_t quantity, size_t most,
                 sim_market_event *out)
{
    out->taker = ++m->last_order;
    out->fills = sim_orders_take(m->orders, out->taker, side, limit, quantity, out->fill,
                                 out->change, takes_allowed(m, side, most));
    out->changes = out->fills;
}

// The fair value lies beyond the best quote of `side`: its makers leave, or are hit up to the fair value.
static void correct(sim_market *m, sim_side side, sim_market_event *out)
{
    int64_t fair = fair_tick(m);
    if (below(m, 10) < 3) {
        take(m, side == SIM_ASK ? SIM_BID : SIM_ASK, fair, draw_quantity(m) * 4, SIM_MARKET_CHANGES,
             out);
        return;
    }
    for (int i = 0; i < STALE_CANCELS; i++) {
        int64_t best = sim_orders_best(m->orders, side);
        if (side == SIM_ASK ? best > fair : best <= fair)
            break;
        cancel_order(m, sim_orders_first(m->orders, side), out);
    }
}

static void usual(sim_market *m, sim_market_event *out)
{
    int64_t live = sim_orders_live(m->orders);
    int64_t cancel = 460 * live / ORDERS_USUAL;
    int64_t choice = (int64_t)below(m, 1000);
    cancel = cancel > 800 ? 800 : cancel;
    sim_side side = below(m, 2) ? SIM_BID : SIM_ASK;
    if (choice < 80)
        take(m, side, side == SIM_BID ? INT64_MAX : 0, draw_quantity(m), TAKES_MAX, out);
    else if (choice < 80 + cancel)
        cancel_order(m, sim_orders_pick(m->orders, (uint32_t)below(m, (uint64_t)live)), out);
    else
        add_order(m, side, out);
}

// Sides that grew too wide or too thin are mended before anything else happens.
static bool mend(sim_market *m, sim_market_event *out)
{
    for (int side = SIM_BID; side <= SIM_ASK; side++) {
        size_t levels = sim_orders_levels(m->orders, (sim_side)side);
        if (levels > SIM_LEVELS_MAX - 1)
            cancel_order(m, sim_orders_worst(m->orders, (sim_side)side), out);
        else if (levels < SIM_LEVELS_MIN + 10)
            add_order(m, (sim_side)side, out);
        else
            continue;
        return true;
    }
    return false;
}

void sim_market_step(sim_market *m, sim_market_event *out)
{
    int64_t gap = m->next_ns - m->now_ns;
    out->at_ns = m->now_ns = m->next_ns;
    out->changes = out->fills = 0;
    move_fair(m, gap);
    int64_t fair = fair_tick(m);
    bool asks_stale = sim_orders_best(m->orders, SIM_ASK) <= fair;
    bool bids_stale = sim_orders_best(m->orders, SIM_BID) > fair;
    if (!mend(m, out)) {
        if ((asks_stale || bids_stale) && below(m, 10) < 7)
            correct(m, asks_stale ? SIM_ASK : SIM_BID, out);
        else
            usual(m, out);
    }
    draw_next(m);
}

bus_err sim_market_open(sim_market **out, const sim_market_spec *spec, uint64_t seed, bus_view name,
                        int64_t first_order)
{
    sim_market_event opening;
    sim_market *m = calloc(1, sizeof *m);
    if (!m)
        return bus_fail(BUS_ENOMEM, "market");
    m->spec = *spec;
    sim_random_seed(&m->random, seed, name);
    m->fair = m->anchor = spec->price << FAIR_BITS;
    m->grain = spec->price * GRAIN_PPM / 1000000;
    m->grain = m->grain > 0 ? m->grain : 1;
    m->regime = 1;
    m->regime_left_ns = REGIME[1].mean_ns;
    m->excitement = base_microhertz(m); // what it is on average
    m->last_order = first_order;
    bus_err err = sim_orders_open(&m->orders, ORDERS_MAX);
    if (err) {
        sim_market_close(m);
        return err;
    }
    for (int i = 0; i < OPENING_ORDERS * 2; i++) {
        opening.changes = 0;
        add_order(m, i % 2 ? SIM_ASK : SIM_BID, &opening);
    }
    draw_next(m);
    *out = m;
    return BUS_OK;
}

void sim_market_close(sim_market *m)
{
    if (!m)
        return;
    sim_orders_close(m->orders);
    free(m);
}

int64_t sim_market_next(const sim_market *m)
{
    return m->next_ns;
}

const sim_orders *sim_market_orders(const sim_market *m)
{
    return m->orders;
}

int64_t sim_market_last_order(const sim_market *m)
{
    return m->last_order;
}
