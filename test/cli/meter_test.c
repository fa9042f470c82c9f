#include "cli/meter.h"

#include "test/support/test.h"

// Source: schemas/specs/cli.md, "lane top".
Test(meter, names_families_without_their_ids)
{
    static const struct {
        const char *subject, *family;
    } cases[] = {
        {"act.exchange.binance.trade.tape.BTCUSDT", "act.exchange.binance.trade.tape"},
        {"act.exchange.binance.ohlcv.candle.1m.BTCUSDT", "act.exchange.binance.ohlcv.candle"},
        {"act.exchange.binance.feed.gap", "act.exchange.binance.feed.gap"},
        {"hyp.mon.exchange.binance.trade.tape.X", "hyp.mon.exchange.binance.trade.tape"},
        {"hyp.mon.control.watermark", "hyp.mon.control.watermark"},
        {"sc.bt1.strategy.signal.emitted.sma", "sc.bt1.strategy.signal.emitted"},
        {"dlq.ACT.feedd.x", "dlq.ACT.feedd"},
        {"state.change", "state.change"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char family[LANE_FAMILY_CAP];
        lane_family_of(family, bus_view_of(cases[i].subject));
        cr_expect_str_eq(family, cases[i].family);
    }
}
