"""Requests of the REST API over HTTP: which are sent again, when, and what errors become.

What was not sent, and what the server refused for now (429, 503), is sent again; what may have
arrived only where a second time does no harm: reads, deletions, writes of whole files, and what has
an idempotency key, which everything has that makes or runs something.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from warmcell import errors
from warmcell._core.address import Address
from warmcell._core.http import Http, Patience, new_key
from warmcell._core.portal import Portal
from warmcell.compat.sandbox_sdk.exceptions import (
    AuthenticationError,
    ConnectionError,  # noqa: A004 - the API's own names
    RateLimitError,
    SandboxError,
    SandboxSDKError,
    TimeoutError,  # noqa: A004
)
from warmcell.compat.sandbox_sdk.monitoring import MetricsCollector

__all__ = ["Transport"]

T = TypeVar("T")
LONGEST_PAUSE_S = 60.0
LINES = {"Accept": "application/x-ndjson"}


def _translated(error: errors.WarmcellError) -> SandboxSDKError:
    if isinstance(error, errors.RateLimitError):
        return RateLimitError(int((error.retry_after_s or 1.0) * 1000))
    if isinstance(error, errors.UnauthorizedError):
        return AuthenticationError(error.detail, error.status)
    if isinstance(error, errors.GatewayTimeoutError):
        return TimeoutError(error.detail)
    if isinstance(error, errors.ProblemError):
        return SandboxError(error.detail, error.status)
    return ConnectionError(str(error))


class Transport:
    """The connections of one SandboxSDK."""

    def __init__(
        self,
        config: Mapping[str, Any],
        metrics: MetricsCollector,
        log: Callable[[str, str], None],
    ) -> None:
        try:
            address = Address.parse(config["server_url"], config["api_key"])
        except ValueError as error:
            raise SandboxSDKError(f"Invalid server URL provided: {error}") from error
        self._retries = int(config["max_retries"])
        self._delay_s = config["retry_delay"] / 1000
        self._metrics = metrics
        self._log = log
        self._http = Http(address, Patience(tries=1))
        self._portal = Portal()

    def close(self) -> None:
        if self._portal.open:
            self._portal.call(self._http.close())
            self._portal.close()

    # --- one answer

    def ask(
        self,
        method: str,
        path: str,
        *,
        timeout_ms: int,
        params: Mapping[str, Any] | None = None,
        data: Any = None,
        once: bool = False,
    ) -> Any:
        """What the server answers. once: it makes something, and gets an idempotency key."""
        head = {"Idempotency-Key": new_key()} if once else {}
        with self._counted(method, path):
            return self._portal.call(
                _within(lambda: self._ask(method, path, params, data, head), timeout_ms)
            )

    async def _ask(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        data: Any,
        head: Mapping[str, str],
    ) -> Any:
        body = None if data is None else json.dumps(data).encode()
        headers = {"Content-Type": "application/json", **head} if body else head
        lost = False
        tried = 0
        while True:
            try:
                async with self._http.reply(
                    method, path, params=params, body=body, headers=headers
                ) as response:
                    return json.loads(await response.aread())
            except errors.NotFoundError:
                if lost and method == "DELETE":
                    return {}  # the first of them did it
                raise
            except errors.ConflictError:
                if not (lost and head and tried < self._retries):
                    raise  # else the first of them is still being worked on
                await self._pause(tried, 0)
            except (errors.TransportError, errors.ProblemError) as error:
                lost = lost or isinstance(error, errors.ConnectionLostError)
                await self._pause_for(error, tried)
            tried += 1

    # --- an answer in lines

    def lines(
        self, path: str, *, data: Any, timeout_ms: int | None = None
    ) -> Iterator[Mapping[str, Any]]:
        """The lines of a run as they come, each once, also over several connections."""
        with self._counted("POST", path):
            yield from self._portal.iterate(self._lines(path, data, timeout_ms))

    async def _lines(
        self, path: str, data: Any, timeout_ms: int | None
    ) -> AsyncIterator[Mapping[str, Any]]:
        head = {"Content-Type": "application/json", "Idempotency-Key": new_key(), **LINES}
        body = json.dumps(data).encode()
        until = None if timeout_ms is None else time.monotonic() + timeout_ms / 1000
        taken = tried = 0
        while True:
            try:
                async with self._http.reply("POST", path, body=body, headers=head) as response:
                    number = 0
                    async for line in _split(response.aiter_bytes(), until):
                        number += 1
                        if number > taken:
                            taken = number
                            yield json.loads(line)
                return
            except (errors.TransportError, errors.ProblemError) as error:
                await self._pause_for(error, tried)
            tried += 1

    # --- again, and errors

    async def _pause(self, tried: int, least_s: float) -> None:
        await asyncio.sleep(min(max(least_s, self._delay_s * 2**tried), LONGEST_PAUSE_S))

    async def _pause_for(self, error: errors.WarmcellError, tried: int) -> None:
        """Waits until it may be tried again; raises the error where it may not."""
        not_now = isinstance(error, (errors.RateLimitError, errors.UnavailableError))
        if tried >= self._retries or not (not_now or isinstance(error, errors.TransportError)):
            raise error
        self._log("warn", f"try {tried + 2} of {self._retries + 1}: {error}")
        after_s = error.retry_after_s if isinstance(error, errors.ProblemError) else None
        await self._pause(tried, after_s or 0)

    @contextmanager
    def _counted(self, method: str, path: str) -> Iterator[None]:
        begun = time.monotonic()
        good = True
        try:
            yield
        except errors.WarmcellError as error:
            good = False
            self._log("error", f"{method} {path}: {error}")
            raise _translated(error) from error
        except SandboxSDKError as error:
            good = False
            self._log("error", f"{method} {path}: {error}")
            raise
        finally:
            took_ms = (time.monotonic() - begun) * 1000
            self._metrics.record_request(good, took_ms)
            self._log("debug", f"{method} {path}: {took_ms:.0f} ms")


async def _within(work: Callable[[], Coroutine[Any, Any, T]], timeout_ms: int) -> T:
    try:
        return await asyncio.wait_for(work(), timeout_ms / 1000)
    except asyncio.TimeoutError:
        raise TimeoutError(f"Request timeout after {timeout_ms}ms") from None


async def _split(pieces: AsyncIterator[bytes], until: float | None) -> AsyncIterator[bytes]:
    """Lines that end in \\n alone: other ends may stand in JSON."""
    rest = b""
    source = pieces.__aiter__()
    while True:
        left_s = None if until is None else max(until - time.monotonic(), 0)
        try:
            piece = await asyncio.wait_for(source.__anext__(), left_s)
        except StopAsyncIteration:
            break
        except asyncio.TimeoutError:
            raise TimeoutError("Request timeout: the run goes on") from None
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line
    if rest:
        raise errors.ConnectionLostError("the stream broke off in a line")
