"""A machine of the tests' own, with an internet of the tests' own: two network namespaces that are
joined by a pair of interfaces. Nothing that is sent in them leaves them.

    the machine, 198.51.100.2 ── 198.51.100.1, the internet: 203.0.113.7, 169.254.169.254, ...

In each, `stage_servers.py` answers at every address by TCP and UDP with the word "machine" or
"internet"; the internet has a name server, which the machine's own on 127.0.0.53 stands in for.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support import ordinary, processes

PYTHON = str(Path(sys.executable).resolve())
HERE = Path(__file__).resolve().parent
ROOT = os.geteuid() == 0
MODES = ["root", "user"] if ROOT else ["user"]
USER = 64125  # an ordinary user whom nobody else is
PORT = 8000
SHORT_S = 3.0  # for what is lost on its way: nobody answers it
LONG_S = 60.0  # for what is to be answered

OWN = ("198.51.100.2", "198.51.100.9", "172.31.0.1", "2001:db8:1::2")
PUBLIC, PRIVATE, PUBLIC6 = "203.0.113.7", "10.1.2.3", "2001:db8:2::7"
LINK_LOCAL = ("169.254.169.254", "169.254.7.7", "100.100.100.200", "fd00:ec2::254")
ABSTRACT = "warmcell-stage"

INTERNET = f"""
ip addr add 198.51.100.1/24 dev net0
ip addr add 2001:db8:1::1/64 dev net0 nodad
ip addr add fe80::abcd/64 dev net0 nodad
for address in {PUBLIC} {PRIVATE} 203.0.113.53 {" ".join(a for a in LINK_LOCAL if "." in a)}; do
    ip addr add $address/32 dev lo
done
for address in {PUBLIC6} fd00:ec2::254; do ip addr add $address/128 dev lo nodad; done
ip link set lo up
ip link set net0 up
"""
MACHINE = """
ip link set lo up
ip link add up0 type veth peer name net0
ip link set net0 netns "$1"
ip link set up0 up
ip addr add 198.51.100.2/24 dev up0
ip addr add 198.51.100.9/24 dev up0
ip addr add 2001:db8:1::2/64 dev up0 nodad
ip addr add fe80::2222/64 dev up0 nodad
ip link add other0 type veth peer name other1
ip link set other0 up
ip link set other1 up
ip addr add 172.31.0.1/24 dev other0
ip route add default via 198.51.100.1
ip route add default via 2001:db8:1::1
echo "nameserver 127.0.0.53" >"$2/resolv.conf"
mount --bind "$2/resolv.conf" /etc/resolv.conf
"""


class Namespace:
    """Network and mounts of their own, held by a process that sleeps."""

    def __init__(self, of: Namespace | None = None) -> None:
        own = ["unshare", "-n", "-m"] if ROOT or of else ["unshare", "-U", "-r", "-n", "-m"]
        command = [*own, "sh", "-c", "echo here; exec sleep infinity"]
        self.process = subprocess.Popen(
            [*of.words(), *command] if of else command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.own(self.process.pid)
        assert self.process.stdout and self.process.stdout.readline() == "here\n"

    def words(self) -> list[str]:
        """The command that enters it; what follows becomes this process."""
        user = [] if ROOT else ["-U", "--preserve-credentials"]
        return ["nsenter", "-t", str(self.process.pid), *user, "-n", "-m"]

    def sh(self, script: str, *arguments: str) -> None:
        done = subprocess.run(
            [*self.words(), "sh", "-ec", script, "sh", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        processes.disown(self.process.pid)


class Stage:
    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="wcs-"))
        self.folder.chmod(0o755)
        self.machine = Namespace()
        self.internet = Namespace(self.machine)
        self.machine.sh(MACHINE, str(self.internet.process.pid), str(self.folder))
        self.internet.sh(INTERNET)
        self.servers = [
            self.serve(
                self.internet,
                "internet",
                [PUBLIC, PRIVATE, "198.51.100.1", PUBLIC6, *LINK_LOCAL, "fe80::abcd%net0"],
                "203.0.113.53",
            ),
            self.serve(
                self.machine,
                "machine",
                [*OWN, "127.0.0.1", "::1", "fe80::2222%up0", "224.0.0.251"],
                "127.0.0.53",
            ),
        ]

    def serve(
        self, where: Namespace, word: str, addresses: Sequence[str], resolver: str
    ) -> subprocess.Popen[str]:
        about = {"word": word, "addresses": addresses, "port": PORT, "resolver": resolver,
                 "answer": PUBLIC, "abstract": ABSTRACT}  # fmt: skip
        server = subprocess.Popen(
            [*where.words(), PYTHON, "-I", str(HERE / "stage_servers.py"), json.dumps(about)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.own(server.pid)
        assert server.stdout and server.stdout.readline() == "ready\n"
        return server

    def prefix(self, mode: str, *before: str) -> list[str]:
        """The command that becomes another on the machine, as root or as an ordinary user; before
        that it becomes the command `before`, which is to become the rest."""
        words = [*self.machine.words(), *before]
        if mode == "root":
            return words
        if ROOT:
            return [*words, *ordinary.command(USER)]
        own = (f"--map-user={os.geteuid()}", f"--map-group={os.getegid()}")
        return [*words, "unshare", "-U", *own, "--"]

    def reach(self, mode: str, *attempts: dict[str, Any], patience_s: float = LONG_S) -> list[str]:
        """What the attempts of stage_reach.py get on the machine itself."""
        told = json.dumps([{**one, "patience_s": patience_s} for one in attempts])
        done = subprocess.run(
            [*self.prefix(mode), PYTHON, "-I", str(HERE / "stage_reach.py"), told],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
        )
        assert done.returncode == 0, done.stderr
        found: list[str] = json.loads(done.stdout)
        return found

    def close(self) -> None:
        for server in self.servers:
            server.kill()
            server.wait()
            processes.disown(server.pid)
        self.internet.close()
        self.machine.close()
        shutil.rmtree(self.folder)
