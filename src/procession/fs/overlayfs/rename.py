"""Renaming in an overlay: what moves is in the upper layer, and says where the layers below have the rest.

Linux: fs/overlayfs/dir.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ENOENT, ENOTEMPTY, ESTALE, EXDEV
from procession.fs.overlayfs.layer import add_whiteout, find_in_layer, is_whiteout, remove_entry
from procession.fs.tmpfs import RENAME_EXCHANGE, RENAME_WHITEOUT

if TYPE_CHECKING:
    from procession.fs.dentry import Dentry
    from procession.fs.overlayfs.inode import LayeredInode
    from procession.fs.permission import Subject

_LONGEST_REDIRECT = 256
"""How long a redirect is not (in Linux, ovl_redirect_max)."""


def rename(
    directory: LayeredInode,
    name: bytes,
    new_directory: LayeredInode,
    new_name: bytes,
    flags: int,
    subject: Subject,
) -> None:
    """Raises EXDEV for directories of layers below, unless they may note where they were; ENOTEMPTY ...

    Linux: fs/overlayfs/dir.c, ovl_rename.
    """
    if flags & RENAME_WHITEOUT:
        raise EINVAL
    child = directory.child_named(name)
    _check_can_move(child)
    try:
        target: LayeredInode | None = new_directory.child_named(new_name)
    except ENOENT:
        target = None
    if flags & RENAME_EXCHANGE:
        if target is None:
            raise ESTALE("the layers have changed")
        _exchange(directory, name, child, new_directory, new_name, target)
        return
    if target is not None and target.is_directory:
        if target.list_entries():
            raise ENOTEMPTY
        target.clear_whiteouts()
    child.copy_up()
    source, destination = directory.upper_entry(), new_directory.upper_entry()
    entry = _entry_of(source, name)
    _prepare(child, name, directory, new_directory)
    covered = find_in_layer(destination, new_name)
    if covered is not None and (
        is_whiteout(covered.inode) or covered.inode.is_directory != child.is_directory
    ):
        remove_entry(destination, covered)
        covered = None
    source.inode.rename(name, destination.inode, new_name, 0, subject)
    if covered is not None:
        destination.remove(covered)
    destination.children.pop(new_name, None)
    entry.move(destination, new_name)
    if directory.is_in_lower(name):
        add_whiteout(source, name, directory.overlay.subject)
    child.place, child.name = new_directory, new_name
    if new_directory is not directory:
        new_directory.note_copy(entry.inode)
    if target is not None:
        target.upper_is_gone(new_name)
    child.pull_attributes()
    directory.pull_attributes()
    new_directory.pull_attributes()


def _exchange(
    directory: LayeredInode,
    name: bytes,
    child: LayeredInode,
    new_directory: LayeredInode,
    new_name: bytes,
    target: LayeredInode,
) -> None:
    _check_can_move(target)
    child.copy_up()
    target.copy_up()
    source, destination = directory.upper_entry(), new_directory.upper_entry()
    # What the two are called otherwise, as they may have more names, doesn't matter.
    first, second = _entry_of(source, name), _entry_of(destination, new_name)
    _prepare(child, name, directory, new_directory)
    _prepare(target, new_name, new_directory, directory)
    source.inode.rename(name, destination.inode, new_name, RENAME_EXCHANGE, directory.overlay.subject)
    first.exchange(second)
    for moved, entry, before in ((child, first, directory), (target, second, new_directory)):
        after = new_directory if before is directory else directory
        moved.place, moved.name = after, entry.name
        if after is not before:
            after.note_copy(entry.inode)
        moved.pull_attributes()
    directory.pull_attributes()
    new_directory.pull_attributes()


def _entry_of(directory: Dentry, name: bytes) -> Dentry:
    """What the upper layer has of a file that was found. Raises ESTALE if somebody took it away there.

    Linux: fs/overlayfs/dir.c, ovl_rename.
    """
    entry = find_in_layer(directory, name)
    if entry is None:
        raise ESTALE("the layers have changed")
    return entry


def _check_can_move(inode: LayeredInode) -> None:
    """Raise EXDEV for a directory of layers below, unless it may be noted where these have it.

    Linux: fs/overlayfs/dir.c, ovl_can_move.
    """
    if inode.is_directory and inode.lowers and not inode.overlay.config.makes_redirects:
        raise EXDEV("a directory of a layer below")


def _prepare(inode: LayeredInode, name: bytes, directory: LayeredInode, new_directory: LayeredInode) -> None:
    """What is `name` in `directory`, and in the upper layer, gets into another. Raises EXDEV, ENOSPC.

    Linux: fs/overlayfs/dir.c, ovl_set_redirect.
    """
    if not inode.is_directory or inode.upper is None:
        return
    notes, real = inode.overlay.notes, inode.upper.inode
    if not inode.lowers:
        if new_directory.lowers and not notes.is_opaque(real):
            notes.set_opaque(real, EXDEV)
        return
    is_path = new_directory is not directory
    if inode.redirect is not None and (not is_path or inode.redirect[:1] == b"/"):
        return
    redirect = _path_in_layers(inode, name, directory) if is_path else name
    notes.make(real, b"redirect", redirect)
    inode.redirect = redirect


def _path_in_layers(inode: LayeredInode, name: bytes, directory: LayeredInode) -> bytes:
    """Where the layers below have a directory, from their roots. Raises EXDEV for too long a path.

    Linux: fs/overlayfs/dir.c, ovl_get_redirect.
    """
    names = [inode.redirect or name]
    place = directory
    while place.place is not None and names[-1][:1] != b"/":
        names.append(place.redirect or place.name)
        place = place.place
    path = b"/".join(reversed(names))
    if path[:1] != b"/":
        path = b"/" + path
    if len(path) >= _LONGEST_REDIRECT:
        raise EXDEV("too long a path to be noted")
    return path
