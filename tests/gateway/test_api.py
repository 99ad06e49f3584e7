"""Jupyter's REST API: models, statuses, environments, limits, sessions."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from support import processes
from support.fake_kernel import DRIVER, NAME, driver_of, fake_gateway, write_spec
from support.gateway import Gateway
from support.programs import programs

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    env = {"KG_AUTH_TOKEN": "secret", "SEEN_BY_ALL": "yes", "LET_THROUGH": "yes"}
    gateway = fake_gateway("--env-process-whitelist", "LET_THROUGH", "--env-whitelist", "LISTED",
                           env=env)  # fmt: skip
    with gateway:
        yield gateway
    shutil.rmtree(gateway.home, ignore_errors=True)


@pytest.fixture
def kernel(gateway: Gateway) -> Iterator[str]:
    kernel = gateway.start_kernel(NAME)
    yield kernel
    if gateway.get(f"/api/kernels/{kernel}").status == 200:
        gateway.delete_kernel(kernel)


def test_kernel_model(gateway: Gateway, kernel: str) -> None:
    model = gateway.kernel_model(kernel)
    assert set(model) == {
        "id",
        "name",
        "last_activity",
        "execution_state",
        "connections",
        "profile",
    }
    assert (model["id"], model["name"], model["connections"]) == (kernel, NAME, 0)
    assert model["profile"] == "owner"
    assert TIME.fullmatch(model["last_activity"])
    assert model["execution_state"] in ("starting", "idle")
    assert gateway.get("/api/kernels").json()[0]["id"] == kernel


@pytest.mark.parametrize("body", [b"", b" \n", b"{}", b'{"name": null}'])
def test_a_body_may_be_empty(gateway: Gateway, body: bytes) -> None:
    answer = gateway.request("POST", "/api/kernels", body)
    assert answer.status == 201
    kernel = answer.json()["id"]
    assert answer.headers["location"] == f"/api/kernels/{kernel}"
    assert answer.json()["name"] == NAME
    gateway.delete_kernel(kernel)


ERRORS: list[tuple[str, str, Any, int, str]] = [
    ("POST", "/api/kernels", {"env": []}, 400, "env: must be an object of strings"),
    ("POST", "/api/kernels", {"env": {"A": 1}}, 400, "env: A: must be a string"),
    ("POST", "/api/kernels", {"name": 1}, 400, "name: must be a string"),
    ("POST", "/api/kernels", {"kernel_id": "x"}, 400, "kernel_id"),
    ("POST", "/api/kernels", {"name": "no-such"}, 404, "no-such"),
    ("POST", "/api/kernels", [], 400, "body"),
    ("GET", f"/api/kernels/{NOBODY}", None, 404, f"Kernel does not exist: {NOBODY}"),
    ("DELETE", f"/api/kernels/{NOBODY}", None, 404, "does not exist"),
    ("POST", f"/api/kernels/{NOBODY}/interrupt", None, 404, "does not exist"),
    ("POST", f"/api/kernels/{NOBODY}/restart", None, 404, "does not exist"),
    ("GET", "/api/kernelspecs/no-such", None, 404, "no-such"),
    ("GET", f"/kernelspecs/{NAME}/no-such.png", None, 404, "no-such.png"),
    ("GET", f"/kernelspecs/{NAME}/..%2f..%2fport", None, 400, "path"),
    ("GET", f"/api/sessions/{NOBODY}", None, 404, "Session not found"),
    ("PATCH", f"/api/sessions/{NOBODY}", {}, 404, "Session not found"),
    ("DELETE", f"/api/sessions/{NOBODY}", None, 404, "Session not found"),
    ("POST", "/api/sessions", {"type": "notebook"}, 400, "path"),
    ("POST", "/api/sessions", {"path": "a"}, 400, "type"),
    ("GET", "/api/resolvePath", None, 400, "path"),
    ("GET", "/api/nothing", None, 404, ""),
]


@pytest.mark.parametrize("row", ERRORS, ids=lambda row: f"{row[0]} {row[1]}")
def test_errors(gateway: Gateway, row: tuple[str, str, Any, int, str]) -> None:
    method, path, body, status, text = row
    answer = gateway.request(method, path, body)
    assert answer.status == status
    assert text in answer.json()["message"]
    assert "reason" in answer.json()


def test_a_client_chooses_the_id(gateway: Gateway) -> None:
    chosen = str(uuid.uuid4())
    assert gateway.start_kernel(NAME, kernel_id=chosen) == chosen
    again = gateway.request("POST", "/api/kernels", {"kernel_id": chosen})
    assert again.status == 409
    gateway.delete_kernel(chosen)


def test_kernelspecs(gateway: Gateway) -> None:
    specs = gateway.get("/api/kernelspecs").json()
    assert specs["default"] == NAME
    model = specs["kernelspecs"][NAME]
    assert model == gateway.get(f"/api/kernelspecs/{NAME}").json()
    assert set(model) == {"name", "spec", "resources"}
    assert model["resources"] == {"logo-64x64": f"/kernelspecs/{NAME}/logo-64x64.png"}
    logo = gateway.get(model["resources"]["logo-64x64"])
    assert logo.headers["content-type"] == "image/png"
    assert "max-age=2592000" in logo.headers["cache-control"]
    assert logo.body.startswith(b"\x89PNG")
    write_spec(gateway.home / "specs", "later", display_name="Seen at once")
    later = gateway.get("/api/kernelspecs/later").json()
    assert later["spec"]["display_name"] == "Seen at once"


def test_status_and_descriptions(gateway: Gateway, kernel: str) -> None:
    status = gateway.get("/api/status").json()
    assert set(status) == {"started", "last_activity", "connections", "kernels"}
    assert status["kernels"] == 1
    assert gateway.get("/api", auth=False).status == 200
    swagger = gateway.get("/api/swagger.json", auth=False).json()
    assert swagger["info"]["title"] == "Jupyter Kernel Gateway API"
    assert set(swagger["paths"]["/api/kernels/{id}"]) == {"get", "delete"}
    assert gateway.get("/api/swagger.yaml").status == 200
    assert gateway.get("/readyz", auth=False).status == 200


def test_resolve_path(gateway: Gateway, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("")
    kernel = gateway.start_kernel(NAME, path=str(tmp_path / "a.ipynb"))
    found = gateway.get(f"/api/resolvePath?path=data.csv&kernel={kernel}").json()
    assert found == {"resolved": [{"scope": "kernel", "path": str(tmp_path / "data.csv")}]}
    missing = gateway.get(f"/api/resolvePath?path=none.csv&kernel={kernel}").json()
    assert missing == {"resolved": []}
    nobody = gateway.get(f"/api/resolvePath?path=data.csv&kernel={NOBODY}").json()
    assert nobody["unresolved"][0]["scope"] == "kernel"
    gateway.delete_kernel(kernel)


# ---- environments -----------------------------------------------------------------------------


def environment_of(gateway: Gateway, kernel: str) -> dict[str, str]:
    client = gateway.client(kernel, ready=False)
    environment = driver_of(client).environ()
    client.close()
    return environment


def test_environment_rules(gateway: Gateway) -> None:
    plain = gateway.start_kernel(NAME)
    named = gateway.start_kernel(NAME, env={"KERNEL_A": "1", "LISTED": "2", "OTHER": "3"})
    all_of_it, some = environment_of(gateway, plain), environment_of(gateway, named)
    assert all_of_it["SEEN_BY_ALL"] == "yes"
    assert "KG_AUTH_TOKEN" not in all_of_it
    assert gateway.token not in all_of_it.values()
    assert all_of_it["KERNEL_GATEWAY"] == some["KERNEL_GATEWAY"] == "1"
    assert (some["KERNEL_A"], some["LISTED"], some["LET_THROUGH"]) == ("1", "2", "yes")
    assert not {"OTHER", "SEEN_BY_ALL", "HOME"} & set(some)
    assert "PATH" in some
    for kernel in (plain, named):
        gateway.delete_kernel(kernel)


def test_environments_do_not_leak_into_each_other(gateway: Gateway) -> None:
    def start(n: int) -> str:
        env = {"env": {"KERNEL_MINE": str(n)}} if n % 2 else {}
        return gateway.start_kernel(NAME, **env)

    with ThreadPoolExecutor(25) as pool:
        kernels = list(pool.map(start, range(50)))
        found = list(pool.map(lambda kernel: environment_of(gateway, kernel), kernels))
        list(pool.map(gateway.delete_kernel, kernels))
    for n, environment in enumerate(found):
        assert environment.get("KERNEL_MINE") == (str(n) if n % 2 else None)


def test_working_directory(gateway: Gateway, tmp_path: Path) -> None:
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()
    rows: list[tuple[dict[str, Any], Path]] = [
        ({"path": str(notebooks / "a.ipynb")}, notebooks),
        ({"path": str(notebooks)}, notebooks),
        ({"path": str(notebooks / "no" / "such" / "a.ipynb")}, notebooks),
        ({"env": {"KERNEL_WORKING_DIR": str(tmp_path)}, "path": str(notebooks)}, tmp_path),
        ({"env": {"KERNEL_WORKING_DIR": "/no/such"}, "path": str(notebooks)}, notebooks),
    ]
    for body, expected in rows:
        kernel = gateway.start_kernel(NAME, **body)
        client = gateway.client(kernel, ready=False)
        assert driver_of(client).cwd() == str(expected), body
        client.close()
        gateway.delete_kernel(kernel)


# ---- limits and the pool ----------------------------------------------------------------------


def test_max_kernels_among_many_at_once() -> None:
    gateway = fake_gateway("--max-kernels", "3")
    with gateway, ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: gateway.request("POST", "/api/kernels"), range(20)))
        refused = [a for a in answers if a.status == 403]
        assert len(refused) == 17
        assert all("Resource Limit" in a.json()["message"] for a in refused)
        gateway.delete_kernel(next(a.json()["id"] for a in answers if a.status == 201))
        assert gateway.request("POST", "/api/kernels").status == 201
    shutil.rmtree(gateway.home)


def test_lists_can_be_turned_off() -> None:
    gateway = fake_gateway("--list-kernels=false")
    with gateway:
        kernel = gateway.start_kernel(NAME)
        assert gateway.get("/api/kernels").status == 403
        assert gateway.get("/api/sessions").status == 403
        assert gateway.get(f"/api/kernels/{kernel}").status == 200
        gateway.delete_kernel(kernel)
        assert gateway.process is not None
        gateway.process.terminate()
        assert gateway.process.wait(30) == 0
    shutil.rmtree(gateway.home)


def test_the_pool_is_seen_by_nobody_and_refilled() -> None:
    gateway = fake_gateway("--prespawn-count", "2", "--max-kernels", "1")

    def in_pool() -> int:
        text = gateway.get("/metrics").body.decode()
        return int(text.split('\nwarmcell_pool_ready{pool="owner"} ')[1].split()[0])

    def hosts() -> set[int]:
        return set(processes.named_below(gateway.pid, "warmcell-kernel"))

    with gateway:
        processes.until(lambda: in_pool() == 2, "the pool is full")
        ready = hosts()
        assert gateway.get("/api/kernels").json() == []
        kernel = gateway.start_kernel(NAME, env={"KERNEL_GIVEN": "yes"})
        client = gateway.client(kernel, ready=False)
        run = client.run("env KERNEL_GIVEN\npid")
        given, ids = run.stdout.splitlines()
        assert given == "KERNEL_GIVEN=yes"
        assert any(processes.is_below(int(ids.split()[0]), host) for host in ready)
        processes.until(lambda: in_pool() == 2, "the pool is full again")
        assert len(hosts()) >= 3
        assert [m["id"] for m in gateway.get("/api/kernels").json()] == [kernel]
        client.close()
        python = int(ids.split()[0])
        pool = [host for host in hosts() if not processes.is_below(python, host)]
        assert len(pool) >= 2
        for host in pool:  # such a host can do nothing for its end, and must not have to
            os.kill(host, signal.SIGSTOP)
    assert not processes.wait_gone(pool)
    shutil.rmtree(gateway.home)


# ---- sessions ---------------------------------------------------------------------------------


def test_sessions(gateway: Gateway) -> None:
    body = {"path": "a.ipynb", "type": "notebook", "name": "A", "kernel": {"name": NAME}}
    made = gateway.request("POST", "/api/sessions", body)
    assert made.status == 201
    session = made.json()
    assert made.headers["location"] == f"/api/sessions/{session['id']}"
    assert set(session) == {"id", "path", "name", "type", "kernel", "notebook"}
    first = session["kernel"]["id"]
    assert gateway.request("POST", "/api/sessions", body).json()["id"] == session["id"]
    assert gateway.get("/api/sessions").json() == [gateway.get(made.headers["location"]).json()]
    moved = gateway.request("PATCH", made.headers["location"], {"path": "b.ipynb"})
    assert (moved.status, moved.json()["path"]) == (200, "b.ipynb")
    other = gateway.request("PATCH", made.headers["location"], {"kernel": {"name": NAME}})
    second = other.json()["kernel"]["id"]
    assert second != first
    processes.until(lambda: gateway.get(f"/api/kernels/{first}").status == 404, "the old one goes")
    bad = gateway.request("PATCH", made.headers["location"], {"kernel": {"id": first}})
    assert bad.status == 400
    unknown = gateway.request("PATCH", made.headers["location"], {"kernel": {"name": "no-such"}})
    assert (unknown.status, set(unknown.json())) == (501, {"message", "short_message"})
    assert gateway.request("DELETE", made.headers["location"]).status == 204
    assert gateway.get(f"/api/kernels/{second}").status == 404


def test_a_kernel_that_another_session_has_stays(gateway: Gateway, kernel: str) -> None:
    body = {"type": "notebook", "kernel": {"id": kernel}}
    made, other = (
        gateway.request("POST", "/api/sessions", body | {"path": path}) for path in ("a", "b")
    )
    moved = gateway.request("PATCH", made.headers["location"], {"kernel": {"name": NAME}})
    assert moved.status == 200
    with closing(gateway.client(kernel)) as client:
        assert client.run("print there").stdout == "there\n"
    assert gateway.get(other.headers["location"]).json()["kernel"]["id"] == kernel
    gateway.delete_kernel(moved.json()["kernel"]["id"])


def test_a_session_of_an_unknown_kernel(gateway: Gateway) -> None:
    body = {"path": "a.ipynb", "type": "notebook", "kernel": {"name": "no-such"}}
    answer = gateway.request("POST", "/api/sessions", body)
    assert (answer.status, set(answer.json())) == (501, {"message", "short_message"})


def test_sessions_take_kernels_and_go_with_them(gateway: Gateway, kernel: str) -> None:
    body = {"notebook": {"path": "old.ipynb"}, "kernel": {"id": kernel}}
    session = gateway.request("POST", "/api/sessions", body).json()
    assert (session["kernel"]["id"], session["type"]) == (kernel, "notebook")
    gateway.delete_kernel(kernel)
    assert gateway.get("/api/sessions").json() == []


@pytest.mark.parametrize("field", ["path", "name", "type"])
def test_texts_of_sessions_are_short(gateway: Gateway, kernel: str, field: str) -> None:
    body: dict[str, Any] = {"path": "a", "name": "", "type": "file", "kernel": {"id": kernel}}
    answer = gateway.request("POST", "/api/sessions", body | {field: "x" * 4097})
    assert answer.status == 400
    assert answer.json()["message"] == f"{field}: must be at most 4096 bytes long"
    made = gateway.request("POST", "/api/sessions", body | {field: "x" * 4096})
    assert made.status == 201
    answer = gateway.request("PATCH", made.headers["location"], {field: "x" * 4097})
    assert answer.status == 400


def test_a_kernel_has_so_many_sessions(gateway: Gateway, kernel: str) -> None:
    body: dict[str, Any] = {"type": "notebook", "name": "", "kernel": {"id": kernel}}
    for number in range(64):
        answer = gateway.request("POST", "/api/sessions", body | {"path": f"{number}.ipynb"})
        assert answer.status == 201
    refused = gateway.request("POST", "/api/sessions", body | {"path": "more.ipynb"})
    assert refused.status == 403
    assert "64 sessions, the most allowed" in refused.json()["message"]
    assert gateway.request("POST", "/api/sessions", body | {"path": "0.ipynb"}).status == 201
    other = gateway.start_kernel(NAME)
    elsewhere = body | {"path": "more.ipynb", "kernel": {"id": other}}
    made = gateway.request("POST", "/api/sessions", elsewhere)
    moved = gateway.request("PATCH", made.headers["location"], {"kernel": {"id": kernel}})
    assert moved.status == 403
    assert gateway.get(f"/api/kernels/{other}").status == 200
    gateway.delete_kernel(other)


def test_sessions_survive_the_gateway() -> None:
    gateway = fake_gateway()
    with gateway:
        body = {"path": "a.ipynb", "type": "notebook", "kernel": {"name": NAME}}
        session = gateway.request("POST", "/api/sessions", body).json()
        second = gateway.request("POST", "/api/sessions", body | {"path": "b.ipynb"}).json()
        processes.until(lambda: gateway.get("/api/sessions").status == 200, "answers")
        gateway.request("DELETE", f"/api/sessions/{second['id']}")
        gateway.kill()
        gateway.start()
        (left,) = gateway.get("/api/sessions").json()
        assert (left["id"], left["kernel"]["id"]) == (session["id"], session["kernel"]["id"])
    shutil.rmtree(gateway.home)


# ---- folders ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shared", ["--state-dir", "--runtime-dir"])
def test_one_gateway_at_a_time_uses_a_folder(gateway: Gateway, shared: str) -> None:
    folders = {"--state-dir": gateway.state, "--runtime-dir": gateway.runtime}
    words = dict.fromkeys(folders, gateway.home / "other") | {shared: folders[shared]}
    command = [str(programs().gateway), "serve", "--port", "0"]
    command += [str(word) for pair in words.items() for word in pair]
    second = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert second.returncode == 1, second
    assert f"another gateway uses {folders[shared]}" in second.stderr


def test_files_of_the_state_are_for_their_owner_alone() -> None:
    gateway = fake_gateway()
    gateway.state.mkdir(mode=0o755)
    with gateway:
        modes = {}
        for file in filter(Path.is_file, gateway.state.iterdir()):
            with suppress(FileNotFoundError):  # it is removed just now
                modes[file.name] = file.stat().st_mode & 0o777
        assert "warmcell.db" in modes
        assert set(modes.values()) == {0o600}, modes
    shutil.rmtree(gateway.home)


# ---- death ------------------------------------------------------------------------------------


def test_a_kernel_that_cannot_start_says_why(gateway: Gateway) -> None:
    program = gateway.home / "broken"
    program.write_text("#!/bin/sh\necho no luck >&2\nexit 3\n")
    program.chmod(0o755)
    write_spec(gateway.home / "specs", "broken", argv=[str(program)],
               metadata={"warmcell": {"uplink": True}})  # fmt: skip
    kernel = gateway.start_kernel("broken")
    processes.until(
        lambda: gateway.kernel_model(kernel)["execution_state"] == "dead", "it is known dead"
    )
    model = gateway.kernel_model(kernel)
    assert "exit status 3" in model["reason"]
    assert "no luck" in model["reason"]
    client = gateway.client(kernel, ready=False)
    client.take(lambda m: m.state == "dead")
    run = client.run("pid")
    assert (run.status, run.content["ename"]) == ("error", "KernelDied")
    client.close()
    gateway.delete_kernel(kernel)


def test_a_program_that_is_not_there(gateway: Gateway) -> None:
    write_spec(gateway.home / "specs", "gone", argv=["/no/such/program"])
    answer = gateway.request("POST", "/api/kernels", {"name": "gone"})
    assert answer.status == 502
    assert "/no/such/program" in answer.json()["message"]
    assert all(m["name"] != "gone" for m in gateway.get("/api/kernels").json())


def test_culling_spares_the_connected() -> None:
    gateway = fake_gateway("--cull-idle-timeout", "1", "--cull-interval", "1")
    with gateway:
        write_spec(gateway.home / "specs", "kept",
                   metadata={"warmcell": {"uplink": True}, "cull_idle_timeout": 0})  # fmt: skip
        gate = gateway.home / "gate"  # one that is not there yet is not idle
        write_spec(gateway.home / "specs", "late",
                   argv=[str(programs().host), "-f", "{connection_file}", "--history", "none",
                         "--driver", "--", sys.executable, str(DRIVER), "--slow", str(gate)],
                   )  # fmt: skip
        connected, kept = gateway.start_kernel("late"), gateway.start_kernel("kept")
        client = gateway.client(connected, ready=False)
        asked = client.execute("print x")
        gate.touch()
        client.collect(asked)
        alone = gateway.start_kernel(NAME)
        processes.until(lambda: gateway.get(f"/api/kernels/{alone}").status == 404, "culled")
        assert {m["id"] for m in gateway.get("/api/kernels").json()} == {connected, kept}
        client.close()
    shutil.rmtree(gateway.home)


# ---- the seed ---------------------------------------------------------------------------------


def notebook(place: Path, *cells: str) -> str:
    rows = [{"cell_type": "code", "source": cell.splitlines(keepends=True)} for cell in cells]
    text = {"cells": [{"cell_type": "markdown", "source": "exit 1"}, *rows], "nbformat": 4}
    path = place / "seed.ipynb"
    path.write_text(json.dumps(text))
    return str(path)


def test_a_seed_runs_first(tmp_path: Path) -> None:
    gateway = fake_gateway("--seed-uri", notebook(tmp_path, "print one", "print two\nprint three"))
    with gateway:
        client = gateway.client(gateway.start_kernel(NAME), ready=False)
        assert client.run("count").stdout == "3\n", "two cells of the seed, and this one"
        client.close()
    shutil.rmtree(gateway.home)


def test_a_seed_that_fails_ends_its_kernel(tmp_path: Path) -> None:
    gateway = fake_gateway("--seed-uri", notebook(tmp_path, "fail on purpose"))
    with gateway:
        kernel = gateway.start_kernel(NAME)
        processes.until(
            lambda: gateway.kernel_model(kernel)["execution_state"] == "dead", "it is ended"
        )
        assert "on purpose" in gateway.kernel_model(kernel)["reason"]
    shutil.rmtree(gateway.home)


def test_a_seed_that_is_none(tmp_path: Path) -> None:
    gateway = fake_gateway("--seed-uri", str(tmp_path / "none.ipynb"))
    with pytest.raises(AssertionError, match="seed-uri"):
        gateway.start()
    shutil.rmtree(gateway.home)
