"""Which statuses of which routes each test sees, told by the gateways themselves: a plugin for a
run by hand, which `python -m support.route_list` compares with tests/gateway/routes.toml.

    PYTHONPATH=tests WARMCELL_OBSERVED=FILE python -m pytest -p support.observed tests/gateway

Every gateway then logs its requests, and FILE gets a line for each kind that a test saw:
METHOD, the route's pattern, the status, the test, with tabs between.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.gateway import Gateway
from support.programs import PEER

LINE = re.compile(rb" request method=(\w+) route=(\S*) status=(\d+) ")
LAST_LINES_S = 0.02  # a line is written when the answer is on its way

Seen = set[tuple[str, str, str]]

read: dict[Path, int] = {}
ended: Seen = set()  # of gateways whose log may be gone by now
launch, stop, kill = Gateway.launch, Gateway.stop, Gateway.kill


def launch_observed(gateway: Gateway) -> None:
    if not PEER and "--access-log" not in gateway.options:
        gateway.options = [*gateway.options, "--access-log"]
    read.setdefault(gateway.log, 0)
    launch(gateway)


def stop_observed(gateway: Gateway, timeout: float = 30.0) -> int:
    try:
        return stop(gateway, timeout)
    finally:
        ended.update(fresh())


def kill_observed(gateway: Gateway) -> None:
    kill(gateway)
    ended.update(fresh())


def fresh() -> Seen:
    """What came since the last time."""
    found: Seen = set()
    for log, at in read.items():
        if not log.exists():
            continue
        text = log.read_bytes()
        whole = text.rfind(b"\n") + 1
        for method, route, status in LINE.findall(text, at, whole):
            found.add((method.decode(), route.decode().strip('"'), status.decode()))
        read[log] = whole
    return found


def pytest_configure() -> None:
    patch = pytest.MonkeyPatch()
    for name, own in ("launch", launch_observed), ("stop", stop_observed), ("kill", kill_observed):
        patch.setattr(Gateway, name, own)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    yield
    time.sleep(LAST_LINES_S)
    test = item.nodeid.partition("[")[0].rpartition("/")[2]
    with Path(os.environ["WARMCELL_OBSERVED"]).open("a") as lines:
        lines.writelines("\t".join((*one, test)) + "\n" for one in sorted(fresh() | ended))
    ended.clear()
