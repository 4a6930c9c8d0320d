"""Tables of file descriptors: small numbers for open file descriptions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from procession.abi.errno import EBADF, EMFILE
from procession.fs.file import O_PATH, File
from procession.hardware.kernel_memory import DESCRIPTOR, DESCRIPTOR_BYTES, KernelMemory
from procession.hardware.physical_memory import OutOfFrames

_FIRST_CAPACITY: Final = 64
"""How many descriptors come with a process (Linux: include/linux/fdtable.h, NR_OPEN_DEFAULT)."""
_FEW_FILES: Final = 64
"""So many descriptors are copied or closed at once in the time that is counted for a fork or an exit."""
_PASSED_AT_ONCE: Final = 8
"""So many descriptors that are taken are passed in the time of a change."""


class FdTable:
    """What CLONE_FILES shares (Linux: include/linux/fdtable.h, struct files_struct).

    `files` maps descriptors to open files, `close_on_exec` holds the descriptors that exec closes.
    `reference_count` counts the tasks that share the table: it is born with one. `capacity` is for how many
    descriptors there is memory; the first ones come with the process. `account` is None until there are more.
    """

    __slots__ = ("account", "capacity", "close_on_exec", "files", "next_fd", "reference_count")

    def __init__(self) -> None:
        self.account: KernelMemory | None = None
        self.capacity = _FIRST_CAPACITY
        self.files: dict[int, File] = {}
        self.close_on_exec: set[int] = set()
        # No descriptor below this one is free.
        self.next_fd = 0
        self.reference_count = 1

    def __repr__(self) -> str:
        return f"<FdTable of descriptors {sorted(self.files)}>"

    def lowest_free(self, minimum: int, limit: int) -> int:
        """The lowest free descriptor that isn't below `minimum`. Raises EMFILE if it isn't below `limit`.

        Linux: fs/file.c, alloc_fd.
        """
        files = self.files
        fd = max(minimum, self.next_fd)
        while fd in files:
            fd += 1
        if fd >= limit:
            raise EMFILE
        return fd

    def lowest_free_after_exec(self, limit: int) -> int:
        """The lowest descriptor that will be free once those with close-on-exec are closed. Raises EMFILE."""
        fd = 0
        while fd in self.files and fd not in self.close_on_exec:
            fd += 1
        if fd >= limit:
            raise EMFILE
        return fd

    def install(self, file: File, *, close_on_exec: bool = False, minimum: int = 0, limit: int) -> int:
        """Give `file` the lowest free descriptor from `minimum` on; the table takes a reference.

        `limit` is RLIMIT_NOFILE. Raises EMFILE and OutOfFrames, having closed the file if nobody else
        holds it.
        """
        files = self.files
        fd = start = minimum if minimum > self.next_fd else self.next_fd
        while fd in files:
            fd += 1
        if fd - start > _FEW_FILES:
            # None was remembered to be free from `minimum` on.
            self.note_files((fd - start) // _PASSED_AT_ONCE)
        if fd >= limit:
            file.release_if_unheld()
            raise EMFILE
        if len(files) >= self.capacity:
            self.make_room(file)
        if minimum <= self.next_fd:
            self.next_fd = fd + 1
        files[fd] = file
        file.reference_count += 1
        if close_on_exec:
            self.close_on_exec.add(fd)
        return fd

    def make_room(self, file: File) -> None:
        """See that there is memory for `file`'s place too, for twice as many if there isn't.

        Raises OutOfFrames, and `file` is closed if unheld. Linux: fs/file.c, expand_files.
        """
        if len(self.files) < self.capacity:
            return
        account = file.inode.superblock.vfs.memory.account
        try:
            account.charge(DESCRIPTOR, self.capacity * DESCRIPTOR_BYTES)
        except OutOfFrames:
            file.release_if_unheld()
            raise
        self.account = account
        self.capacity *= 2

    def file(self, fd: int) -> File:
        """The file behind `fd`. Raises EBADF. It may be an O_PATH one, whose operations raise EBADF."""
        file = self.files.get(fd)
        if file is None:
            raise EBADF
        return file

    def replace(self, fd: int, file: File, *, close_on_exec: bool = False) -> None:
        """Make `fd` lead to `file`, closing what it led to (dup2). `fd` is within the limit.

        Linux: fs/file.c, do_dup2.
        """
        previous = self.files.get(fd)
        if previous is None and len(self.files) >= self.capacity:
            self.make_room(file)
        file.reference_count += 1
        self.files[fd] = file
        if close_on_exec:
            self.close_on_exec.add(fd)
        else:
            self.close_on_exec.discard(fd)
        if previous is not None:
            self._close_file(previous)

    def close(self, fd: int) -> None:
        """Close descriptor `fd`. Raises EBADF. In Linux, close(2)."""
        file = self.files.pop(fd, None)
        if file is None:
            raise EBADF
        self.next_fd = min(self.next_fd, fd)
        self.close_on_exec.discard(fd)
        self._close_file(file)

    def _close_file(self, file: File) -> None:
        """Linux: fs/open.c, filp_flush."""
        file.flush()
        if file.watchers is not None:
            for watcher in list(file.watchers):
                watcher.descriptor_closed(self)
        locks = file.inode.locks
        if locks is not None and not file.flags & O_PATH:
            # fcntl(2): closing any descriptor of a file, not of a place, gives up all its POSIX locks.
            locks.release_posix(self)
        file.put()

    def set_close_on_exec(self, fd: int, is_set: bool) -> None:
        """fcntl(F_SETFD). Raises EBADF."""
        if fd not in self.files:
            raise EBADF
        if is_set:
            self.close_on_exec.add(fd)
        else:
            self.close_on_exec.discard(fd)

    def is_close_on_exec(self, fd: int) -> bool:
        """fcntl(F_GETFD). Raises EBADF."""
        if fd not in self.files:
            raise EBADF
        return fd in self.close_on_exec

    def close_on_exec_files(self) -> None:
        """Close what exec closes. Linux: fs/file.c, do_close_on_exec."""
        self.note_files(len(self.close_on_exec))
        for fd in sorted(self.close_on_exec):
            self.close(fd)

    def copy(self) -> FdTable:
        """A table of its own for a new task, with the same open files. Raises OutOfFrames.

        Linux: fs/file.c, dup_fd.
        """
        table = FdTable()
        if self.account is not None:
            self.account.charge(DESCRIPTOR, (self.capacity - _FIRST_CAPACITY) * DESCRIPTOR_BYTES)
            table.account = self.account
            table.capacity = self.capacity
        table.files = files = self.files.copy()
        if self.close_on_exec:
            table.close_on_exec = self.close_on_exec.copy()
        table.next_fd = self.next_fd
        for file in files.values():
            file.reference_count += 1
        table.note_files(len(files))
        return table

    def note_files(self, count: int) -> None:
        """A call means so many files of the table, more than most processes have: that takes time."""
        if count > _FEW_FILES:
            file = next(iter(self.files.values()), None)
            if file is not None:
                file.inode.superblock.vfs.memory.note_changed(count - _FEW_FILES)

    def acquire(self) -> FdTable:
        """One more task shares this table."""
        self.reference_count += 1
        return self

    def put(self) -> None:
        """A task leaves; the last one closes everything. Linux: fs/file.c, put_files_struct."""
        self.reference_count -= 1
        if self.reference_count == 0:
            self.release()

    def release(self) -> None:
        """Close all descriptors, lowest first."""
        files = self.files
        self.files = {}
        self.close_on_exec = set()
        self.next_fd = 0
        for fd in sorted(files):
            self._close_file(files[fd])
        if self.account is not None:
            self.account.uncharge(DESCRIPTOR, (self.capacity - _FIRST_CAPACITY) * DESCRIPTOR_BYTES)
            self.account, self.capacity = None, _FIRST_CAPACITY

    def descriptors(self) -> list[int]:
        """The descriptors in use, in order."""
        return sorted(self.files)

    def __iter__(self) -> Iterator[tuple[int, File]]:
        """Descriptors and their files, in order of descriptors."""
        return iter(sorted(self.files.items(), key=_first))


def _first(item: tuple[int, File]) -> int:
    return item[0]
