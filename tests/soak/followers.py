"""Hundreds of readers of one execution: everyone gets every byte once and in order.

A tenth reads next to nothing until all others are done (a client that takes nothing at all for a
minute is cut off), a tenth leaves at random and comes back by the
number of the last event that it has, the others read as fast as they can. The memory of the gateway
stays bounded.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Iterator

from account import Lost
from harness import processes
from harness.home import Home
from harness.sandboxes import Sandbox, gateway
from harness.servers import Server

LINE = "followers, line %08d of many, and some more text to make it long enough to matter\n"
MEMORY_BYTES = 200 * 1024 * 1024
PIECE = 1 << 16
SIP_S = 10.0  # between two reads of a slow one
STAY_EVENTS = 20  # at most, of one who leaves


class Followers:
    """The readers of one execution, each on a thread of its own."""

    def __init__(self, server: Server, path: str, expected: str, seed: int) -> None:
        self.server = server
        self.path = path
        self.expected = expected
        self.seed = seed
        self.others_done = threading.Event()
        self.problems: list[str] = []
        self.returns = 0

    def _open(
        self, connection: http.client.HTTPConnection, path: str, accept: str
    ) -> http.client.HTTPResponse:
        headers = {"Authorization": f"token {self.server.token}", "Accept": accept}
        connection.request("GET", f"{self.path}/{path}", headers=headers)
        reply = connection.getresponse()
        if reply.status != 200:
            raise Lost(f"{path}: {reply.status} {reply.read()[:300]!r}")
        return reply

    def _text(self, pauses: Callable[[], bool]) -> str:
        digest = hashlib.sha256()
        with contextlib.closing(self.server.connect()) as connection:
            reply = self._open(connection, "output", "*/*")
            digest.update(reply.read(5000))
            while pauses():
                digest.update(reply.read(PIECE))
            while piece := reply.read(PIECE):
                digest.update(piece)
        return digest.hexdigest()

    def quick(self, _number: int) -> str:
        return self._text(lambda: False)

    def slow(self, _number: int) -> str:
        return self._text(lambda: not self.others_done.wait(SIP_S))

    def _stay(self, after: int, most: int) -> Iterator[dict[str, str | int]]:
        with contextlib.closing(self.server.connect()) as connection:
            reply = self._open(connection, f"events?after={after}", "application/x-ndjson")
            for _ in range(most):
                yield json.loads(reply.readline())

    def returning(self, number: int) -> str:
        digest, after = hashlib.sha256(), 0
        chance = random.Random(self.seed + number)
        while True:
            self.returns += 1
            for event in self._stay(after, chance.randrange(1, STAY_EVENTS)):
                after += 1
                if event["number"] != after:
                    raise Lost(f"event {event['number']} came behind {after - 1}")
                if event["type"] == "stdout":
                    digest.update(str(event["text"]).encode())
                if event["type"] == "end":
                    return digest.hexdigest()

    def run(self, read: Callable[[int], str], number: int) -> None:
        try:
            if read(number) != self.expected:
                self.problems.append(f"reader {number} has other bytes")
        except Exception as error:  # of a thread: told by who waits for it
            self.problems.append(f"reader {number}: {type(error).__name__}: {error}")


def join(threads: list[threading.Thread], watch: Callable[[], None]) -> None:
    for thread in threads:
        while thread.is_alive():
            thread.join(0.2)
            watch()


def prove(server: Server, readers: int, lines: int, say: Callable[[str], None]) -> str:
    """On a server that runs; a sentence that says what was proven."""
    sandbox = Sandbox(server)
    path = f"/v1/sandboxes/{sandbox.id}/executions"
    server.call("POST", path, 200, {"code": "pass"})
    digest = hashlib.sha256()
    for number in range(lines):
        digest.update((LINE % number).encode())
    code = f"for i in range({lines}): print({LINE.rstrip()!r} % i)"
    execution = server.call("POST", path, 202, {"code": code, "detach": True})["id"]
    followers = Followers(server, f"{path}/{execution}", digest.hexdigest(), time.time_ns())
    tenth = max(1, readers // 10)
    kinds = [followers.slow] * tenth + [followers.returning] * tenth
    kinds += [followers.quick] * (readers - 2 * tenth)
    threads = [threading.Thread(target=followers.run, args=(kind, number), daemon=True)
               for number, kind in enumerate(kinds)]  # fmt: skip
    before = peak = processes.rss_bytes(server.process.pid)

    def watch() -> None:
        nonlocal peak
        peak = max(peak, processes.rss_bytes(server.process.pid))

    began = time.monotonic()
    for thread in threads:
        thread.start()
    join(threads[tenth:], watch)
    say(f"followers: all but {tenth} have read for {time.monotonic() - began:.0f} s")
    followers.others_done.set()
    join(threads[:tenth], watch)
    if followers.problems:
        raise Lost("; ".join(followers.problems[:5]))
    if peak > MEMORY_BYTES:
        raise Lost(f"the gateway grew from {before >> 20} to {peak >> 20} MB")
    sandbox.delete()
    return (
        f"{readers} readers of one execution of {lines * len(LINE % 0) >> 20} MB, {tenth} slow, "
        f"{tenth} that came back {followers.returns - tenth} times: all have every byte; "
        f"the gateway had at most {peak >> 20} MB"
    )


def run(readers: int, lines: int, say: Callable[[str], None]) -> str:
    """The whole proof."""
    home = Home()
    server = Server(gateway("--pool-max=0"), home)
    try:
        return prove(server, readers, lines, say)
    finally:
        server.stop()
        home.close()
