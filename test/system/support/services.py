"""Calls of our services as JSON over the bus, as any client makes them."""

import json
import time

from .places import PATIENCE

JSON = {"Content-Type": "application/json"}


class ServiceError(Exception):
    def __init__(self, code: int, text: str):
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


# gRPC codes that tests name
INVALID, NOT_FOUND, EXISTS, DENIED, PRECONDITION, ABORTED, OUT_OF_RANGE = 3, 5, 6, 7, 9, 10, 11


def call(bus, method: str, timeout: float = 10, **fields) -> dict:
    """call(bus, "Scenarios.Create", id="bt1", …) of package virtufin.api.v1."""
    reply = bus.request(f"svc.virtufin.api.v1.{method}", json.dumps(fields).encode(), JSON, timeout)
    if reply.headers and "Nats-Service-Error-Code" in reply.headers:
        raise ServiceError(int(reply.headers["Nats-Service-Error-Code"]), reply.headers["Nats-Service-Error"])
    return json.loads(reply.data)


def wait_replay(bus, selector: str, *states: str, timeout: float = 60) -> dict:
    """Until the replay on the selector is in one of the states."""
    end = time.monotonic() + timeout * PATIENCE
    while True:
        info = call(bus, "Replay.Get", selector=selector)
        if info["state"] in states:
            return info
        assert time.monotonic() < end, f"the replay is not {states} within {timeout} s: {info}"
        time.sleep(0.02)
