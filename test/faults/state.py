"""The buckets, judged over every write there ever was: no state goes backwards, and each is what the script made of it.

Source: schemas/specs/faults.md, "Audit".
"""

import json

# Of each record, but for the instants of its making and changing.
SCENARIOS = {
    "LIVE": {"name": "LIVE", "status": "active", "market": {"lane": "act"}, "portfolio": {"lane": "act"},
             "strategy": {"lane": "act"}, "clock": "wall", "parameters": {}},
    "bt1": {"name": "bt1", "status": "active", "market": {"lane": "hyp", "selector": "mon"}, "portfolio": {"lane": "hyp"},
            "strategy": {"lane": "hyp", "id": "sma"}, "clock": "historical", "parameters": {}},
}
CONNECTION = "feed-binance"
STATUSES = ["connecting", "connected", "disconnected", "error"]
RISING = ["done_seq", "outputs", "out_seq"]
OVER = ("finished", "stopped", "failed")


def history(evidence, bucket):
    """(revision, key, value) of every write there ever was; values that are JSON objects."""
    return [(r.seq, r.subject.split(".", 2)[2], json.loads(r.data)) for r in evidence.streams.get(f"KV_{bucket}", []) if r.data]


def sessions_of(writes, scenario):
    """(session, start_seq) in order; a start that changes is another session's."""
    found = {}
    for _, key, value in writes:
        if key == f"sc.{scenario}.sma":
            found.setdefault((value["session"], value["start_seq"]))
    return sorted(found, key=lambda s: int(s[0]))


def audit_progress(writes, found):
    """Within a session or run nothing goes back; a session or run that was left does not return."""
    last, left = {}, set()
    for revision, key, value in writes:
        if not key.startswith("sc."):
            continue
        era = value["session"], value["runid"]
        before = last.get(key)
        if before and (before["session"], before["runid"]) != era:
            left.add((key, before["session"], before["runid"]))
        elif before:
            for what in ["seq"] if key.endswith(".state") else RISING:
                if value[what] < before[what]:
                    found.add("backwards", f"{key} revision {revision}: {what} {before[what]} -> {value[what]}")
        if (key, *era) in left:
            found.add("backwards", f"{key} revision {revision}: back in {era}")
        last[key] = value


def audit_ranges(runs, begin, meta, found):
    """A replay asked for without a range begins where LIVE's session did, and ends where ACT did: between the question
    and its answer."""
    final = meta["last_run"]
    for runid, (first, last) in runs.items():
        asked = [(final["last"], final["last"])] if runid == final["runid"] else meta["replays"]
        if first != begin or not any(low <= last <= (high or last) for low, high in asked):
            found.add("wrong", f"run {runid} covers {first} to {last}; {begin} to one of {asked} was asked for")


def audit_replays(writes, begin, meta, found):
    """Ranges of the runs; a run's range stays, its position never goes back, and a run that ended stays ended."""
    runs, position, ended = {}, {}, {}
    for revision, key, value in writes:
        runid, where = value["runid"], f"replays/{key} revision {revision}"
        if not runid:
            continue
        extent = (value["first_seq"], value["last_seq"])
        if runs.setdefault(runid, extent) != extent:
            found.add("wrong", f"{where}: the range was {runs[runid]} and is {extent}")
        if (value["stream"], value["scenarios"], key) != ("ACT", ["bt1"], "mon"):
            found.add("wrong", f"{where}: a replay of {value['stream']} for {value['scenarios']}")
        if value["position"] < position.get(runid, 0):
            found.add("backwards", f"{where}: {position[runid]} -> {value['position']}")
        if ended.get(runid) and value["state"] != ended[runid]:
            found.add("backwards", f"{where}: {ended[runid]} -> {value['state']}")
        position[runid] = value["position"]
        if value["state"] in OVER:
            ended[runid] = value["state"]
    audit_ranges(runs, begin, meta, found)
    final = meta["last_run"]
    if (ended.get(final["runid"]), position.get(final["runid"])) != ("finished", final["last"]):
        found.add("lost", f"the last replay is {ended.get(final['runid'])} at {position.get(final['runid'])}, "
                          f"not finished at {final['last']}")
    return runs


def writes_of(evidence, bucket, found):
    """As history; what is no record of anybody's is found."""
    out = []
    for record in evidence.streams.get(f"KV_{bucket}", []):
        key = record.subject.split(".", 2)[2]
        try:
            value = json.loads(record.data)
        except ValueError:
            value = None
        if isinstance(value, dict):
            out.append((record.seq, key, value))
        else:
            found.add("wrong", f"{bucket}/{key} revision {record.seq}: {record.headers or record.data[:80]} is no record")
    return out


def audit_scenarios(evidence, found):
    """LIVE is seeded once, bt1 was made once, as asked for; nobody changes either, and there is no other."""
    seen = {}
    for revision, key, value in writes_of(evidence, "scenarios", found):
        where = f"scenarios/{key} revision {revision}"
        if key in seen:
            found.add("backwards", f"{where}: it was written at {seen[key]}, and nobody asked for a change")
        seen[key] = revision
        made = {k: v for k, v in value.items() if k not in ("createdAt", "updatedAt")}
        if made != SCENARIOS.get(key):
            found.add("wrong", f"{where}: {made}")
    for key in set(SCENARIOS) - set(seen):
        found.add("lost", f"scenario {key} is not registered")


def audit_connections(evidence, found):
    """The feed's connection, as it was started and ended: the last thing that is known of it is that it was ended."""
    states = []
    for revision, key, value in writes_of(evidence, "connections", found):
        where = f"connections/{key} revision {revision}"
        told = (key, value.get("id"), value.get("url"), value.get("topic"))
        if told != (CONNECTION, CONNECTION, evidence.meta["venue_url"], "act.exchange.binance") or value.get("status") not in STATUSES:
            found.add("wrong", f"{where}: {value}")
        states.append((value.get("status"), value.get("instance_id")))
    who = next((instance for status, instance in reversed(states) if status == "connected"), None)
    ended = next((status for status, instance in reversed(states) if instance == who), None)
    if who is None or ended != "disconnected":
        found.add("lost", f"the feed was connected and ended in order; its connection is told as {ended}")
