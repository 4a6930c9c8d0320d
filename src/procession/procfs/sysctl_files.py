"""fs.file-max, fs.epoll.max_user_watches, and what is told of names and inodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.fs.anonymous_inode import anonymous_inodes
from procession.procfs.parameter_kind import UNSIGNED_LONG
from procession.procfs.parse_integer import parse_parameter
from procession.procfs.system_directory import SystemFile, SystemTree

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel

_LONG_MAX = (1 << 63) - 1
_AGE_LIMIT_S = 45
"""How old an unused name may get, says Linux; here it's forgotten when there are too many."""


def _show_file_max(kernel: Kernel) -> bytes:
    return b"%d\n" % kernel.vfs.accounts.file_max


def _store_file_max(kernel: Kernel, data: bytes) -> None:
    kernel.vfs.accounts.file_max = parse_parameter(data, 0, _LONG_MAX)


def _show_watches(kernel: Kernel) -> bytes:
    return b"%d\n" % anonymous_inodes(kernel.vfs).maximum_epoll_watches


def _store_watches(kernel: Kernel, data: bytes) -> None:
    anonymous_inodes(kernel.vfs).maximum_epoll_watches = parse_parameter(data, 0, _LONG_MAX)


def _show_names(kernel: Kernel) -> bytes:
    """Names, those that nobody uses, their age, and how many are remembered that aren't there.

    Linux: fs/dcache.c, proc_nr_dentry.
    """
    accounts = kernel.vfs.accounts
    absent = accounts.absent_count
    return b"%d\t%d\t%d\t0\t%d\t0\n" % (accounts.inode_count + absent, absent, _AGE_LIMIT_S, absent)


def _show_inodes(kernel: Kernel) -> bytes:
    """Inodes, and those that nobody uses: none are kept. Linux: fs/inode.c, proc_nr_inodes."""
    return b"%d\t0\n" % kernel.vfs.accounts.inode_count


def _show_inode_state(kernel: Kernel) -> bytes:
    return b"%d\t0\t0\t0\t0\t0\t0\n" % kernel.vfs.accounts.inode_count


FILES_SYSCTLS: SystemTree = {
    b"dentry-state": SystemFile(0o444, _show_names),
    b"epoll": {b"max_user_watches": SystemFile(0o644, _show_watches, _store_watches, kind=UNSIGNED_LONG)},
    b"file-max": SystemFile(0o644, _show_file_max, _store_file_max, kind=UNSIGNED_LONG),
    b"inode-nr": SystemFile(0o444, _show_inodes),
    b"inode-state": SystemFile(0o444, _show_inode_state),
}
