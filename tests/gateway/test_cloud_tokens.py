"""POST /api/v1/auth/token: who is given a JWT, for whom, and which are let in."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import json
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest
from gateway.test_jwt import hs256, unsigned
from gateway.test_sandboxes import Place, create, end, remove, start
from support import processes
from support.gateway import Answer, Gateway
from support.service import Service

TOKEN = "/api/v1/auth/token"
GATEWAY = ("--open-tokens", "--share-templates")


def claims_of(token: str) -> dict[str, Any]:
    text = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return claims


def ask(gateway: Gateway, *, auth: bool = True, **body: Any) -> Answer:
    return gateway.request("POST", TOKEN, body, auth=auth)


def seen_with(gateway: Gateway, token: str) -> Gateway:
    """As whoever shows it sees the gateway."""
    return dataclasses.replace(gateway, token=token)


def as_user(gateway: Gateway, user: str, *, auth: bool = False, **body: Any) -> Gateway:
    answer = ask(gateway, auth=auth, user_id=user, **body)
    assert answer.status == 200, answer
    return seen_with(gateway, answer.json()["access_token"])


def minted(gateway: Gateway, **body: Any) -> tuple[str, Gateway]:
    model = gateway.request("POST", "/v1/tokens", body).json()
    return model["id"], seen_with(gateway, model["token"])


def secret_of(gateway: Gateway) -> bytes:
    """What this gateway signs with, derived from its key as store/seal.c has it."""
    key = (gateway.state / "snapshot.key").read_bytes()[:32]
    purpose = b"warmcell seal: a digest\0signature of JWTs"
    own = hmac.digest(key, purpose, hashlib.sha256)
    return hmac.digest(own, b"HS256", hashlib.sha256).hex().encode()


def good_claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    return {"iss": "cloud-sandbox", "sub": "ada", "user_id": "ada", "role": "user",
            "scope": "read write", "iat": now, "exp": now + 600} | more  # fmt: skip


@pytest.fixture(scope="module")
def closed() -> Iterator[Place]:
    """Without --open-tokens."""
    gateway, keeper = start("--pool-max", "0", "--share-templates")
    remove(gateway, create(gateway))  # its keeper is there then, and no leftover of a test
    for pid in keeper.pids():
        processes.own(pid)
    yield gateway, keeper
    end(gateway, keeper)


# --- what is given


def test_the_answer(gateway: Gateway) -> None:
    answer = ask(gateway, auth=False, user_id="my-user", role="user")
    assert answer.status == 200, answer
    assert answer.headers["cache-control"] == "no-store"
    model = answer.json()
    assert set(model) == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert (model["token_type"], model["expires_in"]) == ("Bearer", "86400")
    access, refresh = claims_of(model["access_token"]), claims_of(model["refresh_token"])
    assert (access["iss"], refresh["iss"]) == ("cloud-sandbox", "cloud-sandbox-refresh")
    assert (access["user_id"], access["role"], access["sub"]) == ("my-user", "user", "open.my-user")
    assert access["exp"] - access["iat"] == 24 * 3600
    assert refresh["exp"] - refresh["iat"] == 7 * 24 * 3600
    head = json.loads(base64.urlsafe_b64decode(model["access_token"].split(".")[0] + "=="))
    assert head == {"alg": "HS256", "typ": "JWT"}
    assert seen_with(gateway, model["access_token"]).get("/v1/sandboxes").status == 200


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 400, "user_id required"),
        ({"user_id": ""}, 400, "user_id required"),
        ({"user_id": 7}, 400, "user_id"),
        ({"user_id": "a b"}, 400, "user_id"),
        ({"user_id": "../x"}, 400, "user_id"),
        ({"user_id": "x" * 60}, 400, "user_id"),
        ({"user_id": "owner"}, 400, "owner"),
        ({"user_id": "ada", "role": "root"}, 400, "role"),
        ({"user_id": "ada", "role": "admin"}, 403, "role"),
    ],
)
def test_what_is_refused(gateway: Gateway, body: Any, status: int, words: str) -> None:
    answer = gateway.request("POST", TOKEN, body, auth=False)
    assert answer.status == status
    assert set(answer.json()) == {"error"}
    assert words in answer.json()["error"]


def test_a_body_that_is_none(gateway: Gateway) -> None:
    for body, status in ((b"", 400), (b"{", 400), (b"[]", 400),
                         (b'{"user_id": "' + b"x" * 70000 + b'"}', 413)):  # fmt: skip
        assert gateway.request("POST", TOKEN, body, auth=False).status == status
    assert gateway.get(TOKEN).status == 405


# --- without the option


def test_nobody_is_given_one_without_the_option(closed: Place) -> None:
    answer = ask(closed[0], auth=False, user_id="ada")
    assert answer.status == 401
    assert answer.json()["error"] == "unauthorized"
    assert "--open-tokens" in answer.json()["message"]
    wrong = seen_with(closed[0], "wrong")
    assert ask(wrong, user_id="ada").status == 401


def test_the_owner_gives_them_to_anybody(closed: Place) -> None:
    gateway = closed[0]
    ada = as_user(gateway, "ada", auth=True)
    assert claims_of(ada.token)["sub"] == "ada"
    sandbox = create(ada)
    assert sandbox["owner"] == "ada"
    remove(gateway, sandbox)
    chief = as_user(gateway, "chief", auth=True, role="admin")
    assert chief.get("/v1/sandboxes").status == 200
    assert chief.get("/v1/tokens").status == 403  # reads and writes, no more


def test_a_peer_of_the_same_uid_needs_no_token() -> None:
    gateway = Gateway(options=["--pool-max", "0"])
    gateway.unix = str(gateway.home / "socket")
    gateway.start()
    assert ask(gateway, auth=False, user_id="ada").status == 200
    assert gateway.stop() == 0
    shutil.rmtree(gateway.home)


def test_a_user_asks_for_themselves_alone(closed: Place) -> None:
    gateway = closed[0]
    scopes = ["read", "tokens"]
    token, bob = minted(gateway, principal="bob", scopes=scopes, expires_in_s=3600)
    assert ask(bob, user_id="ada").status == 403
    assert ask(bob, user_id="bob", role="admin").status == 403
    answer = ask(bob, user_id="bob")
    assert answer.status == 200
    told = claims_of(answer.json()["access_token"])
    assert (told["sub"], told["scope"], told["by"]) == ("bob", "read", token)
    assert 0 < int(answer.json()["expires_in"]) <= 3600
    assert told["exp"] - told["iat"] == int(answer.json()["expires_in"])
    seen = seen_with(gateway, answer.json()["access_token"])
    assert seen.get("/v1/sandboxes").status == 200
    assert seen.request("POST", "/v1/sandboxes").status == 403  # no more than what asked for it
    assert ask(seen, user_id="bob").status == 403  # nor does it ask for others
    assert gateway.request("DELETE", f"/v1/tokens/{token}").status == 204
    assert seen.get("/v1/sandboxes").status == 401  # it went with its token


def test_a_token_without_its_scope_asks_for_none(closed: Place) -> None:
    _, eve = minted(closed[0], principal="eve")
    answer = ask(eve, user_id="eve")
    assert answer.status == 403
    assert "tokens" in answer.json()["error"]


# --- who is let in


def test_an_open_token_is_of_a_principal_of_its_own(gateway: Gateway) -> None:
    """Whoever has a token of the gateway's is not who says so here."""
    _, real = minted(gateway, principal="ada")
    theirs = create(real)
    said = as_user(gateway, "ada")
    assert said.get("/v1/sandboxes").json()["sandboxes"] == []
    assert said.get(f"/v1/sandboxes/{theirs['id']}").status == 404
    own = create(said)
    assert own["owner"] == "open.ada"
    other = as_user(gateway, "bob")
    assert other.get(f"/v1/sandboxes/{own['id']}").status == 404
    assert as_user(gateway, "ada").get(f"/v1/sandboxes/{own['id']}").status == 200
    # asked for again with the one before, as the SDK does
    again = seen_with(gateway, ask(said, user_id="ada").json()["access_token"])
    assert again.get(f"/v1/sandboxes/{own['id']}").status == 200
    for sandbox in (theirs, own):
        remove(gateway, sandbox)


def test_which_are_let_in(gateway: Gateway) -> None:
    secret, now = secret_of(gateway), int(time.time())
    good = hs256(secret, good_claims())
    assert seen_with(gateway, good).get("/v1/sandboxes").status == 200
    text = unsigned("HS256", good_claims(sub="bob"))
    refused = {
        "expired": hs256(secret, good_claims(exp=now - 60)),
        "without an end": hs256(secret, {k: v for k, v in good_claims().items() if k != "exp"}),
        "refresh": hs256(secret, good_claims(iss="cloud-sandbox-refresh")),
        "issuer": hs256(secret, good_claims(iss="another")),
        "without an issuer": hs256(secret, {k: v for k, v in good_claims().items() if k != "iss"}),
        "the owner": hs256(secret, good_claims(sub="owner")),
        "revoked": hs256(secret, good_claims(by="00000000-0000-0000-0000-000000000000")),
        "no id": hs256(secret, good_claims(by="x")),
        "forged": hs256(b"0" * 64, good_claims()),
        "another's signature": text + "." + good.split(".")[2],
        "alg none": unsigned("none", good_claims()) + ".",
        "alg none, signed": hs256(secret, good_claims(), "none"),
        "alg HS512": hs256(secret, good_claims(), "HS512"),
        "alg RS256": hs256(secret, good_claims(), "RS256"),
    }
    for what, token in refused.items():
        answer = seen_with(gateway, token).get("/v1/sandboxes")
        assert answer.status == 401, what
    given = ask(gateway, auth=False, user_id="ada").json()
    assert seen_with(gateway, given["refresh_token"]).get("/v1/sandboxes").status == 401


def test_they_outlive_their_gateway() -> None:
    """And a key that is new in front signs, while the old one is good still."""
    gateway, keeper = start("--pool-max", "0", "--open-tokens")
    before = as_user(gateway, "ada")
    gateway.kill()
    key = gateway.state / "snapshot.key"
    key.write_bytes(bytes(range(32)) + key.read_bytes())
    gateway.start()
    after = as_user(gateway, "ada")
    for one in (before, after):
        assert seen_with(gateway, one.token).get("/v1/sandboxes").status == 200
    end(gateway, keeper)


@pytest.mark.parametrize("address", ["0.0.0.0", "*", "::"])
def test_it_is_for_this_machine_alone(address: str) -> None:
    found = Service("--open-tokens", "--insecure-http", "--ip", address).fail_to_start()
    assert found.returncode == 1
    assert "open-tokens: is for gateways that only this machine reaches" in found.stderr
