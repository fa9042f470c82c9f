"""What happens in one round, drawn from its seed alone: the same seed gives the same script.

A script is a plot (what the round is about) and minor mishaps beside it. Times are seconds after the stack is
warm. Source: schemas/specs/faults.md, "Scripts".
"""

import itertools
import random
from dataclasses import dataclass, field

PARTS = ["broker", "stored", "simexd", "feedd", "workhostd"]
ORDERS = list(itertools.permutations(PARTS))
LINKS = ["feedd", "stored", "workhostd", "venue"]  # to the broker, but the last: feedd to the exchange
NETWORK = ["cut", "reset", "stall", "half_open", "slow", "mute", "mute"]


@dataclass
class Script:
    seed: int
    long: bool  # half of the stops last 30 s instead of 3
    plot: str = ""
    order: tuple = ()
    rate: int = 1000
    seconds: float = 3.0
    virtual_clock: bool = False
    lease_ms: int = 1500  # of the feed
    seconds_apart: list = field(default_factory=list)  # pauses between the starts
    arms: dict = field(default_factory=dict)  # daemon -> [(point, n)], one for each of its lives, or its children's
    actions: list = field(default_factory=list)  # (time, verb, arguments)

    def at(self, time, verb, *args):
        self.actions.append((round(time, 3), verb, args))

    @property
    def lines(self):
        head = f"plot {self.plot}, order {' '.join(self.order)}, rate {self.rate}"
        arms = [f"{name}: {', '.join(f'{p} at {n}' for p, n in arms)}" for name, arms in self.arms.items()]
        return [head, *arms, *(f"{t:.2f} s {verb} {' '.join(map(str, args))}" for t, verb, args in sorted(self.actions))]


# --- plots ---------------------------------------------------------------------------------------------------


def mid_publish(s, dice):
    who = dice.choice(["feedd", "feedd", "workhostd"])
    s.arms[who] = [("publisher.publish", dice.randint(1, 1200 if who == "feedd" else 60)) for _ in range(2)]


def mid_window(s, dice):
    who = dice.choice(["feedd", "feedd", "workhostd"])
    s.arms[who] = [("publisher.window", dice.randint(1, 600 if who == "feedd" else 40)) for _ in range(2)]


def mid_snapshot(s, dice):
    s.arms["feedd"] = [("feed.snapshot", dice.randint(1, 6)) for _ in range(2)]
    if dice.random() < 0.3:
        s.arms["workhostd"] = [("worker.saving", dice.randint(1, 6))]


def mid_replay(s, dice):
    if dice.random() < 0.6:
        s.arms["stored"] = [("replay.event", dice.randint(1, 250)) for _ in range(2)]
    else:
        s.arms["workhostd"] = [("worker.replay", dice.randint(1, 100)) for _ in range(2)]
    s.at(0.1, "replay", dice.choice(["max", "1x", "4x"]))
    s.at(1.6, "replay", dice.choice(["max", "1x", "4x"]))


def mid_output(s, dice):
    s.arms["workhostd"] = [(dice.choice(["worker.output", "worker.saving"]), dice.randint(1, 8)) for _ in range(3)]


def mid_taking(s, dice):
    """A feed that took the lease, knows what is recorded, or has told of the gap, and gets no further."""
    s.lease_ms, s.seconds = 1000, 6
    takes = [(dice.choice(["feed.leased", "feed.recalled"]), 1) for _ in range(2)]
    s.arms["feedd"] = [takes[0], ("publisher.publish", dice.randint(300, 700)), ("feed.gap", dice.randint(1, 3)), takes[1]]


def mid_record(s, dice):
    """What a record promises is there before it (a stream), or is to come (an answer, a process), and who writes it dies."""
    points = ["scenario.stream", "scenario.written"]
    s.arms["stored"] = [(point, 1) for point in (points if dice.random() < 0.7 else points[1:])]
    s.arms["workhostd"] = [("host.recorded", 1) for _ in range(dice.randint(1, 2))]
    s.seconds = 5
    for at in (0.1, 2.0, 3.8):
        s.at(at, "replay", dice.choice(["max", "4x"]))


def lost_outputs(s, dice):
    """Outputs do not arrive while progress does, or the other way round; then the runtime dies."""
    s.rate = 2000
    for at in (0.1, 1.5):
        s.at(at, "network", "workhostd", "half_open", 1.3, dice.choice([0, 1]))
        s.at(at + dice.uniform(0.5, 1.2), "kill", "LIVE", 0)


def kills(s, dice):
    s.at(0, "replay", "1x")
    for _ in range(3):
        victim = dice.choice(["broker", "stored", "feedd", "workhostd", "simexd", "LIVE", "bt1"])
        s.at(dice.uniform(0, 2.5), "kill", victim, round(dice.uniform(0, 0.5), 2))


def network(s, dice):
    if dice.random() < 0.5:
        s.at(0, "replay", "2x")
    for _ in range(3):
        kind = dice.choice(NETWORK)
        at, span, link = dice.uniform(0, 2), round(dice.uniform(0.05, 1.5), 2), dice.choice(LINKS)
        more = {"slow": [dice.choice([2000, 20000, 100000])], "half_open": [dice.choice([None, 0, 1])]}.get(kind, [])
        s.at(at, "network", link, kind, span, *more)
        if kind == "mute" and dice.random() < 0.7:  # the answers never come
            s.at(at + span * 0.9, "network", link, "reset", 0)


def frozen(s, dice):
    span = 30 if s.long and dice.random() < 0.5 else 3
    s.at(0.2, "freeze", dice.choice(["broker", "stored", "feedd", "workhostd", "simexd", "LIVE"]), span)
    s.seconds = span + 0.5


def store_full(s, dice):
    s.at(0.2, "store_full", round(dice.uniform(0.5, 1.5), 2))


def full_window(s, dice):
    s.rate, s.lease_ms = 20000, 4500  # what is held no longer is not published, and fills nothing
    s.at(0.2, *dice.choice([("freeze", "broker", 2.5), ("network", "feedd", "stall", 2.5)]))
    s.at(1.0, "look_at_window", 1.4)
    if dice.random() < 0.5:
        s.at(2.45, "kill", "feedd", 0.1)


def slow_consumers(s, dice):
    s.rate = 2000
    s.at(0, "deaf_subscriber", "act.>")
    s.at(0.1, "replay", "max")
    s.at(0.2, "network", "workhostd", "slow", 2.5, dice.choice([5000, 30000]))


def two_feeds(s, dice):
    s.at(0, "second", "feedd")
    fault = dice.choice([("freeze", "feedd", 14), ("kill", "feedd", 1.0), ("network", "feedd", "stall", 14)])
    s.at(0.5, *fault)
    s.seconds = 4
    if fault[0] != "kill":  # whose bytes may come late: the lease must outlast the 10 s of an idle batch
        s.lease_ms, s.seconds = 11000, 15


def two_stores(s, dice):
    s.at(0, "second", "stored")
    s.at(0.2, "replay", "1x")
    s.at(0.5, *dice.choice([("freeze", "stored", 3), ("kill", "stored", 1.0), ("network", "stored", "stall", 3)]))
    s.seconds = 4


def two_hosts(s, dice):
    """A host that stood still longer than its lease finds another in its place; its runtimes had gone on meanwhile."""
    s.at(0, "second", "workhostd")
    s.at(0.3, "replay", "1x")
    s.at(0.5, *dice.choice([("freeze", "workhostd", 3), ("kill", "workhostd", 1.0), ("network", "workhostd", "half_open", 2.5, dice.choice([0, 1]))]))
    if dice.random() < 0.5:
        s.at(dice.uniform(2, 3.5), "kill", "LIVE", 0)
    s.seconds = 5


def clock_jumps(s, dice):
    s.virtual_clock = True
    for _ in range(3):
        s.at(dice.uniform(0.1, 2.5), "jump", dice.choice([-3600, -1, 1, 60, 3600, 86400]))


def older_copy(s, dice):
    s.at(0.1, "copy_store")
    s.at(dice.uniform(0.6, 1.5), "older_store")
    s.seconds = 2.5


PLOTS = [mid_publish, mid_window, mid_snapshot, mid_replay, kills, network, mid_output, lost_outputs, frozen, store_full,
         full_window, slow_consumers, two_feeds, two_stores, two_hosts, clock_jumps, older_copy, network, kills, mid_replay, mid_taking,
         mid_record]
ALONE = {"older_copy", "store_full", "clock_jumps"}  # audited or kept apart: nothing else happens meanwhile


def script(seed: int, long: bool = False, plot: str | None = None) -> Script:
    dice = random.Random(seed)
    tell = next(p for p in PLOTS if p.__name__ == plot) if plot else PLOTS[seed % len(PLOTS)]
    s = Script(seed, long, tell.__name__, ORDERS[seed % len(ORDERS)])
    s.seconds_apart = [round(dice.choice([0, 0, 0.05, 0.3]), 2) for _ in PARTS]
    s.rate = dice.choice([300, 1000, 2000])
    tell(s, dice)
    if s.plot not in ALONE and dice.random() < 0.4:
        s.at(dice.uniform(0, 2), "kill", dice.choice(["stored", "workhostd", "LIVE", "broker"]), 0.1)
    return s
