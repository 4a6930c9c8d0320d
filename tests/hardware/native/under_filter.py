"""Run a command under a seccomp filter: `under_filter.py NAMES COMMAND...` refuses the system calls named,
with commas between, and what containers usually may not call.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

from procession.abi.syscall_numbers import NUMBERS

PR_SET_NO_NEW_PRIVS, SECCOMP, SECCOMP_SET_MODE_FILTER = 38, 317, 1
LOAD, EQUAL, ANY_SET, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, ERRNO = 0x7FFF_0000, 0x0005_0000
EPERM, ENOSYS = 1, 38
NEW_NAMESPACES = 0x7E02_0000
FIRST_ARGUMENT = 16
OF_CONTAINERS = (
    "acct add_key bpf clock_settime create_module delete_module fanotify_init finit_module fsconfig "
    "fsmount fsopen fspick get_mempolicy init_module io_uring_enter io_uring_register io_uring_setup "
    "ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie mbind mount mount_setattr "
    "move_mount move_pages nfsservctl open_by_handle_at open_tree perf_event_open personality "
    "pidfd_getfd pivot_root process_madvise quotactl reboot request_key set_mempolicy sethostname "
    "setdomainname setns settimeofday swapoff swapon syslog umount2 unshare uselib userfaultfd ustat "
    "vhangup "
)
"""Docker's and podman's profiles refuse these without a capability. Of clone, only new namespaces are."""


def filter_of(refused: list[str]) -> bytes:
    """The program of the filter."""
    instruction = struct.Struct("<HBBI")
    program = [instruction.pack(LOAD, 0, 0, 0)]
    for name in refused:
        program += (
            instruction.pack(EQUAL, 0, 1, NUMBERS[name]),
            instruction.pack(RETURN, 0, 0, ERRNO | EPERM),
        )
    program += (
        instruction.pack(EQUAL, 0, 1, NUMBERS["clone3"]),
        instruction.pack(RETURN, 0, 0, ERRNO | ENOSYS),
        instruction.pack(EQUAL, 0, 3, NUMBERS["clone"]),
        instruction.pack(LOAD, 0, 0, FIRST_ARGUMENT),
        instruction.pack(ANY_SET, 0, 1, NEW_NAMESPACES),
        instruction.pack(RETURN, 0, 0, ERRNO | EPERM),
        instruction.pack(RETURN, 0, 0, ALLOW),
    )
    return b"".join(program)


def main() -> None:
    names, *command = sys.argv[1:]
    instructions = filter_of([*OF_CONTAINERS.split(), *(name for name in names.split(",") if name)])
    library = ctypes.CDLL(None, use_errno=True)
    kept = ctypes.create_string_buffer(instructions)
    program = struct.pack("<HxxxxxxQ", len(instructions) // 8, ctypes.addressof(kept))
    if library.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or library.syscall(
        SECCOMP, SECCOMP_SET_MODE_FILTER, 0, program
    ):
        raise OSError(ctypes.get_errno(), "the filter isn't accepted")
    os.execv(command[0], command)


main()
