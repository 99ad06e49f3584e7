"""Files and artifacts of sandboxes, as the client has them."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import warmcell
from warmcell.models import Progress

SVG = "<svg xmlns='http://www.w3.org/2000/svg' width='3' height='2'/>"
MAKE = f"""
from IPython.display import SVG, display
display(SVG({SVG!r}))
open("table.csv", "w").write("a,b\\n1,2\\n")
"""


def test_files(sandbox: warmcell.Sandbox) -> None:
    files = sandbox.files
    files.write("data/ä #?.txt", "text", mode=0o640)
    files.write("/workspace/data/b", b"\x00\xff")
    assert files.read_text("data/ä #?.txt") == "text"
    assert files.read("data/b") == b"\x00\xff"
    assert sandbox.run("open('data/ä #?.txt').read()").text == "'text'"
    assert [(one.name, one.kind) for one in files.list("data")] == [
        ("b", "file"),
        ("ä #?.txt", "file"),
    ]
    entry = files.stat("data/ä #?.txt")
    assert (entry.size_bytes, entry.mode) == (4, "0640")
    with pytest.raises(warmcell.PreconditionError):
        files.write("data/b", "other", new=True)
    assert entry.etag
    files.write("data/ä #?.txt", "newer", if_match=entry.etag)
    with pytest.raises(warmcell.PreconditionError):
        files.write("data/ä #?.txt", "newest", if_match=entry.etag)
    files.append("data/log", "one\n")
    files.append("data/log", "two\n")
    files.move("data/log", "log")
    files.copy("data", "copy")
    files.make_folder("empty")
    files.change_mode("log", 0o755)
    assert files.stat("log").mode == "0755"
    assert files.read_text("log") == "one\ntwo\n"
    assert [one.name for one in files.list("copy")] == ["b", "ä #?.txt"]
    assert files.exists("copy/b") and not files.exists("data/log")
    with pytest.raises(warmcell.InvalidRequestError, match=r"\.\."):
        files.delete("..", recursive=True)
    with pytest.raises(warmcell.ProblemError):
        files.delete("copy")
    files.delete("copy", recursive=True)
    with pytest.raises(warmcell.NotFoundError):
        files.read("copy/b")


def test_long_transfers_tell_how_far_they_are(sandbox: warmcell.Sandbox, tmp_path: Path) -> None:
    content = bytes(range(256)) * 12_345
    source = tmp_path / "long"
    source.write_bytes(content)
    source.chmod(0o751)
    up: list[Progress] = []
    sandbox.files.upload(source, progress=up.append)
    assert up[-1] == Progress(len(content), len(content)) and len(up) == 4
    assert sandbox.files.stat("long").mode == "0751"
    down: list[Progress] = []
    back = sandbox.files.download("long", tmp_path / "back", progress=down.append)
    assert back.read_bytes() == content
    assert down[-1] == Progress(len(content), len(content))
    assert [one.done_bytes for one in down] == sorted(one.done_bytes for one in down)
    assert sandbox.files.download("long", tmp_path) == tmp_path / "long"

    def stop(_: Progress) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        sandbox.files.download("long", tmp_path / "half", progress=stop)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["back", "long"]


def test_a_watch(sandbox: warmcell.Sandbox) -> None:
    watch = sandbox.files.watch()
    assert next(watch)["type"] == "ready"
    sandbox.files.write("seen", "")
    assert next(event for event in watch if event.get("path") == "seen")
    watch.close()  # type: ignore[attr-defined]


def test_artifacts(client: warmcell.Client, tmp_path: Path) -> None:
    sandbox = client.sandboxes.create()
    ran = sandbox.run(MAKE, check=True)
    assert ran.displays[0].content("image/svg+xml").decode().startswith("<svg")
    picture, table = ran.artifacts()
    assert (picture.mime_type, picture.info.width, picture.info.height) == ("image/svg+xml", 3, 2)
    assert (table.name, table.read()) == ("table.csv", b"a,b\n1,2\n")
    saved = table.save(tmp_path)
    assert saved == tmp_path / "table.csv" and saved.read_bytes() == table.read()
    assert stat.S_IMODE(saved.stat().st_mode) & 0o400
    assert picture.save(tmp_path / "p.svg").read_bytes() == picture.read()
    assert picture.name == f"{picture.id}.svg"
    bundle, _ = picture._repr_mimebundle_()
    assert bundle["image/svg+xml"].startswith("<svg") and "image/svg+xml" in bundle["text/plain"]
    assert [(one.path, one.what) for one in ran.changes()] == [("table.csv", "added")]
    listed = {one.id for one in sandbox.artifacts.list(kind="display", mime_type="image/")}
    assert listed == {picture.id}
    assert client.artifacts.get(picture.id).info == picture.info
    picture.delete()
    with pytest.raises(warmcell.NotFoundError):
        client.artifacts.get(picture.id)
    sandbox.delete()
