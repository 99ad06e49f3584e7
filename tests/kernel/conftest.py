"""The modules beside the tests can be imported; interpreters of each entry, one a file for what
leaves no trace in it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel.interpreters import ENTRIES, Starter, close_fork_servers, start
from kernel.link_peer import Interpreter
from support.programs import Programs

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session", autouse=True)
def no_fork_server_left(home: Path) -> Iterator[None]:
    yield
    close_fork_servers()


@pytest.fixture(scope="module", params=ENTRIES)
def shared(request: pytest.FixtureRequest, programs: Programs) -> Iterator[Interpreter]:
    """One interpreter of each entry for a whole file."""
    interpreter = start(request.param, programs)
    yield interpreter
    interpreter.close()


@pytest.fixture(params=ENTRIES)
def entry(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def launch(entry: str, programs: Programs) -> Iterator[Starter]:
    """Starts interpreters of the entry that the test may spoil; they end with it."""
    started: list[Interpreter] = []

    def starter(**options: Any) -> Interpreter:
        started.append(start(entry, programs, **options))
        return started[-1]

    yield starter
    for interpreter in started:
        interpreter.close()


@pytest.fixture
def fresh(launch: Starter) -> Interpreter:
    return launch()
