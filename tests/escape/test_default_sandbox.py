"""The same attempts from cells of a default sandbox of the gateway's, in an interpreter that was
forked from its fork server; and at what stands around it: the gateway, its database and its token,
the hosts' sockets, the fork server's environment.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from typing import Any

import psutil
import pytest
from escape import attempts_output
from escape.place import HERE, Answer, Outside
from escape.rows import ROWS, Row, just, prove_outside
from support import processes
from support.client import Client, Run
from support.files import keeper_pids
from support.gateway import Gateway

# what these are given inside is the keeper's to show, or of a database that the test filled
NOT_HERE = {"read_database", "write_read_only", "gain_by_setuid"}
BRING = """
import pathlib, sys
pathlib.Path("tools/escape").mkdir(parents=True, exist_ok=True)
for name, text in {files!r}.items():
    pathlib.Path("tools/escape", name).write_text(text)
sys.path.insert(0, str(pathlib.Path("tools").resolve()))
from escape import (attempts_bombs, attempts_files, attempts_kernel, attempts_network,
                    attempts_output, attempts_processes)
from escape.attempts import ATTEMPTS
import json
"""
MAKE = """
try:
    reached, why = ATTEMPTS[{name!r}](json.loads({argument!r}))
except OSError as error:
    reached, why = False, repr(error)
print(json.dumps({{"reached": reached, "why": why}}))
"""


class DefaultSandbox(Outside):
    def __init__(self) -> None:
        super().__init__("root" if os.geteuid() == 0 else "user")
        self.gateway = Gateway(env={"ESCAPE_SECRET": self.marker}, warm=True).start()
        self.state = self.gateway.state / "sandboxes"
        self.first, second = self.create_forked(), self.create()
        self.keepers = keeper_pids(self.gateway)
        for pid in self.keepers:
            processes.own(pid)
        self.other = self.state / second["id"] / "workspace"
        with closing(self.gateway.client(second["contexts"][0]["id"])) as client:
            client.run(f"open('secret', 'w').write({self.marker!r})")
        self.client = self.gateway.client(self.first["contexts"][0]["id"])
        self.bring(self.client)

    def bring(self, client: Client) -> None:
        """Puts the attempts where a kernel finds them."""
        files = {path.name: path.read_text() for path in HERE.glob("*.py")}
        brought = client.run(BRING.format(files=files))
        assert brought.content["status"] == "ok", brought.content

    def create(self, **body: Any) -> dict[str, Any]:
        answer = self.gateway.request("POST", "/v1/sandboxes", body)
        assert answer.status == 201, answer
        model: dict[str, Any] = answer.json()
        return model

    def create_forked(self) -> dict[str, Any]:
        """Until the fork server is ready, sandboxes start cold: those are given back."""
        found: list[dict[str, Any]] = []

        def forked() -> bool:
            found.append(self.create())
            with closing(self.gateway.client(found[-1]["contexts"][0]["id"])) as client:
                warm = client.run("import sys; print('numpy' in sys.modules)").stdout == "True\n"
            if not warm:
                self.gateway.request("DELETE", f"/v1/sandboxes/{found[-1]['id']}")
            return warm

        processes.until(forked, "a fork server", 120)
        return found[-1]

    def inside(self, name: str, argument: Mapping[str, Any]) -> Answer:
        code = MAKE.format(name=name, argument=json.dumps(argument))
        return Answer(**json.loads(self.client.run(code).stdout.splitlines()[-1]))

    def close(self) -> None:
        self.client.close()
        assert self.gateway.stop() == 0
        assert not processes.wait_gone(self.keepers)
        for pid in self.keepers:
            processes.disown(pid)
        shutil.rmtree(self.gateway.home, ignore_errors=True)
        super().close()


@pytest.fixture(scope="module")
def place() -> Iterator[DefaultSandbox]:
    place = DefaultSandbox()
    yield place
    place.close()


@pytest.mark.parametrize("row", [pytest.param(r, id=r.id) for r in ROWS if r.name not in NOT_HERE])
def test_attempt_fails_in_a_cell(place: DefaultSandbox, row: Row) -> None:
    """Their controls are those of test_escape.py."""
    answer = place.inside(row.name, row.argument(place))
    assert not answer.reached, f"it got out: {answer.why}"


def test_a_cell_can_tell_what_it_reaches(place: DefaultSandbox) -> None:
    assert place.inside("exists", {"path": "/workspace"}).reached


def names_below(pid: int) -> list[str]:
    """Of the processes that live: a keeper's child is taken for a keeper until it is another
    program."""
    names = []
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                names.append(child.name())
    return names


def test_it_was_forked(place: DefaultSandbox) -> None:
    """So the attempts were made from what has the fork server's past in its memory."""
    names = [name for pid in place.keepers for name in names_below(pid)]
    assert any("python" in name for name in names), names
    seen = place.client.run("import sys; print('numpy' in sys.modules, __import__('os').getuid())")
    assert seen.stdout == "True 1000\n"


AROUND: dict[str, tuple[str, Callable[[DefaultSandbox], dict[str, Any]]]] = {
    "database": ("read_path", lambda p: {
        "file": str(p.gateway.state / "warmcell.db"), "marker": "SQLite format 3"}),
    "token-in-command-lines": ("see_process", lambda p: {"marker": p.gateway.token}),
    "environment": ("read_environ", lambda p: {"marker": p.marker}),
    "own-environment": ("read_environ", lambda _: {"marker": "ESCAPE_SECRET"}),
    "port": ("connect_port", lambda p: {"host": "127.0.0.1", "port": p.gateway.port}),
    "sockets-of-hosts-and-keepers": ("connect_sockets_below", lambda p: {
        "folders": [str(p.gateway.runtime)]}),
    "runtime-folder": ("exists", lambda p: {"path": str(p.gateway.runtime)}),
    "log": ("exists", lambda p: {"path": str(p.gateway.log)}),
}  # fmt: skip


@pytest.mark.parametrize("name", AROUND)
def test_what_stands_around_is_out_of_reach(place: DefaultSandbox, name: str) -> None:
    attempt, argument_of = AROUND[name]
    argument = argument_of(place)
    if "marker" in argument:
        # in two pieces, so that it is not found in what the cell itself says
        place.client.run(f"half = {argument['marker'][:8]!r}")
        code = MAKE.format(name=attempt, argument="@").replace(
            "json.loads('@')", repr(argument | {"marker": "@"}).replace(
                "'@'", f"half + {argument['marker'][8:]!r}"))  # fmt: skip
        answer = Answer(**json.loads(place.client.run(code).stdout.splitlines()[-1]))
    else:
        answer = place.inside(attempt, argument)
    assert not answer.reached, f"it got out: {answer.why}"
    prove_outside(place, Row(attempt, just(**argument)))


OUTPUT_LIMIT = 256 << 10
FLOOD = {"bytes": 4 << 20}
ERROR_LIMIT = 64 << 10  # an error says why in any case
FLOODS = sorted(name for name in attempts_output.__dict__ if name.startswith("flood_"))
UNCOUNTED = {"status", "execute_input"}


def arrived(run: Run) -> int:
    """How many bytes a client got of a run, its reply with them."""
    texts = [json.dumps(message.content) for message in run.iopub
             if message.msg_type not in UNCOUNTED]  # fmt: skip
    buffers = [len(part) for message in run.iopub for part in message.buffers]
    return len(json.dumps(run.content)) + sum(map(len, texts)) + sum(buffers)


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_of_output_is_stopped_and_arrives_outside(place: DefaultSandbox, name: str) -> None:
    """The control is the same cell in a kernel of the owner's, which nothing limits."""
    cell = MAKE.format(name=name, argument=json.dumps(FLOOD))
    model = place.create(limits={"output_bytes": OUTPUT_LIMIT})
    with closing(place.gateway.client(model["contexts"][0]["id"])) as client:
        place.bring(client)
        ended = client.run(cell)
        assert ended.content["ename"] == "OutputLimitExceeded", ended.content["evalue"]
        assert arrived(ended) <= 2 * (OUTPUT_LIMIT + ERROR_LIMIT)  # the error comes twice
        client.wait_ready()
        assert client.run("print('works')").stdout == "works\n"
    assert place.inside("exists", {"path": "/workspace"}).reached, "the other sandbox goes on"
    place.gateway.request("DELETE", f"/v1/sandboxes/{model['id']}")
    owner = place.gateway.start_kernel()
    with closing(place.gateway.client(owner)) as client:
        client.run(f"%cd {place.gateway.home}")
        place.bring(client)
        assert arrived(client.run(cell)) >= FLOOD["bytes"]
    place.gateway.delete_kernel(owner)
