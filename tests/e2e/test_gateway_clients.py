"""The gateway as its clients use it: Jupyter's own, agents', and people with curl."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import subprocess
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import websocket
from jupyter_server.gateway.gateway_client import GatewayClient
from jupyter_server.gateway.managers import (
    GatewayKernelSpecManager,
    GatewayMappingKernelManager,
)
from support import processes
from support.client import SilenceError
from support.gateway import Gateway
from support.socket_client import ClosedError, SocketClient

LAST_ACTIVITY = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")


@pytest.fixture
def kernel(gateway: Gateway) -> Iterator[str]:
    kernel = gateway.start_kernel()
    yield kernel
    gateway.request("DELETE", f"/api/kernels/{kernel}")


# ---- the models -------------------------------------------------------------------------------


def test_kernel_model(gateway: Gateway, kernel: str, kernelspec: str) -> None:
    model = gateway.kernel_model(kernel)
    assert model["id"] == kernel
    assert model["name"] == kernelspec
    assert LAST_ACTIVITY.fullmatch(model["last_activity"])
    assert model["execution_state"] in ("starting", "idle")
    assert model["connections"] == 0
    client = gateway.client(kernel)
    assert gateway.kernel_model(kernel)["connections"] == 1
    client.close()
    processes.until(lambda: gateway.kernel_model(kernel)["connections"] == 0, "closed")
    assert kernel in {model["id"] for model in gateway.get("/api/kernels").json()}


def test_execution_state(gateway: Gateway, kernel: str) -> None:
    client = gateway.client(kernel)
    msg_id = client.execute("input()", allow_stdin=True)
    prompt = client.take(lambda m: m.msg_type == "input_request")
    assert gateway.kernel_model(kernel)["execution_state"] == "busy"
    client.send("input_reply", {"value": ""}, channel="stdin", parent=prompt.header)
    client.collect(msg_id)
    assert gateway.kernel_model(kernel)["execution_state"] == "idle"
    client.close()


def test_kernelspecs(gateway: Gateway, kernelspec: str) -> None:
    specs = gateway.get("/api/kernelspecs").json()
    assert {kernelspec, "python3"} <= set(specs["kernelspecs"])
    for name, entry in specs["kernelspecs"].items():
        assert entry["name"] == name
        assert gateway.get(f"/api/kernelspecs/{name}").json() == entry
        for url in entry["resources"].values():
            logo = gateway.get(url)
            assert (logo.status, bool(logo.body)) == (200, True)
    assert specs["kernelspecs"][kernelspec]["spec"]["language"] == "python"


def test_interrupt_and_restart(gateway: Gateway, kernel: str) -> None:
    client = gateway.client(kernel)
    client.run("x = 1")
    msg_id = client.execute("print('ready')\nwhile True: pass")
    client.await_output(msg_id, "ready")
    assert gateway.request("POST", f"/api/kernels/{kernel}/interrupt").status == 204
    assert client.collect(msg_id).content["ename"] == "KeyboardInterrupt"
    answer = gateway.request("POST", f"/api/kernels/{kernel}/restart")
    assert (answer.status, answer.json()["id"]) == (200, kernel)
    client.wait_ready()
    assert client.run("x").content["ename"] == "NameError"
    client.close()


ERRORS: list[tuple[str, str, Any, int]] = [
    ("GET", "/api/kernels/00000000-0000-0000-0000-000000000000", None, 404),
    ("DELETE", "/api/kernels/00000000-0000-0000-0000-000000000000", None, 404),
    ("POST", "/api/kernels/00000000-0000-0000-0000-000000000000/interrupt", None, 404),
    ("POST", "/api/kernels/00000000-0000-0000-0000-000000000000/restart", None, 404),
    ("GET", "/api/kernelspecs/no-such-spec", None, 404),
    ("GET", "/api/sessions/00000000-0000-0000-0000-000000000000", None, 404),
    ("POST", "/api/sessions", {"kernel": {"name": "python3"}}, 400),
    ("POST", "/api/kernels", b"{not json", 400),
    ("GET", "/api/nothing-here", None, 404),
    ("DELETE", "/api/kernelspecs", None, 405),
]


@pytest.mark.parametrize(("method", "path", "body", "status"), ERRORS)
def test_errors(gateway: Gateway, method: str, path: str, body: Any, status: int) -> None:
    answer = gateway.request(method, path, body)
    assert answer.status == status, answer.body
    if not (status == 405 or "nothing-here" in path):
        assert answer.json()["message"]


@pytest.mark.parametrize("form", ["token {}", "Token {}", "Bearer {}", "bearer {}"])
def test_token_in_a_header(gateway: Gateway, form: str) -> None:
    head = {"Authorization": form.format(gateway.token)}
    assert gateway.get("/api/kernels", headers=head, auth=False).status == 200


def test_token_in_the_query(gateway: Gateway) -> None:
    assert gateway.get(f"/api/kernels?token={gateway.token}", auth=False).status == 200


def test_no_token(gateway: Gateway) -> None:
    for head in ({}, {"Authorization": "token wrong"}, {"Authorization": gateway.token}):
        assert gateway.get("/api/kernels", headers=head, auth=False).status in (401, 403)
    assert gateway.get("/api", auth=False).status == 200


# ---- sessions ---------------------------------------------------------------------------------


def test_sessions(gateway: Gateway, kernelspec: str) -> None:
    body = {"path": "a/b.ipynb", "type": "notebook", "name": "b", "kernel": {"name": kernelspec}}
    made = gateway.request("POST", "/api/sessions", body)
    assert made.status == 201
    model = made.json()
    assert made.headers["location"].endswith(f"/api/sessions/{model['id']}")
    assert (model["path"], model["type"], model["kernel"]["name"]) == (
        "a/b.ipynb", "notebook", kernelspec)  # fmt: skip
    where = f"/api/sessions/{model['id']}"
    assert gateway.get(where).json()["kernel"]["id"] == model["kernel"]["id"]
    assert model["id"] in {s["id"] for s in gateway.get("/api/sessions").json()}
    again = gateway.request("POST", "/api/sessions", body)
    assert again.json()["id"] == model["id"], "one session a path"
    renamed = gateway.request("PATCH", where, {"path": "a/c.ipynb", "name": "c"})
    assert (renamed.status, renamed.json()["path"]) == (200, "a/c.ipynb")
    other = gateway.start_kernel()
    changed = gateway.request("PATCH", where, {"kernel": {"id": other}})
    assert changed.json()["kernel"]["id"] == other
    assert gateway.get(f"/api/kernels/{model['kernel']['id']}").status == 404
    assert gateway.request("DELETE", where).status == 204
    assert gateway.get(f"/api/kernels/{other}").status == 404
    assert gateway.request("DELETE", where).status in (404, 410)


# ---- jupyter_server's client of a gateway -----------------------------------------------------


@pytest.fixture
def jupyter_client_of(gateway: Gateway) -> Iterator[Gateway]:
    GatewayClient.clear_instance()
    client = GatewayClient.instance()
    client.url = gateway.url
    client.auth_token = gateway.token
    client.init_connection_args()
    yield gateway
    GatewayClient.clear_instance()


def test_spec_by_jupyter_server(jupyter_client_of: Gateway, kernelspec: str) -> None:
    spec: Any = asyncio.run(GatewayKernelSpecManager().get_kernel_spec(kernelspec))
    assert spec["spec"]["language"] == "python"


def test_kernels_by_jupyter_server(jupyter_client_of: Gateway, kernelspec: str) -> None:
    async def life() -> None:
        manager: Any = GatewayMappingKernelManager()
        kernel_id = await manager.start_kernel(kernel_name=kernelspec)
        assert kernel_id in {m["id"] for m in await manager.list_kernels()}
        model = await manager.kernel_model(kernel_id)
        assert {"execution_state", "connections", "last_activity"} <= set(model)
        await manager.interrupt_kernel(kernel_id)
        await manager.restart_kernel(kernel_id)
        assert await manager.get_kernel(kernel_id).is_alive()
        await manager.shutdown_kernel(kernel_id)
        assert jupyter_client_of.get(f"/api/kernels/{kernel_id}").status == 404

    asyncio.run(life())


# ---- agents -----------------------------------------------------------------------------------


def test_an_agent_with_as_little_as_possible(gateway: Gateway, kernel: str) -> None:
    """No subprotocol, no channel, no date, no session in the query, metadata left out."""
    ws = websocket.create_connection(
        f"ws://{gateway.authority}/api/kernels/{kernel}/channels?token={gateway.token}",
        suppress_origin=True,
        timeout=30,
    )
    msg_id = uuid.uuid4().hex
    header = {"msg_id": msg_id, "username": "agent", "session": uuid.uuid4().hex,
              "msg_type": "execute_request", "version": "5.0"}  # fmt: skip
    content = {"code": "print('for the agent')", "silent": False, "allow_stdin": False}
    ws.send(json.dumps({"header": header, "parent_header": {}, "metadata": {}, "content": content}))
    text, done = "", set[str]()
    while done != {"idle", "reply"}:
        message = json.loads(ws.recv())
        if message["parent_header"].get("msg_id") != msg_id:
            continue
        if message["msg_type"] == "stream":
            text += message["content"]["text"]
        if message["msg_type"] == "execute_reply":
            done.add("reply")
        if message["content"].get("execution_state") == "idle":
            done.add("idle")
    ws.close()
    assert text == "for the agent\n"


@pytest.mark.parametrize("framing", ["v1", "json"])
def test_everything_in_both_framings(gateway: Gateway, kernel: str, framing: str) -> None:
    client = gateway.client(kernel, framing=framing)
    run = client.run("print('é🎉'); input('?')", answers=["x"])
    assert (run.stdout, run.result["text/plain"]) == ("é🎉\n", "'x'")
    run = client.run(
        "from comm import create_comm\nc = create_comm(target_name='t', buffers=[b'ab'])\n"
        "c.on_msg(lambda m: c.send({}, buffers=[bytes(b) * 2 for b in m['buffers']]))"
    )
    (opened,) = run.of("comm_open")
    assert opened.buffers == [b"ab"]
    msg_id = client.send("comm_msg", {"comm_id": opened.content["comm_id"], "data": {}},
                         buffers=[b"12", b"", bytes(range(256))])  # fmt: skip
    (echo,) = client.collect(msg_id, reply=False).of("comm_msg")
    assert echo.buffers == [b"1212", b"", bytes(range(256)) * 2]
    assert client.ask("kernel_info_request", channel="control").content["status"] == "ok"
    client.close()


def test_two_clients_in_different_framings(gateway: Gateway, kernel: str) -> None:
    one = gateway.client(kernel, framing="v1")
    two = gateway.client(kernel, framing="json")
    run = one.run("print('for both'); 0.1")
    seen = two.collect(run.msg_id, reply=False)
    assert [(m.header, m.content) for m in seen.iopub] == [(m.header, m.content) for m in run.iopub]
    one.close()
    two.close()


def test_a_deleted_kernel_closes_for_good(gateway: Gateway) -> None:
    """1000 is final for JupyterLab; a kernel that is gone does not come back."""
    kernel = gateway.start_kernel()
    client = gateway.client(kernel)
    gateway.delete_kernel(kernel)
    with pytest.raises(ClosedError) as closed:
        while True:
            client.receive(30, "close")
    assert closed.value.code == 1000


def test_no_socket_for_no_kernel(gateway: Gateway) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        gateway.client("00000000-0000-0000-0000-000000000000", ready=False)
    assert refused.value.status_code == 404


def test_no_socket_without_a_token(gateway: Gateway, kernel: str) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        SocketClient(gateway.channels_url(kernel, "s"))
    assert refused.value.status_code in (401, 403)


def test_a_foreign_origin_is_refused(gateway: Gateway, kernel: str) -> None:
    answer = gateway.get("/api/kernels", headers={"Origin": "http://evil.example"}, auth=False)
    assert answer.status in (401, 403, 404)
    with pytest.raises(websocket.WebSocketBadStatusException):
        websocket.create_connection(
            gateway.channels_url(kernel, "s"), origin="http://evil.example", timeout=10
        )


# ---- kinds of kernels and gateways ------------------------------------------------------------


def test_ipykernel_through_the_gateway(gateway: Gateway) -> None:
    kernel = gateway.start_kernel("python3")
    for framing in ("v1", "json"):
        client = gateway.client(kernel, framing=framing)
        run = client.run("print('by ipykernel'); input()", answers=["y"])
        assert (run.stdout, run.result["text/plain"]) == ("by ipykernel\n", "'y'")
        msg_id = client.execute("print('ready')\nimport time; time.sleep(100)")
        client.await_output(msg_id, "ready")
        assert gateway.request("POST", f"/api/kernels/{kernel}/interrupt").status == 204
        assert client.collect(msg_id).status == "error"
        client.close()
    gateway.delete_kernel(kernel)


def test_environment(gateway: Gateway) -> None:
    kernel = gateway.start_kernel(env={"KERNEL_USERNAME": "ada", "NOT_ALLOWED": "x"})
    plain = gateway.start_kernel()
    code = "import os; print(os.environ.get('KERNEL_USERNAME'), os.environ.get('NOT_ALLOWED'))"
    one, two = gateway.client(kernel), gateway.client(plain)
    assert one.run(code).stdout == "ada None\n"
    assert two.run(code).stdout == "None None\n", "one kernel's environment is not another's"
    assert one.run("print(os.environ.get('KERNEL_GATEWAY'), 'KG_AUTH_TOKEN' in os.environ)"
                   ).stdout == "1 False\n"  # fmt: skip
    one.close()
    two.close()
    gateway.delete_kernel(kernel)
    gateway.delete_kernel(plain)


@pytest.mark.parametrize("framing", ["v1", "json"])
def test_unix_socket(unix_gateway: Gateway, framing: str) -> None:
    kernel = unix_gateway.start_kernel()
    client = unix_gateway.client(kernel, framing=framing)
    assert client.run("print('over a path')").stdout == "over a path\n"
    client.close()
    unix_gateway.delete_kernel(kernel)


def test_tls(kernelspec: str, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
         "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )  # fmt: skip
    options = ["--certfile", str(certificate), "--keyfile", str(key)]
    with Gateway(options=options, cafile=str(certificate)) as gateway:
        kernel = gateway.start_kernel()
        client = gateway.client(kernel)
        assert client.run("print('x' * 1_000_000)").stdout == "x" * 1_000_000 + "\n"
        client.close()


def test_prespawned_kernels_are_handed_out(kernelspec: str) -> None:
    with Gateway(options=["--prespawn-count", "1", "--default-kernel-name", kernelspec]) as gateway:
        processes.until(lambda: bool(hosts_below(gateway)), "a kernel is made ahead")
        (ready,) = hosts_below(gateway)
        kernel = gateway.start_kernel(kernelspec, env={"KERNEL_PROBE": "given later"})
        client = gateway.client(kernel)
        run = client.run("import os; print(os.environ['KERNEL_PROBE'])")
        assert run.stdout == "given later\n"
        interpreter = int(client.run("print(os.getpid())").stdout)
        assert processes.is_below(interpreter, ready), "it is the one that was ready"
        processes.until(lambda: len(hosts_below(gateway)) == 2, "another is made ready")
        client.close()


def hosts_below(gateway: Gateway) -> list[int]:
    return processes.named_below(gateway.pid, "warmcell-kernel")


def test_max_kernels_holds_for_all_at_once(kernelspec: str) -> None:
    with Gateway(options=["--max-kernels", "2"]) as gateway, ThreadPoolExecutor(6) as pool:
        answers = pool.map(
            lambda _: gateway.request("POST", "/api/kernels", {"name": kernelspec}), range(6)
        )
        assert sorted(a.status for a in answers) == [201, 201, 403, 403, 403, 403]


def test_a_graceful_end_says_1012(kernelspec: str) -> None:
    with Gateway(lease_s=1) as gateway:
        client = gateway.client(gateway.start_kernel())
        family = [p.pid for p in psutil.Process(gateway.pid).children(recursive=True)]
        assert gateway.process is not None
        gateway.process.terminate()
        with pytest.raises(ClosedError) as closed:
            while True:
                client.receive(30, "close")
        assert closed.value.code == 1012
        assert gateway.process.wait(30) == 0
        assert processes.wait_gone(family) == [], "the kernel ends with its lease"


def test_culling(kernelspec: str) -> None:
    with Gateway(options=["--cull-idle-timeout", "1", "--cull-interval", "1"]) as gateway:
        kernel = gateway.start_kernel()
        processes.until(lambda: gateway.get(f"/api/kernels/{kernel}").status == 404, "culled")


def test_a_dead_kernel_says_why(gateway: Gateway, kernel: str) -> None:
    client = gateway.client(kernel)
    run = client.run("print('last'); import os; os.abort()")
    assert run.stdout == "last\n"
    assert "SIGABRT" in run.content["evalue"]
    assert client.run("6 * 7").result["text/plain"] == "42"
    client.close()


def test_a_returning_session_gets_what_it_missed(gateway: Gateway, kernel: str) -> None:
    session = uuid.uuid4().hex
    client = gateway.client(kernel, session)
    msg_id = client.execute(
        "import os, tempfile\np = tempfile.mktemp(); os.mkfifo(p); print(p)\n"
        "open(p).read()\nfor i in range(1000): print(i)"
    )
    path = client.line(msg_id)
    client.abandon()
    processes.until(lambda: gateway.kernel_model(kernel)["connections"] == 0, "gone")
    Path(path).write_text("go")
    other = gateway.client(kernel)
    processes.until(
        lambda: gateway.kernel_model(kernel)["execution_state"] == "idle", "the cell has ended"
    )
    other.close()
    back = gateway.client(kernel, session, ready=False)
    run = back.collect(msg_id)
    assert run.stdout == "".join(f"{i}\n" for i in range(1000))
    with pytest.raises(SilenceError):
        back.drain()
        back.receive(0, "anything twice")
    back.close()
    Path(path).unlink()


# ---- artifacts --------------------------------------------------------------------------------

SHOW_ALL = """
import matplotlib.pyplot as plt
from IPython.display import HTML, SVG, display
plt.plot([1, 4, 2]); plt.show()
plt.bar([1, 2], [3, 4]); plt.show()
display(SVG('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'))
display(HTML('<b>kept é</b>'))
display({'application/pdf': 'JVBERi0xLjQK'}, raw=True)
display(HTML('<b>kept é</b>'))
"""
BINARY = ("image/png", "image/jpeg", "application/pdf")


def test_artifacts(gateway: Gateway, kernel: str) -> None:
    client = gateway.client(kernel)
    run = client.run(SHOW_ALL)
    shown: dict[str, str] = {}
    for message in run.of("display_data"):
        for mime, value in message.content["data"].items():
            if mime in (*BINARY, "image/svg+xml", "text/html"):
                data = base64.b64decode(value) if mime in BINARY else value.encode()
                shown[hashlib.sha256(data).hexdigest()] = mime
    assert len(shown) == 5

    def kept() -> list[dict[str, Any]]:
        listed = gateway.get("/v1/artifacts").json()
        rows: list[dict[str, Any]] = listed["artifacts"] if isinstance(listed, dict) else listed
        return [row for row in rows if row["sha256"] in shown]

    processes.until(lambda: len({row["sha256"] for row in kept()}) == 5, "all are kept")
    for row in kept():
        mime = row.get("mime") or row.get("mime_type") or row.get("media_type")
        assert mime == shown[row["sha256"]]
        answer = gateway.get(f"/v1/artifacts/{row['sha256']}")
        assert answer.status == 200
        if answer.headers["content-type"].startswith("application/json"):
            answer = gateway.get(f"/v1/artifacts/{row['sha256']}/content")
        assert hashlib.sha256(answer.body).hexdigest() == row["sha256"]
        assert answer.headers["content-type"].split(";")[0] == mime
    client.close()


def test_errors_of_the_native_api(gateway: Gateway) -> None:
    answer = gateway.get(f"/v1/artifacts/{'0' * 64}")
    assert answer.status == 404
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert {"type", "title", "status", "detail"} <= set(answer.json())
    assert gateway.get("/v1/artifacts", auth=False).status == 401
