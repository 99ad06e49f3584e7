"""Contexts of the languages whose drivers are programs of ours, confined in a sandbox, and the same
languages as people install them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from e2e.test_sandbox_life import MIB, create, kernel_of, remove
from support import processes
from support.client import Client
from support.files import keeper_pids
from support.gateway import Gateway
from support.programs import Programs


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with Gateway(options=["--pool-max", "0"]) as gateway:
        yield gateway
    assert not processes.wait_gone(keeper_pids(gateway))
    shutil.rmtree(gateway.home, ignore_errors=True)


def drawn(gateway: Gateway, sandbox: dict[str, Any]) -> list[str]:
    listed = gateway.get(f"/v1/sandboxes/{sandbox['id']}/artifacts").json()["artifacts"]
    return [artifact["mime_type"] for artifact in listed if artifact["mime_type"] != "text/plain"]


def check_tools(client: Client, code: str, match: str, shown: str) -> None:
    """Completion of what a cell has made, and inspection of it."""
    ask = {"code": code, "cursor_pos": len(code)}
    found = client.ask("complete_request", ask).content
    assert match in found["matches"], found
    assert (found["status"], found["cursor_end"]) == ("ok", len(code))
    found = client.ask("inspect_request", {"code": match, "cursor_pos": len(match)}).content
    assert (found["status"], found["found"]) == ("ok", True)
    assert shown in found["data"]["text/plain"]


def test_bash_in_a_sandbox(gateway: Gateway) -> None:
    sandbox = create(gateway, language="bash", limits={"memory_bytes": 256 * MIB})
    with closing(gateway.client(kernel_of(sandbox))) as client:
        run = client.run("x=5; pwd; id -un; echo '<svg/>' | display; ls /root 2>/dev/null | wc -l")
        assert (run.status, run.stdout) == ("ok", "/workspace\nuser\n0\n")
        processes.until(lambda: drawn(gateway, sandbox) == ["image/svg+xml"], "the artifact")
        assert client.run("echo $x > kept; : 3<>/dev/tcp/127.0.0.1/80").status == "error"
        msg_id = client.execute("echo begun; while :; do :; done")
        client.await_output(msg_id, "begun")
        client.ask("interrupt_request", channel="control")
        assert client.collect(msg_id).content["ename"] == "Interrupted"
        assert client.run("cat kept").stdout == "5\n"
        assert client.run("my_rare_twice() { echo $1$1; }").status == "ok"
        check_tools(client, "my_rare_tw", "my_rare_twice", "echo $1$1")
    remove(gateway, sandbox)


def test_r_in_a_sandbox(gateway: Gateway) -> None:
    sandbox = create(gateway, language="r", limits={"memory_bytes": 512 * MIB})
    with closing(gateway.client(kernel_of(sandbox))) as client:
        run = client.run("x <- 5; cat(getwd(), '\\n'); x * 2")
        assert (run.status, run.stdout) == ("ok", "/workspace \n"), run.content
        assert run.result == {"text/plain": "[1] 10"}
        assert len(client.run("plot(1:10)").of("display_data")) == 1
        processes.until(lambda: drawn(gateway, sandbox) == ["image/png"], "the plot")
        assert len(client.run("hist(rnorm(100))").of("display_data")) == 1
        processes.until(lambda: drawn(gateway, sandbox) == ["image/png"] * 2, "one more")
        msg_id = client.execute("cat('begun'); repeat {}")
        client.await_output(msg_id, "begun")
        client.ask("interrupt_request", channel="control")
        assert client.collect(msg_id).content["ename"] == "Interrupted"
        assert client.run("x").result == {"text/plain": "[1] 5"}
        assert client.run("my_rare_twice <- function(a) a * 2").status == "ok"
        check_tools(client, "my_rare_tw", "my_rare_twice", "a * 2")
    remove(gateway, sandbox)


def test_the_bound_of_the_heap_is_that_of_the_environment(gateway: Gateway) -> None:
    """Of V8, as docs/javascript.md says."""
    env = {"NODE_OPTIONS": "--max-old-space-size=192"}
    sandbox = create(gateway, language="javascript", env=env)
    with closing(gateway.client(kernel_of(sandbox))) as client:
        run = client.run("require('v8').getHeapStatistics().heap_size_limit")
        assert 192 * MIB <= int(run.result["text/plain"]) < 384 * MIB
    remove(gateway, sandbox)


@pytest.mark.parametrize(("language", "program"), [("bash", "bash"), ("r", "r-base-core")])
def test_what_is_installed(programs: Programs, tmp_path: Path, language: str, program: str) -> None:
    def install(*options: str | Path) -> subprocess.CompletedProcess[str]:
        command: list[str | Path] = [
            programs.gateway,
            "kernelspec",
            "install",
            "--language",
            language,
        ]
        return subprocess.run(
            [*command, "--prefix", tmp_path, *options], check=False, capture_output=True, text=True
        )

    answer = install("--program", "no-such-program")
    assert answer.returncode == 1
    assert f"there is no no-such-program on PATH; install {program}" in answer.stderr
    answer = install("--program", "/bin/true")
    assert (answer.returncode, "does not run as" in answer.stderr) == (1, True)
    answer = install()
    assert answer.returncode == 0, answer.stderr
    folder = tmp_path / f"share/jupyter/kernels/warmcell-{language}"
    spec = json.loads((folder / "kernel.json").read_text())
    assert spec["language"] == language
    assert spec["argv"][1:5] == ["-f", "{connection_file}", "--driver", "--"]
    assert all(Path(word).is_file() for word in (spec["argv"][0], *spec["argv"][5:]))
    assert (folder / "logo-svg.svg").is_file()
