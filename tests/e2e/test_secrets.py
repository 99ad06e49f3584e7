"""What a sandbox, a run and a command get in their environment: where it is not found."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import psutil
from e2e.test_sandbox_life import create, kernel_of, remove
from e2e.test_sandbox_pause import post, resume
from gateway.test_tokens import mint
from support import processes
from support.files import keeper_pids
from support.gateway import Answer, Gateway

OF_SANDBOX = "planted-in-the-sandbox-8f2d"
OF_RUN = "planted-in-a-run-77ab"
OF_COMMAND = "planted-in-a-command-01c9"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OURS = {"warmcell", "warmcell-kernel", "warmcell-keeper", "warmcell-command"}


def digest(*texts: str) -> str:
    return hashlib.sha256("".join(texts).encode()).hexdigest()


LOOK = """
import hashlib, os
text = os.environ["OF_SANDBOX"] + os.environ.get("OF_RUN", "")
print(hashlib.sha256(text.encode()).hexdigest())
"""


def files(top: Path) -> list[Path]:
    """Those that are there; what runs makes and removes some."""
    found = []
    for folder, _, names in os.walk(top):
        for path in (Path(folder) / name for name in names):
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISREG(path.lstat().st_mode):
                    found.append(path)
    return found


def told(path: Path, secrets: list[bytes]) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        text = path.read_bytes()
        return any(secret in text for secret in secrets)
    return False


def our_processes(gateway: Gateway) -> list[int]:
    """Those of this gateway: their words name its folder, or they descend from one that does."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess):
            line = [process, *process.parents()]
            near = any(str(gateway.home) in " ".join(one.cmdline()) for one in line)
            if near and process.name() in OURS:
                found.append(process.pid)
    return found


def answers(gateway: Gateway, sandbox: dict[str, Any]) -> list[Answer]:
    place = f"/v1/sandboxes/{sandbox['id']}"
    paths = ["/v1/sandboxes", place, *(f"{place}/{below}" for below in (
        "contexts", "executions", "commands", "snapshots")), "/api/kernels", "/v1/tokens",
        "/v1/artifacts", "/metrics"]  # fmt: skip
    for kind in ("executions", "commands"):
        listed = gateway.get(f"{place}/{kind}").json()[kind]
        paths += [f"{place}/{kind}/{one['id']}{end}" for one in listed for end in ("", "/events")]
    # of a paused sandbox some is not there to be asked for
    return [gateway.get(f"{path}?outputs=1&follow=0") for path in paths]


def look(gateway: Gateway, sandbox: dict[str, Any], more: list[str]) -> None:
    secrets = [text.encode() for text in (OF_SANDBOX, OF_RUN, OF_COMMAND, *more)]
    for top in (gateway.state, gateway.runtime):
        assert [path for path in files(top) if told(path, secrets)] == []
    assert not told(gateway.log, secrets)
    pids = our_processes(gateway)
    for pid in pids:
        for name in ("cmdline", "environ"):
            assert not told(Path(f"/proc/{pid}/{name}"), secrets), (pid, name)
    if gateway.process:
        assert gateway.pid in pids
        for answer in answers(gateway, sandbox):
            assert not any(secret in answer.body for secret in secrets), answer
    key = gateway.state / "snapshot.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def run(gateway: Gateway, sandbox: dict[str, Any], **more: Any) -> str:
    answer = post(gateway, sandbox, "executions", code=LOOK, **more)
    assert answer.status == 200, answer
    return str(answer.json()["outputs"]["stdout"]).strip()


def test_secrets_of_a_sandbox_are_told_to_nobody() -> None:
    options = ["--pool-max", "0", "--preload", "json", "--log-level", "debug"]
    with Gateway(options=options, warm=True) as gateway:
        made = create(gateway, env={"OF_SANDBOX": OF_SANDBOX})
        secret = mint(gateway, principal="ada")[0]["token"]
        assert run(gateway, made, env={"OF_RUN": OF_RUN}) == digest(OF_SANDBOX, OF_RUN)
        sees = 'test "$OF_COMMAND$OF_SANDBOX" = "$(cat)" && exec sleep 1000'
        command = {"shell": sees, "background": True, "env": {"OF_COMMAND": OF_COMMAND},
                   "stdin": OF_COMMAND + OF_SANDBOX}  # fmt: skip
        path = f"/v1/sandboxes/{made['id']}/commands"
        assert gateway.request("POST", path, command, {"traceparent": PARENT}).status == 202
        look(gateway, made, [secret])

        gateway.kill()
        look(gateway, made, [secret])
        gateway.start()
        assert run(gateway, made) == digest(OF_SANDBOX)
        (one,) = gateway.get(path).json()["commands"]
        assert (one["status"], one["traceparent"]) == ("running", PARENT), one
        look(gateway, made, [secret])

        post(gateway, made, "executions", code="import os; kept = dict(os.environ)")
        assert post(gateway, made, "pause").status == 200
        look(gateway, made, [secret])
        gateway.kill()
        gateway.start()
        look(gateway, made, [secret])
        assert "kept" in resume(gateway, made)["contexts"][0]["restored"]
        assert run(gateway, made) == digest(OF_SANDBOX)
        assert kernel_of(made)
        look(gateway, made, [secret])
        remove(gateway, made)
    assert not processes.wait_gone(keeper_pids(gateway))
    shutil.rmtree(gateway.home, ignore_errors=True)
