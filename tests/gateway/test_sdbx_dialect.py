"""The REST API of sandbox_sdk, as its clients in any language see it: plain HTTP, members in both
cases, errors as {"message"}, and nothing of others. The keeper starts nothing, kernels are the
small driver; tests/sdk/test_sandbox_sdk_wire.py runs real code."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from gateway.test_sandboxes import NOBODY, Begin, begin, create, workspace
from gateway.test_tokens import mint, shown
from support import processes
from support.contract import Contract
from support.gateway import Answer, Gateway

GATEWAY = ("--max-contexts", "3", "--share-templates")
assert begin  # a fixture
LINES = {"Accept": "application/x-ndjson"}
Json = dict[str, Any]


class Caller:
    """One user of the API; each answer is held against the gateway's own description of it."""

    def __init__(self, gateway: Gateway, contract: Contract) -> None:
        self.gateway = gateway
        self.contract = contract

    def __call__(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        answer = self.gateway.request(method, path, body, headers)
        self.contract.check(self.contract.find(method, path), answer)
        return answer

    def ok(self, method: str, path: str, body: Any = None) -> Json:
        answer = self(method, path, body)
        assert answer.status in (200, 201), answer
        said: Json = answer.json()
        return said

    def refused(self, status: int, words: str, method: str, path: str, body: Any = None) -> None:
        answer = self(method, path, body)
        assert answer.status == status, answer
        assert answer.headers["content-type"] == "application/json"
        assert words in answer.json()["message"]


@pytest.fixture(scope="module")
def ask(gateway: Gateway) -> Caller:
    return Caller(gateway, Contract(gateway))


@pytest.fixture
def path(ask: Caller) -> Iterator[str]:
    """Of a sandbox."""
    made = ask.ok("POST", "/api/sandboxes/create", {"templateId": "python"})["sandbox"]
    at = f"/api/sandboxes/{made['id']}"
    yield at
    ask.gateway.request("DELETE", at)


@pytest.fixture
def ada(gateway: Gateway, ask: Caller) -> Iterator[Caller]:
    model, seen = mint(gateway, principal="ada")
    yield Caller(seen, ask.contract)
    gateway.request("DELETE", f"/v1/tokens/{model['id']}")


def in_both(model: Json) -> None:
    """Each name is there in camelCase and in snake_case."""
    for name, value in model.items():
        if name == "metadata":
            continue
        head, *rest = name.split("_")
        camel = head + "".join(part.capitalize() for part in rest)
        snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
        assert camel in model and snake in model, name
        assert model[camel] == model[snake]
        if isinstance(value, dict):
            in_both(value)


def test_a_sandbox_in_either_case(ask: Caller) -> None:
    wishes = {
        "name": "My Sandbox", "auto_start": True, "expiry_time": 3_600_000,
        "initial_env_vars": {"A": "b"}, "metadata": {"team": ["blue", 1, None], "ü": "x" * 600},
    }  # fmt: skip
    answer = ask("POST", "/api/sandboxes/create", {"template_id": "python-3.11", **wishes})
    assert (answer.status, answer.headers["cache-control"]) == (201, "no-store")
    made = answer.json()["sandbox"]
    in_both(answer.json()["sandbox"])
    assert made["name"] == "My Sandbox" and made["metadata"] == wishes["metadata"]
    assert (made["user_id"], made["template_id"]) == ("owner", "python-3.11")
    assert made["template_config"]["language"] == "python"
    assert made["createdAt"][:10] <= made["expiresAt"][:10]
    assert (
        ask.gateway.get(f"/v1/sandboxes/{made['id']}").json()["limits"]["life_s"]["value"] == 3600
    )
    other = ask.ok("POST", "/api/sandboxes/create", {"templateId": "python:3.11-slim"})["sandbox"]
    assert (other["name"], other["metadata"], other["expiresAt"]) == (None, None, None)
    listed = ask.ok("GET", "/api/sandboxes")["sandboxes"]
    assert [one["id"] for one in listed] == [made["id"], other["id"]]
    for one, word in ((made, "running"), (other, "ready")):
        at = f"/api/sandboxes/{one['id']}"
        processes.until(
            lambda at=at, word=word: ask.ok("GET", f"{at}/status") == {"status": word},  # type: ignore[misc]
            f"{at} is {word}",
        )
        assert ask.ok("DELETE", at) == {"message": "Deleted successfully"}
        ask.refused(404, one["id"], "GET", f"{at}/status")
        ask.refused(404, one["id"], "DELETE", at)
    assert ask.ok("GET", "/api/sandboxes") == {"sandboxes": []}


def test_a_key_is_told_again_and_a_token_in_any_form_is_one(gateway: Gateway) -> None:
    bearer = {"Authorization": f"Bearer {gateway.token}"}
    answer = gateway.request("POST", "/api/sandboxes/create", {"templateId": "python"}, bearer,
                             auth=False)  # fmt: skip
    assert answer.json()["credentials"] == {"apiKey": gateway.token, "api_key": gateway.token}
    model = answer.json()["sandbox"]
    again = gateway.request("DELETE", f"/api/sandboxes/{model['id']}", None, bearer, auth=False)
    assert again.status == 200
    for headers in ({}, {"Authorization": "Bearer no"}):
        refused = gateway.request("GET", "/api/sandboxes", None, headers, auth=False)
        assert refused.status == 401 and "token" in refused.json()["message"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 400, "templateId: is required"),
        ({"templateId": 1}, 400, "templateId"),
        ({"templateId": "python", "template_id": "python"}, 400, "templateId: is there twice"),
        ({"templateId": "cobol"}, 404, "there is no template cobol"),
        ({"templateId": "python-2.7"}, 404, "there is no template python-2.7"),
        ({"templateId": "python", "name": "x" * 257}, 400, "name"),
        ({"templateId": "python", "name": "a\nb"}, 400, "control"),
        ({"templateId": "python", "metadata": {"a": "x" * 6000}}, 400, "metadata"),
        ({"templateId": "python", "metadata": []}, 400, "metadata"),
        ({"templateId": "python", "expiryTime": 10}, 400, "expiryTime"),
        ({"templateId": "python", "initialEnvVars": {"A": 1}}, 400, "env"),
        ({"templateId": "python", "autoStart": "yes"}, 400, "autoStart"),
        ([], 400, "object"),
    ],
)
def test_what_makes_no_sandbox(ask: Caller, body: Any, status: int, words: str) -> None:
    ask.refused(status, words, "POST", "/api/sandboxes/create", body)
    assert ask.ok("GET", "/api/sandboxes") == {"sandboxes": []}


def test_the_same_key_is_the_same_sandbox(ask: Caller) -> None:
    key, body = {"Idempotency-Key": "once"}, {"templateId": "python"}
    first, second = (
        ask("POST", "/api/sandboxes/create", body, key).json()["sandbox"]["id"] for _ in range(2)
    )
    assert first == second
    assert ask("POST", "/api/sandboxes/create", {**body, "name": "x"}, key).status == 422
    ask.ok("DELETE", f"/api/sandboxes/{first}")


def test_a_run_waited_for_and_as_it_comes(ask: Caller, path: str) -> None:
    ran = ask.ok("POST", f"{path}/execute", {"code": "print hello", "envVars": None})
    in_both({name: value for name, value in ran.items() if name not in ("results", "logs")})
    assert ran["logs"] == {"stdout": ["hello"], "stderr": []}
    assert (ran["status"], ran["error"], ran["truncated"]) == ("ok", None, False)
    assert ran["results"] == [
        {"type": "stdout", "text": "hello", "is_main_result": True, "isMainResult": True}
    ]
    answer = ask("POST", f"{path}/execute", {"code": "print hello"}, LINES)
    assert answer.headers["content-type"] == "application/x-ndjson"
    *lines, end = [json.loads(line) for line in answer.body.splitlines()]
    assert "".join(one["text"] for one in lines if one["type"] == "stdout") == "hello\n"
    assert (end["type"], end["status"], end["error"]) == ("end", "ok", None)
    assert end["executionId"] != ran["executionId"]


def test_the_same_key_is_the_same_run(ask: Caller, path: str) -> None:
    key, body = {"Idempotency-Key": "once"}, {"code": "print hello"}
    first = ask("POST", f"{path}/execute", body, key).json()
    second = ask("POST", f"{path}/execute", body, key).json()
    assert first == second
    again = ask("POST", f"{path}/execute", body, {**key, **LINES})
    assert json.loads(again.body.splitlines()[-1])["executionId"] == first["executionId"]
    assert ask("POST", f"{path}/execute", {"code": "print 2"}, key).status == 422


def test_what_is_no_run(ask: Caller, path: str) -> None:
    run = f"{path}/execute"
    ask.refused(400, "code: is required", "POST", run, {})
    ask.refused(400, "language", "POST", run, {"code": "1", "language": "cobol"})
    ask.refused(400, "envVars", "POST", run, {"code": "1", "envVars": "A=b"})
    ask.refused(400, "timeoutMs", "POST", run, {"code": "1", "timeout_ms": 0})
    ask.refused(404, "none", "POST", run, {"code": "1", "contextId": "none"})
    ask.refused(404, NOBODY, "POST", f"/api/sandboxes/{NOBODY}/execute", {"code": "1"})
    ask.refused(400, "command: is required", "POST", f"{path}/terminal", {})
    ask.refused(400, "timeoutMs", "POST", f"{path}/terminal", {"command": "ls", "timeoutMs": -1})


def test_contexts(ask: Caller, path: str) -> None:
    assert ask.ok("GET", f"{path}/contexts") == {"contexts": []}
    made = ask.ok("POST", f"{path}/contexts", {"language": "python", "cwd": "/workspace"})
    in_both(made)
    assert path.endswith(made["sandbox_id"]) and made["cwd"] == "/workspace"
    other = ask.ok("POST", f"{path}/contexts", {"cwd": "/tmp"})
    assert other["cwd"] == "/tmp"
    assert ask.ok("GET", f"{path}/contexts") == {"contexts": [made, other]}
    ask.refused(403, "contexts", "POST", f"{path}/contexts", {})
    ran = ask.ok("POST", f"{path}/execute", {"code": "print x", "context_id": made["id"]})
    assert ran["contextId"] == made["id"]
    for one in (made, other):
        assert "message" in ask.ok("DELETE", f"{path}/contexts/{one['id']}")
        ask.refused(404, one["id"], "DELETE", f"{path}/contexts/{one['id']}")
    assert ask.ok("GET", f"{path}/contexts") == {"contexts": []}
    ask.refused(400, "language", "POST", f"{path}/contexts", {"language": "cobol"})
    ask.refused(400, "cwd", "POST", f"{path}/contexts", {"cwd": "/" + "x" * 300})
    ask.refused(400, "control", "POST", f"{path}/contexts", {"cwd": "/a\tb"})
    assert ask.ok("GET", f"{path}/contexts") == {"contexts": []}, "none of them was made"
    model = ask.gateway.get(path.replace("/api/", "/v1/")).json()
    (own,) = (one["id"] for one in model["contexts"])
    ask.refused(409, "began with", "DELETE", f"{path}/contexts/{own}")
    assert not [name for name in model["labels"] if "cwd" in name], "nothing stays of contexts"


def test_files(gateway: Gateway, ask: Caller, path: str) -> None:
    model = gateway.get(path.replace("/api/", "/v1/")).json()
    if isinstance(model["uid"], int):  # the small keeper does not give it away
        os.chown(workspace(gateway, model), model["uid"], model["uid"])
    at = f"{path}/files?path="
    assert ask.ok("POST", f"{at}/workspace/a/b.txt", {"content": "Grüße\0"}) == {
        "path": "/workspace/a/b.txt"
    }
    assert ask.ok("GET", f"{at}a/b.txt") == {"content": "Grüße\0", "encoding": "utf-8"}
    assert ask.ok("POST", f"{at}./a/b.txt", {"content": ""})["path"] == "./a/b.txt"
    assert ask.ok("GET", f"{at}/workspace//a/b.txt")["content"] == ""
    ask.ok("POST", f"{at}raw", {"content": "/wA=", "encoding": "base64"})
    assert ask.ok("GET", f"{at}raw&encoding=base64") == {"content": "/wA=", "encoding": "base64"}
    ask.refused(422, "base64", "GET", f"{at}raw")
    listed = ask.ok("GET", f"{path}/files/list?path=/workspace/")
    assert (listed["directory"], listed["truncated"]) == ("/workspace/", False)
    assert [(one["path"], one["is_directory"]) for one in listed["files"]] == [
        ("/workspace/a", True), ("/workspace/raw", False)]  # fmt: skip
    for one in listed["files"]:
        in_both(one)
    (only,) = ask.ok("GET", f"{path}/files/list?path=a")["files"]
    assert (only["path"], only["name"], only["size"]) == ("a/b.txt", "b.txt", 0)
    assert [one["path"] for one in ask.ok("GET", f"{path}/files/list")["files"]] == ["a", "raw"]
    ask.refused(404, "none", "POST", f"{at}none/x", {"content": "", "createParents": False})
    ask.ok("POST", f"{at}a/x", {"content": "", "create_parents": False})
    assert "message" in ask.ok("DELETE", f"{at}/workspace/raw")
    ask.refused(404, "raw", "GET", f"{at}raw")
    ask.refused(404, "raw", "DELETE", f"{at}raw")
    ask.refused(409, "a", "DELETE", f"{at}a")


@pytest.mark.parametrize(
    ("named", "status"),
    [
        ("", 400),
        ("/etc/passwd", 400),
        ("/workspacex/a", 400),
        ("/", 400),
        ("../../audit.log", 400),
        ("/workspace/../x", 400),
        ("a/../../x", 400),
        ("link", 403),
        ("linked/passwd", 403),
    ],
)
def test_no_path_leads_out(gateway: Gateway, ask: Caller, path: str, named: str, status: int
                           ) -> None:  # fmt: skip
    model = gateway.get(path.replace("/api/", "/v1/")).json()
    folder = workspace(gateway, model)
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "linked").symlink_to("/etc")
    assert ask("GET", f"{path}/files?path={named}").status == status
    if named != "link":  # which a file would replace, and its removal remove
        assert ask("POST", f"{path}/files?path={named}", {"content": "x"}).status == status
        assert ask("DELETE", f"{path}/files?path={named}").status == status
    if named:
        assert ask("GET", f"{path}/files/list?path={named}").status == status


def test_what_is_no_file(ask: Caller, path: str) -> None:
    at = f"{path}/files?path=a.txt"
    ask.refused(400, "path: is required", "GET", f"{path}/files")
    ask.refused(400, "content: is required", "POST", at, {})
    ask.refused(400, "content: must be a string", "POST", at, {"content": 1})
    ask.refused(400, "content: is not base64", "POST", at, {"content": "?", "encoding": "base64"})
    ask.refused(400, "encoding", "POST", at, {"content": "", "encoding": "latin-1"})
    ask.refused(400, "encoding", "GET", f"{at}&encoding=latin-1")
    ask.refused(404, "a.txt", "GET", at)
    ask.refused(404, "none", "GET", f"{path}/files/list?path=none")


def test_templates(ask: Caller) -> None:
    first = ask.ok("GET", "/api/templates")
    assert (first["total"], first["page"], first["pageSize"], first["page_size"]) == (1, 1, 10, 10)
    (usual,) = first["templates"]
    in_both(usual)
    assert (usual["isPublic"], usual["authorId"]) == (True, None)
    assert ask.ok("GET", "/api/templates/python3") == usual
    words = {
        "name": "Custom Python", "language": "python", "version": "3.11",
        "docker_image": "python:3.11-slim", "install_command": "pip install -r requirements.txt",
    }  # fmt: skip
    body = {**words, "default_env_vars": {"SECRET": "x"}, "timeoutMs": 1500}
    made = ask.ok("POST", "/api/templates", body)
    in_both(made)
    assert {name: made["config"][name] for name in words} == words
    assert (made["config"]["timeout_ms"], made["config"]["dependencies"]) == (1500, [])
    assert (made["author_id"], made["is_public"]) == ("owner", False)
    assert "SECRET" not in json.dumps(made)
    assert ask.ok("GET", f"/api/templates/{made['id']}") == made
    twin = ask.ok("POST", "/api/templates", body)  # names are nobody's here
    assert twin["id"] != made["id"]
    pages = [ask.ok("GET", f"/api/templates?page={n}&page_size=2") for n in (1, 2, 3)]
    ids = [[one["id"] for one in page["templates"]] for page in pages]
    assert ids == [[usual["id"], made["id"]], [twin["id"]], []]
    assert {page["total"] for page in pages} == {3}
    box = ask.ok("POST", "/api/sandboxes/create", {"templateId": made["id"]})["sandbox"]
    assert box["templateConfig"] == made["config"] and box["templateId"] == made["id"]
    limits = ask.gateway.get(f"/v1/sandboxes/{box['id']}").json()["limits"]
    assert limits["execution_s"]["value"] == 1.5
    ask.ok("DELETE", f"/api/sandboxes/{box['id']}")
    for one in (made, twin):
        assert ask.gateway.request("DELETE", f"/v1/templates/{one['id']}").status == 204


def test_a_template_of_v1_is_one_here(ask: Caller) -> None:
    made = ask.gateway.request(
        "POST", "/v1/templates", {"name": "own", "description": "[1]"}
    ).json()
    config = ask.ok("GET", "/api/templates/own")["config"]
    assert (config["name"], config["description"]) == ("own", "[1]")
    ask.gateway.request("DELETE", f"/v1/templates/{made['id']}")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "name: is required"),
        ({"name": "x", "language": "cobol"}, "language"),
        ({"name": "x", "dependencies": "numpy"}, "packages"),
        ({"name": "x", "dependencies": ["--index-url=http://x"]}, "packages"),
        ({"name": "x", "default_env_vars": {"A": 1}}, "env"),
        ({"name": "x", "timeoutMs": 0}, "timeoutMs"),
        ({"name": "x", "installCommand": "x" * 2000}, "1024"),
    ],
)
def test_what_is_no_template(ask: Caller, body: Json, words: str) -> None:
    ask.refused(400, words, "POST", "/api/templates", body)
    ask.refused(400, "page", "GET", "/api/templates?page=0")
    ask.refused(400, "pageSize", "GET", "/api/templates?pageSize=many")
    ask.refused(404, "cobol", "GET", "/api/templates/cobol")


def test_nothing_of_others_is_there(ask: Caller, ada: Caller, path: str) -> None:
    context = ask.ok("POST", f"{path}/contexts", {})
    template = ask.ok("POST", "/api/templates", {"name": "mine"})
    for method, rest, body in (
        ("DELETE", "", None),
        ("GET", "/status", None),
        ("POST", "/execute", {"code": "print x"}),
        ("POST", "/terminal", {"command": "id"}),
        ("GET", "/files?path=a", None),
        ("POST", "/files?path=a", {"content": "x"}),
        ("DELETE", "/files?path=a", None),
        ("GET", "/files/list", None),
        ("GET", "/contexts", None),
        ("POST", "/contexts", {}),
        ("DELETE", f"/contexts/{context['id']}", None),
    ):
        foreign = ada(method, path + rest, body)
        absent = ada(method, f"/api/sandboxes/{NOBODY}{rest}", body)
        assert (foreign.status, absent.status) == (404, 404), rest
        names = (path.rpartition("/")[2], NOBODY)
        assert foreign.json()["message"].replace(*names) == absent.json()["message"]
    assert ada.ok("GET", "/api/sandboxes") == {"sandboxes": []}
    ada.refused(404, "no template", "GET", f"/api/templates/{template['id']}")
    ada.refused(404, "no template", "POST", "/api/sandboxes/create", {"templateId": template["id"]})
    assert ada.ok("GET", "/api/templates")["total"] == 1
    mine = ada.ok("POST", "/api/sandboxes/create", {"templateId": "python"})["sandbox"]
    assert mine["userId"] == "ada"
    assert [one["id"] for one in ada.ok("GET", "/api/sandboxes")["sandboxes"]] == [mine["id"]]
    theirs = ask.ok("GET", "/api/sandboxes")["sandboxes"]  # an administrator's own alone
    assert mine["id"] not in [one["id"] for one in theirs]
    ada.ok("DELETE", f"/api/sandboxes/{mine['id']}")
    ask.gateway.request("DELETE", f"/v1/templates/{template['id']}")


def test_a_reader_changes_nothing(gateway: Gateway, ask: Caller, path: str) -> None:
    model, seen = mint(gateway, role="admin", scopes=["read"])
    reader = Caller(seen, ask.contract)
    assert reader("GET", f"{path}/status").status == 200
    for method, rest, body in (
        ("DELETE", "", None),
        ("POST", "/execute", {"code": "print x"}),
        ("POST", "/files?path=a", {"content": "x"}),
    ):
        reader.refused(403, "scope", method, path + rest, body)
    gateway.request("DELETE", f"/v1/tokens/{model['id']}")


def test_a_sandbox_of_v1_is_one_here(gateway: Gateway, ask: Caller) -> None:
    model = create(gateway, {"name": "named", "labels": {"team": "blue"}})
    (listed,) = ask.ok("GET", "/api/sandboxes")["sandboxes"]
    assert (listed["id"], listed["name"], listed["metadata"]) == (model["id"], None, None)
    ask.ok("GET", "/api/sandboxes/named/status")
    ask.ok("POST", "/api/sandboxes/named/execute", {"code": "print x"})
    paused = gateway.request("POST", f"/v1/sandboxes/{model['id']}/pause", {"force": True})
    assert paused.status == 200, paused
    assert ask.ok("GET", "/api/sandboxes/named/status") == {"status": "stopped"}
    ask.refused(409, "paused", "POST", "/api/sandboxes/named/execute", {"code": "print x"})
    ask.ok("DELETE", "/api/sandboxes/named")


def test_health_needs_nobody(gateway: Gateway) -> None:
    answer = gateway.get("/api/health", auth=False)
    assert answer.status == 200 and answer.json()["status"] == "ok"


def test_a_key_for_a_new_user(ask: Caller, gateway: Gateway) -> None:
    body = {"username": "Ada", "email": "ada@example.com"}
    answer = ask("POST", "/api/auth/register", body)
    assert (answer.status, answer.headers["cache-control"]) == (201, "no-store")
    made, other = answer.json(), ask.ok("POST", "/api/auth/register", body)
    in_both(made)
    assert made["userId"] != other["userId"]
    new = Caller(shown(gateway, made["apiKey"]), ask.contract)
    mine = new.ok("POST", "/api/sandboxes/create", {"templateId": "python"})["sandbox"]
    assert mine["userId"] == made["userId"]
    new.ok("DELETE", f"/api/sandboxes/{mine['id']}")
    new.refused(403, "tokens", "POST", "/api/auth/register", body)
    ask.refused(400, "username", "POST", "/api/auth/register", {"email": "x"})
    ask.refused(400, "email", "POST", "/api/auth/register", {"username": "x"})
    ask.refused(400, "required", "POST", "/api/auth/register", {"username": "", "email": ""})
    ask.refused(400, "name", "POST", "/api/auth/register", {**body, "username": "x" * 101})
    nobody = gateway.request("POST", "/api/auth/register", body, auth=False)
    assert nobody.status == 401 and "--open-tokens" in nobody.json()["message"]
    tokens = gateway.get("/v1/tokens").json()["tokens"]
    for one in tokens:
        if one["name"] == "Ada":
            assert (one["role"], one["scopes"]) == ("user", ["read", "write"])
            gateway.request("DELETE", f"/v1/tokens/{one['id']}")


def test_a_user_with_the_scope_gets_keys_of_their_own(ask: Caller, gateway: Gateway) -> None:
    model, seen = mint(gateway, principal="ada", scopes=["read", "write", "tokens"])
    body = {"username": "x", "email": "x"}
    made = Caller(seen, ask.contract).ok("POST", "/api/auth/register", body)
    assert made["userId"] == "ada"
    gateway.request("DELETE", f"/v1/tokens/{model['id']}")
    assert shown(gateway, made["apiKey"]).get("/api/sandboxes").status == 401


def test_with_open_tokens_whoever_asks_is_somebody_new(begin: Begin) -> None:
    gateway, _ = begin("--open-tokens", "--pool-max", "0")
    body = {"username": "owner", "email": "x"}
    keys = []
    for _ in range(2):
        answer = gateway.request("POST", "/api/auth/register", body, auth=False)
        assert answer.status == 201, answer
        keys.append(answer.json())
    assert keys[0]["userId"] != keys[1]["userId"] and keys[0]["userId"] != "owner"
    for one in gateway.get("/v1/tokens").json()["tokens"]:
        assert one["role"] == "user" and one["principal"].startswith("open.") and one["expires"]
    new = shown(gateway, keys[0]["apiKey"])
    assert new.get("/api/sandboxes").json() == {"sandboxes": []}
    assert new.request("POST", "/api/kernels", {}).status == 403
