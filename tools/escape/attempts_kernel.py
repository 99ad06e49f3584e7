"""Attempts at the kernel: mounts, namespaces, modules, tracing, keys, time, and what is made of
privilege.

Where the control needs a right that nobody should use, the argument is one that the kernel refuses
*behind* its check of rights: EINVAL or ENOENT then says that the call got past the fence.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import signal
import struct
import termios
from pathlib import Path
from typing import Any

from escape.attempts import Result, attempt
from escape.calls import call, passes, said

NEW = {
    "time": 0x80,
    "mount": 0x20000,
    "cgroup": 0x2000000,
    "uts": 0x4000000,
    "ipc": 0x8000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "net": 0x40000000,
}
MS_RDONLY, MS_REMOUNT, MS_BIND = 1, 32, 4096
MNT_DETACH = 2
AT_FDCWD, AT_EMPTY_PATH = -100, 0x1000
ADDR_NO_RANDOMIZE = 0x0040000


def in_child(work: Any) -> Result:
    """What changes the caller is done by a child: its exit status is what it reached."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if work() else 1
        finally:
            os._exit(status)
    status = os.waitpid(child, 0)[1]
    return status == 0, f"status {status}"


@attempt
def mount_tmpfs(a: dict[str, Any]) -> Result:
    folder = a["folder"].encode()
    result, number = call("mount", b"tmpfs", folder, b"tmpfs", 0, 0)
    if result == 0:
        call("umount2", folder, MNT_DETACH)
    return result == 0, said(result, number)


@attempt
def mount_proc(a: dict[str, Any]) -> Result:
    folder = a["folder"].encode()
    result, number = call("mount", b"proc", folder, b"proc", 0, 0)
    if result == 0:
        call("umount2", folder, MNT_DETACH)
    return result == 0, said(result, number)


@attempt
def mount_bind(a: dict[str, Any]) -> Result:
    folder = a["folder"].encode()
    result, number = call("mount", b"/usr", folder, 0, MS_BIND, 0)
    if result == 0:
        call("umount2", folder, MNT_DETACH)
    return result == 0, said(result, number)


@attempt
def remount_writable(a: dict[str, Any]) -> Result:
    """A mount of the sandbox's, without its read-only flag; outside: one that the control makes
    first.
    """
    if a.get("make"):
        call("mount", b"tmpfs", a["mount"].encode(), b"tmpfs", 0, 0)
    return passes("mount", 0, a["mount"].encode(), 0, MS_REMOUNT | MS_BIND, 0)


@attempt
def unmount(a: dict[str, Any]) -> Result:
    """A folder that is no mount: EINVAL, behind the check."""
    return passes("umount2", a["folder"].encode(), MNT_DETACH)


@attempt
def mount_by_descriptor(a: dict[str, Any]) -> Result:
    return passes("fsopen", b"tmpfs", 0)


@attempt
def copy_mount(a: dict[str, Any]) -> Result:
    return passes("open_tree", AT_FDCWD, b"/", 1)


@attempt
def move_mount(a: dict[str, Any]) -> Result:
    return passes("move_mount", AT_FDCWD, b"/absent", AT_FDCWD, b"/absent", 0)


@attempt
def change_mount(a: dict[str, Any]) -> Result:
    return passes("mount_setattr", AT_FDCWD, b"/absent", 0, struct.pack("QQQQ", 0, 1, 0, 0), 32)


@attempt
def pivot_root(a: dict[str, Any]) -> Result:
    return passes("pivot_root", b"/absent", b"/absent")


@attempt
def chroot(a: dict[str, Any]) -> Result:
    return in_child(lambda: call("chroot", a["folder"].encode())[0] == 0)


@attempt
def unshare(a: dict[str, Any]) -> Result:
    return in_child(lambda: call("unshare", NEW[a["what"]])[0] == 0)


@attempt
def clone_user(a: dict[str, Any]) -> Result:
    child, number = call("clone", NEW["user"] | signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    if child > 0:
        os.waitpid(child, 0)
    return child > 0, said(child, number)


@attempt
def clone3_user(a: dict[str, Any]) -> Result:
    request = struct.pack("8Q", NEW["user"], 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
    child, number = call("clone3", request, len(request))
    if child == 0:
        os._exit(0)
    if child > 0:
        os.waitpid(child, 0)
    return child > 0, said(child, number)


@attempt
def bpf_map(a: dict[str, Any]) -> Result:
    request = struct.pack("IIIII", 2, 4, 4, 1, 0) + bytes(100)
    return passes("bpf", 0, request, len(request))


@attempt
def perf_event(a: dict[str, Any]) -> Result:
    """A clock in software, of this process, without the kernel's side."""
    request = struct.pack("IIQQQQQ", 1, 112, 0, 0, 0, 0, 1 << 5 | 1 << 6) + bytes(64)
    return passes("perf_event_open", request, 0, -1, -1, 0)


@attempt
def io_uring(a: dict[str, Any]) -> Result:
    return passes("io_uring_setup", 1, ctypes.create_string_buffer(256))


@attempt
def userfaultfd(a: dict[str, Any]) -> Result:
    return passes("userfaultfd", 0)


@attempt
def add_key(a: dict[str, Any]) -> Result:
    return passes("add_key", b"user", b"escape-test", b"x", 1, -2)


@attempt
def request_key(a: dict[str, Any]) -> Result:
    return passes("request_key", b"user", b"escape-test-absent", 0, 0)


@attempt
def read_keyring(a: dict[str, Any]) -> Result:
    """KEYCTL_GET_KEYRING_ID of the session's keyring, which may be the host's."""
    return passes("keyctl", 0, -3, 0, 0, 0)


@attempt
def kexec_load(a: dict[str, Any]) -> Result:
    return passes("kexec_load", 0, 1 << 20, 0, 0)


@attempt
def kexec_file(a: dict[str, Any]) -> Result:
    return passes("kexec_file_load", -1, -1, 0, b"", 1 << 30)


@attempt
def load_module(a: dict[str, Any]) -> Result:
    return passes("init_module", b"not a module", 12, b"")


@attempt
def load_module_file(a: dict[str, Any]) -> Result:
    return passes("finit_module", -1, b"", 0)


@attempt
def remove_module(a: dict[str, Any]) -> Result:
    return passes("delete_module", b"escape_test_absent", 0x800)


@attempt
def read_log(a: dict[str, Any]) -> Result:
    """SYSLOG_ACTION_SIZE_BUFFER."""
    return passes("syslog", 10, 0, 0)


@attempt
def reboot(a: dict[str, Any]) -> Result:
    """With words that are not the magic ones: refused in any case."""
    return passes("reboot", 0, 0, 0, 0)


@attempt
def set_time(a: dict[str, Any]) -> Result:
    """To nothing: no time and no zone are given."""
    return passes("settimeofday", 0, 0)


@attempt
def account(a: dict[str, Any]) -> Result:
    return passes("acct", b"/escape-test/absent")


@attempt
def swap_on(a: dict[str, Any]) -> Result:
    return passes("swapon", b"/escape-test/absent", 0)


@attempt
def quota(a: dict[str, Any]) -> Result:
    """Q_QUOTAOFF of a device that is none."""
    return passes("quotactl", 0x800003 << 8, b"/dev/null", 0, 0)


@attempt
def set_hostname(a: dict[str, Any]) -> Result:
    name = os.uname().nodename.encode()
    return passes("sethostname", name, len(name))


@attempt
def watch_host_files(a: dict[str, Any]) -> Result:
    return passes("fanotify_init", 0, 0)


@attempt
def fix_addresses(a: dict[str, Any]) -> Result:
    def work() -> bool:
        return call("personality", ADDR_NO_RANDOMIZE)[0] >= 0

    return in_child(work)


@attempt
def gain_capability(a: dict[str, Any]) -> Result:
    """CAP_CHOWN into the effective set."""
    head, sets = struct.pack("Ii", 0x20080522, 0), struct.pack("6I", 1, 1, 0, 0, 0, 0)
    return in_child(lambda: call("capset", head, sets)[0] == 0)


@attempt
def become_root(a: dict[str, Any]) -> Result:
    def work() -> bool:
        os.setresuid(0, 0, 0)
        return True

    return in_child(work)


@attempt
def change_groups(a: dict[str, Any]) -> Result:
    def work() -> bool:
        os.setgroups([1])
        return True

    return in_child(work)


@attempt
def push_into_terminal(a: dict[str, Any]) -> Result:
    """A byte into a terminal of one's own, which would then be read as typed."""

    def work() -> bool:
        os.setsid()
        leader, follower = os.openpty()
        fcntl.ioctl(follower, termios.TIOCSCTTY, 0)
        fcntl.ioctl(follower, termios.TIOCSTI, b"x")
        return leader >= 0

    return in_child(work)


def run_machine_code(code: bytes) -> int:
    """Runs a function made of these bytes; its result."""
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    return int(function())


@attempt
def foreign_call(a: dict[str, Any]) -> Result:
    """getpid by the door of 32-bit programs, which has numbers of its own."""
    codes = {"i386": "b814000000cd80c3", "x32": "b8270000400f05c3"}

    def work() -> bool:
        return run_machine_code(bytes.fromhex(codes[a["door"]])) not in (-1, -38)

    return in_child(work)


@attempt
def old_message_queue(a: dict[str, Any]) -> Result:
    """A POSIX message queue that the test made."""
    return passes_open("mq_open", a["name"].encode(), os.O_RDONLY, 0, 0)


@attempt
def old_shared_memory(a: dict[str, Any]) -> Result:
    """A System V segment that the test made."""
    return passes_open("shmget", a["key"], 0, 0)


def passes_open(name: str, *arguments: object) -> Result:
    result, number = call(name, *arguments)
    return result >= 0, said(result, number)


@attempt
def lift_filter(a: dict[str, Any]) -> Result:
    """Nothing is left of rights or of the way back to them: as the kernel states it."""
    status = dict(
        line.split(":\t", 1)
        for line in Path("/proc/self/status").read_text().splitlines()
        if ":\t" in line
    )
    wanted = {"NoNewPrivs": "1", "Seccomp": "2", "CapBnd": "0" * 16, "CapPrm": "0" * 16}
    wanted |= {"CapEff": "0" * 16, "CapInh": "0" * 16, "CapAmb": "0" * 16}
    lacking = [name for name, text in wanted.items() if status[name].strip() != text]
    return bool(lacking), ",".join(lacking)
