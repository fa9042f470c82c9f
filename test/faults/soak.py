"""Many rounds, several side by side, and their sum.

soak.py [--rounds 1000] [--seed BASE] [--jobs N] [--long] [--plot NAME] [--keep DIR]
Round k has seed BASE + k, so one that failed is repeated by --rounds 1 --seed <its seed> (and --long as it was).
The exit code is 0 when nothing was lost, doubled, out of order, or otherwise found, and what was to happen did. Source: schemas/specs/faults.md, "Soak".
"""

import argparse
import concurrent.futures
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROUND_S = 300  # a round that takes longer hangs
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "system"))
from support.process import die_with_parent  # noqa: E402

POINTS = {  # where a kill fell -> the named points it is counted at
    "non-empty window": ["publisher.window", "publisher.publish", "worker.output"],
    "mid-publish": ["publisher.publish"],
    "mid-snapshot": ["feed.snapshot", "worker.saving"],
    "mid-replay": ["replay.event", "worker.replay"],
    "between taking the lease and the first event": ["feed.leased", "feed.recalled"],
    "behind a gap": ["feed.gap"],
    "between a record and what it stands for": ["scenario.stream", "scenario.written", "host.recorded"],
}
EACH = 20  # at least so many kills at each of them, of
MANY = 1000  # rounds
REACHED = {"full_window": "full windows", "store_full": "full stores"}  # plot -> what at least one round of it has seen
LOSSES = ["lost", "doubled", "out of order"]


def play(seed, folder, given):
    argv = [sys.executable, Path(__file__).parent / "session.py", "--seed", str(seed), "--folder", folder]
    argv += ["--long"] if given.long else []
    argv += ["--plot", given.plot] if given.plot else []
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=ROUND_S, preexec_fn=die_with_parent)
    except subprocess.TimeoutExpired as late:
        return {"seed": seed, "ok": False, "found": {"hangs": [1, f"no end within {ROUND_S} s"]}, "faults": {}, "counts": {},
                "script": (late.stderr or b"").decode()}
    try:
        result = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        result = {"seed": seed, "ok": False, "found": {"harness": [1, done.stderr[-3000:]]}, "faults": {}, "counts": {}}
    return result | {"script": done.stderr}


def show(result):
    print(f"seed {result['seed']}: FAILED", flush=True)
    print("  " + result["script"].strip().replace("\n", "\n  "))
    for kind, (count, *texts) in result["found"].items():
        print(f"  {kind}: {count}")
        for text in texts:
            print("    " + text.replace("\n", "\n    "))


def take(result, folder, given):
    """Says what failed and keeps its folder; every other one is removed."""
    if not result["ok"]:
        show(result)
        if given.keep and folder.exists():
            given.keep.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(given.keep / folder.name, ignore_errors=True)
            shutil.move(folder, given.keep / folder.name)
    shutil.rmtree(folder, ignore_errors=True)


def summary(results, given, seconds):
    faults, counts, found, plots, gaps = Counter(), Counter(), Counter(), Counter(), Counter()
    for result in results:
        faults.update(result["faults"])
        counts.update(result["counts"])
        plots[result.get("plot", "?")] += 1
        gaps[result.get("plot", "?")] += sum(n for name, n in result["counts"].items() if name.startswith("frames in gaps"))
        for kind, (count, *_) in result["found"].items():
            found[kind] += count
    print(f"\n{len(results)} rounds in {seconds:.0f} s, seeds {given.seed} to {given.seed + given.rounds - 1}"
          f"{' (long)' if given.long else ''}")
    print(f"orders of starting: {len({tuple(r['order']) for r in results if 'order' in r})} of 120")
    print("plots: " + ", ".join(f"{n} {name}" for name, n in sorted(plots.items())))
    print("faults: " + ", ".join(f"{n} {name}" for name, n in sorted(faults.items())))
    print("audited: " + ", ".join(f"{n} {name}" for name, n in sorted(counts.items())))
    print("frames in gaps, by plot: " + ", ".join(f"{n} {name}" for name, n in sorted(gaps.items())))
    short = shortcomings(faults, plots)
    for name, points in POINTS.items():
        print(f"kills {name}: {sum(faults[p] for p in points)}")
    print(", ".join(f"{found[kind]} {kind}" for kind in LOSSES))
    for kind in sorted(set(found) - set(LOSSES)):
        print(f"{found[kind]} {kind}")
    bad = [r["seed"] for r in results if not r["ok"]]
    print(f"seeds that failed: {bad}" if bad else "no round failed")
    for text in short:
        print(f"not shown: {text}")
    print(f"{len(results) - len(bad)} passed, {len(bad)} failed")
    return 1 if bad or short else 0


def shortcomings(faults, plots):
    """What was to happen in so many rounds, and did not: then what they show is not what they are said to show."""
    short = [f"plot {plot} was played {plots[plot]} times, {name}: none" for plot, name in REACHED.items()
             if plots[plot] and not faults[name]]
    if sum(plots.values()) >= MANY:
        kills = {name: sum(faults[p] for p in points) for name, points in POINTS.items()}
        short += [f"{n} kills {name}; at least {EACH} are wanted" for name, n in kills.items() if n < EACH]
    return short


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=time.time_ns() // 10**9 % 10**8 * 1000)
    parser.add_argument("--jobs", type=int, default=3 * (os.cpu_count() or 1))
    parser.add_argument("--long", action="store_true", help="half of the processes that are stopped stand still for 30 s instead of 3")
    parser.add_argument("--plot")
    parser.add_argument("--keep", type=Path, help="folders of failed rounds are moved here")
    given = parser.parse_args()
    os.environ.setdefault("TL_PATIENCE", "3")  # several rounds share the machine: what comes late is no finding
    print(f"seed {given.seed}, {given.rounds} rounds, {given.jobs} at a time", flush=True)
    results, began = [], time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tradelane-faults-") as top, \
            concurrent.futures.ThreadPoolExecutor(given.jobs) as pool:
        folder_of = {seed: Path(top, str(seed)) for seed in range(given.seed, given.seed + given.rounds)}
        waiting = [pool.submit(play, seed, folder, given) for seed, folder in folder_of.items()]
        try:
            for done in concurrent.futures.as_completed(waiting):
                results.append(done.result())
                take(results[-1], folder_of[results[-1]["seed"]], given)
                if len(results) % 25 == 0:
                    print(f"{len(results)} rounds, {time.monotonic() - began:.0f} s, "
                          f"{sum(not r['ok'] for r in results)} failed", flush=True)
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)  # those that run come to their end; the sum is of what was played
    return summary(results, given, time.monotonic() - began)


if __name__ == "__main__":
    sys.exit(main())
