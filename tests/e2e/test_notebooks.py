"""nbclient and papermill execute every notebook of notebooks/, directly and through the
gateway, and get what ipykernel gives.

Compared are the outputs of each code cell, normalised:

- ids: `id`, `model_id`, `display_id`, UUIDs and long runs of hexadecimal digits become `<id>`;
- addresses: `0x7f…` becomes `<address>`;
- times: dates, clock times, and numbers with a unit of time become `<time>`; so do the numbers of
  `%time` and `%timeit`;
- execution metadata (`metadata.execution`, papermill's own) and process ids are left out;
- among neighbouring stream outputs those of one name are joined, `stdout` first: where a stream is
  split says nothing, and ipykernel does not keep the order between its two streams;
- traceback texts are stripped of colours and of the paths of the installation;
- images are compared by their pixels, which leaves out PNG text chunks.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import nbformat
import numpy
import papermill  # type: ignore[import-untyped]
import pytest
from jupyter_server.gateway.gateway_client import GatewayClient
from nbclient import NotebookClient
from PIL import Image
from support.client import ANSI
from support.gateway import Gateway
from support.programs import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
GATEWAY_MANAGER = "support.gateway_manager.NamedKernelManager"
Notebook = dict[str, Any]

PATTERNS = [
    (re.compile(r"0x[0-9a-f]{6,}"), "<address>"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "<id>"),
    (re.compile(r"\b[0-9a-f]{5}_row\d+_col\d+\b|\bT_[0-9a-f]{5}"), "<id>"),
    (re.compile(r"(?<=id=[\"'])[\w-]{20,}(?=[\"'])"), "<id>"),
    (re.compile(r"\b[0-9a-f]{10,}\b"), "<id>"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?"), "<time>"),
    (re.compile(r"\b\d+(\.\d+)?\s?(ns|µs|us|ms|s|min)\b"), "<time>"),
    (re.compile(r"ipykernel_\d+/\d+\.py|/tmp/\S+?/\d+\.py"), "<cell>"),
    (re.compile(r"/\S+/site-packages/|/\S+/lib/python3\.\d+/"), "<library>/"),
]


def normal_text(text: str) -> str:
    text = ANSI.sub("", text)
    for pattern, name in PATTERNS:
        text = pattern.sub(name, text)
    return text


def pixels(encoded: str) -> str:
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
        return f"{image.size} {hashlib.sha256(image.convert('RGBA').tobytes()).hexdigest()}"


def normal_value(key: str, value: Any) -> Any:
    if key in ("image/png", "image/jpeg"):
        return pixels(value)
    if key in ("model_id", "display_id", "id"):
        return "<id>"
    if isinstance(value, dict):
        return {k: normal_value(k, v) for k, v in sorted(value.items())}
    if isinstance(value, list):
        return [normal_value(key, v) for v in value]
    return normal_text(value) if isinstance(value, str) else value


def normal_outputs(cell: Notebook) -> list[Any]:
    outputs: list[Any] = []
    for kind, group in groupby(cell["outputs"], lambda output: output["output_type"]):
        if kind != "stream":
            outputs.extend(json.loads(json.dumps(output)) for output in group)
            continue
        texts: dict[str, str] = {}
        for output in group:
            texts[output["name"]] = texts.get(output["name"], "") + output["text"]
        outputs.extend(
            {"output_type": kind, "name": name, "text": texts[name]}
            for name in sorted(texts, reverse=True)
        )
    return [normal_value("", output) for output in outputs]


def normal(notebook: Notebook) -> list[Any]:
    return [normal_outputs(cell) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def by_nbclient(path: Path, kernel: str, **options: Any) -> Notebook:
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(
        notebook, kernel_name=kernel, timeout=120, resources=resources, **options
    )
    client.execute()
    executed: Notebook = client.nb
    return executed


def by_papermill(path: Path, kernel: str, folder: Path, **options: Any) -> Notebook:
    output = folder / path.name
    papermill.execute_notebook(
        path, output, kernel_name=kernel, progress_bar=False, cwd=str(path.parent), **options
    )
    executed: Notebook = nbformat.read(output, as_version=4)
    return executed


@pytest.fixture(scope="module")
def through_gateway(kernelspec: str) -> Iterator[dict[str, Any]]:
    """What makes nbclient and papermill use jupyter_server's client of a gateway. It shows no token
    when it opens a WebSocket, so this gateway, on loopback, asks for none."""
    GatewayClient.clear_instance()
    client = GatewayClient.instance()
    with Gateway(token="") as gateway:
        client.url = gateway.url
        client.request_timeout = 60.0
        client.init_connection_args()
        yield {"kernel_manager_class": GATEWAY_MANAGER}
    GatewayClient.clear_instance()


@pytest.fixture(scope="module")
def expected() -> dict[Path, list[Any]]:
    """What ipykernel makes of each notebook."""
    return {path: normal(by_nbclient(path, "python3")) for path in NOTEBOOKS}


def test_there_are_notebooks() -> None:
    assert len(NOTEBOOKS) >= 2
    assert "first-steps.ipynb" in {path.name for path in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.parametrize(
    "ways",
    [(tool, way) for tool in ("nbclient", "papermill") for way in ("direct", "gateway")],
    ids="-".join,
)
def test_notebook(
    request: pytest.FixtureRequest,
    path: Path,
    ways: tuple[str, str],
    expected: dict[Path, list[Any]],
    tmp_path: Path,
) -> None:
    tool, way = ways
    kernelspec = request.getfixturevalue("kernelspec")
    options = request.getfixturevalue("through_gateway") if way == "gateway" else {}
    if tool == "nbclient":
        executed = by_nbclient(path, kernelspec, **options)
    else:
        executed = by_papermill(path, kernelspec, tmp_path, **options)
    for got, wanted in zip(normal(executed), expected[path], strict=True):
        assert got == wanted
    assert all(c["execution_count"] for c in executed["cells"] if c["cell_type"] == "code")


def test_the_normaliser_keeps_what_matters() -> None:
    image = Image.fromarray(numpy.zeros((2, 2, 3), dtype="uint8"))
    data = io.BytesIO()
    image.save(data, "png")
    black = base64.b64encode(data.getvalue()).decode()
    other = io.BytesIO()
    Image.fromarray(numpy.full((2, 2, 3), 9, dtype="uint8")).save(other, "png")
    assert pixels(black) != pixels(base64.b64encode(other.getvalue()).decode())
    assert normal_text("at 0x7f12ab34cd56 took 3.2 ms") == "at <address> took <time>"
    assert normal_text("42 rows, 3 columns") == "42 rows, 3 columns"
