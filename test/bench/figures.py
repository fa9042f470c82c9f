"""What the figures of a run of `make bench` come to: its targets, met or short, or the table of docs/performance.md.

    python3 test/bench/figures.py verdict|table [FILE]      its JSON lines; build/bench.jsonl, where scripts/bench keeps them
"""

import json
import operator
import sys
from pathlib import Path
from typing import NamedTuple

TREE = Path(__file__).resolve().parents[2]
SIGNS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
REPETITIONS_MIN = 3
UNITS = {"events/s": " a second", "frames/s": " a second", "us": " µs"}


class Target(NamedTuple):
    figure: str
    of: str  # a field of the figure: value, ratio, spread
    sign: str
    bound: float

    def measured(self, figures: dict) -> float | None:
        """None: not in this run, or without a reference."""
        return figures.get(self.figure, {}).get(self.of)

    def met(self, figures: dict) -> bool:
        measured = self.measured(figures)
        return measured is not None and SIGNS[self.sign](measured, self.bound)


def targets(path: Path = TREE / "test/bench/targets.txt") -> list[Target]:
    rows = [line.split() for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    return [Target(figure, of, sign, float(bound)) for figure, of, sign, bound in rows]


def read(lines) -> dict:
    """By name, in the order of the run."""
    figures = [json.loads(line) for line in lines if line.startswith("{")]
    return {figure["bench"]: figure for figure in figures}


def number(value: float) -> str:
    """Four digits that count."""
    whole = len(str(int(abs(value))))
    return f"{round(value, 4 - whole):,.{max(0, 4 - whole)}f}"


def verdict(figures: dict, held: list[Target]) -> list[str]:
    said, met, missing = [], 0, 0
    for target in held:
        measured = target.measured(figures)
        word = "met" if target.met(figures) else "short" if measured is not None else "not measured"
        met += word == "met"
        missing += measured is None
        value = "" if measured is None else number(measured)
        note = f"  ({figures[target.figure]['workload']})" if word == "short" else ""
        said.append(f"{word:<13} {target.figure:<36} {target.of:<7} {value:>8} {target.sign} {target.bound:,g}{note}")
    said += [f"{'unsure':<13} {name:<36} measured {f['reps']} times" for name, f in figures.items() if f["reps"] < REPETITIONS_MIN]
    return [*said, f"{met} of {len(held)} targets met" + (f", {missing} not measured" if missing else "")]


def reference(figure: dict) -> str:
    if figure["ratio"] is None:
        return ""
    # The settings behind its name are bench's to say.
    name, _, rest = figure["reference"].replace(": ", ", ").partition(", ")
    name += f", {rest.partition(', ')[0]}" if name == "nats.c" else ""
    return f"{figure['ratio']:.2f} of {number(figure['reference_value'])} ({name})"


def against(figure: dict, held: list[Target]) -> str:
    words = {"value": "", "ratio": " of it", "spread": " spread"}
    said = [f"{t.sign} {t.bound:,g}{words[t.of]}{'' if t.met({t.figure: figure}) else ': **short**'}"
            for t in held if t.figure == figure["bench"]]
    return ", ".join(said).replace("<=", "≤").replace(">=", "≥")


def table(figures: dict, held: list[Target]) -> list[str]:
    said = ["| figure | value | spread | of its reference | held against |", "|---|---|---|---|---|"]
    for name, figure in figures.items():
        unit = UNITS.get(figure["unit"], f" {figure['unit']}")
        said.append(f"| `{name}` | {number(figure['value'])}{unit} | {figure['spread']:.2f} | {reference(figure)} | {against(figure, held)} |")
    return said


if __name__ == "__main__":
    if sys.argv[1:2] not in (["verdict"], ["table"]):
        sys.exit(__doc__)
    kept = Path(sys.argv[2]) if len(sys.argv) > 2 else TREE / "build/bench.jsonl"
    print(*globals()[sys.argv[1]](read(kept.read_text().splitlines()), targets()), sep="\n")
