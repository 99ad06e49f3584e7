"""/v1/templates, and sandboxes that are made from them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from gateway.test_sandbox_names import keyed, refused
from gateway.test_sandboxes import (
    NOBODY,
    Place,
    context_of,
    create,
    end,
    remove,
    workspace,
)
from gateway.test_tokens import mint
from support import processes
from support.fake_keeper import FakeKeeper
from support.gateway import Gateway

GATEWAY = ("--share-templates",)


@pytest.fixture
def gateway(place: Place) -> Iterator[Gateway]:
    yield place[0]
    for model in place[0].get("/v1/sandboxes").json()["sandboxes"]:
        remove(place[0], model)
    for model in place[0].get("/v1/templates").json()["templates"]:
        drop(place[0], model)


def make(gateway: Gateway, **body: Any) -> dict[str, Any]:
    answer = gateway.request("POST", "/v1/templates", body)
    assert answer.status == 201, answer
    model: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/templates/{model['id']}"
    return model


def drop(gateway: Gateway, model: dict[str, Any]) -> None:
    assert gateway.request("DELETE", f"/v1/templates/{model['id']}").status == 204


def names(gateway: Gateway, query: str = "") -> list[str]:
    return [one["name"] for one in gateway.get(f"/v1/templates{query}").json()["templates"]]


FULL: dict[str, Any] = {
    "name": "analysis",
    "description": "for numbers",
    "preload": ["json", "email.message"],
    "network": {"allow": ["pypi.org"]},
    "env": {"A": "1", "B": "2"},
    "limits": {"processes": 40, "idle_s": 600, "life_s": 3600},
    "files": {
        "helper.py": "x = 1\n",
        "data/raw.bin": {"base64": base64.b64encode(bytes(range(256))).decode(), "mode": "600"},
    },
}


def test_the_model(gateway: Gateway) -> None:
    made = make(gateway, **FULL)
    shown = gateway.get(f"/v1/templates/{made['id']}").json()
    assert shown == made == gateway.get("/v1/templates/analysis").json()
    assert (shown["owner"], shown["shared"], shown["language"]) == ("owner", False, "python")
    assert (shown["preload"], shown["network"]) == (FULL["preload"], FULL["network"])
    assert (shown["env"], shown["limits"]) == (["A", "B"], FULL["limits"])  # no values of env
    files = sorted(shown["files"], key=lambda one: str(one["path"]))
    assert files == [
        {"path": "data/raw.bin", "bytes": 256, "mode": "0600"},
        {"path": "helper.py", "bytes": 6, "mode": "0644"},
    ]
    assert (shown["packages"], shown["sandboxes"]) == ([], 0)
    plain = make(gateway, name="plain")
    assert (plain["preload"], plain["network"], plain["files"]) == (None, "none", [])


BAD: list[tuple[dict[str, Any], int, str]] = [
    ({"name": None}, 400, "name: is required"),
    ({"name": "a b"}, 400, "name"),
    ({"shared": 1}, 400, "shared"),
    ({"description": "a" * 1025}, 400, "description"),
    ({"language": "cobol"}, 400, "language"),
    ({"preload": "numpy"}, 400, "preload"),
    ({"preload": ["a"] * 33}, 400, "preload"),
    ({"preload": ["a,b"]}, 400, "preload"),
    ({"preload": ["1a"]}, 400, "preload"),
    ({"preload": [1]}, 400, "preload"),
    ({"network": "some"}, 400, "network"),
    ({"network": {"deny": []}}, 400, "network"),
    ({"network": {"allow": [1]}}, 400, "network"),
    ({"env": {"A": 1}}, 400, "env: A"),
    ({"env": {"A": "a" * 300_000}}, 400, "larger than"),
    ({"limits": {"no_such": 1}}, 400, "no_such"),
    ({"limits": {"processes": -1}}, 400, "processes"),
    ({"packages": ["--index-url=http://x"]}, 400, "packages[0]"),
    ({"packages": ["../a"]}, 400, "packages[0]"),
    ({"packages": "numpy"}, 400, "packages"),
    ({"files": []}, 400, "files"),
    ({"files": {"../a": ""}}, 400, ".."),
    ({"files": {"": ""}}, 400, "files: a path"),
    ({"files": {"a": 1}}, 400, "files: a: must be"),
    ({"files": {"a": {"text": "", "base64": ""}}}, 400, "files: a: must be"),
    ({"files": {"a": {"base64": "!"}}}, 400, "base64"),
    ({"files": {"a": {"text": "", "mode": "9"}}}, 400, "mode"),
    ({"files": {"a": "", "a/b": ""}}, 400, "cannot both"),
    ({"files": {"a": "", "./a": ""}}, 400, "."),
    ({"files": {"a": "", "a/": ""}}, 400, "cannot both"),
    ({"files": {f"a{i}": "" for i in range(257)}}, 400, "at most 256"),
    ({"files": {"a": "a" * 4_194_305}}, 400, "bytes together"),
]


@pytest.mark.parametrize("case", BAD, ids=lambda case: f"{json.dumps(case[0])[:28]}-{case[2]}")
def test_what_is_refused(place: Place, case: tuple[dict[str, Any], int, str]) -> None:
    body, status, text = case
    answer = place[0].request("POST", "/v1/templates", {"name": "bad"} | body)
    refused(answer, status, text)
    assert answer.headers["content-type"] == "application/problem+json"
    assert names(place[0]) == []


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_one_that_is_not_there(place: Place, method: str) -> None:
    refused(place[0].request(method, f"/v1/templates/{NOBODY}", {"name": "a"}), 404, NOBODY)


def test_a_sandbox_has_what_its_template_says(place: Place, gateway: Gateway) -> None:
    template = make(gateway, **FULL)
    made = create(gateway, {"template": "analysis"})
    assert made["template"] == {"id": template["id"], "name": "analysis"}
    assert made["network"] == FULL["network"]
    assert made["limits"]["processes"]["value"] == 40
    assert (made["limits"]["idle_s"]["value"], made["limits"]["life_s"]["value"]) == (600, 3600)
    folder = workspace(gateway, made)
    assert folder.joinpath("helper.py").read_text() == "x = 1\n"
    raw = folder / "data" / "raw.bin"
    assert (raw.read_bytes(), raw.stat().st_mode & 0o777) == (bytes(range(256)), 0o600)
    assert raw.stat().st_uid == raw.parent.stat().st_uid == made["uid"]
    plan = gateway.plan_of(context_of(made))
    assert {"A": "1", "B": "2"}.items() <= plan["env"].items()
    assert place[1].requests("OPEN")[-1]["network"] == FULL["network"]
    assert gateway.get("/v1/templates/analysis").json()["sandboxes"] == 1
    for query in (f"template={template['id']}", "template=analysis"):
        listed = gateway.get(f"/v1/sandboxes?{query}").json()["sandboxes"]
        assert [one["id"] for one in listed] == [made["id"]]
    assert gateway.get("/v1/sandboxes?template=other").json()["sandboxes"] == []


def test_the_request_goes_over_the_template(gateway: Gateway) -> None:
    make(gateway, **FULL)
    made = create(gateway, {
        "template": "analysis", "network": "none", "limits": {"processes": 50}, "env": {"B": "3"},
        "files": {"helper.py": "x = 2\n", "more": ""},
    })  # fmt: skip
    assert (made["network"], made["limits"]["processes"]["value"]) == ("none", 50)
    assert made["limits"]["idle_s"]["value"] == 600
    plan = gateway.plan_of(context_of(made))
    assert {"A": "1", "B": "3"}.items() <= plan["env"].items()
    folder = workspace(gateway, made)
    assert folder.joinpath("helper.py").read_text() == "x = 2\n"
    assert sorted(one.name for one in folder.iterdir()) == ["data", "helper.py", "more"]


def test_a_request_that_is_its_own_template(gateway: Gateway) -> None:
    made = create(gateway, {"language": "python", "files": {"a/b": "text"}})
    assert made["template"] is None
    assert workspace(gateway, made).joinpath("a/b").read_text() == "text"
    for body, status, text in (
        ({"template": "none"}, 400, "template"),
        ({"packages": ["a", "../b"]}, 400, "packages[1]"),
        ({"packages": ["a"]}, 403, "--wheels"),
        ({"language": "cobol"}, 400, "language"),
        ({"network": {"deny": []}}, 400, "network"),
        ({"files": {"..": ""}}, 400, ".."),
    ):
        refused(gateway.request("POST", "/v1/sandboxes", body), status, text)


def test_packages_that_cannot_be_installed(gateway: Gateway) -> None:
    """Nothing stays of a sandbox that has not all that its template names."""
    template = make(gateway, name="packed", packages=["a==1", "b"], files={"a": ""})
    assert template["packages"] == ["a==1", "b"]
    refused(gateway.request("POST", "/v1/sandboxes", {"template": "packed"}), 403, "--wheels")
    assert gateway.get("/v1/sandboxes").json()["sandboxes"] == []
    create(gateway, {"template": "packed", "packages": []})


def test_files_that_do_not_fit(gateway: Gateway) -> None:
    """Nothing stays of a sandbox whose files cannot be written."""
    body = {"files": {"a": "a" * 100_000}, "limits": {"workspace_bytes": 65536}}
    refused(gateway.request("POST", "/v1/sandboxes", body), 507, "workspace_bytes")
    assert gateway.get("/v1/sandboxes").json()["sandboxes"] == []
    folder = gateway.state / "sandboxes"
    processes.until(lambda: not list(folder.iterdir()), "removed")


def test_a_change_leaves_sandboxes_as_they_are(gateway: Gateway) -> None:
    template = make(gateway, **FULL)
    made = create(gateway, {"template": "analysis"})
    path = f"/v1/templates/{template['id']}"
    body = {"name": "other", "limits": {"processes": 99}, "files": {"new": "1"}}
    changed = gateway.request("PATCH", path, body).json()
    assert (changed["name"], changed["env"], changed["limits"]) == (
        "other",
        ["A", "B"],
        {"processes": 99},
    )
    assert changed["changed"] > template["changed"] and changed["created"] == template["created"]
    whole = gateway.request("PUT", path, {"name": "bare"}).json()
    assert (whole["id"], whole["env"], whole["limits"], whole["files"]) == (
        template["id"],
        [],
        {},
        [],
    )
    refused(gateway.request("PUT", path, {}), 400, "name: is required")
    refused(gateway.request("PATCH", path, {"packages": [1]}), 400, "packages")
    make(gateway, name="second")
    refused(gateway.request("PATCH", path, {"name": "second"}), 409, "second")
    assert list(workspace(gateway, create(gateway, {"template": "bare"})).iterdir()) == []
    drop(gateway, template)
    refused(gateway.get(path), 404, template["id"])
    refused(gateway.request("POST", "/v1/sandboxes", {"template": "bare"}), 400, "template")
    shown = gateway.get(f"/v1/sandboxes/{made['id']}").json()
    assert shown["limits"]["processes"]["value"] == 40
    assert shown["template"] == {"id": template["id"], "name": "analysis"}


def test_whose_they_are(gateway: Gateway) -> None:
    _, ada = mint(gateway, principal="ada")
    _, bob = mint(gateway, principal="bob")
    own = make(ada, name="mine", limits={"processes": 41})
    assert names(bob) == [] and names(gateway) == ["mine"]  # an admin sees all
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        path = f"/v1/templates/{own['id']}"
        refused(bob.request(method, path, {"name": "mine"}), 404, own["id"])
    refused(bob.request("POST", "/v1/sandboxes", {"template": own["id"]}), 400, "template")
    refused(ada.request("POST", "/v1/templates", {"name": "open", "shared": True}), 403, "shared")
    refused(ada.request("PATCH", f"/v1/templates/{own['id']}", {"shared": True}), 403, "shared")
    shared = make(gateway, name="mine", shared=True, limits={"processes": 42})
    assert names(bob) == ["mine"] and sorted(names(ada)) == ["mine", "mine"]
    refused(bob.request("DELETE", f"/v1/templates/{shared['id']}"), 403, "owner")
    refused(bob.request("PATCH", f"/v1/templates/{shared['id']}", {"env": {}}), 403, "owner")
    theirs = create(bob, {"template": "mine"})
    assert (theirs["limits"]["processes"]["value"], theirs["owner"]) == (42, "bob")
    hers = create(ada, {"template": "mine"})  # her own comes first
    assert hers["limits"]["processes"]["value"] == 41


def test_the_list_has_pages(gateway: Gateway) -> None:
    for name in ("a-1", "b-1", "a-2"):
        make(gateway, name=name)
    first = gateway.get("/v1/templates?limit=2").json()
    assert [one["name"] for one in first["templates"]] == ["a-1", "b-1"]
    drop(gateway, first["templates"][1])
    assert names(gateway, f"?after={first['next']}") == ["a-2"]
    assert names(gateway, "?name_prefix=a-") == ["a-1", "a-2"]
    refused(gateway.get("/v1/templates?after=no"), 400, "after")


def test_what_is_acknowledged_survives(gateway: Gateway) -> None:
    first = keyed(gateway, "/v1/templates", "k", FULL)
    assert first.status == 201
    gateway.kill()
    gateway.start()
    again = keyed(gateway, "/v1/templates", "k", FULL)
    assert (again.status, again.json()) == (201, first.json())
    refused(keyed(gateway, "/v1/templates", "k", FULL | {"env": {}}), 422, first.json()["id"])
    refused(keyed(gateway, "/v1/templates", "l", FULL), 409, "analysis")
    made = create(gateway, {"template": "analysis"})
    assert workspace(gateway, made).joinpath("helper.py").read_text() == "x = 1\n"


def test_the_most_of_a_user(gateway: Gateway) -> None:
    _, ada = mint(gateway, principal="ada")
    for i in range(50):
        make(ada, name=f"a{i}")
    refused(ada.request("POST", "/v1/templates", {"name": "more"}), 403, "Resource Limit")
    make(gateway, name="more")


def test_one_that_was_not_whole_is_ended(gateway: Gateway) -> None:
    """Its gateway was killed before its files were all written: nobody was told of it."""
    made = create(gateway, {"files": {"a": ""}})
    gateway.plan_of(context_of(made))  # a host that is just being started is nobody's
    gateway.kill()
    file = gateway.runtime / "kernels" / context_of(made) / "kernel.json"
    saved = json.loads(file.read_text())
    assert saved["sandbox"]["seeding"] is False
    saved["sandbox"]["seeding"] = True
    file.write_text(json.dumps(saved))
    gateway.start()
    assert gateway.get(f"/v1/sandboxes/{made['id']}").status == 404
    processes.until(lambda: not workspace(gateway, made).exists(), "removed")


def preloads(keeper: FakeKeeper) -> list[str]:
    """What the fork servers of the sandboxes' keepers import, in the order of their starts."""
    return [
        words[words.index("--preload") + 1]
        for words in keeper.commands()
        if "sandbox" in words and "--preload" in words
    ]


def test_a_list_of_modules_has_a_fork_server_of_its_own() -> None:
    gateway = Gateway(options=["--pool-max", "0", "--preload", "json"], warm=True)
    keeper = FakeKeeper(gateway.home / "keeper")
    gateway.env = keeper.environment
    gateway.start()
    make(gateway, name="own", preload=["csv", "email.message"])
    make(gateway, name="shared", preload=["csv", "zlib"], shared=True)
    _, ada = mint(gateway, principal="ada")
    assert create(gateway)["preload"] is None
    first = create(gateway, {"template": "own"})
    assert first["preload"] == ["csv", "email.message"]
    create(gateway, {"preload": ["csv", "email.message"]})
    create(gateway, {"template": "shared"})
    create(ada, {"template": "shared"})
    assert preloads(keeper) == ["json", "csv,email.message", "csv,zlib"]
    create(ada, {"preload": ["csv", "zlib"]})  # not from the template that is shared
    assert preloads(keeper)[3:] == ["csv,zlib"]
    create(ada, {"preload": ["a"]})
    beyond = create(ada, {"preload": ["b"]})  # as many as one principal may have
    assert beyond["preload"] is None
    assert preloads(keeper)[4:] == ["a", "json"]
    gateway.plan_of(context_of(beyond))  # a host that is just being started is nobody's
    gateway.kill()
    gateway.start()
    path = f"/v1/sandboxes/{first['id']}"
    assert gateway.get(path).json()["preload"] == ["csv", "email.message"]
    processes.until(lambda: gateway.get(path).json()["state"] == "running", "taken up")
    assert len(preloads(keeper)) == 6  # no keeper was started anew
    end(gateway, keeper)
