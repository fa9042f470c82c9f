// random: a seeded generator and the few distributions a market needs, on integers alone, so that a seed
// gives the same numbers on every machine. xoshiro256**. Thread: the owner's.
// Source: schemas/specs/simexd.md, "Synthetic market".
#ifndef FEEDS_SIM_RANDOM_H
#define FEEDS_SIM_RANDOM_H

#include <stdint.h>

#include "bus/base/view.h"

typedef struct {
    uint64_t s[4];
} sim_random;

// sim_random_seed: seed and name together choose the sequence.
void sim_random_seed(sim_random *random, uint64_t seed, bus_view name);
uint64_t sim_random_next(sim_random *random);
uint64_t sim_random_below(sim_random *random, uint64_t n); // 0..n-1; n > 0
uint64_t sim_random_exponential(sim_random *random);       // mean 2^20
int64_t sim_random_normal(sim_random *random);             // mean 0, standard deviation 2^16

#endif
