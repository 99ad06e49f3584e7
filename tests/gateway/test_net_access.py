"""Who may call: tokens in all their forms, host names, origins, and what browsers are told."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.service import TOKEN, Service

BASIC = base64.b64encode(f"me:{TOKEN}".encode()).decode()


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with Service() as service:
        yield service


GOOD = {
    "token": {"Authorization": f"token {TOKEN}"},
    "Token": {"Authorization": f"Token {TOKEN}"},
    "TOKEN": {"Authorization": f"TOKEN   {TOKEN}"},
    "bearer": {"Authorization": f"bearer {TOKEN}"},
    "Bearer": {"Authorization": f"Bearer {TOKEN}"},
    "Basic": {"Authorization": f"Basic {BASIC}"},
    "basic": {"authorization": f"basic {BASIC}"},
}
BAD = {
    "none": {},
    "wrong": {"Authorization": f"token {TOKEN}x"},
    "short": {"Authorization": f"token {TOKEN[:-1]}"},
    "empty": {"Authorization": "token "},
    "bare": {"Authorization": TOKEN},
    "joined": {"Authorization": f"token{TOKEN}"},
    "scheme": {"Authorization": f"Digest {TOKEN}"},
    "basic_user": {"Authorization": "Basic " + base64.b64encode(f"{TOKEN}:me".encode()).decode()},
    "basic_no_colon": {"Authorization": "Basic " + base64.b64encode(TOKEN.encode()).decode()},
    "basic_not_base64": {"Authorization": "Basic ****"},
    "basic_long": {"Authorization": "Basic " + "QUFB" * 4000},
    "cookie": {"Cookie": f"warmcell-1={TOKEN}"},
}


@pytest.mark.parametrize("name", GOOD)
def test_right_token(service: Service, name: str) -> None:
    reply = service.ask("/api/echo/x", headers=GOOD[name], token=None)
    assert reply.json()["principal"] == "owner"
    assert service.ask("/api/echo/x?token=wrong", headers=GOOD[name], token=None).status == 200


@pytest.mark.parametrize("name", BAD)
def test_wrong_token(service: Service, name: str) -> None:
    reply = service.ask("/api/echo/x", headers=BAD[name], token=None)
    assert reply.status == 401
    assert reply.header("www-authenticate") == 'Bearer realm="warmcell"'
    assert reply.json()["reason"] == "Unauthorized"
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    assert service.ask("/api/ws/echo", headers=BAD[name] | upgrade, token=None).status == 401


def test_query_token(service: Service) -> None:
    assert service.ask(f"/api/echo/x?token={TOKEN}", token=None).status == 200
    assert service.ask(f"/api/echo/x?token={TOKEN}y", token=None).status == 401
    assert service.ask("/api/echo/x?token=", token=None).status == 401


def test_open_routes_need_none(service: Service) -> None:
    reply = service.ask("/api", token=None)
    assert reply.status == 200
    assert service.ask("/healthz", token=None).json() == {"status": "ok"}


class TestCookie:
    def cookie(self, service: Service) -> str:
        page = {"Accept": "text/html,*/*"}
        reply = service.ask(f"/?token={TOKEN}", headers=page, token=None)
        assert reply.status == 200
        text = reply.header("set-cookie")
        assert text
        value, *attributes = text.split("; ")
        assert set(attributes) == {"Path=/", "HttpOnly", "SameSite=Strict"}
        assert TOKEN not in value
        return value

    def test_lets_a_browser_read(self, service: Service) -> None:
        cookie = {"Cookie": f"other=1; {self.cookie(service)}; more=2"}
        assert service.ask("/api/echo/x", headers=cookie, token=None).status == 200
        broken = {"Cookie": self.cookie(service)[:-1] + "0"}
        if broken["Cookie"] != self.cookie(service):
            assert service.ask("/api/echo/x", headers=broken, token=None).status == 401

    def test_changes_nothing_without_an_origin_of_ours(self, service: Service) -> None:
        cookie = {"Cookie": self.cookie(service)}
        assert service.ask("/api/echo/x", "POST", cookie, token=None).status == 401
        own = cookie | {"Origin": "http://localhost"}
        assert service.ask("/api/echo/x", "POST", own, token=None).status == 200
        other = cookie | {"Origin": "http://evil.example"}
        assert service.ask("/api/echo/x", "POST", other, token=None).status == 404

    def test_only_for_pages_and_only_for_the_token(self, service: Service) -> None:
        plain = service.ask(f"/?token={TOKEN}", token=None)
        assert plain.header("set-cookie") is None
        page = {"Accept": "text/html"}
        assert service.ask("/?token=no", headers=page, token=None).header("set-cookie") is None


class TestWays:
    """Where the token comes from."""

    def test_environment_of_kernel_gateway(self) -> None:
        with Service(token=None, env={"KG_AUTH_TOKEN": "kg"}) as service:
            assert service.ask("/api/echo/x", token="kg").status == 200
            assert service.ask("/api/echo/x", token=None).status == 401
            assert "kg" not in service.ready

    def test_flag_wins(self) -> None:
        with Service("--KernelGatewayApp.auth_token=flag") as service:
            assert service.ask("/api/echo/x", token="flag").status == 200
            assert service.ask("/api/echo/x").status == 401

    def test_file(self, tmp_path: Path) -> None:
        file = tmp_path / "token"
        file.write_text("from-file\nsecond line\n")
        with Service("--token-file", str(file)) as service:
            assert service.ask("/api/echo/x", token="from-file").status == 200

    def test_made_and_printed(self) -> None:
        with Service(token=None) as service:
            made = service.ready.partition("?token=")[2]
            assert len(made) == 48
            assert service.ask("/api/echo/x", token=made).status == 200
            assert service.ask("/api/echo/x", token=None).status == 401
            assert made not in service.log.read_text()

    def test_none_on_loopback(self) -> None:
        with Service("--token", "", token=None) as service:
            assert service.ask("/api/echo/x", token=None).status == 200

    def test_unix_peer_of_the_same_user_needs_none(self) -> None:
        with Service(unix=True) as service:
            assert service.ask("/api/echo/x", token=None).json()["principal"] == "owner"

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
    def test_unix_peer_of_another_user_needs_one(self) -> None:
        script = (
            "import os, socket, sys\n"
            "s = socket.socket(socket.AF_UNIX)\n"
            "os.chdir(os.path.dirname(sys.argv[1]))\n"  # whatever folders above it allow
            "os.setuid(65534)\n"
            "s.connect(os.path.basename(sys.argv[1]))\n"
            "s.sendall(b'GET /api/echo/x HTTP/1.1\\r\\nHost: x\\r\\n' + sys.argv[2].encode() +"
            " b'Connection: close\\r\\n\\r\\n')\n"
            "print(s.makefile('rb').read().split()[1].decode())\n"
        )
        with Service(unix=True) as service:
            assert service.socket_path
            assert service.socket_path.stat().st_mode & 0o777 == 0o600
            service.home.chmod(0o755)
            service.socket_path.chmod(0o666)

            def ask(header: str) -> str:
                command = [sys.executable, "-c", script, str(service.socket_path), header]
                return subprocess.run(command, check=True, capture_output=True, text=True).stdout

            assert ask("").strip() == "401"
            assert ask(f"Authorization: token {TOKEN}\r\n").strip() == "200"


class TestHost:
    @pytest.mark.parametrize(
        "host",
        [
            "localhost",
            "LOCALHOST:1",
            "127.0.0.1",
            "127.3.2.1:99",
            "[::1]",
            "[::1]:5",
            "a.localhost",
        ],
    )
    def test_names_of_this_machine(self, service: Service, host: str) -> None:
        assert service.ask("/api", host=host).status == 200

    @pytest.mark.parametrize(
        "host",
        [
            *["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1"],
            *["[::2]", "", ":80", "localhost:x", "[::1", "a" * 300, "notlocalhost", "localhost/"],
        ],
    )
    def test_other_names_are_refused(self, service: Service, host: str) -> None:
        reply = service.ask("/api", host=host)
        assert reply.status == 403
        assert "--allowed-hosts" in reply.json()["message"]

    def test_allowed_names(self) -> None:
        with Service("--allowed-hosts", "hub.example, other.example") as service:
            assert service.ask("/api", host="HUB.example:8888").status == 200
            assert service.ask("/api", host="evil.example").status == 403


class TestOrigin:
    def test_own_origin_and_none(self, service: Service) -> None:
        for origin in ("http://localhost", "https://localhost"):
            assert service.ask("/api", headers={"Origin": origin}).status == 200
        own = {"Origin": f"http://127.0.0.1:{service.port}"}
        assert service.ask("/api", headers=own, host=f"127.0.0.1:{service.port}").status == 200

    @pytest.mark.parametrize(
        "origin",
        [
            "http://evil.example",
            "http://localhost:81",
            "null",
            "",
            "localhost",
            "http://localhost.x",
        ],
    )
    def test_other_origins(self, service: Service, origin: str) -> None:
        assert service.ask("/api", headers={"Origin": origin}).status == 404
        upgrade = {
            "Origin": origin,
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        assert service.ask("/api/ws/echo", headers=upgrade).status == 403

    def test_allowed_by_name(self) -> None:
        options = [
            "--allow-origin=http://page.example",
            "--allow-headers=X-A, X-B",
            "--allow-methods=GET",
            "--allow-credentials=true",
            "--expose-headers=X-C",
            "--max-age=7",
        ]
        with Service(*options) as service:
            for target, status in (("/api", 200), ("/api/fail/500", 500), ("/nothing", 404)):
                reply = service.ask(target, headers={"Origin": "http://page.example"})
                assert reply.status == status
                assert reply.header("access-control-allow-origin") == "http://page.example"
                assert reply.header("access-control-allow-headers") == "X-A, X-B"
                assert reply.header("access-control-allow-methods") == "GET"
                assert reply.header("access-control-allow-credentials") == "true"
                assert reply.header("access-control-expose-headers") == "X-C"
                assert reply.header("access-control-max-age") == "7"
            assert service.ask("/api", headers={"Origin": "http://x.example"}).status == 404
            preflight = {"Origin": "http://page.example", "Access-Control-Request-Method": "POST"}
            assert service.ask("/api/echo/x", "OPTIONS", preflight, token=None).status == 204

    def test_allowed_by_pattern(self) -> None:
        with Service("--allow-origin-pat=https://[a-z]+\\.page\\.example$") as service:
            good = service.ask("/api", headers={"Origin": "https://a.page.example"})
            assert good.status == 200
            assert good.header("access-control-allow-origin") == "https://a.page.example"
            assert good.header("vary") == "Origin"
            for origin in (
                "https://a.page.example.evil",
                "x https://a.page.example",
                "https://1.page.example",
            ):
                assert service.ask("/api", headers={"Origin": origin}).status == 404

    def test_any(self) -> None:
        with Service("--allow-origin=*") as service:
            for origin in ("http://evil.example", "null"):
                reply = service.ask("/api", headers={"Origin": origin})
                assert reply.status == 200
                assert reply.header("access-control-allow-origin") == "*"


def test_headers_that_guard_browsers(service: Service) -> None:
    api = service.ask("/api")
    assert api.header("x-content-type-options") == "nosniff"
    assert api.header("content-security-policy") == "default-src 'none'; frame-ancestors 'self'"
    page = service.ask("/")
    assert "default-src 'none'" in (page.header("content-security-policy") or "")
    assert page.header("referrer-policy") == "no-referrer"
    assert b"<h1>warmcell</h1>" in page.body


def test_base_url() -> None:
    with Service("--base-url", "deep/down/") as service:
        assert service.url.endswith(f":{service.port}/deep/down/")
        assert service.ask("/deep/down/api").status == 200
        assert service.ask("/deep/down").status == 200
        for target in ("/api", "/deep/downapi", "/deep", "/"):
            assert service.ask(target).status == 404
        page = service.ask(
            f"/deep/down/?token={TOKEN}", headers={"Accept": "text/html"}, token=None
        )
        assert "Path=/deep/down/" in (page.header("set-cookie") or "")
        assert b'href="/deep/down/api/kernels"' in page.body
