"""What an acknowledgement of the broker means. Source: docs/durability.md, whose claims name these tests."""

import ctypes
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from support.broker import Broker
from support.bus import Bus
from support.places import PATIENCE
from support.sides import SidesBroker, make_credentials
from support.spine import wait_for
from support.stack import Stack

EVENTS = 200
KERNEL_S = 20  # Linux leaves what nobody asks for in memory for 30 s


def make_stream(bus, name: str = "ACT", subject: str = "act.>"):
    answer = json.loads(bus.request(f"$JS.API.STREAM.CREATE.{name}", json.dumps(
        {"name": name, "subjects": [subject], "storage": "file"}).encode()).data)
    assert "error" not in answer, answer


def publish(bus, count: int, first: int = 1, subject: str = "act.x"):
    """One after the other, each acknowledged before the next."""
    async def send():
        for i in range(first, first + count):
            ack = await bus.js.publish(subject, b"event %08d" % i)
            assert ack.seq == i
    bus.call(send(), 60)


def stored(broker, *names: str) -> list[int]:
    """How many events each stream holds: all that is there, read, has to be a beginning without holes."""
    bus = Bus(broker.url)
    held = []
    try:
        for name in names or ("ACT",):
            state = bus.stream_state(name)
            found = [m.data for m in bus.read(name)] if state.messages else []
            assert found == [b"event %08d" % i for i in range(1, state.last_seq + 1)], name
            held.append(len(found))
        return held
    finally:
        bus.close()


def blocks(broker) -> bytes:
    return b"".join(p.read_bytes() for p in broker.folder.rglob("*.blk"))


def test_an_acknowledged_event_is_in_the_store_s_file(broker, bus):
    """Handed to the operating system: whoever reads the file sees it, whatever happens to the broker."""
    make_stream(bus)
    for i in range(1, EVENTS + 1):
        publish(bus, 1, i)
        assert b"event %08d" % i in blocks(broker)


def test_the_death_of_the_broker_takes_nothing_that_was_acknowledged(make_broker):
    broker = make_broker()
    bus = Bus(broker.url)
    make_stream(bus)
    last = 0
    for _ in range(5):
        publish(bus, EVENTS, last + 1)
        broker.kill()
        last += EVENTS
        broker.start()
        assert stored(broker) == [last]
    bus.close()


def test_a_key_of_a_bucket_is_as_durable_as_an_event(make_broker):
    broker = make_broker()
    bus = Bus(broker.url)
    kv = bus.call(bus.js.create_key_value(bucket="b", history=1))
    for i in range(EVENTS):
        bus.call(kv.put("key", b"%d" % i))
    broker.kill()
    bus.close()
    broker.start()
    bus = Bus(broker.url)
    assert bus.kv("b") == {"key": b"%d" % (EVENTS - 1)}
    bus.close()


def test_a_mirror_may_lag_and_catches_up(tmp_path):
    """An acknowledgement speaks for LIVE alone; RESEARCH has the same a moment later, also over a kill."""
    broker = SidesBroker(tmp_path / "broker", make_credentials(tmp_path / "credentials")).start()
    stack = Stack(tmp_path, broker)
    try:
        stack.start("stored", env=broker.env("stored"))  # makes the streams, and the mirrors on the way
        feed, reader = (Bus(broker.url, user=user, password=broker.password(user)) for user in ("feedd", "researcher"))
        feed.store("ACT", [("act.exchange.x.y.z", b"%d" % i) for i in range(5000)])
        broker.kill()
        broker.start()
        wait_for(lambda: stored_as(reader) == 5000, 60, lambda: f"the mirror has {stored_as(reader)} of 5000")
        feed.close()
        reader.close()
    finally:
        stack.stop()


def stored_as(bus) -> int:
    try:
        return bus.stream_state("ACT").last_seq
    except Exception:  # between two connections
        return -1


# --- when it reaches the disk ----------------------------------------------------------------------------------------


@pytest.mark.skipif(not shutil.which("strace"), reason="no strace")
@pytest.mark.parametrize("setting, at_least, at_most", [("", 0, 0), ("sync_interval: always", EVENTS, None)])
def test_the_broker_asks_for_the_disk_when_sync_interval_says(tmp_path, setting, at_least, at_most):
    """By default not at all while 200 events are acknowledged; with `always` for each of them."""
    calls = tmp_path / "calls"
    broker = Broker(tmp_path / "broker", jetstream=setting, under=(
        "strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=fsync,fdatasync", "-o", calls)).start()
    try:
        bus = Bus(broker.url)
        make_stream(bus)
        before = syncs(calls)
        publish(bus, EVENTS)
        made = syncs(calls) - before
        bus.close()
    finally:
        stop_traced(broker)
    assert made >= at_least and (at_most is None or made <= at_most)


def syncs(calls: Path) -> int:
    """Calls that returned 0, those too whose line another thread's call broke in two."""
    return len(re.findall(r"f(?:data)?sync(?:\(\d+| resumed>)\)\s+= 0", calls.read_text()))


def stop_traced(broker):
    for child in Path(f"/proc/{broker.process.pid}/task/{broker.process.pid}/children").read_text().split():
        os.kill(int(child), 15)
    broker.process.wait(20)


class Disk:
    """A disk whose power can be cut: an ext4 image on a loop device.

    What the file system has not sent to its device is not in the image: a copy of the image is what a machine
    would find after the power came back.
    """

    def __init__(self, folder: Path, image: Path | None = None):
        self.folder = folder
        self.image = folder / "image"
        self.mounted = folder / "mounted"
        self.mounted.mkdir(parents=True)
        if image:
            shutil.copyfile(image, self.image)
        else:
            with open(self.image, "wb") as f:
                f.truncate(64 << 20)
            subprocess.run(["mkfs.ext4", "-q", "-F", self.image], check=True)

    def mount(self):
        subprocess.run(["mount", "-o", "loop", self.image, self.mounted], check=True, capture_output=True)
        return self

    def sync(self):
        """This disk alone: other tests wait for theirs."""
        fd = os.open(self.mounted, os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).syncfs(fd) != 0:
                raise OSError(ctypes.get_errno(), "syncfs")
        finally:
            os.close(fd)

    def after_power_cut(self, folder: Path) -> "Disk":
        return Disk(folder, self.image).mount()

    def close(self):
        subprocess.run(["umount", "-l", self.mounted], capture_output=True)


@pytest.fixture
def disks(tmp_path):
    made = []

    def make() -> Disk:
        if os.geteuid() or not shutil.which("mkfs.ext4"):
            pytest.skip("a disk of its own needs root and mkfs.ext4")
        made.append(Disk(tmp_path / "disk"))
        try:
            return made[-1].mount()
        except subprocess.CalledProcessError as e:
            pytest.skip(f"no loop devices: {e.stderr.decode().strip()}")

    def cut(disk: Disk) -> Disk:
        made.append(disk.after_power_cut(tmp_path / f"cut{len(made)}"))
        return made[-1]

    make.cut = cut
    yield make
    for disk in made:
        disk.close()


def held_after_power_cut(disks, setting: str, pause_s: float = 0) -> int:
    """EVENTS acknowledged, `pause_s`, EVENTS more acknowledged, power cut: how many does a broker find?"""
    disk = disks()
    broker = Broker(disk.mounted / "broker", jetstream=setting).start()
    bus = Bus(broker.url)
    make_stream(bus)
    disk.sync()  # the stream itself is there; what follows is what counts
    publish(bus, EVENTS)
    time.sleep(pause_s)
    publish(bus, EVENTS, EVENTS + 1)
    cut = disks.cut(disk)
    bus.close()
    broker.kill()
    survivor = Broker(cut.mounted / "broker").start()
    (held,) = stored(survivor)
    survivor.kill()
    return held


def test_a_power_cut_takes_what_was_not_synced_yet(disks):
    """With the default everything since the last sync goes: two minutes of acknowledged events at worst."""
    begun = time.monotonic()
    held = held_after_power_cut(disks, "")
    if time.monotonic() - begun > KERNEL_S:
        pytest.skip("the machine was so slow that the kernel may have written by itself")
    assert held == 0


def test_a_power_cut_takes_no_more_than_the_sync_interval(disks):
    held = held_after_power_cut(disks, "sync_interval: 1s", pause_s=3 * PATIENCE)
    assert EVENTS <= held


def test_streams_lose_different_lengths_each_without_holes(disks):
    """What was synced of one stream, as its turn came, says nothing of another: a decision outlives its cause."""
    disk = disks()
    broker = Broker(disk.mounted / "broker").start()
    bus = Bus(broker.url)
    make_stream(bus)
    make_stream(bus, "SC_LIVE", "sc.LIVE.>")
    disk.sync()
    begun = time.monotonic()
    publish(bus, EVENTS)
    publish(bus, EVENTS, subject="sc.LIVE.x")
    for path in broker.folder.rglob("SC_LIVE/msgs/*.blk"):
        with open(path, "rb") as block:
            os.fsync(block.fileno())  # what the broker does when this stream's turn has come
    cut = disks.cut(disk)
    took = time.monotonic() - begun
    bus.close()
    broker.kill()
    survivor = Broker(cut.mounted / "broker").start()
    act, decisions = stored(survivor, "ACT", "SC_LIVE")
    survivor.kill()
    assert decisions == EVENTS and (act == 0 or took > KERNEL_S)


def test_a_power_cut_takes_nothing_when_every_event_is_synced(disks):
    assert held_after_power_cut(disks, "sync_interval: always") == 2 * EVENTS
