"""The AsyncAPI document is what the tables say now, and the stock parser reads it. Source: schemas/specs/streams.md."""

import json
import subprocess

import pytest

from support.places import TREE, helper

DOCUMENT = TREE / "schemas" / "asyncapi.json"


def test_the_document_in_the_tree_is_the_one_the_tables_make():
    made = subprocess.run([helper("asyncapi"), TREE / "schemas" / "events"], capture_output=True, check=True).stdout
    assert made.decode() == DOCUMENT.read_text(), "run: <build>/libexec/asyncapi schemas/events >schemas/asyncapi.json"


def test_the_stock_parser_finds_nothing_wrong_with_it(node):
    found = json.loads(node("asyncapi.mjs", DOCUMENT).stdout)
    assert found["valid"] and found["bad"] == [] and found["version"].startswith("3.")
    assert {"ACT", "SC_LIVE", "SC_scenario", "trade.tape", "hyp.trade.tape"} <= set(found["channels"])
    assert "act.exchange.{venue}.trade.tape.{symbol}" in found["addresses"]


def test_it_names_every_stream_and_bucket_that_stored_makes(stack, bus):
    stack.start("stored")
    document = json.loads(DOCUMENT.read_text())
    streams = {c["x-jetstream"]["stream"] for c in document["channels"].values() if "x-jetstream" in c}
    named = streams | {f"KV_{b['bucket']}" for b in document["x-nats-kv"]}
    made = {s.config.name for s in bus.call(bus.js.streams_info())}
    assert made == named - {"SC_<id>"}


def test_a_folder_that_is_not_there_is_an_error_that_names_it():
    out = subprocess.run([helper("asyncapi"), "/no/such/folder"], capture_output=True)
    assert out.returncode == 1 and b"/no/such/folder" in out.stderr


@pytest.mark.parametrize("schema, says", [({}, "x-subjects is missing"), ({"x-subjects": ["a.{nobody}"]}, "'nobody' is not known")])
def test_a_schema_that_does_not_say_where_is_named(tmp_path, schema, says):
    (tmp_path / "a.b.schema.json").write_text(json.dumps(schema))
    out = subprocess.run([helper("asyncapi"), tmp_path], capture_output=True)
    assert out.returncode == 1 and "a.b.schema.json" in out.stderr.decode() and says in out.stderr.decode()
