"""SAVE_KERNEL and RESTORE_KERNEL: variables that go to a gateway, and into another interpreter."""

from __future__ import annotations

import json
import socket
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kernel.host_process import LINK_INTERRUPT, Gateway, Host
from kernel.interpreters import ENTRIES, command, environment
from kernel.test_branch import Pair
from support.programs import programs

SAVE_KERNEL, RESTORE_KERNEL = 72, 73
LENGTH = struct.Struct("<Q")
PATIENCE_S = 60


@dataclass
class Saved:
    head: dict[str, Any]
    pickle: bytes
    buffers: list[bytes] = field(default_factory=list)


class Peer:
    """The gateway's end of the connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    def block(self) -> Any:
        return json.loads(self.exactly(LENGTH.unpack(self.exactly(8))[0]))

    def exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            got = self.connection.recv(min(size - len(data), 1 << 20))
            if not got:
                raise EOFError
            data += got
        return data

    def send(self, value: Any) -> None:
        data = json.dumps(value).encode()
        self.connection.sendall(LENGTH.pack(len(data)) + data)

    def save(self, known: list[Any]) -> Saved:
        self.send({"known": known})
        head = self.block()
        saved = Saved(head, self.exactly(head["pickle_bytes"]))
        saved.buffers = [self.exactly(b["bytes"]) for b in head["buffers"] if not b["same"]]
        return saved

    def restore(self, saved: Saved, verified: bytes = b"\1") -> Any:
        self.send(saved.head)
        self.connection.sendall(b"".join((saved.pickle, *saved.buffers, verified)))
        return self.block()


def ask(
    gateway: Gateway, kind: int, act: Callable[[Peer], Any], **options: Any
) -> tuple[dict[str, Any], Any]:
    """The RESULT, and what act gave (None where the connection broke)."""
    found: list[Any] = [None]
    with tempfile.TemporaryDirectory(prefix="wcs-") as folder, socket.socket(
        socket.AF_UNIX
    ) as listener:  # fmt: skip
        path = str(Path(folder) / "s")
        listener.bind(path)
        listener.listen()
        listener.settimeout(PATIENCE_S)

        def run() -> None:
            with suppress(OSError, EOFError), listener.accept()[0] as connection:
                connection.settimeout(PATIENCE_S)
                found[0] = act(Peer(connection))

        thread = threading.Thread(target=run)
        thread.start()
        result, _ = gateway.command(kind, json.dumps({"to": path, **options}).encode())
        with socket.socket(socket.AF_UNIX) as nobody, suppress(OSError):
            nobody.connect(path)  # the host did not come
        thread.join(PATIENCE_S)
    return result, found[0]


def save(gateway: Gateway, known: list[Any] | None = None) -> Saved:
    result, saved = ask(gateway, SAVE_KERNEL, lambda peer: peer.save(known or []))
    assert result["ok"], result
    assert isinstance(saved, Saved)
    return saved


run = Pair.run


@pytest.fixture
def pair() -> Iterator[tuple[Gateway, Gateway]]:
    hosts = [
        Host(zmq=False, uplink=True, command=command(entry, programs()),
             env=environment(entry, programs()))
        for entry in ("embedded", ENTRIES[1] if ENTRIES[1] != "forked" else "embedded")
    ]  # fmt: skip
    gateways = [host.gateway() for host in hosts]
    for gateway in gateways:
        gateway.state()
        run(gateway, "1")
    yield gateways[0], gateways[1]
    for host in hosts:
        host.__exit__(None, None, None)


CELL = """import numpy as np
class A:
    def f(self): return x
a = A(); x = 1; big = np.arange(300_000.0); shared = {'big': big}
def g(): return a.f() + 1
import threading; lock = threading.Lock()
"""


KEY = "0" * 32
# openssl mac -cipher AES-256-GCM -macopt key:KEY -macopt hexiv:000000000000000000000000 GMAC
MARK_OF_ABC = "09d80aa8469ed8609f8c160b8f8f4814"


def mark_of(gateway: Gateway, what: str = "big") -> str:
    """As the interpreter makes it."""
    code = f"import _warmcell; print(_warmcell.mark({KEY.encode()!r}, {what}).hex())"
    return f"{KEY}:{run(gateway, code).strip()}"


def test_marks_are_those_of_the_gateway(pair: tuple[Gateway, Gateway]) -> None:
    first, _ = pair
    assert mark_of(first, "b'abc'") == f"{KEY}:{MARK_OF_ABC}"
    assert mark_of(first, "bytes(1 << 25)") != mark_of(first, "bytes((1 << 25) - 1) + b'1'")
    assert "ValueError" in run(first, "import _warmcell\ntry: _warmcell.mark(b'short', b'')\n"
                                      "except ValueError as e: print(repr(e))")  # fmt: skip


def test_variables_go_into_another_interpreter(pair: tuple[Gateway, Gateway]) -> None:
    first, second = pair
    assert run(first, CELL) == ""
    saved = save(first)
    assert saved.head["not_saved"] == [
        {"name": "lock", "reason": "TypeError: cannot pickle '_thread.lock' object"}
    ]
    assert [len(buffer) for buffer in saved.buffers] == [2_400_000]
    known = [[2_400_000, mark_of(first)], [2_400_000, "0" * 128]]
    assert save(first, known).buffers == []
    result, answer = ask(second, RESTORE_KERNEL, lambda peer: peer.restore(saved))
    assert result["ok"], result
    assert answer["not_restored"] == saved.head["not_saved"]
    assert {"A", "a", "x", "big", "shared", "g", "np", "threading"} == set(answer["restored"])
    look = "x = 5\nprint(g(), big.sum() == sum(range(300_000)), shared['big'] is big, _i)"
    assert run(second, look) == "6 True True 1\n"
    assert "return a.f() + 1" in run(second, "import inspect; print(inspect.getsource(g))")
    assert run(first, "print(g())") == "2\n"


def test_nothing_is_restored_that_was_not_verified(pair: tuple[Gateway, Gateway]) -> None:
    first, second = pair
    run(first, "x = 1")
    saved = save(first)
    result, answer = ask(second, RESTORE_KERNEL, lambda peer: peer.restore(saved, b"\0"))
    assert (result["ok"], answer) == (False, None)
    assert "was not verified" in result["message"]
    result, _ = ask(second, RESTORE_KERNEL, lambda peer: peer.send(saved.head))
    assert (result["ok"], result["status"]) == (False, 502)
    assert "has gone" in result["message"]
    assert "not defined" in run(second, "x")


def test_code_that_does_not_end_is_interrupted(pair: tuple[Gateway, Gateway]) -> None:
    first, _ = pair
    run(first, "import time\nclass A:\n def __reduce__(self): time.sleep(1000)\na = A()")
    result, _ = ask(first, SAVE_KERNEL, lambda peer: peer.save([]), limit_s=1)
    assert (result["ok"], result["status"]) == (False, 502)
    assert "took too long" in result["message"]
    assert run(first, "del a; print('on')") == "on\n"
    assert save(first).head["variables"] == [
        {"name": "time", "type": "module"},
        {"name": "A", "type": "type"},
    ]


def test_what_is_refused(pair: tuple[Gateway, Gateway]) -> None:
    first, _ = pair
    for body, status in ((b"{}", 400), (b'{"to":"/no/such/host"}', 503), (b'{"to":1}', 400)):
        result, _ = first.command(SAVE_KERNEL, body)
        assert (result["ok"], result["status"]) == (False, status), result
    cell = first.execute("import time; print('go', flush=True); time.sleep(1000)")
    while first.message().msg_type != "stream":
        pass
    result, _ = ask(first, SAVE_KERNEL, lambda peer: peer.save([]))
    assert (result["status"], result["message"]) == (409, "the kernel is busy")
    first.command(LINK_INTERRUPT)
    first.until_idle(cell)


def test_an_interpreter_that_is_killed_as_it_saves(pair: tuple[Gateway, Gateway]) -> None:
    first, _ = pair
    run(first, "import os\nclass A:\n def __reduce__(self): os.kill(os.getpid(), 9)\na = A()")
    result, saved = ask(first, SAVE_KERNEL, lambda peer: peer.save([]))
    assert (result["ok"], result["status"], saved) == (False, 503, None)
