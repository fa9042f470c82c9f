#include "feeds/sim/random.h"

static uint64_t split(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u; // splitmix64
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void sim_random_seed(sim_random *random, uint64_t seed, bus_view name)
{
    uint64_t state = seed;
    for (size_t i = 0; i < name.len; i++)
        state = split(&state) ^ (unsigned char)name.ptr[i];
    for (int i = 0; i < 4; i++)
        random->s[i] = split(&state);
}

static uint64_t rotate(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

uint64_t sim_random_next(sim_random *random)
{
    uint64_t *s = random->s;
    uint64_t result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

uint64_t sim_random_below(sim_random *random, uint64_t n)
{
    return (uint64_t)(((unsigned __int128)sim_random_next(random) * n) >> 64);
}

// -ln(u) for u uniform in (0, 1]: leading zeros give whole powers of two, squaring the rest gives the
// binary digits of its logarithm one by one.
uint64_t sim_random_exponential(sim_random *random)
{
    enum { BITS = 20, LN2 = 726817 }; // ln 2 * 2^20
    uint64_t x = sim_random_next(random) | 1;
    int zeros = __builtin_clzll(x);
    uint64_t y = (x << zeros) >> 32; // in [1, 2) with 31 binary digits
    uint64_t log2 = 0;
    for (int i = 0; i < BITS; i++) {
        y = (y * y) >> 31;
        log2 <<= 1;
        if (y >> 32) {
            y >>= 1;
            log2 |= 1;
        }
    }
    uint64_t minus_log2 = ((uint64_t)(zeros + 1) << BITS) - log2;
    return (minus_log2 * LN2) >> BITS;
}

// The sum of twelve uniforms has variance 1.
int64_t sim_random_normal(sim_random *random)
{
    int64_t sum = 0;
    for (int i = 0; i < 3; i++) {
        uint64_t bits = sim_random_next(random);
        for (int k = 0; k < 4; k++, bits >>= 16)
            sum += (int64_t)(bits & 0xffff);
    }
    return sum - 6 * 0xffff;
}
