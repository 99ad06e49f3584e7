"""`warmcell completion`: each shell is asked as it would ask."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from gateway.test_sandboxes import Place, create, remove
from support.cli import Tool, environment, refused, tool
from support.programs import programs

VERBS: dict[str, list[str]] = {
    "": [
        *("backup", "completion", "cp", "doctor", "exec", "files", "gc", "help", "kernelspec"),
        *("keys", "logs", "options", "packages", "port", "run", "sandbox", "serve", "template"),
        *("token", "version", "warm"),
    ],
    "files": ["ls", "stat", "cat", "tar", "mkdir", "mv", "rm"],
    "keys": ["rotate", "reseal"],
    "packages": ["install", "ls", "rm"],
    "sandbox": ["ls", "create", "rm", "pause", "resume", "fork", "interrupt", "restart"],
    "template": ["ls", "show", "create", "seed", "rm"],
    "token": ["create", "ls", "revoke"],
}

# How the words behind `warmcell` are completed, of which the last is the one that is being typed.
# What zsh itself offers is written, in place of being shown, and it leaves out what does not fit.
SCRIPTS = {
    "bash": """source <(warmcell completion bash); COMP_WORDS=(warmcell "$@"); COMP_CWORD=$#
               _warmcell; printf '%s\\n' "${COMPREPLY[@]}" """,
    "zsh": """compdef() {:}; source <(warmcell completion zsh)
              compadd() { shift; print -l -- ${(M)@:#$words[CURRENT]*} }
              _files() { print -l -- $words[CURRENT]*(N) }
              words=(warmcell "$@"); CURRENT=$#words; _warmcell""",
    "fish": """warmcell completion fish | source
               complete -C "warmcell $argv" | string replace -r "\\t.*" ""; true""",
}
COMMANDS = {
    "bash": ["bash", "-c", SCRIPTS["bash"], "bash"],
    "zsh": ["zsh", "-f", "-c", SCRIPTS["zsh"], "zsh"],
    "fish": ["fish", "--no-config", "-c", SCRIPTS["fish"], "--"],
}
Complete = Callable[..., list[str]]

# some of each verb that has its own, beside --help
OPTIONS = {
    "exec": ["--shell", "--deadline-s"],
    "files rm": ["--recursive"],
    "gc": ["--dry-run"],
    "keys reseal": ["--runtime-dir"],
    "logs": ["--follow"],
    "packages install": ["--restart"],
    "port": ["--listen"],
    "run": ["--artifacts"],
    "sandbox ls": ["--label"],
    "serve": ["--max-kernels"],
    "template seed": ["--remove"],
    "token create": ["--quotas"],
}


@pytest.fixture(params=COMMANDS)
def complete(request: pytest.FixtureRequest) -> Complete:
    """What the shell offers behind these words, sorted."""

    def ask(
        *words: str, folder: Path | None = None, env: dict[str, str] | None = None
    ) -> list[str]:
        path = f"{programs().gateway.parent}:{os.environ['PATH']}"
        done = subprocess.run(
            [*COMMANDS[request.param], *words], env=environment(PATH=path, **(env or {})),
            cwd=folder, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stderr == ""
        return sorted(done.stdout.split())

    return ask


def test_verbs(complete: Complete) -> None:
    for first, seconds in VERBS.items():
        assert complete(*first.split(), "") == sorted(seconds), first
    assert complete("sandbox", "re") == ["restart", "resume"]
    assert complete("ex") == ["exec"]


def test_each_verb_has_its_options(complete: Complete) -> None:
    for first, seconds in VERBS.items():
        for second in seconds:
            if second not in VERBS:
                offered = complete(*first.split(), second, "--")
                assert {"--help", *OPTIONS.get(f"{first} {second}".strip(), [])} <= {*offered}


def test_options(complete: Complete) -> None:
    assert complete("exec", "--sh") == ["--shell"]
    assert complete("exec", "abcd", "--d") == ["--deadline-s"]
    assert complete("sandbox", "create", "--limits", "cpus=1", "--co") == ["--cold"]
    assert complete("serve", "--max-k") == ["--max-kernels"]
    assert complete("exec", "abcd", "--", "--sh") == []


def test_sandboxes(place: Place, complete: Complete) -> None:
    model = create(place[0])
    made = str(model["id"])
    env = Tool(place[0]).environment
    for words in (["exec"], ["sandbox", "rm"], ["logs", "-f"], ["cp"]):
        assert made in complete(*words, made[:5], env=env)
    remove(place[0], model)
    assert complete("exec", made[:5], env=env) == []


def test_templates(place: Place, complete: Complete) -> None:
    made = place[0].request("POST", "/v1/templates", {"name": "analysis"}).json()
    env = Tool(place[0]).environment
    for words in (["template", "show"], ["template", "rm"]):
        assert complete(*words, "an", env=env) == ["analysis"]
    assert place[0].request("DELETE", f"/v1/templates/{made['id']}").status == 204


def test_files(tmp_path: Path, complete: Complete) -> None:
    (tmp_path / "book.ipynb").touch()
    assert complete("run", "bo", folder=tmp_path) == ["book.ipynb"]


def test_other_shells_are_refused() -> None:
    refused(tool("completion", "tcsh"), 2, "one of bash, zsh, fish")
    refused(tool("completion"), 2, "one of bash, zsh, fish")
