"""`warmcell` as a tool: subcommands that are clients of a gateway."""

from __future__ import annotations

import json
import os
import subprocess
from typing import IO, Any

from support.gateway import Gateway
from support.programs import programs

Done = subprocess.CompletedProcess[bytes]


def environment(**env: str) -> dict[str, str]:
    """Ours, without what would lead to a gateway."""
    own = {"WARMCELL_URL", "WARMCELL_TOKEN_FILE", "PYTEST_CURRENT_TEST"}
    return {name: value for name, value in os.environ.items() if name not in own} | env


def tool(
    *words: str, stdin: bytes = b"", stdout: IO[bytes] | int = subprocess.PIPE, **env: str
) -> Done:
    """Without a gateway that was named."""
    command = [str(programs().gateway), *words]
    pipe = subprocess.PIPE
    return subprocess.run(
        command, input=stdin, env=environment(**env), stdout=stdout, stderr=pipe, check=False
    )


class Tool:
    """The tool, told where one gateway is."""

    def __init__(self, gateway: Gateway) -> None:
        token = gateway.home / "token"
        token.write_text(f"{gateway.token}\n")
        self.environment = {
            "WARMCELL_URL": f"unix:{gateway.unix}" if gateway.unix else gateway.url,
            "WARMCELL_TOKEN_FILE": str(token),
        }

    def __call__(
        self, *words: str, stdin: bytes = b"", stdout: IO[bytes] | int = subprocess.PIPE
    ) -> Done:
        return tool(*words, stdin=stdin, stdout=stdout, **self.environment)

    def ok(self, *words: str, stdin: bytes = b"") -> str:
        """What it wrote to stdout; it said nothing else."""
        done = self(*words, stdin=stdin)
        assert (done.returncode, done.stderr) == (0, b""), done
        return done.stdout.decode()

    def begin(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        command = [str(programs().gateway), *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment(**self.environment),
            **options,
        )  # fmt: skip


def problem(done: Done, status: int) -> dict[str, Any]:
    """What it said with --json when it ended so: a line, and nothing to stdout."""
    assert done.returncode == status, done
    assert not done.stdout
    assert done.stderr.count(b"\n") == 1
    told: dict[str, Any] = json.loads(done.stderr)
    return told


def refused(done: Done, status: int, sentence: str) -> None:
    """It said one sentence, and nothing to stdout."""
    text = done.stderr.decode()
    assert done.returncode == status, done
    assert not done.stdout
    assert text.startswith("warmcell: ") and text.count("\n") == 1
    assert sentence in text
