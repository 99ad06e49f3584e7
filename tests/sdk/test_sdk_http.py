"""Answers over HTTP: errors of one tree, and what is asked again and what never is."""

from __future__ import annotations

import json
import pickle

import pytest
import warmcell
from support import ports
from support.gateway import Gateway
from support.scripted_http import DROP, Scripted, ScriptedHttp
from warmcell.errors import BY_STATUS, ProblemError

MODEL = {"id": "5b1e0000-0000-0000-0000-000000000000", "state": "running", "contexts": []}


def problem(status: int, **more: object) -> Scripted:
    body = {"type": "about:blank", "title": "T", "status": status, "detail": f"why {status}"}
    return Scripted(status, body | more)


@pytest.mark.parametrize("status", [*sorted(BY_STATUS), 418])
def test_each_status_has_its_error(status: int) -> None:
    with ScriptedHttp(problem(status)) as server, warmcell.Client(server.url) as client:
        with pytest.raises(ProblemError, match=f"why {status}") as raised:
            client.sandboxes.get("some")
    error = raised.value
    assert type(error) is BY_STATUS.get(status, ProblemError)
    assert (error.status, error.detail) == (status, f"why {status}")
    assert error.problem["title"] == "T"
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.problem) == (type(error), error.problem)


def test_a_quota_says_which() -> None:
    said = problem(403, quota="sandboxes", limit=3, used=3)
    with ScriptedHttp(said) as server, warmcell.Client(server.url) as client:
        with pytest.raises(warmcell.QuotaError) as raised:
            client.sandboxes.create()
    assert isinstance(raised.value, warmcell.ForbiddenError)
    assert (raised.value.quota, raised.value.limit, raised.value.used) == ("sandboxes", 3, 3)


def test_an_answer_that_is_no_problem() -> None:
    with ScriptedHttp(Scripted(500, b"<html>")) as server, warmcell.Client(server.url) as client:
        with pytest.raises(ProblemError, match="500"):
            client.sandboxes.get("some")


def test_a_sandbox_whose_answer_is_lost_is_made_once() -> None:
    """With the same key, also when the first request is still being worked on."""
    answers = [Scripted(DROP), problem(409), Scripted(201, MODEL)]
    with ScriptedHttp(*answers) as server, warmcell.Client(server.url) as client:
        assert client.sandboxes.create(name="x").id == MODEL["id"]
    keys = {asked.headers["idempotency-key"] for asked in server.asked}
    assert len(server.asked) == 3 and len(keys) == 1
    assert {json.loads(asked.body)["name"] for asked in server.asked} == {"x"}


def test_a_conflict_is_told_at_once() -> None:
    with ScriptedHttp(problem(409)) as server, warmcell.Client(server.url) as client:
        with pytest.raises(warmcell.ConflictError):
            client.sandboxes.create(name="taken")
    assert len(server.asked) == 1


def test_what_adds_is_not_sent_twice() -> None:
    with ScriptedHttp(Scripted(200, MODEL), Scripted(DROP)) as server:
        with warmcell.Client(server.url) as client:
            sandbox = client.sandboxes.get("some")
            with pytest.raises(warmcell.ConnectionLostError):
                sandbox.files.append("log", "line")
    assert [asked.method for asked in server.asked] == ["GET", "POST"]


def test_what_replaces_and_what_deletes_is() -> None:
    answers = [Scripted(200, MODEL), Scripted(DROP), Scripted(204), Scripted(DROP), problem(404)]
    with ScriptedHttp(*answers) as server, warmcell.Client(server.url) as client:
        sandbox = client.sandboxes.get("some")
        sandbox.files.write("a", "b")
        sandbox.delete()  # the first one did it
    methods = [asked.method for asked in server.asked]
    assert methods == ["GET", "PUT", "PUT", "DELETE", "DELETE"]


def test_what_has_a_condition_is_not() -> None:
    """The first of them made the second one fail."""
    with ScriptedHttp(Scripted(200, MODEL), Scripted(DROP), Scripted(DROP)) as server:
        with warmcell.Client(server.url) as client:
            files = client.sandboxes.get("some").files
            with pytest.raises(warmcell.ConnectionLostError):
                files.write("a", "b", new=True)
            with pytest.raises(warmcell.ConnectionLostError):
                files.write("a", "b", if_match='"1"')
    assert [asked.method for asked in server.asked] == ["GET", "PUT", "PUT"]


def test_a_file_that_is_deleted_twice() -> None:
    answers = [Scripted(200, MODEL), Scripted(DROP), problem(404), problem(404)]
    with ScriptedHttp(*answers) as server, warmcell.Client(server.url) as client:
        files = client.sandboxes.get("some").files
        files.delete("a")  # by the first, whose answer was lost
        with pytest.raises(warmcell.NotFoundError):
            files.delete("a")


def test_no_name_leads_elsewhere() -> None:
    """What is in a path may be of somebody else's choosing."""
    with ScriptedHttp(Scripted(200, MODEL), *[problem(400)] * 6) as server:
        with warmcell.Client(server.url) as client:
            files, found = client.sandboxes.get("some").files, []
            for ask in (
                lambda: files.delete(".."),
                lambda: files.write("../../other/files/a", ""),
                lambda: files.read("./a//.../?b#c"),
                lambda: client.sandboxes.get("../tokens"),
                lambda: client.sandboxes.get(".."),
                lambda: client.artifacts.get("../x?y"),
            ):
                with pytest.raises(warmcell.InvalidRequestError):
                    ask()
                found.append(server.asked[-1].path)
    root = f"/v1/sandboxes/{MODEL['id']}/files"
    assert found == [
        f"{root}/%2E%2E?recursive=0",
        f"{root}/%2E%2E/%2E%2E/other/files/a",
        f"{root}/a/.../%3Fb%23c",
        "/v1/sandboxes/..%2Ftokens",
        "/v1/sandboxes/%2E%2E",
        "/v1/artifacts/..%2Fx%3Fy",
    ]


def test_come_again_later() -> None:
    later = {"Retry-After": "0"}
    answers = [
        Scripted(503, problem(503).body, later),
        Scripted(429, problem(429).body, later),
        Scripted(201, MODEL),
    ]
    with ScriptedHttp(*answers) as server, warmcell.Client(server.url) as client:
        assert client.sandboxes.create().state == "running"
    with ScriptedHttp(problem(503)) as server, warmcell.Client(server.url) as client:
        with pytest.raises(warmcell.UnavailableError):  # it does not say when
            client.sandboxes.create()


def test_tries_are_counted() -> None:
    with ScriptedHttp(Scripted(DROP), Scripted(DROP)) as server:
        with warmcell.Client(server.url, tries=2) as client:
            with pytest.raises(warmcell.ConnectionLostError):
                client.sandboxes.get("some")
    with ports.reserve("127.0.0.1") as kept:  # nobody else gets it, and nobody listens
        url = f"http://127.0.0.1:{ports.number(kept)}"
        with warmcell.Client(url, tries=2, reconnect=0.0) as client:
            with pytest.raises(warmcell.UnreachableError, match=url):
                client.sandboxes.create()


def test_installing_packages() -> None:
    lines = [
        {"event": "queued", "position": 1},
        {"event": "progress", "phase": "resolve", "text": "Collecting six"},
        {"event": "end", "installed": [{"name": "six", "version": "1", "replaces": None}],
         "already": [], "restarted": False, "reason": None, "contexts": []},
    ]  # fmt: skip
    failed = {"event": "failed", "status": 422, "detail": "no such package"}
    ndjson = [b"".join(json.dumps(one).encode() + b"\n" for one in some)
              for some in (lines, [failed], lines[:2])]  # fmt: skip
    said: list[str] = []
    with ScriptedHttp(Scripted(200, MODEL), *(Scripted(200, one) for one in ndjson)) as server:
        with warmcell.Client(server.url) as client:
            packages = client.sandboxes.get("some").packages
            done = packages.install("six==1", restart=False, deadline=9, progress=said.append)
            assert [dict(one)["name"] for one in done.installed] == ["six"]
            assert said == ["queued 1", "progress resolve Collecting six"]
            with pytest.raises(warmcell.UnprocessableError, match="no such package"):
                packages.install("nothing")
            with pytest.raises(warmcell.ConnectionLostError):
                packages.install("six")
    asked = json.loads(server.asked[1].body)
    assert asked == {"packages": ["six==1"], "restart": False, "deadline_s": 9}


def test_against_the_gateway(place: Gateway, client: warmcell.Client) -> None:
    with pytest.raises(warmcell.NotFoundError):
        client.sandboxes.get("nobody")
    with pytest.raises(warmcell.InvalidRequestError, match="memory_bytes"):
        client.sandboxes.create(limits={"memory_bytes": -1})
    with pytest.raises(warmcell.UnauthorizedError):
        with warmcell.Client(place.url, "wrong") as stranger:
            stranger.sandboxes.create()
    with pytest.raises(warmcell.ForbiddenError):
        with client.sandboxes.create() as sandbox:
            sandbox.packages.install("six")
    assert client.usage()["principal"] == "owner"
    assert "warmcell_" in client.metrics()
    with warmcell.Client(f"{place.url}/?token={place.token}") as by_url:
        assert by_url.version() == client.version()


def test_where_a_gateway_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WARMCELL_URL", raising=False)
    with pytest.raises(ValueError, match="WARMCELL_URL"):
        warmcell.Client()
    for wrong in ("ftp://x", "unix:relative", "localhost:8888"):
        with pytest.raises(ValueError, match=r"unix|http"):
            warmcell.Client(wrong)
