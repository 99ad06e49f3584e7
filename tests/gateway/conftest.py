"""A gateway for the tests of a file; its keeper starts nothing, its kernels are the driver."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gateway.test_sandboxes import Place, create, end, remove, start
from support import processes
from support.gateway import Gateway


@pytest.fixture(scope="module")
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Without a pool; GATEWAY of the file are more options. Its keeper is there already."""
    gateway, keeper = start("--pool-max", "0", *getattr(request.module, "GATEWAY", ()))
    remove(gateway, create(gateway))
    for pid in keeper.pids():
        processes.own(pid)
    yield gateway, keeper
    end(gateway, keeper)


@pytest.fixture(scope="module")
def gateway(place: Place) -> Gateway:
    return place[0]
