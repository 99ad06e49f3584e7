"""What a keeper starts in tests: says its pid, then does what the lines on its link order."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path

LINK = 3


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def sleep_for_ever() -> None:
    while True:
        time.sleep(3600)


def daemon() -> None:
    """A process in a session of its own, without its parent and without our descriptors."""
    if os.fork() == 0:
        os.setsid()
        pid = os.fork()
        if pid == 0:
            os.closerange(0, 64)
            sleep_for_ever()
        say(pid)
        os._exit(0)
    os.wait()


def child() -> None:
    pid = os.fork()
    if pid == 0:
        os.closerange(0, 64)
        sleep_for_ever()
    say(pid)


def order(words: list[str]) -> None:
    match words:
        case ["exit", status]:
            os._exit(int(status))
        case ["signal", number]:
            os.kill(os.getpid(), int(number))
        case ["daemon"]:
            daemon()
        case ["child"]:
            child()
        case ["env"]:
            say(*(f"{name}={value}" for name, value in sorted(os.environ.items())))
        case ["place"]:
            group, session = os.getpgid(0), os.getsid(0)
            say(Path.cwd(), group == session == os.getpid())
        case ["umask"]:
            say(oct(os.umask(0)))
        case ["fds"]:
            say(*sorted(int(name) for name in os.listdir("/proc/self/fd"))[:-1])
        case ["signals"]:
            lines = Path("/proc/self/status").read_text().splitlines()
            say(*(line.split()[1] for line in lines if line.startswith(("SigBlk", "SigIgn"))))
        case ["connect", port]:
            with socket.socket() as probe:
                say(probe.connect_ex(("127.0.0.1", int(port))) == 0)
        case ["whoami"]:
            say(os.getuid(), os.getgid())
        case ["write", name]:
            Path(name).write_text("written")
            say("written")
        case ["deaf"]:
            signal.pause()


def main() -> None:
    link = socket.socket(fileno=LINK)
    say(os.getpid())
    orders = b""
    while chunk := link.recv(4096):
        orders += chunk
        while b"\n" in orders:
            line, orders = orders.split(b"\n", 1)
            order(line.decode().split())


if __name__ == "__main__":
    main()
    sys.exit(0)
