"""What the surfaces share: which gateway, one client for each, and pages for who comes to them."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import warnings

import pytest
import warmcell
from support.programs import ROOT
from warmcell.compat import _gateway


def test_one_client_for_a_gateway(own_gateway: str) -> None:
    client = _gateway.client()
    assert client is _gateway.client(own_gateway)
    assert client.url == own_gateway
    with client.sandboxes.create() as sandbox:
        assert sandbox.run("6 * 7").text == "42"


def test_a_child_of_a_fork_has_its_own(own_gateway: str) -> None:
    client = _gateway.client()
    pid = os.fork()
    if not pid:
        found = 1
        try:
            found = int(_gateway.client() is client or "version" not in _gateway.client().version())
        finally:
            os._exit(found)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_loop_has_one_and_closes_it(own_gateway: str) -> None:
    found: list[warmcell.AsyncClient] = []

    async def use() -> None:
        clients = await asyncio.gather(*(_gateway.async_client() for _ in range(5)))
        found.extend(clients)
        assert len(set(map(id, clients))) == 1
        async with await clients[0].sandboxes.create() as sandbox:
            assert (await sandbox.run("6 * 7")).text == "42"

    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        asyncio.run(use())
        asyncio.run(use())
        gc.collect()
    assert found[0] is not found[-1]


def test_another_gateway_by_its_url(own_gateway: str, client: warmcell.Client) -> None:
    other = _gateway.client(client.url, "wrong")
    try:
        other.usage()
    except warmcell.UnauthorizedError:
        return
    raise AssertionError("a token of nobody's was taken")


@pytest.mark.parametrize(
    ("package", "printed"),
    [("llm_sandbox", "Hello, World!\n\n"), ("sandbox", ""), ("sandbox_sdk", "Hello\n")],
)
def test_the_page_for_those_who_come_from_it(
    package: str,
    printed: str,
    own_gateway: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WARMCELL_TOKEN", "any")  # on a Unix socket nobody looks at it
    name = f"docs/coming-from-{package}.md"
    page = (ROOT / name).read_text()
    (example,) = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    exec(compile(example, name, "exec"), {"__name__": "example"})
    assert capsys.readouterr().out == printed
