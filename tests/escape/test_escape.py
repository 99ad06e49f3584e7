"""The escape suite: every attempt fails inside a sandbox, and works outside by the same code.

Run as root, all of it is done twice: with a keeper that is root, and with one of an ordinary user.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import pytest
from escape.place import Place
from escape.rows import ROWS, Row
from support import processes

MODES = ["root", "user"] if os.geteuid() == 0 else ["user"]


@pytest.fixture(scope="module", params=MODES)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    place = Place(request.param)
    yield place
    place.close()


def control_works(place: Place, row: Row) -> None:
    if os.geteuid() != 0 and row.control in ("root", "other"):
        pytest.skip("the control of this attempt needs root")
    argument = row.argument(place) | row.outside
    if row.outside_of:
        argument |= row.outside_of(place)
    answer = place.control(row.control, row.name, argument)
    lacks = any(word in answer.why for word in row.optional)
    assert answer.reached or lacks, f"the attempt does not work outside either: {answer.why}"


@pytest.mark.parametrize("row", ROWS, ids=[row.id for row in ROWS])
def test_attempt_fails_inside_and_works_outside(place: Place, row: Row) -> None:
    answer = place.inside(row.name, row.argument(place))
    assert not answer.reached, f"it got out: {answer.why}"
    control_works(place, row)


@pytest.mark.parametrize("how", ["child", "session", "daemon"])
def test_nothing_outlives_the_sandbox(place: Place, how: str) -> None:
    """Processes that ignore signals, in a session of their own or with their parent gone: inside they
    are started, and they end with the sandbox; outside they stay."""
    markers = {where: secrets.token_hex(16) for where in ("inside", "outside")}
    started = place.inside("leave_process", {"marker": markers["inside"], "how": how})
    assert started.reached, started.why
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


def test_there_are_enough_attempts() -> None:
    assert len({row.id for row in ROWS}) == len(ROWS)
    assert len(ROWS) >= 60
