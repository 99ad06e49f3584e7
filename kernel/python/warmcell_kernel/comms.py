"""Comms (what ipywidgets talk through), by way of the package ``comm``."""

from __future__ import annotations

import sys
from typing import Any

import _warmcell
import comm
from comm.base_comm import BaseComm, CommManager


class KernelComm(BaseComm):
    """A comm whose messages go out on IOPub with the parent of the running code."""

    def publish_msg(
        self,
        msg_type: str,
        data: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        buffers: list[Any] | None = None,
        **keys: Any,
    ) -> None:
        content = {"data": data or {}, "comm_id": self.comm_id, **keys}
        flat = [memoryview(b).cast("B") for b in buffers] if buffers else None
        _warmcell.publish(msg_type, metadata or {}, content, flat)


_manager = CommManager()


def _create_comm(*args: Any, **kwargs: Any) -> KernelComm:
    return KernelComm(*args, **kwargs)


def _get_comm_manager() -> CommManager:
    return _manager


comm.create_comm = _create_comm
comm.get_comm_manager = _get_comm_manager


def manager() -> CommManager:
    """The comm manager of the process."""
    return _manager


def comm_info(content: dict[str, Any]) -> dict[str, Any]:
    """The content of comm_info_reply."""
    wanted = content.get("target_name")
    comms = {
        comm_id: {"target_name": c.target_name}
        for comm_id, c in _manager.comms.items()
        if wanted is None or c.target_name == wanted
    }
    return {"comms": comms, "status": "ok"}


def handle(message: dict[str, Any]) -> None:
    """Runs the handlers of comm_open, comm_msg or comm_close; their errors go to stderr."""
    content = message["content"]
    if not isinstance(content.get("comm_id"), str):
        print(f"{message['msg_type']}: comm_id: is required", file=sys.stderr)
        return
    if message["msg_type"] == "comm_open" and "target_name" not in content:
        content["target_name"] = ""
    getattr(_manager, message["msg_type"])(None, None, message)
