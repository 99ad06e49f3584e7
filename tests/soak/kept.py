"""Steps of the random sequence with what is kept under a name or an id: templates and their seeds,
tokens, artifacts, labels, commands in the background. Half of them with a crash on the way."""

from __future__ import annotations

import io
import tarfile
import uuid

from account import Lost
from world import SKIPPED, Box, Context, Template, Token, World, kill_gateway

TEMPLATES, TOKENS, FILES = 3, 4, 8


def maybe_kill_gateway(world: World, chance: float = 0.3) -> None:
    if world.chance.random() < chance:
        kill_gateway(world)


def some_texts(world: World) -> dict[str, str]:
    names = (f"f{world.chance.randrange(FILES)}" for _ in range(world.chance.randrange(3)))
    return {name: f"text {world.chance.random()}" for name in names}


def encoded(texts: dict[str, str]) -> dict[str, bytes]:
    return {name: text.encode() for name, text in texts.items()}


def some_template(world: World) -> tuple[str, Template]:
    if not world.templates:
        raise LookupError(SKIPPED)
    return world.chance.choice(sorted(world.templates.items(), key=lambda one: one[0]))


def make_template(world: World) -> None:
    """With a key it is one, also behind a crash; with another body it is refused."""
    if len(world.templates) == TEMPLATES:
        raise LookupError(SKIPPED)
    key = {"Idempotency-Key": uuid.uuid4().hex}
    texts, name = some_texts(world), f"t-{key['Idempotency-Key']}"
    body = {"name": name, "files": texts}
    _, made = world.ask("POST", "/v1/templates", 201, body=body, headers=key)
    world.templates[name] = Template(made["id"], encoded(texts))
    maybe_kill_gateway(world)
    _, again = world.ask("POST", "/v1/templates", 201, body=body, headers=key)
    if again["id"] != made["id"]:
        raise Lost(f"{again} is another than {made}")
    world.ask("POST", "/v1/templates", 409, body=body)
    world.ask("POST", "/v1/templates", 422, body=body | {"shared": True}, headers=key)


def change_template(world: World) -> None:
    name, template = some_template(world)
    texts, method = some_texts(world), world.chance.choice(("PUT", "PATCH"))
    body = {"name": name, "files": texts} if method == "PUT" else {"files": texts}
    world.ask(method, f"/v1/templates/{name}", 200, body=body)
    template.files = encoded(texts)
    maybe_kill_gateway(world)


def seed_template(world: World) -> None:
    name, template = some_template(world)
    path = f"/v1/templates/{name}/seed"
    if template.seed and world.chance.random() < 0.3:
        world.ask("DELETE", path, 204)
        template.seed = {}
    else:
        template.seed = {f"f{world.chance.randrange(FILES)}": world.chance.randbytes(5000)}
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for entry, content in template.seed.items():
                member = tarfile.TarInfo(entry)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        world.ask("PUT", path, 200, body=packed.getvalue())
        maybe_kill_gateway(world)
        if world.ask("GET", path, 200)[1] != packed.getvalue():
            raise Lost(f"the seed of {name} is not as it was put")


def drop_template(world: World) -> None:
    name, template = some_template(world)
    world.ask("DELETE", f"/v1/templates/{template.id}", 204)
    maybe_kill_gateway(world)
    world.ask("GET", f"/v1/templates/{name}", 404)
    del world.templates[name]


def create_from_template(world: World) -> None:
    name, template = some_template(world)
    _, model = world.ask("POST", "/v1/sandboxes", 201, body={"template": name})
    contexts = [Context(one["id"], one["name"]) for one in model["contexts"]]
    box = Box(model["id"], contexts, template.seed | template.files)
    world.boxes.append(box)


def mint(world: World) -> None:
    """Told once, and good until it is revoked; who has it sees nothing of others."""
    if len(world.tokens) == TOKENS:
        raise LookupError(SKIPPED)
    key = {"Idempotency-Key": uuid.uuid4().hex}
    body = {"principal": f"p{world.chance.randrange(100)}"}
    _, made = world.ask("POST", "/v1/tokens", 201, body=body, headers=key)
    world.tokens.append(Token(made["id"], made["token"]))
    maybe_kill_gateway(world)
    _, again = world.ask("POST", "/v1/tokens", 201, body=body, headers=key)
    if (again["id"], again["token"]) != (made["id"], None):
        raise Lost(f"{again} is another than {made}")
    _, seen = world.ask("GET", "/v1/sandboxes", 200, token=made["token"])
    if seen["sandboxes"]:
        raise Lost(f"{made} sees {seen}")
    for box in world.boxes:
        world.ask("GET", box.path, 404, token=made["token"])


def revoke(world: World) -> None:
    if not world.tokens:
        raise LookupError(SKIPPED)
    token = world.chance.choice(world.tokens)
    world.ask("GET", "/v1/usage", 200, token=token.secret)
    world.ask("DELETE", f"/v1/tokens/{token.id}", 204)
    maybe_kill_gateway(world)
    world.ask("GET", "/v1/usage", 401, token=token.secret)
    world.tokens.remove(token)


def display(world: World) -> None:
    """What is displayed is an artifact, which its sandbox does not take along."""
    box = world.some()
    html = f"<b>{world.chance.random()}</b>"
    code = f"display({{'text/html': {html!r}, 'text/plain': ''}}, raw=True)"
    record = world.run(box, world.chance.choice(box.python), code)
    world.note(box, record, "ok", "")
    maybe_kill_gateway(world)
    path = f"{box.path}/executions/{record['id']}/artifacts?settled=1&kind=display"
    _, page = world.ask("GET", path, 200)
    if [one["mime_type"] for one in page["artifacts"]] != ["text/html"]:
        raise Lost(f"{record['id']} displayed HTML: {page}")
    world.artifacts[page["artifacts"][0]["id"]] = html.encode()


def forget_artifact(world: World) -> None:
    if not world.artifacts:
        raise LookupError(SKIPPED)
    one = world.chance.choice(sorted(world.artifacts))
    world.ask("DELETE", f"/v1/artifacts/{one}", 204)
    del world.artifacts[one]
    maybe_kill_gateway(world)
    world.ask("GET", f"/v1/artifacts/{one}", 404)


def collect(world: World) -> None:
    """Nothing of what the model has is garbage."""
    world.ask("POST", "/v1/gc", 200, body={})


def change(world: World) -> None:
    box = world.some()
    box.labels = {f"l{world.chance.randrange(3)}": str(world.chance.random())}
    box.name = f"name-{uuid.uuid4().hex}" if world.chance.random() < 0.7 else None
    box.processes = world.chance.randrange(100, 200)
    _, model = world.ask("GET", box.path, 200)
    labels = {**dict.fromkeys(model["labels"]), **box.labels}
    body = {"labels": labels, "name": box.name, "limits": {"processes": box.processes}}
    _, model = world.ask("PATCH", box.path, 200, body=body)
    if model["limits_hold"] != "now":
        raise Lost(f"{model}")
    maybe_kill_gateway(world)
    found = world.all_of(f"/v1/sandboxes?label={'&label='.join(box.labels)}", "sandboxes")
    if box.id not in {one["id"] for one in found}:
        raise Lost(f"{box} is not found by its labels: {found}")


def set_mode(world: World) -> None:
    box = world.some()
    name = world.chance.choice(sorted(box.files) or [None])
    if name is None:
        raise LookupError(SKIPPED)
    mode = world.chance.choice(("600", "640", "755"))
    world.ask("PATCH", f"{box.path}/files/{name}", 204, body={"mode": mode})
    maybe_kill_gateway(world, 0.1)
    _, entry = world.ask("GET", f"{box.path}/files/{name}?stat=1", 200)
    if entry["mode"] != f"0{mode}":
        raise Lost(f"{name} of {box.id} has not the mode {mode}: {entry}")


def feed(world: World) -> None:
    """A command that goes on over a crash, is fed, and is ended."""
    box = world.some()
    body = {"argv": ["cat"], "background": True, "stdin_open": True}
    _, begun = world.ask("POST", f"{box.path}/commands", 202, body=body)
    path = f"{box.path}/commands/{begun['id']}"
    word = f"word {world.chance.random()}"
    world.ask("POST", f"{path}/stdin", 204, body=word.encode())
    maybe_kill_gateway(world)
    killed = world.chance.random() < 0.5
    if killed:
        world.ask("POST", f"{path}/signal", 204, body={"signal": "SIGKILL"})
    else:
        world.ask("POST", f"{path}/stdin?eof=1", 204, body=b"!")
    world.ask("GET", f"{path}/events", 200)  # to the end
    _, record = world.ask("GET", path, 200)
    if killed and (record["status"], record["signal"]) != ("killed", "SIGKILL"):
        raise Lost(f"{record} was killed")
    if not killed and (record["exit_code"], record["stdout"]) != (0, f"{word}!"):
        raise Lost(f"{record}, not {word!r}")
    box.commands[begun["id"]] = (record["exit_code"], record["stdout"])


def restart(world: World) -> None:
    """Every context begins anew; what ran is told so."""
    box = world.some()
    world.ask("POST", f"{box.path}/restart", 200)
    for context in box.contexts:
        context.variables.clear()
