"""Our framings and signatures against those of jupyter_server and jupyter_client.

The program framing_cat of the build in WARMCELL_BUILD (build/release) does our side.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.jsonutil import json_default
from jupyter_client.session import DELIM, Session
from jupyter_server.services.kernels.connection.base import (
    deserialize_binary_message,
    deserialize_msg_from_ws_v1,
    serialize_binary_message,
    serialize_msg_to_ws_v1,
)

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("WARMCELL_BUILD", ROOT / "build" / "release"))
CHANNELS = ["shell", "control", "stdin", "iopub"]
SECRET = "a0436f6c-1916-498b-8eb9-e81ab9368e84"
BUFFERS: list[list[bytes]] = [[], [b"one"], [b"\x00\xff" * 1000, b"", b"end"]]
CONTENTS: list[dict[str, Any]] = [
    {},
    {"code": "print('é€😀')\n", "silent": False, "user_expressions": {"a": "0.1"}},
    {"data": {"x": [0.1, 1e300, -5, None, True], "text": '\\"\n\x7f' * 10000}},
]


def convert(data: bytes, source: str, target: str, secret: str = "") -> bytes:
    program = BUILD / "tests" / "protocol" / "framing_cat"
    done = subprocess.run(
        [program, source, target, secret], input=data, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def session(secret: str = SECRET) -> Session:
    return Session(key=secret.encode(), signature_scheme="hmac-sha256")


def message(content: dict[str, Any]) -> dict[str, Any]:
    request = session().msg("execute_request", {})
    return session().msg("stream", content, parent=request, metadata={"é": 0.1})


def packed(msg: dict[str, Any]) -> list[bytes]:
    pack = session().pack
    return [pack(msg[name]) for name in ("header", "parent_header", "metadata", "content")]


@pytest.mark.parametrize("buffers", BUFFERS, ids=len)
@pytest.mark.parametrize("content", CONTENTS, ids=len)
@pytest.mark.parametrize("channel", CHANNELS)
def test_v1_frame_becomes_the_json_frame(
    channel: str, content: dict[str, Any], buffers: list[bytes]
) -> None:
    frames = packed(message(content))
    ours = convert(serialize_msg_to_ws_v1([*frames, *buffers], channel), "v1", "json")
    if buffers:
        got = deserialize_binary_message(ours)
        text = ours[struct.unpack("!2I", ours[:8])[1] : -len(b"".join(buffers))]
    else:
        got = json.loads(ours)
        text = ours
    header, parent, metadata, body = (json.loads(frame) for frame in frames)
    assert got.pop("buffers") == buffers
    assert got.pop("channel") == channel
    assert got.pop("msg_id") == header["msg_id"]
    assert got.pop("msg_type") == header["msg_type"]
    assert json.loads(text)["header"] == header
    assert json.loads(text)["parent_header"] == parent
    assert (got["metadata"], got["content"]) == (metadata, body)
    for frame in frames:
        assert frame in text  # byte for byte, not parsed and printed again


@pytest.mark.parametrize("buffers", BUFFERS, ids=len)
@pytest.mark.parametrize("content", CONTENTS, ids=len)
def test_json_frame_becomes_the_v1_frame(content: dict[str, Any], buffers: list[bytes]) -> None:
    msg = message(content) | {"channel": "control"}
    text = json.dumps(msg, default=json_default).encode()
    if buffers:
        ours = convert(serialize_binary_message(msg | {"buffers": buffers}), "binary", "v1")
    else:
        ours = convert(text, "json", "v1")
    channel, frames = deserialize_msg_from_ws_v1(ours)
    assert channel == "control"
    assert frames[4:] == buffers
    names = ("header", "parent_header", "metadata", "content")
    assert [json.loads(f) for f in frames[:4]] == [json.loads(text)[name] for name in names]
    assert serialize_msg_to_ws_v1(frames, channel) == ours


@pytest.mark.parametrize("secret", [SECRET, ""])
@pytest.mark.parametrize("buffers", BUFFERS, ids=len)
def test_jupyter_client_accepts_our_signature(secret: str, buffers: list[bytes]) -> None:
    frames = packed(message(CONTENTS[1]))
    wire = convert(serialize_msg_to_ws_v1([*frames, *buffers], "shell"), "v1", "wire", secret)
    parts = []
    while wire:
        size = struct.unpack("<I", wire[:4])[0]
        parts.append(wire[4 : 4 + size])
        wire = wire[4 + size :]
    identities, rest = session(secret).feed_identities(parts)
    got = session(secret).deserialize(rest)
    assert identities == []
    assert rest[0] == session(secret).sign(frames)
    assert got["content"] == CONTENTS[1]
    assert [bytes(buffer) for buffer in got["buffers"]] == buffers


@pytest.mark.parametrize("secret", [SECRET, ""])
@pytest.mark.parametrize("buffers", BUFFERS, ids=len)
def test_we_accept_the_signature_of_jupyter_client(secret: str, buffers: list[bytes]) -> None:
    parts = session(secret).serialize(message(CONTENTS[2]), ident=[b"client", b""])
    assert parts[2] == DELIM
    wire = b"".join(struct.pack("<I", len(part)) + part for part in [*parts, *buffers])
    channel, frames = deserialize_msg_from_ws_v1(convert(wire, "wire", "v1", secret))
    assert channel == "shell"
    assert frames == [*parts[4:], *buffers]


def test_a_changed_byte_is_refused() -> None:
    parts = session().serialize(message(CONTENTS[1]))
    parts[-1] = parts[-1].replace(b"print", b"Print")
    wire = b"".join(struct.pack("<I", len(part)) + part for part in parts)
    program = BUILD / "tests" / "protocol" / "framing_cat"
    done = subprocess.run(
        [program, "wire", "v1", SECRET], input=wire, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, b"401 message: the signature is wrong\n")
