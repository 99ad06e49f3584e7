"""Sandboxes of two principals with real keepers: nothing that runs is shared between them."""

from __future__ import annotations

import contextlib
import os
import shutil
from contextlib import closing

import psutil
from e2e.test_sandbox_life import kernel_of, remove
from gateway.test_tokens import mint
from support import processes
from support.files import keeper_pids
from support.gateway import Gateway


def fork_servers(gateway: Gateway) -> set[str]:
    """The sockets of the keepers that a warm Python of this gateway belongs to."""
    found = set()
    for process in map(psutil.Process, keeper_pids(gateway)):
        with contextlib.suppress(psutil.NoSuchProcess):
            words, below = process.cmdline(), process.children()
            if any("--fork-server" in one.cmdline() for one in below):
                found.add(words[words.index("--socket") + 1])
    return {one for one in found if "/sandbox-" in one}


def test_two_principals_share_no_process() -> None:
    options = ["--pool-max", "0", "--preload", "json"]
    with Gateway(options=options, warm=True, lease_s=5) as gateway:
        seen = [mint(gateway, principal=name)[1] for name in ("ada", "bob")]
        made = []
        for one in seen:
            answer = one.request("POST", "/v1/sandboxes")
            assert answer.status == 201, answer
            made.append(answer.json())
        processes.until(lambda: len(fork_servers(gateway)) == 2, "each has a fork server")
        for one, sandbox in zip(seen, made, strict=True):
            with closing(one.client(kernel_of(sandbox))) as client:
                assert client.run("print(2 + 3)").stdout == "5\n"
            path = f"/v1/sandboxes/{sandbox['id']}/files/a"
            assert one.request("PUT", path, b"text").status == 201
        if os.geteuid() == 0:
            places = [(one["uid"] - 786432) // 1024 for one in made]
            assert places[0] != places[1] and min(places) >= 0
        for one, sandbox in zip(seen, made, strict=True):
            remove(one, sandbox)
    assert not processes.wait_gone(keeper_pids(gateway))
    shutil.rmtree(gateway.home, ignore_errors=True)
