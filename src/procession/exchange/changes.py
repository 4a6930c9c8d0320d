"""What a guest has changed of a tree of the host's files."""

from __future__ import annotations

from collections.abc import Iterator

from procession.abi.named_tuple import NamedTuple
from procession.fs.inode import Inode
from procession.fs.overlay import HostFile, Overlay, OverlayInode
from procession.hardware.physical_memory import PAGE_SHIFT, PAGE_SIZE

_CHUNK_BYTES = 1 << 20


class Change(NamedTuple):
    """One file that isn't as on the host. `path` is relative to the tree's root, without a slash at its ends.

    `inode` is None for what has been removed. `is_new` says that nothing of what the host has there is left:
    a directory then hides all that is in the host's. `link_to` is the path of an earlier change that is the
    same file, b"" if there is none.
    """

    path: bytes
    inode: OverlayInode | None
    is_new: bool
    link_to: bytes


def changes_of(overlay: Overlay) -> Iterator[Change]:
    """All changes, a directory before what is in it, names in order; the guest isn't affected by looking."""
    links: dict[int, bytes] = {}
    root = overlay.root
    assert isinstance(root, OverlayInode)
    waiting: list[tuple[bytes, OverlayInode, bool]] = [(b"", root, True)]
    while waiting:
        path, directory, is_lower = waiting.pop()
        below: list[tuple[bytes, OverlayInode, bool]] = []
        entries = sorted(directory.entries.items()) if is_lower else directory.all_entries()
        removed = [name for name in directory.whiteouts or () if is_lower and name not in directory.entries]
        for name in sorted(removed):
            yield Change(_joined(path, name), None, False, b"")
        for name, inode in entries:
            assert isinstance(inode, OverlayInode)
            place = _joined(path, name)
            is_here = is_lower and _is_at(overlay, inode, place)
            if inode.is_directory:
                if not is_here or _is_modified(inode):
                    yield Change(place, inode, not is_here, b"")
                below.append((place, inode, is_here))
            elif not is_here or _is_modified(inode):
                yield Change(place, inode, not is_here, links.get(id(inode), b""))
                links.setdefault(id(inode), place)
        waiting += reversed(below)


def _joined(path: bytes, name: bytes) -> bytes:
    return path + b"/" + name if path else name


def _is_at(overlay: Overlay, inode: OverlayInode, path: bytes) -> bool:
    """Whether this is the host's file at `path`, by whichever of its names it was seen first."""
    if not inode.is_from_host:
        return False
    if inode.lower is None or inode.lower == path:
        return True
    return not inode.is_directory and overlay.tree.is_same_file(inode.lower, path)


def _is_modified(inode: OverlayInode) -> bool:
    """Whether its contents or what is known about it differ from the host's."""
    if inode.lower is None:
        return False
    if inode.ctime_ns != inode.lower_time_ns:
        return True
    pages = inode.pages
    if pages is None or not pages.frames:
        return False
    backing = pages.backing
    if not isinstance(backing, HostFile) or inode.size != backing.size:
        return True
    # A shared mapping changes pages without a word.
    memory = pages.memory.bytes
    for index, frame in pages.frames.items():
        start = frame << PAGE_SHIFT
        page = bytes(memory[start : start + PAGE_SIZE])
        if page != backing.read_page(index).ljust(PAGE_SIZE, b"\0"):
            return True
    return False


def data_of(inode: Inode) -> Iterator[tuple[int, bytes]]:
    """The pieces of a regular file that hold data, by their offsets; what lies between them is zeros."""
    pages, size = inode.pages, inode.size
    assert pages is not None
    backing = pages.backing
    backed = min(backing.size, size) if isinstance(backing, HostFile) else 0
    for offset in range(0, backed, _CHUNK_BYTES):
        yield offset, pages.read(offset, min(_CHUNK_BYTES, backed - offset))
    for index in sorted(pages.frames):
        offset = index << PAGE_SHIFT
        if backed <= offset < size:
            yield offset, pages.read(offset, min(PAGE_SIZE, size - offset))
        elif offset < backed < offset + PAGE_SIZE and backed < size:
            yield backed, pages.read(backed, min(offset + PAGE_SIZE, size) - backed)
