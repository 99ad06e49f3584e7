"""A random sequence of what a client can ask of the native API, with crashes between the steps.

A model says after each step what there must be: sandboxes, contexts with their variables, files,
executions with their outcome and output, commands. From time to time, and after each crash, all of
it is compared with what the gateway says.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
import uuid
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from account import Lost
from census import census
from harness import processes
from harness.home import Home
from harness.processes import BenchError
from harness.sandboxes import gateway
from harness.servers import Server
from sandbox_kills import is_told

BOXES, CONTEXTS, FILES, LISTED = 3, 3, 8, 7
PATIENCE_S = 60
STEPS_TO_CHECK = 25
RESTARTS = 3  # of one context: more is a crash loop
READ = "print(sorted((n, v) for n, v in globals().items() if n.startswith('v_')))"
GATE = "import os, time\nwhile not os.path.exists('/workspace/go'): time.sleep(0.005)\n"
SKIPPED = "nothing there to do it to"


@dataclass
class Context:
    """What one context must be."""

    id: str
    name: str
    variables: dict[str, int] = field(default_factory=dict)
    deaths: int = 0


@dataclass
class Box:
    """What one sandbox must be."""

    id: str
    contexts: list[Context]
    files: dict[str, bytes] = field(default_factory=dict)
    executions: dict[str, tuple[str, str]] = field(default_factory=dict)  # status, stdout
    commands: dict[str, tuple[int, str]] = field(default_factory=dict)  # exit code, stdout
    paused: bool = False
    name: str | None = None
    processes: int | None = None  # the limit, when it was changed
    read: set[str] = field(default_factory=set)  # executions whose events were looked at

    @property
    def path(self) -> str:
        return f"/v1/sandboxes/{self.id}"


class World:
    """A gateway, and what must be in it."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.home = Home()
        self.server = Server(gateway("--pool-max=1", "--preload=json"), self.home)
        self.boxes: list[Box] = []
        self.counts: Counter[str] = Counter()

    # --- asking

    def ask(
        self, method: str, path: str, *expect: int, body: Any = None, headers: Any = None
    ) -> tuple[int, Any]:
        """body: bytes as they are, anything else as JSON."""
        connection = self.server.connect()
        given = {"Authorization": f"token {self.server.token}"} | (headers or {})
        data = body if body is None or isinstance(body, bytes) else json.dumps(body)
        try:
            connection.request(method, path, data, given)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status not in expect:
            raise Lost(f"{method} {path} {body!r}: {answer.status} {text[:600]!r}, not {expect}")
        kind = answer.headers.get("Content-Type", "")
        if text and kind in ("application/json", "application/problem+json"):
            return answer.status, json.loads(text)
        return answer.status, text

    def until(self, what: str, happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not happened():
            if time.monotonic() > deadline:
                raise Lost(f"not within {PATIENCE_S} s: {what}")
            processes.reap()
            time.sleep(0.01)

    def all_of(self, path: str, member: str) -> list[Any]:
        """A list, page by page."""
        found: list[Any] = []
        after = ""
        while True:
            mark = "&" if "?" in path else "?"
            more = f"&after={quote(str(after))}" if after else ""
            _, page = self.ask("GET", f"{path}{mark}limit={LISTED}{more}", 200)
            found += page[member]
            after = page["next"]
            if not after:
                return found

    # --- choosing

    def some(self, paused: bool | None = False) -> Box:
        fitting = [box for box in self.boxes if paused is None or box.paused == paused]
        if not fitting:
            raise LookupError(SKIPPED)
        return self.chance.choice(fitting)

    def run(self, box: Box, context: Context, code: str, **more: Any) -> Any:
        body = {"code": code, "context": context.id} | more
        _, record = self.ask("POST", f"{box.path}/executions", 200, 202, body=body)
        return record

    def note(self, box: Box, record: Any, status: str, stdout: str) -> None:
        if record["status"] != status or record["outputs"]["stdout"] != stdout:
            raise Lost(f"expected {status} and {stdout!r}: {record}")
        box.executions[record["id"]] = (status, stdout)

    # --- looking at all

    def check(self) -> None:
        listed = self.ask("GET", "/v1/sandboxes", 200)[1]["sandboxes"]
        if {one["id"] for one in listed} != {box.id for box in self.boxes}:
            raise Lost(f"sandboxes {[one['id'] for one in listed]}, not {self.boxes}")
        for box in self.boxes:
            self.check_box(box)

    def check_box(self, box: Box) -> None:
        if not box.paused:
            for context in box.contexts:
                self.check_variables(box, context)
            self.check_files(box)
        _, model = self.ask("GET", box.path, 200)
        if (model["state"] == "paused") != box.paused or model["name"] != box.name:
            raise Lost(f"{box} is {model}")
        if box.processes not in (None, model["limits"]["processes"]["value"]):
            raise Lost(f"{box} has the limits {model['limits']}")
        if [one["id"] for one in model["contexts"]] != [one.id for one in box.contexts]:
            raise Lost(f"{box} has {model['contexts']}")
        found = {one["id"]: one for one in self.all_of(f"{box.path}/executions", "executions")}
        if found.keys() != box.executions.keys():
            raise Lost(f"executions {found.keys() ^ box.executions.keys()} of {box.id} differ")
        for one, (status, stdout) in box.executions.items():
            if found[one]["status"] != status:
                raise Lost(f"{found[one]}, not {status}")
            there = any(found[one]["context_id"] == context.id for context in box.contexts)
            if one not in box.read and there and not box.paused:  # the log is its context's
                self.check_events(box, one, stdout)
        _, commands = self.ask("GET", f"{box.path}/commands", 200)
        if {one["id"] for one in commands["commands"]} != box.commands.keys():
            raise Lost(f"{box} has {commands}")

    def check_variables(self, box: Box, context: Context) -> None:
        self.note(box, self.run(box, context, READ), "ok", f"{sorted(context.variables.items())}\n")

    def check_files(self, box: Box) -> None:
        entries = self.all_of(f"{box.path}/files/", "files")
        if {one["name"] for one in entries} != box.files.keys():
            raise Lost(f"files {entries}, not {box.files.keys()}")
        for name, content in box.files.items():
            if self.ask("GET", f"{box.path}/files/{name}", 200)[1] != content:
                raise Lost(f"{name} of {box.id} is not as it was written")

    def check_events(self, box: Box, execution: str, stdout: str) -> None:
        path = f"{box.path}/executions/{execution}"
        events: list[Any] = []
        while not events or events[-1]["type"] != "end":
            after = len(events)
            _, page = self.ask("GET", f"{path}/events?limit=3&after={after}", 200)
            events += page["events"]
            if len(events) == after:
                raise Lost(f"the events of {execution} end with {events}")
        if [one["number"] for one in events] != list(range(1, len(events) + 1)):
            raise Lost(f"the events of {execution} are numbered {events}")
        text = "".join(one["text"] for one in events if one["type"] == "stdout")
        _, whole = self.ask("GET", f"{path}/output", 200)
        if text != stdout or whole != stdout.encode():
            raise Lost(f"{execution} wrote {text!r} and {whole!r}, not {stdout!r}")
        box.read.add(execution)

    # --- the sequence

    def step(self) -> None:
        names = list(STEPS)
        name = self.chance.choices(names, [STEPS[one][0] for one in names])[0]
        try:
            STEPS[name][1](self)
        except LookupError:
            return
        except BenchError as error:
            raise Lost(f"{name}: {error}") from None
        self.counts[name] += 1

    def close(self) -> None:
        for box in list(self.boxes):
            self.ask("DELETE", box.path, 204)
        self.until("no host is left", lambda: not [m for m in census() if m.role == "host"])

    def end(self) -> None:
        self.server.stop()
        self.home.close()


def create(world: World) -> None:
    if len(world.boxes) == BOXES:
        raise LookupError(SKIPPED)
    _, model = world.ask("POST", "/v1/sandboxes", 201, body={})
    contexts = [Context(one["id"], one["name"]) for one in model["contexts"]]
    world.boxes.append(Box(model["id"], contexts))


def delete(world: World) -> None:
    box = world.some(paused=None)
    world.ask("DELETE", box.path, 204)
    world.ask("GET", box.path, 404)
    world.boxes.remove(box)


def assign(world: World) -> None:
    box = world.some()
    context = world.chance.choice(box.contexts)
    name, value = f"v_{world.chance.randrange(20)}", world.chance.randrange(1000)
    code = f"{name} = {value}\nprint({name})"
    world.note(box, world.run(box, context, code), "ok", f"{value}\n")
    context.variables[name] = value


def fail(world: World) -> None:
    box = world.some()
    record = world.run(box, world.chance.choice(box.contexts), "print('so far')\n1/0")
    world.note(box, record, "error", "so far\n")
    if record["error"]["name"] != "ZeroDivisionError" or not record["state_retained"]:
        raise Lost(f"{record}")


def repeat(world: World) -> None:
    """With a key, the same is one execution, also behind a crash of the gateway."""
    box = world.some()
    key = {"Idempotency-Key": uuid.uuid4().hex}
    body = {"code": "v_key = globals().get('v_key', 0) + 1; print(v_key)"}
    context = box.contexts[0]
    value = context.variables.get("v_key", 0) + 1
    _, first = world.ask("POST", f"{box.path}/executions", 200, body=body, headers=key)
    world.note(box, first, "ok", f"{value}\n")
    context.variables["v_key"] = value
    if world.chance.random() < 0.5:
        kill_gateway(world)
    _, again = world.ask("POST", f"{box.path}/executions", 200, body=body, headers=key)
    if again["id"] != first["id"]:
        raise Lost(f"{again} is another than {first}")
    world.ask("POST", f"{box.path}/executions", 422, body={"code": "2"}, headers=key)


def batch(world: World) -> None:
    box = world.some()
    items = [
        {"code": f"print({number})", "context": world.chance.choice(box.contexts).name}
        for number in range(world.chance.randrange(1, 5))
    ]
    body = {"items": items, "parallel": world.chance.random() < 0.5}
    _, answer = world.ask("POST", f"{box.path}/executions", 200, body=body)
    for number, record in enumerate(answer["items"]):
        world.note(box, record, "ok", f"{number}\n")


def queue(world: World, between: Callable[[World], None] | None = None) -> None:
    """Several wait behind one that waits itself; one of them is cancelled."""
    box = world.some()
    context = world.chance.choice(box.contexts)
    lines = world.chance.randrange(1, 400)
    codes = [GATE + "print('passed')", *[f"for i in range({lines}): print(i)"] * 3]
    ids = [world.run(box, context, code, detach=True)["id"] for code in codes]
    world.ask("POST", f"{box.path}/executions/{ids[2]}/cancel", 200, 202)
    if between:
        between(world)
    world.ask("PUT", f"{box.path}/files/go", 201, body=b"")
    text = "".join(f"{number}\n" for number in range(lines))
    for one, status, stdout in (
        (ids[0], "ok", "passed\n"), (ids[1], "ok", text), (ids[2], "cancelled", ""),
        (ids[3], "ok", text),
    ):  # fmt: skip
        path = f"{box.path}/executions/{one}"
        world.ask("GET", f"{path}/events", 200, headers={"Accept": "application/x-ndjson"})
        world.note(box, world.ask("GET", f"{path}?outputs=1", 200)[1], status, stdout)
    world.ask("DELETE", f"{box.path}/files/go", 204)


def queue_across_a_crash(world: World) -> None:
    queue(world, kill_gateway)


def interrupt(world: World) -> None:
    box = world.some()
    context = world.chance.choice(box.contexts)
    code = "print('began', flush=True)\n" + GATE
    one = world.run(box, context, code, detach=True)["id"]
    path = f"{box.path}/executions/{one}"
    world.until(
        "it has begun",
        lambda: len(world.ask("GET", f"{path}/events", 200)[1]["events"]) > 1,
    )
    world.ask("POST", f"{path}/cancel", 202)
    world.ask("GET", f"{path}/events", 200, headers={"Accept": "application/x-ndjson"})
    _, record = world.ask("GET", f"{path}?outputs=1", 200)
    world.note(box, record, "interrupted", "began\n")


def command(world: World) -> None:
    box = world.some()
    code, word = world.chance.randrange(4), f"word {world.chance.random()}"
    body = {"shell": f"echo '{word}'; exit {code}"}
    _, record = world.ask("POST", f"{box.path}/commands", 200, body=body)
    if (record["status"], record["exit_code"], record["stdout"]) != ("exited", code, f"{word}\n"):
        raise Lost(f"{body}: {record}")
    box.commands[record["id"]] = (code, f"{word}\n")


def put(world: World) -> None:
    box = world.some()
    name = f"f{world.chance.randrange(FILES)}"
    content = world.chance.randbytes(world.chance.choice((0, 10, 5000, 200_000)))
    world.ask("PUT", f"{box.path}/files/{name}", 204 if name in box.files else 201, body=content)
    box.files[name] = content


def write(world: World) -> None:
    """What a run leaves in the workspace is found after it, and kept when it is gone.

    What the files API did before is looked at first: a gateway that was killed does not know whose
    that was.
    """
    box = world.some()
    before = world.run(box, box.contexts[0], "pass")
    world.note(box, before, "ok", "")
    world.ask("GET", f"{box.path}/executions/{before['id']}/artifacts?settled=1", 200)
    name = f"f{world.chance.randrange(FILES)}"
    content = world.chance.randbytes(world.chance.choice((1, 100, 100_000)))
    code = f"import base64; open({name!r}, 'wb').write(base64.b64decode({b64encode(content)!r}))"
    _, record = world.ask("POST", f"{box.path}/executions", 200, body={"code": code + ";"})
    world.note(box, record, "ok", "")
    box.files[name] = content
    if world.chance.random() < 0.3:
        kill_gateway(world)
    path = f"{box.path}/executions/{record['id']}/artifacts?settled=1"
    _, page = world.ask("GET", path, 200)
    if [(one["kind"], one["path"]) for one in page["artifacts"]] != [("file", name)]:
        raise Lost(f"{record['id']} wrote {name}: {page}")
    if world.ask("GET", page["artifacts"][0]["content_url"], 200)[1] != content:
        raise Lost(f"{page} is not what was written")


def append(world: World) -> None:
    box = world.some()
    name = world.chance.choice(sorted(box.files) or [None])
    if name is None:
        raise LookupError(SKIPPED)
    world.ask("POST", f"{box.path}/files/{name}?append=1", 204, body=b"more")
    box.files[name] += b"more"


def move(world: World) -> None:
    box = world.some()
    name, other = (f"f{world.chance.randrange(FILES)}" for _ in range(2))
    path = f"{box.path}/files/{name}?move_to={other}"
    if name not in box.files:
        world.ask("POST", path, 404)
    elif name == other or other in box.files:
        world.ask("POST", path, *((409, 201, 204) if name == other else (409,)))
    else:
        world.ask("POST", path, 201)
        box.files[other] = box.files.pop(name)


def remove(world: World) -> None:
    box = world.some()
    name = f"f{world.chance.randrange(FILES)}"
    world.ask("DELETE", f"{box.path}/files/{name}", 204 if name in box.files else 404)
    box.files.pop(name, None)


def branch(world: World) -> None:
    box = world.some()
    if len(box.contexts) == CONTEXTS:
        raise LookupError(SKIPPED)
    of = world.chance.choice(box.contexts)
    whole = world.chance.random() < 0.7
    world.run(box, of, "pass", detach=True)  # so that it has ended when the branch is asked for
    record = world.run(box, of, "print()")
    world.note(box, record, "ok", "\n")
    listed = world.all_of(f"{box.path}/executions", "executions")
    (silent,) = (one for one in listed if one["id"] not in box.executions)
    box.executions[silent["id"]] = ("ok", "")
    body = {"fork": of.id} if whole else {}
    _, model = world.ask("POST", f"{box.path}/contexts", 201, body=body)
    variables = dict(of.variables) if whole else {}
    box.contexts.append(Context(model["id"], model["name"], variables))


def drop(world: World) -> None:
    box = world.some()
    if len(box.contexts) == 1:
        raise LookupError(SKIPPED)
    context = world.chance.choice(box.contexts)
    world.ask("DELETE", f"{box.path}/contexts/{context.id}", 204)
    box.contexts.remove(context)


def settle(world: World, box: Box) -> None:
    """Saving falls between two executions: the contexts are no longer starting."""
    for context in box.contexts:
        world.check_variables(box, context)


def pause(world: World) -> None:
    box = world.some()
    settle(world, box)
    world.ask("POST", f"{box.path}/pause", 200, body={})
    box.paused = True


def resume(world: World) -> None:
    box = world.some(paused=True)
    _, answer = world.ask("POST", f"{box.path}/resume", 200, body={})
    box.paused = False
    for one in answer["contexts"]:
        if one["not_restored"] or one["problem"]:
            raise Lost(f"{answer}")


def fork(world: World) -> None:
    """Of one that runs or is paused; with a key it is one copy, also behind a crash."""
    if len(world.boxes) == BOXES:
        raise LookupError(SKIPPED)
    box = world.some(paused=None)
    if not box.paused:
        settle(world, box)
    key = {"Idempotency-Key": uuid.uuid4().hex}
    name = f"copy-{key['Idempotency-Key']}"
    path, body = f"{box.path}/fork", {"name": name}
    _, answer = world.ask("POST", path, 201, body=body, headers=key)
    files = answer["workspace"]
    if files["files"] != len(box.files) or files["changed"] or files["not_copied"]:
        raise Lost(f"{answer} of {box}")
    if any(one["not_restored"] or one["problem"] for one in answer["contexts"]):
        raise Lost(f"{answer}")
    contexts = [
        Context(one["id"], one["name"], dict(of.variables))
        for one, of in zip(answer["contexts"], box.contexts, strict=True)
    ]
    copy = Box(answer["sandbox"]["id"], contexts, dict(box.files), name=name,
               processes=box.processes)  # fmt: skip
    world.boxes.append(copy)
    if world.chance.random() < 0.3:
        kill_gateway(world)
    _, again = world.ask("POST", path, 201, body=body, headers=key)
    if again["sandbox"]["id"] != copy.id:
        raise Lost(f"{again} is another than {answer}")


def change_paused(world: World) -> None:
    """What was answered is there behind a crash, and holds from the resume on."""
    box = world.some(paused=True)
    box.processes = world.chance.randrange(100, 200)
    box.name = f"name-{uuid.uuid4().hex}" if world.chance.random() < 0.7 else None
    body = {"limits": {"processes": box.processes}, "name": box.name}
    _, model = world.ask("PATCH", box.path, 200, body=body)
    if model["limits_hold"] != "from_resume":
        raise Lost(f"{model}")
    if world.chance.random() < 0.5:
        kill_gateway(world)


def snapshot(world: World) -> None:
    box = world.some()
    settle(world, box)
    _, made = world.ask("POST", f"{box.path}/snapshots", 201, body={})
    for context in box.contexts:
        (saved,) = (one["saved"] for one in made["contexts"] if one["id"] == context.id)
        if not context.variables.keys() <= {one["name"] for one in saved}:
            raise Lost(f"{made} lacks some of {context}")


def kill_gateway(world: World) -> None:
    os.kill(world.server.process.pid, signal.SIGKILL)
    world.server.process.wait()
    world.server.start_again()


def mortal(world: World) -> tuple[Box, Context]:
    box = world.some()
    context = world.chance.choice(box.contexts)
    if context.deaths == RESTARTS:
        raise LookupError(SKIPPED)
    context.deaths += 1
    context.variables.clear()
    return box, context


def kill_interpreter(world: World) -> None:
    box, context = mortal(world)
    code = "import os\nprint('last words', flush=True)\nos.kill(os.getpid(), 11)"
    record = world.run(box, context, code)
    world.note(box, record, "killed", "last words\n")
    if record["state_retained"]:
        raise Lost(f"{record}")


def kill_host(world: World) -> None:
    """Of an idle context: nothing that was asked for is lost with it but the variables."""
    box, context = mortal(world)
    world.note(box, world.run(box, context, "print('before')"), "ok", "before\n")
    (host,) = hosts_of(context)
    os.kill(host, signal.SIGKILL)
    path = f"{box.path}/contexts/{context.id}"
    world.until(
        "its host's death is known", lambda: host not in hosts_of(context) and bool(
            world.ask("GET", path, 200)[1]["reason"])
    )  # fmt: skip


def hosts_of(context: Context) -> list[int]:
    return [one.pid for one in census() if one.role == "host" and is_told(one, context.id)]


STEPS: dict[str, tuple[int, Callable[[World], None]]] = {
    "create": (6, create),
    "delete": (1, delete),
    "assign": (20, assign),
    "fail": (4, fail),
    "repeat": (3, repeat),
    "batch": (4, batch),
    "queue": (3, queue),
    "queue across a crash": (2, queue_across_a_crash),
    "interrupt": (3, interrupt),
    "command": (5, command),
    "put": (6, put),
    "write": (5, write),
    "append": (3, append),
    "move": (3, move),
    "remove": (2, remove),
    "branch": (3, branch),
    "drop": (1, drop),
    "pause": (2, pause),
    "resume": (6, resume),
    "snapshot": (2, snapshot),
    "fork": (2, fork),
    "change a paused one": (3, change_paused),
    "kill the gateway": (2, kill_gateway),
    "kill an interpreter": (2, kill_interpreter),
    "kill a host": (1, kill_host),
}


def run(steps: int, seed: int, say: Callable[[str], None]) -> str:
    """The whole proof; a sentence that says what was proven."""
    world = World(random.Random(seed))
    try:
        while world.counts.total() < steps:
            world.step()
            if world.counts.total() % STEPS_TO_CHECK == 0:
                world.check()
                say(f"sequence: {world.counts.total()} of {steps} steps")
        world.check()
        world.close()
    except BenchError as error:
        done = dict(world.counts)
        raise Lost(f"{error} (seed {seed}, after {done})\n{world.home.log_tail()}") from None
    finally:
        world.end()
    return f"{dict(world.counts)} (seed {seed}): the state was always the model's"
