"""Pause and resume of a sandbox with real interpreters: what comes back, also after the gateway was
killed, after all processes were, and with another sandbox where it was."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from e2e.test_sandbox_life import create, kernel_of, remove, show
from support import processes
from support.files import keeper_pids
from support.gateway import Answer, Gateway

CELL = """
import os, threading
x = 1
class A:
    def f(self): return x
a = A(); pair = [a, a]; lock = threading.Lock()
def g(): return a.f() + 1
open("file", "w").write("text")
"""
LOOK = "x = 5; print(g(), pair[0] is a, open('file').read(), os.environ['MINE'])"
SEEN = "6 True text yes\n"
NOT_SAVED = [{"name": "lock", "reason": "TypeError: cannot pickle '_thread.lock' object"}]


def gone(gateway: Gateway) -> None:
    assert not processes.wait_gone(keeper_pids(gateway))
    shutil.rmtree(gateway.home, ignore_errors=True)


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway(options=["--pool-max", "0", "--preload", "json"], warm=True) as gateway:
        yield gateway
    gone(gateway)


def post(gateway: Gateway, model: dict[str, Any], verb: str, **body: Any) -> Answer:
    return gateway.request("POST", f"/v1/sandboxes/{model['id']}/{verb}", body)


def run(gateway: Gateway, kernel: str, code: str) -> str:
    with closing(gateway.client(kernel)) as client:
        return client.run(code).stdout


def begin(gateway: Gateway) -> dict[str, Any]:
    made = create(gateway, env={"MINE": "yes"}, limits={"processes": 77})
    assert run(gateway, kernel_of(made), CELL) == ""
    return made


def resume(gateway: Gateway, model: dict[str, Any]) -> dict[str, Any]:
    answer = post(gateway, model, "resume")
    assert answer.status == 200, answer
    found: dict[str, Any] = answer.json()
    for pid in keeper_pids(gateway):
        processes.own(pid)
    return found


def end(pids: list[int]) -> None:
    """Each at once; a proxy may go with its keeper."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert not processes.wait_gone(pids)


def test_a_sandbox_is_as_it_was(gateway: Gateway) -> None:
    made = begin(gateway)
    kernel = kernel_of(made)
    second = gateway.request(
        "POST", f"/v1/sandboxes/{made['id']}/contexts", {"fork": kernel, "name": "other"}
    ).json()["id"]
    run(gateway, second, "x = 40")
    hosts = set(processes.named_below(gateway.pid, "warmcell-kernel"))
    paused = post(gateway, made, "pause")
    assert paused.status == 200, paused
    assert not processes.wait_gone(hosts)
    other = create(gateway)
    if os.getuid() == 0:
        assert other["uid"] != made["uid"], "it has what the files of the paused one belong to"
    answer = resume(gateway, made)
    assert [(c["id"], c["name"]) for c in answer["contexts"]] == [
        (kernel, "default"), (second, "other"),
    ]  # fmt: skip
    for context in answer["contexts"]:
        assert context["not_restored"] == NOT_SAVED
        assert {"x", "A", "a", "pair", "g", "os", "threading"} == set(context["restored"])
        assert context["problem"] is None
    assert run(gateway, second, "print(g())") == "41\n"
    assert run(gateway, kernel, LOOK) == SEEN
    model = show(gateway, made)
    assert (model["state"], model["limits"]["processes"]["value"]) == ("running", 77)
    assert model["uid"] == made["uid"]
    assert run(gateway, kernel_of(other), "print('alone')") == "alone\n"
    remove(gateway, other)


def test_it_is_paused_when_it_can_be_resumed(gateway: Gateway) -> None:
    made = begin(gateway)
    keepers = keeper_pids(gateway)
    for pid in keepers:
        os.kill(pid, signal.SIGSTOP)  # they end what is left of it
    with ThreadPoolExecutor() as pool:
        pausing = pool.submit(post, gateway, made, "pause")
        processes.until(lambda: "sandbox paused" in gateway.log.read_text(), "it is recorded")
        assert gateway.get("/v1/sandboxes?state=paused").json()["sandboxes"] == []
        for refused in (post(gateway, made, "resume"), post(gateway, made, "executions", code="1")):
            assert refused.status == 409, refused
        for pid in keepers:
            os.kill(pid, signal.SIGCONT)
        assert pausing.result().status == 200
    assert show(gateway, made)["state"] == "paused"
    resume(gateway, made)
    assert run(gateway, kernel_of(made), LOOK) == SEEN
    remove(gateway, made)


def test_it_outlives_its_gateway_and_all_processes(gateway: Gateway) -> None:
    made = begin(gateway)
    kernel = kernel_of(made)
    hosts = processes.named_below(gateway.pid, "warmcell-kernel")
    assert post(gateway, made, "pause").status == 200
    assert not processes.wait_gone(hosts)
    snapshot = show(gateway, made)["snapshot"]
    keepers = keeper_pids(gateway)
    gateway.kill()
    end(keepers)
    shutil.rmtree(gateway.runtime)  # as after a start of the machine
    gateway.start()
    model = show(gateway, made)
    assert (model["state"], model["reason"], model["snapshot"]) == ("paused", None, snapshot)
    assert resume(gateway, made)["snapshot"] == snapshot
    assert run(gateway, kernel, LOOK) == SEEN


def test_after_an_unclean_end_it_is_as_its_last_snapshot(gateway: Gateway) -> None:
    made = begin(gateway)
    kernel = kernel_of(made)
    saved = post(gateway, made, "snapshots")
    assert saved.status == 201, saved
    (context,) = saved.json()["contexts"]
    assert context["not_saved"] == NOT_SAVED
    assert {"name": "x", "type": "int"} in context["saved"]
    run(gateway, kernel, "x = 1000; later = 1")
    victims = [*keeper_pids(gateway), *processes.named_below(gateway.pid, "warmcell-kernel")]
    gateway.kill()
    end(victims)
    gateway.start()
    processes.until(lambda: show(gateway, made)["state"] == "paused", "paused")
    model = show(gateway, made)
    assert model["snapshot"] == saved.json()["id"]
    assert f"its state is that of snapshot {saved.json()['id']}" in model["reason"]
    assert resume(gateway, made)["snapshot"] == saved.json()["id"]
    assert run(gateway, kernel, "print(x, 'later' in globals())") == "1 False\n"


def test_a_snapshot_that_was_changed_is_not_restored(gateway: Gateway) -> None:
    made = begin(gateway)
    assert post(gateway, made, "pause").status == 200
    folder = gateway.state / "snapshots" / made["id"]
    (pickle,) = (path for path in folder.iterdir() if len(path.name) == 128)
    whole = pickle.read_bytes()
    pickle.write_bytes(whole.replace(b"lock", b"look") if b"lock" in whole else whole[:-1] + b"x")
    refused = post(gateway, made, "resume")
    assert (refused.status, show(gateway, made)["state"]) == (503, "paused")
    assert "is not what was saved" in refused.json()["detail"]
    pickle.write_bytes(whole)
    assert resume(gateway, made)["contexts"][0]["problem"] is None
    assert run(gateway, kernel_of(made), LOOK) == SEEN


def large_files(gateway: Gateway, model: dict[str, Any]) -> set[Path]:
    return set((gateway.state / "snapshots" / model["id"]).glob("large-*"))


ALONE = """
child = os.fork()
if child == 0:
    big[0] = 99
    os._exit(0)
os.waitpid(child, 0)
print(big[0], big[5], big.sum(), big is pair[0])
"""


def test_a_large_array_is_kept_once_and_comes_back(gateway: Gateway) -> None:
    made = create(gateway)
    kernel = kernel_of(made)
    run(gateway, kernel, "import os, numpy; big = numpy.arange(2e6); pair = [big, big]")
    for _ in range(2):
        assert post(gateway, made, "snapshots").status == 201
    before = large_files(gateway, made)
    assert len(before) == 1, "it was unchanged"
    run(gateway, kernel, "big[5] = 7")
    assert post(gateway, made, "pause").status == 200
    (changed,) = large_files(gateway, made) - before
    whole = changed.read_bytes()
    changed.write_bytes(before.pop().read_bytes())
    refused = post(gateway, made, "resume")
    assert (refused.status, show(gateway, made)["state"]) == (503, "paused")
    assert "is not what was saved" in refused.json()["detail"]
    changed.write_bytes(whole)
    assert resume(gateway, made)["contexts"][0]["not_restored"] == []
    assert run(gateway, kernel, ALONE) == "0.0 7.0 1999999000002.0 True\n"
    assert post(gateway, made, "snapshots").status == 201
    assert len(large_files(gateway, made)) == 2, "it was unchanged"


FORKED = """
import os
print(g(), pair[0] is a, open('file').read(), os.environ['MINE'], os.stat('file').st_uid)
open('file', 'w').write('mine'); os.mkdir('new'); os.unlink('link')
"""


def test_a_fork_goes_its_own_way(gateway: Gateway) -> None:
    """Its code may change what was copied; the first does not see it."""
    made = begin(gateway)
    kernel = kernel_of(made)
    run(gateway, kernel, "os.symlink('file', 'link')")
    answer = post(gateway, made, "fork", name="copy")
    assert answer.status == 201, answer
    copy, (context,) = answer.json()["sandbox"], answer.json()["contexts"]
    assert (context["not_restored"], context["problem"]) == (NOT_SAVED, None)
    assert copy["uid"] != made["uid"] or copy["uid"] == "shared"
    assert run(gateway, kernel_of(copy), FORKED) == f"2 True text yes {inside_uid(gateway, made)}\n"
    assert run(gateway, kernel, LOOK) == SEEN
    post(gateway, made, "pause")
    second = post(gateway, made, "fork").json()["sandbox"]
    assert run(gateway, kernel_of(second), "print(x, g(), os.path.islink('link'))") == "5 6 True\n"
    for one in (copy, second, made):
        remove(gateway, one)


def inside_uid(gateway: Gateway, model: dict[str, Any]) -> str:
    return run(gateway, kernel_of(model), "print(os.getuid())").strip()


def test_what_is_idle_for_its_limit(gateway: Gateway) -> None:
    """While a command runs it is not, and no context ends before another one."""
    made = create(gateway, env={"MINE": "yes"})
    assert run(gateway, kernel_of(made), CELL) == ""
    other = post(gateway, made, "contexts", name="other").json()["id"]
    run(gateway, other, "y = 2")
    body = {"shell": "read line; echo $line >heard", "background": True}
    command = post(gateway, made, "commands", **body).json()["id"]
    path = f"/v1/sandboxes/{made['id']}"
    assert gateway.request("PATCH", path, {"limits": {"idle_s": 1}}).status == 200
    control = create(gateway, limits={"idle_s": 1})
    processes.until(lambda: show(gateway, control)["state"] == "paused", "the control is paused")
    assert run(gateway, kernel_of(made), LOOK) == SEEN
    assert run(gateway, other, "print(y)") == "2\n"
    stdin = f"{path}/commands/{command}/stdin?eof=1"
    assert gateway.request("POST", stdin, b"there\n").status == 204
    processes.until(lambda: show(gateway, made)["state"] == "paused", "paused")
    assert show(gateway, made)["reason"] == "it was idle for its limit idle_s of 1 seconds"
    assert gateway.get(f"{path}/commands/{command}").json()["exit_code"] == 0
    assert gateway.request("PATCH", path, {"limits": {"idle_s": 0}}).status == 200
    resume(gateway, made)
    assert run(gateway, kernel_of(made), LOOK) == SEEN
    assert run(gateway, other, "print(y, open('heard').read())") == "2 there\n\n"
    remove(gateway, control)
    remove(gateway, made)
