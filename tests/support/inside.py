"""Servers as they could listen in a sandbox: each answers its connections by a function, in threads
of the test's own."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Request:
    """What came in over one connection, as bytes, and the connection itself."""

    connection: socket.socket
    head: bytes
    rest: bytes  # behind the head, as far as it came with it

    @property
    def lines(self) -> list[str]:
        return self.head.decode("latin-1").split("\r\n")[:-2]

    @property
    def first(self) -> str:
        return self.lines[0]

    @property
    def headers(self) -> list[tuple[str, str]]:
        pairs = [line.partition(": ") for line in self.lines[1:]]
        return [(name.lower(), value) for name, _, value in pairs]

    def header(self, name: str) -> str | None:
        """The only one of that name, or None."""
        found = [value for one, value in self.headers if one == name]
        assert len(found) < 2, found
        return found[0] if found else None

    def read(self, wanted: int) -> bytes:
        """That many bytes of the body."""
        while len(self.rest) < wanted:
            part = self.connection.recv(65536)
            assert part, f"the body ended after {len(self.rest)} of {wanted} bytes"
            self.rest += part
        found, self.rest = self.rest[:wanted], self.rest[wanted:]
        return found

    def read_until(self, mark: bytes) -> bytes:
        while mark not in self.rest:
            part = self.connection.recv(65536)
            assert part, f"no {mark!r} in {self.rest!r}"
            self.rest += part
        found, _, self.rest = self.rest.partition(mark)
        return found + mark

    def reply(self, *parts: bytes) -> None:
        for part in parts:
            self.connection.sendall(part)


Answer = Callable[[Request], None]


@dataclass
class Inside:
    port: int
    requests: queue.Queue[Request] = field(default_factory=queue.Queue)
    failures: list[BaseException] = field(default_factory=list)

    def next(self) -> Request:
        return self.requests.get(timeout=30)


def _receive(connection: socket.socket) -> Request | None:
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            return None
        data += part
    head, _, rest = data.partition(b"\r\n\r\n")
    return Request(connection, head + b"\r\n\r\n", rest)


def _serve(connection: socket.socket, answer: Answer, inside: Inside) -> None:
    with connection:
        try:
            request = _receive(connection)
            if request:
                inside.requests.put(request)
                answer(request)
        except (ConnectionError, TimeoutError):  # whoever asked has gone
            pass
        except BaseException as error:
            inside.failures.append(error)


@contextmanager
def serving(answer: Answer, family: int = socket.AF_INET) -> Iterator[Inside]:
    """Answers each connection to a port of its own by `answer`, then closes it."""
    host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    listener = socket.create_server((host, 0), family=family)
    inside = Inside(listener.getsockname()[1])
    threads: list[threading.Thread] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connection.settimeout(30)
                threads.append(threading.Thread(target=_serve, args=(connection, answer, inside)))
                threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    yield inside
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    accepting.join()
    for one in threads:
        one.join()
    assert not inside.failures, inside.failures


def text(body: bytes, *lines: str, status: str = "200 OK") -> Answer:
    """Answers with that body and its length."""
    head = "".join(f"{line}\r\n" for line in lines)

    def answer(request: Request) -> None:
        said = f"HTTP/1.1 {status}\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode()
        request.reply(said + body)

    return answer
