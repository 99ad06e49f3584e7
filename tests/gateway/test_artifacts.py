"""What cells display is kept once, listed in pages and served without powers."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from support import processes
from support.fake_kernel import NAME, fake_gateway
from support.gateway import Gateway
from support.socket_client import SocketClient

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20
HTML = "<script>alert('é')</script>"


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    gateway = fake_gateway()
    with gateway:
        yield gateway
    shutil.rmtree(gateway.home, ignore_errors=True)


@pytest.fixture
def client(gateway: Gateway) -> Iterator[SocketClient]:
    kernel = gateway.start_kernel(NAME)
    client = gateway.client(kernel, ready=False)
    client.kernel = kernel  # type: ignore[attr-defined]
    yield client
    client.close()
    gateway.delete_kernel(kernel)


def show(client: SocketClient, data: dict[str, Any], msg_type: str = "display_data") -> str:
    """Displays a MIME bundle; returns the id of the execution."""
    content = json.dumps({"data": data, "metadata": {}})
    return client.run(f"publish {msg_type} {content}").msg_id


def kept(gateway: Gateway, client: SocketClient, count: int, **query: str) -> list[dict[str, Any]]:
    """The artifacts of the client's kernel, once there are so many."""
    kernel = client.kernel  # type: ignore[attr-defined]
    extra = "".join(f"&{name}={value}" for name, value in query.items())

    def rows() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = gateway.get(f"/v1/artifacts?kernel={kernel}{extra}").json()[
            "artifacts"
        ]
        return found

    processes.until(lambda: len(rows()) >= count, f"{count} artifacts")
    assert len(rows()) == count
    return rows()


def test_all_kinds_and_their_bytes(gateway: Gateway, client: SocketClient) -> None:
    encoded = base64.encodebytes(PNG).decode()
    first = show(client, {"text/plain": "x", "image/png": encoded, "text/html": HTML})
    second = show(client, {"image/svg+xml": "<svg/>", "application/javascript": "alert(1)"},
                  "execute_result")  # fmt: skip
    show(client, {"application/pdf": base64.b64encode(b"%PDF-").decode()}, "update_display_data")
    rows = kept(gateway, client, 4)
    expected = [("image/png", PNG), ("text/html", HTML.encode()), ("image/svg+xml", b"<svg/>"),
                ("application/pdf", b"%PDF-")]  # fmt: skip
    assert [row["number"] for row in rows] == [1, 2, 3, 4]
    for row, (mime, data) in zip(rows, expected, strict=True):
        digest = hashlib.sha256(data).hexdigest()
        assert (row["mime_type"], row["size_bytes"], row["sha256"]) == (mime, len(data), digest)
        content = gateway.get(row["content_url"])
        assert (content.status, content.body) == (200, data)
        assert content.headers["content-type"].split(";")[0] == mime
        assert content.headers["x-content-type-options"] == "nosniff"
        assert content.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
        etag = content.headers["etag"]
        again = gateway.get(row["content_url"], headers={"If-None-Match": etag})
        assert again.status == 304
        assert gateway.get(f"/v1/artifacts/{row['id']}").json() == row
        blob = gateway.state / "blobs" / digest[:2] / digest[2:]
        assert blob.read_bytes() == data
    assert [row["execution_id"] for row in rows[:3]] == [first, first, second]
    assert [row["id"] for row in kept(gateway, client, 1, execution=second)] == [rows[2]["id"]]


# a profile of 100 KiB stands before the size, as a camera writes it
JPEG = (b"\xff\xd8" + 2 * (b"\xff\xe2" + (50002).to_bytes(2, "big") + bytes(50000))
        + b"\xff\xc0\0\x11\x08\0\2\1\3\3")  # fmt: skip
IMAGES = ("gif", "webp", "svg+xml", "jpeg")


def test_tables_charts_formulas_and_sound(gateway: Gateway, client: SocketClient) -> None:
    chart = {"data": [{"y": [1, 2]}], "layout": {}}
    size = (7).to_bytes(2, "little") + (3).to_bytes(2, "little")
    shown: dict[str, Any] = {
        "application/json": [1, {"a": 0.10}],
        "application/vnd.plotly.v1+json": chart,
        "application/vnd.vegalite.v5+json": {"mark": "bar"},
        "application/vnd.dataresource+json": {"data": []},
        "application/vnd.jupyter.widget-view+json": {"model_id": "x"},
        "text/markdown": "# é",
        "text/latex": "$x^2$",
        "audio/wav": base64.b64encode(b"RIFF").decode(),
        "video/mp4": base64.b64encode(b"ftyp").decode(),
        "image/gif": base64.b64encode(b"GIF89a" + size).decode(),
        "image/webp": base64.b64encode(b"RIFF    WEBP").decode(),
        "image/svg+xml": '<svg height="345.6pt" viewBox="0 0 460.8 345.6" width="460.8pt"/>',
        "image/jpeg": base64.b64encode(JPEG).decode(),
    }
    show(client, shown)
    rows = {row["mime_type"]: row for row in kept(gateway, client, len(shown) - 1)}
    assert set(shown) - set(rows) == {"application/vnd.jupyter.widget-view+json"}
    for mime, row in rows.items():
        content, value = gateway.get(row["content_url"]), shown[mime]
        assert content.headers["content-type"].split(";")[0] == mime
        if mime.endswith("json"):
            assert json.loads(content.body) == value
        elif mime == "image/svg+xml":
            assert content.body == value.encode()
        elif mime.startswith("text/"):
            assert content.body == value.encode()
            assert content.headers["content-type"].endswith("; charset=utf-8")
        else:
            assert content.body == base64.b64decode(value)
    sizes = {mime: (row["width"], row["height"]) for mime, row in rows.items()}
    assert (sizes["image/gif"], sizes["image/webp"]) == ((7, 3), (None, None))
    assert (sizes["image/svg+xml"], sizes["image/jpeg"]) == ((614, 461), (259, 2))
    only = kept(gateway, client, 4, mime_type="image/")
    assert {row["mime_type"] for row in only} == {f"image/{x}" for x in IMAGES}


def test_the_same_bytes_are_kept_once(gateway: Gateway, client: SocketClient) -> None:
    for _ in range(3):
        show(client, {"text/html": "<i>the same</i>"})
    rows = kept(gateway, client, 3)
    assert len({row["sha256"] for row in rows}) == 1
    assert len({row["id"] for row in rows}) == 3


def test_pages(gateway: Gateway, client: SocketClient) -> None:
    for n in range(7):
        show(client, {"text/html": f"<b>{n}</b>"})
    kept(gateway, client, 7)
    found: list[int] = []
    after: str | None = "0"
    for expected in (3, 3, 1):
        kernel = client.kernel  # type: ignore[attr-defined]
        page = gateway.get(f"/v1/artifacts?kernel={kernel}&limit=3&after={after}").json()
        assert len(page["artifacts"]) == expected
        found += [row["number"] for row in page["artifacts"]]
        after = page["next"]
    assert (found, after) == ([1, 2, 3, 4, 5, 6, 7], None)


def test_what_cannot_be_kept_says_why(gateway: Gateway, client: SocketClient) -> None:
    show(client, {"image/png": "not base64!", "image/gif": {"an": "object"}, "text/html": 5})
    rows = kept(gateway, client, 3)
    for row in rows:
        assert row["sha256"] is None
        assert row["content_url"] is None
        assert row["problem"]
        gone = gateway.get(f"/v1/artifacts/{row['id']}/content")
        assert gone.status == 410
        assert row["problem"] in gone.json()["detail"]


@pytest.mark.parametrize(
    ("query", "field"),
    [("limit=0", "limit"), ("limit=1001", "limit"), ("limit=x", "limit"), ("after=-1", "after"),
     ("after=", "after"), ("limit=99999999999999999999", "limit")],
)  # fmt: skip
def test_bad_queries(gateway: Gateway, query: str, field: str) -> None:
    answer = gateway.get(f"/v1/artifacts?{query}")
    assert answer.status == 400
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert field in answer.json()["detail"]


def test_a_gateway_that_is_killed_misses_none() -> None:
    gateway = fake_gateway()
    with gateway:
        kernel = gateway.start_kernel(NAME)
        client = gateway.client(kernel, ready=False)
        client.kernel = kernel  # type: ignore[attr-defined]
        for n in range(200):
            client.execute("publish display_data " + json.dumps(
                {"data": {"text/html": f"<b>{n}</b>"}, "metadata": {}}))  # fmt: skip
        client.take(lambda m: m.msg_type == "display_data")
        gateway.kill()
        gateway.start()
        processes.until(
            lambda: gateway.kernel_model(kernel)["execution_state"] == "idle", "all have run"
        )
        client.close()
        client = gateway.client(kernel, ready=False)
        executed = int(client.run("count").stdout)
        processes.until(
            lambda: len(
                gateway.get(f"/v1/artifacts?kernel={kernel}&limit=1000").json()["artifacts"]
            ) == executed - 1,
            "one for each cell that ran",
        )  # fmt: skip
        client.close()
    shutil.rmtree(gateway.home)
