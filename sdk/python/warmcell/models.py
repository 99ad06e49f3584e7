"""What the gateway says of things, as dataclasses. Each keeps all that was said in `raw`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

T = TypeVar("T")


def read(kind: type[T], data: Mapping[str, Any], **more: Any) -> T:
    """A dataclass of the members of data that it names; more goes over them."""
    names = {one.name for one in fields(kind)}  # type: ignore[arg-type]
    members = {name: data[name] for name in names if data.get(name) is not None}
    return kind(**{**members, "raw": data, **more})


@dataclass(frozen=True)
class ContextInfo:
    id: str
    name: str
    state: str = "starting"
    language: str = "python"
    reason: str | None = None
    cause: str | None = None
    created: str = ""
    forked_from: str | None = None
    snapshot: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class LanguageInfo:
    """kind: `kernel` (contexts may be of it), or `toolchain` (commands compile and run it); reason:
    why it is not available, with the package to install."""

    name: str
    kind: str
    title: str = ""
    available: bool = False
    reason: str | None = None
    program: str | None = None
    package: str | None = None
    mime_type: str = ""
    file_extension: str = ""
    keeps_variables: bool = False
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class SandboxInfo:
    """limits: {name: {"value", "enforced_by"}}; usage: of cpu_s, memory_bytes …; what cannot be
    known is None."""

    id: str
    state: str
    name: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    owner: str = ""
    reason: str | None = None
    cause: str | None = None
    created: str = ""
    network: Any = None
    policy: str = "required"
    template: Mapping[str, str] | None = None
    language: str = "python"
    limits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    confinement: Mapping[str, Any] = field(default_factory=dict)
    usage: Mapping[str, Any] = field(default_factory=dict)
    snapshot: str | None = None
    contexts: tuple[ContextInfo, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> SandboxInfo:
        contexts = tuple(read(ContextInfo, one) for one in data.get("contexts", ()))
        return read(cls, data, contexts=contexts)


@dataclass(frozen=True)
class FileEntry:
    """kind: file, folder, symlink or other."""

    name: str
    path: str
    kind: str
    url: str = ""
    size_bytes: int | None = None
    modified: str | None = None
    mode: str | None = None
    etag: str | None = None
    target: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class ArtifactInfo:
    """kind: display or file. sha256 and content_url are None where `problem` says why the bytes
    were not kept."""

    id: str
    kind: str
    mime_type: str
    size_bytes: int = 0
    sha256: str | None = None
    path: str | None = None
    width: int | None = None
    height: int | None = None
    sandbox_id: str | None = None
    kernel_id: str | None = None
    execution_id: str | None = None
    command_id: str | None = None
    created: str = ""
    content_url: str | None = None
    problem: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class FileChange:
    """what: added, changed or deleted; before and after: {"sha256", "size_bytes"} or None."""

    path: str
    what: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    artifact_id: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Package:
    """location: sandbox or environment."""

    name: str
    version: str
    location: str = "environment"
    modules: tuple[str, ...] = ()
    preloaded: bool = False
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Installation:
    """What an installation changed; contexts: what became of each (restarted, reason, modules)."""

    installed: tuple[Mapping[str, Any], ...] = ()
    already: tuple[Mapping[str, Any], ...] = ()
    restarted: bool = False
    reason: str | None = None
    contexts: tuple[Mapping[str, Any], ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Resumption:
    """What of the variables came back, for each context."""

    snapshot: str | None = None
    contexts: tuple[Mapping[str, Any], ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Forking:
    """How a copy came to be; contexts: what of the variables it has; workspace: what of the files.
    None where the answer was to a repeated request, and only the copy is known."""

    snapshot: str | None = None
    contexts: tuple[Mapping[str, Any], ...] | None = None
    workspace: Mapping[str, Any] | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Metrics:
    """Of one sandbox since `since`; see docs/gateway.md, "Numbers"."""

    sandbox_id: str
    since: str = ""
    measured: str = ""
    usage: Mapping[str, Any] = field(default_factory=dict)
    executions: Mapping[str, Any] = field(default_factory=dict)
    commands: Mapping[str, Any] = field(default_factory=dict)
    code_cache: Mapping[str, Any] | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Template:
    """env: the names that it sets, whose values are never told; files: path, bytes and mode of
    each; preload and pool: None where it has none of its own; sandboxes: how many that are there
    were made from it."""

    id: str
    name: str
    owner: str = ""
    shared: bool = False
    description: str | None = None
    created: str = ""
    changed: str = ""
    language: str = "python"
    preload: Sequence[str] | None = None
    network: Any = None
    env: Sequence[str] = ()
    limits: Mapping[str, Any] = field(default_factory=dict)
    files: Sequence[Mapping[str, Any]] = ()
    packages: Sequence[str] = ()
    pool: Mapping[str, int] | None = None
    sandboxes: int = 0
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Token:
    """token: the secret, which only who minted it is told, once; minted_by: the token that it was
    minted with, and is revoked with; quotas: of what is made with it, by name, None where there is
    none."""

    id: str
    principal: str
    role: str
    name: str = ""
    scopes: tuple[str, ...] = ()
    quotas: Mapping[str, int | None] | None = None
    created: str = ""
    expires: str | None = None
    minted_by: str | None = None
    token: str | None = field(default=None, repr=False)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Port:
    """A server that listens in a sandbox. url: the gateway's path to it; origin: where a browser
    finds it."""

    port: int
    address: str = ""
    url: str = ""
    origin: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class PortLink:
    """link: lets one browser in, once, within expires_s seconds."""

    port: int
    url: str = ""
    origin: str | None = None
    link: str | None = field(default=None, repr=False)
    expires_s: int = 0
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Endpoint:
    """What any HTTP client needs: the URL, the headers that say who is calling, and, of a gateway
    at a Unix socket, that socket's path."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    socket: str | None = None


@dataclass(frozen=True)
class ServerInfo:
    """Of a gateway: its version, when it was started and last used, and how many connections and
    kernels it has."""

    version: str
    started: str = ""
    last_activity: str = ""
    connections: int = 0
    kernels: int = 0
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Progress:
    """Of a transfer: bytes so far, and of how many, if that is known."""

    done_bytes: int
    total_bytes: int | None
