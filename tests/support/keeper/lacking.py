"""Runs a command on a machine that lacks something: ``python lacking.py WHAT COMMAND...``.

What is taken away is really away: namespaces by their sysctl, in a user namespace made for that;
system calls by a seccomp filter that answers ENOSYS, as an old kernel does; what a file system may
not have by one that answers as such a file system does; /proc by something mounted in it.
"""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
import sys
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
COLUMN = {"x86_64": 0, "aarch64": 1}[os.uname().machine]
CALLS = {"seccomp": (317, 277), "landlock": (444, 444), "mounts": (428, 428)}
# a call, which of its arguments, the flag in it that is not there, and the answer
FLAGS = {
    "nameless-files": ((257, 56), 2, 0o20000000, 95),  # openat, __O_TMPFILE, EOPNOTSUPP
    "rename-to-new": ((316, 276), 4, 1, 22),  # renameat2, RENAME_NOREPLACE, EINVAL
}
SYSCTLS = {"user": "user", "net": "net"}
NEW_USER, NEW_MOUNTS, MS_REC, MS_PRIVATE = 0x10000000, 0x20000, 16384, 1 << 18
NO_NEW_PRIVS, SET_SECCOMP = 38, 22
ENOSYS_RESULT, ALLOW = 0x50000 | 38, 0x7FFF0000


def check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), "cannot take it away")


def new_user_namespace() -> None:
    uid, gid = os.geteuid(), os.getegid()
    check(LIBC.unshare(NEW_USER | NEW_MOUNTS))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")


def without_namespaces(kind: str) -> None:
    new_user_namespace()
    Path(f"/proc/sys/user/max_{kind}_namespaces").write_text("0")


def without_call(number: int) -> None:
    """Four instructions: load the number; this one: ENOSYS; others: allowed."""
    code = struct.pack("HBBI", 0x20, 0, 0, 0) + struct.pack("HBBI", 0x15, 0, 1, number)
    code += struct.pack("HBBI", 0x06, 0, 0, ENOSYS_RESULT) + struct.pack("HBBI", 0x06, 0, 0, ALLOW)
    load_filter(code)


def without_flag(number: int, argument: int, flag: int, error: int) -> None:
    """Six instructions: as above, and of this call load the argument, and look for the flag."""
    code = struct.pack("HBBI", 0x20, 0, 0, 0) + struct.pack("HBBI", 0x15, 0, 3, number)
    code += struct.pack("HBBI", 0x20, 0, 0, 16 + 8 * argument)
    code += struct.pack("HBBI", 0x45, 0, 1, flag)
    code += struct.pack("HBBI", 0x06, 0, 0, ENOSYS_RESULT & ~0xFFFF | error)
    load_filter(code + struct.pack("HBBI", 0x06, 0, 0, ALLOW))


def load_filter(code: bytes) -> None:
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
    check(LIBC.prctl(NO_NEW_PRIVS, 1, 0, 0, 0))
    check(LIBC.prctl(SET_SECCOMP, 2, program, 0, 0))


def without_proc() -> None:
    """As containers have it: with something over a part of it."""
    new_user_namespace()
    check(LIBC.mount(b"", b"/", b"", MS_REC | MS_PRIVATE, None))
    check(LIBC.mount(b"tmpfs", b"/proc/sys", b"tmpfs", 0, None))
    # from below, what is mounted there is locked
    os.execvp("unshare", ["unshare", "-U", "-r", "-m", *sys.argv[2:]])


def main() -> None:
    what, command = sys.argv[1], sys.argv[2:]
    if what in CALLS:
        without_call(CALLS[what][COLUMN])
    elif what in FLAGS:
        numbers, *rest = FLAGS[what]
        without_flag(numbers[COLUMN], *rest)
    elif what in SYSCTLS:
        without_namespaces(SYSCTLS[what])
    elif what == "proc":
        without_proc()
    os.execvp(command[0], command)


def run(what: str, *command: str) -> list[str]:
    return [sys.executable, __file__, what, *command]


if __name__ == "__main__":
    try:
        main()
    except (OSError, subprocess.SubprocessError) as error:
        sys.exit(f"lacking: {error}")
