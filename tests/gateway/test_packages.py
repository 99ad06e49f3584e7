"""/v1/sandboxes/{id}/packages with a keeper that starts nothing: what is refused, and whose it is.
What is installed is in tests/e2e/test_sandbox_packages.py."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway.test_sandboxes import NOBODY, Place, create, end, remove, start
from gateway.test_tokens import mint
from support import processes
from support.gateway import Answer, Gateway
from support.programs import programs


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    wheels = tmp_path_factory.mktemp("wheels")
    gateway, keeper = start("--pool-max", "0", "--wheels", str(wheels))
    remove(gateway, create(gateway))
    for pid in keeper.pids():
        processes.own(pid)
    yield gateway, keeper
    end(gateway, keeper)


@pytest.fixture
def gateway(place: Place) -> Gateway:
    return place[0]


@pytest.fixture
def path(gateway: Gateway) -> Iterator[str]:
    made = create(gateway)
    yield f"/v1/sandboxes/{made['id']}/packages"
    remove(gateway, made)


def detail(answer: Answer) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["detail"])


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "packages: must be a list"),
        ({"packages": []}, "packages: must be a list"),
        ({"packages": ["a"] * 65}, "packages: must be a list of 1 to 64"),
        ({"packages": ["a", 1]}, "packages[1]: must be a string"),
        ({"packages": ["a", "--index-url=http://x"]}, 'packages[1]: "--index-url=http://x"'),
        ({"packages": ["https://host/a.whl"]}, 'packages[0]: "https://host/a.whl": holds a URL'),
        ({"packages": ["../a"]}, 'packages[0]: "../a": holds a path'),
        ({"packages": ["a"], "deadline_s": 0}, "deadline_s: "),
        ({"packages": ["a"], "deadline_s": 3601}, "deadline_s: "),
        ({"packages": ["a"], "restart": "yes"}, "restart: "),
    ],
)
def test_a_bad_request(gateway: Gateway, path: str, body: dict[str, Any], says: str) -> None:
    for accept in ("*/*", "application/x-ndjson"):
        answer = gateway.request("POST", path, body, headers={"Accept": accept})
        assert answer.status == 400 and detail(answer).startswith(says)


def test_bad_words_of_a_removal(gateway: Gateway, path: str) -> None:
    for name in ("-x", "x%2Fy", "x%20y", "a" * 257):
        answer = gateway.request("DELETE", f"{path}/{name}")
        assert answer.status == 400 and "is not the name of a package" in detail(answer)
    answer = gateway.request("DELETE", f"{path}/x?restart=maybe")
    assert (answer.status, detail(answer)) == (400, "restart: must be 0 or 1")


def test_a_time_that_none_may_take(gateway: Gateway, path: str) -> None:
    for method, where in (("GET", path), ("DELETE", f"{path}/x")):
        for word, says in (("0", "out of range (1 to 3600)"), ("3601", "out of range (1 to 3600)"),
                           ("soon", "must be a number")):  # fmt: skip
            answer = gateway.request(method, f"{where}?deadline_s={word}")
            assert (answer.status, detail(answer)) == (400, f"deadline_s: {says}")


def test_those_of_others_are_not_there(gateway: Gateway, path: str) -> None:
    _, other = mint(gateway, principal="ada")
    absent = f"/v1/sandboxes/{NOBODY}/packages"
    for who, where in ((other, path), (gateway, absent)):
        for method, more, body in (
            ("GET", "", None),
            ("POST", "", {"packages": ["a"]}),
            ("DELETE", "/a", None),
        ):
            answer = who.request(method, where + more, body)
            assert answer.status == 404 and "there is no sandbox" in detail(answer)


def test_without_a_source_nothing_can_be_installed() -> None:
    gateway, keeper = start("--pool-max", "0")
    try:
        made = create(gateway)
        for pid in keeper.pids():
            processes.own(pid)
        answer = gateway.request(
            "POST", f"/v1/sandboxes/{made['id']}/packages", {"packages": ["a"]}
        )
        assert answer.status == 403
        assert "--package-index URL" in detail(answer) and "--wheels DIR" in detail(answer)
        remove(gateway, made)
    finally:
        end(gateway, keeper)


def test_a_python_without_pip(tmp_path: Path) -> None:
    """The fake keeper runs what the installer runs, which asks for pip before anything else."""
    venv = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    options = ["--wheels", str(tmp_path), "--python", str(venv / "bin" / "python")]
    gateway, keeper = start("--pool-max", "0", *options)
    try:
        where = f"/v1/sandboxes/{create(gateway)['id']}/packages"
        for pid in keeper.pids():
            processes.own(pid)
        answer = gateway.request("POST", where, {"packages": ["a"]})
        assert answer.status == 501 and detail(answer).startswith("No module named pip")
        streamed = gateway.request("POST", where, {"packages": ["a"]},
                                   headers={"Accept": "text/event-stream"})  # fmt: skip
        assert streamed.headers["content-type"] == "text/event-stream"
        last = streamed.body.decode().split("\n\n")[-2]
        number, kind, data = last.split("\n")
        assert (number, kind) == ("id: 2", "event: failed")
        assert json.loads(data.removeprefix("data: "))["status"] == 501
    finally:
        end(gateway, keeper)


@pytest.mark.parametrize(
    ("option", "says"),
    [
        (["--package-index", "pypi.org"], "package-index: must be a URL"),
        (["--package-index", "https://u:p@host/"], "package-index: must be a URL"),
        (["--package-index", "https://h/", "--package-hosts", "a/b"], "package-hosts: "),
        (["--wheels", "relative"], "wheels: must be an absolute path"),
    ],
)
def test_options(option: list[str], says: str, tmp_path: Path) -> None:
    words = [str(programs().gateway), "serve", "--state-dir", str(tmp_path), *option]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode != 0 and says in ended.stderr
