"""What a machine's files cost the host beside the machine's own memory, and where that ends.

A guest's root may do anything on Linux until memory is used up. Here inodes, open files and the like are the
host's objects, so each kind has a bound of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import ENFILE, ENOLCK, ENOSPC

if TYPE_CHECKING:
    from procession.fs.dentry import Dentry
    from procession.fs.file import DirectoryFile

MINIMUM_INODES = 65_536
FILES_LIMIT = 65_536
MOUNTS_LIMIT = 100_000
LOCKS_LIMIT = 65_536
ABSENT_NAMES_LIMIT = 16_384
LISTED_ENTRIES_LIMIT = 1_000_000


class FileAccounts:
    """How many there are of everything.

    `inode_count` counts the names that the guest has made too, `text_bytes` what symbolic links and extended
    attributes hold. `absent` are the directories that remember absent names, `listings` the open directories
    that are being read, in the order in which they came: the oldest are forgotten first.
    """

    __slots__ = (
        "absent",
        "absent_count",
        "file_count",
        "inode_count",
        "listed_count",
        "listings",
        "lock_count",
        "maximum_files",
        "maximum_inodes",
        "maximum_text_bytes",
        "mount_count",
        "text_bytes",
    )

    def __init__(self, memory_bytes: int) -> None:
        self.inode_count = 0
        self.maximum_inodes = max(memory_bytes >> 12, MINIMUM_INODES)
        self.file_count = 0
        self.maximum_files = FILES_LIMIT
        self.mount_count = 0
        self.lock_count = 0
        self.text_bytes = 0
        self.maximum_text_bytes = max(memory_bytes >> 3, 1 << 20)
        self.absent: dict[Dentry, None] = {}
        self.absent_count = 0
        self.listings: dict[DirectoryFile, int] = {}
        self.listed_count = 0

    def add_inode(self) -> None:
        """One more file, or name. Raises ENOSPC."""
        if self.inode_count >= self.maximum_inodes:
            raise ENOSPC("no inodes left in the machine")
        self.inode_count += 1

    def check_files(self) -> None:
        """Raise ENFILE unless one more file may be open."""
        if self.file_count >= self.maximum_files:
            raise ENFILE

    def add_file(self) -> None:
        """One more open file. Raises ENFILE; Linux: fs/file_table.c, alloc_empty_file."""
        if self.file_count >= self.maximum_files:
            raise ENFILE
        self.file_count += 1

    def check_mounts(self, count: int) -> None:
        """Raise ENOSPC unless there may be `count` more mounts."""
        if self.mount_count + count > MOUNTS_LIMIT:
            raise ENOSPC("no mounts left in the machine")

    def check_locks(self) -> None:
        """Raise ENOLCK unless there may be more record locks."""
        if self.lock_count >= LOCKS_LIMIT:
            raise ENOLCK

    def add_text(self, change: int) -> None:
        """So many bytes more, or less. Raises ENOSPC."""
        if change > 0 and self.text_bytes + change > self.maximum_text_bytes:
            raise ENOSPC("no room left for links and attributes")
        self.text_bytes += change

    def add_absent(self, directory: Dentry) -> None:
        """`directory` is about to remember an absent name; when there are too many, all are forgotten."""
        if self.absent_count >= ABSENT_NAMES_LIMIT:
            for each in self.absent:
                each.forget_absent()
            self.absent.clear()
            self.absent_count = 0
        self.absent[directory] = None
        self.absent_count += 1

    def add_listing(self, file: DirectoryFile, count: int) -> None:
        """`file` is about to hold a listing of so many entries."""
        self.remove_listing(file)
        while self.listings and self.listed_count + count > LISTED_ENTRIES_LIMIT:
            oldest = next(iter(self.listings))
            oldest.listing = None
            self.remove_listing(oldest)
        self.listings[file] = count
        self.listed_count += count

    def remove_listing(self, file: DirectoryFile) -> None:
        """`file` holds no listing any more."""
        self.listed_count -= self.listings.pop(file, 0)
