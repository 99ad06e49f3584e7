"""Wheels and an index of a test's own: nothing is fetched from anywhere else."""

from __future__ import annotations

import base64
import hashlib
import threading
import zipfile
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from types import TracebackType

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def write_wheel(
    folder: Path, name: str, version: str, files: dict[str, bytes], requires: tuple[str, ...] = ()
) -> Path:
    """A wheel of any platform with these files."""
    place = f"{name}-{version}.dist-info"
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    inside = files | {
        f"{place}/METADATA": (head + "".join(f"Requires-Dist: {r}\n" for r in requires)).encode(),
        f"{place}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},{digest(data)},{len(data)}\n" for path, data in inside.items())
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for at, data in inside.items():
            archive.writestr(at, data)
        archive.writestr(f"{place}/RECORD", f"{record}{place}/RECORD,,\n")
    path.chmod(0o644)
    return path


def digest(data: bytes) -> str:
    text = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"sha256={text}"


def needed_by(requirements: Iterable[str]) -> list[metadata.Distribution]:
    """What is installed here of these and of all that they need."""
    waiting = [Requirement(text) for text in requirements]
    found: dict[str, metadata.Distribution] = {}
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        if name not in found and (not one.marker or one.marker.evaluate({"extra": ""})):
            found[name] = metadata.distribution(name)
            waiting += map(Requirement, found[name].requires or ())
    return list(found.values())


def repack(installed: metadata.Distribution, folder: Path) -> None:
    """The wheel that it was installed from, without scripts and data."""
    said = (installed.read_text("WHEEL") or "").splitlines()
    tags = [line.removeprefix("Tag: ").split("-") for line in said if line.startswith("Tag: ")]
    tag = "-".join(".".join(sorted(set(words))) for words in zip(*tags, strict=True))
    name = canonicalize_name(installed.metadata["Name"]).replace("-", "_")
    made_here = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
    files = [
        file
        for file in installed.files or ()
        if ".." not in file.parts and file.suffix != ".pyc" and file.name not in made_here
    ]
    place = next(file.parent for file in files if file.name == "METADATA")
    with zipfile.ZipFile(folder / f"{name}-{installed.version}-{tag}.whl", "w") as archive:
        for file in files:
            archive.write(file.locate(), str(file))
        record = "".join(f"{file},,\n" for file in files)
        archive.writestr(f"{place}/RECORD", f"{record}{place}/RECORD,,\n")


class Index:
    """A package index (PEP 503) at 127.0.0.1: lists the wheels of a folder, and serves its files.

    A project whose name is in `held` is not answered before release(); asked: it was asked for.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.held: set[str] = set()
        self.asked = threading.Event()
        self._released = threading.Event()
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/simple/"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        last = request.path.rstrip("/").rpartition("/")[2]
        if request.path.startswith("/files/"):
            body = (self.folder / last).read_bytes()
        else:
            if last in self.held:
                self.asked.set()
                self._released.wait()
            names = [path.name for path in self.folder.glob(f"{last}-*.whl")]
            body = "".join(f'<a href="/files/{name}">{name}</a>\n' for name in names).encode()
        request.send_response(200 if body else 404)
        request.send_header("Content-Type", "text/html")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def hold(self, *names: str) -> None:
        self.held = set(names)
        self.asked.clear()
        self._released.clear()

    def release(self) -> None:
        self.held = set()
        self._released.set()

    def __enter__(self) -> Index:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()
