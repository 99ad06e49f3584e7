"""A random sequence of what a client can ask of the native API, with crashes between the steps.

A model (world.py) says after each step what there must be. From time to time, and after each crash,
all of it is compared with what the gateway says.
"""

from __future__ import annotations

import os
import random
import signal
import uuid
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import ends
import kept
from account import Lost
from harness.processes import BenchError
from world import SKIPPED, Box, Context, World, kill_gateway

BOXES, CONTEXTS, FILES = 3, 3, 8
STEPS_TO_CHECK = 25
RESTARTS = 3  # of one context: more is a crash loop
GATE = "import os, time\nwhile not os.path.exists('/workspace/go'): time.sleep(0.005)\n"
LAST_WORDS = {
    "python": "import os\nprint('last words', flush=True)\nos.kill(os.getpid(), 11)",
    "bash": "echo 'last words'; kill -SEGV $$",
}
ECHO = {"python": "print('before')", "bash": "echo before"}
ASSIGN = {"python": "{name} = {value}\nprint({name})", "bash": "{name}={value}\necho ${name}"}


def create(world: World) -> None:
    if len(world.boxes) == BOXES:
        raise LookupError(SKIPPED)
    _, model = world.ask("POST", "/v1/sandboxes", 201, body={})
    contexts = [Context(one["id"], one["name"]) for one in model["contexts"]]
    world.boxes.append(Box(model["id"], contexts))


def create_from_template(world: World) -> None:
    if len(world.boxes) == BOXES:
        raise LookupError(SKIPPED)
    kept.create_from_template(world)


def delete(world: World) -> None:
    box = world.some(paused=None)
    world.ask("DELETE", box.path, 204)
    world.ask("GET", box.path, 404)
    world.boxes.remove(box)


def assign(world: World) -> None:
    box = world.some()
    context = world.chance.choice(box.contexts)
    name, value = f"v_{world.chance.randrange(20)}", world.chance.randrange(1000)
    code = ASSIGN[context.language].format(name=name, value=value)
    world.note(box, world.run(box, context, code), "ok", f"{value}\n")
    context.variables[name] = value


def fail(world: World) -> None:
    box = world.some()
    record = world.run(box, world.chance.choice(box.python), "print('so far')\n1/0")
    world.note(box, record, "error", "so far\n")
    if record["error"]["name"] != "ZeroDivisionError" or not record["state_retained"]:
        raise Lost(f"{record}")


def repeat(world: World) -> None:
    """With a key, the same is one execution, also behind a crash of the gateway."""
    box = world.some()
    key = {"Idempotency-Key": uuid.uuid4().hex}
    context = box.python[0]
    code = "v_key = globals().get('v_key', 0) + 1; print(v_key)"
    body = {"code": code, "context": context.id}
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
        {"code": f"print({number})", "context": world.chance.choice(box.python).name}
        for number in range(world.chance.randrange(1, 5))
    ]
    body = {"items": items, "parallel": world.chance.random() < 0.5}
    _, answer = world.ask("POST", f"{box.path}/executions", 200, body=body)
    for number, record in enumerate(answer["items"]):
        world.note(box, record, "ok", f"{number}\n")


def queue(world: World, between: Callable[[World], None] | None = None) -> None:
    """Several wait behind one that waits itself; one of them is cancelled."""
    box = world.some()
    context = world.chance.choice(box.python)
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
    context = world.chance.choice(box.python)
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
    before = world.run(box, box.python[0], "pass")
    world.note(box, before, "ok", "")
    world.ask("GET", f"{box.path}/executions/{before['id']}/artifacts?settled=1", 200)
    name = f"f{world.chance.randrange(FILES)}"
    content = world.chance.randbytes(world.chance.choice((1, 100, 100_000)))
    code = f"import base64; open({name!r}, 'wb').write(base64.b64decode({b64encode(content)!r}))"
    record = world.run(box, box.python[0], code + ";")
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
    of = world.chance.choice(box.python)
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
    box.contexts.append(Context(model["id"], model["name"], variables=variables))


def another_language(world: World) -> None:
    box = world.some()
    if len(box.contexts) == CONTEXTS:
        raise LookupError(SKIPPED)
    _, model = world.ask("POST", f"{box.path}/contexts", 201, body={"language": "bash"})
    box.contexts.append(Context(model["id"], model["name"], "bash"))


def drop(world: World) -> None:
    box = world.some()
    context = world.chance.choice(box.contexts)
    if box.python == [context]:
        raise LookupError(SKIPPED)
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
    for context in box.contexts:
        context.save()


def check_restored(contexts: list[Context], answer: Any) -> None:
    """Of what is in no snapshot the answer says so, and it begins anew."""
    for one, context in zip(answer["contexts"], contexts, strict=True):
        if one["not_restored"] or bool(one["problem"]) != (context.saved is None):
            raise Lost(f"{answer}")
        context.variables = dict(context.saved or {})
        context.deaths = 0


def resume(world: World) -> None:
    box = world.some(paused=True)
    _, answer = world.ask("POST", f"{box.path}/resume", 200, body={})
    box.paused = False
    check_restored(box.contexts, answer)


def fork(world: World) -> None:
    """Of one that runs or is paused; with a key it is one copy, also behind a crash."""
    if len(world.boxes) == BOXES:
        raise LookupError(SKIPPED)
    box = world.some(paused=None)
    if not box.paused:
        settle(world, box)
        for context in box.contexts:
            context.save()
    key = {"Idempotency-Key": uuid.uuid4().hex}
    name = f"copy-{key['Idempotency-Key']}"
    path, body = f"{box.path}/fork", {"name": name}
    _, answer = world.ask("POST", path, 201, body=body, headers=key)
    files = answer["workspace"]
    if files["files"] != len(box.files) or files["changed"] or files["not_copied"]:
        raise Lost(f"{answer} of {box}")
    contexts = [
        Context(one["id"], one["name"], of.language, saved=of.saved)
        for one, of in zip(answer["contexts"], box.contexts, strict=True)
    ]
    check_restored(contexts, answer)
    copy = Box(answer["sandbox"]["id"], contexts, dict(box.files), name=name,
               processes=box.processes, labels=dict(box.labels))  # fmt: skip
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
        (saved,) = (one["saved"] or [] for one in made["contexts"] if one["id"] == context.id)
        if context.language == "python" and not context.variables.keys() <= {
            one["name"] for one in saved
        }:
            raise Lost(f"{made} lacks some of {context}")
        context.save()


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
    record = world.run(box, context, LAST_WORDS[context.language])
    world.note(box, record, "killed", "last words\n")
    if record["state_retained"]:
        raise Lost(f"{record}")


def kill_host(world: World) -> None:
    """Of an idle context: nothing that was asked for is lost with it but the variables."""
    box, context = mortal(world)
    world.note(box, world.run(box, context, ECHO[context.language]), "ok", "before\n")
    (host,) = ends.hosts_of(context)
    os.kill(host, signal.SIGKILL)
    path = f"{box.path}/contexts/{context.id}"
    world.until(
        "its host's death is known", lambda: host not in ends.hosts_of(context) and bool(
            world.ask("GET", path, 200)[1]["reason"])
    )  # fmt: skip


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
    "another language": (2, another_language),
    "drop": (2, drop),
    "pause": (2, pause),
    "resume": (6, resume),
    "snapshot": (2, snapshot),
    "fork": (2, fork),
    "change a paused one": (3, change_paused),
    "change": (3, kept.change),
    "restart": (1, kept.restart),
    "make a template": (2, kept.make_template),
    "change a template": (2, kept.change_template),
    "seed a template": (2, kept.seed_template),
    "drop a template": (1, kept.drop_template),
    "create from a template": (4, create_from_template),
    "mint a token": (2, kept.mint),
    "revoke a token": (2, kept.revoke),
    "display": (4, kept.display),
    "forget an artifact": (2, kept.forget_artifact),
    "collect garbage": (1, kept.collect),
    "set a mode": (2, kept.set_mode),
    "feed a command": (3, kept.feed),
    "kill the gateway": (2, kill_gateway),
    "kill an interpreter": (2, kill_interpreter),
    "kill a host": (1, kill_host),
    "die": (2, ends.die),
    "end all": (1, ends.end_all),
}


def step(world: World) -> None:
    """One that can be done; a Lost says which one failed."""
    names = list(STEPS)
    name = world.chance.choices(names, [STEPS[one][0] for one in names])[0]
    try:
        STEPS[name][1](world)
    except LookupError:
        return
    except BenchError as error:
        raise Lost(f"{name}: {error}") from None
    world.counts[name] += 1


def run(steps: int, seed: int, say: Callable[[str], None]) -> str:
    """The whole proof; a sentence that says what was proven."""
    world = World(random.Random(seed))
    try:
        while world.counts.total() < steps:
            step(world)
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
