"""The ground the other system tests stand on."""

from support.bus import Bus


def test_a_broker_keeps_its_store_and_port_over_a_kill(broker, bus):
    bus.call(bus.js.add_stream(name="S", subjects=["s.>"]))
    for n in range(3):
        bus.call(bus.js.publish(f"s.{n}", b"%d" % n))
    port = broker.port
    broker.restart()
    assert broker.port == port
    again = Bus(broker.url)
    assert [m.data for m in again.read("S")] == [b"0", b"1", b"2"]
    assert [m.data for m in again.read("S", "s.1")] == [b"1"]
    assert [m.metadata.sequence.stream for m in again.read("S", from_seq=2)] == [2, 3]
    assert again.read("S", "s.none") == []
    again.close()


def test_the_stock_cli_sees_the_broker(broker, nats_cli):
    import subprocess
    out = subprocess.run([nats_cli, "--server", broker.url, "rtt"], capture_output=True, timeout=20)
    assert out.returncode == 0, out.stderr


def test_the_javascript_packages_are_there(node):
    assert b"cloudevents 1.0" in node("versions.mjs").stdout
