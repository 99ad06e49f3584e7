"""What /v1/sandboxes/{id}/packages tells when its program cannot be started, is killed, says
nothing or takes too long, and when the gateway ends meanwhile: with a keeper that confines nothing,
and a Python that stops itself before it runs the program, when a test orders that."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from gateway.test_packages import detail
from gateway.test_sandboxes import create, end, remove, start
from support import processes
from support.fake_keeper import FakeKeeper
from support.gateway import Answer, Gateway
from support.programs import PYTHON


@dataclass(frozen=True)
class Route:
    method: str
    more: str = ""
    body: dict[str, Any] | None = None


ROUTES = [Route("GET"), Route("POST", "", {"packages": ["a"]}), Route("DELETE", "/a")]
each_route = pytest.mark.parametrize("route", ROUTES, ids=[one.method for one in ROUTES])


def write_python(folder: Path) -> Path:
    """In that folder: `mute`: the program does nothing; `hold`: it stops before it has done
    anything, and its number is in `held`."""
    place = folder / "python"
    place.write_text(
        f"""#!/bin/sh
        [ -e {folder}/mute ] && exit 0
        [ -e {folder}/hold ] && echo $$ >>{folder}/held && kill -STOP $$
        exec {PYTHON} "$@"
        """
    )
    place.chmod(0o755)
    return place


@dataclass(frozen=True)
class Place:
    gateway: Gateway
    keeper: FakeKeeper
    folder: Path
    sandbox: dict[str, Any]

    @property
    def path(self) -> str:
        return f"/v1/sandboxes/{self.sandbox['id']}/packages"

    def ask(self, route: Route, deadline_s: int | None = None) -> Answer:
        path, body = self.path + route.more, route.body
        if deadline_s and body:
            body = body | {"deadline_s": deadline_s}
        elif deadline_s:
            path += f"?deadline_s={deadline_s}"
        return self.gateway.request(route.method, path, body)

    @contextmanager
    def ordered(self, name: str) -> Iterator[None]:
        order = self.folder / name
        order.touch()
        yield
        order.unlink()

    @contextmanager
    def held(self, route: Route) -> Iterator[tuple[Future[Answer], psutil.Process]]:
        """Who asks and waits, and the program, which stands still."""
        note = self.folder / "held"
        note.unlink(missing_ok=True)
        with ThreadPoolExecutor() as pool:
            with self.ordered("hold"):
                asked = pool.submit(self.ask, route)
                processes.until(note.exists, "it was started")
                processes.until(lambda: note.read_text().endswith("\n"), "it says its number")
            program = psutil.Process(int(note.read_text()))
            processes.until(lambda: program.status() == psutil.STATUS_STOPPED, "it stands still")
            yield asked, program

    def goes_on(self) -> None:
        """Whoever asks next is answered, and nothing is left of the program."""
        answer = self.ask(Route("GET"))
        assert answer.status == 200 and "packages" in answer.json()
        files = self.gateway.runtime / "commands"
        processes.until(lambda: not [*files.glob("package-*")], "no file")

    def has_a_host(self) -> None:
        (context,) = self.sandbox["contexts"]
        path = f"/v1/sandboxes/{self.sandbox['id']}/contexts/{context['id']}"
        processes.until(lambda: self.gateway.get(path).json()["state"] == "idle", "it is idle")


def begin(folder: Path, *options: str) -> Place:
    gateway, keeper = start("--pool-max", "0", "--wheels", str(folder), *options)
    sandbox = create(gateway)
    for pid in keeper.pids():
        processes.own(pid)
    return Place(gateway, keeper, folder, sandbox)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("orders")
    found = begin(folder, "--python", str(write_python(folder)))
    yield found
    remove(found.gateway, found.sandbox)
    end(found.gateway, found.keeper)


@pytest.fixture(scope="module")
def without_python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    found = begin(tmp_path_factory.mktemp("none"), "--python", "")
    yield found
    end(found.gateway, found.keeper)


@each_route
def test_a_gateway_without_python(without_python: Place, route: Route) -> None:
    answer = without_python.ask(route)
    assert answer.status == 501 and "start it with --python" in detail(answer)


@each_route
def test_a_program_that_is_killed(place: Place, route: Route) -> None:
    with place.held(route) as (asked, program):
        program.kill()
        answer = asked.result()
    assert (answer.status, detail(answer)) == (
        502, "the installer ended as it should not (killed)")  # fmt: skip
    place.goes_on()


@each_route
def test_a_program_that_says_nothing(place: Place, route: Route) -> None:
    with place.ordered("mute"):
        answer = place.ask(route)
    assert (answer.status, detail(answer)) == (
        502, "the installer did not say what it has done")  # fmt: skip
    place.goes_on()


@each_route
def test_a_program_that_cannot_be_started(place: Place, route: Route) -> None:
    files = place.gateway.runtime / "commands"
    away = files.rename(files.with_name("away"))
    answer = place.ask(route)
    away.rename(files)
    assert answer.status == 503 and "the installer's files cannot be written" in detail(answer)
    place.goes_on()


@each_route
def test_a_time_that_is_over(place: Place, route: Route) -> None:
    with place.ordered("hold"):
        answer = place.ask(route, deadline_s=1)
    assert (answer.status, detail(answer)) == (
        504, "the time for it is over; nothing has changed")  # fmt: skip
    place.goes_on()


@each_route
def test_a_sandbox_without_memory(place: Place, route: Route) -> None:
    with place.held(route) as (asked, program):
        place.keeper.order("oom")
        program.kill()
        answer = asked.result()
        place.keeper.forget("oom")
    assert (answer.status, detail(answer)) == (
        507, "the installer ran out of memory; nothing has changed")  # fmt: skip
    place.goes_on()


@each_route
def test_the_gateway_ends_meanwhile(place: Place, route: Route) -> None:
    gateway = place.gateway
    place.has_a_host()
    for pid in processes.named_below(gateway.pid, "warmcell-kernel"):
        processes.own(pid)  # it lives on
    with place.held(route) as (asked, program):
        assert gateway.process is not None
        gateway.process.terminate()
        answer = asked.result()
        assert gateway.process.wait(60) == 0
        assert not processes.wait_gone([program.pid])
    gateway.start()
    place.has_a_host()
    assert (answer.status, detail(answer)) == (
        503, "the gateway is ending; nothing has changed")  # fmt: skip
    place.goes_on()


def test_a_sandbox_whose_packages_take_too_long(tmp_path: Path) -> None:
    """As --package-deadline says: there is no sandbox then."""
    python = str(write_python(tmp_path))
    place = begin(tmp_path, "--python", python, "--package-deadline", "1")
    with place.ordered("hold"):
        answer = place.gateway.request("POST", "/v1/sandboxes", {"packages": ["a"]})
    assert answer.status == 504 and "the time for it is over" in detail(answer), answer
    (left,) = place.gateway.get("/v1/sandboxes").json()["sandboxes"]
    assert left["id"] == place.sandbox["id"]
    end(place.gateway, place.keeper)
