"""Programs that are compiled and run by commands in a sandbox, with what this machine has; of what
it has not, the answer names the package."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from e2e.test_sandbox_life import create
from support.files import end, make_gateway
from support.gateway import Gateway

# by the name in /v1/languages: a source, its file, and what compiles and runs it
PROGRAMS = {
    "cpp": (
        "#include <iostream>\n#include <thread>\n"
        'int main() { std::thread t([] { std::cout << "from cpp\\n"; }); t.join(); }\n',
        "hello.cpp",
        "g++ -std=c++17 -pthread -o hello hello.cpp && ./hello",
    ),
    "go": (
        'package main\nimport "fmt"\nfunc main() { fmt.Println("from go") }\n',
        "hello.go",
        "go run hello.go",
    ),
    "java": (
        "public class Hello { public static void main(String[] words) "
        '{ System.out.println("from java"); } }\n',
        "Hello.java",
        "javac Hello.java && java Hello",
    ),
    "ruby": ('require "json"\nputs JSON.parse(\'["from ruby"]\')\n', "hello.rb", "ruby hello.rb"),
}


@pytest.fixture(scope="module", params=["root", "user"])
def place(request: pytest.FixtureRequest) -> Iterator[tuple[Gateway, str]]:
    """With a sandbox of usual limits, by its path."""
    with make_gateway(request.param, "--pool-max", "0") as gateway:
        yield gateway, f"/v1/sandboxes/{create(gateway)['id']}"
    end(gateway)


def run(place: tuple[Gateway, str], **body: Any) -> dict[str, Any]:
    gateway, path = place
    answer = gateway.request("POST", f"{path}/commands", body, timeout=300)
    assert answer.status == 200, answer
    record: dict[str, Any] = answer.json()
    return record


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_is_compiled_and_run_or_its_package_is_named(
    place: tuple[Gateway, str], name: str
) -> None:
    gateway, path = place
    source, file, shell = PROGRAMS[name]
    listed = gateway.get("/v1/languages").json()["languages"]
    (language,) = [one for one in listed if one["name"] == name]
    if not language["available"]:
        program, package = language["program"], language["package"]
        why = f"{program}, which sandboxes do not find; install {package}"
        assert language["reason"].endswith(why)
        assert run(place, argv=[program])["exit_code"] == 127
        return
    assert gateway.request("PUT", f"{path}/files/{file}", source.encode()).status in (200, 201, 204)
    found = run(place, shell=shell)
    assert (found["exit_code"], found["stdout"]) == (0, f"from {name}\n"), found


def test_what_does_not_compile(place: tuple[Gateway, str]) -> None:
    """With the compiler that this project is built by."""
    gateway, path = place
    source = b"int main(void) { return x; }"
    assert gateway.request("PUT", f"{path}/files/wrong.c", source).status in (200, 201, 204)
    found = run(place, argv=["gcc", "-o", "wrong", "wrong.c"])
    assert found["exit_code"] == 1
    assert "wrong.c:1" in found["stderr"]
