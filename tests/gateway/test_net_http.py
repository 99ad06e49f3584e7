"""HTTP/1.1 as it arrives on a socket: what is a request, what is refused and how, and in which
order replies come."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.service import TOKEN, Ended, Service, Wire

AUTH = f"Authorization: token {TOKEN}\r\n"
HEAD = f"Host: localhost\r\n{AUTH}"


@pytest.fixture(scope="module", params=["tcp", "unix"])
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    with Service("--body-limit", "100000", unix=request.param == "unix") as service:
        yield service


@pytest.fixture
def wire(service: Service) -> Iterator[Wire]:
    with service.connect() as wire:
        yield wire


BAD_REQUESTS = {
    "length_and_chunked": (
        f"POST /api/echo/x HTTP/1.1\r\n{HEAD}Content-Length: 5\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
        "0\r\n\r\n",
        400,
    ),
    "chunked_and_length": (
        f"POST /api/echo/x HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n"
        "Content-Length: 5\r\n\r\n"
        "0\r\n\r\n",
        400,
    ),
    "two_lengths": (
        f"POST /api/echo/x HTTP/1.1\r\n{HEAD}Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        400,
    ),
    "two_equal_lengths": (
        f"POST /api/echo/x HTTP/1.1\r\n{HEAD}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        400,
    ),
    "length_list": (f"POST /api/echo/x HTTP/1.1\r\n{HEAD}Content-Length: 3, 3\r\n\r\nabc", 400),
    "length_signed": (f"POST /api/echo/x HTTP/1.1\r\n{HEAD}Content-Length: +3\r\n\r\nabc", 400),
    "length_negative": (f"POST /api/echo/x HTTP/1.1\r\n{HEAD}Content-Length: -3\r\n\r\nabc", 400),
    "length_hex": (f"POST /api/echo/x HTTP/1.1\r\n{HEAD}Content-Length: 0x3\r\n\r\nabc", 400),
    "length_over_64_bits": (
        f"POST /api/echo/x HTTP/1.1\r\n{HEAD}Content-Length: 18446744073709551617\r\n\r\na",
        400,
    ),
    "chunked_not_last": (
        f"POST /api/echo/x HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        400,
    ),
    "unknown_coding": (
        f"POST /api/echo/x HTTP/1.1\r\n{HEAD}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "two_codings": (
        f"POST /api/echo/x HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n"
        "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        400,
    ),
    "chunked_in_1_0": (
        f"POST /api/echo/x HTTP/1.0\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "chunk_size_not_hex": (
        f"POST /api/echo/x HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
        400,
    ),
    "chunk_too_short": (
        f"POST /api/echo/x HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
        400,
    ),
    "space_before_colon": (f"GET /api HTTP/1.1\r\n{HEAD}X-Test : a\r\n\r\n", 400),
    "folded_value": (f"GET /api HTTP/1.1\r\n{HEAD}X-Test: a\r\n b\r\n\r\n", 400),
    "folded_by_tab": (f"GET /api HTTP/1.1\r\n{HEAD}X-Test: a\r\n\tb\r\n\r\n", 400),
    "folded_empty": (f"GET /api HTTP/1.1\r\n{HEAD}X-Test:\r\n b\r\n\r\n", 400),
    "bare_lf": ("GET /api HTTP/1.1\nHost: localhost\n\n", 400),
    "bare_lf_in_headers": (f"GET /api HTTP/1.1\r\n{HEAD}X-Test: a\nX-Other: b\r\n\r\n", 400),
    "bare_cr_in_value": (f"GET /api HTTP/1.1\r\n{HEAD}X-Test: a\rb\r\n\r\n", 400),
    "nul_in_value": (f"GET /api HTTP/1.1\r\n{HEAD}X-Test: a\0b\r\n\r\n", 400),
    "nul_in_target": (f"GET /api\0 HTTP/1.1\r\n{HEAD}\r\n", 400),
    "no_colon": (f"GET /api HTTP/1.1\r\n{HEAD}what\r\n\r\n", 400),
    "empty_name": (f"GET /api HTTP/1.1\r\n{HEAD}: a\r\n\r\n", 400),
    "no_host": (f"GET /api HTTP/1.1\r\n{AUTH}\r\n", 400),
    "two_hosts": (f"GET /api HTTP/1.1\r\n{HEAD}Host: localhost\r\n\r\n", 400),
    "no_version": ("GET /api\r\n\r\n", 505),
    "http_2": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "http_9": (f"GET /api HTTP/9.9\r\n{HEAD}\r\n", 505),
    "http_1_2": (f"GET /api HTTP/1.2\r\n{HEAD}\r\n", 505),
    "unknown_method": (f"FETCH /api HTTP/1.1\r\n{HEAD}\r\n", 501),
    "webdav_method": (f"PROPFIND /api HTTP/1.1\r\n{HEAD}\r\n", 501),
    "trace": (f"TRACE /api HTTP/1.1\r\n{HEAD}\r\n", 501),
    "connect": (f"CONNECT localhost:1 HTTP/1.1\r\n{HEAD}\r\n", 501),
    "tls_hello": ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "not_http": ("hello there\r\n\r\n", 400),
    "relative_target": (f"GET api HTTP/1.1\r\n{HEAD}\r\n", 400),
    "fragment": (f"GET /api#x HTTP/1.1\r\n{HEAD}\r\n", 400),
    "broken_escape": (f"GET /api/echo/%zz HTTP/1.1\r\n{HEAD}\r\n", 400),
    "cut_escape": (f"GET /api/echo/%4 HTTP/1.1\r\n{HEAD}\r\n", 400),
    "encoded_nul": (f"GET /api/echo/a%00b HTTP/1.1\r\n{HEAD}\r\n", 400),
    "not_utf8": (f"GET /api/echo/%ff HTTP/1.1\r\n{HEAD}\r\n", 400),
    "query_not_utf8": (f"GET /api/echo/a?q=%c0%80 HTTP/1.1\r\n{HEAD}\r\n", 400),
    "dot_dot": (f"GET /api/tree/a/../b HTTP/1.1\r\n{HEAD}\r\n", 400),
    "encoded_dot_dot": (f"GET /api/tree/a/%2e%2e/b HTTP/1.1\r\n{HEAD}\r\n", 400),
    "encoded_slash_dot_dot": (f"GET /api/tree/a%2f..%2fb HTTP/1.1\r\n{HEAD}\r\n", 400),
    "too_many_parameters": (
        "GET /api/echo/a?" + "&".join(f"p{i}=1" for i in range(65)) + f" HTTP/1.1\r\n{HEAD}\r\n",
        400,
    ),
    "long_target": (f"GET /api/echo/{'a' * 17000} HTTP/1.1\r\n{HEAD}\r\n", 414),
    "long_header": (f"GET /api HTTP/1.1\r\n{HEAD}X-Test: {'a' * 66000}\r\n\r\n", 431),
    "long_headers": (
        f"GET /api HTTP/1.1\r\n{HEAD}" + f"X-Test: {'a' * 1000}\r\n" * 70 + "\r\n",
        431,
    ),
    "many_headers": (f"GET /api HTTP/1.1\r\n{HEAD}" + "X: a\r\n" * 101 + "\r\n", 431),
    "long_body": (f"POST /api/echo/x HTTP/1.1\r\n{HEAD}Content-Length: 100001\r\n\r\n", 413),
    "long_chunks": (
        f"POST /api/echo/x HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n"
        + f"c350\r\n{'a' * 50000}\r\n" * 3,
        413,
    ),
    "huge_chunk": (
        f"POST /api/echo/x HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n"
        "fffffffffffffffff\r\n",
        400,
    ),
    "endless_trailers": (
        f"POST /api/echo/x HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\n"
        + f"X-Test: {'a' * 1000}\r\n" * 70,
        431,
    ),
    "endless_chunk_extension": (
        f"POST /api/echo/x HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n1;" + "a" * 70000,
        431,
    ),
    "unknown_expectation": (
        f"POST /api/echo/x HTTP/1.1\r\n{HEAD}Expect: wonders\r\nContent-Length: 1\r\n\r\na",
        417,
    ),
    "gzip_body": (
        f"POST /api/echo/x HTTP/1.1\r\n{HEAD}Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\na",
        415,
    ),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_bad_request_is_refused_and_nothing_follows(service: Service, name: str) -> None:
    """A request that could be read in two ways is refused, and what follows it is not read."""
    text, status = BAD_REQUESTS[name]
    smuggled = f"GET /api/echo/smuggled HTTP/1.1\r\n{HEAD}\r\n"
    with service.connect() as wire:
        wire.send(text.encode("latin-1") + smuggled.encode())
        reply = wire.reply()
        assert reply.status == status, reply
        assert set(reply.json()) == {"message", "reason"}
        if reply.header("connection") == "close":
            assert wire.at_end()
        else:  # the request was whole and clear: the next one is its own
            assert wire.reply().json()["name"] == "smuggled"


CLOSING = [name for name, (_, status) in BAD_REQUESTS.items() if status in {413, 414, 431}]


@pytest.mark.parametrize("name", [*CLOSING, "two_lengths", "length_and_chunked", "folded_value"])
def test_ambiguous_request_closes_the_connection(service: Service, name: str) -> None:
    with service.connect() as wire:
        wire.send(BAD_REQUESTS[name][0].encode("latin-1"))
        assert wire.reply().header("connection") == "close"
        assert wire.at_end()


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_bad_request_byte_by_byte(service: Service, name: str) -> None:
    """The verdict does not depend on how the bytes are cut."""
    text, status = BAD_REQUESTS[name]
    if len(text) > 400:
        text = text[:200] + text[200:]
    with service.connect() as wire:
        data = text.encode("latin-1")
        step = max(1, len(data) // 400)
        try:
            for at in range(0, len(data), step):
                wire.send(data[at : at + step])
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert wire.reply().status == status


def test_refusal_arrives_while_the_body_is_still_sent(service: Service) -> None:
    """The server ends its side and goes on reading, so that a reset does not take the 413 back."""
    with service.connect() as wire:
        wire.send(f"POST /api/echo/x HTTP/1.1\r\n{HEAD}Content-Length: 700000\r\n\r\n".encode())
        wire.send(b"x" * 700000)
        assert wire.reply().status == 413
        assert wire.at_end()


def test_pipelined_replies_come_in_order(wire: Wire) -> None:
    names = [f"n{i}" for i in range(300)]
    wire.send(b"".join(f"GET /api/echo/{n} HTTP/1.1\r\n{HEAD}\r\n".encode() for n in names))
    assert [wire.reply().json()["name"] for _ in names] == names


def test_pipelined_behind_a_slow_one(wire: Wire) -> None:
    wire.send(f"GET /api/later?ms=50 HTTP/1.1\r\n{HEAD}\r\n".encode())
    body = b"b" * 90000
    for _ in range(4):  # more than is held back: the server stops reading for a while
        wire.request("/api/echo/next", "POST", body=body)
    assert wire.reply().body == b"later"
    for _ in range(4):
        assert wire.reply().json()["body_bytes"] == len(body)


def test_pipelined_runs_behind_the_reply_and_not_in_it(wire: Wire) -> None:
    both = ("/api/later", "/api/inside")
    wire.send(b"".join(f"GET {path} HTTP/1.1\r\n{HEAD}\r\n".encode() for path in both))
    assert [wire.reply().body for _ in both] == [b"later", b"outside"]


def test_half_closed_client_gets_all_replies(wire: Wire) -> None:
    wire.send(
        f"GET /api/later HTTP/1.1\r\n{HEAD}\r\nGET /api/echo/b HTTP/1.1\r\n{HEAD}\r\n".encode()
    )
    wire.socket.shutdown(socket.SHUT_WR)
    assert wire.reply().body == b"later"
    assert wire.reply().json()["name"] == "b"
    assert wire.at_end()


def test_client_that_leaves_before_the_reply(service: Service) -> None:
    for method in ("GET", "POST"):
        with service.connect() as wire:
            wire.request("/api/later?ms=30", method)
    assert service.ask("/api/later?ms=100").body == b"later"


def test_chunked_body(wire: Wire) -> None:
    text = f"PUT /api/echo/x HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n"
    text += "3;name=value\r\nabc\r\nA\r\n0123456789\r\n0\r\nHost: evil\r\nX-Test: trailer\r\n\r\n"
    wire.send(text.encode())
    found = wire.reply().json()
    assert found["body"] == "abc0123456789"
    assert found["header"] is None  # trailers are passed over
    wire.request("/api/echo/again")
    assert wire.reply().status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_methods_and_bodies(wire: Wire, method: str) -> None:
    for body in (b"", b"x", b"y" * 100000):
        wire.request("/api/echo/x", method, body=body)
        found = wire.reply().json()
        assert (found["method"], found["body_bytes"]) == (method, len(body))


def test_expect_100_continue(wire: Wire) -> None:
    head = f"POST /api/echo/x HTTP/1.1\r\n{HEAD}Expect: 100-Continue\r\nContent-Length: 3\r\n\r\n"
    wire.send(head.encode())
    assert wire.reply().status == 100
    wire.send(b"abc")
    assert wire.reply().json()["body"] == "abc"


def test_expect_100_continue_refused_without_reading(wire: Wire) -> None:
    wire.send(
        b"POST /api/echo/x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
        b"Authorization: token wrong\r\nContent-Length: 3\r\n\r\n"
    )
    if wire.socket.family == socket.AF_UNIX:  # a peer of the same uid needs no token
        assert wire.reply().status == 100
        return
    assert wire.reply().status == 401
    assert wire.at_end()


def test_http_1_0(service: Service) -> None:
    with service.connect() as wire:
        wire.send(f"GET /api HTTP/1.0\r\n{AUTH}\r\n".encode())
        assert wire.reply().header("connection") == "close"
        assert wire.at_end()
    with service.connect() as wire:
        for _ in range(2):
            wire.send(f"GET /api HTTP/1.0\r\n{AUTH}Connection: keep-alive\r\n\r\n".encode())
            assert wire.reply().header("connection") == "keep-alive"


def test_connection_close_is_obeyed(wire: Wire) -> None:
    wire.request("/api", headers={"Connection": "close"})
    assert wire.reply().header("connection") == "close"
    assert wire.at_end()


def test_head_is_get_without_body(wire: Wire) -> None:
    wire.request("/api/bytes/12345")
    whole = wire.reply()
    wire.request("/api/bytes/12345", "HEAD")
    head = wire.reply(head=True)
    assert head.header("content-length") == whole.header("content-length") == "12345"
    wire.request("/api")
    assert wire.reply().status == 200  # no stray body bytes in between


def test_options_needs_no_token(wire: Wire) -> None:
    wire.request("/api/echo/x", "OPTIONS", token=None)
    reply = wire.reply()
    assert reply.status == 204
    assert reply.header("allow") == "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
    assert reply.header("content-length") is None
    wire.request("*", "OPTIONS", token=None)
    assert wire.reply().status == 204


def test_wrong_method(wire: Wire) -> None:
    wire.request("/api/bytes/1", "DELETE")
    reply = wire.reply()
    assert (reply.status, reply.header("allow")) == (405, "GET, HEAD, OPTIONS")
    assert reply.json()["reason"] == "Method Not Allowed"


@pytest.mark.parametrize(
    "target", ["/nothing", "/api/", "/api/echo", "/api//echo/x", "/API", "/v1"]
)
def test_unknown_path(wire: Wire, target: str) -> None:
    wire.request(target)
    reply = wire.reply()
    if target == "/api/":  # a slash at the end is passed over
        assert reply.status == 200
    else:
        assert reply.status == 404
        assert set(reply.json()) == {"message", "reason"}


def test_errors_of_v1_are_problems(wire: Wire) -> None:
    wire.request("/v1/nothing?a=%ff")
    reply = wire.reply()
    assert (reply.status, reply.header("content-type")) == (400, "application/problem+json")
    wire.request("/v1/nothing")
    reply = wire.reply()
    assert reply.header("content-type") == "application/problem+json"
    assert reply.json() == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "there is nothing at /v1/nothing",
    }


def test_error_forms(wire: Wire) -> None:
    wire.request("/api/fail/503")
    reply = wire.reply()
    assert reply.json() == {"message": 'told "to" fail', "reason": "Service Unavailable"}
    assert reply.header("retry-after") == "1"
    wire.request("/v1/fail/409")
    problem = wire.reply().json()
    assert (problem["status"], problem["title"]) == (409, "Conflict")


def test_decoding(wire: Wire) -> None:
    wire.request(
        "/api/echo/a%2Fb%20c+d?q=1+2%2B3&q=last&empty&=x&", headers={"X-Test": " padded \t"}
    )
    found = wire.reply().json()
    assert found["path"] == "/api/echo/a/b c+d"
    assert found["name"] == "a/b c+d"
    assert found["query"] == "last"
    assert found["header"] == "padded"
    wire.request("/api/tree/a/b/%C3%A9/")
    assert wire.reply().json()["name"] == "a/b/é/"


def test_absolute_target(wire: Wire) -> None:
    wire.request("http://localhost:1/api/echo/x?q=2")
    assert wire.reply().json()["query"] == "2"
    wire.request("HTTPS://localhost")
    assert wire.reply().header("content-type") == "text/html; charset=utf-8"


def test_upgrade_to_something_else_is_passed_over(wire: Wire) -> None:
    wire.request("/api", headers={"Upgrade": "h2c", "Connection": "Upgrade, HTTP2-Settings"})
    assert wire.reply().status == 200
    wire.request("/api")
    assert wire.reply().status == 200


STOPPED = [
    "G",
    "GET /api HTTP/1.1\r\nHost: loc",
    "GET /api HTTP/1.1\r\nHost: localhost\r\n",
    f"POST /api/echo/x HTTP/1.1\r\n{HEAD}Content-Length: 10\r\n\r\nabc",
]


@pytest.mark.parametrize("unix", [False, True])
def test_what_stops_times_out(unix: bool) -> None:
    """Each is sent while the server is held, so that it has all of it in time."""
    with Service("--request-timeout", "1", unix=unix) as service, ExitStack() as stack:
        with service.held():
            wires = [stack.enter_context(service.connect()) for _ in STOPPED]
            silent = stack.enter_context(service.connect())
            for wire, begin in zip(wires, STOPPED, strict=True):
                wire.send(begin.encode())
        for wire in wires:
            assert wire.reply().status == 408
            assert wire.at_end()
        with pytest.raises(Ended):
            silent.reply()


def test_slow_clients_do_not_delay_others(service: Service) -> None:
    slow = [service.connect() for _ in range(200)]
    for wire in slow:
        wire.send(b"GET /api HTTP/1.1\r\nHost:")
    assert service.ask("/api").status == 200
    for wire in slow:
        wire.socket.close()


def test_big_reply_to_a_reader_that_waits(service: Service) -> None:
    with service.connect() as wire:
        wire.request("/api/bytes/30000000")
        assert service.ask("/api").status == 200
        assert len(wire.reply().body) == 30000000
        wire.request("/api")
        assert wire.reply().status == 200


class TestFile:
    def test_whole_and_ranges(self, wire: Wire, tmp_path: Path) -> None:
        file = tmp_path / "f"
        content = bytes(range(256)) * 5000
        file.write_bytes(content)
        target = f"/api/file?path={file}"
        wire.request(target)
        reply = wire.reply()
        tag = reply.header("etag")
        assert reply.status == 200 and reply.body == content and tag
        cases: list[tuple[str, int, bytes]] = [
            ("bytes=0-0", 206, content[:1]),
            ("bytes=5-9", 206, content[5:10]),
            ("bytes=1279990-", 206, content[1279990:]),
            ("bytes=-7", 206, content[-7:]),
            ("bytes=-99999999", 206, content),
            ("bytes=9-5", 200, content),
            ("bytes=1-2,5-6", 200, content),
            ("lines=1-2", 200, content),
            ("bytes=1280000-", 416, b""),
            ("bytes=-0", 416, b""),
            ("bytes=99999999999999999999-", 416, b""),
        ]
        for text, status, expected in cases:
            wire.request(target, headers={"Range": text})
            reply = wire.reply()
            assert (reply.status, reply.body == expected) == (status, True), text
            if status == 206:
                assert (reply.header("content-range") or "").endswith(f"/{len(content)}")
        wire.request(target, headers={"Range": "bytes=0-0", "If-Range": '"other"'})
        assert wire.reply().status == 200
        wire.request(target, headers={"If-None-Match": f'"other", W/{tag}'})
        assert wire.reply().status == 304
        wire.request(target, "HEAD")
        assert wire.reply(head=True).header("content-length") == str(len(content))

    def test_what_is_no_file(self, wire: Wire, tmp_path: Path) -> None:
        fifo = tmp_path / "fifo"
        import os

        os.mkfifo(fifo)
        for path in (tmp_path / "absent", tmp_path, fifo, tmp_path / "absent" / "below"):
            wire.request(f"/api/file?path={path}")
            assert wire.reply().status == 404

    def test_given_tag_and_empty_file(self, wire: Wire, tmp_path: Path) -> None:
        file = tmp_path / "f"
        file.write_bytes(b"")
        wire.request(f"/api/file?path={file}&etag=%22abc%22")
        reply = wire.reply()
        assert (reply.status, reply.body, reply.header("etag")) == (200, b"", '"abc"')

    def test_client_leaves_in_the_middle(self, service: Service, tmp_path: Path) -> None:
        file = tmp_path / "f"
        with file.open("wb") as out:
            out.truncate(50_000_000)
        before = service.descriptors()
        for _ in range(5):
            with service.connect() as wire:
                wire.request(f"/api/file?path={file}")
                wire.take(100_000)
        assert service.ask(f"/api/file?path={file}", headers={"Range": "bytes=0-9"}).status == 206
        while service.descriptors() > before:
            assert service.ask("/api/later?ms=10").status == 200
