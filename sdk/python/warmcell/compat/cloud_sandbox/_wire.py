"""Requests to a gateway, and its answers as values or errors of this package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from warmcell._core.address import Address
from warmcell.compat.cloud_sandbox.exceptions import (
    BY_STATUS,
    SandboxError,
    ServiceUnavailableError,
    TimeoutError,  # noqa: A004 - the original's name
)

__all__ = ["Wire"]

CONNECT_S = 10.0
CONNECT_TRIES = 3
REPEATABLE = {"GET", "PUT"}


def _error_of(response: httpx.Response) -> SandboxError:
    try:
        said = response.json()
    except ValueError:
        said = None
    data = said if isinstance(said, dict) else {"raw": response.text}
    # of a 401 `error` is a word; the native API says `detail`
    sentence = data.get("message") or data.get("error") or data.get("detail")
    kind = BY_STATUS.get(response.status_code, SandboxError)
    return kind(
        str(sentence or f"the gateway answered {response.status_code}"), response.status_code, data
    )


class Wire:
    """Pooled connections to one gateway, which any thread may use: `http://HOST:PORT`, `https://…`
    or `unix:/PATH`. After close they are made again when they are needed."""

    def __init__(self, url: str) -> None:
        try:
            self._address = Address.parse(url)
        except ValueError as error:
            raise SandboxError(str(error)) from error
        self._client = self._open()

    def _open(self) -> httpx.Client:
        tls = self._address.tls()
        transport = httpx.HTTPTransport(
            uds=self._address.socket, verify=tls or False, retries=CONNECT_TRIES - 1
        )
        return httpx.Client(base_url=self._address.base, transport=transport)

    def close(self) -> None:
        self._client.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        data: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
        patience_s: float,
        key: str | None = None,
    ) -> httpx.Response:
        """patience_s: seconds for the answer. What may be sent twice, by its method or its
        Idempotency-Key, is sent once more where the connection broke."""
        if self._client.is_closed:
            self._client = self._open()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if key:
            headers["Idempotency-Key"] = key
        request = self._client.build_request(
            method,
            path,
            json=data,
            params=params,
            headers=headers,
            timeout=httpx.Timeout(patience_s, connect=CONNECT_S),
        )
        response = self._try(request, again=bool(key) or method in REPEATABLE)
        if response.status_code >= 400:
            raise _error_of(response)
        return response

    def _try(self, request: httpx.Request, *, again: bool) -> httpx.Response:
        try:
            return self._client.send(request)
        except httpx.ConnectTimeout as error:
            raise ServiceUnavailableError(f"{self._address} does not answer") from error
        except httpx.TimeoutException as error:
            raise TimeoutError(
                f"{self._address} gave no answer to {request.method} {request.url.path} in time"
            ) from error
        except httpx.ConnectError as error:
            raise ServiceUnavailableError(f"no gateway at {self._address}: {error}") from error
        except httpx.TransportError as error:
            if again:
                return self._try(request, again=False)
            raise ServiceUnavailableError(f"{self._address} broke off: {error!r}") from error
