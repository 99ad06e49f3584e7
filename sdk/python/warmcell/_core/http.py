"""Requests over HTTP: pooled connections, errors of one kind, and retries where a request may be
sent twice without doing twice."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from urllib.parse import quote

import httpx

from warmcell._core.address import Address
from warmcell.errors import (
    ConflictError,
    ConnectionLostError,
    NotFoundError,
    ProblemError,
    RateLimitError,
    UnavailableError,
    UnreachableError,
    problem_error,
)

with suppress(ImportError):  # httpx would load them within the first request, which is waited for
    for late in ("httpcore", "anyio._backends._asyncio"):
        import_module(late)

REPEATABLE = {"GET", "HEAD", "PUT", "DELETE"}
CONDITIONS = {"If-Match", "If-None-Match"}  # what was done once, they refuse the second time
CONNECTIONS = 256
PAUSE_S = 0.05  # before the second try; doubled for each further one
LONGEST_PAUSE_S = 5.0


@dataclass(frozen=True)
class Patience:
    """tries: how often a request that may be repeated is sent; connect_s: how long a connection may
    take; silence_s: how long a reply may be silent, None: for ever, which waits need."""

    tries: int = 5
    connect_s: float = 10.0
    silence_s: float | None = None


def new_key() -> str:
    """An Idempotency-Key."""
    return uuid.uuid4().hex


def segment(text: str) -> str:
    """One part of a path, whatever is in it: none leads up or down."""
    return {".": "%2E", "..": "%2E%2E"}.get(text) or quote(text, safe="")


def _problem_of(response: httpx.Response, text: bytes) -> ProblemError:
    try:
        problem = json.loads(text)
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    after = response.headers.get("Retry-After", "")
    return problem_error(response.status_code, problem, float(after) if after.isdigit() else None)


class Http:
    """revive: makes a gateway that is gone come again; asked when a connection is refused."""

    def __init__(
        self,
        address: Address,
        patience: Patience,
        revive: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._patience = patience
        self._revive = revive
        tls = address.tls()
        self._client = httpx.AsyncClient(
            base_url=address.base,
            headers=address.headers,
            transport=httpx.AsyncHTTPTransport(
                uds=address.socket,
                verify=tls or False,
                limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=32),
            ),
            timeout=httpx.Timeout(
                connect=patience.connect_s, read=patience.silence_s, write=None, pool=None
            ),
        )
        self._name = str(address)

    async def close(self) -> None:
        await self._client.aclose()

    @asynccontextmanager
    async def reply(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        body: bytes | AsyncIterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """One try, and the reply's head: its body is the block's to read. Raises what it says."""
        request = self._client.build_request(
            method, path, params=params, content=body, headers=headers
        )
        try:
            response = await self._client.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise UnreachableError(f"no gateway answers at {self._name}: {error}") from error
        except httpx.TransportError as error:
            raise ConnectionLostError(f"{self._name} broke off: {error!r}") from error
        try:
            if response.status_code >= 400:
                raise _problem_of(response, await response.aread())
            yield response
        except httpx.TransportError as error:
            raise ConnectionLostError(f"{self._name} broke off: {error!r}") from error
        finally:
            await response.aclose()

    async def relayed(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One try, and the whole reply, whatever its status: it is somebody else's, behind the
        gateway."""
        try:
            return await self._client.request(
                method, path, params=params, content=body, headers=headers
            )
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise UnreachableError(f"no gateway answers at {self._name}: {error}") from error
        except httpx.TransportError as error:
            raise ConnectionLostError(f"{self._name} broke off: {error!r}") from error

    async def _once(
        self,
        method: str,
        path: str,
        params: Mapping[str, str | int] | None,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> httpx.Response:
        async with self.reply(method, path, params=params, body=body, headers=headers) as response:
            await response.aread()
            return response

    async def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        data: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
    ) -> httpx.Response:
        """The whole reply. data goes as JSON. A request is repeated when it never arrived, and, if
        its method or its Idempotency-Key (key) allow it, also when its reply was lost."""
        head = dict(headers or {})
        if data is not None:
            body = json.dumps(data, separators=(",", ":")).encode()
            head["Content-Type"] = "application/json"
        if key is not None:
            head["Idempotency-Key"] = key
        repeatable = key is not None or (method in REPEATABLE and not CONDITIONS & head.keys())
        lost = False  # a reply was: the request may have been taken
        for tries_left in reversed(range(self._patience.tries)):
            try:
                return await self._once(method, path, params, body, head)
            except UnreachableError:
                if not tries_left:
                    raise
                if self._revive:
                    await self._revive()
                pause = 0.0
            except ConnectionLostError:
                if not (tries_left and repeatable):
                    raise
                lost = True
                pause = 0.0
            except (RateLimitError, UnavailableError) as error:
                if error.retry_after_s is None or not tries_left:
                    raise
                pause = error.retry_after_s
            except NotFoundError:
                if lost and method == "DELETE":
                    return httpx.Response(204)  # the first of them did it
                raise
            except ConflictError:
                if not (lost and key and tries_left):
                    raise  # else the first of them is still being worked on
                pause = 0.0
            done = self._patience.tries - tries_left - 1
            await asyncio.sleep(min(max(pause, PAUSE_S * 2**done), LONGEST_PAUSE_S))
        raise AssertionError("the last try returns or raises")

    async def json(self, method: str, path: str, **options: Any) -> Any:
        """As send, and what the reply says; None: nothing."""
        response = await self.send(method, path, **options)
        return response.json() if response.content else None

    async def pages(
        self, path: str, member: str, params: Mapping[str, str | int] | None = None
    ) -> AsyncIterator[Mapping[str, Any]]:
        """The items of a list, page by page."""
        asked = dict(params or {})
        while True:
            page = await self.json("GET", path, params=asked)
            for item in page[member]:
                yield item
            if page["next"] is None:
                return
            asked["after"] = page["next"]

    async def delete(self, path: str, **options: Any) -> None:
        """What is gone already, because a reply to this very call was lost or otherwise, is
        gone."""
        try:
            await self.send("DELETE", path, **options)
        except ProblemError as error:
            if error.status != 404:
                raise
