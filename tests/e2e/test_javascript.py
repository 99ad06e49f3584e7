"""A kernel of JavaScript as people come by it: installed by a command, picked at a gateway."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support import processes
from support.gateway import Gateway
from support.programs import Programs

NAME = "warmcell-javascript"


def install(programs: Programs, *options: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [programs.gateway, "kernelspec", "install", "--language", "javascript", *options],
        check=False, capture_output=True, text=True,
    )  # fmt: skip


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_what_is_installed(programs: Programs, tmp_path: Path) -> None:
    answer = install(programs, "--prefix", tmp_path, "--name", "js", "--display-name", "Mine")
    assert answer.returncode == 0, answer.stderr
    folder = tmp_path / "share/jupyter/kernels/js"
    spec = json.loads((folder / "kernel.json").read_text())
    assert (spec["display_name"], spec["language"]) == ("Mine", "javascript")
    assert spec["argv"][1:5] == ["-f", "{connection_file}", "--driver", "--"]
    assert all(Path(word).is_file() for word in (spec["argv"][0], *spec["argv"][5:]))
    assert (folder / "logo-svg.svg").is_file()
    subprocess.run(
        [programs.gateway, "kernelspec", "remove", "js", "--prefix", tmp_path], check=True
    )
    assert not folder.exists()


def test_what_cannot_be_installed(programs: Programs, tmp_path: Path) -> None:
    old = script(tmp_path / "old", "echo v16.20.0")
    other = script(tmp_path / "other", "echo GNU bash")
    for node, words in (
        ("no-such-node", "--program: there is no no-such-node on PATH; install nodejs"),
        (old, f"--program: {old} is Node 16.20.0; 18 or newer is needed"),
        (other, f"--program: {other} does not run as Node"),
        (tmp_path, f"--program: cannot run {tmp_path}"),
    ):
        answer = install(programs, "--prefix", tmp_path, "--program", node)
        assert answer.returncode == 1
        assert words in answer.stderr
    answer = install(programs, "--prefix", tmp_path, "--language", "cobol")
    assert "--language: must be python, javascript" in answer.stderr
    assert not (tmp_path / "share").exists()


@pytest.fixture
def javascript(home: Path, programs: Programs) -> Iterator[str]:
    answer = install(programs, "--prefix", home / "prefix")
    assert answer.returncode == 0, answer.stderr
    yield NAME
    subprocess.run(
        [programs.gateway, "kernelspec", "remove", NAME, "--prefix", home / "prefix"], check=True
    )


def drawn(gateway: Gateway, kernel: str) -> list[str]:
    listed = gateway.get(f"/v1/artifacts?kernel={kernel}").json()["artifacts"]
    return [artifact["mime_type"] for artifact in listed]


def test_through_the_gateway(javascript: str, gateway: Gateway) -> None:
    kernel = gateway.start_kernel(name=javascript)
    with closing(gateway.client(kernel)) as client:
        run = client.run("const x = await 20; console.log('seen'); display.svg('<svg/>'); x * 2.1")
        assert (run.stdout, run.result["text/plain"]) == ("seen\n", "42")
        client.run("globalThis.kept = 1")
        processes.until(lambda: drawn(gateway, kernel) == ["image/svg+xml"], "the artifact")
    assert gateway.request("POST", f"/api/kernels/{kernel}/restart").status == 200
    with closing(gateway.client(kernel)) as client:
        assert client.run("typeof kept").result["text/plain"] == "'undefined'"
    assert gateway.request("DELETE", f"/api/kernels/{kernel}").status == 204
