"""Sandboxes from outside, with a real keeper: what code in one sees, what its limits do, what each
death leaves, and that nothing stays."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
from support import processes
from support.files import keeper_pids, sandbox_keepers
from support.gateway import Gateway

MIB = 1 << 20


def create(gateway: Gateway, **body: Any) -> dict[str, Any]:
    answer = gateway.request("POST", "/v1/sandboxes", body)
    if answer.status == 501:
        pytest.skip(answer.json()["detail"])
    assert answer.status == 201, answer
    model: dict[str, Any] = answer.json()
    for pid in keeper_pids(gateway):
        processes.own(pid)
    return model


def kernel_of(model: dict[str, Any]) -> str:
    return str(model["contexts"][0]["id"])


def show(gateway: Gateway, model: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = gateway.get(f"/v1/sandboxes/{model['id']}").json()
    return found


def remove(gateway: Gateway, model: dict[str, Any]) -> None:
    assert gateway.request("DELETE", f"/v1/sandboxes/{model['id']}").status == 204


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    gateway = Gateway(options=["--pool-max", "0", "--preload", "json"], warm=True)
    with gateway:
        yield gateway
    assert not processes.wait_gone(keeper_pids(gateway))
    shutil.rmtree(gateway.home, ignore_errors=True)


@pytest.fixture
def sandbox(gateway: Gateway) -> Iterator[dict[str, Any]]:
    made = create(gateway, env={"MINE": "yes"}, limits={"memory_bytes": 256 * MIB})
    yield made
    if gateway.get(f"/v1/sandboxes/{made['id']}").status == 200:
        remove(gateway, made)


LOOK = """
import os, socket
print(os.getcwd(), os.environ["HOME"], os.environ["MINE"], os.getuid())
print(len([p for p in os.listdir("/proc") if p.isdigit()]) < 10, os.path.exists(%r))
try:
    socket.create_connection(("127.0.0.1", %d))
except OSError:
    print("no network")
open("file", "w").write("text")
"""


FETCH = """
import os, urllib.error, urllib.request
os.environ.pop("no_proxy", None), os.environ.pop("NO_PROXY", None)
print(urllib.request.urlopen("http://127.0.0.1:%d/here").read().decode())
try:
    urllib.request.urlopen("http://127.0.0.1:%d/")
except urllib.error.HTTPError as error:
    print(error.code)
"""


def test_code_inside(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    with closing(gateway.client(kernel_of(sandbox))) as client:
        seen = client.run(LOOK % (str(gateway.state), gateway.port)).stdout.splitlines()
    assert seen == ["/workspace /home/user yes 1000", "True False", "no network"]
    written = gateway.state / "sandboxes" / sandbox["id"] / "workspace" / "file"
    assert written.read_text() == "text"
    model = show(gateway, sandbox)
    assert model["uid"] == (written.stat().st_uid if os.geteuid() == 0 else "shared")
    assert model["usage"]["cpu_s"] > 0
    assert model["usage"]["processes"] >= 1


def test_a_deleted_one_leaves_nothing(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    with closing(gateway.client(kernel_of(sandbox))) as client:
        asleep = ["sleep", f"1000.{uuid.uuid4().int % 10**12:012}"]  # nobody else's
        client.run(f"import subprocess\nsubprocess.Popen({asleep}, start_new_session=True)")
        client.run("import os\nos.mkdir('shut')\nopen('shut/file', 'w')\nos.chmod('shut', 0)")
        inside = {p.pid for p in psutil.process_iter(["cmdline"])
                  if p.info["cmdline"] == asleep}  # fmt: skip
        assert inside
    remove(gateway, sandbox)
    assert not (gateway.state / "sandboxes" / sandbox["id"]).exists()
    assert not processes.wait_gone(inside)
    groups = f"*/warmcell/*/{sandbox['id']}"
    processes.until(lambda: not list(Path("/sys/fs/cgroup").glob(groups)), "no control group")


def test_memory_is_limited_and_nobody_else_notices(
    gateway: Gateway, sandbox: dict[str, Any]
) -> None:
    other = create(gateway)
    with (
        closing(gateway.client(kernel_of(sandbox))) as client,
        closing(gateway.client(kernel_of(other))) as neighbour,
    ):
        neighbour.run("x = 1")
        asked = client.execute("block = bytearray(1 << 30)\nblock[::4096] = block[::4096]")
        ended = client.collect(asked)
        assert ended.status == "error"
        assert neighbour.run("print(x)").stdout == "1\n"
    remove(gateway, other)


def test_limits_change_while_it_runs(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    path = f"/v1/sandboxes/{sandbox['id']}"
    with closing(gateway.client(kernel_of(sandbox))) as client:
        client.run("x = 1")
        answer = gateway.request("PATCH", path, {"limits": {"output_bytes": 4096}})
        assert answer.status == 200, answer
        told = client.run("print('y' * 100000)")
        assert told.status == "error"
        assert answer.json()["limits"]["output_bytes"] == {"value": 4096, "enforced_by": "host"}


def test_an_interpreter_that_dies_is_told(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    with closing(gateway.client(kernel_of(sandbox))) as client:
        ended = client.run("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)")
        assert ended.status == "error"
        client.take(lambda m: m.state == "restarting")
        assert "SIGSEGV" in show(gateway, sandbox)["reason"]
        client.wait_ready()
        assert client.run("print(1 + 1)").stdout == "2\n"


def test_its_history_is_its_own(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    """It lies in its kernel's folder alone, is there after the death of its host, and ends with
    it."""
    kernel = kernel_of(sandbox)
    folder = gateway.runtime / "kernels" / kernel
    with closing(gateway.client(kernel)) as client:
        client.run("a = 'said first'")
    host = gateway.host_of(kernel)
    (journal,) = (one for one in processes.open_files(host) if one.suffix == ".journal")
    assert journal.parent == folder  # it has it open for as long as it lives
    os.kill(host, signal.SIGKILL)
    processes.until(lambda: gateway.host_of(kernel) != host, "started again")
    with closing(gateway.client(kernel)) as client:
        assert client.run("b = 'said then'").status == "ok"
        found = client.ask("history_request", {"hist_access_type": "tail", "n": 9}).content
        assert found["history"] == [[1, 1, "a = 'said first'"], [2, 1, "b = 'said then'"]]
    remove(gateway, sandbox)
    assert not folder.exists()


def test_a_network_that_lets_one_address_through(gateway: Gateway) -> None:
    refused = gateway.request("POST", "/v1/sandboxes", {"network": "some"})
    assert refused.status == 400, refused
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        made = create(gateway, network={"allow": [f"127.0.0.1:{port}"]})
        assert made["network"] == {"allow": [f"127.0.0.1:{port}"]}
        with closing(gateway.client(kernel_of(made))) as client:
            asked = client.execute(FETCH % (port, gateway.port))
            connection, _ = server.accept()
            with connection:
                assert connection.recv(65536).startswith(b"GET /here ")
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            assert client.collect(asked).stdout == "ok\n403\n"
    remove(gateway, made)


def test_cold(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    made = create(gateway, cold=True)
    with closing(gateway.client(kernel_of(made))) as client:
        assert client.run("import sys; print('json' in sys.modules)").status == "ok"
    remove(gateway, made)


def test_a_gateway_that_was_killed_finds_it(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    kernel = kernel_of(sandbox)
    client = gateway.client(kernel, "mine")
    client.run("x = 6")
    wait = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\n"
    asked = client.execute(f"{wait}print(x * 7)")
    client.take(lambda m: m.state == "busy" and m.parent_id == asked)
    gateway.kill()
    (gateway.state / "sandboxes" / sandbox["id"] / "workspace" / "go").touch()
    gateway.start()
    with closing(gateway.client(kernel, "mine", ready=False)) as again:
        assert again.collect(asked).stdout == "42\n"
    assert show(gateway, sandbox)["uid"] == sandbox["uid"]


def test_a_keeper_that_was_killed(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    """All that it kept ends with it, and kernels begin again in the next one."""
    with closing(gateway.client(kernel_of(sandbox))) as client:
        inside = int(client.run("print(open('/proc/self/stat').read().split()[0])").stdout)
        assert inside
        (keeper,) = sandbox_keepers(gateway)
        os.kill(keeper, signal.SIGKILL)
        client.take(lambda m: m.state == "restarting")
    processes.until(lambda: show(gateway, sandbox)["state"] == "running", "running again")
    with closing(gateway.client(kernel_of(sandbox))) as client:
        assert client.run("print(1 + 1)").stdout == "2\n"
    for pid in keeper_pids(gateway):
        processes.own(pid)


def test_folders_may_be_named_from_where_one_is() -> None:
    gateway = Gateway(options=["--state-dir", "state", "--runtime-dir", "run"])
    gateway.prefix = ["env", "-C", str(gateway.home)]
    with gateway:
        made = create(gateway)
        with closing(gateway.client(kernel_of(made))) as client:
            assert client.run("print(6 * 7)").stdout == "42\n"
        remove(gateway, made)
    assert not processes.wait_gone(keeper_pids(gateway))
    shutil.rmtree(gateway.home)
