"""One gateway with real sandboxes for all tests of the client, and a client of each kind."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import warmcell
from support import processes
from support.files import keeper_pids
from support.gateway import Gateway
from support.programs import programs

running: list[Gateway] = []


@pytest.fixture(autouse=True)
def keepers_of_places(no_leftovers: None) -> Iterator[None]:
    """Keepers that came up meanwhile belong to their gateway, and are no leftovers of a test."""
    yield
    for gateway in running:
        for pid in keeper_pids(gateway):
            processes.own(pid)


@pytest.fixture(scope="package")
def place() -> Iterator[Gateway]:
    """On TCP, with a token; users of the SDKs are given theirs."""
    options = ["--pool-max", "2", "--preload", "json", "--open-tokens", "--share-templates"]
    with Gateway(options=options, warm=True) as gateway:
        running.append(gateway)
        yield gateway
    running.remove(gateway)
    assert not processes.wait_gone(keeper_pids(gateway))
    shutil.rmtree(gateway.home, ignore_errors=True)


@pytest.fixture(scope="module")
def unix_place(kernelspec: str) -> Iterator[Gateway]:
    """On a Unix socket, where nobody needs a token."""
    gateway = Gateway(options=["--pool-max", "2", "--preload", "json"], warm=True)
    gateway.unix = str(gateway.home / "socket")
    with gateway:
        running.append(gateway)
        yield gateway
    running.remove(gateway)
    assert not processes.wait_gone(keeper_pids(gateway))
    shutil.rmtree(gateway.home, ignore_errors=True)


@pytest.fixture(scope="package")
def client(place: Gateway) -> Iterator[warmcell.Client]:
    with warmcell.Client(place.url, place.token) as client:
        yield client


@pytest.fixture(scope="module")
def sandbox(client: warmcell.Client) -> Iterator[warmcell.Sandbox]:
    """For tests that leave nothing in it that others would mind."""
    with client.sandboxes.create() as sandbox:
        yield sandbox


def patient_host(folder: Path) -> str:
    """One that leaves what it has interrupted more time to end than a slow machine takes."""
    place = folder / "host"
    place.write_text(f'#!/bin/sh\nexec {programs().host} --interrupt-grace 20 "$@"\n')
    place.chmod(0o755)
    return str(place)


@pytest.fixture(scope="package")
def own_place(kernelspec: str) -> Iterator[str]:
    """The URL of a gateway with what plots need loaded, one for all tests of the four surfaces:
    nobody ends it, and sandboxes are deleted by who made them."""
    gateway = Gateway(options=["--pool-max", "2", "--preload", "json,matplotlib.pyplot"], warm=True)
    gateway.unix = str(gateway.home / "socket")
    gateway.env = {"WARMCELL_KERNEL": patient_host(gateway.home)}
    with gateway:
        running.append(gateway)
        yield f"unix:{gateway.unix}"
    running.remove(gateway)
    assert not processes.wait_gone(keeper_pids(gateway))
    shutil.rmtree(gateway.home, ignore_errors=True)


@pytest.fixture
def own_gateway(own_place: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """It, as where the surfaces go that are told of no gateway."""
    monkeypatch.setenv("WARMCELL_URL", own_place)
    monkeypatch.delenv("WARMCELL_TOKEN", raising=False)
    return own_place
