"""The client: sandboxes, runs, files, contexts and templates of a server that speaks this API."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass, replace
from types import TracebackType
from typing import Any, cast

from warmcell._core.http import segment
from warmcell.compat.sandbox_sdk.config import LEVELS, Config, read_config
from warmcell.compat.sandbox_sdk.exceptions import (
    ExecutionError,
    RateLimitError,
    SandboxError,
    SandboxSDKError,
    TimeoutError,  # noqa: A004 - the API's own name
)
from warmcell.compat.sandbox_sdk.monitoring import MetricsCollector, RateLimiter
from warmcell.compat.sandbox_sdk.results import OutputMessage
from warmcell.compat.sandbox_sdk.running import Running
from warmcell.compat.sandbox_sdk.transport import Transport
from warmcell.compat.sandbox_sdk.types import (
    BatchExecutionJob,
    CreateSandboxOptions,
    RunCodeOptions,
    SandboxStatus,
    TemplateConfig,
)

__all__ = ["SandboxSDK"]

Json = dict[str, Any]
GRACE_MS = 30_000  # for the answer of a server that ends a run at its deadline
LOG_LEVELS: dict[str, int] = dict(
    zip(LEVELS, (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR))
)


def _plain(options: Any) -> Json:
    """A dictionary, or a data class, without what it leaves open."""
    given = asdict(options) if is_dataclass(options) else dict(options or {})  # type: ignore[arg-type]
    return {name: value for name, value in given.items() if value is not None}


def _run_options(options: Any) -> RunCodeOptions:
    if isinstance(options, RunCodeOptions):
        return options
    unknown = set(options or {}) - set(RunCodeOptions.__dataclass_fields__)
    if unknown:
        raise SandboxSDKError(f"there is no option {min(unknown)!r}")
    return RunCodeOptions(**(options or {}))


class SandboxSDK:
    """A client of one server, to be disconnected (or used with `with`). Any thread may use it.

    config: a dictionary or a SandboxSDKConfig; what it leaves open is taken from the environment
    (SANDBOX_API_KEY, SANDBOX_SERVER_URL, SANDBOX_TIMEOUT, SANDBOX_LOG_LEVEL). Sandboxes outlive the
    client: another one finds them by their ids."""

    def __init__(self, config: Config | None = None) -> None:
        self.config = read_config(config)
        self.logger = logging.getLogger("SandboxSDK")
        if self.config["enable_logging"]:
            self.logger.setLevel(logging.DEBUG)  # which of them is for each client to say
            if not self.logger.hasHandlers():
                self.logger.addHandler(logging.StreamHandler())
        self.metrics_collector = MetricsCollector()
        self.rate_limiter = RateLimiter(self.config["max_requests_per_minute"])
        self.active_sandboxes: dict[str, Json] = {}
        self._ended: set[str] = set()
        self._contexts: dict[str, str] = {}  # of a context, its sandbox
        self._transport = Transport(self.config, self.metrics_collector, self._log)
        self._closing = threading.Event()
        if self.config["enable_metrics"]:
            threading.Thread(target=self._collect, name="SandboxSDK", daemon=True).start()

    # --- sandboxes

    def create_sandbox(self, options: Mapping[str, Any] | CreateSandboxOptions) -> Json:
        """Makes a sandbox: `{"sandbox": {"id", "status", …}, "credentials": {…}}`."""
        given = _plain(options)
        if not given.get("template_id") and not given.get("templateId"):
            raise SandboxSDKError("template_id is required")
        made = self._ask("POST", "/api/sandboxes/create", data=given, once=True)
        sandbox = made["sandbox"]
        self._keep({**self.active_sandboxes, sandbox["id"]: sandbox})
        self._log("info", f"sandbox {sandbox['id']} created")
        return cast("Json", made)

    def delete_sandbox(self, sandbox_id: str) -> None:
        """Ends a sandbox and removes what is in it."""
        self._ask("DELETE", self._path(sandbox_id))
        self._ended.add(sandbox_id)
        self._contexts = {c: s for c, s in self._contexts.items() if s != sandbox_id}
        self._keep({s: known for s, known in self.active_sandboxes.items() if s != sandbox_id})
        self._log("info", f"sandbox {sandbox_id} deleted")

    def get_sandbox_status(self, sandbox_id: str) -> SandboxStatus:
        """How it is; `terminated`: this client knew it, and it has ended."""
        try:
            word = self._ask("GET", self._path(sandbox_id, "status"))["status"]
        except SandboxError as error:
            if error.status != 404 or sandbox_id not in {*self._ended, *self.active_sandboxes}:
                raise
            return SandboxStatus.TERMINATED
        if sandbox_id in self.active_sandboxes:
            self.active_sandboxes[sandbox_id]["status"] = word
        return SandboxStatus(word)

    def list_sandboxes(self) -> list[Json]:
        """All sandboxes of this user, also those that other clients made."""
        return cast("list[Json]", self._ask("GET", "/api/sandboxes")["sandboxes"])

    # --- runs

    def run_code(
        self,
        sandbox_id: str,
        code: str,
        opts: Mapping[str, Any] | RunCodeOptions | None = None,
    ) -> Json:
        """Runs code to its end: `{"execution": Execution, "metadata": ExecutionMetadata,
        "timestamp": milliseconds}`. Callbacks are told as it goes.

        What the code raises is told to on_error; without one it is raised as ExecutionError. After
        timeout_ms (or the timeout of the configuration) the server ends the run, which is a
        TimeoutError."""
        options = _run_options(opts)
        timeout_ms = int(options.timeout_ms or self.config["timeout"])
        running = Running(replace(options, timeout_ms=timeout_ms))
        data = {"code": code, "envVars": options.envs, "timeoutMs": timeout_ms,
                "language": options.language, "contextId": options.context_id}  # fmt: skip
        self._check_rate_limit()
        running.take(
            self._transport.lines(
                self._path(sandbox_id, "execute"),
                data={name: value for name, value in data.items() if value is not None},
                timeout_ms=options.request_timeout_ms or timeout_ms + GRACE_MS,
            )
        )
        metadata = running.metadata(sandbox_id)
        self.metrics_collector.record_execution(metadata.duration or 0.0)
        running.check()
        return {
            "execution": running.execution,
            "metadata": metadata,
            "timestamp": time.time_ns() // 1_000_000,
        }

    def run_terminal(
        self,
        sandbox_id: str,
        command: str,
        opts: Mapping[str, Any] | RunCodeOptions | None = None,
    ) -> str:
        """Runs a command of the shell to its end: what it wrote to stdout and stderr. on_stdout is
        told its lines then."""
        options = _run_options(opts)
        timeout_ms = options.timeout_ms or self.config["timeout"]
        data = {"command": command, "timeoutMs": timeout_ms, "envVars": options.envs}
        answer = self._ask(
            "POST",
            self._path(sandbox_id, "terminal"),
            data={name: value for name, value in data.items() if value is not None},
            once=True,
            timeout_ms=options.request_timeout_ms or timeout_ms + GRACE_MS,
        )
        output = str(answer["output"])
        if options.on_stdout:
            for line in output.splitlines():
                options.on_stdout(OutputMessage(line, time.time_ns() // 1000, False))
        if answer["status"] == "timeout":
            raise TimeoutError(f"Command timeout after {timeout_ms}ms")
        return output

    def execute_batch(
        self,
        sandbox_id: str,
        jobs: Iterable[Mapping[str, Any] | BatchExecutionJob],
        opts: Mapping[str, Any] | RunCodeOptions | None = None,
    ) -> list[Json]:
        """Runs jobs one after another, the highest priority first, in one context, so that each
        finds what those before it left. In the order of the jobs: `{"job_id", "success",
        "execution", "error", "duration"}`; one that fails stops no other."""
        todo = [_plain(job) for job in jobs]
        ranks = [-int(job.get("priority", 0)) for job in todo]
        shared = _plain(opts) if not isinstance(opts, RunCodeOptions) else {
            name: getattr(opts, name) for name in RunCodeOptions.__dataclass_fields__
        }  # fmt: skip
        done: dict[int, Json] = {}
        for at in sorted(range(len(todo)), key=lambda n: (ranks[n], n)):
            job = todo[at]
            own = {"timeout_ms": job.get("timeout"), "language": job.get("language")}
            options = {**shared, **{name: value for name, value in own.items() if value}}
            done[at] = self._run_job(sandbox_id, job, options)
        return [done[at] for at in range(len(todo))]

    def _run_job(self, sandbox_id: str, job: Json, options: Json) -> Json:
        begun = time.monotonic()
        found: Json = {"job_id": job["id"], "success": False, "execution": None, "error": None}
        try:
            ran = self.run_code(sandbox_id, job["code"], options)["execution"]
            found.update(execution=ran, success=ran.error is None)
            if ran.error:
                found["error"] = f"{ran.error.name}: {ran.error.value}"
        except ExecutionError as error:
            found.update(execution=error.execution, error=f"{error.name}: {error.value}")
        except TimeoutError as error:
            found.update(execution=error.execution, error=str(error))
        except SandboxSDKError as error:
            found["error"] = str(error)
        found["duration"] = (time.monotonic() - begun) * 1000
        return found

    # --- files

    def read_file(self, sandbox_id: str, path: str, encoding: str | None = None) -> str:
        """A text file of the workspace; with encoding "base64", any file in that form."""
        params = {"path": path, **({"encoding": encoding} if encoding else {})}
        return str(self._ask("GET", self._path(sandbox_id, "files"), params=params)["content"])

    def write_file(
        self, sandbox_id: str, path: str, content: str, create_parents: bool = True
    ) -> str:
        """Writes a file, whole or not at all; its path. create_parents: folders are made."""
        data = {"content": content, "createParents": create_parents}
        where = self._path(sandbox_id, "files")
        return str(self._ask("POST", where, params={"path": path}, data=data, once=True)["path"])

    def delete_file(self, sandbox_id: str, path: str) -> None:
        """Removes a file."""
        self._ask("DELETE", self._path(sandbox_id, "files"), params={"path": path})

    def list_files(self, sandbox_id: str, dir_path: str = ".") -> Json:
        """What is in a folder: `{"files": [{"path", "name", "is_directory", "size",
        "modified_at", …}], "directory"}`."""
        where = self._path(sandbox_id, "files", "list")
        return cast("Json", self._ask("GET", where, params={"path": dir_path}))

    # --- contexts

    def create_code_context(
        self,
        sandbox_id: str,
        language: str | None = None,
        cwd: str | None = None,
        request_timeout_ms: int | None = None,
    ) -> Json:
        """Makes a context, with variables of its own: its "id" is what run_code takes as
        `context_id`. Each of its runs begins in cwd."""
        data = {name: value for name, value in (("language", language), ("cwd", cwd)) if value}
        where = self._path(sandbox_id, "contexts")
        made = self._ask("POST", where, data=data, once=True, timeout_ms=request_timeout_ms)
        self._contexts[made["id"]] = sandbox_id
        return cast("Json", made)

    def list_code_contexts(self, sandbox_id: str) -> list[Json]:
        """Those that were made in a sandbox, by whichever client."""
        found = self._ask("GET", self._path(sandbox_id, "contexts"))["contexts"]
        self._contexts.update({one["id"]: sandbox_id for one in found})
        return cast("list[Json]", found)

    def delete_code_context(self, context_id: str) -> None:
        """Ends a context. One that is not there (any more) is no error."""
        sandbox_id = self._contexts.pop(context_id, None) or self._sandbox_of(context_id)
        if sandbox_id is None:
            return
        try:
            self._ask("DELETE", self._path(sandbox_id, "contexts", context_id))
        except SandboxError as error:
            if error.status != 404:
                raise

    def _sandbox_of(self, context_id: str) -> str | None:
        """It may be of another client; what is stopped has none that could be ended."""
        there = (s["id"] for s in self.list_sandboxes() if s["status"] != SandboxStatus.STOPPED)
        return next((s for s in there if self._has(s, context_id)), None)

    def _has(self, sandbox_id: str, context_id: str) -> bool:
        return any(one["id"] == context_id for one in self.list_code_contexts(sandbox_id))

    # --- templates

    def get_templates(self, page: int = 1, page_size: int = 10) -> Json:
        """A page of them: `{"templates": […], "total", "page", "pageSize"}`."""
        params = {"page": page, "pageSize": page_size}
        return cast("Json", self._ask("GET", "/api/templates", params=params))

    def get_template(self, template_id: str) -> Json:
        """One template."""
        return cast("Json", self._ask("GET", f"/api/templates/{segment(template_id)}"))

    def create_template(self, template: Mapping[str, Any] | TemplateConfig) -> Json:
        """Makes a template; its "id" is what create_sandbox takes."""
        return cast("Json", self._ask("POST", "/api/templates", data=_plain(template), once=True))

    # --- the client

    def get_metrics(self) -> Json:
        """What this client counted; times in milliseconds."""
        return self.metrics_collector.get_metrics()

    def disconnect(self) -> None:
        """Closes the connections. Sandboxes go on."""
        self._closing.set()
        self._transport.close()

    def __enter__(self) -> SandboxSDK:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.disconnect()

    def _keep(self, sandboxes: dict[str, Json]) -> None:
        self.active_sandboxes = sandboxes
        self.metrics_collector.update_active_sandboxes(len(sandboxes))

    def _collect(self) -> None:
        while not self._closing.wait(self.config["metrics_interval"] / 1000):
            self.metrics_collector.update_active_sandboxes(len(self.active_sandboxes))
            self._log("debug", f"[Metrics] {json.dumps(self.get_metrics())}")

    def _log(self, level: str, message: str) -> None:
        if self.config["enable_logging"] and LEVELS.index(level) >= LEVELS.index(
            self.config["log_level"]
        ):
            self.logger.log(LOG_LEVELS[level], message)

    def _check_rate_limit(self) -> None:
        retry_after = self.rate_limiter.take()
        if retry_after:
            raise RateLimitError(retry_after)

    def _path(self, sandbox_id: str, *parts: str) -> str:
        return "/".join(["/api/sandboxes", segment(sandbox_id), *map(segment, parts)])

    def _ask(self, method: str, path: str, timeout_ms: int | None = None, **more: Any) -> Any:
        self._check_rate_limit()
        most_ms = int(timeout_ms or self.config["timeout"])
        return self._transport.ask(method, path, timeout_ms=most_ms, **more)
