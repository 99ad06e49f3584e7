"""Executes a notebook through a warmcell gateway, the way any Jupyter client would.

    python notebooks/run.py notebooks/first-steps.ipynb --url 'http://127.0.0.1:8888/?token=…'

It starts a kernel with `POST /api/kernels`, runs the code cells one after the other over the
kernel's WebSocket (the v1 framing), folds what comes back into outputs as notebook format 4.5 wants
them, saves the executed notebook, and prints where the gateway keeps the pictures. The kernel is
deleted at the end, however the run ends. Nothing but the standard library and `websockets` is used,
so this file also serves as an example of a client.

Exit status: 0, or 1 when a cell failed, a picture is missing among the artifacts, or the gateway
could not be used; 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import os
import signal
import struct
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

Json = dict[str, Any]

V1 = Subprotocol("v1.kernel.websocket.jupyter.org")
PICTURES = {"image/png", "image/jpeg", "image/gif", "image/svg+xml", "application/pdf"}
TEXT_PICTURES = {"image/svg+xml"}
START_S = 60.0  # how long a kernel may take until it answers
ARTIFACTS_S = 10.0  # how long the gateway may take to store the last picture

# a gateway is spoken to directly, whatever proxy the environment names
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class RunError(Exception):
    """What went wrong, in one sentence for the person who started the run."""


# ---- the gateway ----------------------------------------------------------------------------


@dataclass
class Gateway:
    """Where the gateway is and how it lets us in."""

    base: str
    token: str

    @classmethod
    def from_url(cls, url: str) -> Gateway:
        """Takes the URL that the gateway prints: http://host:port/base/?token=…, or one without a
        token, which is then in the environment's WARMCELL_TOKEN."""
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise RunError(f"not the URL of a gateway: {url}")
        given = urllib.parse.parse_qs(parts.query).get("token", [])
        token = given[0] if given else os.environ.get("WARMCELL_TOKEN", "")
        base = urllib.parse.urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
        return cls(base.rstrip("/"), token)

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"token {self.token}"} if self.token else {}

    def call(self, method: str, path: str, body: Json | None = None) -> Any:
        """One HTTP call; the parsed JSON of the answer, or None when it has no body."""
        data = None if body is None else json.dumps(body).encode()
        headers = self.headers() | {"Content-Type": "application/json"}
        request = urllib.request.Request(self.base + path, data, headers, method=method)
        try:
            with DIRECT.open(request, timeout=START_S) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise RunError(f"{method} {path}: {error.code} {reason_of(error)}") from error
        except OSError as error:
            raise RunError(f"cannot reach the gateway at {self.base}: {error}") from error
        return json.loads(text) if text else None

    def channels(self, kernel_id: str) -> ClientConnection:
        """Opens the WebSocket that carries all channels of a kernel."""
        url = f"ws{self.base.removeprefix('http')}/api/kernels/{kernel_id}/channels"
        try:
            return connect(
                url,
                subprotocols=[V1],
                additional_headers=self.headers(),
                max_size=None,
                proxy=None,
                open_timeout=START_S,
            )
        except (OSError, WebSocketException) as error:
            raise RunError(f"cannot open the channels of kernel {kernel_id}: {error}") from error


def reason_of(error: urllib.error.HTTPError) -> str:
    """The sentence in an error's body: Jupyter calls it message, problem+json calls it detail."""
    try:
        body = json.loads(error.read())
        return str(body.get("message") or body.get("detail") or error.reason)
    except (ValueError, AttributeError):
        return str(error.reason)


# ---- messages -------------------------------------------------------------------------------


@dataclass
class Message:
    """One Jupyter message as it came from the WebSocket; buffers are left aside."""

    channel: str
    type: str
    parent_id: str
    content: Json


def encode(channel: str, session: str, msg_type: str, content: Json) -> tuple[str, bytes]:
    """A request in the v1 framing, after its msg_id.

    The frame is a count and that many offsets, little-endian u64, and then the channel, header,
    parent header, metadata and content; the last offset is the length of the whole.
    """
    header = {
        "msg_id": uuid.uuid4().hex,
        "session": session,
        "username": "",
        "date": datetime.now(UTC).isoformat(),
        "msg_type": msg_type,
        "version": "5.4",
    }
    parts = [channel.encode()]
    parts += [json.dumps(part).encode() for part in (header, {}, {}, content)]
    offsets = [8 * (2 + len(parts))]
    for part in parts:
        offsets.append(offsets[-1] + len(part))
    head = struct.pack(f"<{1 + len(offsets)}Q", len(offsets), *offsets)
    return header["msg_id"], head + b"".join(parts)


def decode(frame: str | bytes) -> Message:
    if isinstance(frame, str):
        raise RunError("the gateway answered with text, not in the v1 framing that was asked for")
    (count,) = struct.unpack_from("<Q", frame)
    offsets = struct.unpack_from(f"<{count}Q", frame, 8)
    parts = [frame[a:b] for a, b in pairwise(offsets)]
    header, parent, _, content = (json.loads(part) for part in parts[1:5])
    return Message(parts[0].decode(), header["msg_type"], parent.get("msg_id", ""), content)


# ---- outputs --------------------------------------------------------------------------------


def split_lines(text: str) -> list[str]:
    """Text as a notebook file holds it: a list of lines that keep their ends."""
    return text.splitlines(keepends=True)


def file_data(data: Json) -> Json:
    """A MIME bundle as a notebook file holds it: texts as lists of lines, JSON as it is."""
    is_text = {
        mime: isinstance(value, str) and not mime.endswith("json") for mime, value in data.items()
    }
    return {m: split_lines(v) if is_text[m] and "\n" in v else v for m, v in data.items()}


@dataclass
class Outputs:
    """What the cells of one notebook put out; display ids reach across cells."""

    shown: dict[str, list[Json]] = field(default_factory=dict)
    pictures: dict[str, str] = field(default_factory=dict)  # SHA-256: MIME type
    cell: list[Json] = field(default_factory=list)
    clear_next: bool = False

    def begin(self) -> None:
        self.cell = []
        self.clear_next = False

    def finish(self) -> list[Json]:
        """The outputs of the cell since begin(). Displays among them may still be updated."""
        for output in self.cell:
            if output["output_type"] == "stream":
                output["text"] = split_lines("".join(output["text"]))
        return self.cell

    def add(self, message: Message) -> None:
        """Folds in one iopub message of the running cell; types that show nothing are ignored."""
        content = message.content
        match message.type:
            case "stream":
                self.add_stream(content["name"], content["text"])
            case "display_data" | "execute_result":
                self.add_display(message.type, content)
            case "update_display_data":
                self.update_display(content)
            case "error":
                self.append({"output_type": "error"} | pick(content, "ename evalue traceback"))
            case "clear_output" if content.get("wait"):
                self.clear_next = True
            case "clear_output":
                self.cell.clear()

    def append(self, output: Json) -> None:
        if self.clear_next:
            self.cell.clear()
            self.clear_next = False
        self.cell.append(output)

    def add_stream(self, name: str, text: str) -> None:
        last: Json = self.cell[-1] if self.cell and not self.clear_next else {}
        if last.get("output_type") == "stream" and last["name"] == name:
            last["text"].append(text)
        else:
            self.append({"output_type": "stream", "name": name, "text": [text]})

    def add_display(self, output_type: str, content: Json) -> None:
        self.note_pictures(content["data"])
        output: Json = {"output_type": output_type}
        output |= pick(content, "metadata execution_count")
        output["data"] = file_data(content["data"])
        self.append(output)
        display_id = content.get("transient", {}).get("display_id")
        if display_id:
            self.shown.setdefault(display_id, []).append(output)

    def update_display(self, content: Json) -> None:
        self.note_pictures(content["data"])
        for output in self.shown.get(content.get("transient", {}).get("display_id", ""), []):
            output["data"] = file_data(content["data"])
            output["metadata"] = content["metadata"]

    def note_pictures(self, data: Json) -> None:
        for mime in PICTURES & data.keys():
            text = "".join(data[mime])
            plain = text.encode() if mime in TEXT_PICTURES else base64.b64decode(text)
            self.pictures[hashlib.sha256(plain).hexdigest()] = mime


def pick(content: Json, names: str) -> Json:
    return {name: content[name] for name in names.split() if name in content}


# ---- a run ----------------------------------------------------------------------------------


@dataclass
class Kernel:
    """One kernel and the connection to it."""

    id: str
    socket: ClientConnection
    session: str = field(default_factory=lambda: uuid.uuid4().hex)

    def receive(self, timeout_s: float | None = None) -> Message:
        try:
            message = decode(self.socket.recv(timeout_s))
        except TimeoutError as error:
            raise RunError(f"kernel {self.id} did not answer in {timeout_s:.0f} s") from error
        except ConnectionClosed as error:
            raise RunError(f"the gateway closed the connection: {error}") from error
        if message.type == "status" and message.content.get("execution_state") == "dead":
            raise RunError(f"kernel {self.id} died")
        return message

    def language_info(self) -> Json:
        """Waits until the kernel answers; what a notebook stores about its language."""
        msg_id, frame = encode("shell", self.session, "kernel_info_request", {})
        self.socket.send(frame)
        while True:
            message = self.receive(START_S)
            if message.type == "kernel_info_reply" and message.parent_id == msg_id:
                info: Json = message.content["language_info"]
                return info

    def execute(self, code: str, outputs: Outputs) -> Json:
        """Runs one cell; the reply's content, when both the reply and idle are in."""
        msg_id, frame = encode(
            "shell",
            self.session,
            "execute_request",
            {
                "code": code,
                "silent": False,
                "store_history": True,
                "user_expressions": {},
                "allow_stdin": False,
                "stop_on_error": True,
            },
        )
        self.socket.send(frame)
        reply: Json | None = None
        idle = False
        while reply is None or not idle:
            message = self.receive()
            if message.parent_id != msg_id:
                continue
            if message.type == "execute_reply":
                reply = message.content
            elif message.type == "status":
                idle = message.content["execution_state"] == "idle"
            elif message.channel == "iopub":
                outputs.add(message)
        return reply


def source_of(cell: Json) -> str:
    return "".join(cell["source"])


def title_of(source: str) -> str:
    """The first line that says something, for the progress display."""
    lines = [line.strip() for line in source.splitlines() if line.strip()]
    return lines[0][:60] if lines else ""


def run_cells(kernel: Kernel, notebook: Json, outputs: Outputs) -> bool:
    """Runs the code cells in order and fills them in; False at the first that fails."""
    cells = [c for c in notebook["cells"] if c["cell_type"] == "code" and source_of(c).strip()]
    for number, cell in enumerate(cells, 1):
        print(f"[{number:2}/{len(cells)}] {title_of(source_of(cell)):60}", end="", flush=True)
        began = time.perf_counter()
        outputs.begin()
        reply = kernel.execute(source_of(cell), outputs)
        cell["outputs"] = outputs.finish()
        cell["execution_count"] = reply.get("execution_count")
        print(f" {(time.perf_counter() - began) * 1000:7.1f} ms", flush=True)
        if reply["status"] != "ok":
            print(f"cell {number} failed: {reply.get('ename')}: {reply.get('evalue')}")
            return False
    return True


def forget_old_outputs(notebook: Json) -> None:
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = []
            cell["execution_count"] = None


def list_artifacts(gateway: Gateway, kernel_id: str) -> list[Json]:
    """Every artifact of a kernel, page by page."""
    items: list[Json] = []
    cursor: str | None = ""
    while cursor is not None:
        query = urllib.parse.urlencode(
            {"kernel": kernel_id} | ({"after": cursor} if cursor else {})
        )
        page = gateway.call("GET", f"/v1/artifacts?{query}")
        items += page["artifacts"]
        cursor = page["next"]
    return items


def await_artifacts(gateway: Gateway, kernel_id: str, pictures: set[str]) -> list[Json]:
    """The kernel's artifacts, once every picture is among them: they are stored beside the run."""
    deadline = time.monotonic() + ARTIFACTS_S
    while True:
        items = list_artifacts(gateway, kernel_id)
        missing = pictures - {item["sha256"] for item in items}
        if not missing:
            return items
        if time.monotonic() > deadline:
            raise RunError(
                f"{len(missing)} of {len(pictures)} pictures are not among the artifacts"
            )
        time.sleep(0.02)


def print_artifacts(url: str, items: list[Json], state_dir: Path | None) -> None:
    """Where each artifact is. A token is shown only when the gateway's URL shows it already."""
    base, _, query = url.partition("?")
    print(f"{len(items)} artifacts:")
    for item in items:
        print(f"  {item['mime_type']:14} {item['size_bytes']:8} bytes", end="  ")
        digest = item["sha256"]
        if digest is None:
            print(f"not kept: {item.get('problem')}")
            continue
        print(f"{base.rstrip('/')}/v1/artifacts/{item['id']}/content{query and '?'}{query}")
        if state_dir is not None:
            print(f"{'':31}{state_dir / 'blobs' / digest[:2] / digest[2:]}")


def save(notebook: Json, path: Path) -> None:
    """Writes the notebook whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(notebook, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    new.replace(path)


def load(path: Path) -> Json:
    try:
        notebook: Json = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise RunError(f"{path} is not a notebook: {error}") from error
    if notebook.get("nbformat") != 4 or not isinstance(notebook.get("cells"), list):
        raise RunError(f"{path} is not a notebook of format 4")
    return notebook


@contextmanager
def started_kernel(gateway: Gateway, name: str) -> Iterator[str]:
    """The id of a new kernel, which is deleted at the end of the block, however that comes."""
    kernel_id = gateway.call("POST", "/api/kernels", {"name": name})["id"]
    try:
        yield kernel_id
    except BaseException:
        with suppress(RunError):
            gateway.call("DELETE", f"/api/kernels/{kernel_id}")
        raise
    gateway.call("DELETE", f"/api/kernels/{kernel_id}")


def run(options: argparse.Namespace) -> int:
    gateway = Gateway.from_url(options.url)
    notebook = load(options.notebook)
    forget_old_outputs(notebook)
    name = options.kernel or notebook["metadata"].get("kernelspec", {}).get("name", "warmcell")
    outputs = Outputs()
    with started_kernel(gateway, name) as kernel_id:
        with gateway.channels(kernel_id) as socket:
            kernel = Kernel(kernel_id, socket)
            notebook["metadata"]["language_info"] = kernel.language_info()
            ran = run_cells(kernel, notebook, outputs)
        save(notebook, options.output)
        print(f"executed notebook: {options.output}")
        if not options.no_artifacts:
            items = await_artifacts(gateway, kernel_id, set(outputs.pictures))
            print_artifacts(options.url, items, options.state_dir)
    return 0 if ran else 1


def on_terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def parse_options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="run.py", description="Executes a notebook through a gateway."
    )
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--url", required=True, help="the gateway's URL with its token")
    parser.add_argument("--output", type=Path, help="where to save (default: NOTEBOOK.out.ipynb)")
    parser.add_argument("--kernel", help="the kernelspec's name (default: what the notebook says)")
    parser.add_argument("--state-dir", type=Path, help="the gateway's, to print the paths of blobs")
    parser.add_argument("--no-artifacts", action="store_true", help="do not ask for artifacts")
    options = parser.parse_args(arguments)
    if options.output is None:
        options.output = options.notebook.with_suffix(".out.ipynb")
    return options


def main() -> int:
    options = parse_options(sys.argv[1:])
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal may lack signs that a notebook has
    signal.signal(signal.SIGTERM, on_terminate)
    signal.signal(signal.SIGINT, on_terminate)  # a shell's background job starts with it ignored
    try:
        return run(options)
    except RunError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("run.py: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
