"""simexd through real sockets, by a stock WebSocket client. Source: schemas/specs/simexd.md."""

import contextlib
import gzip
import json
import re
import signal
import socket
import subprocess
import time

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode

from support.places import BUILD, PATIENCE
from support.venue import Later, Simexd, check_books, read_collector, take


@pytest.fixture
def simexd(tmp_path):
    """simexd("--capture", …) starts one on free ports; all are ended with the test."""
    made = []

    def start(*args, **options) -> Simexd:
        made.append(Simexd(tmp_path, *args, **options))
        return made[-1]

    yield start
    for sim in made:
        sim.kill()


def small():
    """The seeded capture that the build makes: lines, and what must be found in it."""
    path = BUILD / "test" / "data" / "small.gz"
    expected = json.loads((BUILD / "test" / "data" / "expected.json").read_text())
    return path, read_collector(path), expected["small.gz"]


def streams_of(lines):
    return sorted({json.loads(text)["stream"] for _, text in lines if text.startswith('{"stream"')})


def trade(n: int) -> str:
    return json.dumps({"stream": "btcusdt@trade", "data": {
        "e": "trade", "E": 1, "s": "BTCUSDT", "t": n, "p": "1.00", "q": "2.0", "T": 1, "m": True, "M": True}}, separators=(",", ":"))


def upgraded(sim) -> socket.socket:
    """A WebSocket that answers nothing by itself."""
    wire = socket.create_connection(("127.0.0.1", sim.port), timeout=20 * PATIENCE)
    wire.sendall(b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
    received = b""
    while b"\r\n\r\n" not in received:
        received += wire.recv(1)
    assert received.startswith(b"HTTP/1.1 101 ")
    return wire


def read_to_end(wire: socket.socket) -> bytes:
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := wire.recv(4096):
            received += chunk
    return received


@pytest.fixture
def trades(tmp_path, simexd):
    """trades(count, spacing_ms, …): simexd playing a capture of that many trades."""

    def start(count: int, spacing_ms: int, *args) -> Simexd:
        path = tmp_path / "trades.gz"
        with gzip.open(path, "wt") as f:
            for n in range(1, count + 1):
                f.write(f"{1723161200000000000 + n * spacing_ms * 1000000} {trade(n)}\n")
        return simexd("--capture", path, *args)

    return start


def data(message: str) -> dict:
    message = json.loads(message)
    return message.get("data", message)


# --- subscriptions ------------------------------------------------------------------------------------


def test_a_connection_subscribes_lists_unsubscribes_and_is_answered_by_id(simexd):
    sim = simexd("--rate", 2000)
    with sim.connect("/ws") as ws:
        ws.send('{"method":"SUBSCRIBE","params":["btcusdt@trade","ethusdt@bookTicker"],"id":1}')
        assert json.loads(ws.recv(timeout=20 * PATIENCE)) == {"result": None, "id": 1}
        seen = {data(m).get("e", "bookTicker") for m in take(ws, 200)}
        assert seen == {"trade", "bookTicker"}
        ws.send('{"method":"LIST_SUBSCRIPTIONS","id":"x"}')
        ws.send('{"method":"UNSUBSCRIBE","params":["btcusdt@trade","ethusdt@bookTicker"],"id":2}')
        answers = []
        while len(answers) < 2:
            message = json.loads(ws.recv(timeout=20 * PATIENCE))
            answers += [message] if "result" in message else []
        assert answers[0] == {"result": ["btcusdt@trade", "ethusdt@bookTicker"], "id": "x"}
        with pytest.raises(TimeoutError):
            ws.recv(timeout=0.3)
        assert sim.status()["clients"][0]["streams"] == 0


def test_raw_paths_send_payloads_and_combined_paths_wrap_them(simexd):
    sim = simexd("--rate", 2000)
    with sim.connect("/ws/btcusdt@bookTicker") as raw, sim.connect("/stream?streams=btcusdt@bookTicker/btcusdt@depth@100ms") as both:
        assert set(json.loads(raw.recv(timeout=20 * PATIENCE))) == {"u", "s", "b", "B", "a", "A"}
        names = {json.loads(m)["stream"] for m in take(both, 300)}
        assert names == {"btcusdt@bookTicker", "btcusdt@depth@100ms"}


def test_requests_that_are_wrong_get_the_venues_errors(simexd):
    sim = simexd()
    with sim.connect("/ws") as ws:
        ws.send("{nonsense")
        assert json.loads(ws.recv(timeout=20 * PATIENCE))["code"] == 3
        ws.send('{"method":"FLY","id":7}')
        answer = json.loads(ws.recv(timeout=20 * PATIENCE))
        assert (answer["code"], answer["id"]) == (2, 7) and "unknown variant `FLY`" in answer["msg"]
    for path, status in (("/nowhere", 404), ("/ws/no-stream", 400), ("/stream?streams=bad", 400)):
        with pytest.raises(InvalidStatus) as refused:
            sim.connect(path)
        assert refused.value.response.status_code == status


@pytest.mark.parametrize("messages, reason", [
    (["{}"] * 12, "too many messages"),
    (['{"method":"SUBSCRIBE","params":%s,"id":1}' % json.dumps([f"s{i}@trade" for i in range(1025)])], "too many streams"),
    (["x" * 70000], "request too long"),
    ([b"binary"], "binary message"),
])
def test_a_connection_beyond_a_limit_is_closed_with_a_reason(simexd, messages, reason):
    """By a socket of our own: the stock client hangs up unread when the server is gone before all is written."""
    wire = upgraded(simexd())
    with contextlib.suppress(OSError):  # the close may come before the last of them is out
        for message in messages:
            opcode, data = (Opcode.BINARY, message) if isinstance(message, bytes) else (Opcode.TEXT, message.encode())
            wire.sendall(Frame(opcode, data).serialize(mask=True))
    with wire:
        assert read_to_end(wire).endswith(b"\x88" + bytes([2 + len(reason)]) + (1008).to_bytes(2, "big") + reason.encode())


def test_the_server_pings_and_drops_who_does_not_answer(simexd):
    sim = simexd("--ping-every", "200ms", "--pong-within", "3s", "--rate", 1)
    quiet = upgraded(sim)
    with sim.connect("/ws") as answering:
        received = read_to_end(quiet)
        assert b"\x89\x0d" in received, "a ping whose payload is a time in ms"
        answering.send('{"method":"LIST_SUBSCRIPTIONS","id":1}')
        assert json.loads(answering.recv(timeout=20 * PATIENCE)) == {"result": [], "id": 1}
    quiet.close()


def test_a_connection_reaches_its_age_limit(simexd):
    sim = simexd("--connection-limit", "300ms")
    with sim.connect("/ws") as ws:
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(timeout=20 * PATIENCE)
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1001, "24h limit")


def test_an_orderly_end_is_announced_and_leaves_no_port(simexd):
    sim = simexd()
    with sim.connect("/ws") as raw, sim.connect("/stream?streams=none@trade") as combined:
        sim.signal(signal.SIGTERM)
        assert json.loads(raw.recv(timeout=20 * PATIENCE))["e"] == "serverShutdown"
        last = json.loads(combined.recv(timeout=20 * PATIENCE))
        assert (last["stream"], last["data"]["e"]) == ("!serverShutdown", "serverShutdown")
        for ws in (raw, combined):
            with pytest.raises(ConnectionClosed) as closed:
                ws.recv(timeout=20 * PATIENCE)
            assert closed.value.rcvd.code == 1001
    assert sim.wait() == 0
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", sim.port), timeout=1)


# --- REST ---------------------------------------------------------------------------------------------


def test_rest_answers_and_refuses_as_the_venue(simexd):
    sim = simexd()
    assert sim.http("GET", "/api/v3/ping") == (200, b"{}")
    assert abs(sim.get("/api/v3/time")["serverTime"] / 1000 - time.time()) < 5
    info = sim.get("/api/v3/exchangeInfo")
    assert [s["symbol"] for s in info["symbols"]] == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
    filters = {f["filterType"]: f for f in info["symbols"][0]["filters"]}
    assert filters["PRICE_FILTER"]["tickSize"] == "0.01000000" and filters["LOT_SIZE"]["stepSize"] == "0.00001000"
    assert [s["symbol"] for s in sim.get('/api/v3/exchangeInfo?symbols=%5B%22SOLUSDT%22,%22BTCUSDT%22%5D')["symbols"]] == ["BTCUSDT", "SOLUSDT"]
    depth = sim.get("/api/v3/depth?symbol=BTCUSDT&limit=7")
    assert len(depth["bids"]) == len(depth["asks"]) == 7
    assert float(depth["bids"][0][0]) > float(depth["bids"][1][0]) and float(depth["bids"][0][0]) < float(depth["asks"][0][0])
    refused = {
        "/api/v3/depth": -1102, "/api/v3/depth?symbol=": -1102, "/api/v3/depth?symbol=NOPE": -1121,
        "/api/v3/depth?symbol=btc%20usdt": -1100, "/api/v3/depth?symbol=BTCUSDT&limit=ten": -1100,
        "/api/v3/depth?symbol=BTCUSDT&limit=0": -1130, "/api/v3/exchangeInfo?symbol=NOPE": -1121,
        "/api/v3/exchangeInfo?symbol=BTCUSDT&symbols=%5B%22BTCUSDT%22%5D": -1128,
        "/api/v3/klines?symbol=BTCUSDT&interval=2m": -1120,
    }
    for path, code in refused.items():
        status, body = sim.http("GET", path)
        assert (status, json.loads(body)["code"]) == (400, code), path
    assert sim.http("GET", "/api/v3/nothing")[0] == 404
    assert sim.http("POST", "/api/v3/depth", {})[0] == 405
    assert sim.http("POST", "/sim/v1/fault", {"kind": "drop", "count": 0})[0] == 400
    assert sim.http("GET", "/sim/v1/book?symbol=NOPE")[0] == 404
    assert sim.http("GET", "/sim/v1/book?symbol=BTCUSDT&update_id=9000000000000000000")[0] == 409


@pytest.mark.parametrize("first, status", [(b"POST", b"200"), (b"PUT", b"405")])
def test_a_request_is_answered_once_and_what_is_sent_behind_it_is_not_read(simexd, first, status):
    body = b'{"kind":"drop"}'
    asked = first + b" /sim/v1/fault HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with socket.create_connection(("127.0.0.1", simexd().port), timeout=20 * PATIENCE) as wire:
        wire.sendall(asked + 3 * asked)
        answers = read_to_end(wire)
    assert re.findall(rb"HTTP/1\.1 (\d+)", answers) == [status] and b"\r\nconnection: close\r\n" in answers, answers


def test_a_port_in_use_and_a_capture_that_is_not_there_are_named(simexd, tmp_path):
    sim = simexd()
    program = sim.argv[0]
    for args, words in ((["--listen", f"127.0.0.1:{sim.port}"], str(sim.port)), (["--listen", "127.0.0.1:0", "--capture", "/no/such.gz"], "/no/such.gz"),
                        (["--listen", "127.0.0.1:0", "--speed", "fast"], "'fast'"), (["--listen", "127.0.0.1:0", "--fault", "boom"], "boom")):
        run = subprocess.run([program, "--http", "127.0.0.1:0", *args], capture_output=True, timeout=20)
        assert run.returncode == 1 and words in run.stderr.decode(), run.stderr


def test_the_port_is_bound_to_the_address_given_and_no_other(simexd):
    sim = simexd()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", sim.port), timeout=20 * PATIENCE)


def test_the_port_can_speak_tls(simexd, tmp_path):
    import ssl
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "1",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    sim = simexd("--rate", 1000, tls=(cert, key))
    from websockets.sync.client import connect
    trust = ssl.create_default_context(cafile=str(cert))
    with connect(f"wss://localhost:{sim.port}/ws/btcusdt@bookTicker", ssl=trust, compression=None) as ws:
        assert json.loads(ws.recv(timeout=20 * PATIENCE))["s"] == "BTCUSDT"


# --- capture play -------------------------------------------------------------------------------------


def play_all(sim: Simexd, lines, symbol: str):
    """Subscribes to all of it as it was recorded; returns frames and the depth answers."""
    frames = [text for _, text in lines if text.startswith('{"stream"')]
    snapshots = [text for _, text in lines if not text.startswith('{"stream"')]
    with sim.connect("/stream?streams=" + "/".join(streams_of(lines))) as ws:
        depth = sim.later(f"/api/v3/depth?symbol={symbol}&limit=5000")
        got = take(ws, len(frames), timeout=30)
        with pytest.raises(TimeoutError):
            ws.recv(timeout=0.1)
        return frames, got, snapshots, depth.result()


def test_a_capture_leaves_byte_for_byte_and_the_books_are_the_venues(simexd, tmp_path):
    path, lines, expected = small()
    symbol = next(iter(expected["symbols"]))
    sim = simexd("--capture", path, "--speed", "max", "--send-log", tmp_path / "sent.ndjson")
    frames, got, snapshots, depth = play_all(sim, lines, symbol)
    assert got == frames
    assert depth == (200, snapshots[0].encode())
    end = sim.wait_state("ended")
    assert end["frames_played"] == end["frames_total"] == len(frames) and end["bad_lines"] == 0
    check_books(sim, symbol, json.loads(snapshots[0]), [data(f) for f in frames if "depthUpdate" in f])
    log = sim.sent_log()
    assert [e["n"] for e in log] == list(range(1, len(frames) + 2))
    assert all(e["connections"] == 1 and e["fault"] == "" for e in log)
    assert [e["recorded_ns"] for e in log if e["recorded_ns"]] == [t for t, text in lines if text.startswith('{"stream"')]
    assert [e["last_id"] for e in log if e["channel"] == "depth"] == [data(f)["u"] for f in frames if "depthUpdate" in f]
    assert sim.stop() == 0
    assert [json.loads(line) for line in open(tmp_path / "sent.ndjson")] == log


def test_the_large_capture_leaves_byte_for_byte_and_ends_with_the_golden_book(simexd, captures):
    lines = read_collector(captures / "binance_spot/btcusdt_20240808.gz")
    golden = json.loads((captures / "golden.json").read_text())["binance_spot/btcusdt_20240808.gz"]["symbols"]["BTCUSDT"]
    sim = simexd("--capture", captures / "binance_spot/btcusdt_20240808.gz", "--speed", "max")
    frames, got, snapshots, depth = play_all(sim, lines, "BTCUSDT")
    assert got == frames and depth == (200, snapshots[0].encode())
    channels = sim.wait_state("ended")["symbols"]["BTCUSDT"]["channels"]
    assert channels == {"depth": 3451, "bookTicker": 28040, "trade": 9757}
    book = sim.book("BTCUSDT")
    assert book["update_id"] == golden["final_u"] and book["complete"]
    assert (len(book["bids"]), len(book["asks"])) == (golden["final_book"]["bid_levels"], golden["final_book"]["ask_levels"])
    assert (book["bids"][:5], book["asks"][:5]) == (golden["final_book"]["bids"], golden["final_book"]["asks"])
    check_books(sim, "BTCUSDT", json.loads(snapshots[0]), [data(f) for f in frames if "depthUpdate" in f])


def test_four_thin_symbols_of_the_other_format_and_their_exchange_info(simexd, captures):
    sim = simexd("--capture", captures / "cryptofeed/BINANCE.ws.1.0.gz", "--speed", "max")
    golden = json.loads((captures / "golden.json").read_text())["cryptofeed/BINANCE.ws.1.0.gz + BINANCE.http.0.0.gz"]["symbols"]
    recorded = [line.rstrip("\n").split(": ", 1)[1] for line in gzip.open(captures / "cryptofeed/BINANCE.ws.1.0.gz", "rt") if line[0] == "1"]
    names = sorted({json.loads(f)["stream"] for f in recorded})
    with sim.connect("/stream?streams=" + "/".join(names)) as ws:
        answers = {s: sim.later(f"/api/v3/depth?symbol={s}&limit=5000") for s in golden}
        assert take(ws, len(recorded)) == recorded
        for symbol, want in golden.items():
            status, body = answers[symbol].result()
            snapshot = json.loads(body)
            assert status == 200 and snapshot["lastUpdateId"] == want["snapshot_lastUpdateId"]
            book = sim.book(symbol)
            assert book["update_id"] == want["final_u"] and book["bids"][:5] == want["final_book"]["bids"]
            check_books(sim, symbol, snapshot, [data(f) for f in recorded if f'"s":"{symbol}"' in f and "depthUpdate" in f])
    symbols = {s["symbol"]: s for s in sim.get("/api/v3/exchangeInfo")["symbols"]}
    assert set(symbols) == set(golden)
    recorded_info = json.loads((captures / "cryptofeed/BINANCE.exchangeInfo.4symbols.json").read_text())
    assert symbols == {s["symbol"]: s for s in recorded_info["symbols"]}


def test_a_second_request_gets_the_second_snapshot_and_a_third_the_own_book(simexd, captures):
    path = captures / "derived_gap/btcusdt_spot_gap1.gz"
    lines = read_collector(path)
    snapshots = [text for _, text in lines if not text.startswith('{"stream"')]
    sim = simexd("--capture", path, "--speed", "max")
    with sim.connect("/stream?streams=" + "/".join(streams_of(lines))) as ws:
        for snapshot in snapshots:
            status, body = sim.later("/api/v3/depth?symbol=BTCUSDT&limit=5000").result()
            assert body == snapshot.encode()
        take(ws, len(lines) - len(snapshots))
    end = sim.wait_state("ended")
    assert end["snapshots"] == {"recorded": 2, "passed": 2, "served": 2, "own": 0, "waiting": 0}
    assert end["symbols"]["BTCUSDT"]["gaps"] == 1
    golden = json.loads((captures / "derived_gap/golden.json").read_text())["files"]["btcusdt_spot_gap1.gz"]
    own = sim.get("/api/v3/depth?symbol=BTCUSDT&limit=10")
    assert own["lastUpdateId"] == golden["final_u"]
    assert (own["bids"], own["asks"]) == (golden["true_final_top10"]["bids"], golden["true_final_top10"]["asks"])
    gap = golden["gaps"][0]
    during = sim.book("BTCUSDT", gap["first_event_after_gap"]["u"])
    assert not during["complete"] and sim.book("BTCUSDT")["complete"]


def test_play_waits_for_the_subscriptions_and_holds_for_the_depth_request(simexd):
    path, lines, expected = small()
    symbol = next(iter(expected["symbols"]))
    names = streams_of(lines)
    sim = simexd("--capture", path, "--speed", "max")
    with sim.connect("/ws/" + "/".join(names[1:])) as ws:
        status = sim.status()
        assert status["state"] == "waiting" and status["waiting_for"] == names[:1]
        ws.send(json.dumps({"method": "SUBSCRIBE", "params": names[:1], "id": 1}))
        held = sim.wait_state("holding")
        assert held["hold"]["symbol"] == symbol
        before = held["frames_played"]
        time.sleep(0.2)
        assert sim.status()["frames_played"] == before
        assert sim.http("GET", f"/api/v3/depth?symbol={symbol}&limit=5000")[0] == 200
        sim.wait_state("ended")


def test_a_hold_ends_at_its_time_out_and_says_so(simexd):
    path, lines, expected = small()
    sim = simexd("--capture", path, "--speed", "max", "--hold-timeout", "200ms")
    with sim.connect("/ws/" + "/".join(streams_of(lines))):
        end = sim.wait_state("ended")
    assert end["snapshots"]["served"] == 0 and end["snapshots"]["passed"] >= 1
    assert "hold_timeout" in [e["fault"] for e in sim.sent_log()]
    sim.wait_line("no depth request within the hold time-out")


def test_frames_keep_their_spacing_times_the_speed(trades):
    sim = trades(21, 50, "--speed", "2x")
    with sim.connect("/ws/btcusdt@trade") as ws:
        take(ws, 21)
    sent = [e["sent_ns"] for e in sim.sent_log()]
    # Each frame is due by the first one's time, so a late one does not delay the next.
    late = [(at - sent[0]) / 1e9 - n * 0.025 for n, at in enumerate(sent)]
    assert min(late) > -0.02, "none comes before its time, the first one's lateness apart"
    assert late[-1] < 2 * PATIENCE


def test_play_goes_on_when_nobody_is_connected_any_more(trades):
    sim = trades(400, 10)
    with sim.connect("/ws/btcusdt@trade") as ws:
        take(ws, 5)
    sim.wait_state("ended")
    connections = [e["connections"] for e in sim.sent_log()]
    assert len(connections) == 400 and connections[0] == 1 and connections[-1] == 0


def test_play_starts_late_when_told_so_and_can_be_paused(trades):
    sim = trades(50, 10, "--start-after", "100ms")
    sim.wait_state("ended")
    sim = trades(600, 10)
    sim.http("POST", "/sim/v1/play", {"action": "start"})
    sim.wait_state("playing")
    assert json.loads(sim.http("POST", "/sim/v1/play", {"action": "pause"})[1])["state"] == "holding"
    played = sim.status()["frames_played"]
    time.sleep(0.2)
    assert sim.status()["frames_played"] == played
    sim.http("POST", "/sim/v1/play", {"action": "resume"})
    sim.wait_state("ended")
    assert sim.http("POST", "/sim/v1/play", {"action": "start"})[0] == 409


def test_at_full_speed_a_slow_reader_slows_the_play_and_loses_nothing(trades):
    sim = trades(200000, 1, "--speed", "max")
    with sim.connect("/ws/btcusdt@trade", max_size=None) as ws:
        first = take(ws, 1)
        sim.wait_state("playing")
        ids = [json.loads(first[0])["t"]] + [json.loads(m)["t"] for m in take(ws, 199999, timeout=60)]
    assert ids == list(range(1, 200001))


# --- faults -------------------------------------------------------------------------------------------


def ids_until(ws, last: int) -> list:
    """Trade ids as they come, other messages as they are."""
    got = []
    while not got or got[-1] != last:
        message = ws.recv(timeout=10 * PATIENCE)
        try:
            got.append(json.loads(message)["t"])
        except (ValueError, KeyError, TypeError):
            got.append(message)
    return got


@pytest.mark.parametrize("fault, received, log", [
    ("drop:after_frames=2:count=2", [1, 2, 5, 6], [("drop", 3), ("drop", 4)]),
    ("duplicate:after_frames=2", [1, 2, 3, 3, 4, 5, 6], [("duplicate", 3)]),
    ("reorder:after_frames=2", [1, 2, 4, 3, 5, 6], [("reorder", 4), ("reorder", 3)]),
])
def test_faults_on_frames_do_what_they_say_and_are_written_down(trades, fault, received, log):
    sim = trades(6, 20, "--fault", f"{fault}:symbol=BTCUSDT:channel=trade")
    with sim.connect("/ws/btcusdt@trade") as ws:
        assert ids_until(ws, 6) == received
    assert [(e["fault"], e["last_id"]) for e in sim.sent_log() if e["fault"]] == log
    assert sim.get("/sim/v1/fault")[0]["state"] == "done"


def test_garbage_and_truncated_frames_arrive_as_such(trades):
    sim = trades(40, 5, "--fault", "garbage:count=20:seed=3", "--fault", "truncate:after_frames=5:count=2")
    with sim.connect("/ws/btcusdt@trade") as ws:
        got = ids_until(ws, 40)
    frames = [g for g in got if isinstance(g, int)]
    others = [g for g in got if not isinstance(g, int)]
    log = sim.sent_log()
    cut = [e["last_id"] for e in log if e["fault"] == "truncate"]
    assert len(cut) == 2 and frames == [n for n in range(1, 41) if n not in cut]
    assert len(others) == 22 and any(isinstance(o, bytes) for o in others)
    assert sum(e["fault"] == "garbage" for e in log) == 20


def test_a_stall_comes_late_and_in_order(trades):
    sim = trades(400, 10)
    with sim.connect("/ws/btcusdt@trade") as ws:
        take(ws, 5)
        sim.fault(kind="stall", for_ms=300)
        assert ids_until(ws, 400) == list(range(6, 401))
    log = sim.sent_log()
    held = [e for e in log if e["fault"] == "stall"]
    assert [e["last_id"] for e in held] == list(range(held[0]["last_id"], held[0]["last_id"] + len(held)))
    before = log[held[0]["n"] - 2]
    assert held[0]["sent_ns"] - before["sent_ns"] > 250e6


def test_half_open_is_silence_and_then_a_broken_connection(trades):
    sim = trades(100, 10)
    with sim.connect("/ws/btcusdt@trade", ping_interval=None) as ws:
        take(ws, 5)
        begin = time.monotonic()
        sim.fault(kind="half_open", for_ms=300)
        with pytest.raises((ConnectionClosed, ConnectionError)) as closed:
            while True:
                ws.recv(timeout=20 * PATIENCE)
        assert time.monotonic() - begin >= 0.3
        assert getattr(closed.value, "rcvd", None) is None, "no close frame"
    log = sim.sent_log()
    fell_silent = next(e["n"] for e in log if e["fault"] == "half_open")
    assert all(e["connections"] == 0 for e in log[fell_silent:])


@pytest.mark.parametrize("code", [1001, 4000, 0])
def test_close_ends_the_connections_of_a_stream_and_new_ones_are_welcome(trades, code):
    sim = trades(3000, 10)
    with sim.connect("/ws/none@trade") as other:
        with sim.connect("/ws/btcusdt@trade") as ws:
            take(ws, 3)
            sim.fault(kind="close", symbol="BTCUSDT", code=code)
            with pytest.raises(ConnectionClosed) as closed:
                take(ws, 100)
            assert (closed.value.rcvd.code if closed.value.rcvd else 0) == code
        with sim.connect("/ws/btcusdt@trade") as ws:
            take(ws, 3)
        other.send('{"method":"LIST_SUBSCRIPTIONS","id":1}')
        assert json.loads(other.recv(timeout=20 * PATIENCE))["id"] == 1


def test_a_shutdown_is_told_before_the_connection_ends(trades):
    sim = trades(3000, 10)
    with sim.connect("/ws/btcusdt@trade") as ws:
        take(ws, 3)
        sim.fault(kind="shutdown", for_ms=1000)
        got = []
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                got.append(json.loads(ws.recv(timeout=20 * PATIENCE))["e"])
        assert closed.value.rcvd.code == 1001
        told = got.index("serverShutdown")
        assert "trade" in got[told:], "frames go on until the end"


# --- the synthetic market -----------------------------------------------------------------------------


def test_the_market_agrees_with_itself_for_a_client_that_follows_the_manual(simexd):
    sim = simexd("--rate", 3000, "--seed", 5)
    with sim.connect("/stream?streams=btcusdt@depth@100ms/btcusdt@trade/btcusdt@aggTrade/btcusdt@bookTicker/btcusdt@kline_1s") as ws:
        take(ws, 1)
        snapshot = sim.get("/api/v3/depth?symbol=BTCUSDT&limit=5000")
        got = [json.loads(m) for m in take(ws, 6000)]
    events = [m["data"] for m in got if m["stream"].endswith("depth@100ms")]
    last = [e for e in events if e["u"] > snapshot["lastUpdateId"]]
    assert len(last) > 5
    from support.venue import Book
    book = Book(snapshot)
    for e in events:
        book.apply(e)
    assert book.equals(sim.book("BTCUSDT", book.update_id))
    trade_ids = [m["data"]["t"] for m in got if m["stream"].endswith("@trade")]
    assert trade_ids == list(range(trade_ids[0], trade_ids[0] + len(trade_ids)))
    traded = [m["data"] for m in got if m["stream"].endswith("@trade")]
    for bar in (m["data"]["k"] for m in got if m["stream"].endswith("kline_1s") and m["data"]["k"]["x"]):
        inside = [t for t in traded if bar["t"] <= t["T"] <= bar["T"]]
        if inside and bar["f"] >= trade_ids[0] and bar["L"] <= trade_ids[-1]:
            assert bar["n"] == len(inside) and float(bar["h"]) == max(float(t["p"]) for t in inside)
            assert abs(float(bar["v"]) - sum(float(t["q"]) for t in inside)) < 1e-6


def first_trades(sim: Simexd, count: int) -> list[dict]:
    with sim.connect("/ws/btcusdt@trade") as ws:
        return [json.loads(m) for m in take(ws, count)]


def test_a_seed_gives_one_flow_and_ids_never_go_back_over_a_kill(simexd, tmp_path):
    args = ("--speed", "max", "--events", 200000, "--seed", 11, "--state", tmp_path, "--symbols", "BTCUSDT")
    sim = simexd(*args, name="one")
    before = first_trades(sim, 5000)
    highest = max(sim.status()["symbols"]["BTCUSDT"]["last_update_id"], before[-1]["t"])
    sim.kill()
    sim = simexd(*args, name="two")
    after = first_trades(sim, 5000)
    assert after[0]["t"] > before[-1]["t"]
    assert sim.book("BTCUSDT")["base_id"] > highest
    assert [(t["p"], t["q"], t["m"]) for t in before] == [(t["p"], t["q"], t["m"]) for t in after]
    assert int((tmp_path / "simexd.ids").read_text()) > after[-1]["t"]


def test_times_come_in_microseconds_when_asked_for(simexd):
    sim = simexd("--rate", 2000)
    with sim.connect("/ws/btcusdt@trade?timeUnit=MICROSECOND") as micros, sim.connect("/ws/btcusdt@trade") as millis:
        a = {(t := json.loads(m))["t"]: t for m in take(micros, 50)}
        b = {(t := json.loads(m))["t"]: t for m in take(millis, 50)}
    common = set(a) & set(b)
    assert common and all(a[n]["T"] // 1000 == b[n]["T"] and a[n]["p"] == b[n]["p"] for n in common)
    assert abs(next(iter(a.values()))["E"] / 1e6 - time.time()) < 30


def test_at_full_speed_the_market_stands_until_somebody_subscribes(simexd):
    sim = simexd("--speed", "max", "--events", 50000)
    assert sim.status()["state"] == "waiting" and sim.status()["frames_played"] == 0
    with sim.connect("/stream?streams=btcusdt@trade/btcusdt@depth@100ms") as ws:
        first = Later(lambda: take(ws, 1000))
        assert len(first.result()) == 1000
        while True:
            try:
                ws.recv(timeout=1)
            except TimeoutError:
                break
        sim.wait_state("ended")


def test_metrics_and_help(simexd):
    sim = simexd("--rate", 5000)
    port = int(re.search(r"listening http=127\.0\.0\.1:(\d+)", sim.output())[1])
    import urllib.request
    end, frames = time.monotonic() + 10 * PATIENCE, 0
    while frames == 0 and time.monotonic() < end:
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
        frames = float(re.search(r"^tradelane_simexd_frames_total (\S+)", text, re.M)[1])
    assert frames > 0
    usage = subprocess.run([sim.argv[0], "--help"], capture_output=True, text=True)
    assert usage.returncode == 0 and "--capture" in usage.stdout


def test_a_port_that_is_taken_is_one_sentence(simexd):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        run = subprocess.run([simexd().argv[0], "--listen", taken, "--http", "127.0.0.1:0"], capture_output=True, text=True, timeout=20)
    errors = [line for line in run.stderr.splitlines() if " ERROR " in line]
    assert run.returncode == 1 and len(errors) == 1 and f"'{taken}': the port is in use" in errors[0], run.stderr
    assert "libwebsockets" not in run.stderr


def test_a_setting_of_the_broker_is_neither_listed_nor_taken(simexd):
    program = simexd().argv[0]
    told = subprocess.run([program, "--help"], capture_output=True, check=True).stdout.decode()
    assert "--http" in told and "--log-level" in told
    assert "nats" not in told and "--clock" not in told
    run = subprocess.run([program, "--nats-url", "nats://127.0.0.1:4222"], capture_output=True, timeout=20)
    assert run.returncode == 2 and b"--nats-url" in run.stderr
