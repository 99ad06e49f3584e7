"""notebooks/run.py: its framing is that of Jupyter, and so is how messages become outputs."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_server.services.kernels.connection.base import (
    deserialize_msg_from_ws_v1,
    serialize_msg_to_ws_v1,
)

from notebooks import run

ROOT = Path(__file__).resolve().parents[2]


def message(msg_type: str, **content: Any) -> run.Message:
    return run.Message("iopub", msg_type, "", content)


def stream(text: str, name: str = "stdout") -> run.Message:
    return message("stream", name=name, text=text)


def shown(text: str, display_id: str | None = None, kind: str = "display_data") -> run.Message:
    transient = {"display_id": display_id} if display_id else {}
    return message(kind, data={"text/plain": text}, metadata={}, transient=transient)


def fold(*messages: run.Message) -> list[run.Json]:
    outputs = run.Outputs()
    outputs.begin()
    for each in messages:
        outputs.add(each)
    return outputs.finish()


def texts(outputs: list[run.Json]) -> list[str]:
    return ["".join(o["text"] if "text" in o else o["data"]["text/plain"]) for o in outputs]


def test_requests_are_in_jupyters_framing() -> None:
    msg_id, frame = run.encode("shell", "me", "execute_request", {"code": "é"})
    channel, parts = deserialize_msg_from_ws_v1(frame)
    header, parent, metadata, content = (json.loads(part) for part in parts)
    assert channel == "shell"
    assert (header["msg_id"], header["session"]) == (msg_id, "me")
    assert (parent, metadata, content) == ({}, {}, {"code": "é"})


@pytest.mark.parametrize("buffers", [[], [b"", b"\x00\xff" * 9]])
def test_messages_come_out_of_jupyters_framing(buffers: list[bytes]) -> None:
    parts: list[Any] = [{"msg_type": "stream"}, {"msg_id": "p"}, {}, {"text": "é"}]
    frame = serialize_msg_to_ws_v1(
        [*(json.dumps(part).encode() for part in parts), *buffers], "iopub"
    )
    assert run.decode(frame) == run.Message("iopub", "stream", "p", {"text": "é"})


def test_text_of_one_stream_is_one_output() -> None:
    outputs = fold(stream("a\nb"), stream("c\n"), stream("!", "stderr"), stream("d"))
    assert [o["text"] for o in outputs] == [["a\n", "bc\n"], ["!"], ["d"]]


def test_clear_output() -> None:
    assert texts(fold(stream("a"), message("clear_output", wait=False))) == []
    assert texts(fold(stream("a"), message("clear_output", wait=True))) == ["a"]
    assert texts(fold(stream("a"), message("clear_output", wait=True), stream("b"))) == ["b"]
    assert texts(fold(stream("a"), message("clear_output", wait=True), shown("b"))) == ["b"]


def test_displays_are_updated_in_every_cell() -> None:
    outputs = run.Outputs()
    outputs.begin()
    outputs.add(shown("old", "x"))
    outputs.add(shown("other", "y"))
    first = outputs.finish()
    outputs.begin()
    outputs.add(shown("old", "x"))
    outputs.add(shown("new", "x", "update_display_data"))
    assert texts(first) == ["new", "other"]
    assert texts(outputs.finish()) == ["new"]


def test_pictures_are_known_by_their_bytes() -> None:
    png, svg = b"\x89PNG...", "<svg>é</svg>"
    outputs = run.Outputs()
    outputs.begin()
    data = {"image/png": base64.b64encode(png).decode() + "\n", "image/svg+xml": svg}
    outputs.add(message("display_data", data=data, metadata={}, transient={}))
    outputs.add(message("display_data", data=data, metadata={}, transient={}))
    assert outputs.pictures == {
        hashlib.sha256(png).hexdigest(): "image/png",
        hashlib.sha256(svg.encode()).hexdigest(): "image/svg+xml",
    }


def test_outputs_are_valid_in_a_notebook(tmp_path: Path) -> None:
    notebook = run.load(ROOT / "notebooks" / "first-steps.ipynb")
    cell = next(c for c in notebook["cells"] if c["cell_type"] == "code")
    data = {"text/plain": "1\n2", "application/json": {"a": [1]}, "image/png": "aGk=\n"}
    cell["outputs"] = fold(
        stream("a\n"),
        message("execute_result", data=data, metadata={}, execution_count=3, transient={}),
        message("error", ename="E", evalue="v", traceback=["a", "b"], extra=1),
        message("status", execution_state="busy"),
    )
    run.save(notebook, tmp_path / "new" / "saved.ipynb")
    saved = nbformat.read(tmp_path / "new" / "saved.ipynb", as_version=nbformat.NO_CONVERT)
    nbformat.validate(saved)
    outputs = next(c for c in saved.cells if c.cell_type == "code").outputs
    assert [o.output_type for o in outputs] == ["stream", "execute_result", "error"]
    assert outputs[1].data["text/plain"] == "1\n2"
    assert outputs[1].data["application/json"] == {"a": [1]}


@pytest.mark.parametrize("name", ["first-steps", "rich-output"])
def test_notebooks_are_valid_and_carry_no_outputs(name: str) -> None:
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "warmcell"
    assert not [c for c in notebook.cells if c.cell_type == "code" and c.outputs]


@pytest.mark.parametrize(
    ("url", "base", "token"),
    [
        ("http://127.0.0.1:8888/?token=abc", "http://127.0.0.1:8888", "abc"),
        ("https://h/deep/base/?token=a%2Bb", "https://h/deep/base", "a+b"),
        ("http://[::1]:9", "http://[::1]:9", ""),
    ],
)
def test_url_of_a_gateway(url: str, base: str, token: str) -> None:
    assert run.Gateway.from_url(url) == run.Gateway(base, token)


def test_not_a_url() -> None:
    with pytest.raises(run.RunError, match="not the URL of a gateway"):
        run.Gateway.from_url("localhost:8888")
