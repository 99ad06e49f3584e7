"""JWTs, signed by openssl and by hand: which keys let whom in, and when they change."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import json
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from gateway.test_quotas import record
from gateway.test_sandboxes import end, start
from support import processes
from support.service import Service, Wire

SECRET = b"0123456789abcdef0123456789abcdef"
OPTIONS = ("--jwt-issuer", "https://us", "--jwt-audience", "cells")


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    return {"sub": "ada", "iss": "https://us", "aud": "cells", "iat": now, "exp": now + 600} | more


def unsigned(algorithm: str, said: dict[str, Any]) -> str:
    head = {"alg": algorithm, "typ": "JWT"}
    return encode(json.dumps(head).encode()) + "." + encode(json.dumps(said).encode())


def hs256(secret: bytes, said: dict[str, Any], algorithm: str = "HS256") -> str:
    text = unsigned(algorithm, said)
    return f"{text}.{encode(hmac.digest(secret, text.encode(), hashlib.sha256))}"


def openssl(*args: str, given: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *args], input=given, capture_output=True, check=True).stdout


def raw_signature(der: bytes) -> bytes:
    """r and s of an ECDSA signature, 32 bytes each."""
    at, out = 2, b""
    for _ in range(2):
        length = der[at + 1]
        out += der[at + 2 : at + 2 + length].lstrip(b"\0").rjust(32, b"\0")
        at += 2 + length
    return out


class Pair:
    """A key pair in files."""

    def __init__(self, place: Path, name: str) -> None:
        self.algorithm = {"rsa": "RS256", "ec": "ES256"}[name]
        self.private, self.public = place / f"{name}.key", place / f"{name}.pem"
        kind = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
        if name == "ec":
            kind = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
        openssl("genpkey", *kind, "-out", str(self.private))
        openssl("pkey", "-in", str(self.private), "-pubout", "-out", str(self.public))
        self.public.chmod(0o644)

    def sign(self, said: dict[str, Any]) -> str:
        text = unsigned(self.algorithm, said)
        made = openssl("dgst", "-sha256", "-sign", str(self.private), given=text.encode())
        return f"{text}.{encode(raw_signature(made) if self.algorithm == 'ES256' else made)}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="module")
def rsa(place: Path) -> Pair:
    return Pair(place, "rsa")


@pytest.fixture(scope="module")
def ec(place: Path) -> Pair:
    return Pair(place, "ec")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"kty": "oct", "kid": "a", "k": encode(SECRET)}))
    path.chmod(0o600)
    return path


def asked(service: Service, token: str) -> tuple[int, str | None]:
    reply = service.ask("/api/echo/x", token=token)
    return reply.status, reply.json().get("principal")


def test_public_keys_as_pem(place: Path, rsa: Pair, ec: Pair) -> None:
    both = place / "both.pem"
    both.write_bytes(rsa.public.read_bytes() + ec.public.read_bytes())
    both.chmod(0o644)
    with Service("--jwt-keys", str(both), *OPTIONS) as service:
        for pair in (rsa, ec):
            good = pair.sign(claims())
            assert asked(service, good) == (200, "ada")
            assert asked(service, good[:-8] + "AAAAAAAA") == (401, None)
            assert asked(service, pair.sign(claims(exp=1))) == (401, None)
            assert asked(service, pair.sign(claims(iss="https://them"))) == (401, None)
            assert asked(service, pair.sign(claims(aud="others"))) == (401, None)
            assert asked(service, pair.sign(claims(sub="owner"))) == (401, None)
            # what the public key says cannot be a secret, and no signature is none
            for known in (pair.public.read_bytes(), both.read_bytes()):
                assert asked(service, hs256(known, claims())) == (401, None)
            assert asked(service, unsigned("none", claims()) + ".") == (401, None)
            assert asked(service, unsigned("none", claims()) + ".AA") == (401, None)
        _, body, signature = rsa.sign(claims()).split(".")
        other = unsigned("ES256", claims()).split(".")[0]
        assert asked(service, f"{other}.{body}.{signature}") == (401, None)


def test_algorithms_are_a_choice(rsa: Pair) -> None:
    options = ("--jwt-keys", str(rsa.public), "--jwt-algorithms", "ES256")
    with Service(*options) as service:
        assert asked(service, rsa.sign(claims())) == (401, None)


def test_every_form_of_a_token(secret: Path) -> None:
    token = hs256(SECRET, claims())
    with Service("--jwt-keys", str(secret), *OPTIONS) as service:
        basic = base64.b64encode(f"me:{token}".encode()).decode()
        for header in (f"Bearer {token}", f"token {token}", f"Basic {basic}"):
            reply = service.ask("/api/echo/x", headers={"Authorization": header}, token=None)
            assert (reply.status, reply.json()["principal"]) == (200, "ada")
        page = service.ask(f"/?token={token}", headers={"Accept": "text/html"}, token=None)
        assert (page.status, page.header("set-cookie")) == (200, None)  # it is the owner's
        refused = service.ask(f"/api/echo/x?token={token}x", token=None)
        assert (refused.status, token in refused.body.decode()) == (401, False)
        assert service.ask("/api/echo/x").json()["principal"] == "owner"
        assert token not in service.log.read_text()


def test_scopes_and_the_name(secret: Path) -> None:
    options = ("--jwt-scopes", "read", "--jwt-principal-claim", "email")
    with Service("--jwt-keys", str(secret), *options) as service:
        token = hs256(SECRET, claims(email="ada@us.example", scope="read write tokens"))
        assert asked(service, token) == (200, "ada@us.example")
        reply = service.ask("/api/echo/x", "POST", token=token)
        assert (reply.status, "write" in reply.json()["message"]) == (403, True)
        assert asked(service, hs256(SECRET, claims())) == (401, None)
        theirs = claims(email="open.ada")  # who asked for an open token has it
        assert asked(service, hs256(SECRET, theirs)) == (401, None)


def opened(service: Service, token: str) -> Wire:
    wire = service.connect()
    wire.request(
        "/api/ws/echo",
        headers={
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        },
        token=token,
    )
    assert wire.reply().status == 101
    return wire


@pytest.mark.parametrize("hangup", [False, True])
def test_keys_change_while_it_runs(rsa: Pair, secret: Path, hangup: bool) -> None:
    old = hs256(SECRET, claims())
    with Service("--jwt-keys", str(secret)) as service:
        wire = opened(service, old)
        fresh = secret.with_suffix(".new")
        shutil.copy(rsa.public, fresh)
        fresh.rename(secret)
        if hangup:
            service.process.send_signal(signal.SIGHUP)
        assert wire.take(1) == b"\x88"  # a frame that closes
        assert int.from_bytes(wire.take(3)[1:], "big") == 1008
        wire.socket.close()
        assert asked(service, old) == (401, None)
        assert asked(service, rsa.sign(claims())) == (200, "ada")
        secret.write_text("nothing")
        processes.until(lambda: "stay as they were" in service.log.read_text(), "a log line")
        assert asked(service, rsa.sign(claims())) == (200, "ada")


@pytest.mark.parametrize(
    ("mode", "options", "words"),
    [
        (0o600, ("--jwt-role", "root"), "jwt-role: must be user or admin"),
        (0o600, ("--jwt-scopes", "fly"), "jwt-scopes: must be of"),
        (0o600, ("--jwt-algorithms", "none"), "jwt-algorithms: must be of"),
        (0o600, ("--jwt-algorithms", ""), "jwt-algorithms: must name one"),
        (0o600, ("--jwt-principal-claim", ""), "jwt-principal-claim: must not be empty"),
        (0o644, (), "there is a secret in it, and others may read it"),
        (0o622, (), "others may write to it"),
        (0o600, ("--jwt-keys", "/nothing/here"), "/nothing/here: it cannot be read"),
    ],
)
def test_what_cannot_be_used(secret: Path, mode: int, options: Any, words: str) -> None:
    secret.chmod(mode)
    ended = Service("--jwt-keys", str(secret), *options).fail_to_start()
    assert ended.returncode == 1
    assert words in ended.stderr
    assert encode(SECRET) not in ended.stderr


def test_the_record_names_the_token(secret: Path) -> None:
    """By its `jti`, of a length that it may have."""
    gateway, keeper = start("--pool-max", "0", "--jwt-keys", str(secret), *OPTIONS)
    said: tuple[Any, ...] = ("one", "a" * 64, "a" * 65, 7, "null\0", None)
    for jti in said:
        token = hs256(SECRET, claims() if jti is None else claims(jti=jti))
        caller = dataclasses.replace(gateway, token=token)
        assert caller.request("POST", "/v1/templates", {"name": "a b"}).status == 400
    lines = record(gateway)
    assert [one["principal"] for one in lines] == ["ada"] * len(said)
    assert [one.get("jti") for one in lines] == ["one", "a" * 64, None, None, None, None]
    assert [one["token"] for one in lines] == [None] * len(said)
    end(gateway, keeper)
