"""Where the files of a host's tree come from: the one place of the file systems that calls the host."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final, Protocol, runtime_checkable

from procession.abi.errno import EACCES, EIO, ELOOP, ENAMETOOLONG, ENOENT, EOPNOTSUPP, Errno
from procession.fs.host_status import HostStatus

OPEN_DIRECTORIES_LIMIT: Final = 64
OPEN_FILES_LIMIT: Final = 64

_DIRECTORY_FLAGS: Final = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PLACE_FLAGS: Final = _DIRECTORY_FLAGS | getattr(os, "O_PATH", os.O_RDONLY)
# Without O_NONBLOCK, opening what has become a FIFO since it was looked at would wait for ever.
_FILE_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY

# What the host's kernel makes up: a guest could read about the host's processes there, or set off a mount.
_PSEUDO_FILE_SYSTEMS: Final = frozenset(
    b"autofs binfmt_misc bpf cgroup cgroup2 configfs debugfs devpts devtmpfs efivarfs fusectl hugetlbfs"
    b" mqueue nsfs proc pstore rpc_pipefs securityfs selinuxfs smackfs sysfs tracefs".split()
)


class HostDescriptor:
    """A descriptor of the host that is closed when nobody uses it any more."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        close(self.number)


class HostFileCache:
    """The descriptors of a tree's files or directories that were used last, by path."""

    __slots__ = ("descriptors", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.descriptors: dict[bytes, HostDescriptor] = {}

    def get(self, path: bytes) -> HostDescriptor | None:
        """The descriptor of `path`, if it's open."""
        found = self.descriptors.pop(path, None)
        if found is not None:
            self.descriptors[path] = found
        return found

    def put(self, path: bytes, descriptor: HostDescriptor) -> HostDescriptor:
        """Keep `descriptor`; the one that wasn't used for longest goes."""
        self.descriptors[path] = descriptor
        if len(self.descriptors) > self.limit:
            del self.descriptors[next(iter(self.descriptors))]
        return descriptor


_pseudo_devices: frozenset[int] | None = None


@contextmanager
def _host_errors_as_errno() -> Iterator[None]:
    """Turn the host's errors into those that the guest gets."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise _errno_of(error) from None


def _errno_of(error: OSError | ValueError) -> Errno:
    if isinstance(error, FileNotFoundError | NotADirectoryError | ValueError):
        # ValueError is Python's answer to a NUL in a name.
        return ENOENT("not on the host")
    if isinstance(error, PermissionError):
        return EACCES("the host refuses it")
    if error.errno == errno.ENAMETOOLONG:
        return ENAMETOOLONG()
    if error.errno == errno.EOPNOTSUPP:
        return EOPNOTSUPP()
    if error.errno == errno.ELOOP:
        # O_NOFOLLOW met a link where there was a directory or a file before.
        return ELOOP("changed on the host")
    return EIO(os.strerror(error.errno) if error.errno else str(error))


@runtime_checkable
class Rewindable(Protocol):
    """A source whose answers depend on how often it was asked: it can be put back to where it was."""

    def keep(self) -> object:
        """Where it is now, which nobody changes."""

    def put_back(self, kept: object) -> None:
        """Be again where it was when it gave `kept`."""


class MetNames:
    """The names by which files with several were met, for who has to tell whether two are one file's.

    Whose names count is said at each question: a machine that has gone back hasn't met those of later, and
    several machines may have one source. Another machine's may be unknown here, for it was saved elsewhere:
    `asked_with` are the ones of the last question.
    """

    __slots__ = ("asked_with", "by_file", "known")

    def __init__(self) -> None:
        self.by_file: dict[object, dict[bytes, None]] = {}
        self.known: dict[bytes, None] = {}
        self.asked_with: Mapping[bytes, object] | None = None

    def first(
        self, path: bytes, others: Mapping[bytes, object], identify: Callable[[bytes], object]
    ) -> bytes | None:
        """Which of `others` is the file at `path`; `identify` gives what two names of one file share.

        Raises what `identify` does for `path`; others that aren't there any more are no file's.
        """
        if self.asked_with is not others:
            self.asked_with = others
            for other in others:
                if other not in self.known:
                    with suppress(ENOENT):
                        self._add(other, identify(other))
        return next((name for name in self._add(path, identify(path)) if name in others), None)

    def _add(self, path: bytes, identity: object) -> dict[bytes, None]:
        names = self.by_file.setdefault(identity, {})
        names[path] = self.known[path] = None
        return names


class HostSource(Protocol):
    """Where what a `HostTree` shows comes from. Paths are as there."""

    @property
    def opened(self) -> Iterable[bytes]:
        """The files whose contents were read."""

    def status(self, path: bytes) -> HostStatus:
        """The metadata of what is at `path`, which isn't followed. Raises ENOENT, EACCES, EIO."""

    def exists(self, path: bytes) -> bool:
        """Whether there is anything at `path`. Raises EACCES, EIO."""

    def is_same_file(self, path: bytes, other: bytes) -> bool:
        """Whether two paths are names of one file. Raises EACCES, EIO."""

    def forget(self) -> None:
        """The tree was changed by whoever holds this: open its files anew, whichever they are now."""

    def names(self, path: bytes) -> list[bytes]:
        """The names in the directory at `path`, sorted. Raises ENOENT, EACCES, EIO."""

    def link_target(self, path: bytes) -> bytes:
        """Where the symbolic link at `path` leads. Raises ENOENT, EIO."""

    def check(self, path: bytes) -> None:
        """Raise ENOENT, EACCES or EIO if the regular file at `path` can't be read."""

    def read(self, path: bytes, offset: int, length: int) -> bytes:
        """Up to `length` bytes of the regular file at `path`. Raises EIO when it's gone from the host."""

    def xattrs(self, path: bytes) -> dict[bytes, bytes]:
        """The attributes of a regular file that mean something to a guest: its capabilities, and user.*.

        None of a file that can't be read. Raises ENOENT, EIO.
        """

    def linked_path(self, path: bytes, others: Mapping[bytes, object]) -> bytes | None:
        """Which of `others`, files seen before, is the same file as `path` by another name, if any is."""


class HostDirectory:
    """The host's own files below the directory `root`, as a `HostSource`.

    No component of a path is followed when it's a symbolic link, as every one is opened by itself relative to
    the one before. `root_descriptor` is the directory, opened at the first use and held, as its name may lead
    elsewhere later. `opened` are the files that were read, by device and inode number.
    """

    __slots__ = ("directories", "files", "met", "opened", "root", "root_descriptor")

    def __init__(self, root: bytes) -> None:
        self.root = root
        self.root_descriptor: HostDescriptor | None = None
        self.directories = HostFileCache(OPEN_DIRECTORIES_LIMIT)
        self.files = HostFileCache(OPEN_FILES_LIMIT)
        self.opened: dict[bytes, tuple[int, int]] = {}
        self.met = MetNames()

    def _directory(self, path: bytes) -> HostDescriptor:
        """The directory at `path`, opened component by component."""
        found = self.directories.get(path)
        if found is not None:
            return found
        missing: list[bytes] = []
        while found is None and path:
            path, _, name = path.rpartition(b"/")
            missing.append(name)
            found = self.directories.get(path)
        if found is None:
            found = self._root()
        for name in reversed(missing):
            path = path + b"/" + name if path else name
            number = os.open(name, _PLACE_FLAGS, dir_fd=found.number)
            found = self.directories.put(path, HostDescriptor(number))
        return found

    def _root(self) -> HostDescriptor:
        """The directory that the tree was given, opened at the first use: the machine's start."""
        if self.root_descriptor is None:
            number = os.open(self.root, _PLACE_FLAGS & ~os.O_NOFOLLOW)
            self.root_descriptor = HostDescriptor(number)
        return self.root_descriptor

    def status(self, path: bytes) -> HostStatus:
        """See `HostSource`."""
        # Whoever lists a directory asks for each of its files: there's no time for a context manager.
        try:
            found = self._stat(path)
            is_pseudo = found.st_dev in _devices_of_pseudo_file_systems()
        except (OSError, ValueError) as error:
            raise _errno_of(error) from None
        return HostStatus(
            found.st_mode,
            found.st_uid,
            found.st_gid,
            found.st_rdev,
            found.st_size,
            found.st_nlink,
            found.st_mtime_ns,
            is_pseudo,
        )

    def _stat(self, path: bytes) -> os.stat_result:
        directory, _, name = path.rpartition(b"/")
        if not name:
            return os.fstat(self._directory(b"").number)
        return os.stat(name, dir_fd=self._directory(directory).number, follow_symlinks=False)

    def exists(self, path: bytes) -> bool:
        """See `HostSource`."""
        try:
            self._identity(path)
        except (ENOENT, ENAMETOOLONG):
            return False
        return True

    def is_same_file(self, path: bytes, other: bytes) -> bool:
        """See `HostSource`."""
        try:
            return self._identity(path) == self._identity(other)
        except (ENOENT, ENAMETOOLONG):
            return False

    def forget(self) -> None:
        """See `HostSource`."""
        self.directories.descriptors.clear()
        self.files.descriptors.clear()
        self.opened.clear()
        self.met = MetNames()

    def names(self, path: bytes) -> list[bytes]:
        """See `HostSource`."""
        with _host_errors_as_errno():
            number = os.open(b".", _DIRECTORY_FLAGS | os.O_RDONLY, dir_fd=self._directory(path).number)
            try:
                return sorted(map(os.fsencode, os.listdir(number)))
            finally:
                os.close(number)

    def link_target(self, path: bytes) -> bytes:
        """See `HostSource`."""
        directory, _, name = path.rpartition(b"/")
        with _host_errors_as_errno():
            return os.readlink(name, dir_fd=self._directory(directory).number)

    def check(self, path: bytes) -> None:
        """See `HostSource`."""
        self.open(path)

    def open(self, path: bytes) -> HostDescriptor:
        """The regular file at `path`, for reading. Raises ENOENT, EACCES, EIO."""
        found = self.files.get(path)
        if found is not None:
            return found
        directory, _, name = path.rpartition(b"/")
        with _host_errors_as_errno():
            number = os.open(name, _FILE_FLAGS, dir_fd=self._directory(directory).number)
            descriptor = HostDescriptor(number)
            status = os.fstat(number)
            if not stat.S_ISREG(status.st_mode):
                raise EIO("no longer a regular file on the host")
            identity = status.st_dev, status.st_ino
            if self.opened.setdefault(path, identity) != identity:
                # Pages of the one and pages of the other would make a file that never was.
                raise EIO("another file has its place on the host")
            return self.files.put(path, descriptor)

    def read(self, path: bytes, offset: int, length: int) -> bytes:
        """See `HostSource`."""
        try:
            return os.pread(self.open(path).number, length, offset)
        except (ENOENT, EACCES, ELOOP, OSError) as error:
            raise EIO(f"the host's file can't be read: {error}") from None

    def read_into(self, path: bytes, offset: int, place: memoryview[int]) -> int:
        """As `read`, to `place`, without a copy between; how many bytes there were. Raises EIO."""
        try:
            return os.preadv(self.open(path).number, [place], offset)
        except (ENOENT, EACCES, ELOOP, OSError) as error:
            raise EIO(f"the host's file can't be read: {error}") from None

    def xattrs(self, path: bytes) -> dict[bytes, bytes]:
        """See `HostSource`."""
        if not hasattr(os, "listxattr"):
            return {}
        try:
            with _host_errors_as_errno():
                number = self.open(path).number
                names = sorted(os.listxattr(number))
                return {
                    os.fsencode(name): os.getxattr(number, name)
                    for name in names
                    if name == "security.capability" or name.startswith("user.")
                }
        except (EACCES, EOPNOTSUPP):
            # A file that we may not open, or a file system without attributes.
            return {}

    def linked_path(self, path: bytes, others: Mapping[bytes, object]) -> bytes | None:
        """See `HostSource`."""
        return self.met.first(path, others, self._identity)

    def _identity(self, path: bytes) -> tuple[int, int]:
        """Device and inode number of what is at `path`. Raises ENOENT, EACCES and the like."""
        with _host_errors_as_errno():
            found = self._stat(path)
        return found.st_dev, found.st_ino


def _devices_of_pseudo_file_systems() -> frozenset[int]:
    """The device numbers of the host kernel's own file systems; none where the host isn't Linux."""
    global _pseudo_devices  # noqa: PLW0603
    if _pseudo_devices is None:
        devices: set[int] = set()
        try:
            with open("/proc/self/mountinfo", "rb") as mounts:
                for line in mounts:
                    fields, _, tail = line.partition(b" - ")
                    if tail.split(b" ", 1)[0] in _PSEUDO_FILE_SYSTEMS:
                        major, _, minor = fields.split(b" ")[2].partition(b":")
                        devices.add(os.makedev(int(major), int(minor)))
        except FileNotFoundError:
            devices.clear()
        _pseudo_devices = frozenset(devices)
    return _pseudo_devices
