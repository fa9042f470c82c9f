"""A synchronous view of a nats-py connection: it lives on a loop of its own in a thread.

Everything nats-py offers is at hand as `bus.call(coroutine)`; the verbs below are those tests use a lot.
"""

import asyncio
import concurrent.futures
import contextlib
import threading
import time

import msgpack
import nats
from nats.js.api import ConsumerConfig, DeliverPolicy

from .places import PATIENCE


def decode(message) -> dict:
    """The event of a message on a lane: our msgpack, as a dict of attributes and `data`."""
    return msgpack.unpackb(message.data, raw=False)


class Watch:
    """Messages of a subscription, in the order they came."""

    def __init__(self):
        self.messages = []

    def wait(self, count: int, timeout: float = 10):
        end = time.monotonic() + timeout * PATIENCE
        while len(self.messages) < count:
            assert time.monotonic() < end, f"{len(self.messages)} of {count} messages within {timeout} s"
            time.sleep(0.005)
        return self.messages


class Bus:
    def __init__(self, url: str, **options):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.nc = self.call(nats.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.1, **options))
        self.js = self.nc.jetstream()

    def call(self, coroutine, timeout: float = 30):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout * PATIENCE)

    def close(self):
        with contextlib.suppress(concurrent.futures.CancelledError):  # of the task that looks for a broker that is gone
            self.call(self.nc.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def publish(self, subject: str, data: bytes = b"", headers: dict | None = None):
        self.call(self.nc.publish(subject, data, headers=headers))
        self.call(self.nc.flush())

    def publish_soon(self, subject: str, data: bytes):
        """Does not wait: what a broker that is away does not get is lost."""
        asyncio.run_coroutine_threadsafe(self.nc.publish(subject, data), self._loop)

    def request(self, subject: str, data: bytes = b"", headers: dict | None = None, timeout: float = 5):
        return self.call(self.nc.request(subject, data, timeout=timeout * PATIENCE, headers=headers))

    def subscribe(self, subject: str) -> Watch:
        watch = Watch()

        async def keep(message):
            watch.messages.append(message)

        self.call(self.nc.subscribe(subject, cb=keep))
        self.call(self.nc.flush())
        return watch

    def stream_state(self, stream: str):
        return self.call(self.js.stream_info(stream)).state

    def wait_stream(self, stream: str, messages: int, timeout: float = 20):
        """Waits until the stream exists and has stored that many messages in all."""
        end = time.monotonic() + timeout * PATIENCE
        while True:
            try:
                state = self.stream_state(stream)
                if state.last_seq >= messages:
                    return state
                seen = f"last sequence {state.last_seq}"
            except nats.js.errors.NotFoundError:
                seen = "no such stream"
            assert time.monotonic() < end, f"stream {stream}: {seen}, not {messages} within {timeout} s"
            time.sleep(0.02)

    def store(self, stream: str, records: list[tuple[str, bytes]]):
        """Publishes (subject, payload) in order; every thousandth waits for its acknowledgement."""
        self.call(self._store(stream, records), 300)

    async def _store(self, stream, records):
        for i, (subject, payload) in enumerate(records, 1):
            if i % 1000 and i < len(records):
                await self.nc.publish(subject, payload)
            else:
                ack = await self.js.publish(subject, payload)
                assert (ack.stream, ack.seq) == (stream, i)

    def read(self, stream: str, subject: str = ">", from_seq: int = 1, to_seq: int | None = None) -> list:
        """Every message of the stream on that subject, up to what is stored now, in stream order.

        message.metadata.sequence.stream is its stream sequence.
        """
        return self.call(self._read(stream, subject, from_seq, to_seq), 300)

    async def _read(self, stream, subject, from_seq, to_seq):
        last = to_seq or (await self.js.stream_info(stream)).state.last_seq
        config = ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=from_seq)
        messages = []
        sub = await self.js.subscribe(subject, stream=stream, ordered_consumer=True, config=config,
                                      pending_msgs_limit=-1, pending_bytes_limit=-1)
        pending = (await sub.consumer_info()).num_pending + (await sub.consumer_info()).delivered.consumer_seq
        while pending:
            message = await sub.next_msg(timeout=10 * PATIENCE)
            if message.metadata.sequence.stream > last:
                break
            messages.append(message)
            if message.metadata.num_pending == 0:
                break
        await sub.unsubscribe()
        return messages

    def kv(self, bucket: str) -> dict[str, bytes]:
        """All keys and values of a bucket."""
        return self.call(self._kv(bucket))

    async def _kv(self, bucket):
        # Read from the bucket's stream: nats-py's keys() now and then finds none, when a key is delivered
        # before it has asked how many to expect.
        values = {}
        for message in await self._read(f"KV_{bucket}", ">", 1, None):
            key = message.subject.removeprefix(f"$KV.{bucket}.")
            if message.headers and ("KV-Operation" in message.headers or "Nats-Marker-Reason" in message.headers):
                values.pop(key, None)
            else:
                values[key] = message.data
        return values
