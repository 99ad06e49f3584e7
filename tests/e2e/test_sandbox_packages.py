"""Packages installed by /v1/sandboxes/{id}/packages, with real keepers: from a folder of wheels and
from an index on this machine, neither of which code in the sandbox can use."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import psutil
import pytest
from e2e.test_sandbox_life import create, remove
from support import processes
from support.cli import Tool, refused
from support.files import ORDINARY, keeper_pids, make_gateway
from support.gateway import Answer, Gateway
from support.wheels import Index, write_wheel

MIB = 1 << 20
LINES = {"Accept": "application/x-ndjson"}


@dataclass
class Place:
    gateway: Gateway
    index: Index
    wheels: Path

    def packages(self, sandbox: dict[str, Any]) -> str:
        return f"/v1/sandboxes/{sandbox['id']}/packages"

    def ask(self, sandbox: dict[str, Any], *packages: str, **more: Any) -> Answer:
        body = {"packages": list(packages), **more}
        return self.gateway.request("POST", self.packages(sandbox), body)

    def install(self, sandbox: dict[str, Any], *packages: str, **more: Any) -> dict[str, Any]:
        answer = self.ask(sandbox, *packages, **more)
        assert answer.status == 200, answer
        result: dict[str, Any] = answer.json()
        return result

    def own(self, sandbox: dict[str, Any]) -> dict[str, str]:
        """What was installed into the sandbox."""
        answer = self.gateway.get(self.packages(sandbox))
        assert answer.status == 200, answer
        listed = answer.json()["packages"]
        return {one["name"]: one["version"] for one in listed if one["location"] == "sandbox"}

    def run(self, sandbox: dict[str, Any], code: str, **more: Any) -> str:
        path = f"/v1/sandboxes/{sandbox['id']}/executions"
        answer = self.gateway.request("POST", path, {"code": code, **more})
        assert answer.status in (200, 201) and answer.json()["status"] == "ok", answer
        return str(answer.json()["outputs"]["stdout"])

    def leaves_nothing(self) -> None:
        """No installer runs, and nothing of one is left."""
        processes.until(lambda: not installers(self.gateway), "no installer runs")
        folders, files = self.gateway.state / "sandboxes", self.gateway.runtime / "commands"
        processes.until(lambda: not list(folders.glob("*/workspace/out")), "no folder")
        processes.until(lambda: not list(files.glob("package-*")), "no file")

    def ports(self) -> set[int]:
        """That the audit of the network names."""
        audit = self.gateway.state / "network.log"
        lines = audit.read_text().splitlines() if audit.exists() else []
        return {json.loads(line)["port"] for line in lines}


def installers(gateway: Gateway) -> list[psutil.Process]:
    """The supervisors of programs that are about packages."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or [""]
        if Path(words[0]).name == "warmcell-command" and any(
            word.startswith(f"{gateway.runtime}/commands/package-") for word in words
        ):
            found.append(process)
    return found


def begin(place: Place) -> None:
    for name, version in (("tiny", "1.0"), ("tiny", "2.0")):
        files = {"tiny/__init__.py": f"v = {version}".encode()}
        files |= {"tiny/old.py": b""} if version == "1.0" else {}
        write_wheel(place.wheels, name, version, files)
    write_wheel(place.wheels, "needs", "1.0", {"needs.py": b"import tiny"}, ("tiny<2",))
    write_wheel(place.wheels, "six", "99.0", {"six.py": b"__version__ = '99.0'"})


def make(mode: str) -> Iterator[Place]:
    home = Path(os.environ["HOME"]) / f"packages-{mode}"
    for folder in (home / "wheels", home / "served"):
        folder.mkdir(parents=True)
    with Index(home / "served") as index:
        gateway = make_gateway(mode, "--wheels", str(home / "wheels"),
                               "--package-index", index.url, "--preload", "six")  # fmt: skip
        place = Place(gateway, index, home / "wheels")
        begin(place)
        if mode != "root" and os.geteuid() == 0:
            Path(os.environ["HOME"]).chmod(0o711)
        with gateway:
            yield place
        assert not processes.wait_gone(keeper_pids(gateway))
        shutil.rmtree(gateway.home, ignore_errors=True)


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    yield from make("root" if os.geteuid() == 0 else "user")


@pytest.fixture
def sandbox(place: Place) -> Iterator[dict[str, Any]]:
    made = create(place.gateway, limits={"workspace_bytes": 16 * MIB})
    yield made
    remove(place.gateway, made)


def test_from_wheels(place: Place, sandbox: dict[str, Any]) -> None:
    assert place.run(sandbox, "x = 5") == ""
    headers = LINES | {"Content-Type": "application/json"}
    body = json.dumps({"packages": ["needs", "pip"]}).encode()
    answer = place.gateway.request("POST", place.packages(sandbox), body, headers=headers)
    assert answer.headers["content-type"] == "application/x-ndjson"
    events = [json.loads(line) for line in answer.body.splitlines()]
    assert events[0] == {"event": "started"}
    assert {one["phase"] for one in events[1:-1]} == {"resolve", "install"}
    assert any("Installing collected packages" in one["text"] for one in events[1:-1])
    end = events[-1]
    assert end["event"] == "end"
    assert {one["name"]: one["version"] for one in end["installed"]} == {
        "needs": "1.0", "tiny": "1.0"}  # fmt: skip
    assert [one["name"] for one in end["already"]] == ["pip"]
    (context,) = end["contexts"]
    assert (end["restarted"], end["reason"]) == (False, None)
    assert context == {"id": sandbox["contexts"][0]["id"], "name": "default", "restarted": False,
                       "reason": None, "modules": []}  # fmt: skip
    assert place.run(sandbox, "import needs; print(x, needs.tiny.v)") == "5 1.0\n"
    assert place.own(sandbox) == {"needs": "1.0", "tiny": "1.0"}

    body = json.dumps({"packages": ["tiny == 1.0"]}).encode()
    again = place.gateway.request("POST", place.packages(sandbox), body,
                                  headers=headers | {"Accept": "text/event-stream"})  # fmt: skip
    assert again.headers["content-type"] == "text/event-stream"
    blocks = [block.split("\n") for block in again.body.decode().split("\n\n")[:-1]]
    told = [json.loads(data.removeprefix("data: ")) for _, _, data in blocks]
    assert [block[0] for block in blocks] == [f"id: {n}" for n in range(1, len(blocks) + 1)]
    assert [block[1] for block in blocks] == [f"event: {one['event']}" for one in told]
    assert [told[0]["event"], told[1]["event"]] == ["started", "progress"]
    assert (told[-1]["event"], told[-1]["installed"], told[-1]["contexts"]) == ("end", [], [])
    assert place.run(sandbox, "print(x)") == "5\n"

    left = place.install(sandbox, "tiny>=2", restart=False)
    assert left["installed"] == [{"name": "tiny", "version": "2.0", "replaces": "1.0"}]
    assert left["contexts"][0]["modules"] == ["tiny"] and not left["restarted"]
    assert "restart it" in left["contexts"][0]["reason"]
    assert place.run(sandbox, "print(x, needs.tiny.v)") == "5 1.0\n"

    gone = place.gateway.request("DELETE", f"{place.packages(sandbox)}/Tiny").json()
    assert gone["removed"] == {"name": "tiny", "version": "2.0"}
    assert (gone["restarted"], gone["contexts"][0]["modules"]) == (True, ["tiny"])
    seen = place.run(sandbox, "import importlib.util as u; print('x' in globals(), "
                     "u.find_spec('tiny'), u.find_spec('needs') is None)")  # fmt: skip
    assert seen == "False None False\n"
    answer = place.gateway.request("DELETE", f"{place.packages(sandbox)}/tiny")
    assert answer.status == 404 and "was not installed" in answer.json()["detail"]
    place.leaves_nothing()


def test_the_tool(place: Place, sandbox: dict[str, Any]) -> None:
    run = Tool(place.gateway)
    done = run("packages", "install", sandbox["id"], "tiny==2.0", "pip")
    assert done.returncode == 0 and b"Successfully installed tiny-2.0" in done.stderr
    head, tiny, pip = done.stdout.decode().splitlines()
    assert (head.split(), tiny.split()) == (["NAME", "VERSION", "BEFORE"], ["tiny", "2.0", "-"])
    assert pip.split()[0] == "pip"
    listed = json.loads(run.ok("packages", "ls", sandbox["id"], "--json"))
    assert [one["version"] for one in listed if one["name"] == "tiny"] == ["2.0"]
    row = next(row for row in run.ok("packages", "ls", sandbox["id"]).splitlines() if "six" in row)
    assert row.split()[2:] == ["environment", "yes"]
    assert run.ok("packages", "rm", sandbox["id"], "tiny") == ""
    refused(run("packages", "rm", sandbox["id"], "tiny"), 1, "was not installed")
    refused(run("packages", "install", sandbox["id"], "./tiny"), 1, "holds a path")


def test_a_preloaded_package_restarts_cold(place: Place, sandbox: dict[str, Any]) -> None:
    gateway, path = place.gateway, f"/v1/sandboxes/{sandbox['id']}"
    listed = {one["name"]: one for one in gateway.get(place.packages(sandbox)).json()["packages"]}
    assert (listed["six"]["location"], listed["six"]["preloaded"]) == ("environment", True)
    assert (listed["pip"]["preloaded"], sandbox["cold"]) == (False, False)
    result = place.install(sandbox, "six==99.0")
    assert result["installed"][0]["replaces"] == listed["six"]["version"]
    assert result["restarted"] and "preloaded" in result["reason"]
    assert result["contexts"][0]["modules"] == ["six"]
    assert gateway.get(path).json()["cold"]
    assert place.run(sandbox, "import six; print(six.__version__)") == "99.0\n"
    assert gateway.request("POST", f"{path}/contexts", {"name": "other"}).status == 201
    assert place.run(sandbox, "import six; print(six.__version__)", context="other") == "99.0\n"
    assert gateway.request("POST", f"{path}/pause").status == 200
    for method, where in (("GET", ""), ("POST", ""), ("DELETE", "/six")):
        body = {"packages": ["six"]} if method == "POST" else None
        answer = gateway.request(method, place.packages(sandbox) + where, body)
        assert answer.status == 409 and "paused" in answer.json()["detail"]
    assert gateway.request("POST", f"{path}/resume").status == 200
    assert place.run(sandbox, "import six; print(six.__version__)") == "99.0\n"
    assert place.own(sandbox) == {"six": "99.0"}


LOOK = f"""
import os, socket
def reach(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return "no"
print([reach(port) for port in (3128, %d)])
def words_of(p):
    try:
        return open(f"/proc/{{p}}/cmdline").read()
    except OSError:
        return ""
words = [words_of(p) for p in os.listdir("/proc") if p.isdigit()]
print(any("installer.py" in one for one in words))
print(os.path.exists({str(Path("/workspace/out"))!r}))
"""


def test_from_the_index_one_after_the_other(place: Place, sandbox: dict[str, Any]) -> None:
    write_wheel(place.index.folder, "served", "1.0", {"served.py": b"v = 1"})
    place.index.hold("served")
    headers = LINES | {"Content-Type": "application/json"}
    with ThreadPoolExecutor() as pool:
        first = pool.submit(place.ask, sandbox, "served")
        assert place.index.asked.wait(60)
        connection = place.gateway.connection()
        body = json.dumps({"packages": ["tiny==1.0"]})
        connection.request("POST", place.packages(sandbox), body,
                           headers | place.gateway.authorization)  # fmt: skip
        second = connection.getresponse()
        assert json.loads(second.readline()) == {"event": "queued", "position": 1}
        # while pip waits for the index, nobody else can reach it, or pip
        assert place.run(sandbox, LOOK % place.index.port) == "['no', 'no']\nFalse\nFalse\n"
        place.index.release()
        assert first.result().json()["installed"][0]["name"] == "served"
        assert json.loads(second.read().splitlines()[-1])["installed"][0]["name"] == "tiny"
        connection.close()
    assert place.own(sandbox) == {"served": "1.0", "tiny": "1.0"}
    processes.until(lambda: place.ports() == {place.index.port}, "the audit names the index alone")
    assert place.run(sandbox, "import served; print(served.v)") == "1\n"


def test_killed_half_way(place: Place, sandbox: dict[str, Any]) -> None:
    write_wheel(place.index.folder, "late", "1.0", {"late.py": b""})
    place.index.hold("late")
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(place.ask, sandbox, "late")
        assert place.index.asked.wait(60)
        for supervisor in installers(place.gateway):  # of an earlier one, too, which just ends
            with suppress(psutil.NoSuchProcess):
                supervisor.send_signal(signal.SIGKILL)
        answer = asked.result()
    assert answer.status == 503 and "killed" in answer.json()["detail"]
    place.leaves_nothing()
    place.index.hold("late")
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(place.ask, sandbox, "late")
        assert place.index.asked.wait(60)
        assert place.gateway.process is not None
        place.gateway.process.kill()
        place.gateway.process.wait()
        with pytest.raises((OSError, HTTPException)):
            asked.result()
    place.index.release()
    place.gateway.start()
    place.leaves_nothing()
    assert place.own(sandbox) == {}


@pytest.mark.parametrize("how", ["deleted", "paused"])
def test_the_sandbox_ends_meanwhile(place: Place, how: str) -> None:
    write_wheel(place.index.folder, "late", "1.0", {"late.py": b""})
    place.index.hold("late")
    made = create(place.gateway)
    path = f"/v1/sandboxes/{made['id']}"
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(place.ask, made, "late")
        assert place.index.asked.wait(60)
        if how == "deleted":
            remove(place.gateway, made)
        else:
            assert place.gateway.request("POST", f"{path}/pause").status == 200
        place.index.release()
        answer = asked.result()
    assert answer.status == 409, answer
    if how == "paused":
        assert place.gateway.request("POST", f"{path}/resume").status == 200
        assert place.own(made) == {}
        remove(place.gateway, made)
    place.leaves_nothing()


def test_more_than_wait_and_a_time_that_is_over(place: Place) -> None:
    """The first waits for the index, which answers nobody; the others for the first."""
    write_wheel(place.index.folder, "late", "1.0", {"late.py": b""})
    place.index.hold("late")
    made = create(place.gateway)
    where, gateway = place.packages(made), place.gateway
    with ThreadPoolExecutor() as pool, ExitStack() as waiting:
        asked = pool.submit(place.ask, made, "late")
        assert place.index.asked.wait(60)
        for position in range(1, 16):
            connection = waiting.enter_context(closing(gateway.connection()))
            connection.request("POST", where, json.dumps({"packages": ["tiny"]}),
                               LINES | gateway.authorization)  # fmt: skip
            line = connection.getresponse().readline()
            assert json.loads(line) == {"event": "queued", "position": position}
        for method, more, body in (
            ("GET", "", None), ("DELETE", "/tiny", None), ("POST", "", {"packages": ["tiny"]})
        ):  # fmt: skip
            answer = gateway.request(method, where + more, body, headers=LINES)
            assert (answer.status, answer.json()["detail"]) == (
                429, "16 changes of this sandbox's packages wait already")  # fmt: skip
        other = create(gateway)
        answer = place.ask(other, "late", deadline_s=1)
        assert (answer.status, answer.json()["detail"]) == (
            504, "the time for it is over; nothing has changed")  # fmt: skip
        assert place.own(other) == {}
        remove(gateway, made)
        assert asked.result().status == 409
        place.index.release()
    remove(gateway, other)
    place.leaves_nothing()


def test_a_context_that_runs_code_is_left_alone(place: Place, sandbox: dict[str, Any]) -> None:
    gateway, path = place.gateway, f"/v1/sandboxes/{sandbox['id']}/executions"
    body = {"code": "print(input())", "allow_input": True, "detach": True}
    answer = gateway.request("POST", path, body)
    assert answer.status == 202, answer
    one = f"{path}/{answer.json()['id']}"
    processes.until(lambda: gateway.get(one).json()["awaits_input"], "it waits in input()")
    (context,) = place.install(sandbox, "tiny==1.0")["contexts"]
    assert not context["restarted"] and context["reason"].startswith("it runs code")
    assert gateway.request("POST", f"{one}/input", {"value": "yes"}).status == 204
    assert place.run(sandbox, "import tiny; print(tiny.v)") == "1.0\n"
    assert gateway.get(one).json()["status"] == "ok"


BOMB = {"big.py": b"#" * (64 * MIB)}
TOO_MUCH = {f"much/{n}.py": b"#" * (4 * MIB) for n in range(5)}


HOSTILE: dict[str, tuple[dict[str, bytes], int, str]] = {
    "upward": ({"../../escaped.py": b"x"}, 422, "outside"),
    # which of two limits ends it first is chance: one of files, or of all that the folder holds
    "bomb": (BOMB, 507, "File too large|the packages do not fit"),
    "much": (TOO_MUCH, 507, "workspace_bytes"),
    "sources": ({}, 422, "No matching distribution"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_packages(place: Place, sandbox: dict[str, Any], name: str) -> None:
    files, status, says = HOSTILE[name]
    if name == "sources":
        shutil.make_archive(str(place.wheels / f"{name}-1.0"), "gztar", place.index.folder)
    else:
        write_wheel(place.wheels, name, "1.0", files)
    answer = place.ask(sandbox, name)
    assert answer.status == status and re.search(says, answer.json()["detail"]), answer
    assert place.own(sandbox) == {}
    place.leaves_nothing()


def test_what_code_has_done_to_the_folder(place: Place, sandbox: dict[str, Any]) -> None:
    """It is the sandbox's own: what stands in the way of a change or a list there is named."""
    place.install(sandbox, "tiny==1.0")
    site = "/workspace/.packages/site"
    assert place.run(sandbox, f"import os; os.mkdir('{site}.new')") == ""
    answer = place.gateway.request("DELETE", f"{place.packages(sandbox)}/tiny")
    assert answer.status == 422 and f"{site}.new" in answer.json()["detail"], answer
    assert place.own(sandbox) == {"tiny": "1.0"}
    assert place.run(sandbox, f"os.rmdir('{site}.new'); import tiny; print(tiny.v)") == "1.0\n"
    code = f"open('{site}/tiny-1.0.dist-info/METADATA', 'wb').write(b'\\xff') and None"
    assert place.run(sandbox, code) == ""
    answer = place.gateway.get(place.packages(sandbox))
    assert answer.status == 422 and f"in {site} cannot be read" in answer.json()["detail"], answer


def test_a_wheel_that_needs_a_source_by_its_url(place: Place, sandbox: dict[str, Any]) -> None:
    source = place.wheels.parent / "built-1.0"
    source.mkdir()
    (source / "setup.py").write_text("raise SystemExit('code of a package was run')")
    shutil.make_archive(str(place.index.folder / source.name), "gztar", source.parent, source.name)
    url = f"http://127.0.0.1:{place.index.port}/files/{source.name}.tar.gz"
    write_wheel(place.wheels, "leads", "1.0", {"leads.py": b""}, (f"built @ {url}",))
    answer = place.ask(sandbox, "leads")
    assert answer.status == 422 and "wheels only" in answer.json()["detail"], answer.json()
    assert place.own(sandbox) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="who runs the tests is an ordinary user already")
def test_as_an_ordinary_user() -> None:
    for place in make("user"):
        made = create(place.gateway)
        assert made["uid"] == "shared"
        assert place.install(made, "needs")["installed"]
        command = {"argv": ["python", "-c", "import needs; print(needs.tiny.v)"]}
        ran = place.gateway.request("POST", f"/v1/sandboxes/{made['id']}/commands", command)
        assert ran.json()["stdout"] == "1.0\n", ran
        found = place.gateway.state / "sandboxes" / made["id"] / "workspace" / ".packages"
        assert found.lstat().st_uid == ORDINARY
        remove(place.gateway, made)
