"""A sandbox of the pool becomes its taker's: its id, folder, environment and limits, everywhere and
at once; and one that was handed out only half when the gateway was killed is nobody's."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import psutil
import pytest
from e2e.test_sandbox_life import MIB, create, kernel_of, remove, show
from support import processes
from support.files import keeper_pids, sandbox_keepers
from support.gateway import Gateway

READY = 'warmcell_pool_ready{pool="sandbox"} '


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    gateway = Gateway(options=["--pool-min", "1", "--pool-max", "1", "--preload", "json"])
    gateway.lease_s = 10
    with gateway:
        remove(gateway, create(gateway))
        yield gateway
    assert not processes.wait_gone(keeper_pids(gateway))
    shutil.rmtree(gateway.home, ignore_errors=True)


def own(gateway: Gateway) -> None:
    """Also the host of the one in the pool, which a killed gateway has left to the next."""
    hosts = [
        one.pid for one in psutil.process_iter(["cmdline"])
        if any(str(gateway.home) in word for word in one.info["cmdline"] or [])
        and one.info["cmdline"][0].endswith("warmcell-kernel")
    ]  # fmt: skip
    for pid in [*keeper_pids(gateway), *hosts]:
        processes.own(pid)


def numbers(gateway: Gateway) -> str:
    return gateway.get("/metrics").body.decode()


def folders(gateway: Gateway) -> set[str]:
    return {one.name for one in (gateway.state / "sandboxes").iterdir()}


def in_pool(gateway: Gateway) -> set[str]:
    found = set()
    for file in gateway.runtime.glob("kernels/*/kernel.json"):
        with suppress(FileNotFoundError):
            saved = json.loads(file.read_text())
            found |= {saved["sandbox"]["id"]} if saved["pooled"] else set()
    return found


def pooled(gateway: Gateway) -> str:
    """The id of the one that is ready."""
    processes.until(
        lambda: f"{READY}1" in numbers(gateway) and len(in_pool(gateway)) == 1,
        "a pool that is full",
    )
    (name,) = in_pool(gateway)
    assert name in folders(gateway)
    return name


@pytest.fixture
def adopted(gateway: Gateway) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name that it had, and its model."""
    before = pooled(gateway)
    made = create(gateway, env={"MINE": "yes"}, limits={"memory_bytes": 256 * MIB, "processes": 40})
    yield before, made
    if gateway.get(f"/v1/sandboxes/{made['id']}").status == 200:
        remove(gateway, made)


def test_it_has_another_id_everywhere(
    gateway: Gateway, adopted: tuple[str, dict[str, Any]]
) -> None:
    before, made = adopted
    assert made["id"] != before
    assert before not in folders(gateway)
    assert show(gateway, made)["usage"]["processes"] >= 1
    assert f'warmcell_sandbox_processes{{sandbox="{made["id"]}"}}' in numbers(gateway)
    with closing(gateway.client(kernel_of(made))) as client:
        look = "import os; print(os.environ['MINE'], os.getcwd()); open('file', 'w').write('text')"
        assert client.run(look).stdout == "yes /workspace\n"
        mounts = client.run("print(open('/proc/self/mountinfo').read())").stdout
    assert before not in mounts
    file = gateway.state / "sandboxes" / made["id"] / "workspace" / "file"
    assert file.read_text() == "text"
    saved = (gateway.runtime / "kernels" / kernel_of(made) / "kernel.json").read_text()
    assert before not in saved
    remove(gateway, made)
    assert made["id"] not in folders(gateway)


def test_its_limits_hold(gateway: Gateway, adopted: tuple[str, dict[str, Any]]) -> None:
    _, made = adopted
    with closing(gateway.client(kernel_of(made))) as client:
        ended = client.run("block = bytearray(1 << 30)\nblock[::4096] = block[::4096]")
        assert ended.status == "error"
    path = f"/v1/sandboxes/{made['id']}"
    answer = gateway.request("PATCH", path, {"limits": {"processes": 50}})
    assert answer.json()["limits"]["processes"]["value"] == 50


def test_a_context_more(gateway: Gateway, adopted: tuple[str, dict[str, Any]]) -> None:
    """Its host starts by the new name, the branch's host by the keeper's."""
    _, made = adopted
    with closing(gateway.client(kernel_of(made))) as client:
        client.run("x = 1; open('file', 'w').write('text')")
    for body, text in (({"fork": kernel_of(made)}, "1 text\n"), ({}, "0 text\n")):
        answer = gateway.request("POST", f"/v1/sandboxes/{made['id']}/contexts", body)
        assert answer.status == 201, answer
        with closing(gateway.client(answer.json()["id"])) as client:
            seen = client.run("print(globals().get('x', 0), open('/workspace/file').read())")
            assert seen.stdout == text


@pytest.mark.parametrize("who", ["interpreter", "host", "keeper", "gateway"])
def test_who_dies_finds_it_by_its_new_name(
    gateway: Gateway, adopted: tuple[str, dict[str, Any]], who: str
) -> None:
    _, made = adopted
    kernel = kernel_of(made)
    with closing(gateway.client(kernel, "mine")) as client:
        client.run("open('file', 'w').write('text')")
        if who == "interpreter":
            client.run("import os; os._exit(3)")
        elif who == "host":
            saved = (gateway.runtime / "kernels" / kernel / "kernel.json").read_text()
            os.kill(json.loads(saved)["pid"], signal.SIGKILL)
        elif who == "keeper":
            for pid in sandbox_keepers(gateway):
                os.kill(pid, signal.SIGKILL)
        else:
            gateway.kill()
            gateway.start()
            pooled(gateway)
            remove(gateway, create(gateway))  # its host may be of the gateway that was killed
        if who != "gateway":
            client.take(lambda m: m.state == "restarting")
    with closing(gateway.client(kernel)) as client:
        assert client.run("print(open('file').read())").stdout == "text\n"
        assert client.run("import os; print(os.environ['MINE'])").stdout == "yes\n"
    model = show(gateway, made)
    assert model["usage"]["processes"] >= 1
    assert model["limits"]["processes"]["value"] == 40
    own(gateway)


DELAYS_MS = [0, 1, 2, 3, 5, 8]


@pytest.mark.parametrize("delay_ms", DELAYS_MS)
def test_a_gateway_that_is_killed_as_it_hands_one_out(gateway: Gateway, delay_ms: int) -> None:
    """Either it was handed out, whole, or nothing of it is left, and none is in the pool that has
    something of a taker's."""
    pooled(gateway)
    gateway.connection().close()
    asked = threading.Thread(target=ask, args=(gateway,))
    asked.start()
    threading.Event().wait(delay_ms / 1000)
    gateway.kill()
    asked.join()
    left = folders(gateway)
    gateway.start()
    listed = {one["id"]: one for one in gateway.get("/v1/sandboxes").json()["sandboxes"]}
    for model in listed.values():
        assert model["limits"]["processes"]["value"] == 40
        with closing(gateway.client(kernel_of(model))) as client:
            assert client.run("import os; print(os.environ['MINE'])").stdout == "yes\n"
        assert (gateway.state / "sandboxes" / model["id"] / "workspace").is_dir()
    kept = {pooled(gateway), *listed}
    processes.until(lambda: not (left - kept) & folders(gateway), "all others are removed")
    fresh = create(gateway)
    with closing(gateway.client(kernel_of(fresh))) as client:
        assert client.run("import os; print(os.environ.get('MINE'))").stdout == "None\n"
    assert fresh["limits"]["processes"]["value"] != 40
    for model in [*listed.values(), fresh]:
        remove(gateway, model)
    pooled(gateway)
    own(gateway)


def ask(gateway: Gateway) -> None:
    body = {"env": {"MINE": "yes"}, "limits": {"processes": 40}}
    with suppress(OSError, HTTPException):  # also in the middle of an answer
        gateway.request("POST", "/v1/sandboxes", body)


def test_one_that_is_only_renamed_when_the_gateway_is_killed(gateway: Gateway) -> None:
    """Its folder has the new name already, and nothing else does."""
    before = pooled(gateway)
    (keeper,) = sandbox_keepers(gateway)
    os.kill(keeper, signal.SIGSTOP)
    asked = threading.Thread(target=ask, args=(gateway,))
    asked.start()
    processes.until(lambda: before not in folders(gateway), "renamed")
    gateway.kill()
    asked.join()
    os.kill(keeper, signal.SIGCONT)
    left = folders(gateway)
    kernels = list((gateway.runtime / "kernels").iterdir())
    gateway.start()
    processes.until(lambda: not left & folders(gateway), "removed")
    processes.until(lambda: not any(one.exists() for one in kernels), "forgotten")
    assert gateway.get("/v1/sandboxes").json()["sandboxes"] == []
    assert pooled(gateway) not in {before, *left}
    groups = [g for name in left for g in Path("/sys/fs/cgroup").glob(f"*/warmcell/*/{name}")]
    processes.until(lambda: not any(one.exists() for one in groups), "its control groups are gone")
    own(gateway)
