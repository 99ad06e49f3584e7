"""A sandbox from the pool of a real template: what it was forked with, and what it became."""

from __future__ import annotations

import json
import shutil
from contextlib import closing

from e2e.test_sandbox_life import create, kernel_of, remove
from support import processes
from support.files import keeper_pids
from support.gateway import Gateway

INSIDE = """
import os, sys, urllib.error, urllib.request
print("email.message" in sys.modules, os.environ["GREETING"], open("seed.txt").read())
print(os.path.exists(STATE), len([one for one in os.listdir("/proc") if one.isdigit()]) < 10)
try:
    urllib.request.urlopen("http://elsewhere.test/", timeout=60)
except urllib.error.HTTPError as error:
    print(error.code)
"""


def test_it_has_its_modules_imported_and_is_isolated() -> None:
    gateway = Gateway(options=["--pool-max", "1", "--preload", "json"], warm=True)
    body = {
        "name": "mail", "preload": ["email.message"], "network": {"allow": ["example.test"]},
        "files": {"seed.txt": "seeded"}, "env": {"GREETING": "hello"},
        "pool": {"min": 1, "max": 1},
    }  # fmt: skip
    with gateway:
        remove(gateway, create(gateway, cold=True))  # or this machine confines nothing
        template = gateway.request("POST", "/v1/templates", body).json()
        label = f'{{pool="{template["id"]}"}} '

        def told(what: str) -> bool:
            return (
                f"warmcell_pool_{what[:-2]}{label}{what[-1]}\n"
                in gateway.get("/metrics").body.decode()
            )

        processes.until(lambda: told("ready 1"), "one that stands ready")
        saved = [
            json.loads(one.read_text()) for one in gateway.runtime.glob("kernels/*/kernel.json")
        ]
        (stood,) = [one for one in saved if one["pooled"]]
        made = create(gateway, template="mail", env={"OWN": "too"}, limits={"processes": 20})
        assert told("hits_total 1")
        assert (kernel_of(made), made["preload"]) == (stood["id"], ["email.message"])
        assert made["id"] != stood["sandbox"]["id"]
        assert made["limits"]["processes"]["value"] == 20
        with closing(gateway.client(kernel_of(made))) as client:
            out = client.run(INSIDE.replace("STATE", repr(str(gateway.state)))).stdout
        assert out.splitlines() == ["True hello seeded", "False True", "403"]
        audit = gateway.state / "network.log"
        processes.until(lambda: audit.read_text().endswith("\n"), "its line in the audit")
        (line,) = map(json.loads, audit.read_text().splitlines())
        assert (line["sandbox"], line["host"]) == (made["id"], "elsewhere.test")
        remove(gateway, made)
    assert not processes.wait_gone(keeper_pids(gateway))
    shutil.rmtree(gateway.home, ignore_errors=True)
