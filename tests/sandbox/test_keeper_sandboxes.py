"""A keeper's sandboxes, spoken to as docs/keeper.md says: made, joined, held, limited, counted,
closed; as root and as an ordinary user."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import processes
from support.keeper import keeper_process as wire
from support.keeper import lacking
from support.keeper.keeper_process import FAKE_INTERPRETER, Asker, Keeper, Process, sandboxing
from support.programs import PYTHON, programs

FAKE = FAKE_INTERPRETER
COMMAND = (sys.executable, "-S", FAKE)
ROOT = os.getuid() == 0


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    with Keeper(*sandboxing(tmp_path / "state")) as keeper:
        yield keeper


@pytest.fixture
def asker(keeper: Keeper) -> Asker:
    return keeper.asker()


def order(process: Process, text: str) -> str:
    process.link.sendall(text.encode() + b"\n")
    return process.line()


def opened(asker: Asker, sandbox: str = "a", **body: Any) -> dict[str, Any]:
    answer = asker.ask(wire.OPEN, {"sandbox": sandbox, **body})
    assert answer.kind == wire.OK, answer
    return answer.body


def started(asker: Asker, sandbox: str = "a", **body: Any) -> Process:
    process = asker.start(*COMMAND, sandbox=sandbox, cwd="/workspace", **body)
    process.line()
    return process


def failed(asker: Asker, kind: int, body: Any) -> tuple[int, str]:
    answer = asker.ask(kind, body)
    assert answer.kind == wire.FAILED, answer
    return answer.body["status"], answer.body["message"]


def inits(keeper: Keeper) -> list[int]:
    path = Path(f"/proc/{keeper.first}/task/{keeper.first}/children")
    return [int(pid) for pid in path.read_text().split()]


def until_empty(keeper: Keeper, asker: Asker) -> None:
    processes.until(lambda: not asker.status()["sandboxes"], "no sandbox is left")
    processes.until(lambda: inits(keeper) == [], "no process is left")


def test_a_process_in_a_sandbox(keeper: Keeper, asker: Asker, tmp_path: Path) -> None:
    answer = opened(asker)
    assert answer["created"] is True
    assert answer["enforced"]["open_files"] == "rlimit"
    assert (answer["uid"] > 0) == ROOT
    process = started(asker)
    assert order(process, "whoami") == "1000 1000"
    assert order(process, "place") == "/workspace True"
    assert order(process, "fds") == "0 1 2 3 4"
    assert order(process, "write file") == "written"
    written = tmp_path / "state" / "a" / "workspace" / "file"
    assert written.read_text() == "written"
    assert written.stat().st_uid == (answer["uid"] or os.getuid())
    process.link.sendall(b"exit 4\n")
    assert asker.end_of(process)["wait_status"] == 4 << 8


def test_the_keeper_goes_before_what_it_starts(keeper: Keeper, asker: Asker) -> None:
    """Where it may: an ordinary user cannot raise a priority."""
    opened(asker)
    process = started(asker)
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    begun = inits(keeper)
    assert begun
    found = [os.getpriority(os.PRIO_PROCESS, pid) for pid in (keeper.first, *begun, process.pid)]
    assert found == [max(-20, usual - 10) if ROOT else usual] + [usual] * (len(begun) + 1)


def test_a_process_that_ends_before_the_keeper_looks(asker: Asker) -> None:
    """It is busy with other answers from the moment that the process exists."""
    opened(asker)
    process = asker.begin("/bin/true", sandbox="a")
    for _ in range(100):
        asker.send(wire.STATUS, {})
    told: list[wire.Datagram] = []
    while len(told) < 2:
        answer = wire.receive(asker.socket)
        if answer.number == process.number:
            told.append(answer)
    process.started(told[0])
    assert (told[1].kind, told[1].body["wait_status"]) == (wire.ENDED, 0)


def test_one_is_joined_and_ends_with_the_last_who_holds_it(keeper: Keeper, asker: Asker) -> None:
    opened(asker)
    other = keeper.asker()
    assert opened(other)["created"] is False
    process = started(other)
    daemon = int(order(process, "daemon"))
    assert daemon
    asker.socket.close()
    third = keeper.asker()
    processes.until(lambda: third.status()["sandboxes"][0]["holders"] == 1, "one holds it")
    assert processes.alive(process.pid)
    other.socket.close()
    until_empty(keeper, third)


def test_a_sandbox_is_anew_after_its_end_but_for_its_workspace(
    keeper: Keeper, asker: Asker, tmp_path: Path
) -> None:
    uid = opened(asker)["uid"]
    first = started(asker)
    order(first, "write file")
    order(first, "write /tmp/other")
    assert asker.ask(wire.CLOSE, {"sandbox": "a"}).kind == wire.OK
    assert asker.end_of(first)["wait_status"] == signal.SIGKILL
    assert inits(keeper) == []
    assert opened(asker, uid=uid)["created"] is True
    started(asker)
    assert (tmp_path / "state" / "a" / "workspace" / "file").exists()


def test_a_process_needs_a_sandbox_that_its_asker_holds(keeper: Keeper, asker: Asker) -> None:
    opened(asker)
    other = keeper.asker()
    assert other.refused("true", sandbox="a") == {
        "status": 409,
        "message": "sandbox a was not opened on this connection",
    }
    assert asker.refused("true", sandbox="b")["status"] == 404
    assert asker.refused("true")["message"].startswith("sandbox: is required")


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({}, 400, "sandbox: is required"),
        ({"sandbox": 1}, 400, "sandbox: must be a string"),
        ({"sandbox": "../a"}, 400, "a sandbox's id"),
        ({"sandbox": ""}, 400, "a sandbox's id"),
        ({"sandbox": "x" * 65}, 400, "sandbox: longer than 64"),
        ({"sandbox": "a", "uid": -1}, 400, "uid: out of range"),
        ({"sandbox": "a", "network": "some"}, 400, "network"),
        ({"sandbox": "a", "network": 3}, 400, "network"),
        ({"sandbox": "a", "limits": {"memory_bytes": "much"}}, 400, "memory_bytes"),
        ({"sandbox": "a", "limits": 3}, 400, "limits"),
    ],
)
def test_a_bad_sandbox_is_refused(
    keeper: Keeper, asker: Asker, body: Any, status: int, text: str
) -> None:
    found = failed(asker, wire.OPEN, body)
    assert found[0] == status
    assert found[1].startswith(text)
    assert asker.status()["sandboxes"] == []
    assert inits(keeper) == []


@pytest.mark.skipif(not ROOT, reason="only root gives sandboxes uids of their own")
def test_uids_are_each_sandboxs_own(asker: Asker) -> None:
    first, second = opened(asker, "a")["uid"], opened(asker, "b")["uid"]
    assert first != second
    assert opened(asker, "c", uid=700100)["uid"] == 700100
    assert failed(asker, wire.OPEN, {"sandbox": "d", "uid": 700100})[0] == 409
    # the fork server's, the proxy's, root, and one beyond the range
    for uid in (700000, 765535, 1, 765536):
        assert failed(asker, wire.OPEN, {"sandbox": "d", "uid": uid})[0] == 400
    assert opened(asker, "a", uid=first)["created"] is False


@pytest.mark.parametrize("kind", [wire.USAGE, wire.LIMITS, wire.CLOSE, wire.KILL])
def test_what_is_not_there_is_said(asker: Asker, kind: int) -> None:
    assert failed(asker, kind, {"sandbox": "none", "limits": {}})[0] == 404


def test_usage_and_limits(asker: Asker) -> None:
    opened(asker, limits={"memory_bytes": 256 << 20, "processes": 50})
    process = started(asker)
    order(process, "child")
    usage: dict[str, Any] = {}

    def is_counted() -> bool:
        usage.update(asker.ask(wire.USAGE, {"sandbox": "a"}).body)
        return bool(usage["processes"] >= 2 and usage["memory_bytes"] > 0)

    processes.until(is_counted, "what runs is counted")
    answer = asker.ask(wire.LIMITS, {"sandbox": "a", "limits": {"processes": 60}}).body
    assert answer["limits"]["processes"] == 60
    assert answer["limits"]["memory_bytes"] == 256 << 20
    assert failed(asker, wire.LIMITS, {"sandbox": "a", "limits": {"processes": -1}})[0] == 400


def test_kill_ends_all_but_the_sandbox(keeper: Keeper, asker: Asker) -> None:
    opened(asker)
    process = started(asker)
    order(process, "daemon")
    order(process, "child")
    assert asker.ask(wire.KILL, {"sandbox": "a"}).kind == wire.OK
    assert asker.end_of(process)["wait_status"] == signal.SIGKILL
    (init,) = inits(keeper)
    children = Path(f"/proc/{init}/task/{init}/children")
    processes.until(lambda: children.read_text() == "", "the init has reaped them")
    assert order(started(asker), "whoami") == "1000 1000"


def test_an_asker_kills_its_own_and_leaves_anothers(keeper: Keeper, asker: Asker) -> None:
    opened(asker)
    other = keeper.asker()
    opened(other)
    mine, theirs = started(asker), started(other)
    order(mine, "daemon")
    order(theirs, "daemon")
    assert asker.ask(wire.KILL, {}).kind == wire.OK
    assert asker.end_of(mine)["wait_status"] == signal.SIGKILL
    assert order(theirs, "whoami") == "1000 1000"
    (init,) = (pid for pid in inits(keeper) if pid != theirs.pid)
    children = Path(f"/proc/{init}/task/{init}/children")
    processes.until(lambda: len(children.read_text().split()) == 1, "the other's daemon is left")
    assert order(theirs, "whoami") == "1000 1000"
    assert len(children.read_text().split()) == 1


def test_out_of_memory_is_told(asker: Asker) -> None:
    enforced = opened(asker, limits={"memory_bytes": 64 << 20})["enforced"]
    if not enforced["memory_bytes"].startswith("cgroup"):
        pytest.skip(f"memory is enforced by {enforced['memory_bytes']}")
    code = "x = b'x' * (256 << 20)"
    process = asker.start(sys.executable, "-S", "-c", code, sandbox="a")
    end = asker.end_of(process)
    assert end["oom"] is True
    assert end["limit_bytes"] == 64 << 20
    assert 0 < end["peak_bytes"] <= 65 << 20


def test_a_network_is_a_proxy_and_nothing_else(asker: Asker) -> None:
    opened(asker, "closed")
    closed = started(asker, "closed")
    assert order(closed, "connect 3128") == "False"
    opened(asker, "open", network={"allow": ["example.com"]})
    process = started(asker, "open", env={"PATH": "/usr/bin", "NO_PROXY": "mine"})
    assert order(process, "connect 3128") == "True"
    found = dict(word.split("=", 1) for word in order(process, "env").split())
    assert found["HTTPS_PROXY"] == "http://127.0.0.1:3128"
    assert found["NO_PROXY"] == "mine"


def test_ten_sandboxes_come_and_go_and_leave_nothing(keeper: Keeper, asker: Asker) -> None:
    opened(asker, "first")
    asker.ask(wire.CLOSE, {"sandbox": "first"})
    folder = f"/proc/{keeper.first}/fd"
    asker.status()  # it has done with what came before when it answers this
    before = len(os.listdir(folder))
    for _ in range(2):
        for n in range(10):
            opened(asker, f"s{n}")
            started(asker, f"s{n}")
        assert len(asker.status()["sandboxes"]) == 10
        for n in range(10):
            assert asker.ask(wire.CLOSE, {"sandbox": f"s{n}"}).kind == wire.OK
        assert inits(keeper) == []
    asker.status()
    assert len(os.listdir(folder)) == before


def test_the_end_of_the_keeper_is_the_end_of_all(keeper: Keeper, asker: Asker) -> None:
    opened(asker)
    process = started(asker)
    family = [*inits(keeper), keeper.first]
    assert asker.ask(wire.END, {}).kind == wire.OK
    assert processes.wait_gone([process.pid, *family]) == []
    assert keeper.wait() == 0


# --- with a fork server


@pytest.fixture
def warm(tmp_path: Path) -> Iterator[Keeper]:
    command = [str(programs().interpreter), "--python", PYTHON, "--preload", "json"]
    with Keeper(*sandboxing(tmp_path / "state"), fork_server=command) as keeper:
        yield keeper


def ready(asker: Asker, other_than: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def is_ready() -> bool:
        found.update(asker.status()["fork_server"])
        return bool(found["state"] == "ready" and found["generation"] != other_than)

    processes.until(is_ready, "the fork server is ready")
    return found


def forked(asker: Asker, sandbox: str) -> Process:
    return asker.start(*COMMAND, sandbox=sandbox, warm=True, cwd="/workspace", env={"A": "b"})


def fields_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def on_host(keeper: Keeper, pid: int) -> int:
    """Our number of the child that the keeper knows by that one."""
    (found,) = (n for n in inits(keeper) if int(fields_of(n)["NSpid"].split()[1]) == pid)
    return found


def test_a_fork_is_inside(warm: Keeper) -> None:
    asker = warm.asker()
    ready(asker)
    opened(asker, "w")
    process = forked(asker, "w")
    assert process.cold_because is None
    assert process.warm
    # it has the fork server's filter from its first instant on, and gives up its capabilities then
    processes.until(lambda: not fields_of(process.pid)["CapEff"].strip("0"), "it has settled")
    fields = fields_of(process.pid)
    assert len(fields["NSpid"].split()) >= 3, "the host's, the keeper's, the sandbox's"
    assert fields["NoNewPrivs"] == "1"
    assert fields["Seccomp"] == "2"
    assert asker.ask(wire.CLOSE, {"sandbox": "w"}).kind == wire.OK
    asker.close()


def test_forks_outlive_a_killed_fork_server_and_end_with_their_sandbox(warm: Keeper) -> None:
    asker = warm.asker()
    server = ready(asker)
    opened(asker, "w")
    init = init_of(warm, server["pid"])
    process = forked(asker, "w")
    os.kill(on_host(warm, server["pid"]), signal.SIGKILL)
    ready(asker, other_than=server["generation"])
    assert processes.alive(process.pid)
    again = forked(asker, "w")
    assert again.warm
    os.kill(init, signal.SIGKILL)
    for one in (process, again):
        assert asker.end_of(one)["wait_status"] == signal.SIGKILL
    processes.until(lambda: not asker.status()["sandboxes"], "the sandbox is gone")
    asker.close()


def init_of(keeper: Keeper, server: int) -> int:
    """The one child of the keeper that is not the fork server."""
    (pid,) = (pid for pid in inits(keeper) if pid != on_host(keeper, server))
    return pid


@pytest.mark.parametrize("how", [[], ["--foreground"]])
def test_a_machine_that_lacks_something_has_an_exit_status_of_its_own(
    tmp_path: Path, how: list[str]
) -> None:
    """A gateway tells its clients 501 then, and 503 for what may be better next time."""
    (tmp_path / "state").mkdir()
    arguments = ["--socket", str(tmp_path / "keeper"), "--profile", "sandbox",
                 "--state-dir", str(tmp_path / "state"), *how]  # fmt: skip
    done = subprocess.run(
        lacking.run("user", str(programs().keeper), *arguments),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert "sandboxes cannot be had here: " in done.stderr
    assert not (tmp_path / "keeper").exists()


# --- made ahead


def spares(asker: Asker, count: int) -> None:
    """Until so many sandboxes are ready that nobody has asked for yet."""
    processes.until(lambda: asker.status()["spare"] == count, f"{count} made ahead")


@pytest.fixture
def stocked(tmp_path: Path) -> Iterator[Keeper]:
    with Keeper(*sandboxing(tmp_path / "state"), "--stock", "2") as keeper:
        yield keeper


def folders(path: Path) -> list[str]:
    return sorted(one.name for one in path.iterdir())


def groups_of(process: Process) -> set[str]:
    lines = Path(f"/proc/{process.pid}/cgroup").read_text().splitlines()
    return {line.split(":", 2)[2] for line in lines if "/warmcell/" in line}


def test_one_that_was_made_ahead_is_as_any_other(stocked: Keeper, tmp_path: Path) -> None:
    """It has the id, the limits and the workspace of who asked, and another takes its place."""
    asker, state = stocked.asker(), tmp_path / "state"
    spares(asker, 2)
    ahead, before = set(inits(stocked)), folders(state)
    assert len(ahead) == len(before) == 2 and asker.status()["sandboxes"] == []
    answer = opened(asker, limits={"open_files": 77, "memory_bytes": 1 << 28})
    assert answer["created"] is True
    assert set(inits(stocked)) & ahead == ahead, "none of them was made just now"
    assert "a" in folders(state) and len(set(folders(state)) & set(before)) == 1
    process = started(asker)
    assert order(process, "write /workspace/file") == "written"
    written = state / "a" / "workspace" / "file"
    assert written.read_text() == "written"
    assert written.stat().st_uid == (answer["uid"] or os.getuid())
    assert all(group.endswith("/a") for group in groups_of(process))
    limits = Path(f"/proc/{process.pid}/limits").read_text()
    assert next(line for line in limits.splitlines() if "open files" in line).split()[3] == "77"
    assert [one["sandbox"] for one in asker.status()["sandboxes"]] == ["a"]
    spares(asker, 2)
    assert asker.ask(wire.CLOSE, {"sandbox": "a"}).kind == wire.OK
    assert [one for one in inits(stocked) if one in ahead] != []


def test_one_made_ahead_that_does_not_fit_is_left(stocked: Keeper, tmp_path: Path) -> None:
    """Another /tmp, a workspace that is there already, a uid of one's own."""
    asker, state = stocked.asker(), tmp_path / "state"
    spares(asker, 2)
    ahead = set(inits(stocked))
    opened(asker, "a", limits={"tmp_bytes": 1 << 20})
    (state / "b" / "workspace").mkdir(parents=True)
    (state / "b" / "workspace" / "file").write_text("kept")
    opened(asker, "b")
    assert (state / "b" / "workspace" / "file").read_text() == "kept"
    assert len(set(inits(stocked)) - ahead) == 2, "both were made for who asked"
    assert asker.status()["spare"] == 2


@pytest.mark.skipif(not ROOT, reason="only root has uids to choose from")
def test_who_comes_back_without_a_uid_has_that_of_its_files(asker: Asker, tmp_path: Path) -> None:
    """As a host does at the next keeper: its plan is older than the answer that named the uid."""
    state = tmp_path / "state"
    uid = opened(asker, "a")["uid"] + 50
    (state / "b" / "workspace").mkdir(parents=True)
    os.chown(state / "b" / "workspace", uid, uid)
    assert opened(asker, "b")["uid"] == uid


@pytest.mark.skipif(not ROOT, reason="only root has uids to choose from")
def test_a_uid_that_owns_a_workspace_is_given_to_nobody_else(asker: Asker, tmp_path: Path) -> None:
    """Who was paused comes back to it."""
    uid = opened(asker, "a")["uid"]
    asker.ask(wire.CLOSE, {"sandbox": "a"})
    assert opened(asker, "b")["uid"] != uid
    assert opened(asker, "a")["uid"] == uid


@pytest.mark.skipif(not ROOT, reason="only root has uids to choose from")
def test_a_uid_that_one_made_ahead_has_can_be_asked_for(stocked: Keeper, tmp_path: Path) -> None:
    asker, state = stocked.asker(), tmp_path / "state"
    spares(asker, 2)
    uid = min((state / name / "workspace").stat().st_uid for name in folders(state))
    assert opened(asker, uid=uid)["uid"] == uid
    assert (state / "a" / "workspace").stat().st_uid == uid


def test_a_folder_made_ahead_may_vanish(stocked: Keeper, tmp_path: Path) -> None:
    """Who comes back clears the state folder of what it does not know."""
    asker, state = stocked.asker(), tmp_path / "state"
    spares(asker, 2)
    for name in folders(state):
        (state / name / "workspace").rmdir()
        (state / name).rmdir()
    opened(asker)
    assert order(started(asker), "write /workspace/file") == "written"
    assert (state / "a" / "workspace" / "file").read_text() == "written"
    spares(asker, 2)


def test_what_was_made_ahead_ends_with_the_keeper(tmp_path: Path) -> None:
    with Keeper(*sandboxing(tmp_path / "state"), "--stock", "2") as keeper:
        spares(keeper.asker(), 2)
        ahead = inits(keeper)
    assert not processes.wait_gone(ahead)
    assert folders(tmp_path / "state") == []
    assert not list(Path("/sys/fs/cgroup").glob(f"*/warmcell/warmcell-{keeper.pid}"))


def test_one_that_is_renamed(asker: Asker, keeper: Keeper, tmp_path: Path) -> None:
    """It is found by either name; what runs inside goes on, and its folder is not touched."""
    opened(asker)
    process = started(asker)
    assert order(process, "write /workspace/file") == "written"
    (tmp_path / "state" / "a").rename(tmp_path / "state" / "b")
    assert asker.ask(wire.RENAME, {"sandbox": "a", "to": "b"}).kind == wire.OK
    assert [one["sandbox"] for one in asker.status()["sandboxes"]] == ["b"]
    for name in ("a", "b"):
        assert asker.ask(wire.USAGE, {"sandbox": name}).kind == wire.OK
        assert opened(keeper.asker(), name)["created"] is False
    assert order(process, "write /workspace/other") == "written"
    assert (tmp_path / "state" / "b" / "workspace" / "other").exists()
    assert not (tmp_path / "state" / "a").exists()
    assert order(started(asker, "b"), "write /workspace/third") == "written"
    assert asker.ask(wire.CLOSE, {"sandbox": "b"}).kind == wire.OK
    assert failed(asker, wire.USAGE, {"sandbox": "a"})[0] == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"sandbox": "none", "to": "c"}, 404),
        ({"sandbox": "a"}, 400),
        ({"sandbox": "a", "to": ""}, 400),
        ({"sandbox": "a", "to": "../c"}, 400),
        ({"sandbox": "a", "to": "c" * 65}, 400),
        ({"sandbox": "a", "to": "b"}, 409),
    ],
)
def test_a_name_that_it_cannot_have(asker: Asker, body: dict[str, str], status: int) -> None:
    opened(asker)
    opened(asker, "b")
    assert failed(asker, wire.RENAME, body)[0] == status
    assert asker.ask(wire.USAGE, {"sandbox": "a"}).kind == wire.OK


def test_nothing_was_killed(asker: Asker) -> None:
    opened(asker)
    answer = asker.ask(wire.CAUSE, {"sandbox": "a"})
    assert answer.body == {"oom": False, "limit_bytes": 0, "peak_bytes": 0, "breach": None}
