"""Nothing is lost at any volume, whoever reads slowly or not at all."""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support import processes
from support.client import Client, Message, Run
from support.direct import Kernel
from support.gateway import Gateway
from support.place import KINDS, DirectPlace, Place, met

LINES = 1_000_000
LONG_S = 120.0
PRINT = f"for i in range({LINES}): print(i)"
PRINTED = "".join(f"{i}\n" for i in range(LINES))

SHOWN_BYTES = 50_000_000
SHOWN_TEXT = f"''.join(f'{{i:07d}}|' for i in range(1000)) * {SHOWN_BYTES // 8000}"
SHOW = f"display({{'text/plain': {SHOWN_TEXT}}}, raw=True)"
SHOWN = ("".join(f"{i:07d}|" for i in range(1000)) * (SHOWN_BYTES // 8000)).encode()


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, kernelspec: str, gateway: Gateway) -> Iterator[Place]:
    with met(request.param, kernelspec, gateway) as place:
        yield place


class Follower:
    """Reads one message each time it is allowed to, in a thread of its own."""

    def __init__(self, client: Client, msg_id: str) -> None:
        self.allowed: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.run: Run | None = None
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._follow, args=(client, msg_id))
        self.thread.start()

    def _follow(self, client: Client, msg_id: str) -> None:
        try:
            self.run = client.collect(
                msg_id,
                reply=False,
                timeout=LONG_S,
                on_message=lambda _: self.allowed.get(timeout=LONG_S),
            )
        except BaseException as e:
            self.error = e

    def result(self) -> Run:
        for _ in range(100_000):
            self.allowed.put(None)
        self.thread.join(LONG_S)
        assert self.error is None, self.error
        assert self.run is not None
        return self.run


def run_with_a_slow_one(place: Place, code: str) -> tuple[Run, Run]:
    """What a client gets of a cell, and what a second one gets that stays behind it.

    Directly, the second lags one message behind the first: the kernel waits for the slowest.
    Through a gateway it reads nothing until the first has everything: none there delays another.
    """
    fast, slow = place.client(), place.slow_client()
    msg_id = fast.execute(code)
    if not isinstance(place, DirectPlace):
        run = fast.collect(msg_id, timeout=LONG_S)
        return run, slow.collect(msg_id, reply=False, timeout=LONG_S)
    follower = Follower(slow, msg_id)

    def allow(message: Message) -> None:
        if message.channel == "iopub":
            follower.allowed.put(None)

    run = fast.collect(msg_id, timeout=LONG_S, on_message=allow)
    return run, follower.result()


def test_a_million_lines(place: Place) -> None:
    for run in run_with_a_slow_one(place, PRINT):
        # comparing whole texts in an assertion would print them
        same = run.stdout == PRINTED
        assert same, f"{len(run.stdout)} of {len(PRINTED)} characters"


def test_a_display_of_50_mb(place: Place) -> None:
    for run in run_with_a_slow_one(place, SHOW):
        (shown,) = run.of("display_data")
        data = shown.content["data"]["text/plain"].encode()
        assert len(data) == len(SHOWN)
        assert hashlib.sha256(data).digest() == hashlib.sha256(SHOWN).digest()


def test_a_buffer_of_50_mb_through_a_comm(kernelspec: str, gateway: Gateway) -> None:
    for kind in ("direct", "v1"):
        with met(kind, kernelspec, gateway) as place:
            run = place.client().run(
                "from comm import create_comm\n"
                "c = create_comm(target_name='t', buffers=[bytes(range(250)) * 200_000])",
                timeout=LONG_S,
            )
            (opened,) = run.of("comm_open")
            assert opened.buffers == [bytes(range(250)) * 200_000]


ENDLESS = """
import mmap, os, struct
with open({path!r}, 'r+b') as file: count = mmap.mmap(file.fileno(), 16)
i = 0
try:
    while True:
        print(f'{{i:099d}}')
        i += 1
        struct.pack_into('<q', count, 0, i)
except KeyboardInterrupt:
    struct.pack_into('<qq', count, 0, i, 1)
    raise
"""


def test_a_client_that_does_not_read_makes_the_cell_wait(kernelspec: str, tmp_path: Path) -> None:
    path = tmp_path / "count"
    path.write_bytes(bytes(16))

    def numbers() -> tuple[int, int]:
        data = path.read_bytes()
        return int.from_bytes(data[:8], "little"), int.from_bytes(data[8:], "little")

    with Kernel(kernelspec) as kernel:
        client = kernel.client(rcvhwm=1, rcvbuf=4096)
        msg_id = client.execute(ENDLESS.format(path=str(path)))
        seen = [-1] * 10

        def stands_still() -> bool:
            seen.append(numbers()[0])
            return seen[-1] > 0 and len(set(seen[-10:])) == 1

        processes.until(stands_still, "the cell waits", LONG_S)
        assert psutil.Process(kernel.pid).memory_info().rss < 500e6, "what waits is bounded"
        kernel.interrupt()
        processes.until(lambda: numbers()[1] == 1, "the interrupt reaches the cell that waits")
        run = client.collect(msg_id, timeout=LONG_S)
        assert run.content["ename"] == "KeyboardInterrupt"
        lines = run.stdout.splitlines()
        # the line whose print was interrupted may be there or not
        assert len(lines) - numbers()[0] in (0, 1)
        assert lines == [f"{i:099d}" for i in range(len(lines))]
        assert client.run("6 * 7").result["text/plain"] == "42"
