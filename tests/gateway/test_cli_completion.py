"""`warmcell completion`: bash is asked as it would ask, the other scripts are looked at."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from gateway.test_sandboxes import Place, create, remove
from support.cli import Tool, environment, refused, tool
from support.programs import programs

VERBS = [
    *("sandbox ls", "sandbox create", "sandbox rm", "sandbox pause", "sandbox resume"),
    *("sandbox fork", "sandbox interrupt", "sandbox restart"),
    *("exec", "run", "cp", "logs"),
    *("template ls", "template show", "template create", "template rm"),
]


def complete(
    *words: str, folder: Path | None = None, env: dict[str, str] | None = None
) -> list[str]:
    """What bash offers behind these words, of which the last is the one that is being typed."""
    path = f"{programs().gateway.parent}:{os.environ['PATH']}"
    script = (
        'source <(warmcell completion bash); COMP_WORDS=(warmcell "$@"); COMP_CWORD=$#; '
        "_warmcell; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    done = subprocess.run(
        ["bash", "-c", script, "bash", *words], env=environment(PATH=path, **(env or {})),
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


class TestBash:
    def test_verbs(self) -> None:
        firsts = {verb.split()[0] for verb in VERBS}
        offered = complete("")
        assert firsts | {"serve", "doctor", "completion"} <= set(offered)
        assert len(set(offered)) == len(offered)
        orders = ["pause", "resume", "fork", "interrupt", "restart"]
        assert complete("sandbox", "") == ["ls", "create", "rm", *orders]
        assert complete("sandbox", "re") == ["resume", "restart"]
        assert complete("ex") == ["exec"]

    def test_options(self) -> None:
        assert complete("exec", "--sh") == ["--shell"]
        assert complete("exec", "abcd", "--d") == ["--deadline-s"]
        assert complete("sandbox", "create", "--limits", "cpus=1", "--co") == ["--cold"]
        assert complete("serve", "--max-k") == ["--max-kernels"]
        assert complete("exec", "abcd", "--", "--sh") == []

    def test_sandboxes(self, place: Place) -> None:
        model = create(place[0])
        made = str(model["id"])
        env = Tool(place[0]).environment
        for words in (["exec"], ["sandbox", "rm"], ["logs", "-f"], ["cp"]):
            assert complete(*words, made[:5], env=env) == [made]
        remove(place[0], model)
        assert complete("exec", made[:5], env=env) == []

    def test_templates(self, place: Place) -> None:
        made = place[0].request("POST", "/v1/templates", {"name": "analysis"}).json()
        env = Tool(place[0]).environment
        for words in (["template", "show"], ["template", "rm"]):
            assert complete(*words, "an", env=env) == ["analysis"]
        assert place[0].request("DELETE", f"/v1/templates/{made['id']}").status == 204

    def test_files(self, tmp_path: Path) -> None:
        (tmp_path / "book.ipynb").touch()
        assert complete("run", "bo", folder=tmp_path) == ["book.ipynb"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_script_has_every_verb_and_option(shell: str) -> None:
    text = tool("completion", shell).stdout.decode()
    for verb in VERBS:
        assert verb.split()[-1] in text, verb
    for option in ("shell", "deadline-s", "artifacts", "follow", "max-kernels"):
        assert (f" -l {option} " if shell == "fish" else f" --{option} ") in text, option
    assert ("sandbox ls --quiet" if shell == "fish" else "$listed ls --quiet") in text
    assert ("template ls --quiet" if shell == "fish" else "listed=template") in text


def test_other_shells_are_refused() -> None:
    refused(tool("completion", "tcsh"), 2, "one of bash, zsh, fish")
    refused(tool("completion"), 2, "one of bash, zsh, fish")
