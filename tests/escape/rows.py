"""The table of attempts: what each is given, inside and outside, and who makes its control."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from escape.place import Outside, handle_of

Arguments = Callable[[Outside], dict[str, Any]]


@dataclass(frozen=True)
class Row:
    name: str  # of the attempt
    argument: Arguments
    label: str = ""
    control: str = "user"  # "root", "namespaces", "other": see Outside.control
    outside: dict[str, Any] = field(default_factory=dict)  # what the control is given besides
    outside_of: Arguments | None = None
    # a part of the kernel that not every machine has: then the control says so instead of reaching
    # it
    optional: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return f"{self.name}-{self.label}" if self.label else self.name


def nothing(place: Outside) -> dict[str, Any]:
    return {}


def secret(place: Outside) -> dict[str, Any]:
    return {"file": str(place.secret), "marker": place.marker}


def other_secret(place: Outside) -> dict[str, Any]:
    return {"file": str(place.other / "secret"), "marker": place.marker}


def victim(place: Outside) -> dict[str, Any]:
    return place.found | {"marker": place.marker, "host": "127.0.0.1"}


def only_victim(place: Outside) -> dict[str, Any]:
    """Which of the processes that it sees a control looks at: what else runs here is others'."""
    return {"processes": [str(place.found["pid"])]}


def port(name: str, host: str = "127.0.0.1") -> Arguments:
    return lambda p: {"host": host, "port": p.found[name], "marker": p.marker}


def path(name: str) -> Arguments:
    return lambda p: {"path": p.found[name], "marker": p.marker}


def just(**values: Any) -> Arguments:
    return lambda _: dict(values)


def beside_database(place: Outside) -> dict[str, Any]:
    return {"file": str(place.state.parent / "warmcell.db"), "marker": place.marker}


def handle(place: Outside) -> dict[str, Any]:
    return handle_of(place.secret) | {"marker": place.marker, "beside": "/usr"}


def place_folder(place: Outside) -> dict[str, Any]:
    return {"folder": str(place.outside), "beside": str(place.outside)}


FILES = [
    Row("read_path", secret),
    Row("read_path", other_secret, "of-another-sandbox"),
    Row("read_upwards", secret),
    Row("read_upwards", other_secret, "to-another-sandbox"),
    Row("read_symlink", secret),
    Row("read_symlink", other_secret, "to-another-sandbox"),
    Row("read_symlink_of_folder", secret),
    Row("read_hard_link", secret, outside_of=place_folder),
    Row("read_through_proc_root", secret, outside_of=only_victim),
    Row("read_through_proc_cwd", secret, outside_of=only_victim),
    Row("read_through_proc_fd", secret, outside_of=only_victim),
    Row("read_through_map_files", secret, control="root", outside_of=only_victim),
    Row("read_environ", secret, outside_of=only_victim),
    Row("read_mountinfo_sources", other_secret),
    Row("read_inherited_descriptor", secret),
    Row("walk_from_inherited_folder", secret),
    Row("name_to_handle", nothing),
    Row("open_by_handle", handle, control="root", outside_of=place_folder),
    Row("read_database", beside_database),
    Row("list_folder", lambda p: {"folder": str(p.folder), "name": "secret"}, "of-temporary-files"),
    Row("list_folder", lambda p: {"folder": str(p.state), "name": "second"}, "of-sandboxes"),
    Row("exists", just(path="/sys/kernel"), "sysfs"),
    Row("exists", lambda p: {"path": str(p.state)}, "state"),
    Row("create_files", just(folders=[], everywhere=True),
        outside_of=lambda p: {"folders": [str(p.outside)], "everywhere": False}),
    Row("open_for_writing", just(path="/proc/sys/kernel/core_pattern"), "core-pattern", "root"),
    Row("open_for_writing", just(path="/proc/sys/vm/drop_caches"), "sysctl", "root"),
    Row("open_for_writing", just(path="/proc/sysrq-trigger"), "sysrq", "root",
        optional=("No such file",)),
    Row("write_read_only", lambda p: {"path": str(p.tools / "mine")}, outside={"control": True}),
    Row("make_device", just(folder="/workspace"), control="root", outside_of=place_folder),
    Row("make_block_device", just(folder="/workspace"), control="root", outside_of=place_folder),
    Row("find_devices", just(folder="/dev"), control="root", outside_of=place_folder),
    Row("read_bytes", just(path="/proc/timer_list"), "timers", "root"),
    Row("read_bytes", just(path="/proc/kallsyms"), "symbols"),
    Row("read_bytes", just(path="/proc/cmdline"), "boot-line"),
    Row("read_bytes", just(path="/dev/kmsg"), "log", "root"),
    Row("same_text", just(path="hostname", text=os.uname().nodename), "hostname"),
    Row("same_text", just(path="/etc/passwd", text=Path("/etc/passwd").read_text()),
        "users"),
    Row("gain_by_setuid", lambda p: {"program": str(p.tools / "id-as-root")}, control="other"),
]  # fmt: skip

PROCESSES = [
    Row("see_process", victim, outside_of=only_victim),
    Row("signal_process", victim),
    Row("signal_by_thread", victim),
    Row("signal_group", victim),
    Row("open_pidfd", victim),
    Row("change_limits", victim),
    Row("change_affinity", victim),
    Row("change_priority", victim),
    Row("change_oom_score", victim),
    Row("trace_process", victim),
    Row("trace_child", nothing),
    Row("read_memory", victim),
    Row("read_memory_file", victim, outside_of=only_victim),
    Row("write_init_memory", just(init=1), outside_of=lambda p: {"init": p.found["pid"]}),
    Row("kill_init", just(init=1), outside={"init": 0}),
    Row("compare_processes", nothing, optional=("ENOSYS",)),
    Row("take_descriptor", nothing),
    Row("join_namespaces", nothing, control="root"),
    Row("dump_core", just(folder="/workspace"), control="root", outside_of=place_folder),
]

KERNEL = [
    *[Row(name, just(folder="/mnt"), control="namespaces",
          outside_of=lambda p: {"folder": str(p.outside / "mnt")})
      for name in ("mount_tmpfs", "mount_proc", "mount_bind", "unmount", "chroot")],
    Row("remount_writable", just(mount="/usr"), control="namespaces",
        outside_of=lambda p: {"mount": str(p.outside / "mnt"), "make": True}),
    *[Row(name, nothing, control="namespaces")
      for name in ("mount_by_descriptor", "copy_mount", "move_mount", "change_mount",
                   "pivot_root", "set_hostname")],
    *[Row("unshare", just(what=what), what, "namespaces")
      for what in ("mount", "uts", "ipc", "net", "pid", "cgroup", "time")],
    Row("unshare", just(what="user"), "user"),
    Row("clone_user", nothing),
    Row("clone3_user", nothing),
    Row("bpf_map", nothing, control="root", optional=("ENOSYS",)),
    Row("perf_event", nothing, control="root", optional=("ENOSYS",)),
    Row("io_uring", nothing, control="root", optional=("ENOSYS", "EPERM")),
    Row("userfaultfd", nothing, control="root", optional=("ENOSYS",)),
    *[Row(name, nothing, optional=("ENOSYS",))
      for name in ("add_key", "request_key", "read_keyring")],
    *[Row(name, nothing, control="root", optional=("ENOSYS",))
      for name in ("kexec_load", "kexec_file", "load_module", "load_module_file", "remove_module",
                   "account", "swap_on", "quota", "watch_host_files")],
    *[Row(name, nothing, control="root")
      for name in ("read_log", "reboot", "set_time", "gain_capability", "become_root",
                   "change_groups", "push_into_terminal")],
    Row("fix_addresses", nothing),
    Row("foreign_call", just(door="i386"), "i386", optional=("status 11", "status 139")),
    Row("old_message_queue", lambda p: {"name": p.found["queue"]}, optional=("ENOSYS",)),
    Row("old_shared_memory", lambda p: {"key": p.found["key"]}, optional=("ENOSYS",)),
    Row("lift_filter", nothing),
]  # fmt: skip

NETWORK = [
    Row("connect_tcp", port("tcp")),
    Row("connect_tcp6", port("tcp6", "::1")),
    Row("connect_unix", path("unix")),
    Row("connect_unix_everywhere", path("unix"), outside_of=lambda p: {"under": str(p.folder)}),
    Row("connect_abstract", lambda p: {"name": p.found["abstract"], "marker": p.marker}),
    Row("send_unix_datagram", path("unix_datagram")),
    Row("greet_zeromq", port("zmq"), "tcp"),
    Row("greet_zeromq", path("zmq_ipc"), "ipc"),
    Row("ask_udp", port("udp")),
    Row("look_up", port("names")),
    Row("see_connections", port("tcp")),
    Row("see_unix_sockets", lambda p: {"name": p.found["abstract"]}),
    Row("make_socket", just(kind="raw"), "raw", "root"),
    Row("make_socket", just(kind="raw6"), "raw6", "root", optional=("not supported",)),
    Row("make_socket", just(kind="packet"), "packet", "root", optional=("not supported",)),
    Row("make_socket", just(kind="uevent"), "uevent"),
    Row("make_socket", just(kind="alg"), "alg", optional=("not supported",)),
    Row("make_socket", just(kind="vsock"), "vsock", optional=("not supported",)),
    Row("add_address", nothing, control="namespaces"),
]

ROWS = [*FILES, *PROCESSES, *KERNEL, *NETWORK]


def prove_outside(place: Outside, row: Row) -> None:
    """The control: the same code gets there outside."""
    if os.geteuid() != 0 and row.control in ("root", "other"):
        pytest.skip("the control of this attempt needs root")
    argument = row.argument(place) | row.outside
    if row.outside_of:
        argument |= row.outside_of(place)
    answer = place.control(row.control, row.name, argument)
    lacks = any(word in answer.why for word in row.optional)
    assert answer.reached or lacks, f"the attempt does not work outside either: {answer.why}"
