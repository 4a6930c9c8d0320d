"""A directory of the host that a guest sees at a place of its tree, and may change."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from procession.abi.errno import Errno
from procession.exchange.changes import Change, changes_of, data_of
from procession.exchange.host_directory import HostDirectory
from procession.fs.overlay import HostFile

if TYPE_CHECKING:
    from procession.fs.overlay import Overlay


class Volume:
    """The guest's changes stay in the machine's memory, as those of its root do, until `write_back`.

    So a run is deterministic whatever else changes the directory meanwhile, and one that ends badly leaves
    the host as it was.
    """

    __slots__ = ("directory", "guest_path", "is_read_only", "overlay")

    def __init__(self, overlay: Overlay, host_path: str, guest_path: str, *, is_read_only: bool) -> None:
        self.overlay = overlay
        self.guest_path = guest_path
        self.is_read_only = is_read_only
        self.directory = HostDirectory(host_path)

    def write_back(self) -> list[str]:
        """Make the host's directory what the guest has made of it; what couldn't be, in words.

        All new contents are written beside the old before anything is replaced or removed, as they may come
        from what is removed. If that fails nothing is changed.
        """
        if self.is_read_only:
            return []
        changes = list(changes_of(self.overlay))
        if not changes:
            return []
        try:
            staging = self.directory.make_staging()
        except OSError as error:
            return [f"{self.guest_path}: nothing was written: {error.strerror}"]
        failures: list[str] = []
        try:
            for number, change in enumerate(changes):
                inode = change.inode
                if inode is not None and inode.is_regular:
                    place = staging + b"/%d" % number
                    self.directory.make_file(place, inode.size, data_of(inode), inode.mode)
        except (OSError, Errno) as error:
            failures.append(f"{self._name(change)}: {_text(error)}; nothing was written")
        else:
            for number, change in enumerate(changes):
                try:
                    reason = self._put(change, staging + b"/%d" % number)
                except OSError as error:
                    reason = _text(error)
                if reason:
                    failures.append(f"{self._name(change)}: {reason}")
                else:
                    _settle(change)
        finally:
            self.directory.remove(staging)
            self.overlay.tree.forget()
        return failures

    def _name(self, change: Change) -> str:
        return os.path.join(self.guest_path, os.fsdecode(change.path))

    def _put(self, change: Change, staged: bytes) -> str:
        """Put one change in its place; why it can't be, "" if it was."""
        inode, path = change.inode, change.path
        if inode is None:
            self.directory.remove(path)
            return ""
        kind = stat.S_IFMT(inode.mode)
        if kind == stat.S_IFDIR:
            if change.is_new:
                self.directory.remove(path)
            self.directory.make_directory(path, inode.mode)
        elif kind == stat.S_IFREG:
            self.directory.move(staged, path)
        elif kind == stat.S_IFLNK:
            self.directory.make_symbolic_link(path, inode.readlink())
        else:
            return "devices, FIFOs and sockets don't leave the machine"
        return ""

    def close(self) -> None:
        """Give the directory back."""
        self.directory.close()


def _settle(change: Change) -> None:
    """What came from elsewhere on the host lies at its new place from now on."""
    inode = change.inode
    if inode is None or not inode.is_from_host or inode.lower is None:
        return
    inode.lower = change.path
    pages = inode.pages
    if pages is not None and isinstance(pages.backing, HostFile):
        pages.backing.path = change.path


def _text(error: OSError | Errno) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
