"""What a machine's files cost the host beside the machine's own memory, and where that ends.

A guest's root may do anything on Linux until memory is used up. Here inodes, open files and the like are the
host's objects: they are charged to the machine's memory, and each kind has a bound of its own as well.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final

from procession.abi.capability import Capability
from procession.abi.errno import ENFILE, ENOLCK, ENOSPC
from procession.hardware.kernel_memory import (
    ABSENT_NAME,
    ABSENT_NAME_BYTES,
    FILE,
    FILE_BYTES,
    INODE,
    INODE_BYTES,
    LOCK,
    LOCK_BYTES,
    MOUNT,
    MOUNT_BYTES,
    PIPE_BYTES,
    SOCKET_BYTES,
    TEXT,
)

if TYPE_CHECKING:
    from procession.fs.dentry import Dentry
    from procession.fs.eventfd import EventFile
    from procession.fs.file import DirectoryFile
    from procession.fs.vfs import Caller
    from procession.hardware.frame_owner import FrameOwner
    from procession.hardware.kernel_memory import KernelMemory

MINIMUM_INODES: Final = 65_536
_CAP_SYS_ADMIN: Final = int(Capability.CAP_SYS_ADMIN)
FILES_LIMIT: Final = 65_536
MOUNTS_LIMIT: Final = 100_000
LOCKS_LIMIT: Final = 65_536
ABSENT_NAMES_LIMIT: Final = 16_384
_ABSENT_NAMES_SHIFT: Final = 13
"""How much memory there must be for each absent name that a control group may pay for."""
LISTED_ENTRIES_LIMIT: Final = 1_000_000
_LISTED_BYTES_SHIFT: Final = 12
"""How much memory there must be for each entry that may be listed."""
_FILE_ROOM_BYTES: Final = FILE_BYTES + SOCKET_BYTES + PIPE_BYTES + 4096
"""What a call that opens a file charges for it and what it belongs to, at the most."""
_FEW_LOCKS_BYTES: Final = 3 * LOCK_BYTES


class AbsentNames:
    """The names known to be absent that a control group pays for: `count`, by their directories."""

    __slots__ = ("count", "directories")

    def __init__(self) -> None:
        self.count = 0
        self.directories: dict[Dentry, dict[bytes, None]] = {}


class FileAccounts:
    """How many there are of everything.

    `inode_count` counts the names that the guest has made too, `text_bytes` what symbolic links and extended
    attributes hold. `absent` are the directories that remember absent names, `owned_absent` those names that
    control groups pay for; `listings` the open directories that are being read, in the order in which they
    came: the oldest are forgotten first.
    """

    __slots__ = (
        "absent",
        "absent_count",
        "aio_requests",
        "aio_signals",
        "account",
        "caller",
        "file_count",
        "file_max",
        "inode_count",
        "listed_count",
        "listings",
        "lock_count",
        "maximum_aio_requests",
        "maximum_files",
        "maximum_inodes",
        "maximum_listed",
        "maximum_owned_absent",
        "maximum_text_bytes",
        "mount_count",
        "owned_absent",
        "text_bytes",
    )

    def __init__(self, account: KernelMemory) -> None:
        self.account = account
        memory_bytes = account.memory.frame_count << 12
        self.inode_count = 0
        self.maximum_inodes = max(memory_bytes >> 12, MINIMUM_INODES)
        self.file_count = 0
        self.maximum_files = FILES_LIMIT
        # fs.file-max, which counts for those who don't administer the machine; and who asks for a file.
        self.file_max = (1 << 63) - 1
        self.caller: Caller | None = None
        self.mount_count = 0
        self.lock_count = 0
        self.text_bytes = 0
        # fs.aio-nr and fs.aio-max-nr: the requests of all contexts of asynchronous input and output.
        self.aio_requests = 0
        self.maximum_aio_requests = 65_536
        # The eventfds that requests which have come to their end are signalling, the one at work first.
        self.aio_signals: deque[EventFile] = deque()
        self.maximum_text_bytes = max(memory_bytes >> 3, 1 << 20)
        self.absent: dict[Dentry, None] = {}
        self.absent_count = 0
        self.owned_absent: dict[FrameOwner, AbsentNames] = {}
        self.maximum_owned_absent = max(memory_bytes >> _ABSENT_NAMES_SHIFT, 64)
        self.listings: dict[DirectoryFile, int] = {}
        self.listed_count = 0
        self.maximum_listed = min(memory_bytes >> _LISTED_BYTES_SHIFT, LISTED_ENTRIES_LIMIT)

    def add_inode(self) -> None:
        """One more file, or name. Raises ENOSPC, OutOfFrames."""
        if self.inode_count >= self.maximum_inodes:
            raise ENOSPC("no inodes left in the machine")
        self.account.charge(INODE, INODE_BYTES)
        self.inode_count += 1

    def remove_inodes(self, count: int = 1) -> None:
        """So many files, or names, less."""
        self.inode_count -= count
        self.account.uncharge(INODE, count * INODE_BYTES)

    def check_files(self, count: int = 1) -> None:
        """Raise ENFILE unless `count` more files may be open, and OutOfFrames without memory for them."""
        self._check_file_count(self.file_count + count)
        self._check_room(count * _FILE_ROOM_BYTES)

    def _check_file_count(self, count: int) -> None:
        """Raise ENFILE if that is too many. Linux: fs/file_table.c, alloc_empty_file."""
        if count > self.maximum_files:
            raise ENFILE
        if count > self.file_max:
            subject = None if self.caller is None else self.caller.acting_subject
            if subject is not None and not subject.capable(_CAP_SYS_ADMIN):
                raise ENFILE("over fs.file-max")

    def _check_room(self, size: int) -> None:
        """Raise OutOfFrames unless `size` bytes can be charged afterwards."""
        if not self.account.can_charge(size):
            self.account.memory.refuse()

    def add_file(self) -> None:
        """One more open file. Raises ENFILE, OutOfFrames. Linux: fs/file_table.c, alloc_empty_file."""
        self._check_file_count(self.file_count + 1)
        self.account.charge(FILE, FILE_BYTES)
        self.file_count += 1

    def remove_file(self) -> None:
        """One open file less."""
        self.file_count -= 1
        self.account.uncharge(FILE, FILE_BYTES)

    def check_mounts(self, count: int) -> None:
        """Raise ENOSPC unless there may be `count` more mounts, and OutOfFrames without memory for them."""
        if self.mount_count + count > MOUNTS_LIMIT:
            raise ENOSPC("no mounts left in the machine")
        self._check_room(count * MOUNT_BYTES)

    def add_mount(self) -> None:
        """One more mount, as `check_mounts` allowed."""
        self.mount_count += 1
        self.account.charge_always(MOUNT, MOUNT_BYTES)

    def remove_mount(self) -> None:
        """One mount less."""
        self.mount_count -= 1
        self.account.uncharge(MOUNT, MOUNT_BYTES)

    def check_locks(self) -> None:
        """Raise ENOLCK unless there may be more record locks."""
        if self.lock_count >= LOCKS_LIMIT or not self.account.can_charge(_FEW_LOCKS_BYTES):
            raise ENOLCK

    def add_lease(self) -> None:
        """One more lease; there can't be more than open files. Raises OutOfFrames.

        Linux: fs/locks.c, lease_alloc.
        """
        self.account.charge(LOCK, LOCK_BYTES)

    def remove_lease(self) -> None:
        """One lease less."""
        self.account.uncharge(LOCK, LOCK_BYTES)

    def count_locks(self, change: int) -> None:
        """So many record locks more, or less; two more at the most, as `check_locks` allowed."""
        self.lock_count += change
        if change > 0:
            self.account.charge_always(LOCK, change * LOCK_BYTES)
        else:
            self.account.uncharge(LOCK, -change * LOCK_BYTES)

    def add_text(self, change: int) -> None:
        """So many bytes more, or less. Raises ENOSPC, OutOfFrames."""
        if change > 0 and self.text_bytes + change > self.maximum_text_bytes:
            raise ENOSPC("no room left for links and attributes")
        if change > 0:
            self.account.charge(TEXT, change)
        else:
            self.account.uncharge(TEXT, -change)
        self.text_bytes += change

    def check_text(self, size: int) -> None:
        """Raise ENOSPC or OutOfFrames unless `size` bytes may be added afterwards, by `count_text`."""
        if self.text_bytes + size > self.maximum_text_bytes:
            raise ENOSPC("no room left for links and attributes")
        self._check_room(size)

    def count_text(self, change: int) -> None:
        """So many bytes more that the guest can't be refused."""
        self.account.charge_always(TEXT, change)
        self.text_bytes += change

    def add_absent(self, directory: Dentry, name: bytes) -> bool:
        """`directory` is about to remember an absent name; when there are too many, all are forgotten.

        Those that tasks of a control group look up are charged to it, and forgotten in its reclaim or when
        they alone are too many. Returns whether there is memory for it.
        """
        payer = self.account.memory.payer
        if payer is not None:
            return self._add_owned(payer, directory, name)
        if self.absent_count >= ABSENT_NAMES_LIMIT:
            self.forget_absent()
        self.absent[directory] = None
        self.absent_count += 1
        return True

    def forget_absent(self) -> None:
        """Forget which names were absent, but for those that control groups pay for."""
        for each in self.absent:
            each.forget_absent()
        self.absent.clear()
        self.absent_count = 0

    def _add_owned(self, payer: FrameOwner, directory: Dentry, name: bytes) -> bool:
        names = self.owned_absent.get(payer)
        if names is None:
            names = self.owned_absent[payer] = AbsentNames()
        known = names.directories.setdefault(directory, {})
        if name in known:
            return True
        if names.count >= self.maximum_owned_absent:
            self.forget_absent_of(payer, names.count // 2)
        size = ABSENT_NAME_BYTES + len(name)
        if not self.account.can_charge(size):
            return False
        self.account.charge(ABSENT_NAME, size)
        # Room may have been made by forgetting all others.
        names = self.owned_absent.setdefault(payer, names)
        names.directories.setdefault(directory, known)[name] = None
        names.count += 1
        return True

    def forget_absent_of(self, payer: FrameOwner, count: int) -> int:
        """Forget `count` of the absent names that are charged to `payer`; how many bytes it has less.

        Linux: fs/dcache.c, prune_dcache_sb.
        """
        names = self.owned_absent.get(payer)
        if names is None:
            return 0
        size = 0
        left = min(count, names.count)
        names.count -= left
        while left and names.directories:
            directory = next(iter(names.directories))
            known = names.directories[directory]
            for name in list(islice(known, left)):
                del known[name]
                directory.forget_absent_name(name)
                size += ABSENT_NAME_BYTES + len(name)
                left -= 1
            if not known:
                del names.directories[directory]
        if not names.count:
            del self.owned_absent[payer]
        self.account.uncharge_for(payer, ABSENT_NAME, size)
        return size

    def add_listing(self, file: DirectoryFile, count: int) -> None:
        """`file` is about to hold a listing of so many entries."""
        self.remove_listing(file)
        while self.listings and self.listed_count + count > self.maximum_listed:
            oldest = next(iter(self.listings))
            oldest.listing = None
            self.remove_listing(oldest)
        self.listings[file] = count
        self.listed_count += count

    def remove_listing(self, file: DirectoryFile) -> None:
        """`file` holds no listing any more."""
        self.listed_count -= self.listings.pop(file, 0)
