"""Hosts whose interpreters a keeper starts: what their clients see, whatever is killed between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel.host_process import Host
from support import processes
from support.direct import DirectClient
from support.keeper import keeper_process as wire
from support.keeper.keeper_process import Asker, Keeper, sandboxing
from support.programs import programs


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    with Keeper() as keeper:
        yield keeper


@pytest.fixture
def asker(keeper: Keeper) -> Asker:
    return keeper.asker()


@pytest.fixture
def started(keeper: Keeper) -> Iterator[Callable[..., Host]]:
    """Starts hosts that end before their keeper does."""
    hosts: list[Host] = []

    def start(*options: str, **more: Any) -> Host:
        hosts.append(Host("--keeper", str(keeper.socket), *options, **more))
        return hosts[-1]

    yield start
    for host in hosts:
        with host:
            pass


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def pid_of(client: DirectClient) -> int:
    return int(client.run("pid").stdout.split()[0])


def no_process(asker: Asker) -> None:
    processes.until(lambda: asker.status()["processes"] == 0, "the keeper holds nothing")


def test_the_keeper_is_its_parent_and_the_host_speaks_to_it(
    keeper: Keeper, started: Callable[..., Host], tmp_path: Path
) -> None:
    host = started(env={"GREETING": "hello"})
    client = host.client()
    pid = pid_of(client)
    assert parent_of(pid) == keeper.pid
    assert client.run("env GREETING").stdout == "GREETING=hello\n"
    assert client.run("fds").stdout.split()[:5] == ["0", "1", "2", "3", "4"]
    assert client.ask("usage_request", channel="control").content["pid"] == pid


def test_an_interrupt_reaches_it(started: Callable[..., Host]) -> None:
    host = started()
    client = host.client()
    run = client.execute("print in\nwait")
    client.take(lambda m: m.msg_type == "stream")
    assert client.ask("interrupt_request", channel="control").content["status"] == "ok"
    assert client.collect(run).status == "error"
    assert client.run("print a").stdout == "a\n"


@pytest.mark.parametrize(
    ("code", "text"),
    [("crash 11", "killed by signal 11 (SIGSEGV)"), ("exit 3", "ended with status 3")],
)
def test_its_death_is_told_with_the_status_that_the_keeper_knows(
    started: Callable[..., Host], asker: Asker, code: str, text: str
) -> None:
    host = started()
    client = host.client()
    run = client.run(f"print before\n{code}")
    assert run.stdout == "before\n"
    assert run.content["ename"] == "KernelDied"
    assert text in run.content["evalue"]
    assert client.run("print again").stdout == "again\n"
    assert asker.status()["processes"] == 1


def test_a_shutdown_leaves_nothing(started: Callable[..., Host], asker: Asker) -> None:
    host = started()
    client = host.client()
    daemon = int(client.run("daemon").stdout)
    assert processes.alive(daemon)
    client.ask("shutdown_request", {}, channel="control")
    assert host.wait() == 0
    no_process(asker)
    assert processes.wait_gone([daemon]) == []


def test_a_killed_host_leaves_nothing(started: Callable[..., Host], asker: Asker) -> None:
    host = started()
    client = host.client()
    pid = pid_of(client)
    daemon = int(client.run("daemon").stdout)
    host.kill()
    assert processes.wait_gone([pid, daemon]) == []
    no_process(asker)


def test_a_kernel_outlives_its_keeper_and_then_starts_its_own(
    keeper: Keeper, started: Callable[..., Host]
) -> None:
    host = started()
    client = host.client()
    pid = pid_of(client)
    keeper.kill()
    assert pid_of(client) == pid
    os.kill(pid, signal.SIGKILL)
    client.take(lambda m: m.state == "restarting")
    new = pid_of(client)
    assert parent_of(new) == host.pid
    log = host.log.read_text()
    assert "the keeper is lost" in log
    assert "killed by signal 9" in log or "its status is not known" in log
    assert "started without the keeper" in log


def test_where_no_keeper_listens_the_host_starts_it(tmp_path: Path) -> None:
    with Host("--keeper", str(tmp_path / "none")) as host:
        client = host.client()
        assert parent_of(pid_of(client)) == host.pid
        assert "no keeper of ours listens" in host.log.read_text()


def test_a_keeper_that_hangs_is_given_up_and_starts_nothing_later(
    keeper: Keeper, started: Callable[..., Host], asker: Asker
) -> None:
    assert asker.status()["askers"] == 1
    os.kill(keeper.pid, signal.SIGSTOP)
    host = started()
    client = host.client()
    pid = pid_of(client)
    assert parent_of(pid) == host.pid
    assert "it does not answer" in host.log.read_text()
    os.kill(keeper.pid, signal.SIGCONT)
    processes.until(lambda: asker.status()["askers"] == 1, "the host's connection is gone")
    no_process(asker)
    assert pid_of(client) == pid


def test_a_sandbox_without_a_keeper_is_refused_with_the_reason(tmp_path: Path) -> None:
    with Host("--keeper", str(tmp_path / "none"), "--sandbox", "a") as host:
        client = host.client()
        run = client.run("print a")
        assert run.content["ename"] == "KernelDied"
        assert "no keeper of ours listens" in run.content["evalue"]
        assert host.wait() == 1


def test_an_owners_keeper_confines_nothing(started: Callable[..., Host]) -> None:
    host = started("--sandbox", "a")
    client = host.client()
    assert "holds no sandboxes" in client.run("print a").content["evalue"]
    assert host.wait() == 1


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        ("[]", "--sandbox-plan: must be an object"),
        ('{"env": {"A": 1}}', "--sandbox-plan: env: A must be a string"),
        ('{"env": {"A=B": "1"}}', "--sandbox-plan: env: A=B must be a string"),
        ('{"cwd": 1}', "cwd: must be a string"),
    ],
)
def test_a_bad_plan_ends_the_host(keeper: Keeper, tmp_path: Path, plan: str, text: str) -> None:
    file = tmp_path / "plan"
    file.write_text(plan)
    command: list[str | Path] = [programs().host, "--uplink", tmp_path / "uplink"]
    command += ["--keeper", keeper.socket]
    command += ["--sandbox", "a", "--sandbox-plan", file, "--driver", "--", "true"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert text in done.stderr


# --- confined


@pytest.fixture
def confining(tmp_path: Path) -> Iterator[Keeper]:
    with Keeper(*sandboxing(tmp_path / "state")) as keeper:
        yield keeper


def plan_file(tmp_path: Path, **plan: Any) -> str:
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(plan))
    return str(file)


@pytest.fixture
def confined(confining: Keeper, tmp_path: Path) -> Iterator[Callable[..., Host]]:
    hosts: list[Host] = []

    def start(sandbox: str = "a", **plan: Any) -> Host:
        file = plan_file(tmp_path, **plan)
        options = ["--keeper", str(confining.socket), "--sandbox", sandbox]
        hosts.append(Host(*options, "--sandbox-plan", file, env={"SECRET": "x"}))
        return hosts[-1]

    yield start
    for host in hosts:
        with host:
            pass


def no_sandbox(asker: Asker) -> None:
    def gone() -> bool:
        status = asker.status()
        return not status["sandboxes"] and status["processes"] == 0

    processes.until(gone, "the keeper holds no sandbox")


def test_a_confined_kernel_works_and_sees_nothing_of_the_hosts(
    confined: Callable[..., Host], confining: Keeper
) -> None:
    host = confined(env={"GREETING": "hi"}, limits={"memory_bytes": 512 << 20})
    client = host.client()
    inside = pid_of(client)
    assert client.run("env GREETING").stdout == "GREETING=hi\n"
    assert client.run("env SECRET").stdout == "SECRET=\n"
    assert client.run("env HOME").stdout == "HOME=/home/user\n"
    outside = client.ask("usage_request", channel="control").content["pid"]
    assert outside != inside
    run = client.execute("print in\nwait")
    client.take(lambda m: m.msg_type == "stream")
    client.ask("interrupt_request", channel="control")
    assert client.collect(run).status == "error"
    asker = confining.asker()
    (status,) = asker.status()["sandboxes"]
    assert (status["sandbox"], status["holders"], status["processes"]) == ("a", 1, 1)


@pytest.mark.parametrize(
    ("plan", "cpus"),
    [
        ({"limits": {"cpus": 0.5}}, 1),
        ({"limits": {"cpus": 0}}, len(os.sched_getaffinity(0))),
        ({"env": {"WARMCELL_CPUS": "7"}}, 7),
    ],
)
def test_numerical_libraries_are_told_how_many_processors_there_are(
    confined: Callable[..., Host], plan: dict[str, Any], cpus: int
) -> None:
    assert confined(**plan).client().run("env WARMCELL_CPUS").stdout == f"WARMCELL_CPUS={cpus}\n"


def test_two_hosts_share_a_sandbox_that_ends_with_the_second(
    confined: Callable[..., Host], confining: Keeper
) -> None:
    first, second = confined(), confined()
    pids = pid_of(first.client()), pid_of(second.client())
    assert pids[0] != pids[1]
    asker = confining.asker()
    assert asker.status()["sandboxes"][0]["holders"] == 2
    daemon = int(first.clients[0].run("daemon").stdout)
    assert daemon
    first.kill()
    processes.until(lambda: asker.status()["processes"] == 1, "the first one's is gone")
    assert second.clients[0].run("print still").stdout == "still\n"
    second.kill()
    no_sandbox(asker)
    processes.until(lambda: children_of(confining) == [], "its first process has ended")


def children_of(keeper: Keeper) -> list[str]:
    """What is below the keeper itself, the first of its PID namespace."""
    return Path(f"/proc/{keeper.first}/task/{keeper.first}/children").read_text().split()


def test_a_killed_init_is_told_and_the_next_start_is_refused(
    confined: Callable[..., Host], confining: Keeper
) -> None:
    host = confined()
    client = host.client()
    interpreter = client.ask("usage_request", channel="control").content["pid"]
    (init,) = (pid for pid in children_of(confining) if int(pid) != interpreter)
    run = client.execute("print in\nwait")
    client.take(lambda m: m.msg_type == "stream")
    os.kill(int(init), signal.SIGKILL)
    assert "killed by signal 9" in client.collect(run).content["evalue"]
    no_sandbox(confining.asker())
    why = client.run("print a").content["evalue"]
    assert "sandbox a does not exist" in why or "first process has ended" in why
    assert host.wait() == 1


def test_a_killed_keeper_takes_its_sandboxes_along_and_it_is_told(
    confined: Callable[..., Host], confining: Keeper
) -> None:
    host = confined()
    client = host.client()
    interpreter = client.ask("usage_request", channel="control").content["pid"]
    run = client.execute("print in\nwait")
    client.take(lambda m: m.msg_type == "stream")
    family = [int(pid) for pid in children_of(confining)]
    assert interpreter in family
    confining.kill()
    assert processes.wait_gone(family) == []
    assert "the keeper of its sandbox ended" in client.collect(run).content["evalue"]
    assert "no keeper of ours listens" in client.run("print a").content["evalue"]
    assert host.wait() == 1


def connections(keeper: Keeper) -> int:
    """Those that the keeper has not accepted yet among them."""
    return Path("/proc/net/unix").read_text().count(f" {keeper.socket}\n")


def test_a_host_that_comes_while_its_sandbox_ends_waits_for_that(
    confined: Callable[..., Host], confining: Keeper
) -> None:
    """As the one does that replaces a host which was killed."""
    before = confined()
    client = before.client()
    pid_of(client)
    for _ in range(10):
        assert client.run("daemon").stdout  # so that the end takes a while
    os.kill(confining.first, signal.SIGSTOP)
    before.kill()
    asked = connections(confining)
    client = confined().client(ready=False)
    processes.until(lambda: connections(confining) > asked, "it asks for its sandbox")
    os.kill(confining.first, signal.SIGCONT)
    client.wait_ready()
    run = client.run("print after")
    assert (run.status, run.stdout) == ("ok", "after\n")


def test_closing_ends_it_whoever_holds_it(confined: Callable[..., Host], confining: Keeper) -> None:
    host = confined()
    client = host.client()
    pid_of(client)
    asker = confining.asker()
    assert asker.ask(wire.CLOSE, {"sandbox": "a"}).kind == wire.OK
    assert children_of(confining) == []
    assert "does not exist" in client.run("print a").content["evalue"]
    assert host.wait() == 1


def test_out_of_memory_is_told_with_limit_and_peak(
    confined: Callable[..., Host], confining: Keeper
) -> None:
    if confining.asker().status()["confinement"]["cgroup"] == "none":
        pytest.skip("without control groups a program is refused memory, not ended")
    host = confined(limits={"memory_bytes": 96 << 20})
    client = host.client()
    run = client.run("fill 400")
    assert run.content["ename"] == "OutOfMemory"
    assert "96 MiB" in run.content["evalue"]
    assert client.run("print again").stdout == "again\n"
