"""Ports of sandboxes at the gateway's own origin, with a keeper whose sandboxes have this machine's
loopback: what of requests and replies passes, and how each failure is told."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from contextlib import closing
from typing import Any

import pytest
from gateway.test_sandboxes import NOBODY, Place, create, end, remove, start
from support import ports, processes
from support.gateway import Answer, Gateway
from support.inside import Inside, Request, serving, text


@pytest.fixture(scope="module")
def sandbox(gateway: Gateway) -> dict[str, Any]:
    return create(gateway)


def path(sandbox: dict[str, Any], inside: Inside | int, rest: str = "/") -> str:
    port = inside if isinstance(inside, int) else inside.port
    return f"/v1/sandboxes/{sandbox['id']}/ports/{port}{rest}"


def detail(answer: Answer) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["detail"])


def test_a_page_and_what_it_was_asked(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    with serving(text(b"hello", "Content-Type: text/x-own", "X-App: yes")) as inside:
        answer = gateway.get(path(sandbox, inside, "/a%20b/c?x=1&y=%2F"))
        assert (answer.status, answer.body) == (200, b"hello")
        assert answer.headers["content-type"] == "text/x-own"
        assert answer.headers["x-app"] == "yes"
        assert answer.headers["content-length"] == "5"
        assert answer.headers["content-security-policy"].startswith("sandbox ")
        assert "server" not in answer.headers
        asked = inside.next()
        assert asked.first == "GET /a%20b/c?x=1&y=%2F HTTP/1.1"
        assert asked.header("host") == f"localhost:{inside.port}"
        assert asked.header("connection") == "close"
        assert asked.header("x-forwarded-for") == "127.0.0.1"
        assert asked.header("x-forwarded-host") == gateway.authority
        assert asked.header("x-forwarded-proto") == "http"
        assert asked.header("x-forwarded-prefix") == path(sandbox, inside, "")
        assert asked.header("content-length") is None
        assert gateway.get(path(sandbox, inside, "/?")).status == 200
        assert inside.next().first == "GET / HTTP/1.1"


def test_at_the_other_loopback(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    with serving(text(b"six"), socket.AF_INET6) as inside:
        assert gateway.get(path(sandbox, inside)).body == b"six"


def test_one_that_is_not_connected_yet(place: Place, sandbox: dict[str, Any]) -> None:
    gateway, keeper = place
    keeper.order("late")
    with serving(text(b"there")) as inside:
        assert gateway.get(path(sandbox, inside)).body == b"there"
    keeper.forget("late")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies(gateway: Gateway, sandbox: dict[str, Any], method: str, chunked: bool) -> None:
    body = bytes(range(256)) * 8192

    def answer(request: Request) -> None:
        if not chunked:
            assert request.header("content-length") == str(len(body))
            got = request.read(len(body))
        else:
            assert request.header("transfer-encoding") == "chunked"
            got = b""
            while size := int(request.read_until(b"\r\n"), 16):
                got += request.read(size)
                assert request.read(2) == b"\r\n"
            assert request.read(2) == b"\r\n"
        assert got == body
        request.reply(b"HTTP/1.1 201 Made\r\nContent-Length: 2\r\n\r\nok")

    with serving(answer) as inside, closing(gateway.connection()) as connection:
        parts = iter([body[:100], body[100:70000], body[70000:]]) if chunked else body
        connection.request(method, path(sandbox, inside, "/up"), parts,
                           gateway.authorization, encode_chunked=chunked)  # fmt: skip
        response = connection.getresponse()
        assert (response.status, response.reason, response.read()) == (201, "Made", b"ok")
        assert inside.next().first == f"{method} /up HTTP/1.1"


def test_head_and_replies_without_a_body(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    with serving(text(b"")) as inside:
        with closing(gateway.connection()) as connection:
            for method in ("HEAD", "GET"):
                connection.request(method, path(sandbox, inside), headers=gateway.authorization)
                response = connection.getresponse()
                assert (response.status, response.read()) == (200, b"")
                assert inside.next().first.startswith(method)
    for head, status in ((b"204 No Content", 204), (b"304 Not Modified\r\nETag: x", 304)):

        def answer(request: Request, said: bytes = head) -> None:
            request.reply(b"HTTP/1.1 " + said + b"\r\n\r\n")

        with serving(answer) as inside, closing(gateway.connection()) as connection:
            for _ in range(2):
                connection.request("GET", path(sandbox, inside), headers=gateway.authorization)
                response = connection.getresponse()
                assert (response.status, response.read()) == (status, b"")


def test_a_reply_to_head_has_the_length_of_what_it_would_be(
    gateway: Gateway, sandbox: dict[str, Any]
) -> None:
    def answer(request: Request) -> None:
        request.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")

    with serving(answer) as inside:
        found = gateway.request("HEAD", path(sandbox, inside))
        assert (found.status, found.headers["content-length"], found.body) == (200, "1000", b"")


REPLIES = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nX-Trailer: a\r\n\r\n",
    "to the end": b"HTTP/1.1 200 OK\r\n\r\nhello",
    "1.0": b"HTTP/1.0 200 OK\r\n\r\nhello",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "more than it said": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n",
}


@pytest.mark.parametrize("name", REPLIES)
def test_ways_to_tell_the_length(gateway: Gateway, sandbox: dict[str, Any], name: str) -> None:
    with serving(lambda request: request.reply(REPLIES[name])) as inside:
        with closing(gateway.connection()) as connection:
            for _ in range(2):  # the client's connection goes on, whatever the server's did
                connection.request("GET", path(sandbox, inside), headers=gateway.authorization)
                response = connection.getresponse()
                assert (response.status, response.read()) == (200, b"hello")
                assert response.getheader("link") is None
                assert response.getheader("x-trailer") is None


HOSTILE = {
    "no http": b"SSH-2.0-OpenSSH\r\n\r\n",
    "both lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "negative": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
    "another coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "twice coded": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "switches": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n"
    b"Upgrade: websocket\r\n\r\n",
    "bare 101": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "status 99": b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "no name": b"HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 0\r\n\r\n",
    "control": b"HTTP/1.1 200 OK\r\nX: a\x01b\r\nContent-Length: 0\r\n\r\n",
    "nul": b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "long header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70000 + b"\r\nContent-Length: 0\r\n\r\n",
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 101 + b"Content-Length: 0\r\n\r\n",
    "only interim": b"HTTP/1.1 100 Continue\r\n\r\n" * 100,
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n",
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
}


FORGED = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
WITH_LENGTH = b"Content-Length: %d\r\n\r\n" % len(FORGED) + FORGED
WITH_CHUNK = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(FORGED), FORGED)
SMUGGLED = {
    "204, a length": b"204 No Content\r\n" + WITH_LENGTH,
    "304, a length": b"304 Not Modified\r\n" + WITH_LENGTH,
    "204, a chunk": b"204 No Content\r\n" + WITH_CHUNK,
    "304, a chunk": b"304 Not Modified\r\n" + WITH_CHUNK,
    "204, behind it": b"204 No Content\r\n\r\n" + FORGED,
    "304, behind it": b"304 Not Modified\r\n\r\n" + FORGED,
    "interim": b"103 Early\r\n" + WITH_LENGTH + b"HTTP/1.1 204 No Content\r\n\r\n",
}


@pytest.mark.parametrize("name", SMUGGLED)
def test_no_reply_is_smuggled_in(gateway: Gateway, sandbox: dict[str, Any], name: str) -> None:
    """One that would be read as the gateway's answer to the client's next request."""
    head = f"Host: localhost\r\nAuthorization: token {gateway.token}\r\n"
    with serving(lambda request: request.reply(b"HTTP/1.1 " + SMUGGLED[name])) as inside:
        asked = f"GET {path(sandbox, inside)} HTTP/1.1\r\n{head}\r\n"
        with socket.create_connection(("127.0.0.1", gateway.port), 30) as wire:
            wire.sendall(f"{asked}GET /api HTTP/1.1\r\n{head}Connection: close\r\n\r\n".encode())
            got = b"".join(iter(lambda: wire.recv(65536), b""))
    replies = got.split(b"HTTP/1.1 ")[1:]
    assert len(replies) == 2, got
    assert replies[1].startswith(b"200 OK\r\nServer: warmcell\r\n")
    assert (b"forged" in replies[0]) == (name == "interim")


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_reply(gateway: Gateway, sandbox: dict[str, Any], name: str) -> None:
    with serving(lambda request: request.reply(HOSTILE[name])) as inside:
        answer = gateway.get(path(sandbox, inside))
        assert answer.status == 502, answer
        assert detail(answer).startswith("the server inside ")


@pytest.mark.parametrize(
    "said",
    [
        b"Content-Length: 100\r\n\r\nhello",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ],
)
def test_a_reply_that_breaks_off_is_seen(
    gateway: Gateway, sandbox: dict[str, Any], said: bytes
) -> None:
    with serving(lambda request: request.reply(b"HTTP/1.1 200 OK\r\n" + said)) as inside:
        with pytest.raises(http.client.IncompleteRead):
            gateway.get(path(sandbox, inside))


def test_folded_headers_are_one_line(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    folded = b"HTTP/1.1 200 OK\r\nX: a\r\n Set-Cookie: b\r\nContent-Length: 0\r\n\r\n"
    with serving(lambda request: request.reply(folded)) as inside:
        answer = gateway.get(path(sandbox, inside))
        assert answer.status == 502 or "\n" not in answer.headers["x"]
        assert "set-cookie" not in answer.headers


def test_endless_headers_end(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    sent = 0

    def answer(request: Request) -> None:
        nonlocal sent
        request.reply(b"HTTP/1.1 200 OK\r\n")
        while True:
            request.reply(b"X-Y: " + b"z" * 100 + b"\r\n")
            sent += 107

    with serving(answer) as inside:
        assert gateway.get(path(sandbox, inside)).status == 502
    assert sent < 64 << 20


def test_one_that_never_replies() -> None:
    gateway, keeper = start("--pool-max", "0", "--port-timeout", "1")

    def answer(request: Request) -> None:
        request.connection.recv(1)

    with serving(answer) as inside:
        told = gateway.get(path(create(gateway), inside))
        assert told.status == 504
        assert detail(told) == "the server inside did not reply within 1 s"
    end(gateway, keeper)


def test_nothing_listens(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    with ports.reserve("127.0.0.1") as kept:  # nobody else gets it, and nobody listens
        port = ports.number(kept)
        answer = gateway.get(path(sandbox, port))
    assert answer.status == 502
    assert str(port) in detail(answer)


def test_refusals(place: Place, sandbox: dict[str, Any]) -> None:
    gateway, keeper = place
    for number in ("0", "65536", "x", "-1", "080", "1e3"):
        answer = gateway.get(f"/v1/sandboxes/{sandbox['id']}/ports/{number}/")
        assert answer.status == 400, number
        assert "65535" in detail(answer)
    assert gateway.get(f"/v1/sandboxes/{NOBODY}/ports/80/").status == 404
    assert gateway.get(path(sandbox, 80), auth=False).status == 401
    assert gateway.get(path(sandbox, 80, "/../x")).status == 400
    with closing(gateway.connection()) as connection:
        connection.request("PROPFIND", path(sandbox, 80), headers=gateway.authorization)
        assert connection.getresponse().status == 501
    keeper.order("refuse-CONNECT", '{"status": 501, "message": "no network of its own"}')
    answer = gateway.get(path(sandbox, 80))
    keeper.forget("refuse-CONNECT")
    assert (answer.status, detail(answer)) == (501, "no network of its own")


def test_what_is_foreign_is_not_there(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    made = gateway.request("POST", "/v1/tokens", {"principal": "eve", "role": "user"})
    eve = {"Authorization": f"Bearer {made.json()['token']}"}
    for method, rest in (("GET", "/ports"), ("POST", "/ports"), ("GET", "/ports/80/"),
                         ("POST", "/ports/80/x")):  # fmt: skip
        foreign = gateway.request(method, f"/v1/sandboxes/{sandbox['id']}{rest}",
                                  {"port": 80} if method == "POST" else None, eve)  # fmt: skip
        absent = gateway.request(method, f"/v1/sandboxes/{NOBODY}{rest}",
                                 {"port": 80} if method == "POST" else None, eve)  # fmt: skip
        assert foreign.status == absent.status == 404
        assert detail(foreign).replace(sandbox["id"], NOBODY) == detail(absent)


def test_reading_needs_less_than_writing(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    made = gateway.request("POST", "/v1/tokens", {"principal": "owner", "role": "admin",
                                                  "scopes": ["read"]})  # fmt: skip
    reader = {"Authorization": f"Bearer {made.json()['token']}"}
    with serving(text(b"read")) as inside:
        assert gateway.get(path(sandbox, inside), headers=reader).body == b"read"
        answer = gateway.request("POST", path(sandbox, inside), b"", reader)
        assert (answer.status, "write" in detail(answer)) == (403, True)
        upgrade = reader | {"Connection": "Upgrade", "Upgrade": "anything"}
        assert gateway.get(path(sandbox, inside), headers=upgrade).status == 403


SECRETS = ("authorization", "cookie", "referer", "proxy-authorization", "x-real-ip", "forwarded",
           "te", "trailer", "keep-alive", "x-mine", "http2-settings", "expect")  # fmt: skip


def test_nothing_that_lets_in_goes_inside(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    cookie = f"warmcell-{gateway.port}=abc; other=1"
    headers = {
        "Cookie": cookie, "Referer": f"{gateway.url}/lab?token={gateway.token}",
        "Proxy-Authorization": "Basic x", "X-Real-IP": "9.9.9.9", "Forwarded": "for=9.9.9.9",
        "X-Forwarded-For": "9.9.9.9", "X_Forwarded_Proto": "https", "TE": "trailers",
        "Trailer": "X", "Keep-Alive": "5", "Connection": "keep-alive, X-Mine", "X-Mine": "1",
        "HTTP2-Settings": "AAA", "Accept": "text/x", "X-Passes": "1",
    }  # fmt: skip
    with serving(text(b"ok")) as inside:
        target = path(sandbox, inside, f"/a?token={gateway.token}&b=2&c={gateway.token}&token=app")
        assert gateway.get(target, headers=headers).status == 200
        asked = inside.next()
        assert asked.first == "GET /a?b=2&token=app HTTP/1.1"
        assert gateway.token not in asked.head.decode()
        names = [name for name, _ in asked.headers]
        assert not set(names) & set(SECRETS)
        assert "x_forwarded_proto" not in names
        assert (asked.header("accept"), asked.header("x-passes")) == ("text/x", "1")
        assert asked.header("x-forwarded-for") == "127.0.0.1"
        answer = gateway.get(path(sandbox, inside, f"/?token={gateway.token}"), auth=False)
        assert (answer.status, inside.next().first) == (200, "GET / HTTP/1.1")


def test_nothing_that_a_browser_keeps_comes_out(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    lines = ("Set-Cookie: a=b", f"Set-Cookie: warmcell-{gateway.port}=x", "Set-Cookie2: c=d",
             "Clear-Site-Data: \"*\"", "Strict-Transport-Security: max-age=1", "Alt-Svc: h2=\":1\"",
             "Service-Worker-Allowed: /", "Access-Control-Allow-Origin: https://evil.example",
             "Connection: close, X-Hop", "X-Hop: 1", "Keep-Alive: 5", "Proxy-Authenticate: x",
             "Content-Security-Policy: default-src *", "X-Passes: 1")  # fmt: skip
    with serving(text(b"ok", *lines)) as inside, closing(gateway.connection()) as connection:
        connection.request("GET", path(sandbox, inside), headers=gateway.authorization)
        response = connection.getresponse()
        names = {name.lower() for name, _ in response.getheaders()}
        policies = response.headers.get_all("content-security-policy")
        assert response.read() == b"ok"
    assert names == {"content-security-policy", "x-passes", "content-length",
                     "x-content-type-options", "cross-origin-resource-policy"}  # fmt: skip
    assert policies is not None
    assert len(policies) == 2
    assert "allow-same-origin" not in " ".join(policies)


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ("/login?next=/", "PREFIX/login?next=/"),
        ("login", "login"),
        ("http://localhost:PORT/a", "PREFIX/a"),
        ("http://127.0.0.1:PORT", "PREFIX/"),
        ("http://127.0.0.1:PORT//evil.example/", "PREFIX/evil.example/"),
        ("http://localhost:PORT0/a", "http://localhost:PORT0/a"),
        ("http://localhost:PORT@evil.example/", "http://localhost:PORT@evil.example/"),
        ("https://example.com/", "https://example.com/"),
        ("//example.com/", "//example.com/"),
    ],
)
def test_where_it_sends_to(gateway: Gateway, sandbox: dict[str, Any], said: str, seen: str) -> None:
    def answer(request: Request) -> None:
        where = said.replace("PORT", str(inside.port))
        text(b"", f"Location: {where}", status="302 Found")(request)

    with serving(answer) as inside:
        found = gateway.get(path(sandbox, inside))
        wanted = seen.replace("PORT", str(inside.port))
        assert found.headers["location"] == wanted.replace("PREFIX", path(sandbox, inside, ""))


def test_events_come_as_they_are_made(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    go_on = threading.Event()

    def answer(request: Request) -> None:
        request.reply(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for number in range(3):
            assert go_on.wait(30)
            go_on.clear()
            request.reply(f"data: {number}\n\n".encode())

    with serving(answer) as inside, closing(gateway.connection()) as connection:
        connection.request("GET", path(sandbox, inside), headers=gateway.authorization)
        response = connection.getresponse()  # the head comes before any event does
        for number in range(3):
            go_on.set()
            assert response.readline() == f"data: {number}\n".encode()
            assert response.readline() == b"\n"
        assert response.read() == b""


def test_a_body_goes_inside_as_it_comes(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    """The server answers each piece before the next is sent."""

    def answer(request: Request) -> None:
        request.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n")
        for _ in range(3):
            assert request.read_until(b"\r\n") == b"1\r\n"
            request.reply(request.read(1))
            request.read(2)

    with serving(answer) as inside, socket.create_connection(("127.0.0.1", gateway.port)) as wire:
        wire.settimeout(30)
        wire.sendall(
            f"POST {path(sandbox, inside)} HTTP/1.1\r\nHost: localhost\r\nAuthorization: token "
            f"{gateway.token}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        with wire.makefile("rb") as replies:
            while replies.readline() != b"\r\n":
                pass
            for piece in (b"a", b"b", b"c"):
                wire.sendall(b"1\r\n" + piece + b"\r\n")
                assert replies.read(1) == piece


def test_a_client_is_asked_to_go_on(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    def answer(request: Request) -> None:
        assert request.header("expect") is None
        request.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" + request.read(4))

    with serving(answer) as inside, socket.create_connection(("127.0.0.1", gateway.port)) as wire:
        wire.settimeout(30)
        wire.sendall(
            f"POST {path(sandbox, inside)} HTTP/1.1\r\nHost: localhost\r\nAuthorization: token "
            f"{gateway.token}\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        with wire.makefile("rb") as replies:
            assert replies.readline() == b"HTTP/1.1 100 Continue\r\n"
            assert replies.readline() == b"\r\n"
            wire.sendall(b"body")
            assert replies.readline() == b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "lines",
    [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Content-Length: 4\r\nContent-Length: 5",
        "Transfer-Encoding: chunked, identity",
        "X: a\r\n b: c\r\nContent-Length: 4",
        "X: a\x01b",
        "Content-Length : 4",
        "Transfer-Encoding: xchunked",
    ],
)
def test_requests_that_two_could_read_differently(
    gateway: Gateway, sandbox: dict[str, Any], lines: str
) -> None:
    with serving(text(b"got it")) as inside:
        with socket.create_connection(("127.0.0.1", gateway.port)) as wire:
            wire.settimeout(30)
            wire.sendall(
                f"POST {path(sandbox, inside)} HTTP/1.1\r\nHost: localhost\r\nAuthorization: "
                f"token {gateway.token}\r\n{lines}\r\n\r\n0\r\n\r\n".encode("latin-1")
            )
            with wire.makefile("rb") as replies:
                assert b" 400 " in replies.readline()
        assert inside.requests.empty()


def test_a_server_that_wants_no_more_is_heard(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    def answer(request: Request) -> None:
        request.reply(b"HTTP/1.1 413 Too Much\r\nContent-Length: 3\r\n\r\nno!")

    with serving(answer) as inside, closing(gateway.connection()) as connection:
        connection.putrequest("POST", path(sandbox, inside))
        connection.putheader("Authorization", f"token {gateway.token}")
        connection.putheader("Content-Length", str(1 << 40))
        connection.endheaders()
        connection.send(b"x" * 100)
        response = connection.getresponse()
        assert (response.status, response.read()) == (413, b"no!")


def test_a_slow_reader_costs_no_memory(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    """The server writes until nobody takes anything, then the client reads all of it."""
    total, piece = 64 << 20, b"x" * 65536
    stuck = threading.Event()

    def answer(request: Request) -> None:
        request.reply(f"HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n".encode())
        request.connection.setblocking(False)
        sent = 0
        while sent < total:
            try:
                sent += request.connection.send(piece[: total - sent])
            except BlockingIOError:
                stuck.set()
                request.connection.settimeout(60)

    with serving(answer) as inside, closing(gateway.connection()) as connection:
        before = processes.peak_bytes(gateway.pid)
        connection.request("GET", path(sandbox, inside), headers=gateway.authorization)
        response = connection.getresponse()
        assert stuck.wait(60)
        assert gateway.get("/healthz").status == 200, "others are served meanwhile"
        got = 0
        while part := response.read(1 << 20):
            got += len(part)
        assert got == total
        assert processes.peak_bytes(gateway.pid) - before < 16 << 20


def test_a_client_that_leaves_ends_it(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    ended = threading.Event()

    def answer(request: Request) -> None:
        request.reply(b"HTTP/1.1 200 OK\r\n\r\nhello")
        if request.connection.recv(1) == b"":
            ended.set()

    with serving(answer) as inside:
        connection = gateway.connection()
        connection.request("GET", path(sandbox, inside), headers=gateway.authorization)
        response = connection.getresponse()
        assert response.read(5) == b"hello"
        response.close()
        connection.close()
        assert ended.wait(30)


def test_so_many_and_no_more(gateway: Gateway) -> None:
    sandbox = create(gateway)  # in which no connection of another test is open still
    release = threading.Event()

    def answer(request: Request) -> None:
        request.reply(b"HTTP/1.1 200 OK\r\n\r\n")
        assert release.wait(60)

    with serving(answer) as inside:
        open_ones = []
        for _ in range(64):
            connection = gateway.connection()
            connection.request("GET", path(sandbox, inside), headers=gateway.authorization)
            open_ones.append((connection, connection.getresponse()))
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            refused = gateway.request(method, path(sandbox, inside))
            assert (refused.status, "64" in detail(refused)) == (429, True), method
            assert refused.headers["retry-after"] == "1"
        release.set()
        for connection, response in open_ones:
            assert response.read() == b""
            connection.close()
        processes.until(lambda: gateway.get(path(sandbox, inside)).status == 200, "room again")


def test_what_listens(place: Place, sandbox: dict[str, Any]) -> None:
    gateway, keeper = place
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n"
    keeper.order("tcp", head
                 + "   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000\n"
                 + "   1: 0100007F:0C38 00000000:0000 0A 00000000:00000000 00:00000000 00000000\n"
                 + "   2: 0100007F:1F40 0100007F:9C40 01 00000000:00000000 00:00000000 00000000\n"
                 + "nonsense\n")  # fmt: skip
    keeper.order("tcp6", head
                 + "   0: 00000000000000000000000001000000:0050 "
                 + "00000000000000000000000000000000:0000 0A 0 0\n")  # fmt: skip
    answer = gateway.get(f"/v1/sandboxes/{sandbox['id']}/ports")
    keeper.forget("tcp")
    keeper.forget("tcp6")
    assert answer.status == 200
    assert answer.json() == {
        "more": False,
        "ports": [
            {"port": port, "address": address, "url": path(sandbox, port),
             "origin": f"http://{port}-{sandbox['id']}.localhost:{gateway.port}"}
            for port, address in ((80, "::1"), (8000, "127.0.0.1"))
        ],
    }  # fmt: skip
    assert gateway.get(f"/v1/sandboxes/{sandbox['id']}/ports").json()["ports"] == []


def test_paused(gateway: Gateway) -> None:
    made = create(gateway)
    assert (
        gateway.request("POST", f"/v1/sandboxes/{made['id']}/pause", {"force": True}).status == 200
    )
    for answer in (gateway.get(path(made, 80)),
                   gateway.get(f"/v1/sandboxes/{made['id']}/ports")):  # fmt: skip
        assert (answer.status, "resume" in detail(answer)) == (409, True)
    remove(gateway, made)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"HTTP/1.1 101 Now\r\nConnection: Upgrade\r\nUpgrade: any\r\n\r\n", 502),
        (b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", 403),
    ],
    ids=["switches", "refuses"],
)
def test_a_server_that_answers_and_resets_before_it_is_asked(
    place: Place, sandbox: dict[str, Any], said: bytes, status: int
) -> None:
    """What it said is read although nothing can be written to it; of a connection that is broken
    no other protocol is made."""
    gateway, keeper = place
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            connection.sendall(said)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()

        server = threading.Thread(target=answer)
        server.start()
        keeper.order("reset")
        found = gateway.get(
            path(sandbox, listener.getsockname()[1]),
            headers={"Connection": "Upgrade", "Upgrade": "any"},
        )
        keeper.forget("reset")
        server.join()
    assert found.status == status
    if status == 502:
        assert "switched protocols before it had read the request" in detail(found)
