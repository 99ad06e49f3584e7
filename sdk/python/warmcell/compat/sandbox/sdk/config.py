"""How a sandbox is to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

__all__ = ["IsolationLevel", "SandboxConfig", "SandboxOptions"]


class IsolationLevel(str, Enum):
    """How far code is kept apart. All but WORKTREE mean the same here: processes, files, network
    and memory of their own, confined by the operating system; code never runs in the caller's
    process."""

    IN_PROCESS = "in_process"
    PROCESS_POOL = "process_pool"
    WORKTREE = "worktree"
    CONTAINER = "container"


@dataclass
class SandboxConfig:
    """memory: MB; cpus: cores; timeout: seconds that one run may take; image: one of
    `local-python`, `microsandbox/python` and `microsandbox/node`, or the name of a template of the
    gateway; working_directory: in the sandbox. memory_limit_mb goes before memory. mounts and the
    members of worktrees are for the originals' sake, and refused where they are set."""

    remote: bool = False
    server_url: str | None = None
    namespace: str = "default"
    name: str | None = None
    api_key: str | None = None
    memory: int = 512
    cpus: float = 1.0
    timeout: float = 180.0
    image: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    mounts: list[str] = field(default_factory=list)
    working_directory: str | None = None
    isolation_level: IsolationLevel = IsolationLevel.IN_PROCESS
    max_workers: int | None = None
    memory_limit_mb: int | None = None
    worktree_base_branch: str | None = None
    auto_merge_on_close: bool = False
    auto_delete_worktree: bool = True
    worktree_commit_message: str | None = None


class SandboxOptions:
    """Builds a SandboxConfig: `SandboxOptions.builder().name("x").memory(1024).build()`."""

    def __init__(self) -> None:
        self._config = SandboxConfig()

    @classmethod
    def builder(cls) -> SandboxOptions:
        """A new one, with every default."""
        return cls()

    def remote(self, remote: bool) -> SandboxOptions:
        """Whether it is a gateway elsewhere that has it."""
        self._config.remote = remote
        return self

    def server_url(self, url: str) -> SandboxOptions:
        """Where that gateway is."""
        self._config.server_url = url
        return self

    def namespace(self, namespace: str) -> SandboxOptions:
        """In which names are told apart."""
        self._config.namespace = namespace
        return self

    def name(self, name: str) -> SandboxOptions:
        """Set the sandbox's name."""
        self._config.name = name
        return self

    def api_key(self, key: str) -> SandboxOptions:
        """A token of that gateway."""
        self._config.api_key = key
        return self

    def memory(self, mb: int) -> SandboxOptions:
        """Set the memory limit in MB."""
        self._config.memory = mb
        return self

    def cpus(self, count: float) -> SandboxOptions:
        """Set the cores that it may use; 0.5 is half of one."""
        self._config.cpus = count
        return self

    def timeout(self, seconds: float) -> SandboxOptions:
        """Set the seconds that one run may take."""
        self._config.timeout = seconds
        return self

    def image(self, image: str) -> SandboxOptions:
        """Set what it is made from."""
        self._config.image = image
        return self

    def env(self, key: str, value: str) -> SandboxOptions:
        """Set one variable of its environment."""
        self._config.env[key] = value
        return self

    def envs(self, variables: Mapping[str, str]) -> SandboxOptions:
        """Set variables of its environment."""
        self._config.env.update(variables)
        return self

    def mount(self, host_path: str, container_path: str) -> SandboxOptions:
        """A folder of the host; start() refuses it, for nothing of the host is seen inside."""
        self._config.mounts.append(f"{host_path}:{container_path}")
        return self

    def working_directory(self, path: str) -> SandboxOptions:
        """Set the folder that code runs in, in the sandbox."""
        self._config.working_directory = path
        return self

    def isolation_level(self, level: IsolationLevel | str) -> SandboxOptions:
        """How far code is kept apart."""
        self._config.isolation_level = IsolationLevel(level)
        return self

    def max_workers(self, count: int) -> SandboxOptions:
        """Of no effect: every sandbox has processes of its own."""
        self._config.max_workers = count
        return self

    def memory_limit(self, mb: int) -> SandboxOptions:
        """As memory(), and goes before it."""
        self._config.memory_limit_mb = mb
        return self

    def worktree(
        self,
        base_branch: str | None = None,
        auto_merge: bool = False,
        auto_delete: bool = True,
        commit_message: str | None = None,
    ) -> SandboxOptions:
        """A work tree of git's; start() refuses it."""
        self._config.isolation_level = IsolationLevel.WORKTREE
        self._config.worktree_base_branch = base_branch
        self._config.auto_merge_on_close = auto_merge
        self._config.auto_delete_worktree = auto_delete
        self._config.worktree_commit_message = commit_message
        return self

    def build(self) -> SandboxConfig:
        """The configuration."""
        return self._config
