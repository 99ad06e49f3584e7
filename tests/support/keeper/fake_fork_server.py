"""A fork server that imports nothing: it forks the fake interpreter, as docs/keeper.md says.

Its arguments order what else it does: ``hang``, ``die`` and the like come true at a FORK, and
only once where ``once=FILE`` names a file that tells those that come later.
"""

from __future__ import annotations

import array
import json
import os
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from support.keeper import fake_interpreter

FORK, WARM, FORKED, FORK_FAILED, STALE = 64, 80, 81, 82, 83
HEAD = struct.Struct("<II")


def send(connection: socket.socket, kind: int, number: int, body: object) -> None:
    connection.send(HEAD.pack(kind, number) + json.dumps(body).encode())


def become(body: dict[str, Any], fds: list[int]) -> NoReturn:
    os.setsid()
    link, out, err, page, memory = fds[:5]
    strings = os.pread(memory, 1 << 20, 0).split(b"\0")[:-1]
    kept = [os.dup2(fd, 100 + n) for n, fd in enumerate([out, err, link, page])]
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    for n, fd in enumerate(kept, 1):
        os.dup2(fd, n)
    os.closerange(5, 1 << 16)
    os.environ.clear()
    for string in strings:
        name, value = string.decode().split("=", 1)
        os.environ[name] = value
    os.umask(body["umask"])
    if body.get("cwd"):
        os.chdir(body["cwd"])
    fake_interpreter.main()
    os._exit(0)


def fork(body: dict[str, Any], fds: list[int]) -> int:
    """The interpreter's pid; its parent has ended, so that it is the keeper's child."""
    told, tell = os.pipe()
    middle = os.fork()
    if middle == 0:
        pid = os.fork()
        if pid == 0:
            become(body, fds)
        os.write(tell, struct.pack("<i", pid))
        os._exit(0)
    (pid,) = struct.unpack("<i", os.read(told, 4))
    os.close(told)
    os.close(tell)
    os.waitpid(middle, 0)
    return int(pid)


class Orders:
    def __init__(self, words: list[str]) -> None:
        self.words = [word for word in words if "=" not in word]
        self.once = next((Path(w[5:]) for w in words if w.startswith("once=")), None)

    def __contains__(self, word: str) -> bool:
        if word not in self.words:
            return False
        if self.once is None:
            return True
        first = not self.once.exists()
        self.once.touch()
        return first


def serve(connection: socket.socket, orders: Orders) -> None:
    while True:
        data, ancillary, _flags, _address = connection.recvmsg(65536, 4096)
        if not data:
            return
        fds = array.array("i")
        for _level, _kind, rights in ancillary:
            fds.frombytes(rights)
        kind, number = HEAD.unpack_from(data)
        assert kind == FORK and len(fds) >= 5
        body = json.loads(data[HEAD.size :])
        if "hang" in orders:
            signal.pause()
        if "die" in orders:
            os._exit(7)
        if "wrong" in orders:
            send(connection, FORKED, number, {"pid": os.getpid()})
        elif "nonsense" in orders:
            connection.send(b"nonsense")
        elif "fail" in orders:
            send(connection, FORK_FAILED, number, {"message": "no memory"})
        else:
            pid = fork(body, list(fds))
            if "die-after" in orders:
                os._exit(7)
            send(connection, FORKED, number, {"pid": pid})
            if "stale" in orders:
                send(connection, STALE, 0, {"message": "numpy was changed"})
        for fd in fds:
            os.close(fd)


def main() -> None:
    assert sys.argv[-1] == "--fork-server"
    orders = Orders(sys.argv[1:-1])
    connection = socket.socket(fileno=3)
    if "broken" in orders:
        sys.exit("no such library")
    if "cold" in orders:
        time.sleep(3600)
    send(connection, WARM, 0, {"modules": 1, "took_ms": 2, "failed": {"x": "why"}})
    serve(connection, orders)


if __name__ == "__main__":
    main()
