"""Hundreds of slow readers of one kernel, and one that reads: nobody delays anybody.

A third of the slow ones never reads, a third reads a little now and then, a third reads only when
all is over. The quick one gets every line while they sit there; those that read in the end get
every line too; the gateway's memory stays bounded.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable

from account import Account, Lost, run_cell
from harness import processes, servers
from harness.home import Home
from harness.message import execute_content
from harness.servers import Server
from harness.websocket import KernelSocket

LINE = "slow readers, line %06d of many, and some more text to make it long enough to matter\n"
MEMORY_EACH_BYTES = 1024 * 1024
MEMORY_FREE_BYTES = 128 * 1024 * 1024
FINISHERS_LIMIT = 30


def print_code(lines: int) -> str:
    return f"for i in range({lines}): print({LINE.rstrip()!r} % i)"


def open_slow(server: Server, kernel_id: str) -> KernelSocket:
    """A reader with a small window (two segments of loopback): the rest stays with the gateway."""
    client = server.open(kernel_id)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 128 * 1024)
    return client


def run(readers: int, lines: int, say: Callable[[str], None]) -> str:
    """The whole proof; a sentence that says what was proven."""
    home = Home()
    server = Server(servers.ours(), home)
    with contextlib.ExitStack() as stack:
        stack.callback(home.close)
        stack.callback(server.stop)
        kernel_id = server.start_kernel("warmcell")
        quick = stack.enter_context(contextlib.closing(server.open(kernel_id)))
        run_cell(quick, "pass").check_whole("")
        slow = [
            stack.enter_context(contextlib.closing(open_slow(server, kernel_id)))
            for _ in range(readers)
        ]
        say(f"readers: {readers} slow ones are connected")
        sippers, finishers = slow[1::3], slow[2::3][:FINISHERS_LIMIT]
        before = processes.rss_bytes(server.process.pid)
        expected = "".join(LINE % i for i in range(lines))
        account = Account()
        began = time.monotonic()
        request = quick.send("execute_request", execute_content(print_code(lines)))
        peak, turn = before, 0
        while not account.has_ended(request):
            account.add(quick.receive())
            turn += 1
            if turn % 16 == 0:
                sip(sippers[turn // 16 % len(sippers)])
                peak = max(peak, processes.rss_bytes(server.process.pid))
        took = time.monotonic() - began
        account.of(request).check_whole(expected)
        say(f"readers: the quick one has {len(expected) >> 20} MB after {took:.1f} s")
        peak = max(peak, processes.rss_bytes(server.process.pid))
        if peak - before > MEMORY_FREE_BYTES + MEMORY_EACH_BYTES * readers:
            raise Lost(f"the gateway grew from {before >> 20} to {peak >> 20} MB")
        for number, client in enumerate(finishers):
            mine = Account()
            while not any(m.is_idle(request) for m in mine.published[-1:]):
                mine.add(client.receive())
            mine.of(request).check_prefix(expected, len(expected))
            say(f"readers: slow reader {number + 1} of {len(finishers)} has everything")
        for client in slow:
            client.close()
        run_cell(quick, "print('still here')").check_whole("still here\n")
    grown = (peak - before) >> 20
    return (
        f"{readers} slow readers, {len(expected) >> 20} MB each: the quick one took {took:.1f} s, "
        f"{len(finishers)} slow ones got everything, the gateway grew by {grown} MB"
    )


def sip(client: KernelSocket) -> None:
    """Reads a little, as a slow client does; what it reads is kept for its own account."""
    with contextlib.suppress(BlockingIOError):
        client.socket.setblocking(False)
        try:
            client.fill(4096)
        finally:
            client.socket.settimeout(60)
