"""Ports of sandboxes at origins of their own, and connections that become another protocol: who is
let in, what stays apart, what passes."""

from __future__ import annotations

import socket
import threading
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest
from gateway.test_port_requests import path
from gateway.test_sandboxes import NOBODY, create, remove
from support.gateway import Answer, Gateway
from support.inside import Inside, Request, serving, text

GATEWAY = (
    "--allow-origin",
    "*",
)


@pytest.fixture(scope="module")
def sandbox(gateway: Gateway) -> dict[str, Any]:
    return create(gateway)


def host(gateway: Gateway, sandbox: dict[str, Any], inside: Inside | int) -> str:
    port = inside if isinstance(inside, int) else inside.port
    return f"{port}-{sandbox['id']}.localhost:{gateway.port}"


def visit(gateway: Gateway, at: str, target: str = "/", method: str = "GET",
          **headers: str) -> Answer:  # fmt: skip
    """As a browser that knows nothing but these headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return gateway.request(method, target, headers={"Host": at} | named, auth=False)


def link(gateway: Gateway, sandbox: dict[str, Any], port: int, **body: Any) -> str:
    """Of a fresh link that which stands behind the host."""
    answer = gateway.request("POST", f"/v1/sandboxes/{sandbox['id']}/ports",
                             {"port": port, **body})  # fmt: skip
    assert answer.status == 201, answer
    made = answer.json()
    assert made["origin"] == f"http://{host(gateway, sandbox, port)}"
    assert (made["expires_s"], made["url"]) == (60, path(sandbox, port))
    assert made["link"].startswith(made["origin"] + "/.warmcell/enter?ticket=")
    return str(made["link"].removeprefix(made["origin"]))


def enter(gateway: Gateway, sandbox: dict[str, Any], inside: Inside) -> str:
    """The cookie that a link is exchanged for."""
    entered = visit(gateway, host(gateway, sandbox, inside), link(gateway, sandbox, inside.port))
    assert entered.status == 302, entered
    assert entered.headers["cache-control"] == "no-store"
    assert entered.headers["referrer-policy"] == "no-referrer"
    cookie, *rest = entered.headers["set-cookie"].split("; ")
    assert rest == ["Path=/", "Max-Age=3600", "HttpOnly", "SameSite=Lax"]
    return cookie


def test_a_link_lets_one_browser_in_once(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    with serving(text(b"page", "Content-Type: text/html")) as inside:
        at = host(gateway, sandbox, inside)
        target = link(gateway, sandbox, inside.port, path="/a b?x=1&y=#")
        entered = visit(gateway, at, target)
        assert (entered.status, entered.headers["location"]) == (302, "/")
        target = link(gateway, sandbox, inside.port, path="/a?x=1&y=%20")
        entered = visit(gateway, at, target)
        assert (entered.status, entered.headers["location"]) == (302, "/a?x=1&y=%20")
        assert visit(gateway, at, target).status == 401, "once"
        cookie = entered.headers["set-cookie"].partition(";")[0]
        page = visit(gateway, at, "/a?x=1", Cookie=f"mine=1; {cookie}; b=2")
        assert (page.status, page.body) == (200, b"page")
        assert page.headers == {"content-type": "text/html", "content-length": "4"}
        asked = inside.next()
        assert asked.first == "GET /a?x=1 HTTP/1.1"
        assert asked.header("cookie") == "mine=1; b=2"
        assert asked.header("host") == f"localhost:{inside.port}"
        assert asked.header("x-forwarded-host") == at
        assert asked.header("x-forwarded-prefix") is None


@pytest.mark.parametrize("to", ["//evil.example/", "/\\evil.example", "http://evil.example/", "x"])
def test_a_link_leads_nowhere_else(gateway: Gateway, sandbox: dict[str, Any], to: str) -> None:
    target = link(gateway, sandbox, 80).partition("&to=")[0]
    entered = visit(gateway, host(gateway, sandbox, 80), f"{target}&to={to}")
    assert (entered.status, entered.headers["location"]) == (302, "/")


def test_who_is_not_let_in(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    other = create(gateway)
    with serving(text(b"in")) as inside, serving(text(b"in")) as neighbour:
        at = host(gateway, sandbox, inside)
        cookie = enter(gateway, sandbox, inside)
        changed = cookie[:-1] + ("0" if cookie[-1] != "0" else "1")
        own = gateway.get("/?token=" + gateway.token, headers={"Accept": "text/html"}, auth=False)
        gateways = own.headers["set-cookie"].partition(";")[0]
        assert visit(gateway, at).status == 401
        assert visit(gateway, at, f"/?token={gateway.token}").status == 401
        assert visit(gateway, at, Cookie=gateways).status == 401
        assert visit(gateway, at, Cookie=changed).status == 401
        assert visit(gateway, at, Cookie="warmcell-port=").status == 401
        assert visit(gateway, host(gateway, sandbox, neighbour), Cookie=cookie).status == 401
        assert visit(gateway, host(gateway, other, inside), Cookie=cookie).status == 401
        assert visit(gateway, at, Cookie=f"{changed}; {cookie}").status == 200
        ticket = link(gateway, sandbox, inside.port).partition("ticket=")[2].partition("&")[0]
        assert visit(gateway, at, Cookie=f"warmcell-port={ticket}").status == 401
        value = cookie.partition("=")[2]
        assert visit(gateway, at, f"/.warmcell/enter?ticket={value}").status == 401
        assert visit(gateway, at, "/.warmcell/enter").status == 401
        assert visit(gateway, f"80-{NOBODY}.localhost:{gateway.port}").status == 401
    remove(gateway, other)


def test_nothing_of_the_gateway_is_there(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    with serving(text(b"theirs")) as inside:
        at, cookie = host(gateway, sandbox, inside), enter(gateway, sandbox, inside)
        for target in ("/api/kernels", "/v1/sandboxes", "/healthz", "/docs", "/%2e%2e/v1"):
            assert visit(gateway, at, target, Cookie=cookie).body == b"theirs", target
        options = visit(gateway, at, "/x", "OPTIONS", Cookie=cookie)
        assert options.body == b"theirs"
        for name in (f"0-{sandbox['id']}", f"65536-{sandbox['id']}", sandbox["id"],
                     f"080-{sandbox['id']}", f"80-{sandbox['id']}.x"):  # fmt: skip
            answer = visit(gateway, f"{name}.localhost:{gateway.port}", "/healthz")
            assert answer.body != b"theirs"
            assert answer.headers["server"] == "warmcell", "the gateway itself"


def test_pages_call_their_own_origin_alone(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    """The gateway here allows every origin but these."""
    with serving(text(b"ok")) as inside:
        at, cookie = host(gateway, sandbox, inside), enter(gateway, sandbox, inside)
        foreign = f"http://{host(gateway, sandbox, 1)}"
        for origin in (foreign, "null", "https://example.com", gateway.url):
            for method in ("GET", "POST"):
                answer = visit(gateway, at, "/", method, Cookie=cookie, Origin=origin)
                assert (answer.status, inside.requests.empty()) == (403, True)
        own = visit(gateway, at, "/", "POST", Cookie=cookie, Origin=f"http://{at}",
                    Referer=f"http://{at}/page?x=1")  # fmt: skip
        assert own.status == 200
        asked = inside.next()
        assert asked.header("origin") == f"http://localhost:{inside.port}"
        assert asked.header("referer") == f"http://localhost:{inside.port}/page?x=1"
        other = visit(gateway, at, "/", Cookie=cookie, Referer=f"{gateway.url}/lab?token=x")
        assert (other.status, inside.next().header("referer")) == (200, None)
        for origin in (f"http://{at}", foreign):
            answer = gateway.get("/v1/sandboxes", headers={"Origin": origin})
            assert answer.status in (403, 404)
        assert gateway.get("/v1/sandboxes", headers={"Origin": "https://a.b"}).status == 200


def test_authorization_at_an_origin_of_its_own(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    with serving(text(b"ok")) as inside:
        at, cookie = host(gateway, sandbox, inside), enter(gateway, sandbox, inside)
        ours = f"token {gateway.token}"
        assert visit(gateway, at, Authorization=ours).status == 200
        assert inside.next().header("authorization") is None
        assert visit(gateway, at, Authorization=ours, Cookie=cookie).status == 200
        assert inside.next().header("authorization") is None
        assert visit(gateway, at, Authorization="Bearer wc_gone", Cookie=cookie).status == 200
        assert inside.next().header("authorization") is None
        assert visit(gateway, at, Authorization="token theirs", Cookie=cookie).status == 200
        assert inside.next().header("authorization") == "token theirs"


def test_a_token_that_is_revoked_ends_its_cookies(
    gateway: Gateway, sandbox: dict[str, Any]
) -> None:
    made = gateway.request("POST", "/v1/tokens", {"principal": "owner", "role": "admin"}).json()
    minted = {"Authorization": f"Bearer {made['token']}"}
    with serving(text(b"in")) as inside:
        at = host(gateway, sandbox, inside)
        answer = gateway.request("POST", f"/v1/sandboxes/{sandbox['id']}/ports",
                                 {"port": inside.port}, minted)  # fmt: skip
        target = urlsplit(answer.json()["link"])
        entered = visit(gateway, at, f"{target.path}?{target.query}")
        cookie = entered.headers["set-cookie"].partition(";")[0]
        assert visit(gateway, at, Cookie=cookie).status == 200
        assert gateway.request("DELETE", f"/v1/tokens/{made['id']}").status == 204
        assert visit(gateway, at, Cookie=cookie).status == 401


def test_cookies_are_that_origins_alone(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    lines = ("Set-Cookie: a=b; Domain=localhost; Path=/x; HttpOnly",
             "Set-Cookie: domain=c;domain = .localhost", "Set-Cookie: warmcell-port=x; Path=/",
             "Location: http://127.0.0.1:1/", "Access-Control-Allow-Origin: *")  # fmt: skip
    with serving(text(b"", *lines)) as inside, closing(gateway.connection()) as connection:
        cookie = enter(gateway, sandbox, inside)
        connection.request("GET", "/", headers={"Host": host(gateway, sandbox, inside),
                                                "Cookie": cookie})  # fmt: skip
        response = connection.getresponse()
        response.read()
        assert response.headers.get_all("set-cookie") == ["a=b; Path=/x; HttpOnly", "domain=c"]
        assert response.headers["location"] == "http://127.0.0.1:1/"
        assert response.headers["access-control-allow-origin"] == "*"


def test_a_browser_is_sent_to_an_origin_of_its_own(
    gateway: Gateway, sandbox: dict[str, Any]
) -> None:
    with serving(text(b"page")) as inside:
        sent = gateway.get(path(sandbox, inside, "/a?x=%20"),
                           headers={"Sec-Fetch-Mode": "navigate"})  # fmt: skip
        assert (sent.status, inside.requests.empty()) == (302, True)
        at = host(gateway, sandbox, inside).replace("localhost:", "localhost:")
        assert sent.headers["location"].startswith(f"http://{at}/.warmcell/enter?ticket=")
        entered = visit(gateway, at, sent.headers["location"].removeprefix(f"http://{at}"))
        assert entered.headers["location"] == "/a?x=%20"
        worker = gateway.get(path(sandbox, inside), headers={"Service-Worker": "script"})
        assert (worker.status, inside.requests.empty()) == (403, True)


UPGRADE = {"Connection": "keep-alive, Upgrade", "Upgrade": "echo", "Sec-Any": "1"}


def switch(gateway: Gateway, target: str, headers: dict[str, str]) -> tuple[socket.socket, bytes]:
    """Asks for another protocol: the connection and the head of the answer."""
    wire = socket.create_connection(("127.0.0.1", gateway.port))
    wire.settimeout(30)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    wire.sendall(f"GET {target} HTTP/1.1\r\n{lines}\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        part = wire.recv(1)
        assert part, head
        head += part
    return wire, head


def echo(request: Request) -> None:
    assert request.header("upgrade") == "echo"
    assert request.header("connection") == "Upgrade"
    request.reply(b"HTTP/1.1 101 Now\r\nConnection: Upgrade\r\nUpgrade: echo\r\nX: y\r\n\r\nfirst")
    while part := request.connection.recv(65536):
        request.reply(part)
    request.reply(b"last")


@pytest.mark.parametrize("own", [False, True])
def test_a_tunnel(gateway: Gateway, sandbox: dict[str, Any], own: bool) -> None:
    with serving(echo) as inside:
        if own:
            at = host(gateway, sandbox, inside)
            lets_in = {"Host": at, "Cookie": enter(gateway, sandbox, inside),
                       "Origin": f"http://{at}"}  # fmt: skip
        else:
            lets_in = {"Host": gateway.authority, **gateway.authorization}
        wire, head = switch(gateway, "/" if own else path(sandbox, inside), lets_in | UPGRADE)
        with wire:
            assert head.startswith(b"HTTP/1.1 101 ")
            assert b"\r\nUpgrade: echo\r\n" in head
            assert b"\r\nX: y\r\n" in head
            with wire.makefile("rb") as replies:
                assert replies.read(5) == b"first"
                sent = bytes(range(256)) * 40000
                sending = threading.Thread(target=wire.sendall, args=(sent,))
                sending.start()
                assert replies.read(len(sent)) == sent
                sending.join()
                wire.shutdown(socket.SHUT_WR)
                assert replies.read() == b"last"
        if own:
            assert inside.next().header("origin") == f"http://localhost:{inside.port}"


def test_an_upgrade_of_foreign_pages(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    with serving(echo) as inside:
        at, cookie = host(gateway, sandbox, inside), enter(gateway, sandbox, inside)
        for origin in (gateway.url, f"http://{host(gateway, sandbox, 1)}", "null"):
            wire, head = switch(gateway, "/", UPGRADE | {"Host": at, "Cookie": cookie,
                                                         "Origin": origin})  # fmt: skip
            wire.close()
            assert head.startswith(b"HTTP/1.1 403 ")
        assert inside.requests.empty()


def test_a_server_that_does_not_switch(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    with serving(text(b"no", status="426 Other")) as inside:
        wire, head = switch(gateway, path(sandbox, inside),
                            UPGRADE | {"Host": "localhost"} | gateway.authorization)  # fmt: skip
        with wire:
            assert head.startswith(b"HTTP/1.1 426 Other\r\n")
            assert wire.recv(2) == b"no"
            assert wire.recv(1) == b""
