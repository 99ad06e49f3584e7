"""/v1/tokens, and what principals see of each other: nothing."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
import websocket
from gateway.test_sandboxes import NOBODY, create, end, remove, start
from support import processes
from support.gateway import Answer, Gateway
from support.socket_client import ClosedError, SocketClient

GATEWAY = ("--share-templates",)


def shown(gateway: Gateway, secret: str) -> Gateway:
    """The same gateway, seen with another token."""
    return dataclasses.replace(gateway, token=secret)


def mint(gateway: Gateway, **body: Any) -> tuple[dict[str, Any], Gateway]:
    answer = gateway.request("POST", "/v1/tokens", body)
    assert answer.status == 201, answer
    model: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/tokens/{model['id']}"
    assert answer.headers["cache-control"] == "no-store"
    return model, shown(gateway, model["token"])


def test_a_backup_takes_more_than_reading(gateway: Gateway) -> None:
    model, reader = mint(gateway, role="admin", scopes=["read"])
    assert reader.get("/v1/backup").status == 403
    assert "scope write" in reader.get("/v1/backup").json()["detail"]
    assert gateway.request("DELETE", f"/v1/tokens/{model['id']}").status == 204


def listed(gateway: Gateway) -> set[str]:
    return {one["id"] for one in gateway.get("/v1/tokens").json()["tokens"]}


def problem(answer: Answer) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status, str(answer.json()["detail"])


@pytest.fixture
def ada(gateway: Gateway) -> Iterator[Gateway]:
    model, seen = mint(gateway, principal="ada", name="of a test")
    yield seen
    gateway.request("DELETE", f"/v1/tokens/{model['id']}")


@pytest.fixture
def bob(gateway: Gateway) -> Iterator[Gateway]:
    model, seen = mint(gateway, principal="bob", scopes=["read", "write", "tokens"])
    yield seen
    gateway.request("DELETE", f"/v1/tokens/{model['id']}")


# --- tokens


def test_the_model(gateway: Gateway) -> None:
    model, seen = mint(gateway, name="ci", principal="ada", expires_in_s=60)
    secret = model.pop("token")
    assert secret.startswith("wc_") and len(secret) == 46
    assert (model["name"], model["principal"], model["role"]) == ("ci", "ada", "user")
    assert (model["scopes"], model["minted_by"]) == (["read", "write"], None)
    assert model["created"] < model["expires"]
    assert model in gateway.get("/v1/tokens").json()["tokens"]
    assert secret not in gateway.get("/v1/tokens").body.decode()
    assert seen.get("/v1/sandboxes").status == 200
    assert gateway.request("DELETE", f"/v1/tokens/{model['id']}").status == 204
    assert seen.get("/v1/sandboxes").status == 401
    assert model["id"] not in listed(gateway)
    assert gateway.request("DELETE", f"/v1/tokens/{model['id']}").status == 404


def test_every_form_of_a_token(gateway: Gateway, ada: Gateway) -> None:
    assert gateway.get("/v1/sandboxes", auth=False).status == 401
    assert gateway.get(f"/v1/sandboxes?token={ada.token}", auth=False).status == 200
    bearer = {"Authorization": f"Bearer {ada.token}"}
    assert gateway.get("/v1/sandboxes", auth=False, headers=bearer).status == 200
    page = gateway.get(f"/?token={ada.token}", auth=False, headers={"Accept": "text/html"})
    assert (page.status, "set-cookie" in page.headers) == (200, False)  # it is the owner's
    wrong = ada.token[:-1] + ("A" if ada.token[-1] != "A" else "B")
    assert shown(gateway, wrong).get("/v1/sandboxes").status == 401


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"role": "root"}, 400, "role"),
        ({"scopes": "read"}, 400, "scopes"),
        ({"scopes": ["fly"]}, 400, "scopes"),
        ({"scopes": []}, 400, "scopes"),
        ({"principal": "a b"}, 400, "principal"),
        ({"principal": ""}, 400, "principal"),
        ({"principal": "x" * 65}, 400, "principal"),
        ({"name": "x" * 101}, 400, "name"),
        ({"name": "a\nb"}, 400, "name"),
        ({"expires_in_s": 0}, 400, "expires_in_s"),
        ({"expires_in_s": "soon"}, 400, "expires_in_s"),
    ],
)
def test_what_is_no_token(gateway: Gateway, body: Any, status: int, words: str) -> None:
    before = listed(gateway)
    told = problem(gateway.request("POST", "/v1/tokens", body))
    assert told[0] == status and words in told[1]
    assert listed(gateway) == before


def test_a_slip_in_a_name_mints_nothing(gateway: Gateway) -> None:
    before = listed(gateway)
    answer = gateway.request("POST", "/v1/tokens", {"principal": "ada", "expires_s": 3})
    assert problem(answer) == (
        400, "expires_s: there is no such member; did you mean expires_in_s?"
    )  # fmt: skip
    assert listed(gateway) == before


def test_a_token_that_is_no_good_is_not_told_to_be_missing(gateway: Gateway) -> None:
    """Nor which of all that it is: who guesses learns nothing."""
    model, revoked = mint(gateway, principal="ada")
    assert gateway.request("DELETE", f"/v1/tokens/{model['id']}").status == 204
    made_up = shown(gateway, "wc_" + "A" * 43)
    answers = [one.get("/v1/sandboxes") for one in (revoked, made_up, shown(gateway, "e30.e30.AA"))]
    answers.append(shown(gateway, "").get("/v1/sandboxes?token=wrong"))
    for answer in answers:
        assert problem(answer)[0] == 401 and "token that was sent" in problem(answer)[1]
        assert answer.body == answers[0].body
        assert "www-authenticate" in answer.headers
    missing = gateway.request("GET", "/v1/sandboxes", headers={"Authorization": ""})
    assert missing.status == 401 and "a token is needed" in problem(missing)[1]


def test_nobody_gives_more_than_they_have(gateway: Gateway) -> None:
    all_but = ["read", "write", "tokens"]
    _, carol = mint(gateway, principal="carol", scopes=all_but, expires_in_s=3600)
    for body, word in (
        ({"role": "admin"}, "role"),
        ({"principal": "ada"}, "principal"),
        ({"principal": "owner"}, "principal"),
        ({"scopes": ["metrics"]}, "scopes"),
        ({"expires_in_s": 7200}, "expires_in_s"),
    ):
        told = problem(carol.request("POST", "/v1/tokens", body))
        assert told[0] == 403 and word in told[1], body
    child, seen = mint(carol, scopes=["read"])
    assert (child["principal"], child["role"]) == ("carol", "user")
    assert child["expires"] is not None
    assert seen.get("/v1/sandboxes").status == 200
    assert problem(seen.request("POST", "/v1/sandboxes"))[0] == 403
    assert problem(seen.get("/v1/tokens"))[0] == 403
    assert problem(seen.request("POST", "/v1/tokens"))[0] == 403
    for path in ("/metrics", "/v1/tokens/" + NOBODY):
        assert problem(seen.request("DELETE" if "tokens" in path else "GET", path))[0] == 403


def test_with_a_token_goes_what_was_minted_with_it(gateway: Gateway) -> None:
    scopes = ["read", "tokens"]
    parent, first = mint(gateway, principal="dora", scopes=scopes)
    child, second = mint(first, scopes=scopes)
    grandchild, third = mint(second, scopes=["read"])
    assert (child["minted_by"], grandchild["minted_by"]) == (parent["id"], child["id"])
    assert gateway.request("DELETE", f"/v1/tokens/{parent['id']}").status == 204
    assert [one.get("/v1/sandboxes").status for one in (first, second, third)] == [401] * 3
    assert not {parent["id"], child["id"], grandchild["id"]} & listed(gateway)


def test_tokens_of_others_are_not_there(gateway: Gateway, ada: Gateway, bob: Gateway) -> None:
    assert len(listed(bob)) == 1
    (of_ada,) = (
        one["id"] for one in gateway.get("/v1/tokens").json()["tokens"] if one["principal"] == "ada"
    )
    foreign = problem(bob.request("DELETE", f"/v1/tokens/{of_ada}"))
    nobody = problem(bob.request("DELETE", f"/v1/tokens/{NOBODY}"))
    assert (foreign[0], foreign[1].replace(of_ada, NOBODY)) == nobody
    assert ada.get("/v1/sandboxes").status == 200


def test_an_admin_of_the_same_name_is_not_there(gateway: Gateway) -> None:
    admin, _ = mint(gateway, principal="kim", role="admin")
    user, seen = mint(gateway, principal="kim", scopes=["read", "write", "tokens"])
    assert listed(seen) == {user["id"]}
    assert problem(seen.request("DELETE", f"/v1/tokens/{admin['id']}"))[0] == 404
    assert admin["id"] in listed(gateway)
    for one in (admin, user):
        assert gateway.request("DELETE", f"/v1/tokens/{one['id']}").status == 204


def test_one_user_does_not_use_up_all_tokens(gateway: Gateway) -> None:
    """Also when they ask for many at once, before the first is stored."""
    parent, seen = mint(gateway, principal="greedy", scopes=["read", "write", "tokens"])
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: seen.request("POST", "/v1/tokens", {}), range(104)))
    assert sorted(one.status for one in answers) == [201] * 99 + [403] * 5
    refused = next(one for one in answers if one.status == 403)
    assert problem(refused)[1] == "Resource Limit: greedy has 100 tokens, the most allowed"
    other, also = mint(gateway, principal="modest", scopes=["read", "write", "tokens"])
    mint(also)
    for one in (parent, other):
        assert gateway.request("DELETE", f"/v1/tokens/{one['id']}").status == 204


def test_an_admin_for_numbers_alone(gateway: Gateway, ada: Gateway) -> None:
    _, prometheus = mint(gateway, role="admin", scopes=["metrics"])
    assert prometheus.get("/metrics").status == 200
    assert problem(prometheus.get("/v1/sandboxes"))[0] == 403
    assert problem(ada.get("/metrics"))[0] == 403


def test_open_sockets_end_with_their_token(gateway: Gateway) -> None:
    model, seen = mint(gateway, principal="eve")
    made = create(seen)
    client = seen.client(made["contexts"][0]["id"])
    other = gateway.client(made["contexts"][0]["id"])
    assert gateway.request("DELETE", f"/v1/tokens/{model['id']}").status == 204
    with pytest.raises(ClosedError) as told:
        while True:
            client.receive_data(30)
    assert told.value.code == 1008
    assert other.run("print still").stdout == "still\n"
    other.close()
    remove(gateway, made)


def test_tokens_after_a_kill() -> None:
    gateway, keeper = start("--pool-max", "0")
    kept, seen = mint(gateway, principal="ada")
    gone, revoked = mint(gateway, principal="ada")
    made = create(seen)
    assert gateway.request("DELETE", f"/v1/tokens/{gone['id']}").status == 204
    gateway.kill()
    rows = sqlite3.connect(gateway.state / "warmcell.db").execute("SELECT * FROM tokens").fetchall()
    assert len(rows) == 2 and seen.token not in json.dumps(rows)
    assert seen.token not in gateway.log.read_text()
    gateway.start()
    seen, revoked = shown(gateway, seen.token), shown(gateway, revoked.token)
    assert listed(gateway) == {kept["id"]}
    model = seen.get(f"/v1/sandboxes/{made['id']}").json()
    assert (model["id"], model["owner"]) == (made["id"], "ada")
    assert revoked.get("/v1/sandboxes").status == 401
    for pid in keeper.pids():
        processes.own(pid)
    end(gateway, keeper)
    shutil.rmtree(gateway.home, ignore_errors=True)


# --- what belongs to others


def same_as_nothing(seen: Gateway, method: str, path: str, real: str, body: Any = None) -> None:
    """What is foreign is answered as what does not exist."""
    there = seen.request(method, path.format(real), body)
    not_there = seen.request(method, path.format(NOBODY), body)
    assert there.status == not_there.status == 404, (method, path, there)
    assert there.body.decode().replace(real, NOBODY) == not_there.body.decode()


QUERIES = {
    ("put", "/files/x"): ("", "?folder=1"),
    ("post", "/files/x"): ("?append=1", "?move_to=b"),
}


def routes_below(gateway: Gateway, pattern: str) -> list[tuple[str, str]]:
    """Every method and path of the route table behind {id}, a new one, too."""
    found = []
    for path, methods in gateway.get("/openapi.json").json()["paths"].items():
        if not path.startswith(pattern):
            continue
        rest = re.sub(r"{[^}]*}", "x", path.removeprefix(pattern))
        for method in set(methods) & {"get", "post", "put", "patch", "delete"}:
            queries = QUERIES.get((method, rest), ("",))
            found += [(method.upper(), rest + query) for query in queries]
    return found


def test_a_foreign_sandbox_is_not_there(gateway: Gateway, ada: Gateway, bob: Gateway) -> None:
    made = create(ada)
    assert made["owner"] == "ada"
    routes = routes_below(gateway, "/v1/sandboxes/{id}")
    assert len(routes) > 30
    for method, rest in routes:
        body: Any = {} if method in ("POST", "PATCH") and "/files/" not in rest else None
        same_as_nothing(bob, method, "/v1/sandboxes/{}" + rest, made["id"], body)
    assert bob.get("/v1/sandboxes").json()["sandboxes"] == []
    assert [one["id"] for one in ada.get("/v1/sandboxes").json()["sandboxes"]] == [made["id"]]
    assert made["id"] in [one["id"] for one in gateway.get("/v1/sandboxes").json()["sandboxes"]]
    remove(ada, made)


def test_a_foreign_kernel_is_not_there(gateway: Gateway, ada: Gateway, bob: Gateway) -> None:
    made = create(ada)
    kernel = made["contexts"][0]["id"]
    for method, rest in routes_below(gateway, "/api/kernels/{id}"):
        if rest == "/channels":
            continue
        same_as_nothing(bob, method, "/api/kernels/{}" + rest, kernel)
    with closing(ada.client(kernel)) as client:
        assert client.run("print mine").stdout == "mine\n"
    assert ada.request("POST", f"/v1/sandboxes/{made['id']}/pause", {}).status == 200
    assert ada.get(f"/api/kernels/{kernel}").status == 409
    same_as_nothing(bob, "GET", "/api/kernels/{}", kernel)
    assert ada.request("POST", f"/v1/sandboxes/{made['id']}/resume", {}).status == 200
    with pytest.raises(websocket.WebSocketBadStatusException, match="404"):
        SocketClient(bob.channels_url(kernel, "s"), "s", headers=bob.authorization)
    assert bob.get("/api/kernels").json() == []
    assert bob.get("/api/status").json()["kernels"] == 0
    assert [one["id"] for one in ada.get("/api/kernels").json()] == [kernel]
    with closing(ada.client(kernel)) as client:
        assert client.run("print mine").stdout == "mine\n"
    remove(ada, made)


def test_sessions_are_those_of_ones_own_kernels(ada: Gateway, bob: Gateway) -> None:
    body: dict[str, Any] = {"path": "a.ipynb", "type": "notebook", "name": ""}
    made = {seen.token: create(seen) for seen in (ada, bob)}
    ids = {}
    for seen in (ada, bob):
        kernel = {"id": made[seen.token]["contexts"][0]["id"]}
        answer = seen.request("POST", "/api/sessions", body | {"kernel": kernel})
        assert answer.status == 201 and answer.json()["kernel"]["id"] == kernel["id"]
        ids[seen.token] = answer.json()["id"]
    for seen, foreign in ((ada, ids[bob.token]), (bob, ids[ada.token])):
        assert [one["id"] for one in seen.get("/api/sessions").json()] == [ids[seen.token]]
        same_as_nothing(seen, "GET", "/api/sessions/{}", foreign)
        same_as_nothing(seen, "PATCH", "/api/sessions/{}", foreign, {})
        same_as_nothing(seen, "DELETE", "/api/sessions/{}", foreign)
    foreign = {"kernel": {"id": made[bob.token]["contexts"][0]["id"]}}
    assert ada.request("PATCH", f"/api/sessions/{ids[ada.token]}", foreign).status == 400
    for seen in (ada, bob):
        remove(seen, made[seen.token])


def test_users_start_nothing_unconfined(gateway: Gateway, ada: Gateway) -> None:
    for path, body in (
        ("/api/kernels", {}),
        ("/api/sessions", {"path": "b.ipynb", "type": "notebook"}),
    ):
        answer = ada.request("POST", path, body)
        assert answer.status == 403 and "/v1/sandboxes" in answer.json()["message"]
    kernel = gateway.start_kernel("warmcell")
    same_as_nothing(ada, "GET", "/api/kernels/{}", kernel)
    gateway.delete_kernel(kernel)


def test_artifacts_are_those_of_ones_own_kernels(
    gateway: Gateway, ada: Gateway, bob: Gateway
) -> None:
    made = create(ada)
    with closing(ada.client(made["contexts"][0]["id"])) as client:
        content = json.dumps({"data": {"text/html": "<p>of ada</p>"}, "metadata": {}})
        client.run(f"publish display_data {content}")
    path = f"/v1/artifacts?kernel={made['contexts'][0]['id']}"
    processes.until(lambda: bool(ada.get(path).json()["artifacts"]), "the artifact is kept")
    remove(ada, made)
    (kept,) = ada.get(path).json()["artifacts"]
    assert bob.get("/v1/artifacts").json()["artifacts"] == []
    for name in (kept["id"], kept["sha256"]):
        assert bob.get(f"/v1/artifacts/{name}").status == 404
        assert bob.get(f"/v1/artifacts/{name}/content").status == 404
        assert ada.get(f"/v1/artifacts/{name}/content").body == b"<p>of ada</p>"
    assert gateway.get(f"/v1/artifacts/{kept['id']}").status == 200


def test_heads_of_what_is_made_as_it_is_sent(gateway: Gateway) -> None:
    """Nobody takes the bytes: what would have made them is let go of once."""
    box = create(gateway)
    at = f"/v1/sandboxes/{box['id']}"
    for path in ("/v1/backup", f"{at}/artifacts.tar", f"{at}/files?tar=1", f"{at}/files?watch=1"):
        assert gateway.request("HEAD", path).status == 200, path
    remove(gateway, box)
