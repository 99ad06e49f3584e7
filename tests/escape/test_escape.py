"""The escape suite: every attempt fails inside a sandbox, and works outside by the same code.

Run as root, all of it is done twice: with a keeper that is root, and with one of an ordinary user.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from escape.place import Place
from escape.rows import ROWS, Row, prove_outside
from support import processes

PRIVATE = ("/workspace", "/tmp", "/dev/shm", "/home/user")
MODES = ["root", "user"] if os.geteuid() == 0 else ["user"]


@pytest.fixture(scope="module", params=MODES)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    place = Place(request.param)
    yield place
    place.close()


@pytest.mark.parametrize("row", ROWS, ids=[row.id for row in ROWS])
def test_attempt_fails_inside_and_works_outside(place: Place, row: Row) -> None:
    answer = place.inside(row.name, row.argument(place))
    assert not answer.reached, f"it got out: {answer.why}"
    prove_outside(place, row)


@pytest.mark.parametrize("how", ["child", "session", "daemon"])
def test_nothing_outlives_the_sandbox(place: Place, how: str) -> None:
    """Processes that ignore signals, in a session of their own or with their parent gone: inside
    they
    are started, and they end with the sandbox; outside they stay."""
    markers = {where: secrets.token_hex(16) for where in ("inside", "outside")}
    place.open("left")
    started = place.inside("leave_process", {"marker": markers["inside"], "how": how}, "left")
    assert started.reached, started.why
    # what stays in its group goes with the process that made it
    assert how == "child" or processes_with(markers["inside"])
    place.end("left")
    processes.until(lambda: not processes_with(markers["inside"]), "the sandbox's end")
    place.control("user", "leave_process", {"marker": markers["outside"], "how": how})
    left = processes_with(markers["outside"])
    assert left
    for pid in left:
        os.kill(pid, 9)
    processes.wait_gone(left)


def processes_with(marker: str) -> list[int]:
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    if marker.encode() in file.read():
                        found.append(int(entry))
            except OSError:
                continue
    return found


def test_an_attempt_can_tell_what_it_reaches(place: Place) -> None:
    assert place.inside("exists", {"path": "/workspace"}).reached
    place.open("roomy", **{name: 64 * value for name, value in LIMITS.items()})
    for name, argument in BOMBS:
        answer = place.inside(name, argument, "roomy", may_die=True)
        assert answer.reached, (name, answer.why)
    place.end("roomy")


def test_there_are_enough_attempts() -> None:
    assert len({row.id for row in ROWS}) == len(ROWS)
    assert len(ROWS) >= 60


MIB = 1 << 20
LIMITS = {
    "memory_bytes": 128 * MIB,
    "processes": 40,
    "open_files": 100,
    "workspace_bytes": 32 * MIB,
    "workspace_inodes": 1000,
    "tmp_bytes": 16 * MIB,
}
BOMBS: list[tuple[str, dict[str, Any]]] = [
    ("bomb_processes", {"count": 120}),
    ("bomb_threads", {"count": 120}),
    ("bomb_memory", {"bytes": 384 * MIB}),
    ("bomb_memory_of_many", {"bytes": 384 * MIB}),
    *[("bomb_file", {"bytes": 96 * MIB, "folder": folder}) for folder in PRIVATE],
    *[("bomb_files", {"bytes": 96 * MIB, "folder": folder}) for folder in PRIVATE],
    *[("bomb_mapped_file", {"bytes": 96 * MIB, "folder": folder}) for folder in ("/workspace",)],
    *[("bomb_unlinked_files", {"bytes": 96 * MIB, "folder": folder}) for folder in PRIVATE],
    *[("bomb_inodes", {"count": 6000, "folder": folder}) for folder in PRIVATE],
    ("bomb_descriptors", {"count": 300}),
]


@pytest.mark.parametrize(
    ("name", "argument"),
    BOMBS,
    ids=[f"{n}{a.get('folder', '').replace('/', '-')}" for n, a in BOMBS],
)
def test_bomb_is_stopped_inside_and_goes_off_outside(
    place: Place, name: str, argument: dict[str, Any]
) -> None:
    sandbox = f"bomb-{secrets.token_hex(4)}"
    place.open(sandbox, **LIMITS)
    # what is counted from outside is counted from time to time: until then it stays where it is
    answer = place.inside(name, argument | {"linger_s": 120}, sandbox, may_die=True)
    assert not answer.reached, f"it got all of it: {answer.why}"
    alive = place.inside("exists", {"path": "/nowhere"})
    assert not alive.reached, "the other sandbox goes on"
    place.end_if_there(sandbox)
    control = place.control("user", name, argument | {"folder": str(place.outside)})
    assert control.reached, f"the bomb does not go off outside either: {control.why}"


def test_page_cache_counts_for_the_sandbox(place: Place) -> None:
    """Who reads more than its memory has the pages it read dropped, not more memory."""
    place.open("cache", **LIMITS)
    argument = {"bytes": 512 * MIB, "folder": "/workspace"}
    assert place.inside("read_into_cache", argument, "cache", may_die=True).why
    used = place.usage("cache")["memory_peak_bytes"]
    assert used is None or used <= LIMITS["memory_bytes"]
    place.end("cache")
