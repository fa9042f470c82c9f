"""The network in between, as a few TCP relays on one thread: each passes bytes on, or does what networks do.

A Relay stands before one server; `target` may change while it runs (a server that comes back on another port).
Thread: its verbs may be called from any; what they ask for is done on the proxy's own.
"""

import queue
import selectors
import socket
import struct
import threading
import time

CHUNK = 65536
HELD_MAX = 262144  # read ahead for a side that does not take it
TICK_S = 0.02


class Side:
    """One end of a pair: what was read from it waits in `held` for the other end."""

    def __init__(self, sock):
        self.sock, self.other, self.relay = sock, None, None
        self.held = bytearray()
        self.connecting = self.ended = self.drained = False


class Relay:
    def __init__(self, proxy, target=None):
        self.proxy, self.target = proxy, target
        self.mode, self.rate = "pass", 0  # pass, cut, stall, mute, slow
        self.sides, self.pairs = set(), 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]

    def _ask(self, what, *args):
        self.proxy.do(lambda: what(*args))

    def heal(self):
        """Bytes pass; what hung half-open is reset."""
        self._ask(self._heal)

    def cut(self):
        """Every connection ends, and none is made until it is healed."""
        self._ask(self._cut)

    def reset(self):
        """Every connection ends by a reset; new ones pass."""
        self._ask(self._end_all, True)

    def stall(self):
        """Nothing moves, nothing ends."""
        self._ask(self._set, "stall", 0)

    def slow(self, bytes_per_second: int):
        self._ask(self._set, "slow", bytes_per_second)

    def mute(self):
        """What clients send arrives; what servers answer does not: so what was done is not known to be."""
        self._ask(self._set, "mute", 0)

    def half_open(self, which: int | None = None):
        """The servers' ends are closed; the clients are not told: what they send is swallowed.

        which: only every second connection, 0 or 1. (Our clients make a short one beside each, to read the greeting.)
        """
        self._ask(self._half_open, which)

    # --- on the proxy's thread ---

    def _set(self, mode, rate):
        self.mode, self.rate = mode, rate
        for side in self.sides:
            self.proxy.watch(side)

    def _heal(self):
        self._set("pass", 0)
        for side in [s for s in self.sides if s.other is None]:
            self.proxy.close(side, reset=True)

    def _cut(self):
        self._end_all(False)
        self.mode = "cut"

    def _end_all(self, reset):
        for side in list(self.sides):
            self.proxy.close(side, reset)

    def _half_open(self, which):
        for side in [s for s in self.sides if s.client and s.other and which in (None, s.number // 2 % 2)]:
            server, side.other, side.held = side.other, None, bytearray()
            server.other = None
            self.proxy.close(server)
            self.proxy.watch(side)


class Proxy:
    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.asked, self.relays, self.running = queue.SimpleQueue(), [], True
        self.waker, self.wakee = socket.socketpair()
        self.selector.register(self.wakee, selectors.EVENT_READ, self._woken)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def relay(self, target=None) -> Relay:
        relay = Relay(self, target)
        self.relays.append(relay)
        self.do(lambda: self.selector.register(relay.listener, selectors.EVENT_READ, lambda _: self._accept(relay)))
        return relay

    def do(self, what):
        """Has it done on the proxy's thread, and waits for that."""
        done = threading.Event()
        self.asked.put((what, done))
        self.waker.send(b"x")
        done.wait(10)

    def heal(self):
        for relay in self.relays:
            relay.heal()

    def stop(self):
        self.running = False
        self.do(lambda: None)
        self.thread.join()
        for relay in self.relays:
            relay.listener.close()
            for side in list(relay.sides):
                self.close(side)

    # --- its thread ---

    def _run(self):
        ticked = 0.0
        while self.running:
            slow = any(r.mode == "slow" and r.sides for r in self.relays)
            for key, events in self.selector.select(TICK_S if slow else None):
                key.data(events)
            if slow and time.monotonic() - ticked >= TICK_S:
                ticked = time.monotonic()
                self._drip()

    def _woken(self, _):
        self.wakee.recv(4096)
        while not self.asked.empty():
            what, done = self.asked.get()
            what()
            done.set()

    def _accept(self, relay):
        try:
            sock, _ = relay.listener.accept()
        except OSError:
            return
        if relay.mode == "cut" or not relay.target:
            _abort(sock)
            return
        client, server = Side(sock), Side(socket.socket())
        for side, other in ((client, server), (server, client)):
            side.sock.setblocking(False)
            side.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            side.other, side.relay, side.client, side.number = other, relay, side is client, relay.pairs
            relay.sides.add(side)
        relay.pairs += 1
        server.connecting = True
        server.sock.connect_ex(("127.0.0.1", relay.target))
        self.watch(client)
        self.watch(server)

    def watch(self, side):
        """Registers what may be done with the side now."""
        want, mode = 0, side.relay.mode
        passes = mode == "pass" or mode == "mute" and not side.client  # what is written to this side
        reads = mode != "stall" and (mode != "mute" or side.client)
        if side.connecting:
            want = selectors.EVENT_WRITE
        else:
            if not side.ended and (side.other is None or reads and len(side.held) < HELD_MAX):
                want |= selectors.EVENT_READ
            if side.other and passes and (side.other.held or side.other.ended and not side.other.drained):
                want |= selectors.EVENT_WRITE
        known = self.selector.get_map().get(side.sock)
        if want and not known:
            self.selector.register(side.sock, want, lambda events: self._turn(side, events))
        elif want and known.events != want:
            self.selector.modify(side.sock, want, known.data)
        elif known and not want:
            self.selector.unregister(side.sock)

    def close(self, side, reset=False):
        """Ends a pair, from either side."""
        for one in (side, side.other):
            if one is None or one not in one.relay.sides:
                continue
            one.relay.sides.discard(one)
            if self.selector.get_map().get(one.sock):
                self.selector.unregister(one.sock)
            _abort(one.sock) if reset else one.sock.close()

    def _turn(self, side, events):
        if side not in side.relay.sides:
            return
        try:
            if side.connecting:
                error = side.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if error:
                    return self.close(side, reset=True)
                side.connecting = False
            else:
                if events & selectors.EVENT_READ:
                    self._read(side)
                if events & selectors.EVENT_WRITE and side in side.relay.sides:
                    self._write(side, len(side.other.held))
        except OSError:
            return self.close(side, reset=True)
        for one in (side, side.other):
            if one and one in one.relay.sides:
                self.watch(one)

    def _read(self, side):
        data = side.sock.recv(CHUNK)
        if not data and side.other is None:
            return self.close(side)
        if not data:
            side.ended = True
        elif side.other:
            side.held += data  # else half-open: swallowed
            if (side.relay.mode == "pass" or side.relay.mode == "mute" and side.client) and not side.other.connecting:
                self._write(side.other, len(side.held))

    def _write(self, side, most):
        source = side.other
        if source.held and most:
            try:
                del source.held[:side.sock.send(memoryview(source.held)[:most].tobytes())]
            except BlockingIOError:
                return
        if source.ended and not source.held:
            source.drained = True
            side.sock.shutdown(socket.SHUT_WR)
            if side.drained:
                self.close(side)

    def _drip(self):
        for relay in self.relays:
            if relay.mode != "slow":
                continue
            for side in list(relay.sides):
                if side.other and not side.connecting and side in relay.sides:
                    try:
                        self._write(side, max(1, int(relay.rate * TICK_S)))
                        for one in (side, side.other):
                            if one in relay.sides:  # writing the end of one ends both
                                self.watch(one)
                    except OSError:
                        self.close(side, reset=True)


def _abort(sock):
    """Closes by a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
