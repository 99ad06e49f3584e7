"""Packages of a sandbox (docs/packages.md)."""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from warmcell._core.transport import Transport
from warmcell.errors import ConnectionLostError, problem_error
from warmcell.models import Installation, Package, read


class AsyncPackages:
    def __init__(self, transport: Transport, sandbox: str) -> None:
        self._transport = transport
        self._path = f"/v1/sandboxes/{sandbox}/packages"

    async def list(self) -> AsyncIterator[Package]:
        """What code in the sandbox can import, by name."""
        answer = await self._transport.http.json("GET", self._path)
        for one in answer["packages"]:
            yield read(Package, one, modules=tuple(one.get("modules", ())))

    async def install(
        self,
        *requirements: str,
        restart: bool = True,
        deadline: float | None = None,
        progress: Callable[[str], object] | None = None,
    ) -> Installation:
        """Installs `name==1.2` … restart: contexts that have imported what changes are restarted,
        and lose their variables. progress is told lines of what goes on. To install again what is
        there changes nothing."""
        body: dict[str, Any] = {"packages": [*requirements], "restart": restart}
        if deadline is not None:
            body["deadline_s"] = round(deadline)
        head = {"Content-Type": "application/json", "Accept": "application/x-ndjson"}
        async with self._transport.http.reply(
            "POST", self._path, body=json.dumps(body).encode(), headers=head
        ) as response:
            async for line in response.aiter_lines():
                event = json.loads(line)
                if event["event"] == "end":
                    return _installation(event)
                if event["event"] == "failed":
                    raise problem_error(int(event["status"]), event)
                told = progress(_line(event)) if progress else None
                if inspect.isawaitable(told):
                    await told
        raise ConnectionLostError("the connection broke: whether they were installed is not known")

    async def remove(self, name: str, *, restart: bool = True) -> Mapping[str, Any]:
        """Removes one that was installed into the sandbox, without what it needed."""
        params = {"restart": int(restart)}
        found = await self._transport.http.json("DELETE", f"{self._path}/{name}", params=params)
        return dict(found)


def _line(event: Mapping[str, Any]) -> str:
    words = [str(event["event"])]
    words += [
        str(event[name]) for name in ("phase", "position", "context", "text") if name in event
    ]
    return " ".join(words)


def _installation(event: Mapping[str, Any]) -> Installation:
    lists = {name: tuple(event.get(name, ())) for name in ("installed", "already", "contexts")}
    return read(Installation, event, **lists)
