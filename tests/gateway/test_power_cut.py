"""A power cut, simulated: a gateway lives while every write, sync and change of a name in its state
folder is written down; of what a disk may show after a cut at seeded points, a real gateway makes
what it can, and nothing that was safe is missing.

WARMCELL_POWER_CUTS and WARMCELL_POWER_SEED make it longer, or another (`./dev soak`)."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from gateway.test_sandboxes import context_of, create, workspace
from support import processes
from support.fake_keeper import FakeKeeper
from support.gateway import Gateway
from support.power_cut import Disk, Step, Trace, find_safe

CUTS = int(os.environ.get("WARMCELL_POWER_CUTS", "5"))
SEED = int(os.environ.get("WARMCELL_POWER_SEED", "1"))
LINES = {"Accept": "application/x-ndjson"}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="

Check = Callable[[Gateway], None]


@dataclass
class Life:
    """What a gateway did, and what it said that it had done."""

    trace: Trace
    gateway: Gateway
    root: int
    facts: dict[str, Check] = field(default_factory=dict)
    at_once: set[str] = field(default_factory=set)  # those that are looked at one by one
    steps: list[Step] = field(default_factory=list)

    def acknowledged(self, name: str, check: Check, at_once: bool = False) -> None:
        self.trace.mark(name)
        self.facts[name] = check
        if at_once:
            self.at_once.add(name)


def begin(durability: str, home: Path) -> tuple[Gateway, FakeKeeper, Trace]:
    gateway = Gateway(options=["--pool-max", "0", "--durability", durability], home=home)
    keeper = FakeKeeper(home / "keeper")
    trace = Trace(home)
    gateway.env = keeper.environment | trace.environment
    return gateway, keeper, trace


def get(gateway: Gateway, path: str, **options: Any) -> Any:
    answer = gateway.get(path, **options)
    assert answer.status == 200, (path, answer)
    return answer.json()


def as_told(record: dict[str, Any]) -> dict[str, Any]:
    """Without what is found out behind the end, and told later."""
    later = ("artifacts", "files_changed", "settled")
    return {name: value for name, value in record.items() if name not in later}


def events_of(gateway: Gateway, path: str, record: dict[str, Any]) -> list[dict[str, Any]]:
    answer = gateway.get(f"{path}/{record['id']}/events", headers=LINES)
    assert answer.status == 200, answer
    events = [json.loads(line) for line in answer.body.splitlines()]
    return [
        event | ({"execution": as_told(event["execution"])} if "execution" in event else {})
        for event in events
        if event["type"] != "artifacts_settled"
    ]


def run(life: Life, box: dict[str, Any], code: str) -> dict[str, Any]:
    path = f"/v1/sandboxes/{box['id']}/executions"
    answer = life.gateway.request("POST", path, {"code": code})
    assert answer.status == 200, answer
    record: dict[str, Any] = answer.json()
    events = events_of(life.gateway, path, record)
    shown = as_told(life.gateway.get(f"{path}/{record['id']}").json())

    def check(gateway: Gateway) -> None:
        assert as_told(get(gateway, f"{path}/{record['id']}")) == shown
        resume(gateway, box)
        assert events_of(gateway, path, record) == events

    life.acknowledged(f"execution {code[:20]} {record['id']}", check)
    return record


def resume(gateway: Gateway, box: dict[str, Any]) -> None:
    if get(gateway, f"/v1/sandboxes/{box['id']}")["state"] == "paused":
        answer = gateway.request("POST", f"/v1/sandboxes/{box['id']}/resume", {})
        assert answer.status == 200, answer


def snapshot(life: Life, box: dict[str, Any]) -> None:
    made = life.gateway.request("POST", f"/v1/sandboxes/{box['id']}/snapshots", {})
    assert made.status == 201, made

    def check(gateway: Gateway) -> None:
        found = get(gateway, f"/v1/sandboxes/{box['id']}/snapshots")["snapshots"]
        assert made.json() in found

    life.acknowledged(f"snapshot {made.json()['id']} of {box['id']}", check)


def display(life: Life, box: dict[str, Any], text: str) -> None:
    content = json.dumps({"data": {"text/html": text, "image/png": PNG}, "metadata": {}})
    record = run(life, box, f"publish display_data {content}")
    path = f"/v1/artifacts?execution={record['id']}"
    processes.until(lambda: len(get(life.gateway, path)["artifacts"]) == 2, "two artifacts")
    listed = get(life.gateway, path)

    def check(gateway: Gateway) -> None:
        assert get(gateway, path) == listed
        for one in listed["artifacts"]:
            body = gateway.get(one["content_url"]).body
            assert hashlib.sha256(body).hexdigest() == one["sha256"]

    life.acknowledged(f"artifacts of {record['id']}", check)


def put(life: Life, box: dict[str, Any], path: str, data: bytes) -> None:
    url = f"/v1/sandboxes/{box['id']}/files/{path}"
    assert life.gateway.request("PUT", url, data).status in (201, 204)

    def check(gateway: Gateway) -> None:
        assert (workspace(gateway, box) / path).read_bytes() == data

    life.acknowledged(f"file {path}", check)


def packed(names: dict[str, bytes | None]) -> bytes:
    """A tar; None: a link to the file `one`, which lies above."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in names.items():
            info = tarfile.TarInfo(name)
            info.type = tarfile.REGTYPE if data is not None else tarfile.SYMTYPE
            info.size, info.linkname = len(data or b""), "" if data is not None else "../one"
            tar.addfile(info, io.BytesIO(data or b""))
    return out.getvalue()


FEW: dict[str, bytes | None] = {"one": b"1" * 5000, "sub/deep/two": b"2" * 9000, "links/a": None}
MANY: dict[str, bytes | None] = {f"many/{number}": bytes([number]) * 500 for number in range(40)}


def holds(place: Path, names: dict[str, bytes | None]) -> None:
    for name, data in names.items():
        assert (place / name).read_bytes() == (names["one"] if data is None else data), name
        assert (place / name).is_symlink() == (data is None)


def ask(life: Life, box: dict[str, Any], method: str, path: str, *body: Any) -> Any:
    answer = life.gateway.request(method, f"/v1/sandboxes/{box['id']}/files{path}", *body)
    assert answer.status in (200, 201, 204), answer
    return answer


def change_files(life: Life, box: dict[str, Any], tree: dict[str, bytes | None]) -> None:
    """Each way to change files but to put one; the tree comes first."""
    at = f"tree-{len(tree)}"
    tar = {"Content-Type": "application/x-tar"}

    def acknowledged(name: str, check: Callable[[Path], None]) -> None:
        life.acknowledged(f"{name} in {at}", lambda gateway: check(workspace(gateway, box)), True)

    def has(path: str, of: dict[str, bytes | None] = tree) -> Callable[[Path], None]:
        return lambda place: holds(place / path, of)

    ask(life, box, "PUT", f"/{at}/tar?tar=1", packed(tree), tar)
    acknowledged("a tar", has(f"{at}/tar"))
    late = {"one": FEW["one"], "sub/late": None}
    ask(life, box, "PUT", f"/{at}/tar?tar=1", packed(late), tar)
    acknowledged("a link", has(f"{at}/tar", late))
    ask(life, box, "POST", f"/{at}/tar?copy_to={at}/new/copy")
    acknowledged("a copy", has(f"{at}/new/copy"))
    ask(life, box, "PUT", f"/{at}/first?tar=1", packed(tree), tar)
    ask(life, box, "POST", f"/{at}/first?move_to={at}/far/away/moved")
    acknowledged("a move", has(f"{at}/far/away/moved"))
    ask(life, box, "PUT", f"/{at}/last?tar=1", packed(tree), tar)
    ask(life, box, "DELETE", f"/{at}/last?recursive=1")
    acknowledged("a removal", lambda place: absent(place / at / "last"))
    ask(life, box, "PUT", f"/{at}/folders/in/folders?folder=1")
    acknowledged("a folder", lambda place: absent(place / at / "folders/in/folders/x", True))
    ask(life, box, "PUT", f"/{at}/mode", b"of mode 0640")
    ask(life, box, "PATCH", f"/{at}/mode", {"mode": "0640"})
    acknowledged("a mode", lambda place: of_mode(place / at / "mode", 0o640))


def absent(path: Path, but_its_folder: bool = False) -> None:
    assert not path.exists()
    assert path.parent.is_dir() or not but_its_folder


def of_mode(path: Path, mode: int) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == mode


def names_of(gateway: Gateway) -> dict[str, list[str]]:
    """Of each sandbox that has a name its contexts."""
    found = get(gateway, "/v1/sandboxes")["sandboxes"]
    return {one["name"]: [context["name"] for context in one["contexts"]] for one in found}


def make(life: Life, url: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = life.gateway.request("POST", url, body)
    assert answer.status == 201, (url, answer)
    made: dict[str, Any] = answer.json()
    return made


def make_sandboxes(life: Life) -> None:
    """Each way to make one and its contexts; none of them has a snapshot."""

    def has(name: str, contexts: list[str], gone: str = "") -> Check:
        def check(gateway: Gateway) -> None:
            found = names_of(gateway)[name]
            assert found[: len(contexts)] == contexts and gone not in found

        return check

    bare = f"/v1/sandboxes/{make(life, '/v1/sandboxes', {'name': 'bare'})['id']}"
    life.acknowledged("a sandbox", has("bare", ["default"]), True)
    made = make(life, f"{bare}/contexts", {"name": "second"})
    life.acknowledged("a context", has("bare", ["default", "second"]), True)
    third = make(life, f"{bare}/contexts", {"name": "third"})
    life.trace.mark("before the deletion of a context")
    assert life.gateway.request("DELETE", f"{bare}/contexts/{third['id']}").status == 204
    life.acknowledged("no context", has("bare", ["default"], gone="third"), True)
    assert made["name"] == "second"
    make(life, "/v1/templates", {"name": "seeded", "files": {"late": "file"}})
    tar = {"Content-Type": "application/x-tar"}
    answer = life.gateway.request("PUT", "/v1/templates/seeded/seed", packed(FEW), tar)
    assert answer.status == 200, answer
    box = make(life, "/v1/sandboxes", {"template": "seeded", "name": "grown"})

    def grown(gateway: Gateway) -> None:
        assert "grown" in names_of(gateway)
        holds(workspace(gateway, box), FEW | {"late": b"file"})

    life.acknowledged("a sandbox of a template", grown, True)


def fork(life: Life, box: dict[str, Any]) -> None:
    copy = make(life, f"/v1/sandboxes/{box['id']}/fork", {"name": "twin"})["sandbox"]

    def check(gateway: Gateway) -> None:
        assert names_of(gateway)["twin"] == [one["name"] for one in copy["contexts"]]
        holds(workspace(gateway, copy) / f"tree-{len(FEW)}/tar", FEW)

    life.acknowledged("a fork", check, True)


def last_context(life: Life) -> None:
    """It takes its sandbox along."""
    box = make(life, "/v1/sandboxes", {"name": "short"})
    url = f"/v1/sandboxes/{box['id']}/contexts/{context_of(box)}"
    assert life.gateway.request("DELETE", url).status == 204

    def check(gateway: Gateway) -> None:
        assert "short" not in names_of(gateway)

    life.acknowledged("no sandbox", check, True)


def command(life: Life, box: dict[str, Any], line: str) -> None:
    path = f"/v1/sandboxes/{box['id']}/commands"
    answer = life.gateway.request("POST", path, {"shell": line})
    assert answer.status == 200, answer
    record = answer.json()
    assert record["status"] == "exited", record
    later = ("artifacts", "files_changed", "settled")

    def check(gateway: Gateway) -> None:
        found = get(gateway, f"{path}/{record['id']}")
        assert {name: one for name, one in found.items() if name not in later} == record

    life.acknowledged(f"command {line[:20]} {record['id']}", check)


def token(life: Life) -> None:
    made = life.gateway.request("POST", "/v1/tokens", {"name": "one"}).json()

    def check(gateway: Gateway) -> None:
        assert made["id"] in [one["id"] for one in get(gateway, "/v1/tokens")["tokens"]]

    life.acknowledged(f"token {made['id']}", check)


def gone(life: Life, box: dict[str, Any]) -> None:
    life.trace.mark(f"no more of {box['id']}")
    assert life.gateway.request("DELETE", f"/v1/sandboxes/{box['id']}").status == 204

    def check(gateway: Gateway) -> None:
        assert gateway.get(f"/v1/sandboxes/{box['id']}").status == 404

    life.acknowledged(f"deletion {box['id']}", check)


def live(life: Life) -> None:
    """A short life with something of each kind."""
    gateway = life.gateway
    box, other = create(gateway), create(gateway)
    for one in (box, other):
        with closing(gateway.client(context_of(one))) as client:
            client.run("set x 1")
        workspace(gateway, one).chmod(0o777)  # of the sandbox, which has a uid of its own
        snapshot(life, one)
    for number in range(3):
        run(life, box, f"print {number}")
        token(life)
        put(life, box, f"folder/{number}/file", bytes([number]) * 20000)
        display(life, box, f"<p>{number}")
        command(life, box, f"echo {number}; head -c 9000 /dev/zero | tr '\\0' x >&2")
    for tree in (MANY, FEW):  # what is synced with the whole file system would hide the rest
        change_files(life, box, tree)
    fork(life, box)
    make_sandboxes(life)
    last_context(life)
    gone(life, other)
    run(life, box, "lines 300")
    answer = gateway.request("POST", f"/v1/sandboxes/{box['id']}/pause", {})
    assert answer.status == 200, answer
    model = answer.json()
    life.acknowledged("pause", lambda at: is_paused(at, model))


def is_paused(gateway: Gateway, model: dict[str, Any]) -> None:
    found = get(gateway, f"/v1/sandboxes/{model['id']}")
    assert (found["state"], found["contexts"]) == ("paused", model["contexts"])


def quiet(life: Life) -> bool:
    """Is everything safe that was said to be done?"""
    steps = life.trace.steps()
    return -1 not in find_safe(life.root, steps, marks_of(steps))[0]


def marks_of(steps: list[Step]) -> list[int]:
    return [at for at, step in enumerate(steps) if step.kind == "A"]


@pytest.fixture(scope="module", params=["normal", "full"])
def life(request: pytest.FixtureRequest) -> Iterator[Life]:
    home = Path(tempfile.mkdtemp(prefix="wcp-"))
    gateway, keeper, trace = begin(request.param, home)
    life = Life(trace, gateway, trace.folder.stat().st_ino)
    with gateway:
        live(life)
        try:
            processes.until(lambda: quiet(life), "all of it on the disk")
        except AssertionError:
            steps = life.trace.steps()
            _, why = find_safe(life.root, steps, marks_of(steps))
            raise AssertionError(f"not safe: {why}") from None
        life.steps = life.trace.steps()
    processes.wait_gone(keeper.pids())
    yield life
    shutil.rmtree(home)


def boot_again(state: Path) -> None:
    """As if the machine had been started anew."""
    boot = state / "boot"
    if boot.exists():
        boot.write_text("another")


def come_back(shown: Path, home: Path) -> tuple[Gateway, FakeKeeper]:
    gateway = Gateway(options=["--pool-max", "0"], home=home)
    keeper = FakeKeeper(home / "keeper")
    gateway.env = keeper.environment
    shown.rename(gateway.state)
    boot_again(gateway.state)
    return gateway.start(), keeper


def is_full(life: Life) -> bool:
    return "full" in life.gateway.options


def must_hold(life: Life, steps: list[Step]) -> list[Check]:
    """What the disk has to have after these steps."""
    marks = marks_of(steps)
    safe = marks if is_full(life) else find_safe(life.root, steps, marks)[0]
    over = [step.name.split()[-1] for step in steps if step.name.startswith("no more of ")]
    names = [steps[mark].name for mark, since in zip(marks, safe, strict=True) if since >= 0]
    return [
        life.facts[name]
        for name in sorted(names, key="pause".__ne__)
        if name in life.facts and not (name.startswith("snapshot") and name.split()[-1] in over)
    ]


def look(life: Life, cut: int, dice: random.Random | None, wanted: list[Check]) -> None:
    """Starts a gateway on what a disk may show after the first `cut` steps."""
    steps = life.steps[:cut]
    disk = Disk(life.root)
    for at, step in enumerate(steps):
        disk.take(at, step)
    home = Path(tempfile.mkdtemp(prefix="wcp-"))
    shown = home / "shown"
    disk.show(dice, shown)
    gateway, keeper = come_back(shown, home)
    try:
        for check in wanted:
            check(gateway)
    except AssertionError as error:
        log = gateway.log.read_text()
        raise AssertionError(f"cut at {cut} of {len(life.steps)}: {error}\n{log}") from None
    finally:
        gateway.stop()
        processes.wait_gone(keeper.pids())
        shutil.rmtree(home, ignore_errors=True)


def test_nothing_that_is_safe_is_lost(life: Life) -> None:
    dice = random.Random(SEED)
    count = len(life.steps)
    for _ in range(CUTS):
        cut = dice.randint(1, count)
        look(life, cut, dice, must_hold(life, life.steps[:cut]))


@pytest.mark.parametrize("life", ["full"], indirect=True)
def test_in_full_all_is_on_the_disk_when_it_is_acknowledged(life: Life) -> None:
    """Right behind the answer, and with nothing but what is safe."""
    for mark in marks_of(life.steps):
        if (name := life.steps[mark].name) in life.at_once:
            look(life, mark + 1, None, [life.facts[name]])


def test_a_number_of_an_inode_that_is_used_again_is_of_another_file(tmp_path: Path) -> None:
    """As of a file without a name, which is written before it is linked."""
    root, inode = 1, 2
    made = [
        ("C", inode, root, "before", b""),
        ("W", inode, 0, "-", b"what was here before"),
        ("S", inode, 0, "-", b""),
        ("U", 0, root, "before", b""),
        ("O", inode, 0, "-", b""),
        ("W", inode, 0, "-", b"another"),
        ("S", inode, 0, "-", b""),
        ("L", inode, root, "file", b""),
        ("S", root, 0, "-", b""),
    ]
    disk = Disk(root)
    for at, (kind, of, folder, name, data) in enumerate(made):
        disk.take(at, Step(kind, at, of, folder, 0, name, data))
    disk.show(random.Random(SEED), tmp_path)
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"file": b"another"}
