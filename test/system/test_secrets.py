"""Passwords stay where they belong, and TLS is verified. Source: schemas/specs/access.md, "Credentials", "TLS"."""

import json
import os
import resource
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest

from support import spine
from support.broker import Broker
from support.places import BUILD, nats_server, program
from support.process import Process
from support.sides import SidesBroker, make_credentials
from support.stack import Daemon, Stack
from support.tls import make_ca, make_certificate

SECRET = "hunter2-a-secret"
DAEMONS = ("stored", "feedd", "workhostd")


@pytest.fixture
def sides(tmp_path):
    stack = Stack(tmp_path, SidesBroker(tmp_path / "broker", make_credentials(tmp_path / "credentials")).start())
    yield stack
    stack.stop()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    ca = make_ca(folder, "ca")
    make_ca(folder, "stranger")
    make_certificate(ca, "here", "DNS:localhost,IP:127.0.0.1")
    make_certificate(ca, "elsewhere", "DNS:elsewhere.test")
    make_certificate(ca, "far", "IP:10.9.8.7,IP:127.0.0.1")
    return folder


# --- where a password must not be ---------------------------------------------------------------------------------


def family(pid: int) -> list[int]:
    """The process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(c for child in children for c in family(int(child)))]


def test_no_password_is_in_a_log_a_command_line_or_an_environment(sides):
    env = sides.broker.env
    sides.start("stored", "--log-level", "debug", env=env("stored"))
    venue = spine.Venue(sides.start("simexd", "--listen", "127.0.0.1:0"))
    sides.start("feedd", "--log-level", "debug", "--ws-url", f"ws://{venue.address}", "--rest-url",
                f"http://{venue.address}", env=env("feedd"))
    folder = sides.folder / "workers"
    folder.mkdir()
    (folder / "sma.yaml").write_text(spine.DECLARATION.format(workers=BUILD / "workers", fast=5, slow=20))
    host = sides.start("workhostd", "--side", "live", "--log-level", "debug", "--workers-dir", folder,
                       "--code-dir", sides.folder / "code", env=env("workhostd"))
    spine.wait_for(lambda: spine.runtime_pid(host, "LIVE"), 20, "no runtime of LIVE")
    sides.lane("streams", "ls", env=env("operator"))
    sides.broker.process.wait_line(".")

    secrets = sides.broker.secrets()
    seen = {str(log): log.read_bytes() for log in sides.folder.rglob("*.log")}
    for name in DAEMONS:
        for pid in family(sides[name].pid):
            for page in ("cmdline", "environ"):
                seen[f"{name} {pid} {page}"] = Path(f"/proc/{pid}/{page}").read_bytes()
            assert os.readlink(f"/proc/{pid}/exe").endswith(name)
    assert sum("environ" in where for where in seen) == len(DAEMONS) + 1, "the runtime is looked at too"
    assert [where for where, text in seen.items() for secret in secrets if secret.encode() in text] == []


def test_a_login_in_a_url_is_refused_and_not_repeated(tmp_path):
    url = f"nats://somebody:{SECRET}@127.0.0.1:4222"
    for argv, env, code in (([program("stored"), "--http", "", "--nats-url", url], {}, 2),
                            ([program("feedd"), "--http", ""], {"TRADELANE_NATS_URL": url}, 1),
                            ([program("feedd"), "--http", "", "--ws-url", f"wss://key:{SECRET}@venue/ws"], {}, 2),
                            ([program("lane"), "streams", "ls", "--nats-url", url], {}, 1)):
        done = subprocess.run(argv, env={**os.environ, **env}, capture_output=True, text=True, timeout=30, cwd=tmp_path)
        assert done.returncode == code, done.stderr
        assert "user or password" in done.stderr and SECRET not in done.stderr + done.stdout


def test_a_secret_is_no_flag(tmp_path):
    done = subprocess.run([program("stored"), f"--nats-password={SECRET}"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and "TRADELANE_NATS_PASSWORD" in done.stderr and SECRET not in done.stderr


def start_limited(tmp_path, argv, env=None):
    """As a process that may dump core, whatever the test run itself may."""
    def before():
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    # A sanitizer would take the signal for a bug of the process.
    unhandled = {name: os.environ.get(name, "") + ":handle_segv=0" for name in ("ASAN_OPTIONS", "TSAN_OPTIONS")}
    return subprocess.Popen(list(map(str, argv)), cwd=tmp_path, env={**os.environ, **unhandled, **(env or {})}, preexec_fn=before,
                            stderr=subprocess.PIPE, text=True)


def limit_of(pid: int) -> str:
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return next(line for line in lines if line.startswith("Max core file size"))


def dumped(child) -> bool:
    child.send_signal(signal.SIGSEGV)
    _, status = os.waitpid(child.pid, 0)
    child.stderr.close()
    return os.WCOREDUMP(status)


@pytest.mark.parametrize("name", DAEMONS)
def test_who_holds_a_secret_leaves_no_core_dump(tmp_path, name):
    argv = [program(name), "--http", "127.0.0.1:0", "--nats-url", "nats://127.0.0.1:1"]
    crashes = {}
    for case, env in (("without", {}), ("with", {"TRADELANE_NATS_USER": "x", "TRADELANE_NATS_PASSWORD": SECRET})):
        child = start_limited(tmp_path, argv, env)
        child.stderr.readline()  # "listening": the settings are read
        assert ("unlimited" in limit_of(child.pid)) == (case == "without")
        assert "NoNewPrivs:\t1" in Path(f"/proc/{child.pid}/status").read_text()
        crashes[case] = dumped(child)
    assert not crashes["with"]
    assert SECRET.encode() not in b"".join(f.read_bytes() for f in tmp_path.rglob("core*") if f.is_file())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process as somebody else")
def test_the_memory_of_who_holds_a_secret_is_root_s_alone(tmp_path):
    """Not dumpable: the files of /proc/<pid> change hands, so no other process of the same user can look."""
    nobody = 65534
    argv = ["setpriv", f"--reuid={nobody}", f"--regid={nobody}", "--clear-groups", program("stored"), "--http",
            "127.0.0.1:0", "--nats-url", "nats://127.0.0.1:1"]
    for env, owner in (({}, nobody), ({"TRADELANE_NATS_TOKEN": SECRET}, 0)):
        child = start_limited("/", argv, env)
        child.stderr.readline()
        assert os.stat(f"/proc/{child.pid}/mem").st_uid == owner
        child.kill()
        child.wait()
        child.stderr.close()


# --- files -----------------------------------------------------------------------------------------------------


def test_loose_files_are_named_at_start_and_by_doctor(stack, tmp_path):
    config, ca, creds = tmp_path / "stored.yaml", tmp_path / "ca.pem", tmp_path / "x.creds"
    config.write_text(f"nats_password: {SECRET}\nnats_user: x\n")
    for path, mode in ((config, 0o640), (ca, 0o666), (creds, 0o644)):
        path.touch()
        path.chmod(mode)
    env = {"TRADELANE_NATS_CREDS": str(creds)}
    daemon = Daemon("stored", tmp_path, "nats://127.0.0.1:1", "--config", config, "--nats-ca", ca, env=env)
    text = daemon.output()
    daemon.kill()
    for expected in (f"'{config}' holds a secret and others may read or write it (mode 640): chmod 600 it",
                     f"'{creds}' holds a secret and others may read or write it (mode 644): chmod 600 it",
                     f"'{ca}' may be written by others (mode 666): chmod go-w it"):
        assert expected in text, text
    assert SECRET not in text

    contexts = tmp_path / ".config" / "nats" / "context"
    contexts.mkdir(parents=True)
    context = contexts / "ours.json"
    context.write_text(f'{{"url": "{stack.broker.url}", "user": "x", "password": "{SECRET}"}}')
    context.chmod(0o644)
    env = {"XDG_CONFIG_HOME": "", "HOME": str(tmp_path)}
    said = stack.lane("doctor", "--context", "ours", check=False, env=env).stdout
    assert f"'{context}' holds a secret" in said and SECRET not in said
    context.chmod(0o600)
    said = stack.lane("doctor", "--context", "ours", check=False, env=env).stdout
    assert "only the owner may read what is secret" in said


def test_made_credentials_are_the_owner_s_alone_and_stay(tmp_path):
    folder = make_credentials(tmp_path / "credentials")
    before = {p.name: p.read_text() for p in folder.iterdir()}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in folder.iterdir()} == {0o600}
    assert {p.name: p.read_text() for p in make_credentials(folder).iterdir()} == before
    for name in DAEMONS:  # and none of them has what belongs to another
        others = {line.split("=")[1] for p in folder.glob("*.env") if p.stem not in (name, "broker")
                  for line in p.read_text().splitlines() if "PASSWORD" in line}
        mine = {line.split("=")[1] for line in (folder / f"{name}.env").read_text().splitlines() if "PASSWORD" in line}
        assert mine and not mine & others


# --- TLS to the broker ---------------------------------------------------------------------------------------------


def tls_broker(tmp_path, certificates, name: str) -> Broker:
    pem = certificates / f"{name}.pem"
    config = f'tls {{ cert_file: "{pem}", key_file: "{pem.with_suffix(".key")}" }}'
    return Broker(tmp_path / f"broker-{name}", config).start()


@pytest.mark.parametrize("name", DAEMONS)
def test_the_broker_is_believed_when_its_certificate_is_right(tmp_path, certificates, name):
    broker = tls_broker(tmp_path, certificates, "here")
    stack = Stack(tmp_path, broker)
    try:
        args = ["--nats-ca", certificates / "ca.pem"]
        for url in (f"tls://localhost:{broker.port}", f"nats://127.0.0.1:{broker.port}"):
            daemon = Daemon("stored", tmp_path, url, *args)
            daemon.wait_ready()
            if name != "stored":
                other = Daemon(name, tmp_path, url, *args)
                other.wait_line(r"not ready: (?!broker)|ready in")
                other.kill()
            assert daemon.stop() == 0
    finally:
        stack.stop()


@pytest.mark.parametrize("certificate, ca, said", [
    ("here", "stranger", "unable to get local issuer certificate"),
    ("elsewhere", "ca", "hostname mismatch"),
    ("here", None, "unable to get local issuer certificate"),
])
@pytest.mark.parametrize("name", DAEMONS)
def test_the_broker_is_not_believed_when_its_certificate_is_wrong(tmp_path, certificates, name, certificate, ca, said):
    broker = tls_broker(tmp_path, certificates, certificate)
    try:
        args = ["--nats-ca", certificates / f"{ca}.pem"] if ca else []
        daemon = Daemon(name, tmp_path, f"tls://localhost:{broker.port}", *args, env={"TRADELANE_NATS_TOKEN": SECRET})
        daemon.wait_line(f"not ready: broker: broker at tls://localhost:{broker.port}.*{said}")
        status, body = daemon.get("/health")
        assert status == 503 and said in body
        daemon.kill()
        assert SECRET not in broker.process.output()
    finally:
        broker.stop()


def test_nothing_is_said_to_a_broker_that_cannot_do_tls(tmp_path, certificates, broker):
    daemon = Daemon("stored", tmp_path, f"tls://localhost:{broker.port}", "--nats-ca", certificates / "ca.pem")
    daemon.wait_line("not ready: broker: .*Secure Connection not available")
    daemon.kill()


# --- a password on the way -------------------------------------------------------------------------------------------


OWN_NETWORK = "ip link set lo up && ip addr add 10.9.8.7/32 dev lo && exec \"$@\""
APART = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]


@pytest.fixture
def far_broker(tmp_path, certificates):
    """A broker in a network of its own, with an address there that is not loopback; and how to be in that network."""
    if subprocess.run([*APART, "sh", "-c", OWN_NETWORK, "sh", "true"], capture_output=True).returncode:
        pytest.skip("no network of one's own here")
    made = []

    def start(tls: bool):
        config, pem = tmp_path / "far.conf", certificates / "far.pem"
        lines = f'tls {{ cert_file: "{pem}", key_file: "{pem.with_suffix(".key")}" }}' if tls else ""
        config.write_text(f'listen: "0.0.0.0:4222"\njetstream {{ store_dir: "{tmp_path}", max_file: 16GB }}\n'
                          f'authorization {{ token: "{SECRET}" }}\n{lines}\n')
        made.append(Process([*APART, "sh", "-c", OWN_NETWORK, "sh", nats_server(), "-c", config], tmp_path / "far.log"))
        made[-1].wait_line("Server is ready", 20)
        join = ["nsenter", "--target", str(made[-1].pid), "--net"]
        return join if os.geteuid() == 0 else [*join, "--user", "--preserve-credentials"]

    yield start
    for process in made:
        process.kill()


@pytest.mark.parametrize("address, tls, told", [("10.9.8.7", False, True), ("127.0.0.1", False, False), ("10.9.8.7", True, False)])
def test_a_password_that_leaves_the_machine_in_clear_is_told_of(tmp_path, certificates, far_broker, address, tls, told):
    join, url = far_broker(tls), f"nats://{address}:4222"
    env = {"TRADELANE_NATS_TOKEN": SECRET, "TRADELANE_NATS_CA": str(certificates / "ca.pem") if tls else ""}
    stored = Process([*join, program("stored"), "--http", "127.0.0.1:0", "--nats-url", url], tmp_path / "stored.log", env=env)
    try:
        stored.wait_line(" ready in ", 30)
        said = subprocess.run([*join, program("lane"), "doctor", "--json", "--nats-url", url], capture_output=True, text=True,
                              env={**os.environ, **env}, timeout=60)
    finally:
        stored.stop()
    found = {row["check"]: row for row in map(json.loads, said.stdout.splitlines())}
    assert found["login"]["verdict"] == ("warn" if told else "ok")
    warned = [line for line in stored.output().splitlines() if " WARN " in line and "in clear" in line]
    assert bool(warned) == told and all(url in line for line in warned)
    assert SECRET not in stored.output() + said.stdout + said.stderr


# --- TLS to a venue --------------------------------------------------------------------------------------------------


def start_tls_feed(stack, certificates, certificate: str, ca: str) -> Daemon:
    pem = certificates / f"{certificate}.pem"
    stack.start("stored")
    venue = stack.start("simexd", "--listen", "127.0.0.1:0", "--tls-cert", pem, "--tls-key", pem.with_suffix(".key"))
    address = "localhost:" + venue.wait_line(r"listening venue=127\.0\.0\.1:(\d+)")[1]
    return stack.start("feedd", "--ws-url", f"wss://{address}", "--rest-url", f"https://{address}", "--symbols",
                       "BTCUSDT", "--venue-ca", certificates / f"{ca}.pem", ready=False)


def test_a_venue_is_believed_when_its_certificate_is_right(stack, certificates, bus):
    start_tls_feed(stack, certificates, "here", "ca").wait_ready()
    spine.wait_for(lambda: spine.count_subject(bus, "ACT", "act.exchange.*.feed.whole.>"), 20, "no book is whole")
    assert spine.count_subject(bus, "ACT", "act.exchange.*.feed.connected") == 1


@pytest.mark.parametrize("certificate, ca, said", [("here", "stranger", "unable to get local issuer certificate"),
                                                   ("elsewhere", "ca", "hostname mismatch")])
def test_a_venue_is_not_believed_when_its_certificate_is_wrong(stack, certificates, bus, certificate, ca, said):
    feedd = start_tls_feed(stack, certificates, certificate, ca)
    feedd.wait_line(said)
    feedd.wait_line("connection to wss://localhost:.*next try")
    status, body = feedd.get("/health")
    assert status == 503 and "venue" in body
    assert spine.count_subject(bus, "ACT", "act.exchange.*.feed.connected") == 0
    assert spine.count_subject(bus, "ACT", "act.exchange.*.trade.>") == 0


# --- listeners -------------------------------------------------------------------------------------------------------


def listeners(pid: int) -> set[str]:
    """Addresses on which the process listens, from /proc."""
    sockets = {os.readlink(f) for f in Path(f"/proc/{pid}/fd").iterdir() if f.is_symlink()}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            row = line.split()
            if row[3] == "0A" and f"socket:[{row[9]}]" in sockets:
                found.add(row[1].split(":")[0])
    return found


def test_everything_listens_on_loopback_alone_unless_told_otherwise(stack):
    stack.start("stored")
    stack.start("simexd", "--listen", "127.0.0.1:0")
    for name in ("stored", "simexd"):
        assert listeners(stack[name].pid) == {"0100007F"}, name
    for name in (*DAEMONS, "simexd"):  # and so do the defaults
        text = subprocess.run([program(name), "--help"], capture_output=True, text=True).stdout
        for flag in ("--http", "--listen") if name == "simexd" else ("--http",):
            row = text[text.index(flag):].split("\n  -")[0]
            assert "127.0.0.1:" in row, f"{name} {flag}: {row}"
    for config in ("dev.conf", "live-research.conf"):
        text = (Path(__file__).parents[2] / "nats-conf" / config).read_text()
        assert 'listen: "127.0.0.1:4222"' in text
