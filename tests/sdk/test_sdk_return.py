"""Connections that break: everything that was followed goes on, byte for byte, and nothing is done
twice."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import warmcell
from support import ports, processes
from support.cutting_proxy import UNANSWERED, CuttingProxy
from support.gateway import Gateway
from warmcell import events
from warmcell._core.address import Address
from warmcell._core.stream import Stream
from websockets.exceptions import ConnectionClosedError

LINES = 6000
SAID = "".join(f"{i}: äöü {i * i}\n" for i in range(LINES))
SAY = f"for i in range({LINES}): print(f'{{i}}: äöü {{i * i}}')\n'last'"


@contextmanager
def cut(
    gateway: Gateway, sandbox: warmcell.Sandbox, *plan: int
) -> Iterator[tuple[CuttingProxy, warmcell.Sandbox]]:
    """The sandbox, as a client has it whose WebSockets are cut as the plan says."""
    with CuttingProxy(gateway.port, [1 << 40, *plan]) as proxy:
        with warmcell.Client(proxy.url, gateway.token) as client:
            yield proxy, client.sandboxes.get(sandbox.id)


def test_a_run_whose_connection_is_cut_again_and_again(
    place: Gateway, sandbox: warmcell.Sandbox
) -> None:
    plan = [700, 3000, 1500, 20000, 5001, 60007, 0]
    with cut(place, sandbox, *plan) as (proxy, there):
        execution = there.start(SAY)
        found = list(execution)
        assert proxy.cuts == len(plan)
    assert [event.number for event in found] == list(range(1, len(found) + 1))
    text = "".join(event.text for event in found if isinstance(event, events.Stdout))
    assert text == execution.stdout == SAID
    assert (execution.text, execution.status) == ("'last'", "ok")


def test_a_run_whose_answer_is_lost_is_not_run_twice(
    place: Gateway, sandbox: warmcell.Sandbox
) -> None:
    sandbox.run("times = 0")
    with cut(place, sandbox, UNANSWERED, UNANSWERED) as (proxy, there):
        assert there.run("times += 1; times").text == "1"
        assert proxy.cuts == 2
    assert sandbox.run("times").text == "1"


def test_a_command_whose_connection_is_cut(place: Gateway, sandbox: warmcell.Sandbox) -> None:
    plan = [UNANSWERED, 4000, 30000]
    with cut(place, sandbox, *plan) as (proxy, there):
        command = there.commands.run(["seq", "1", "20000"])
        assert proxy.cuts == len(plan)
    assert command.stdout == "".join(f"{i}\n" for i in range(1, 20001))
    assert command.exit_code == 0
    assert len(list(sandbox.commands.list())) == 1


def test_input_that_may_have_arrived_is_not_sent_twice(
    place: Gateway, sandbox: warmcell.Sandbox
) -> None:
    """The client cannot know; the run tells what became of it."""
    execution = sandbox.start("input('? ')", allow_input=True)
    next(event for event in execution if isinstance(event, events.InputRequest))
    with cut(place, sandbox) as (proxy, there):
        elsewhere = there.attach(execution.id)
        next(event for event in elsewhere if isinstance(event, events.InputRequest))
        proxy.cut_at_next_answer()
        with pytest.raises(warmcell.ConnectionLostError, match="input"):
            elsewhere.send_input("said")
        assert proxy.cuts == 1
        assert elsewhere.wait().text == "'said'"
    assert execution.wait().text == "'said'"


def test_a_gateway_that_comes_back(place: Gateway) -> None:
    """kill -9 of the gateway, and another one at the same place: the same run goes on."""
    gateway = Gateway(options=["--pool-max", "0"], home=place.home / "second")
    gateway.home.mkdir()
    with gateway, warmcell.Client(gateway.url, gateway.token) as client:
        sandbox = client.sandboxes.create()
        execution = sandbox.start("print('before'); print(input('go? '))", allow_input=True)
        request = next(event for event in execution if isinstance(event, events.InputRequest))
        gateway.kill()
        gateway.start()
        client._portal.call(client._inner._transport.stream.act("ping", safe=True))
        path = f"/v1/sandboxes/{sandbox.id}/executions/{execution.id}"
        processes.until(lambda: gateway.get(path).json()["awaits_input"], "it is known to wait")
        execution.send_input("after")
        assert execution.wait().stdout == "before\nafter\n"
        numbers = [event.number for event in sandbox.attach(execution.id)]
        assert request.number in numbers and numbers == list(range(1, len(numbers) + 1))
        sandbox.delete()


def test_one_that_does_not_come_back(place: Gateway, sandbox: warmcell.Sandbox) -> None:
    """The execution goes on; what was asked of the client fails, and says why."""
    execution = sandbox.start("input('go? ')", allow_input=True)
    with ports.reserve("127.0.0.1") as kept:  # nobody else comes to listen there
        with CuttingProxy(place.port, [], ports.number(kept)) as proxy:
            client = warmcell.Client(proxy.url, place.token, reconnect=0.05, tries=1)
            elsewhere = client.sandboxes.get(sandbox.id).attach(execution.id)
            next(event for event in elsewhere if isinstance(event, events.InputRequest))
        with pytest.raises(warmcell.UnreachableError, match=proxy.url):
            elsewhere.wait()
        with pytest.raises(warmcell.UnreachableError):
            client.sandboxes.get(sandbox.id)
        client.close()
    with pytest.raises(warmcell.TransportError, match="closed"):
        client.sandboxes.get(sandbox.id)
    execution.send_input("on")
    assert execution.wait().text == "'on'"


def test_a_token_that_is_revoked(place: Gateway, sandbox: warmcell.Sandbox) -> None:
    made = place.request("POST", "/v1/tokens", {"role": "admin", "scopes": ["read", "write"]})
    token = made.json()
    with warmcell.Client(place.url, token["token"], reconnect=0.05) as client:
        execution = client.sandboxes.get(sandbox.id).start("input('go? ')", allow_input=True)
        next(event for event in execution if isinstance(event, events.InputRequest))
        place.request("DELETE", f"/v1/tokens/{token['id']}")
        with pytest.raises(warmcell.UnauthorizedError):
            execution.wait()
        with pytest.raises(warmcell.UnauthorizedError):
            client.sandboxes.get(sandbox.id)
    elsewhere = sandbox.attach(execution.id)
    elsewhere.send_input("on")
    assert elsewhere.wait().text == "'on'"


class Silent:
    """A connection that takes so many frames, says nothing, and breaks with the last: what sends
    that goes on when its client has noticed, and closes it."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.broken, self.closed = asyncio.Event(), asyncio.Event()

    async def send(self, _: str) -> None:
        self.most -= 1
        if self.most == 0:
            self.broken.set()
            await self.closed.wait()

    async def recv(self) -> str:
        await self.broken.wait()
        raise ConnectionClosedError(None, None)

    async def close(self) -> None:
        self.closed.set()


@pytest.mark.asyncio
async def test_closing_ends_what_comes_back_from_two_breaks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second came before all was asked again that the first had broken off."""
    third = asyncio.Event()
    there = Stream(Address("http://nowhere.test"))
    silent = deque([Silent(2), Silent(1)])

    async def connect(_: Stream) -> Silent:
        if not silent:
            third.set()
            await asyncio.Event().wait()
        return silent.popleft()

    monkeypatch.setattr(Stream, "_connect", connect)
    asked = [asyncio.ensure_future(there.act(op, safe=True)) for op in ("one", "two")]
    await third.wait()
    await there.close()
    for one in asked:
        with pytest.raises(warmcell.TransportError, match="closed"):
            await asyncio.wait_for(one, 60)
