"""A machine that ends at any time, with a sandbox that never had a snapshot: every process is
killed at once, the runtime folder is gone or not, and of the sandbox there is all but what ran."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from e2e.test_sandbox_commands import Stream
from e2e.test_sandbox_life import create
from support import processes
from support.files import keeper_pids
from support.gateway import Answer, Gateway

LABELS = {f"label-{n}": "x" * 200 for n in range(20)}


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    gateway = Gateway(options=["--pool-max", "0"])
    with gateway:
        yield gateway
        for pid in keeper_pids(gateway):
            processes.own(pid)
    assert not processes.wait_gone(keeper_pids(gateway))
    shutil.rmtree(gateway.home, ignore_errors=True)


def all_of(gateway: Gateway) -> list[int]:
    """Everything that runs of it, outside of sandboxes: what is inside ends with its keeper."""
    home = str(gateway.home)
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if any(home in word for word in process.info["cmdline"] or [])
    ]


def end_machine(gateway: Gateway, clear: bool) -> None:
    pids = all_of(gateway)
    assert gateway.pid in pids
    for pid in pids:
        processes.own(pid)
    gateway.kill()
    for pid in pids:
        try:
            psutil.Process(pid).kill()
        except psutil.NoSuchProcess:
            continue
    assert not processes.wait_gone(pids)
    if clear:
        shutil.rmtree(gateway.runtime)


class Box:
    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.model = create(gateway, name="mine", env={"SECRET": "s3cret"})
        self.path = f"/v1/sandboxes/{self.model['id']}"
        self.keepsake: Path = (
            gateway.state / "snapshots" / "keepsakes" / f"{self.model['id']}.sealed"
        )

    def ask(self, verb: str, **body: Any) -> Answer:
        return self.gateway.request("POST", f"{self.path}/{verb}", body)

    def run(self, code: str, context: str = "default") -> str:
        answer = self.ask("executions", code=code, context=context)
        assert answer.status == 200, answer
        assert answer.json()["status"] == "ok", answer
        text: str = answer.json()["outputs"]["stdout"]
        return text

    def bytes_kept(self) -> int:
        return self.keepsake.stat().st_size if self.keepsake.exists() else 0

    def is_labelled(self) -> None:
        """What is written down of it has these, and with them all that was done before."""
        processes.until(lambda: self.bytes_kept() > 0, "it is written down")
        before = self.bytes_kept()
        answer = self.gateway.request("PATCH", self.path, {"labels": LABELS})
        assert answer.status == 200, answer
        processes.until(lambda: self.bytes_kept() > before + 4000, "its labels are")


def test_a_sandbox_without_a_snapshot(gateway: Gateway) -> None:
    gone = create(gateway)
    box = Box(gateway)
    assert box.ask("contexts", name="other").status == 201
    box.run("open('file', 'w').write('kept'); x = 1")
    long = box.ask("executions", code="import time; time.sleep(1000)", context="other", detach=True)
    assert long.status == 202
    command = box.ask("commands", shell="echo ready; sleep 1000", background=True).json()
    stream = Stream(gateway, f"{box.path}/commands", command)
    stream.until("ready")
    stream.close()
    box.is_labelled()
    assert gateway.request("DELETE", f"/v1/sandboxes/{gone['id']}").status == 204
    end_machine(gateway, clear=True)
    assert b"s3cret" not in box.keepsake.read_bytes()
    gateway.start()
    assert gateway.get(f"/v1/sandboxes/{gone['id']}").status == 404
    is_there(box, str(long.json()["id"]), str(command["id"]))
    is_made_again(box)
    end_machine(gateway, clear=False)  # its processes alone, on a machine that goes on
    gateway.start()
    found = gateway.get(box.path).json()
    assert (found["state"], found["labels"]["changed"]) == ("paused", "yes")
    assert [one["name"] for one in found["contexts"]] == ["default", "other"]
    assert gateway.get(f"{box.path}/executions/{long.json()['id']}").json()["status"] == "lost"
    is_made_again(box)
    assert gateway.request("DELETE", box.path).status == 204
    end_machine(gateway, clear=False)
    gateway.start()
    assert gateway.get(box.path).status == 404
    assert not box.keepsake.exists()


def is_there(box: Box, execution: str, command: str) -> None:
    found = box.gateway.get("/v1/sandboxes/mine").json()
    assert (found["id"], found["state"], found["labels"]) == (box.model["id"], "paused", LABELS)
    assert found["snapshot"] is None
    assert found["reason"].endswith("its workspace is as it was, its contexts begin anew")
    assert [(one["name"], one["state"]) for one in found["contexts"]] == [
        ("default", "paused"), ("other", "paused"),
    ]  # fmt: skip
    assert found["contexts"][0]["id"] == box.model["contexts"][0]["id"]
    assert box.gateway.get(f"{box.path}/snapshots").json()["snapshots"] == []
    assert box.gateway.get(f"{box.path}/executions/{execution}").json()["status"] == "lost"
    shown = box.gateway.get(f"{box.path}/commands/{command}").json()
    assert (shown["status"], shown["stdout"]) == ("lost", "ready\n")
    assert box.ask("executions", code="1").status == 409
    assert box.gateway.get(f"{box.path}/files/file").status == 409


def is_made_again(box: Box) -> None:
    """Its contexts are, without their variables, and as it was changed meanwhile."""
    answer = box.gateway.request("PATCH", box.path, {"labels": {"changed": "yes"}})
    assert (answer.status, answer.json()["state"]) == (200, "paused"), answer
    answer = box.ask("resume")
    assert answer.status == 200, answer
    assert answer.json()["snapshot"] is None
    assert answer.json()["sandbox"]["state"] == "running"
    for one in answer.json()["contexts"]:
        assert (one["restored"], one["not_restored"]) == ([], [])
        assert one["problem"] == "there is no snapshot of it: it begins anew"
    assert answer.json()["sandbox"]["contexts"][0]["snapshot"] is None
    assert answer.json()["sandbox"]["labels"]["changed"] == "yes"
    code = "import os; print(open('file').read(), os.environ['SECRET'], 'x' in globals())"
    assert box.run(code) == "kept s3cret False\n"
    assert box.run("print(1)", "other") == "1\n"
