"""An independent moving-average crossover: what `sma` must say about the trades of a stream.

Source: schemas/specs/workers.md, "The moving-average worker". Written from that page alone, with
exact fractions and whole lists where the worker has integers and rings.
"""

from fractions import Fraction

import msgpack


def trades_of(messages) -> list[tuple[int, dict]]:
    """(stream sequence, data) of the trades among recorded messages; aggregate trades are not trades."""
    found = []
    for message in messages:
        parts = message.subject.split(".")
        if parts[3:5] != ["trade", "tape"]:
            continue
        data = msgpack.unpackb(message.data, raw=False)["data"]
        if not data.get("aggregate"):
            found.append((message.metadata.sequence.stream, data))
    return found


def _mean(prices: list[Fraction]) -> str:
    """Eight digits, truncated."""
    scaled = sum(prices) * 10**8 // len(prices)
    return f"{scaled // 10**8}.{scaled % 10**8:08d}"


def signals(trades, fast: int = 5, slow: int = 20, strategy: str = "sma") -> list[tuple[int, dict]]:
    """(sequence of the causing trade, data of the signal), in order."""
    prices: dict[str, list[Fraction]] = {}
    sides: dict[str, int] = {}
    out = []
    for seq, trade in trades:
        symbol = trade["symbol"]
        history = prices.setdefault(symbol, [])
        history.append(Fraction(trade["price"]))
        if len(history) < slow:
            continue
        quick, lazy = history[-fast:], history[-slow:]
        difference = sum(quick) / fast - sum(lazy) / slow
        if difference == 0:
            continue
        side = 1 if difference > 0 else -1
        before = sides.get(symbol)
        sides[symbol] = side
        if before is not None and before != side:
            out.append((seq, {
                "strategy": strategy, "symbol": symbol, "signal": "buy" if side > 0 else "sell",
                "price": trade["price"], "fast": _mean(quick), "slow": _mean(lazy),
                "trade_id": trade["trade_id"]}))
    return out


def first_difference(a, b) -> int | None:
    """The first causing sequence at which two lists of signals part; None when they are equal.

    Where both have a signal at the parting, it is the lower of their sequences.
    """
    for left, right in zip(a, b):
        if left != right:
            return min(left[0], right[0])
    if len(a) == len(b):
        return None
    return (a if len(a) > len(b) else b)[min(len(a), len(b))][0]
