"""The user's IPython configuration: config files, extensions and startup files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from IPython.paths import get_ipython_dir
from traitlets.config import Config

if TYPE_CHECKING:
    from warmcell_kernel.shell import ZMQInteractiveShell

CONFIG_FILES = ("ipython_config.py", "ipython_kernel_config.py")


def _profile_folder() -> Path:
    return Path(get_ipython_dir()) / "profile_default"


def config_paths(ipython_dir: str) -> list[str]:
    """Where the configuration of kernels may be."""
    return [f"{ipython_dir}/profile_default/{name}" for name in CONFIG_FILES]


def load_config() -> tuple[Config, list[str]]:
    """The default profile's files for kernels; one that fails is passed over, with a sentence."""
    config, complaints = Config(), []
    folder = _profile_folder()
    for name in CONFIG_FILES:
        if not (folder / name).is_file():
            continue
        from traitlets.config.loader import PyFileConfigLoader

        try:
            config.merge(PyFileConfigLoader(name, path=str(folder)).load_config())
        except Exception as error:
            complaints.append(f"{folder / name}: {type(error).__name__}: {error}")
    return config, complaints


def _wanted(shell: ZMQInteractiveShell) -> bool:
    try:
        files = [entry.name for entry in os.scandir(f"{shell.profile_dir.location}/startup")]
    except OSError:
        files = []
    return (
        "InteractiveShellApp" in shell.config
        or "PYTHONSTARTUP" in os.environ
        or any(name.endswith((".py", ".ipy")) for name in files)
    )


def run_user_code(shell: ZMQInteractiveShell) -> bool:
    """Loads extensions and runs exec_lines, PYTHONSTARTUP and the profile's startup files; whether
    there are any."""
    if not _wanted(shell):
        return False
    import traceback

    from IPython.core.shellapp import InteractiveShellApp

    class App(InteractiveShellApp):
        # what the mixin expects of an Application
        log = shell.log
        ipython_dir = shell.ipython_dir
        extra_args: ClassVar[list[str]] = []

        def initialize(self) -> None:
            self.shell = shell
            self.profile_dir = shell.profile_dir
            self.user_ns = shell.user_ns
            self.init_path = lambda: None
            self.init_gui_pylab()
            self.init_extensions()
            self.init_code()

    try:
        App(config=shell.config).initialize()
    except Exception:  # the user's configuration must not keep the kernel from starting
        traceback.print_exc()
    return True
