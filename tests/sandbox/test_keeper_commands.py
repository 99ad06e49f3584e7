"""Programs that a keeper starts in a sandbox as commands: their descriptors are stdin, stdout and
stderr, their words come in a memory, and why one could not be executed is told in parts."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support import processes
from support.keeper import keeper_process as wire
from support.keeper.keeper_process import Asker, Keeper, environment, sandboxing, sealed

ENV = {"PATH": "/usr/bin:/bin"}


@pytest.fixture(scope="module")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keeper]:
    with Keeper(*sandboxing(tmp_path_factory.mktemp("commands") / "state")) as keeper:
        yield keeper


@pytest.fixture
def asker(keeper: Keeper) -> Iterator[Asker]:
    asker = keeper.asker()
    assert asker.ask(wire.OPEN, {"sandbox": "a"}).kind == wire.OK
    yield asker
    with suppress(OSError):
        asker.close()


class Command:
    def __init__(self, asker: Asker, words: Sequence[str], fds: Sequence[int], **body: Any) -> None:
        """fds: what it gets instead of pipes and memories."""
        self.stdin, self.out, self.err = -1, -1, -1
        theirs = list(fds)
        if not fds:
            stdin, self.stdin = os.pipe()
            self.out, out = os.pipe()
            self.err, err = os.pipe()
            text = b"".join(os.fsencode(word) + b"\0" for word in words)
            theirs = [stdin, out, err, sealed(text), environment(ENV)]
        self.number = asker.send(wire.START, {"sandbox": "a", "command": True, **body}, theirs)
        for fd in theirs:
            os.close(fd)

    def output(self, fd: int) -> bytes:
        found = b""
        while chunk := os.read(fd, 65536):
            found += chunk
        return found

    def close(self) -> None:
        for fd in (self.stdin, self.out, self.err):
            if fd >= 0:
                os.close(fd)


@pytest.fixture
def run(asker: Asker) -> Iterator[Any]:
    made: list[Command] = []

    def start(*words: str, fds: Sequence[int] = (), **body: Any) -> tuple[Command, wire.Datagram]:
        made.append(Command(asker, words, fds, **body))
        return made[-1], asker.answer_to(made[-1].number)

    yield start
    for one in made:
        one.close()


def end_of(asker: Asker, command: Command) -> dict[str, Any]:
    while command.number not in asker.ended:
        asker.note(wire.receive(asker.socket))
    return asker.ended[command.number]


def test_a_command_has_three_descriptors_and_its_words(asker: Asker, run: Any) -> None:
    script = 'read line; echo "$line $#"; echo "${#1}" >&2; ls /proc/self/fd; pwd; exit 7'
    long = "x" * 100_000  # longer than a datagram
    command, answer = run("/bin/sh", "-c", script, "sh", long, cwd="/tmp")
    assert answer.kind == wire.STARTED, answer
    os.write(command.stdin, b"hello\n")
    assert command.output(command.out) == b"hello 1\n0\n1\n2\n3\n/tmp\n"  # 3 is of ls
    assert command.output(command.err) == b"100000\n"
    assert end_of(asker, command)["wait_status"] == 7 << 8


@pytest.mark.parametrize(
    ("words", "cwd", "step", "code"),
    [
        (["no-such-program"], "/", "exec", errno.ENOENT),
        (["/etc/passwd"], "/", "exec", errno.EACCES),
        (["true"], "/none", "its working directory", errno.ENOENT),
    ],
)
def test_why_it_could_not_be_executed(
    run: Any, words: list[str], cwd: str, step: str, code: int
) -> None:
    _, answer = run(*words, cwd=cwd)
    assert answer.kind == wire.FAILED
    assert (answer.body["step"], answer.body["errno"]) == (step, code)
    assert os.strerror(code) in answer.body["message"]


def test_what_it_leaves_behind_ends_when_that_is_asked_for(asker: Asker, run: Any) -> None:
    script = "setsid sh -c 'echo here; exec sleep 1000' & read line"
    command, answer = run("/bin/sh", "-c", script)
    assert answer.kind == wire.STARTED
    assert os.read(command.out, 100) == b"here\n"
    os.close(command.stdin)
    command.stdin = -1
    assert end_of(asker, command)["wait_status"] == 1 << 8
    assert asker.ask(wire.KILL, {}).kind == wire.OK
    assert command.output(command.out) == b""


def refused(run: Any, *words: str, **options: Any) -> str:
    _, answer = run(*words, **options)
    assert answer.kind == wire.FAILED
    assert answer.body["status"] == 400
    return str(answer.body["message"])


def test_what_is_no_command(run: Any) -> None:
    assert "there are no words" in refused(run)
    assert "never warm" in refused(run, "true", warm=True)
    reading, writing = os.pipe()
    words = sealed(b"true\0")
    fds = [os.open("/dev/null", os.O_RDONLY), writing, os.dup(writing), words, environment(ENV)]
    assert "stdin must be a pipe" in refused(run, fds=fds)
    writing = os.open(f"/proc/self/fd/{reading}", os.O_WRONLY)
    fds = [reading, writing, os.dup(writing), sealed(b"true"), environment(ENV)]
    assert "words: must be strings with a NUL" in refused(run, fds=fds)


def test_only_one_that_is_there_is_joined(keeper: Keeper, asker: Asker, tmp_path: Path) -> None:
    other = keeper.asker()
    answer = other.ask(wire.OPEN, {"sandbox": "none", "join": True})
    assert (answer.kind, answer.body["status"]) == (wire.FAILED, 404)
    assert other.ask(wire.OPEN, {"sandbox": "a", "join": True}).body["created"] is False
    asker.socket.close()
    processes.until(
        lambda: other.status()["sandboxes"][0]["holders"] == 1, "the second holds it alone"
    )
    other.close()
