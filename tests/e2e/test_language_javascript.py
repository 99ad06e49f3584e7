"""Contexts of JavaScript in sandboxes with a real keeper: confined and bounded as Python ones are,
with everything that a run can be asked; also as an ordinary user."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from e2e.test_sandbox_life import MIB, create, remove, show
from gateway.test_template_pools import await_ready, number
from support import processes
from support.cli import Tool, refused
from support.files import end, make_gateway
from support.gateway import Gateway


@pytest.fixture(scope="module", params=["root", "user"])
def gateway(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    with make_gateway(request.param, "--pool-max", "0") as gateway:
        yield gateway
    end(gateway)


@pytest.fixture(scope="module")
def sandbox(gateway: Gateway) -> dict[str, Any]:
    """For all tests of a gateway: each leaves it usable."""
    return create(gateway, language="javascript", env={"MINE": "yes"},
                  limits={"memory_bytes": 256 * MIB, "output_bytes": MIB})  # fmt: skip


def run(gateway: Gateway, sandbox: dict[str, Any], code: str, **more: Any) -> dict[str, Any]:
    answer = gateway.request(
        "POST", f"/v1/sandboxes/{sandbox['id']}/executions", {"code": code, **more}
    )
    assert answer.status == 200, answer
    record: dict[str, Any] = answer.json()
    return record


def text(gateway: Gateway, sandbox: dict[str, Any], code: str, **more: Any) -> str:
    record = run(gateway, sandbox, code, **more)
    assert record["status"] == "ok", record
    return str(record["outputs"]["text"] or record["outputs"]["stdout"])


LOOK = """
const status = fs.readFileSync('/proc/self/status', 'utf8');
const field = (name) => status.match(new RegExp(`${name}:\\\\s*(\\\\S+)`))[1];
console.log(JSON.stringify({
  uid: process.getuid(), cwd: process.cwd(), home: process.env.HOME, mine: process.env.MINE,
  filter: field('Seccomp'), capabilities: field('CapEff'), privileges: field('NoNewPrivs'),
  pids: fs.readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name)).length < 10,
  interfaces: Object.keys(os.networkInterfaces()),
}));
"""
TRY = """
const tried = [];
const attempt = (name, f) => { try { f(); tried.push(name); } catch (e) { } };
attempt('usr', () => fs.writeFileSync('/usr/there', ''));
attempt('driver', () => fs.appendFileSync(process.argv[1], ''));
attempt('etc', () => fs.readFileSync('/etc/shadow'));
attempt('mount', () => child_process.execSync('mount -t tmpfs x /mnt 2>&1'));
attempt('unshare', () => child_process.execSync('unshare -U true 2>&1'));
console.log(JSON.stringify(tried));
"""


def test_it_is_confined(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    found = text(gateway, sandbox, LOOK)
    assert '"uid":1000,"cwd":"/workspace","home":"/home/user","mine":"yes"' in found
    assert '"filter":"2","capabilities":"0000000000000000","privileges":"1"' in found
    assert '"pids":true,"interfaces":["lo"]' in found
    assert text(gateway, sandbox, TRY) == "[]\n"
    model = show(gateway, sandbox)
    assert gateway.env or os.geteuid() or model["uid"] != "shared"
    assert model["usage"]["processes"] >= 2


def test_what_a_run_has(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    record = run(gateway, sandbox, "let kept = [1]; class Kept {}; display.svg('<svg/>'); kept")
    assert [one["type"] for one in record["outputs"]["displays"]] == ["display", "result"]
    assert text(gateway, sandbox, "kept.push(await 2); new Kept(); kept.length") == "2"
    assert text(gateway, sandbox, "new Function('return 6 * 7')()") == "42", "it compiles"
    code = "console.log(process.env.A, process.cwd())"
    assert text(gateway, sandbox, code, env={"A": "b"}, cwd="/tmp") == "b /tmp\n"
    assert text(gateway, sandbox, code) == "undefined /workspace\n"
    record = run(gateway, sandbox, "null.x")
    assert (record["status"], record["error"]["name"]) == ("error", "TypeError")
    assert record["cpu_ms"] >= 0 and record["state_retained"]
    shell = "child_process.execSync('cat /proc/self/status | grep Seccomp:').toString()"
    assert "2" in text(gateway, sandbox, shell)


def test_what_ends_a_run(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    """Of code that computes an interrupt may be too early or late for Node: then it is killed. Of
    code that waits it is not."""
    assert run(gateway, sandbox, "for (;;) {}", deadline_ms=500)["status"] == "timeout"
    record = run(gateway, sandbox, "for (;;) console.log('x'.repeat(9999))")
    assert record["status"] == "output_limit"
    run(gateway, sandbox, "globalThis.before = 1")
    path = f"/v1/sandboxes/{sandbox['id']}/executions"
    code = "setTimeout(() => console.log('on'), 1); await new Promise(() => {})"
    asked = gateway.request("POST", path, {"code": code, "detach": True}).json()
    place = f"{path}/{asked['id']}"
    output = f"{place}?outputs=1"
    processes.until(lambda: gateway.get(output).json()["outputs"]["stdout"] == "on\n", "it waits")
    assert gateway.request("POST", f"{place}/cancel").status == 202
    processes.until(lambda: gateway.get(place).json()["status"] == "interrupted", "the interrupt")
    assert text(gateway, sandbox, "before") == "1"


HUNGRY = "const held = []; for (;;) held.push(new Uint8Array(1 << 24).fill(1))"


def test_the_limit_of_memory_holds(gateway: Gateway) -> None:
    """What ends it depends on who holds the limit; the sandbox goes on. It may keep what it has,
    so that any run behind it is one too many: the sandbox is of this test alone."""
    sandbox = create(gateway, language="javascript", limits={"memory_bytes": 256 * MIB})
    record = run(gateway, sandbox, HUNGRY)
    assert record["status"] in {"oom", "killed", "error"}, record
    again = run(gateway, sandbox, "1 + 1")
    if record["status"] == "error" and again["status"] == "oom":
        again = run(gateway, sandbox, "1 + 1")  # it lived on with all that it held until then
    assert (again["status"], again["outputs"]["text"]) == ("ok", "2"), again
    remove(gateway, sandbox)


def test_input_and_the_files_that_it_leaves(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    path = f"/v1/sandboxes/{sandbox['id']}/executions"
    code = "fs.writeFileSync('made.txt', prompt('name? ')); 1"
    asked = gateway.request(
        "POST", path, {"code": code, "allow_input": True, "detach": True}
    ).json()
    place = f"{path}/{asked['id']}"
    processes.until(lambda: gateway.get(place).json().get("awaits_input"), "it asks")
    assert gateway.request("POST", f"{place}/input", {"value": "Ada"}).status == 204
    processes.until(lambda: gateway.get(place).json().get("settled"), "its files")
    found = gateway.get(f"{place}/artifacts").json()["artifacts"]
    assert [one["path"] for one in found if one.get("path")] == ["made.txt"]
    content = gateway.get(f"/v1/sandboxes/{sandbox['id']}/files/made.txt")
    assert content.body == b"Ada"


def test_jupyter_sees_a_kernel_of_javascript(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    kernel = sandbox["contexts"][0]["id"]
    model = gateway.kernel_model(kernel)
    assert model["name"] == "warmcell-javascript"
    with closing(gateway.client(kernel)) as client:
        assert client.run("40 + 2").result["text/plain"] == "42"
        info = client.ask("kernel_info_request").content
        assert info["language_info"]["name"] == "javascript"
        found = client.ask("complete_request", {"code": "consol", "cursor_pos": 6}).content
        assert "console" in found["matches"]
        client.run("function rareTwice(a) { return a * 2 }")
        found = client.ask("inspect_request", {"code": "rareTwice", "cursor_pos": 9}).content
        assert (found["status"], found["found"]) == ("ok", True)
        assert "function rareTwice(a)" in found["data"]["text/plain"]


def test_both_languages_in_one_sandbox(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    """They share the workspace; each is restarted, paused and ended by itself or with all."""
    path = f"/v1/sandboxes/{sandbox['id']}"
    python = gateway.request("POST", f"{path}/contexts", {"language": "python", "name": "p"})
    assert python.status == 201, python
    run(gateway, sandbox, "fs.writeFileSync('shared.txt', 'from js'); globalThis.x = 1")
    code = "y = open('shared.txt').read(); print(y)"
    assert text(gateway, sandbox, code, context="p") == "from js\n"
    assert gateway.request("POST", f"{path}/pause").status == 200
    answer = gateway.request("POST", f"{path}/resume").json()
    problem = "the variables of javascript are not kept: the context begins anew"
    assert [one["problem"] for one in answer["contexts"]] == [problem, None]
    assert text(gateway, sandbox, "print(y)", context="p") == "from js\n"
    seen = "[typeof x, fs.readFileSync('shared.txt', 'utf8')].join()"
    assert text(gateway, sandbox, seen) == "'undefined,from js'"
    kernel = sandbox["contexts"][0]["id"]
    run(gateway, sandbox, "globalThis.x = 2")
    assert gateway.request("POST", f"/api/kernels/{kernel}/restart").status == 200
    assert text(gateway, sandbox, "typeof x") == "'undefined'"
    made = python.json()["id"]
    assert gateway.request("DELETE", f"{path}/contexts/{made}").status == 204
    assert [one["id"] for one in show(gateway, sandbox)["contexts"]] == [kernel]


def test_argv_is_for_python(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    """The tool gives it only where the sandbox is of Python, or words are asked for."""
    path = f"/v1/sandboxes/{sandbox['id']}/executions"
    reply = gateway.request("POST", path, {"code": "1", "argv": ["x"]})
    assert reply.status == 409
    assert "argv: is for Python alone" in reply.json()["detail"]
    tool = Tool(gateway)
    code = b"console.log(1 + 1)"
    assert tool.ok("run", "-", "--sandbox", sandbox["id"], stdin=code) == "2\n"
    words = ("run", "-", "a", "--sandbox", sandbox["id"])
    refused(tool(*words, stdin=code), 1, "argv: is for Python alone")


def test_from_a_pool() -> None:
    """One that stood ready takes on its environment as it is handed out."""
    gateway = Gateway(options=["--pool-max", "1", "--preload", "json"], warm=True).start()
    body = {"name": "js", "language": "javascript", "pool": {"min": 1}}
    template = gateway.request("POST", "/v1/templates", body).json()["id"]
    await_ready(gateway, template, 1)
    made = create(gateway, template="js", env={"MINE": "now"})
    assert text(gateway, made, "process.env.MINE + process.cwd()") == "'now/workspace'"
    assert number(gateway, "hits_total", template) == 1
    kernel = gateway.start_kernel(name="warmcell-javascript")  # of the owner, not confined
    with closing(gateway.client(kernel)) as client:
        assert client.run("process.getuid()").result["text/plain"] == str(os.geteuid())
    gateway.delete_kernel(kernel)
    end(gateway)
