"""Writes that fail: a full disk, a closed pipe, the n-th call that is refused. The exit code says so and a sentence names
what is not whole."""

import shutil
import subprocess

import pytest

from support.places import PATIENCE, program


@pytest.fixture
def recorded(stack, bus):
    """A stack whose stream S holds more than fits a pipe or a buffer."""
    bus.call(bus.js.add_stream(name="S", subjects=["s.>"]))
    for n in range(300):
        bus.call(bus.js.publish(f"s.{n}", b"x" * 600))
    return stack


def lane(stack, *args, stdout, under=()):
    env = stack.environment()
    if under:  # a sanitizer cannot search a traced process for leaks
        env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    return subprocess.run([*under, program("lane"), *args], stdout=stdout, stderr=subprocess.PIPE, text=True,
                          env=env, timeout=60 * PATIENCE)


@pytest.mark.parametrize("args", [["export", "--stream", "S"], ["streams", "view", "S", "--count", "300", "--json"],
                                  ["sub", "s.>", "--from", "start", "--json"], ["streams", "ls"]])
def test_a_full_disk_behind_stdout_is_an_error(recorded, args):
    with open("/dev/full", "w") as full:
        done = lane(recorded, *args, stdout=full)
    assert done.returncode not in (0, None) and "stdout: No space left on device" in done.stderr, done


@pytest.mark.parametrize("args", [["export", "--stream", "S"], ["sub", "s.>", "--from", "start", "--json"]])
def test_a_verb_ends_when_nobody_reads_it_any_more(recorded, args):
    reader = subprocess.Popen(["head", "-n", "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    done = lane(recorded, *args, stdout=reader.stdin)
    reader.stdin.close()
    reader.wait()
    assert done.returncode != 0 and done.stderr == "", done


@pytest.mark.skipif(not shutil.which("strace"), reason="no strace")
@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_an_export_whose_nth_write_fails_leaves_what_was_there(recorded, tmp_path, error):
    path, part, failed = tmp_path / "export", tmp_path / "export.part", 0
    args = ["export", "--stream", "S", "-o", str(path)]
    assert lane(recorded, *args, stdout=subprocess.DEVNULL).returncode == 0
    whole = path.read_bytes()
    for n in (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144):
        path.write_text("what stood there before")
        under = ["strace", "-f", "-qq", "-o", "/dev/null", "-P", part, "-e", f"inject=write:error={error}:when={n}"]
        done = lane(recorded, *args, stdout=subprocess.DEVNULL, under=under)
        assert not part.exists()
        if done.returncode == 0:
            assert path.read_bytes() == whole
            break
        failed += 1
        assert done.returncode == 2 and f"'{path}' is not written" in done.stderr, done
        assert path.read_text() == "what stood there before"
    assert failed >= 5


def test_a_send_log_on_a_full_disk_ends_early_and_the_exit_code_says_so(stack):
    sim = stack.start("simexd", "--listen", "127.0.0.1:0", "--seed", "1", "--send-log", "/dev/full")
    sim.wait_line(r"send log '/dev/full': No space left on device; it ends here", timeout=30)
    assert sim.stop() == 1
    assert "the send log is not whole" in sim.output()
    del stack.daemons["simexd"]
