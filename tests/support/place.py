"""Where a kernel is met: directly over ZeroMQ, or through a gateway in either framing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from support.client import Client
from support.direct import Kernel
from support.gateway import Gateway

KINDS = ("direct", "v1", "json")


class Place(ABC):
    @abstractmethod
    def client(self, session: str | None = None) -> Client: ...

    @abstractmethod
    def slow_client(self) -> Client:
        """One for which as little as possible is taken in ahead of its reading."""

    @abstractmethod
    def interrupt(self) -> None: ...


class DirectPlace(Place):
    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def client(self, session: str | None = None) -> Client:
        return self.kernel.client(session)

    def slow_client(self) -> Client:
        return self.kernel.client(rcvhwm=1, rcvbuf=4096)

    def interrupt(self) -> None:
        self.kernel.interrupt()


class GatewayPlace(Place):
    def __init__(self, gateway: Gateway, kernel: str, framing: str) -> None:
        self.gateway = gateway
        self.kernel = kernel
        self.framing = framing
        self.clients: list[Client] = []

    def _opened(self, **options: Any) -> Client:
        client = self.gateway.client(self.kernel, framing=self.framing, **options)
        self.clients.append(client)
        return client

    def client(self, session: str | None = None) -> Client:
        return self._opened(session=session)

    def slow_client(self) -> Client:
        return self._opened(rcvbuf=4096)

    def interrupt(self) -> None:
        answer = self.gateway.request("POST", f"/api/kernels/{self.kernel}/interrupt")
        assert answer.status == 204


@contextmanager
def met(kind: str, kernelspec: str, gateway: Gateway) -> Iterator[Place]:
    """A kernel of its own, met in one of the KINDS."""
    if kind == "direct":
        with Kernel(kernelspec) as kernel:
            yield DirectPlace(kernel)
        return
    kernel_id = gateway.start_kernel(kernelspec)
    place = GatewayPlace(gateway, kernel_id, kind)
    try:
        yield place
    finally:
        for client in place.clients:
            client.close()
        gateway.delete_kernel(kernel_id)
