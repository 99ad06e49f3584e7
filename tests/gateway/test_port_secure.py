"""Ports of sandboxes below a domain of the operator's own, under TLS, for people who come with a
JWT: what their cookies are good for, when they are renewed and when they end."""

from __future__ import annotations

import json
import signal
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from gateway.test_jwt import SECRET, claims, encode, hs256
from gateway.test_port_requests import path
from gateway.test_port_sites import echo, visit
from gateway.test_sandboxes import Place, create, end, start
from support import processes
from support.gateway import Gateway
from support.inside import Inside, serving, text

DOMAIN = "ports.example"
HOUR_S = 3600


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("secure")


def write_keys(folder: Path, secret: bytes) -> None:
    file = folder / "keys.json"
    file.write_text(json.dumps({"kty": "oct", "kid": "a", "k": encode(secret)}))
    file.chmod(0o600)


@pytest.fixture(scope="module")
def place(keys: Path) -> Iterator[Place]:
    certificate, key = keys / "cert.pem", keys / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
         "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )  # fmt: skip
    write_keys(keys, SECRET)
    gateway, keeper = start("--pool-max", "0", "--ports-domain", DOMAIN,
                            "--certfile", str(certificate), "--keyfile", str(key),
                            "--jwt-keys", str(keys / "keys.json"), "--jwt-issuer", "https://us",
                            "--jwt-audience", "cells", "--share-templates")  # fmt: skip
    gateway.cafile = str(certificate)
    create(gateway)
    for pid in keeper.pids():
        processes.own(pid)
    yield gateway, keeper
    end(gateway, keeper)


@pytest.fixture(scope="module")
def gateway(place: Place) -> Gateway:
    return place[0]


def bearer(valid_s: int, secret: bytes = SECRET) -> dict[str, str]:
    said = claims()
    return {"Authorization": f"Bearer {hs256(secret, said | {'exp': said['iat'] + valid_s})}"}


@pytest.fixture(scope="module")
def sandbox(gateway: Gateway) -> dict[str, Any]:
    """Of who comes with a JWT."""
    answer = gateway.request("POST", "/v1/sandboxes", {}, bearer(HOUR_S), auth=False)
    assert answer.status == 201, answer
    model: dict[str, Any] = answer.json()
    return model


def host(gateway: Gateway, sandbox: dict[str, Any], inside: Inside) -> str:
    return f"{inside.port}-{sandbox['id']}.{DOMAIN}:{gateway.port}"


def enter(gateway: Gateway, sandbox: dict[str, Any], inside: Inside,
          who: dict[str, str]) -> str:  # fmt: skip
    """The cookie that somebody's link is exchanged for."""
    ports = f"/v1/sandboxes/{sandbox['id']}/ports"
    made = gateway.request("POST", ports, {"port": inside.port}, who, auth=False)
    assert made.status == 201, made
    at = host(gateway, sandbox, inside)
    assert made.json()["origin"] == f"https://{at}"
    target = urlsplit(made.json()["link"])
    assert (target.scheme, target.netloc) == ("https", at)
    entered = visit(gateway, at, f"{target.path}?{target.query}")
    assert entered.status == 302, entered
    return cookie_of(entered.headers["set-cookie"])


def cookie_of(line: str) -> str:
    cookie, *rest = line.split("; ")
    assert rest == ["Path=/", "Max-Age=3600", "HttpOnly", "SameSite=Lax", "Secure"]
    return cookie


def test_a_domain_under_tls(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    with serving(text(b"page")) as inside:
        at, cookie = host(gateway, sandbox, inside), enter(gateway, sandbox, inside, bearer(9000))
        page = visit(gateway, at, Cookie=cookie, Origin=f"https://{at}")
        assert (page.status, page.body) == (200, b"page")
        asked = inside.next()
        assert asked.header("x-forwarded-proto") == "https"
        assert asked.header("x-forwarded-host") == at
        assert asked.header("origin") == f"http://localhost:{inside.port}"
        foreign = f"https://1-{sandbox['id']}.{DOMAIN}:{gateway.port}"
        assert visit(gateway, at, Cookie=cookie, Origin=foreign).status == 403
        assert visit(gateway, at).status == 401
        elsewhere = at.replace(DOMAIN, "localhost")
        other = visit(gateway, elsewhere, "/healthz", Cookie=cookie)
        assert other.headers["server"] == "warmcell", "no origin of a port"
        sent = gateway.request("GET", path(sandbox, inside, "/a"), None,
                               bearer(HOUR_S) | {"Sec-Fetch-Mode": "navigate"},
                               auth=False)  # fmt: skip
        assert sent.headers["location"].startswith(f"https://{at}/.warmcell/enter?ticket=")
        assert inside.requests.empty()


def test_a_tunnel_under_tls(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    with serving(echo) as inside, closing(gateway.connection()) as connection:
        at = host(gateway, sandbox, inside)
        connection.connect()
        wire = connection.sock
        assert isinstance(wire, ssl.SSLSocket)
        lines = {"Host": at, "Cookie": enter(gateway, sandbox, inside, bearer(HOUR_S)),
                 "Connection": "Upgrade", "Upgrade": "echo"}  # fmt: skip
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        wire.sendall(f"GET / HTTP/1.1\r\n{head}\r\n".encode())
        with wire.makefile("rb") as replies:
            assert replies.readline() == b"HTTP/1.1 101 Switching Protocols\r\n"
            while replies.readline() != b"\r\n":
                pass
            assert replies.read(5) == b"first"
            sent = bytes(range(256)) * 10000
            sending = threading.Thread(target=wire.sendall, args=(sent,))
            sending.start()
            assert replies.read(len(sent)) == sent
            sending.join()


def test_cookies_are_renewed_while_they_are_used(gateway: Gateway, sandbox: dict[str, Any]) -> None:
    """One is good for an hour, or as long as the JWT; less than half an hour left is renewed."""
    with serving(text(b"page", "Set-Cookie: theirs=1")) as inside:
        at = host(gateway, sandbox, inside)
        for valid_s, renewed in ((9000, False), (1000, True)):
            cookie = enter(gateway, sandbox, inside, bearer(valid_s))
            with closing(gateway.connection()) as connection:
                connection.request("GET", "/", headers={"Host": at, "Cookie": cookie})
                reply = connection.getresponse()
                assert reply.read() == b"page"
                given = [one for one in reply.headers.get_all("set-cookie", [])
                         if one != "theirs=1"]  # fmt: skip
            assert len(given) == renewed
            for line in given:
                assert cookie_of(line) != cookie
                assert visit(gateway, at, Cookie=cookie_of(line)).status == 200


def test_a_cookie_ends_with_the_key_of_its_jwt(
    gateway: Gateway, sandbox: dict[str, Any], keys: Path
) -> None:
    assert gateway.process
    with serving(text(b"page")) as inside:
        at, cookie = host(gateway, sandbox, inside), enter(gateway, sandbox, inside, bearer(HOUR_S))
        assert visit(gateway, at, Cookie=cookie).status == 200
        write_keys(keys, SECRET[::-1])
        gateway.process.send_signal(signal.SIGHUP)
        processes.until(lambda: visit(gateway, at, Cookie=cookie).status == 401, "it ends")
        other = enter(gateway, sandbox, inside, bearer(HOUR_S, SECRET[::-1]))
        assert visit(gateway, at, Cookie=other).status == 200
        write_keys(keys, SECRET)
        gateway.process.send_signal(signal.SIGHUP)
        processes.until(lambda: visit(gateway, at, Cookie=other).status == 401, "so does this")
