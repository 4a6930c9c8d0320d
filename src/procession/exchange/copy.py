"""Copies of a guest's files on the host."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

from procession.abi.errno import EFBIG
from procession.exchange.changes import data_of
from procession.exchange.host_directory import HostDirectory
from procession.fs import namei
from procession.fs.dentry import Path
from procession.fs.file import O_NOATIME, O_RDONLY
from procession.fs.fs_context import FsContext

if TYPE_CHECKING:
    from procession.fs.permission import Subject

_CHUNK_BYTES = 1 << 20
_LARGEST_UNCOUNTED = 1 << 30
"""How much is taken of a file that doesn't say how long it is."""


def copy_out(root: Path, subject: Subject, guest_path: str, host_path: str) -> list[str]:
    """Copy the guest's file or directory `guest_path` to `host_path`, or into it if that's a directory.

    What was left out, in words. Raises an errno of the guest, or OSError.
    """
    context = FsContext(root)
    try:
        place = namei.lookup(context, subject, os.fsencode(guest_path))
    finally:
        context.put()
    if os.path.isdir(host_path):
        name = os.path.basename(os.path.normpath(guest_path)).strip("/") or "root"
        host_path = os.path.join(host_path, name)
    parent, name = os.path.split(os.path.abspath(host_path))
    directory = HostDirectory(parent)
    try:
        return _copy(directory, place, os.fsencode(name), subject)
    finally:
        directory.close()


def _copy(directory: HostDirectory, start: Path, name: bytes, subject: Subject) -> list[str]:
    left_out: list[str] = []
    waiting = [(start, name)]
    while waiting:
        place, target = waiting.pop()
        inode = place.dentry.inode
        kind = stat.S_IFMT(inode.mode)
        if kind == stat.S_IFDIR:
            directory.make_directory(target, inode.mode)
            for entry in sorted(inode.list_entries(), reverse=True):
                below = namei.look_up_entry(place.dentry, entry.name)
                waiting.append((Path(place.mount, below), target + b"/" + entry.name))
        elif kind == stat.S_IFREG:
            size = None if inode.pages is None else inode.size
            directory.make_file(target, size, _pieces(place, subject), inode.mode)
        elif kind == stat.S_IFLNK:
            directory.make_symbolic_link(target, inode.readlink())
        else:
            left_out.append(f"{os.fsdecode(target)}: devices, FIFOs and sockets don't leave the machine")
    return left_out


def _pieces(place: Path, subject: Subject) -> Iterator[tuple[int, bytes]]:
    inode = place.dentry.inode
    if inode.pages is not None:
        yield from data_of(inode)
        return
    file = inode.open(place, O_RDONLY | O_NOATIME, subject)
    file.acquire()
    try:
        offset = 0
        while data := file.read(_CHUNK_BYTES):
            yield offset, data
            offset += len(data)
            if offset > _LARGEST_UNCOUNTED:
                raise EFBIG
    finally:
        file.put()
