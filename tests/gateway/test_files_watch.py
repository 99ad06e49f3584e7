"""What changes in a sandbox's workspace, told as it happens. Nothing here waits for a time: each
event is awaited, and a file that is made last tells that nothing else will come before it."""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from support import processes
from support.files import Box, end, make_gateway, problem
from support.gateway import Gateway


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    gateway = make_gateway("root" if os.geteuid() == 0 else "user").start()
    yield gateway
    end(gateway)


@pytest.fixture(scope="module")
def box(gateway: Gateway) -> Iterator[Box]:
    box = Box.make(gateway)
    yield box
    box.remove()


class Watch:
    """A client that listens; it begins when everything is watched."""

    def __init__(self, box: Box, path: str, query: str = "", **headers: str) -> None:
        self.box, self.at = box, path
        self.connection: http.client.HTTPConnection = box.gateway.connection()
        url = f"{box.url}/{path}?watch=1{query}".replace("/?", "?")
        self.connection.request("GET", url, headers={**box.gateway.authorization, **headers})
        self.response = self.connection.getresponse()
        assert self.response.status == 200, self.response.read()
        self.number = 0
        assert self.next()["type"] == "ready"

    def next(self) -> dict[str, Any]:
        line = self.response.readline()
        assert line, "the events broke off"
        event: dict[str, Any] = json.loads(line)
        self.number += 1
        assert event["number"] == self.number
        return event

    def until(self, name: str) -> list[tuple[str, ...]]:
        """(type, path, from) of what comes before `name` is made, paths below the watch."""
        self.box.put(f"{self.at}/{name}".lstrip("/"))
        found: list[tuple[str, ...]] = []
        while True:
            event = self.next()
            told = [event.get(key, "").removeprefix(f"{self.at}/") for key in ("path", "from")]
            if told[0] == name:
                return found
            one = (event["type"], *(text for text in told if text))
            if found[-1:] != [one]:  # a write each, or one for several
                found.append(one)

    def close(self) -> None:
        self.connection.close()


@pytest.fixture
def watch(box: Box) -> Iterator[Watch]:
    watch = Watch(box, box.fresh(), "&recursive=1")
    yield watch
    watch.close()


def test_the_api_and_cells_are_told(box: Box, watch: Watch) -> None:
    at = watch.at
    box.put(f"{at}/a", b"1")
    box.put(f"{at}/a", b"2")  # in the place of the first
    box.cell(f"import os; f = open('{at}/a', 'a'); f.write('3'); f.flush()")
    box.cell(f"os.chmod('{at}/a', 0o600)")
    box.ask("POST", f"{at}/a?move_to={at}/b")
    box.cell(f"os.rename('{at}/b', '{at}/c'); os.remove('{at}/c'); f.close()")
    assert watch.until("end") == [
        ("created", "a"), ("modified", "a"), ("attributes", "a"), ("moved", "b", "a"),
        ("moved", "c", "b"), ("deleted", "c"),
    ]  # fmt: skip


def test_an_event(box: Box, watch: Watch) -> None:
    box.put(watch.at.encode() + b"/\xff", b"x")
    event = watch.next()
    assert event.pop("time").endswith("Z")
    assert event == {"number": 2, "type": "created", "path": f"{watch.at}/\ufffd", "folder": False,
                     "url": f"{box.url}/{watch.at}/%FF"}  # fmt: skip
    assert box.gateway.get(event["url"]).body == b"x"
    box.put(f"{watch.at}/folder?folder=1")
    assert watch.next()["folder"] is True


def test_new_folders_are_looked_through(box: Box, watch: Watch) -> None:
    """What is made in a folder before it is watched is told all the same."""
    at = watch.at
    box.cell(f"import os; os.makedirs('{at}/a/b/c'); open('{at}/a/b/c/file', 'w').close()")
    first = watch.until("one")
    assert {path for _, path in first} == {"a", "a/b", "a/b/c", "a/b/c/file"}
    assert {kind for kind, _ in first} == {"created"}
    box.put(f"{at}/a/b/c/later", b"")
    assert watch.until("two") == [("created", "a/b/c/later")]


def test_folders_that_move(box: Box, watch: Watch) -> None:
    at = watch.at
    box.put(f"{at}/a/b/file", b"")
    watch.until("one")
    box.ask("POST", f"{at}/a?move_to={at}/c")
    box.put(f"{at}/c/b/new", b"")
    box.ask("POST", f"{at}/c/b?move_to={at}/d")
    box.put(f"{at}/d/newer", b"")
    assert watch.until("two") == [
        ("moved", "c", "a"), ("created", "c/b/new"), ("moved", "d", "c/b"), ("created", "d/newer"),
    ]  # fmt: skip
    out = box.fresh()
    box.ask("POST", f"{at}/d?move_to={out}/d")
    box.put(f"{out}/d/unseen", b"")
    assert watch.until("three") == [("deleted", "d")]
    box.ask("POST", f"{out}/d?move_to={at}/e")
    told = watch.until("four")
    assert told[0] == ("created", "e")
    assert set(told) == {("created", path) for path in ("e", "e/file", "e/new", "e/newer",
                                                        "e/unseen")}  # fmt: skip
    box.ask("DELETE", f"{at}/e?recursive=1")
    assert ("deleted", "e") in watch.until("five")


def test_one_folder_alone(box: Box) -> None:
    at = box.fresh()
    box.put(f"{at}/in/file", b"")
    watch = Watch(box, at)
    box.put(f"{at}/in/other", b"")
    box.cell(f"import os; os.mkdir('{at}/new')")
    box.put(f"{at}/new/other", b"")
    assert watch.until("end") == [("created", "new")]
    watch.close()


def test_links_and_tars(box: Box, watch: Watch) -> None:
    at = watch.at
    box.cell(f"import os; os.symlink('x', '{at}/link')")
    box.ask("POST", f"{at}/link?copy_to={at}/copy")
    assert watch.until("end") == [("created", "link"), ("created", "copy")]


def test_server_sent_events(box: Box) -> None:
    at = box.fresh()
    connection = box.gateway.connection()
    headers = {**box.gateway.authorization, "Accept": "text/event-stream"}
    connection.request("GET", f"{box.url}/{at}?watch=1", headers=headers)
    response = connection.getresponse()
    assert response.getheader("content-type") == "text/event-stream"
    assert [response.readline() for _ in range(2)] == [b"id: 1\n", b"event: ready\n"]
    response.readline(), response.readline()
    box.put(f"{at}/a", b"")
    assert [response.readline() for _ in range(2)] == [b"id: 2\n", b"event: created\n"]
    assert json.loads(response.readline().removeprefix(b"data: "))["path"] == f"{at}/a"
    connection.close()


def test_the_folder_goes(box: Box) -> None:
    for how in ("DELETE", "POST"):
        at = box.fresh()
        box.put(f"{at}/in/file", b"")
        watch = Watch(box, f"{at}/in", "&recursive=1")
        query = "?recursive=1" if how == "DELETE" else f"?move_to={at}/out"
        assert box.ask(how, f"{at}/in{query}").status in (201, 204)
        while (event := watch.next())["type"] != "end":
            pass
        assert event["reason"] == "the folder has gone"
        assert watch.response.read() == b""


def test_the_sandbox_ends(gateway: Gateway) -> None:
    for how in ("DELETE", "pause"):
        passing = Box.make(gateway)
        assert passing.cell("print(1)") == "1\n"
        watch = Watch(passing, "", "&recursive=1")
        if how == "DELETE":
            gateway.request("DELETE", f"/v1/sandboxes/{passing.id}")
        else:
            url = f"/v1/sandboxes/{passing.id}"
            assert gateway.request("POST", f"{url}/pause", {}).status == 200
        while (event := watch.next())["type"] != "end":
            pass
        assert event["reason"] in (
            ("its sandbox has ended", "the folder has gone")
            if how == "DELETE" else ("its sandbox was paused",)
        )  # fmt: skip
        assert watch.response.read() == b""
        passing.remove()


def test_an_overflow_is_told_and_all_goes_on(box: Box) -> None:
    """More than the system queues (max_queued_events) while the client takes nothing."""
    at = box.fresh()
    watch = Watch(box, at, "&recursive=1")
    watch.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 17)
    box.cell(
        f"import os\na, b, folder = '{at}/a', '{at}/b', '{at}/folder'\nopen(a, 'w').close()\n"
        "for n in range(30000): os.rename(a, b); os.rename(b, a)\n"
        "os.mkdir(folder)"
    )
    count = 0  # what is made between two overflows may be told by the second alone
    while True:
        event = watch.next()
        if event["type"] == "overflow":
            count += 1
            box.put(f"{at}/folder/{count}", b"")
        elif event.get("path") == f"{at}/folder/{count}":
            break
    watch.close()


def test_who_leaves_is_forgotten(box: Box) -> None:
    at = box.fresh()
    watches = [Watch(box, at) for _ in range(16)]
    status, why = problem(box.get(f"{at}?watch=1"))
    assert (status, "16 watches" in why) == (403, True)
    for watch in watches:
        watch.close()

    def again() -> bool:
        connection = box.gateway.connection()
        connection.request("GET", f"{box.url}/{at}?watch=1", headers=box.gateway.authorization)
        status = connection.getresponse().status
        connection.close()
        return status == 200

    processes.until(again, "another may watch")


def test_too_many_folders(box: Box) -> None:
    at = box.fresh()
    box.cell(f"import os\nfor n in range(4096): os.mkdir(f'{at}/{{n}}')")
    status, why = problem(box.get(f"{at}?watch=1&recursive=1"))
    assert (status, "4096 folders" in why) == (403, True)
    watch = Watch(box, at)
    watch.close()
    box.ask("DELETE", f"{at}/0?recursive=1")
    watch = Watch(box, at, "&recursive=1")
    box.put(f"{at}/more?folder=1")
    assert [watch.next()["type"] for _ in range(2)] == ["created", "overflow"]
    watch.close()


def test_watches_that_cannot_be(box: Box) -> None:
    at = box.fresh()
    box.put(f"{at}/file", b"")
    box.cell(f"import os; os.symlink('/etc', '{at}/out'); os.mkdir('{at}/shut', 0)")
    for path, status in (("file", 409), ("none", 404), ("out", 403), ("shut", 403)):
        assert problem(box.get(f"{at}/{path}?watch=1"))[0] == status, path
    assert problem(box.get(f"{at}?watch=x"))[0] == 400
    assert problem(box.get(f"{at}?watch=1&recursive=x"))[0] == 400
    minted = box.gateway.request("POST", "/v1/tokens", {"principal": "someone"}).json()["token"]
    for url in (f"{box.url}/{at}?watch=1", "/v1/sandboxes/none/files?watch=1"):
        answer = box.gateway.request("GET", url, None, {"Authorization": f"Bearer {minted}"})
        assert answer.status == 404


def test_a_gateway_ends_while_somebody_watches() -> None:
    gateway = make_gateway("root" if os.geteuid() == 0 else "user").start()
    passing = Box.make(gateway)
    watch = Watch(passing, "", "&recursive=1")
    end(gateway)
    assert json.loads(watch.response.read().splitlines()[-1])["type"] == "end"


def test_what_happens_in_folders_that_have_left(box: Box, watch: Watch) -> None:
    """It is told in the same breath as the moves, by folders that are not watched any more."""
    box.cell(f"import os\nfor n in range(60): os.makedirs(f'{watch.at}/{{n:02}}/b/c')")
    assert {kind for kind, _ in watch.until("made")} == {"created"}
    out = box.fresh()
    box.cell(
        f"for n in range(60):\n"
        f"    os.rename(f'{watch.at}/{{n:02}}', f'{out}/{{n:02}}')\n"
        f"    os.mkdir(f'{out}/{{n:02}}/b/new')\n"
        f"    os.rename(f'{out}/{{n:02}}/b/new', f'{out}/{{n:02}}/b/c/newer')"
    )
    assert watch.until("end") == [("deleted", f"{n:02}") for n in range(60)]


def test_a_path_that_is_too_long(box: Box) -> None:
    """Folders moved below each other have paths without end: what happens there has no name."""
    at, name = box.fresh(), "a" * 255
    box.cell(
        f"import os; os.chdir('{at}')\nfor _ in range(17): os.mkdir('{name}'); os.chdir('{name}')\n"
    )
    watch = Watch(box, at, "&recursive=1")
    box.cell("open('file', 'w').close(); os.rename('file', 'other'); os.remove('other')")
    assert watch.next()["type"] == "overflow"
    box.cell("os.chdir('/workspace')")
    assert {kind for kind, *_ in watch.until("end")} <= {"overflow"}
    watch.close()
