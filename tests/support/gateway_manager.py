"""jupyter_server's manager of a kernel behind a gateway, starting the kernel it was made for."""

from __future__ import annotations

from typing import Any

from jupyter_server.gateway.managers import GatewayKernelManager


class NamedKernelManager(GatewayKernelManager):
    """By itself it would start "python3" whatever its kernel_name says."""

    async def start_kernel(self, **options: Any) -> None:  # type: ignore[override]
        await super().start_kernel(**{"kernel_name": self.kernel_name} | options)
