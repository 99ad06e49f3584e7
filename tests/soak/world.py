"""What there must be in a gateway, as the random sequence of steps knows it; a look at all of it.

A model of the sandboxes, their contexts with their variables, files, executions and commands, of
templates and of tokens, beside the gateway that has them.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from account import Lost
from census import census
from harness import processes
from harness.home import Home
from harness.sandboxes import gateway
from harness.servers import Server

LISTED = 7
PATIENCE_S = 60
SKIPPED = "nothing there to do it to"
# prints the variables of a context as (name, value), the names in order
READ = {
    "python": "print(sorted((n, v) for n, v in globals().items() if n.startswith('v_')))",
    "bash": """
words=''
for name in $(compgen -v v_); do words+="${words:+, }('$name', ${!name})"; done
echo "[$words]"
""",
}


@dataclass
class Context:
    """What one context must be."""

    id: str
    name: str
    language: str = "python"
    variables: dict[str, int] = field(default_factory=dict)
    saved: dict[str, int] | None = None  # in the last snapshot; None: nothing of it is
    deaths: int = 0
    dead: bool = False  # until somebody begins it anew

    def save(self) -> None:
        """Its sandbox is saved: what a resume after an unclean end gives it."""
        self.saved = dict(self.variables) if self.language == "python" else None


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
    labels: dict[str, str] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)  # executions whose events were looked at

    @property
    def path(self) -> str:
        return f"/v1/sandboxes/{self.id}"

    @property
    def python(self) -> list[Context]:
        """Its contexts of Python; there is always one."""
        return [one for one in self.contexts if one.language == "python"]


@dataclass
class Template:
    """What a sandbox that is made from it begins with."""

    id: str
    files: dict[str, bytes]
    seed: dict[str, bytes] = field(default_factory=dict)


@dataclass
class Token:
    """Of a principal who has nothing but it."""

    id: str
    secret: str


class World:
    """A gateway, and what must be in it."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.home = Home()
        self.server = Server(gateway("--pool-max=1", "--preload=json"), self.home)
        self.boxes: list[Box] = []
        self.templates: dict[str, Template] = {}
        self.tokens: list[Token] = []
        self.artifacts: dict[str, bytes] = {}  # of displays
        self.counts: Counter[str] = Counter()

    # --- asking

    def ask(
        self, method: str, path: str, *expect: int, body: Any = None, headers: Any = None,
        token: str | None = None,
    ) -> tuple[int, Any]:  # fmt: skip
        """body: bytes as they are, anything else as JSON."""
        connection = self.server.connect()
        given = {"Authorization": f"token {token or self.server.token}"} | (headers or {})
        data = body if body is None or isinstance(body, bytes) else json.dumps(body)
        try:
            connection.request(method, path, data, given)
            answer = connection.getresponse()
            text = answer.read()
        except TimeoutError:
            raise Lost(f"{method} {path} {body!r}: no answer") from None
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
        listed = self.all_of("/v1/sandboxes", "sandboxes")
        if {one["id"] for one in listed} != {box.id for box in self.boxes}:
            raise Lost(f"sandboxes {[one['id'] for one in listed]}, not {self.boxes}")
        for box in self.boxes:
            self.check_box(box)
        templates = {one["name"]: one for one in self.all_of("/v1/templates", "templates")}
        if templates.keys() != self.templates.keys():
            raise Lost(f"templates {templates}, not {self.templates}")
        for name, template in self.templates.items():
            self.check_template(template, templates[name])
        tokens = {one["id"] for one in self.all_of("/v1/tokens", "tokens")}
        if tokens != {one.id for one in self.tokens}:
            raise Lost(f"tokens {tokens}, not {self.tokens}")
        for one, content in list(self.artifacts.items())[-LISTED:]:
            if self.ask("GET", f"/v1/artifacts/{one}/content", 200)[1] != content:
                raise Lost(f"the artifact {one} is not what it was")

    def check_template(self, template: Template, model: Any) -> None:
        files = {one["path"]: one["bytes"] for one in model["files"]}
        seeded = (model["seed"] or {"files": 0})["files"]
        if model["id"] != template.id or seeded != len(template.seed):
            raise Lost(f"{model}, not {template}")
        if files != {name: len(content) for name, content in template.files.items()}:
            raise Lost(f"{model}, not {template}")

    def check_box(self, box: Box) -> None:
        if not box.paused:
            for context in box.contexts:
                if not context.dead:
                    self.check_variables(box, context)
            self.check_files(box)
        _, model = self.ask("GET", box.path, 200)
        if (model["state"] == "paused") != box.paused or model["name"] != box.name:
            raise Lost(f"{box} is {model}")
        if model["labels"] != box.labels:
            raise Lost(f"{box} has the labels {model['labels']}")
        if box.processes not in (None, model["limits"]["processes"]["value"]):
            raise Lost(f"{box} has the limits {model['limits']}")
        if [one["id"] for one in model["contexts"]] != [one.id for one in box.contexts]:
            raise Lost(f"{box} has {model['contexts']}")
        if [one["state"] == "dead" for one in model["contexts"]] != [
            one.dead for one in box.contexts
        ]:
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
        record = self.run(box, context, READ[context.language])
        self.note(box, record, "ok", f"{sorted(context.variables.items())}\n")

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

    def close(self) -> None:
        for box in list(self.boxes):
            self.ask("DELETE", box.path, 204)
        self.until("no host is left", lambda: not [m for m in census() if m.role == "host"])

    def end(self) -> None:
        self.server.stop()
        self.home.close()


def kill_gateway(world: World) -> None:
    os.kill(world.server.process.pid, signal.SIGKILL)
    world.server.process.wait()
    world.server.start_again()
