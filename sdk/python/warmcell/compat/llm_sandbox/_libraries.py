"""Libraries for the code of a session: what is there already is not installed again."""

from __future__ import annotations

import re
from collections.abc import Sequence

import warmcell
from warmcell.compat.llm_sandbox.exceptions import (
    CommandFailedError,
    LibraryInstallationNotSupportedError,
    SecurityError,
)
from warmcell.compat.llm_sandbox.language_handlers.base import AbstractLanguageHandler
from warmcell.compat.llm_sandbox.security import SecurityPolicy

__all__ = ["install", "refuse_restricted"]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _name_of(library: str) -> str:
    return _plain(re.split(r"[\s\[<>=!~;@]", library.strip(), maxsplit=1)[0])


def refuse_restricted(libraries: Sequence[str], policy: SecurityPolicy | None) -> None:
    """SecurityError: a library has the name of a module that the policy restricts."""
    restricted = {_plain(one.name) for one in policy.restricted_modules} if policy else set()
    for library in libraries:
        if _name_of(library) in restricted:
            raise SecurityError(f"Library {library} is restricted by the security policy")


def install(
    sandbox: warmcell.Sandbox,
    handler: AbstractLanguageHandler,
    libraries: Sequence[str],
    workdir: str,
    deadline: float | None,
) -> None:
    """LibraryInstallationNotSupportedError: there is nowhere to take them from; CommandFailedError:
    the installer's reason."""
    if not libraries:
        return
    if not handler.is_support_library_installation:
        raise LibraryInstallationNotSupportedError(handler.name)
    if handler.name == "python":
        _install_python(sandbox, libraries, deadline)
        return
    if sandbox.info.network in {None, "none"}:
        raise LibraryInstallationNotSupportedError(
            handler.name,
            "the sandbox has no network; runtime_configs={'network_mode': 'bridge'} opens it",
        )
    for library in libraries:
        line = handler.get_library_installation_command(library)
        ran = sandbox.commands.run(line, cwd=workdir, deadline=deadline)
        if not ran.ok:
            raise CommandFailedError(line, ran.exit_code or 1, ran.stderr or ran.stdout)


def _install_python(
    sandbox: warmcell.Sandbox, libraries: Sequence[str], deadline: float | None
) -> None:
    """By the gateway, outside of the sandbox: wheels alone. A name without a version that can be
    imported already needs no index."""
    there = {_plain(one.name) for one in sandbox.packages.list()}
    missing = [one for one in libraries if _plain(one.strip()) not in there]
    if not missing:
        return
    try:
        sandbox.packages.install(*missing, restart=False, deadline=deadline)
    except warmcell.ForbiddenError as error:
        raise LibraryInstallationNotSupportedError(
            "python", f"{', '.join(missing)}: {error.detail}"
        ) from error
    except warmcell.UnprocessableError as error:
        raise CommandFailedError(f"pip install {' '.join(missing)}", 1, error.detail) from error
