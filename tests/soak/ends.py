"""Steps of the random sequence in which contexts die for good and processes end all at once.

Nobody deleted what ended so: all that was acknowledged of it is there, and its variables are those
of its last snapshot."""

from __future__ import annotations

import contextlib
import os
import signal

from account import Lost
from census import census
from harness import processes
from sandbox_kills import is_told
from world import Box, Context, World, kill_gateway

END_ALL, END_GATEWAY = 0.2, 0.5


def hosts_of(context: Context) -> list[int]:
    return [one.pid for one in census() if one.role == "host" and is_told(one, context.id)]


def end_uncleanly(box: Box) -> None:
    """It is paused, and its state that of its last snapshot, where it has one."""
    box.paused = True
    box.read.clear()
    for context in box.contexts:
        context.variables = dict(context.saved or {})
        context.dead = False


def end_all(world: World) -> None:
    """Every process at once; the machine goes on."""
    pids = [one.pid for one in census()]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    world.server.process.wait()
    world.until("all have ended", lambda: not set(pids) & {one.pid for one in census()})
    processes.reap()
    world.server.start_again()
    for box in world.boxes:
        if not box.paused:
            end_uncleanly(box)
        world.check_box(box)


def let_die(world: World, box: Box, context: Context) -> None:
    """Its host is killed each time that it is started, until nobody starts it any more."""
    path = f"{box.path}/contexts/{context.id}"

    def is_dead() -> bool:
        for host in hosts_of(context):
            with contextlib.suppress(ProcessLookupError):
                os.kill(host, signal.SIGKILL)
        return bool(world.ask("GET", path, 200)[1]["state"] == "dead")

    world.until(f"{context} is dead for good", is_dead)
    context.variables.clear()
    context.deaths, context.dead = 0, True


def begin_again(world: World, context: Context) -> None:
    world.ask("POST", f"/api/kernels/{context.id}/restart", 200, body={})
    context.dead = False


def die(world: World) -> None:
    """One of its contexts, or all; the gateway, or everything, may end then, too."""
    box = world.some()
    every = world.chance.random() < 0.3
    dead = box.contexts if every else [world.chance.choice(box.contexts)]
    for context in dead:
        let_die(world, box, context)
    box.read.clear()
    world.check_box(box)
    chance = world.chance.random()
    if chance < END_ALL:
        end_all(world)
    elif chance < END_ALL + END_GATEWAY:
        kill_gateway(world)
        if all(one.dead for one in box.contexts):
            end_uncleanly(box)
            _, model = world.ask("GET", box.path, 200)
            if "its processes ended" not in model["reason"]:
                raise Lost(f"{model} does not say why it is paused")
        box.read.clear()
        world.check_box(box)
    for context in box.contexts:
        if context.dead:
            begin_again(world, context)
