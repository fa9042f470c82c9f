#include "feeds/venues/venue.h"

#include <string.h>

#include "feeds/venues/binance/binance.h"

static const feed_venue *const venues[] = {
    &feed_binance,
};

const feed_venue *feed_venue_at(size_t i)
{
    return i < sizeof venues / sizeof *venues ? venues[i] : NULL;
}

const feed_venue *feed_venue_find(const char *name)
{
    for (size_t i = 0; i < sizeof venues / sizeof *venues; i++)
        if (strcmp(venues[i]->name, name) == 0)
            return venues[i];
    return NULL;
}
