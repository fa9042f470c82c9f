"""`lane feed check`: what it prints equals what an independent script computed from the same file."""

import json
import os
import subprocess

import pytest
from support import places

MADE = places.BUILD / "test" / "data"
SYMBOL_FIELDS = ("channels", "snapshot_lastUpdateId", "snapshot_levels", "depth_stale_dropped", "depth_applied",
                 "depth_gaps", "final_u", "depth_level_rows_incl_snapshot", "final_book", "trades", "aggTrades",
                 "last_bookTicker")


def check(capture, *args, code: int = 0) -> dict:
    done = subprocess.run([str(places.program("lane")), "feed", "check", "binance", "--capture", str(capture), "--json",
                           *map(str, args)], capture_output=True, text=True, timeout=300 * places.PATIENCE,
                          env={**os.environ, "TL_NATS_SERVER": places.nats_server()})
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def compare(found: dict, golden: dict):
    for symbol, expected in golden["symbols"].items():
        ours = found["symbols"][symbol]
        for field in SYMBOL_FIELDS:
            if field in expected:
                want = expected[field]
                if field in ("trades", "aggTrades"):  # sums are texts of exact decimals on our side
                    want = {k: str(v) if k in ("sum_qty", "sum_notional", "vwap", "high", "low") else v
                            for k, v in want.items()}
                got = ours.get(field)
                if isinstance(want, dict):
                    got = {k: v for k, v in got.items() if k in want}
                assert got == want, f"{symbol} {field}"
        assert ours["whole"] if "snapshot_lastUpdateId" in expected else "whole" not in ours
    assert found["symbols"].keys() == golden["symbols"].keys()


def nothing_wrong(found: dict):
    assert found["ok"] and found["duplicates"] == 0 and found["unreadable"] == 0
    assert found["frames"] == found["frames_sent"]
    assert found["book_checks"]["differences"] == 0


def test_the_small_seeded_capture(tmp_path):
    found = check(MADE / "small.gz", "--seed", 7)
    compare(found, json.loads((MADE / "expected.json").read_text())["small.gz"])
    nothing_wrong(found)
    assert found["book_checks"] == {"compared": 21, "differences": 0, "seed": 7}


def test_the_small_capture_with_removed_frames():
    found = check(MADE / "gap.gz")
    golden = json.loads((MADE / "expected.json").read_text())["gap.gz"]
    nothing_wrong(found)
    (symbol,) = found["symbols"].values()
    (expected,) = golden["symbols"].values()
    assert symbol["gaps"] == symbol["resyncs"] == symbol["depth_gaps"] == len(golden["gaps"])
    assert symbol["wholes"] == 1 + len(golden["gaps"])
    assert symbol["final_u"] == expected["final_u"]


def test_the_large_spot_capture(captures):
    found = check(captures / "binance_spot" / "btcusdt_20240808.gz")
    golden = json.loads((captures / "golden.json").read_text())["binance_spot/btcusdt_20240808.gz"]
    compare(found, golden)
    nothing_wrong(found)
    assert found["frames"] + found["snapshots"] == golden["frames"]
    assert found["book_checks"]["compared"] == 21


def test_the_four_thin_symbols(captures):
    found = check(captures / "cryptofeed" / "BINANCE.ws.1.0.gz")
    golden = json.loads((captures / "golden.json").read_text())["cryptofeed/BINANCE.ws.1.0.gz + BINANCE.http.0.0.gz"]
    compare(found, golden)
    nothing_wrong(found)
    assert found["frames"] == golden["frames"]
    assert found["book_checks"]["compared"] == 24


def test_the_derived_gap_capture(captures):
    found = check(captures / "derived_gap" / "btcusdt_spot_gap1.gz")
    golden = json.loads((captures / "derived_gap" / "golden.json").read_text())["files"]["btcusdt_spot_gap1.gz"]
    nothing_wrong(found)
    symbol = found["symbols"]["BTCUSDT"]
    consumer = golden["reference_consumer"]
    assert symbol["channels"]["depth@100ms"] == golden["depth_frames"]
    assert symbol["depth_gaps"] == symbol["gaps"] == symbol["resyncs"] == consumer["gaps"]
    assert symbol["wholes"] == consumer["syncs"] and symbol["final_u"] == golden["final_u"]
    assert symbol["final_book"]["bids"] == golden["true_final_top10"]["bids"][:5]
    assert symbol["final_book"]["asks"] == golden["true_final_top10"]["asks"][:5]


@pytest.mark.parametrize("args,says", [
    (["bitmex", "--capture", "x"], "not 'binance'"), (["binance"], "--capture FILE is missing"),
    (["binance", "--capture", "/nonexistent"], "cannot be read"), (["binance", "--capture", "/dev/null"], "no frame of the venue"),
])
def test_mistakes_are_named(args, says):
    done = subprocess.run([str(places.program("lane")), "feed", "check", *args], capture_output=True, text=True,
                          timeout=60 * places.PATIENCE, env={**os.environ, "TL_NATS_SERVER": places.nats_server()})
    assert done.returncode in (1, 2) and says in done.stderr, done.stderr


def test_an_interrupt_leaves_no_process_and_no_folder(tmp_path):
    import signal
    import time
    process = subprocess.Popen([str(places.program("lane")), "feed", "check", "binance", "--capture", str(MADE / "small.gz"),
                                "--speed", "0.01x"], stderr=subprocess.PIPE, text=True,
                               env={**os.environ, "TMPDIR": str(tmp_path), "TL_NATS_SERVER": places.nats_server()})
    process.stderr.readline()  # play goes on
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True).stdout.split()
    assert len(children) == 4
    process.send_signal(signal.SIGINT)
    assert process.wait(30 * places.PATIENCE) == 1 and "interrupted" in process.stderr.read()
    time.sleep(0.1)
    assert list(tmp_path.iterdir()) == []
    assert not [pid for pid in children if os.path.exists(f"/proc/{pid}")]
