"""cloud_sandbox's REST API with a keeper that starts nothing and kernels of the small driver:
sessions, sandboxes, Python and files; what is foreign, expired, paused or wrong."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from gateway.test_cloud_tokens import as_user
from gateway.test_sandboxes import NOBODY, Place, create, remove
from support.contract import Contract
from support.gateway import Answer, Gateway

SESSIONS = "/api/v1/sessions"
ACQUIRE, RELEASE = "/api/v1/sandbox/acquire", "/api/v1/sandbox/release"
EXECUTE, FILES, STATS = "/api/v1/execute", "/api/v1/files", "/api/v1/sandbox/stats"
HOUR_NS = 3600 * 10**9
GATEWAY = ("--open-tokens", "--share-templates")
Model = dict[str, Any]


class User:
    """Somebody with a token; every answer is held against /openapi.json."""

    def __init__(self, gateway: Gateway, contract: Contract) -> None:
        self.gateway, self.contract = gateway, contract

    def ask(self, status: int, method: str, path: str, body: Any = None) -> Any:
        answer: Answer = self.gateway.request(method, path, body)
        assert answer.status == status, answer
        self.contract.check(self.contract.find(method, path), answer)
        return answer.json()

    def begin(self, **body: Any) -> Model:
        found: Model = self.ask(201, "POST", SESSIONS, body)
        return found

    def acquired(self, **body: Any) -> Model:
        session = self.begin(**body)
        assert self.acquire() == session["id"]
        return session

    def acquire(self, status: int = 200, **body: Any) -> str:
        found = self.ask(status, "POST", ACQUIRE, body or None)
        return str(found.get("sandbox_id"))

    def show(self, session: Model) -> Model:
        found: Model = self.ask(200, "GET", f"{SESSIONS}/{session['id']}")
        return found

    def order(self, verb: str, session: Model, status: int = 200, body: Any = None) -> Model:
        found: Model = self.ask(status, "POST", f"{SESSIONS}/{session['id']}/{verb}", body)
        return found

    def delete(self, session: Model) -> None:
        assert self.ask(200, "DELETE", f"{SESSIONS}/{session['id']}") == {"success": True}

    def run(self, code: str, session: Model, status: int = 200, **body: Any) -> Model:
        body = {"sandbox_id": session["id"], "code": code, "language": "python"} | body
        found: Model = self.ask(status, "POST", EXECUTE, body)
        return found

    def files(self, session: Model, path: str, status: int = 200, method: str = "GET") -> Any:
        return self.ask(status, method, f"{FILES}?sandbox_id={session['id']}&path={path}")

    def put(self, session: Model, path: str, content: Any, status: int = 200) -> Any:
        body = {"sandbox_id": session["id"], "path": path, "content": content}
        return self.ask(status, "PUT", FILES, body)

    def label(self, session: Model, **labels: str) -> None:
        """As its owner may, by the native API."""
        change = {"labels": {f"cloud/{name}": value for name, value in labels.items()}}
        path = f"/v1/sandboxes/{session['id']}"
        assert self.gateway.request("PATCH", path, change).status == 200


@pytest.fixture(scope="module")
def contract(gateway: Gateway) -> Contract:
    return Contract(gateway)


@pytest.fixture
def ada(gateway: Gateway, contract: Contract) -> Iterator[User]:
    yield from user(gateway, contract, "ada")


@pytest.fixture
def bob(gateway: Gateway, contract: Contract) -> Iterator[User]:
    yield from user(gateway, contract, "bob")


def user(gateway: Gateway, contract: Contract, name: str) -> Iterator[User]:
    seen = as_user(gateway, name)
    yield User(seen, contract)
    for one in seen.get("/v1/sandboxes").json()["sandboxes"]:
        remove(seen, one)


def when(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def lasts(session: Model) -> int:
    return round(when(session["expires_at"]) - when(session["updated_at"]))


# --- sessions


def test_a_session(ada: User, place: Place) -> None:
    session = ada.begin(cpu_count=1, memory_mb=512, ttl=HOUR_NS, metadata={"team": "blue"})
    assert (session["user_id"], session["status"]) == ("ada", "active")
    assert (session["cpu_count"], session["memory_mb"]) == (1, 512)
    assert (session["sandbox_id"], session["image"]) == ("", "python:3.11-slim")
    assert session["metadata"] == {"team": "blue"}
    assert lasts(session) == 3600
    opened = place[1].requests("OPEN")[-1]["limits"]
    assert (opened["cpus"], opened["memory_bytes"]) == (1, 512 << 20)
    assert ada.gateway.get(session["workspace_url"]).status == 200
    assert ada.show(session)["id"] == session["id"]
    ada.delete(session)
    ada.ask(404, "GET", f"{SESSIONS}/{session['id']}")
    ada.ask(404, "DELETE", f"{SESSIONS}/{session['id']}")


def test_what_is_not_said(ada: User) -> None:
    for body in ({}, {"image": "", "cpu_count": 0, "memory_mb": 0, "ttl": 0}):
        session = ada.begin(**body)
        assert (session["cpu_count"], session["memory_mb"]) == (2, 2048)
        assert lasts(session) == 24 * 3600


def test_the_list_has_the_newest_first(ada: User, bob: User) -> None:
    bob.begin()
    made = [ada.begin()["id"] for _ in range(3)]
    listed = ada.ask(200, "GET", SESSIONS)
    assert [one["id"] for one in listed["sessions"]] == made[::-1]
    first = ada.ask(200, "GET", f"{SESSIONS}?limit=2")
    rest = ada.ask(200, "GET", f"{SESSIONS}?limit=2&after={first['next']}")
    assert [one["id"] for one in first["sessions"] + rest["sessions"]] == made[::-1]
    assert rest["next"] is None
    ada.ask(400, "GET", f"{SESSIONS}?limit=x")
    create(ada.gateway)  # another API's is no session
    assert len(ada.ask(200, "GET", SESSIONS)["sessions"]) == 3


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"cpu_count": -1}, "cpu_count"),
        ({"cpu_count": "2"}, "cpu_count"),
        ({"memory_mb": 1}, "memory_mb"),
        ({"ttl": 5}, "ttl"),
        ({"ttl": -1}, "ttl"),
        ({"ttl": 10**18}, "ttl"),
        ({"image": 7}, "image"),
        ({"image": "ubuntu:24.04"}, "image: ubuntu:24.04 is neither python nor a template"),
        ({"image": "x" * 300}, "image"),
        ({"metadata": {"cloud/binding": "bound"}}, "metadata"),
        ({"metadata": {"a": 7}}, "label"),
    ],
)
def test_what_is_no_session(ada: User, body: Any, words: str) -> None:
    assert words in ada.ask(400, "POST", SESSIONS, body)["error"]
    assert ada.ask(200, "GET", SESSIONS)["sessions"] == []


def test_an_image_is_a_template(ada: User) -> None:
    template = {"name": "mine", "limits": {"processes": 33}}
    made = ada.gateway.request("POST", "/v1/templates", template)
    assert made.status == 201
    session = ada.begin(image="mine")
    model = ada.gateway.get(f"/v1/sandboxes/{session['id']}").json()
    assert (session["image"], model["limits"]["processes"]["value"]) == ("mine", 33)
    ada.gateway.request("DELETE", f"/v1/templates/{made.json()['id']}")


def test_one_key_is_one_session(ada: User) -> None:
    key = {"Idempotency-Key": "once"}
    made = [ada.gateway.request("POST", SESSIONS, {}, key).json()["id"] for _ in range(2)]
    assert made[0] == made[1]
    assert ada.gateway.request("POST", SESSIONS, {"ttl": HOUR_NS}, key).status == 422


# --- sandboxes


def test_the_newest_session_that_waits_is_acquired(ada: User) -> None:
    first, second = ada.begin(), ada.begin()
    info = ada.ask(200, "POST", ACQUIRE)
    assert info == {"sandbox_id": second["id"], "container_id": second["id"],
                    "status": "running", "ip": None}  # fmt: skip
    assert ada.show(second)["sandbox_id"] == second["id"]
    assert ada.acquire() == first["id"]
    assert ada.ask(200, "POST", RELEASE, {"sandbox_id": second["id"]}) == {"success": True}
    assert ada.show(second)["sandbox_id"] == ""
    ada.run("print x", second, 404)  # it is nobody's now
    assert ada.acquire(session_id=second["id"]) == second["id"]
    assert ada.acquire(session_id=second["id"]) == second["id"]
    assert ada.run("print x", second)["stdout"] == "x\n"
    ada.order("bind", second, body={"sandbox_id": second["id"]})
    assert "of its own" in ada.order("bind", second, 409, {"sandbox_id": first["id"]})["error"]
    ada.order("bind", second, 400, {})
    ada.ask(404, "POST", ACQUIRE, {"session_id": NOBODY})


def test_one_without_a_session_goes_as_it_is_released(ada: User) -> None:
    lone = {"id": ada.acquire()}
    assert ada.run("print x", lone)["stdout"] == "x\n"
    assert ada.ask(200, "GET", SESSIONS)["sessions"] == []
    ada.ask(404, "GET", f"{SESSIONS}/{lone['id']}")
    ada.ask(200, "POST", RELEASE, {"sandbox_id": lone["id"]})
    ada.ask(404, "POST", RELEASE, {"sandbox_id": lone["id"]})
    assert ada.gateway.get(f"/v1/sandboxes/{lone['id']}").status == 404


def test_the_numbers(ada: User, bob: User) -> None:
    keys = {"total", "available", "in_use", "idle", "active", "creating", "max"}
    before = ada.ask(200, "GET", STATS)
    assert set(before) == keys
    ada.acquired()
    ada.begin()
    after = ada.ask(200, "GET", STATS)
    assert (before["in_use"], after["in_use"], after["active"]) == (0, 1, 1)
    assert after["total"] == after["available"] + 1
    assert bob.ask(200, "GET", STATS)["in_use"] == 0


# --- Python


def test_what_a_run_answers(ada: User) -> None:
    session = ada.acquired()
    ran = ada.run("print hello\nset x 1", session, env={"A": "b"}, timeout=60)
    run_id = ran.pop("run_id")
    assert ada.gateway.get(f"/v1/sandboxes/{session['id']}/executions/{run_id}").status == 200
    assert ran.pop("duration_ms") >= 0
    assert ran == {"exit_code": 0, "stdout": "hello\n", "stderr": "", "timed_out": False,
                   "error": None, "truncated": False}  # fmt: skip
    assert ada.run("get x", session)["stdout"] == "1\n"
    failed = ada.run("print before\nfail Error", session)
    assert (failed["exit_code"], failed["stdout"], failed["error"]) == (1, "before\n", None)
    assert failed["stderr"]
    late = ada.run("wait", session, timeout=0.2)
    assert (late["exit_code"], late["timed_out"]) == (-1, True)
    assert "0.2 s" in late["error"]
    dead = ada.run("crash 11", session)
    assert (dead["exit_code"], dead["timed_out"]) == (-1, False)
    assert dead["error"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "sandbox_id"),
        ({"sandbox_id": NOBODY}, "code or command required"),
        ({"sandbox_id": NOBODY, "code": 7}, "code"),
        ({"sandbox_id": NOBODY, "code": "x", "language": "cobol"}, "cobol"),
        ({"sandbox_id": NOBODY, "command": "ls"}, "command: must be a list"),
        ({"sandbox_id": NOBODY, "command": []}, "code or command required"),
        ({"sandbox_id": NOBODY, "code": "x", "timeout": -1}, "timeout"),
        ({"sandbox_id": NOBODY, "code": "x", "timeout": "1"}, "timeout"),
        ({"sandbox_id": NOBODY, "code": "x", "timeout": 1e9}, "timeout"),
        ({"sandbox_id": NOBODY, "code": "x", "env": []}, "env"),
        ({"sandbox_id": NOBODY, "code": "x", "work_dir": 7}, "work_dir"),
    ],
)
def test_what_is_no_run(ada: User, body: Any, words: str) -> None:
    assert words in ada.ask(400, "POST", EXECUTE, body)["error"]


def test_what_core_refuses(ada: User) -> None:
    session = ada.acquired()
    assert "env" in ada.run("print x", session, 400, env={"A=": "b"})["error"]
    wrong = {"sandbox_id": session["id"], "command": [7]}
    assert "argv" in ada.ask(400, "POST", EXECUTE, wrong)["error"]


# --- files


def test_files(ada: User) -> None:
    session = ada.acquired()
    assert ada.put(session, "/workspace/a/test.py", "print('Hello!')") == {"success": True}
    ada.put(session, "a/empty", "")
    coded = base64.b64encode(b"\x00\xff").decode()
    ada.put(session, "/workspace/a/bytes", {"base64": coded})
    (folder,) = ada.files(session, "/workspace")["files"]
    assert (folder["name"], folder["path"], folder["is_dir"]) == ("a", "/workspace/a", True)
    listed = {one["path"]: one["size"] for one in ada.files(session, "/workspace/a/")["files"]}
    assert listed == {"/workspace/a/bytes": 2, "/workspace/a/empty": 0, "/workspace/a/test.py": 15}
    (file,) = ada.files(session, "a/test.py")["files"]
    assert (file["path"], file["is_dir"]) == ("/workspace/a/test.py", False)
    assert when(file["mod_time"]) > 0
    content = ada.gateway.get(f"{session['workspace_url']}/a/bytes").body
    assert content == b"\x00\xff"
    ada.files(session, "a", 409, "DELETE")
    assert ada.files(session, "a/test.py", method="DELETE") == {"success": True}
    ada.files(session, "a/test.py", 404, "DELETE")
    ada.files(session, "a&recursive=1", method="DELETE")
    assert ada.files(session, "/workspace")["files"] == []


def test_paths_stay_in_the_workspace(ada: User, place: Place) -> None:
    session = ada.acquired()
    workspace = place[0].state / "sandboxes" / session["id"] / "workspace"
    (workspace / "out").symlink_to("/etc")
    for path in ("/etc", "/etc/passwd", "/workspaces", "/workspace/../etc", "../x", "a/../../x"):
        ada.files(session, path, 400)
        ada.files(session, path, 400, "DELETE")
        ada.put(session, path, "x", 400)
    for path in ("out", "out/passwd"):
        ada.files(session, path, 403)
    ada.put(session, "out/x", "x", 403)
    ada.files(session, "/workspace", 409, "DELETE")
    assert (workspace / "out").is_symlink()


def test_what_is_no_file(ada: User) -> None:
    session = ada.acquired()
    wrong: list[Any] = [None, 7, [], {"base64": "?"}, {"base64": 7}]
    for content in wrong:
        assert "content" in ada.put(session, "x", content, 400)["error"]
    ada.ask(400, "PUT", FILES, {"path": "x", "content": "x"})
    ada.ask(400, "PUT", FILES, {"sandbox_id": session["id"], "content": "x"})
    ada.ask(400, "GET", FILES)
    ada.ask(400, "DELETE", f"{FILES}?sandbox_id={session['id']}")
    ada.files(session, "x&recursive=maybe", 400, "DELETE")
    ada.files(session, "none", 404)
    ada.files(session, "&after=%25", 400)


# --- paused, expired, foreign


def test_pause_and_resume(ada: User) -> None:
    session = ada.acquired()
    ada.run("set x 42", session)
    for _ in range(2):  # once more changes nothing
        paused = ada.order("pause", session)
        assert (paused["status"], paused["success"]) == ("paused", True)
    for status, answer in (
        (409, ada.run("get x", session, 409)),
        (409, ada.files(session, "/workspace", 409)),
        (409, ada.order("bind", session, 409, {"sandbox_id": session["id"]})),
        (409, ada.ask(409, "POST", ACQUIRE, {"session_id": session["id"]})),
    ):
        assert "resume" in answer["error"], status
    ada.ask(200, "POST", RELEASE, {"sandbox_id": session["id"]})  # as its client does
    newer = ada.begin()
    for _ in range(2):
        resumed = ada.order("resume", session)
        assert (resumed["status"], resumed["sandbox_id"]) == ("active", session["id"])
    assert resumed["expires_at"] == session["expires_at"]
    assert ada.run("get x", session)["stdout"] == "42\n"
    assert ada.acquire() == session["id"]  # it was changed last
    assert ada.acquire() == newer["id"]


def test_one_that_runs_is_resumed_by_nothing(ada: User) -> None:
    """Also while its interpreter still starts."""
    session = ada.begin()
    assert ada.order("resume", session)["status"] == "active"


def test_what_runs_is_not_paused(ada: User) -> None:
    session = ada.acquired()
    path = f"/v1/sandboxes/{session['id']}/executions"
    run = ada.gateway.request("POST", path, {"code": "wait", "detach": True}).json()
    assert "interrupt it" in ada.order("pause", session, 409)["error"]
    assert ada.show(session)["status"] == "active"
    assert ada.gateway.request("POST", f"{path}/{run['id']}/cancel").status in {200, 202}


def test_a_touch_is_another_life(ada: User) -> None:
    session = ada.acquired(ttl=HOUR_NS)
    touched = ada.order("touch", session)
    assert when(touched["updated_at"]) > when(session["updated_at"])
    assert lasts(touched) == 3600
    assert touched["sandbox_id"] == session["id"]


def test_one_that_has_expired(ada: User) -> None:
    session = ada.acquired()
    ada.label(session, expires="1")
    assert ada.show(session)["status"] == "expired"
    for verb in ("pause", "resume", "touch"):
        assert "expired" in ada.order(verb, session, 410)["error"]
    ada.order("bind", session, 410, {"sandbox_id": session["id"]})
    ada.run("print x", session, 410)
    ada.files(session, "/workspace", 410)
    ada.put(session, "x", "x", 410)
    ada.files(session, "x", 410, "DELETE")
    ada.ask(410, "POST", ACQUIRE, {"session_id": session["id"]})
    ada.label(session, binding="unbound")
    assert ada.acquire() != session["id"]
    ada.ask(200, "POST", RELEASE, {"sandbox_id": session["id"]})
    ada.delete(session)


def test_labels_are_no_way_in(ada: User) -> None:
    """They are their owner's to change, into nonsense too."""
    session = ada.acquired()
    for labels in ({"expires": "soon"}, {"expires": "-1"}, {"expires": "9" * 19}):
        ada.label(session, **labels)
        assert ada.show(session)["status"] == "expired"
    ada.label(session, expires="9" * 18, ttl_ms="x", active="-")
    assert ada.show(session)["expires_at"].startswith("9999-12-31")
    assert ada.order("touch", session)["status"] == "expired"  # for no time at all
    ada.label(session, binding="nonsense")
    ada.ask(404, "GET", f"{SESSIONS}/{session['id']}")
    ada.ask(404, "POST", RELEASE, {"sandbox_id": session["id"]})


def test_what_is_foreign_is_not_there(ada: User, bob: User, gateway: Gateway) -> None:
    session = ada.acquired()
    nobody = {"id": NOBODY}
    asked = [
        ("GET", "{s}", None),
        ("DELETE", "{s}", None),
        *[("POST", "{s}/" + verb, None) for verb in ("pause", "resume", "touch")],
        ("POST", "{s}/bind", {"sandbox_id": "{id}"}),
        ("POST", ACQUIRE, {"session_id": "{id}"}),
        ("POST", RELEASE, {"sandbox_id": "{id}"}),
        ("POST", EXECUTE, {"sandbox_id": "{id}", "code": "x", "language": "python"}),
        ("POST", EXECUTE, {"sandbox_id": "{id}", "command": ["ls"]}),
        ("GET", FILES + "?sandbox_id={id}", None),
        ("PUT", FILES, {"sandbox_id": "{id}", "path": "x", "content": "x"}),
        ("DELETE", FILES + "?sandbox_id={id}&path=x", None),
    ]
    for method, path, body in asked:
        answers = []
        for one in (session, nobody):
            at = path.replace("{s}", f"{SESSIONS}/{one['id']}").replace("{id}", one["id"])
            said = body and {k: v.replace("{id}", one["id"]) if isinstance(v, str) else v
                             for k, v in body.items()}  # fmt: skip
            told = bob.ask(404, method, at, said)["error"]
            answers.append(told.replace(one["id"], NOBODY))
        assert answers[0] == answers[1], (method, path)
        at = path.replace("{s}", f"{SESSIONS}/{session['id']}").replace("{id}", session["id"])
        unknown = gateway.request(method, at, body, auth=False)
        assert (unknown.status, unknown.json()["error"]) == (401, "unauthorized")
    assert ada.run("print x", session)["stdout"] == "x\n"
    assert bob.acquire() != session["id"]


def test_an_admin_sees_it_by_its_id_alone(ada: User, gateway: Gateway, contract: Contract) -> None:
    session = ada.acquired()
    owner = User(gateway, contract)
    assert owner.show(session)["user_id"] == "ada"
    assert owner.ask(200, "GET", SESSIONS)["sessions"] == []


def test_another_apis_sandbox_is_none_of_these(ada: User) -> None:
    other = create(ada.gateway)
    ada.run("print x", other, 404)
    ada.files(other, "/workspace", 404)
    ada.ask(404, "POST", RELEASE, {"sandbox_id": other["id"]})
    ada.ask(404, "GET", f"{SESSIONS}/{other['id']}")
    named = ada.gateway.request("POST", "/v1/sandboxes", {"name": "mine"})
    assert named.status == 201
    ada.ask(404, "GET", f"{SESSIONS}/mine")


def test_what_a_token_may_not(gateway: Gateway) -> None:
    made = gateway.request("POST", "/v1/tokens", {"principal": "reader", "scopes": ["read"]})
    head = {"Authorization": f"Bearer {made.json()['token']}"}
    assert gateway.request("GET", SESSIONS, None, head, auth=False).status == 200
    refused = gateway.request("POST", SESSIONS, {}, head, auth=False)
    assert (refused.status, set(refused.json())) == (403, {"error"})
