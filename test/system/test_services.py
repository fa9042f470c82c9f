"""Every daemon is a NATS service that stock tools understand. Source: schemas/specs/services.md, "Names"."""

import json
import subprocess

import pytest
from support import spine
from support.feed import Exchange, start_feed

DAEMONS = ("stored", "feedd", "workhostd")
VERBS = ("PING", "INFO", "STATS")


@pytest.fixture
def services(stack, bus):
    stack.start("stored")
    start_feed(stack, Exchange(stack), ["BTCUSDT"], ["trade"])
    spine.start_workers(stack)
    return bus


def answer(bus, verb: str, daemon: str) -> dict:
    return json.loads(bus.request(f"$SRV.{verb}.{daemon}").data)


def verdict(nats_cli, path, schema: str, said: dict) -> str:
    """What the CLI says of an answer; its exit code is 0 either way."""
    path.write_text(json.dumps(said))
    return subprocess.run([nats_cli, "schema", "validate", schema, path], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("verb", VERBS)
def test_the_stock_cli_accepts_the_answers(services, nats_cli, tmp_path, verb):
    schema = f"io.nats.micro.v1.{verb.lower()}_response"
    for daemon in DAEMONS:
        said = answer(services, verb, daemon)
        assert said["type"] == schema and said["name"] == daemon
        told = verdict(nats_cli, tmp_path / "answer.json", schema, said)
        assert "validates against" in told, f"{daemon}: {told}"
        without = {k: v for k, v in said.items() if k != "id"}
        assert "missing properties: 'id'" in verdict(nats_cli, tmp_path / "answer.json", schema, without)


def test_the_stock_javascript_client_finds_them_and_reads_what_they_say(services, node, broker):
    told = json.loads(node("services.mjs", broker.url).stdout)
    for verb in ("ping", "info", "stats"):
        assert {s["name"] for s in told[verb]} == set(DAEMONS), verb
        assert {s["type"] for s in told[verb]} == {f"io.nats.micro.v1.{verb}_response"}
    endpoints = {e["name"]: e for s in told["info"] for e in s["endpoints"]}
    assert endpoints["Replay-Start"]["subject"] == "svc.virtufin.api.v1.Replay.Start"
    assert endpoints["Replay-Start"]["queue_group"] == "q"
    counted = {e["name"] for s in told["stats"] for e in s["endpoints"] if {"num_requests", "num_errors"} <= set(e)}
    assert counted == set(endpoints)
