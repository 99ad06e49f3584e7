"""No path of the files API leaves the workspace: links of every kind, made by code inside, and
folders that are swapped with links while the API walks them. What lies outside may be read and
written by everybody, so that nothing but the API's own care keeps it."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.files import MODES, Box, end, make_gateway, problem
from support.gateway import Gateway

SECRET = b"nobody may see this"
ROUNDS_MOST = 4000


@dataclass
class Place:
    box: Box
    outside: Path
    at: str

    def unharmed(self) -> None:
        """What is outside is as it was."""
        assert sorted(p.name for p in self.outside.iterdir()) == ["folder", "secret"]
        assert (self.outside / "secret").read_bytes() == SECRET
        assert [p.name for p in (self.outside / "folder").iterdir()] == ["kept"]


@pytest.fixture(scope="module", params=MODES)
def gateway(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    gateway = make_gateway(request.param).start()
    yield gateway
    end(gateway)


@pytest.fixture(scope="module")
def box(gateway: Gateway) -> Iterator[Box]:
    box = Box.make(gateway)
    yield box
    box.remove()


@pytest.fixture
def place(box: Box) -> Iterator[Place]:
    outside = Path(tempfile.mkdtemp(prefix="wcf-", dir="/tmp"))
    (outside / "secret").write_bytes(SECRET)
    (outside / "folder").mkdir()
    (outside / "folder" / "kept").write_text("x")
    for path in (outside, outside / "secret", outside / "folder", outside / "folder" / "kept"):
        path.chmod(0o777)
    place = Place(box, outside, box.fresh())
    yield place
    place.unharmed()
    shutil.rmtree(outside)


def up(place: Place) -> str:
    """The way to the outside from the folder that a test has, without a leading slash."""
    return os.path.relpath(place.outside, place.box.folder / place.at)


LINKS: dict[str, Callable[[Place], dict[str, str]]] = {
    "absolute": lambda p: {"x": str(p.outside)},
    "relative": lambda p: {"x": up(p)},
    "dot-dot-too-many": lambda p: {"x": "../" * 60 + str(p.outside)[1:]},
    "through-a-link": lambda p: {"a": str(p.outside.parent), "x": f"a/{p.outside.name}"},
    "nested": lambda p: {"a": up(p), "b": "a", "c": "./b", "x": "c/."},
    "workspace-and-up": lambda p: {"x": "/workspace/.." + str(p.outside)},
    "workspace-and-far-up": lambda p: {"x": f"/workspace/{p.at}/{up(p)}"},
    "like-the-workspace": lambda p: {"x": "/workspace-not" + str(p.outside)},
    "root-of-a-process": lambda p: {"x": "/proc/self/root" + str(p.outside)},
    "cwd-of-a-process": lambda _: {"x": "/proc/self/cwd"},
    "root": lambda p: {"r": "/", "x": "r" + str(p.outside)},
}  # fmt: skip

ATTEMPTS: list[tuple[str, str, bytes | None]] = [
    ("GET", "x", None),
    ("GET", "x/", None),
    ("GET", "x/secret", None),
    ("HEAD", "x/secret", None),
    ("GET", "x/secret?stat=1", None),
    ("GET", "x/folder", None),
    ("PUT", "x/new", b"in"),
    ("PUT", "x/secret", b"in"),
    ("PUT", "x/new/deep/file", b"in"),
    ("PUT", "x/new?folder=1", b""),
    ("POST", "x/secret?append=1", b"in"),
    ("POST", "x/new?append=1", b"in"),
    ("POST", "x/secret?move_to={at}/stolen", b""),
    ("POST", "own?move_to={at}/x/own", b""),
    ("POST", "own?move_to={at}/x/secret&overwrite=1", b""),
    ("DELETE", "x/secret", None),
    ("DELETE", "x/folder?recursive=1", None),
    ("DELETE", "x/folder/kept", None),
]


@pytest.mark.parametrize("kind", LINKS)
def test_links_that_lead_out(place: Place, kind: str) -> None:
    box, at = place.box, place.at
    links = LINKS[kind](place)
    box.cell(f"import os\nfor name, to in {links!r}.items():\n    os.symlink(to, '{at}/' + name)\n"
             f"open('{at}/own', 'w').write('own')")  # fmt: skip
    before = sorted([*links, "own"])
    for method, path, body in ATTEMPTS:
        answer = box.ask(method, f"{at}/{path.format(at=at)}", body)
        assert answer.status in (403, 404), (method, path, answer)
        assert SECRET not in answer.body
        place.unharmed()
    assert box.names(at) == before
    assert problem(box.get(f"{at}/x/secret"))[0] in (403, 404)
    for name in links:  # a link in the last place is itself meant
        assert box.get(f"{at}/{name}?stat=1").json()["kind"] == "symlink"
    assert box.put(f"{at}/x", b"replaced").status == 204
    assert box.get(f"{at}/x").body == b"replaced"


@pytest.mark.parametrize(
    "path",
    ["../secret", "..", ".", "a/../../b", "a/./b", "%2e%2e/secret", "a%2f..%2f..%2fb",
     "..%2fsecret", "%2e", "x/%2e%2e"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
def test_dots(box: Box, method: str, path: str) -> None:
    answer = box.gateway.request(method, f"{box.url}/{path}")
    assert problem(answer)[0] == 400
    answer = box.gateway.request("POST", f"{box.url}/a?move_to={path}")
    assert problem(answer)[0] == 400


def test_a_slash_is_a_slash(box: Box) -> None:
    """An encoded one, too, and many: no name holds one, no path begins at the root."""
    box.put("s/file", b"x")
    for path in ("s%2Ffile", "/s/file", "//s//file/", "%2Fs%2F%2Ffile"):
        assert box.gateway.get(f"{box.url}/{path}").body == b"x"
    assert box.gateway.get(f"{box.url}//etc/passwd").status == 404


INSIDE = {
    "relative": {"x": "real"},
    "absolute": {"x": "/workspace/{at}/real"},
    "chain": {"a": "/workspace/{at}/b", "b": "real", "x": "a"},
    "up-and-down": {"x": "../{at}/real"},
    "workspace": {"w": "/workspace", "x": "w/{at}/real"},
    "workspace-slashes": {"w": "/workspace//", "x": "w/{at}/real/."},
    "absolute-then-up": {"x": "/workspace/{at}/real/../real"},
}


@pytest.mark.parametrize("kind", INSIDE)
def test_links_that_stay_inside(place: Place, kind: str) -> None:
    box, at = place.box, place.at
    links = {name: to.format(at=at) for name, to in INSIDE[kind].items()}
    box.cell(f"import os; os.mkdir('{at}/real'); open('{at}/real/f', 'w').write('x')\n"
             f"for name, to in {links!r}.items():\n    os.symlink(to, '{at}/' + name)")  # fmt: skip
    assert box.get(f"{at}/x/f").body == b"x"
    assert box.names(f"{at}/x") == ["f"]
    assert box.put(f"{at}/x/new/g", b"y").status == 201
    assert box.get(f"{at}/real/new/g").body == b"y"
    assert box.ask("POST", f"{at}/x/f?append=1", b"z").status == 204
    assert box.ask("POST", f"{at}/x/f?move_to={at}/x/new/h").status == 201
    assert box.ask("DELETE", f"{at}/x/new/h").status == 204
    box.cell(f"import os; os.symlink('/workspace/{at}/real/new/g', '{at}/file')")
    assert box.get(f"{at}/file").body == b"y"


@pytest.mark.parametrize(
    "links",
    [{"x": "x"}, {"x": "y", "y": "x"}, {"x": "/workspace/{at}/x"},
     {"x": "/workspace/{at}/y/a", "y": "/workspace/{at}/x/b"},
     {f"l{n}": f"/workspace/{{at}}/l{n + 1}" for n in range(60)} | {"x": "l0"}],
    ids=["itself", "two", "absolute", "absolute-two", "many"],
)  # fmt: skip
def test_links_without_an_end(place: Place, links: dict[str, str]) -> None:
    box, at = place.box, place.at
    links = {name: to.format(at=at) for name, to in links.items()}
    box.cell(f"import os\nfor name, to in {links!r}.items():\n    os.symlink(to, '{at}/' + name)")
    for path in ("x", "x/file"):
        assert problem(box.get(f"{at}/{path}"))[0] in (403, 404)
    assert problem(box.put(f"{at}/x/file", b"x"))[0] in (403, 404, 409)


def test_hard_links_are_files(place: Place) -> None:
    box, at = place.box, place.at
    box.cell(f"import os; open('{at}/a', 'w').write('1'); os.link('{at}/a', '{at}/b')")
    assert box.put(f"{at}/b", b"2").status == 204
    assert box.get(f"{at}/a").body == b"1"


SWAP = """
import subprocess, sys
swapper = subprocess.Popen([sys.executable, "-c", '''
import ctypes, os
os.chdir({at!r})
libc = ctypes.CDLL(None)
while True:
    for one, other in ((b"d", b"link"), (b"d/in", b"link2")):
        libc.renameat2(-100, one, -100, other, 2)  # RENAME_EXCHANGE
        libc.renameat2(-100, one, -100, other, 2)
'''])
"""


def test_folders_that_are_swapped_with_links(place: Place) -> None:
    """As long as it takes until each request went well once and was refused once."""
    box, at = place.box, place.at
    box.cell(
        f"import os; os.makedirs('{at}/d/in'); open('{at}/d/in/secret', 'w').write('own');"
        f"os.symlink({str(place.outside)!r}, '{at}/link');"
        f"os.symlink({'../' * 60 + str(place.outside)[1:]!r}, '{at}/link2')"
    )
    box.cell(SWAP.format(at=at))
    attempts: list[tuple[str, str, bytes | None]] = [
        ("GET", f"{at}/d/in/secret", None),
        ("GET", f"{at}/d/secret", None),
        ("GET", f"{at}/d", None),
        ("PUT", f"{at}/d/in/mine", b"mine"),
        ("PUT", f"{at}/d/new/deep", b"mine"),
        ("POST", f"{at}/d/in/secret?append=1", b"+"),
        ("DELETE", f"{at}/d/in/mine", None),
        ("DELETE", f"{at}/d/folder?recursive=1", None),
    ]
    seen: dict[int, set[int]] = {n: set() for n in range(len(attempts))}
    for number in itertools.count():
        if number >= 300 and number % 50 == 0 and ({200, 403} <= seen[0] and {204, 403} <= seen[5]):
            break
        assert number < ROUNDS_MOST, f"no race: {seen}"
        for n, (method, path, body) in enumerate(attempts):
            answer = box.ask(method, path, body)
            assert answer.status in (200, 201, 204, 403, 404, 409, 503), answer
            assert SECRET not in answer.body
            assert b'"kept"' not in answer.body
            seen[n].add(answer.status)
        place.unharmed()
    box.cell("swapper.kill(); swapper.wait()")
