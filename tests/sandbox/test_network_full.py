"""A sandbox whose network is "full", on a machine and before an internet of the tests' own. What it
must not reach is reached by the same code on the machine itself. As root, all is done as an
ordinary user, too."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE
from typing import Any

import psutil
import pytest
from support import processes
from support.keeper.keeper_process import CLOSE, FAILED, OK, OPEN, Asker, Datagram, Keeper
from support.keeper.stage import (
    ABSTRACT,
    HERE,
    LINK_LOCAL,
    LONG_S,
    MODES,
    OWN,
    PRIVATE,
    PUBLIC,
    PUBLIC6,
    PYTHON,
    SHORT_S,
    USER,
    Stage,
)
from support.programs import ROOT as TREE
from support.programs import programs

CODE = (HERE / "stage_reach.py").read_text()


def tcp(to: str, **more: Any) -> dict[str, Any]:
    return {"kind": "tcp", "to": to, **more}


def udp(to: str, **more: Any) -> dict[str, Any]:
    return {"kind": "udp", "to": to, **more}


class Scene:
    def __init__(self, stage: Stage, mode: str, folder: Path) -> None:
        self.stage, self.mode = stage, mode
        self.state = stage.folder / folder.name
        self.state.mkdir(exist_ok=True)
        self.uid = USER if mode == "user" and os.geteuid() == 0 else os.geteuid()
        os.chown(self.state, self.uid, -1)

    def keeper(self, before: Sequence[str] = (), env: Mapping[str, str] | None = None) -> Keeper:
        """before: what its machine lacks is taken away by this command first."""
        options = ["--profile", "sandbox", "--state-dir", str(self.state)]
        for path in {str(TREE), sys.base_prefix}:
            options += ["--read-only", path]
        words = self.stage.prefix(self.mode, *before)
        if env:
            words += ["/usr/bin/env", *(f"{name}={value}" for name, value in env.items())]
        shown = {"SHOWN": f"{programs().keeper}:{self.state}"}
        return Keeper(*options, prefix=words, uid=self.uid, env=os.environ | shown)


@pytest.fixture(scope="module", name="stage")
def stage_fixture() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


@pytest.fixture(name="scene", params=MODES)
def scene_fixture(request: pytest.FixtureRequest, stage: Stage, tmp_path: Path) -> Scene:
    return Scene(stage, request.param, tmp_path)


@pytest.fixture(name="keeper")
def keeper_fixture(scene: Scene) -> Iterator[Keeper]:
    with scene.keeper() as keeper:
        yield keeper


@pytest.fixture(name="asker")
def asker_fixture(keeper: Keeper) -> Asker:
    return keeper.asker()


def opened(asker: Asker, sandbox: str = "box", network: object = "full") -> Datagram:
    answer = asker.ask(OPEN, {"sandbox": sandbox, "network": network})
    assert answer.kind == OK, answer
    return answer


def inside(
    asker: Asker, *attempts: dict[str, Any], sandbox: str = "box", patience_s: float = SHORT_S
) -> list[str]:
    told = json.dumps([{**one, "patience_s": patience_s} for one in attempts])
    process = asker.start(
        *(PYTHON, "-I", "-c", CODE, told),
        sandbox=sandbox,
        env={"PATH": "/usr/bin:/bin"},
    )
    text = process.output()
    assert text, os.read(process.err, 65536).decode()
    found: list[str] = json.loads(text)
    return found


def outsider(keeper: Keeper) -> psutil.Process:
    """This keeper's warmcell-pasta."""
    (found,) = (
        child for child in psutil.Process(keeper.pid).children() if child.name() == "warmcell-pasta"
    )
    return found


def pastas(keeper: Keeper) -> list[psutil.Process]:
    found = []
    for child in outsider(keeper).children():
        with suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE and child.name().startswith("pas"):
                found.append(child)
    return found


REACHED = [
    (tcp(PUBLIC), "internet"),
    (udp(PUBLIC), "internet"),
    (tcp(PUBLIC6), "internet"),
    (udp(PUBLIC6), "internet"),
    (tcp(PRIVATE), "internet"),
    (tcp("198.51.100.1"), "internet"),
    (tcp(PUBLIC, device="eth0"), "internet"),
    (udp(PUBLIC, through="eth0"), "internet"),
    ({"kind": "large", "to": PUBLIC, "bytes": 8000}, "internet"),
    ({"kind": "name", "to": "example.test"}, PUBLIC),
]


def test_the_outside_is_reached(asker: Asker) -> None:
    opened(asker)
    found = inside(asker, *(a for a, _ in REACHED), patience_s=LONG_S)
    assert found == [answer for _, answer in REACHED]


def test_nothing_is_reached_by_default(asker: Asker) -> None:
    opened(asker, network="none")
    for answer in inside(asker, *({**a, "device": "lo"} for a, _ in REACHED)):
        assert re.match("[A-Za-z]+(Error)?: ", answer), answer


def middle_of(scene: Scene, keeper: Keeper) -> list[str]:
    """The command that enters the namespace between the only sandbox and its pasta."""
    for place in Path(f"/proc/{outsider(keeper).pid}/fd").iterdir():
        if str(place.readlink()).startswith("net:"):
            words = [*scene.stage.machine.words(), "nsenter", f"--net={place}"]
            shown = subprocess.run(
                [*words, "ip", "link"], capture_output=True, text=True, check=True
            )
            if "tap0" in shown.stdout:
                return words
    raise AssertionError("there is none")


ANSWERS_LATER = f"""
import socket, sys
with socket.create_server(("{PUBLIC6}", 9001), family=socket.AF_INET6) as server:
    print("listens", flush=True)
    one, _ = server.accept()
    sys.stdin.readline()
    one.sendall(b"at last")
    sys.stdin.readline()
"""
WAITS = f"""
import socket
one = socket.create_connection(("{PUBLIC6}", 9001), {LONG_S})
print("connected", flush=True)
print(one.recv(100).decode(), flush=True)
"""


def test_who_waits_is_answered_whatever_the_way_says_of_itself(
    scene: Scene, keeper: Keeper, asker: Asker
) -> None:
    """pasta takes who speaks last for the sandbox, also one that asks from "::" whether its new
    address is taken, as every interface does of its first one: nobody on the way may."""
    opened(asker)
    middle = middle_of(scene, keeper)
    words = [*scene.stage.internet.words(), PYTHON, "-I", "-c", ANSWERS_LATER]
    with subprocess.Popen(words, stdin=PIPE, stdout=PIPE, text=True) as server:
        processes.own(server.pid)
        assert server.stdin and server.stdout and server.stdout.readline() == "listens\n"
        process = asker.start(PYTHON, "-I", "-c", WAITS, sandbox="box", env={})
        assert process.line() == "connected"
        subprocess.run([*middle, "ip", "addr", "add", "fd00:1::1/64", "dev", "tap0"], check=True)
        shown = [*middle, "ip", "addr", "show", "tentative"]
        processes.until(lambda: subprocess.check_output(shown) == b"", "the address is in use")
        server.stdin.write("now\n")
        server.stdin.flush()
        assert process.line() == "at last"
    processes.disown(server.pid)


# what the machine itself reaches, and the same from inside: eth0 stands for the machine's up0
DENIED = {
    "own-addresses": [make(a) for a in OWN for make in (tcp, udp)],
    "own-addresses-by-device": [
        make(a, **{how: "up0"})
        for a in ("198.51.100.2", "198.51.100.9", "2001:db8:1::2")
        for make in (tcp, udp)
        for how in ("device", "through")
    ],
    "link-local": [make(a) for a in LINK_LOCAL for make in (tcp, udp)],
    "link-local-by-device": [
        make(a, **{how: "up0"})
        for a in LINK_LOCAL
        for make in (tcp, udp)
        for how in ("device", "through")
    ],
    "link-local-6": [make(f"{a}%up0") for a in ("fe80::abcd", "fe80::2222") for make in (tcp, udp)],
    "loopback": [make(a) for a in ("127.0.0.1", "::1", "127.0.0.53") for make in (tcp, udp)][:-1],
    "mapped": [tcp(f"::ffff:{a}") for a in ("198.51.100.9", "169.254.169.254")],
    "multicast": [udp("224.0.0.251", multicast="up0")],
    "abstract": [{"kind": "abstract", "to": ABSTRACT}],
}


@pytest.mark.parametrize("what", DENIED)
def test_the_machine_is_not_reached(scene: Scene, asker: Asker, what: str) -> None:
    attempts = DENIED[what]
    for attempt, answer in zip(attempts, scene.stage.reach(scene.mode, *attempts), strict=True):
        assert answer in ("machine", "internet"), f"the control {attempt}: {answer}"
    opened(asker)
    assert inside(asker, tcp(PUBLIC), patience_s=LONG_S) == ["internet"]
    renamed = json.loads(json.dumps(attempts).replace("up0", "eth0"))
    for attempt, answer in zip(attempts, inside(asker, *renamed), strict=True):
        assert re.match("[A-Za-z]+(Error)?: ", answer), f"{attempt}: {answer}"


def test_the_addresses_of_the_way_lead_nowhere_else(asker: Asker) -> None:
    """pasta would lead its gateway's address to the machine's loopback."""
    opened(asker)
    way = [make(f"192.0.0.{n}") for n in (1, 3, 4, 5, 6, 7, 192) for make in (tcp, udp)]
    way += [make(a) for a in ("fe80::1%eth0", "fe80::2%eth0") for make in (tcp, udp)]
    for attempt, answer in zip(way, inside(asker, *way), strict=True):
        assert re.match("[A-Za-z]+(Error)?: ", answer), f"{attempt}: {answer}"


UNDO = r"""
import ctypes, os, socket, struct
def said(what, call):
    try:
        print(what, call() or "done")
    except OSError as error:
        print(what, type(error).__name__)
def change(kind, flags, body):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:
        s.sendto(struct.pack("=IHHII", 16 + len(body), kind, flags | 5, 1, 0) + body, (0, 0))
        error = struct.unpack_from("=i", s.recv(4096), 16)[0]
        if error:
            raise OSError(-error, "netlink")
address = socket.inet_aton("169.254.0.0")
route = struct.pack("=BBBBBBBBIHH4s", 2, 16, 0, 0, 254, 0, 0, 0, 0, 8, 1, address)
said("delete the route", lambda: change(25, 0, route))
said("bring down", lambda: change(16, 0, struct.pack("=BxHiII", 0, 0, 2, 0, 1)))
said("raw socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close())
said("packet socket", lambda: socket.socket(17, socket.SOCK_RAW, 0x300).close())
said("tun", lambda: os.close(os.open("/dev/net/tun", os.O_RDWR)))
caps = [l.split()[1] for l in open("/proc/self/status") if l.startswith("Cap")]
print("capabilities", int(any(int(c, 16) for c in caps)))
"""


def test_the_routes_cannot_be_undone(asker: Asker) -> None:
    opened(asker)
    process = asker.start(*(PYTHON, "-I", "-c", UNDO), sandbox="box", env={"PATH": "/usr/bin:/bin"})
    assert process.output().splitlines() == [
        "delete the route PermissionError",
        "bring down PermissionError",
        "raw socket PermissionError",
        "packet socket OSError",
        "tun FileNotFoundError",
        "capabilities 0",
    ]


LISTEN = """
import socket
server = socket.create_server(("0.0.0.0", 9000))
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("0.0.0.0", 9000))
print("listens", flush=True)
socket.create_connection(("127.0.0.1", 9000)).close()
print("reached" if server.accept() else "")
server.settimeout(1000)
server.accept()
"""


def test_nobody_comes_in(scene: Scene, asker: Asker) -> None:
    opened(asker)
    process = asker.start(*(PYTHON, "-I", "-c", LISTEN), sandbox="box", env={})
    assert process.line() == "listens"
    attempts = [tcp(a, port=9000) for a in ("198.51.100.2", "127.0.0.1", "192.0.0.2")]
    for answer in scene.stage.reach(scene.mode, *attempts, patience_s=SHORT_S):
        assert re.match("(ConnectionRefused|Timeout|OS)Error", answer), answer


def test_sandboxes_do_not_reach_each_other(asker: Asker) -> None:
    opened(asker, "one")
    opened(asker, "two")
    process = asker.start(*(PYTHON, "-I", "-c", LISTEN), sandbox="one", env={})
    assert process.line() == "listens"
    # both have the same address, so it is the other's own that answers
    (answer,) = inside(asker, tcp("192.0.0.2", port=9000), sandbox="two")
    assert answer.startswith("ConnectionRefusedError")


def test_pasta_has_no_right(keeper: Keeper, asker: Asker) -> None:
    opened(asker)
    (pasta,) = pastas(keeper)
    for process in (outsider(keeper), pasta):
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert "NoNewPrivs:\t1" in status
        assert 0 not in process.uids()
    assert "Seccomp:\t2" in status
    namespace = Path(f"/proc/{pasta.pid}/ns/user").readlink()
    assert namespace != Path("/proc/self/ns/user").readlink()  # its capabilities are of there
    assert list(Path(f"/proc/{pasta.pid}/root").iterdir()) == []


def test_an_address_that_the_machine_gets_later(scene: Scene, asker: Asker) -> None:
    opened(asker)
    late = "198.51.100.77"
    scene.stage.machine.sh(f"ip addr add {late}/24 dev up0")
    try:
        assert scene.stage.reach(scene.mode, tcp(late)) == ["machine"]
        processes.until(
            lambda: inside(asker, tcp(late))[0].startswith("PermissionError"), "it is forbidden"
        )
        (bound,) = inside(asker, tcp(late, device="eth0"))
        assert "Error" in bound
    finally:
        scene.stage.machine.sh(f"ip addr del {late}/24 dev up0")


def test_a_killed_pasta_is_started_anew(keeper: Keeper, asker: Asker) -> None:
    opened(asker)
    (first,) = pastas(keeper)
    for _ in range(2):
        (before,) = pastas(keeper)
        before.send_signal(signal.SIGKILL)
        processes.until(
            lambda: inside(asker, tcp(PUBLIC), udp(PUBLIC)) == ["internet"] * 2, "the way is back"
        )
    (after,) = pastas(keeper)
    assert after.pid != first.pid
    assert re.match("[A-Za-z]+(Error)?: ", inside(asker, tcp("169.254.169.254", device="eth0"))[0])
    assert "pasta of sandbox box ended (signal 9), it is started anew" in keeper.log.read_text()


def test_the_machine_loses_its_way(scene: Scene, keeper: Keeper, asker: Asker) -> None:
    opened(asker)
    scene.stage.machine.sh("ip route del default; ip -6 route del default")
    try:
        processes.until(lambda: "default route" in keeper.log.read_text(), "the log says so")
        answer = asker.ask(OPEN, {"sandbox": "late", "network": "full"})
        assert (answer.kind, answer.body["status"]) == (FAILED, 503)
        assert "no default route" in answer.body["message"]
    finally:
        scene.stage.machine.sh(
            "ip route add default via 198.51.100.1; ip route add default via 2001:db8:1::1"
        )
    processes.until(lambda: inside(asker, tcp(PUBLIC)) == ["internet"], "the way is back")


def test_a_sandbox_ends_with_its_pasta(keeper: Keeper, asker: Asker) -> None:
    """And nothing of either is left, however often."""
    opened(asker)
    helper = outsider(keeper)
    held, own = helper.num_fds(), psutil.Process(keeper.first).num_fds()
    for n in range(5):
        opened(asker, f"box{n}")
    assert len(pastas(keeper)) == 6
    for n in range(5):
        assert asker.ask(CLOSE, {"sandbox": f"box{n}"}).kind == OK
    processes.until(lambda: len(pastas(keeper)) == 1, "five have ended")
    processes.until(lambda: helper.num_fds() == held, "the helper has no descriptor more")
    keepers = psutil.Process(keeper.first)
    processes.until(lambda: keepers.num_fds() == own, "nor has the keeper")
    processes.until(lambda: len(helper.children()) == 1, "they are reaped")


def test_a_sandbox_whose_init_is_killed(keeper: Keeper, asker: Asker) -> None:
    opened(asker)
    left = [p.pid for p in pastas(keeper)]
    (init,) = psutil.Process(keeper.first).children()
    init.send_signal(signal.SIGKILL)
    assert processes.wait_gone([*left, init.pid]) == []
    processes.until(lambda: not asker.status()["sandboxes"], "it has ended")
    opened(asker)
    assert inside(asker, tcp(PUBLIC), patience_s=LONG_S) == ["internet"]


def test_without_its_starter_the_sandbox_ends_and_says_why(keeper: Keeper, asker: Asker) -> None:
    opened(asker)
    opened(asker, "other", "none")
    process = asker.start(*(PYTHON, "-I", "-c", LISTEN), sandbox="box", env={})
    assert process.line() == "listens"
    left = [p.pid for p in pastas(keeper)]
    outsider(keeper).send_signal(signal.SIGKILL)
    assert "network" in asker.end_of(process)["breach"]
    assert processes.wait_gone(left) == []
    answer = asker.ask(OPEN, {"sandbox": "next", "network": "full"})
    assert (answer.kind, answer.body["status"]) == (FAILED, 501)
    processes.until(
        lambda: [s["sandbox"] for s in asker.status()["sandboxes"]] == ["other"], "it has ended"
    )


def test_a_killed_keeper_leaves_nothing(scene: Scene) -> None:
    with scene.keeper() as keeper:
        asker = keeper.asker()
        opened(asker, "one")
        opened(asker, "two")
        left = [p.pid for p in (outsider(keeper), *pastas(keeper))]
        assert len(left) == 3
        keeper.kill()
        assert processes.wait_gone(left) == []


def test_without_pasta_it_is_said_what_to_install(scene: Scene) -> None:
    """A machine whose PATH has nothing."""
    with scene.keeper(env={"PATH": "/nonexistent"}) as keeper:
        asker = keeper.asker()
        answer = asker.ask(OPEN, {"sandbox": "box", "network": "full"})
        assert (answer.kind, answer.body["status"]) == (FAILED, 501)
        assert "install the Debian package passt" in answer.body["message"]
        opened(asker, network="none")


def test_without_a_tun_device_it_is_said_what_is_missing(scene: Scene) -> None:
    """A machine that has no such device: its folder is covered, in mounts of its own."""
    cover = 'mount -t tmpfs none /dev/net && exec "$@"'
    with scene.keeper(before=["unshare", "-m", "sh", "-c", cover, "sh"]) as keeper:
        answer = keeper.asker().ask(OPEN, {"sandbox": "box", "network": "full"})
    assert (answer.kind, answer.body["status"]) == (FAILED, 501)
    assert "there is no /dev/net/tun" in answer.body["message"]


def test_a_plan_that_is_joined_changes_nothing(asker: Asker) -> None:
    opened(asker, network="none")
    assert opened(asker).body["created"] is False
    for answer in inside(asker, tcp(PUBLIC)):
        assert "Error" in answer


def test_a_way_that_opens_slowly_delays_nobody_else(keeper: Keeper, asker: Asker) -> None:
    """It is answered when it is open, also to who joins."""
    opened(asker, "first")
    helper, joining = outsider(keeper), keeper.asker()
    helper.send_signal(signal.SIGSTOP)
    try:
        slow = asker.send(OPEN, {"sandbox": "slow", "network": "full"})
        assert opened(joining, "quick", "none").body["created"] is True
        joined = joining.send(OPEN, {"sandbox": "slow", "network": "full"})
        names = {one["sandbox"] for one in joining.status()["sandboxes"]}
    finally:
        helper.send_signal(signal.SIGCONT)
    assert names == {"first", "quick", "slow"}
    answers = asker.answer_to(slow), joining.answer_to(joined)
    assert [(one.kind, one.body["created"]) for one in answers] == [(OK, True), (OK, False)]
    assert inside(asker, tcp(PUBLIC), sandbox="slow", patience_s=LONG_S) == ["internet"]


def test_a_sandbox_that_is_closed_before_its_way_is_open(keeper: Keeper, asker: Asker) -> None:
    opened(asker, "first")
    helper, closing = outsider(keeper), keeper.asker()
    helper.send_signal(signal.SIGSTOP)
    try:
        waiting = asker.send(OPEN, {"sandbox": "box", "network": "full"})
        processes.until(lambda: len(closing.status()["sandboxes"]) == 2, "it is made")
        assert closing.ask(CLOSE, {"sandbox": "box"}).kind == OK
        answer = asker.answer_to(waiting)
        assert (answer.kind, answer.body["status"]) == (FAILED, 503)
        assert "ended before its network was there" in answer.body["message"]
    finally:
        helper.send_signal(signal.SIGCONT)
    processes.until(lambda: len(pastas(keeper)) == 1, "no way is left over")
    opened(asker)
    assert inside(asker, tcp(PUBLIC), patience_s=LONG_S) == ["internet"]
