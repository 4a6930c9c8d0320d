"""How a name is looked up in the layers of an overlay: whiteouts, opaque directories and redirects.

A directory that was renamed may note where the layers below have it: a redirect is another name in the same
directory, or a path from the layers' roots. Linux: fs/overlayfs/namei.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EPERM
from procession.fs.overlayfs.layer import find_in_layer, is_whiteout

if TYPE_CHECKING:
    from procession.fs.dentry import Dentry
    from procession.fs.overlayfs.notes import Notes


class Search:
    """A name on its way down through the layers (in Linux, struct ovl_lookup_data).

    `name` is what it's called in the next layer, a path from its root if it begins with a slash; `redirect`
    that name once it isn't the one that was asked for any more. `is_over` says that no layer below counts,
    `is_directory` that a directory was found.
    """

    __slots__ = ("is_directory", "is_over", "name", "notes", "redirect")

    def __init__(self, name: bytes, notes: Notes) -> None:
        self.name = name
        self.notes = notes
        self.redirect: bytes | None = None
        self.is_over = False
        self.is_directory = False

    def find_in(self, directory: Dentry, *, is_last: bool) -> Dentry | None:
        """What a layer has; `directory` is its root if the name is a path. Raises EINVAL.

        Linux: fs/overlayfs/namei.c, ovl_lookup_layer.
        """
        if self.name[:1] != b"/":
            return self._find_one(directory, self.name, [self.name], 0, is_last)
        names = self.name[1:].split(b"/")
        at: Dentry | None = directory
        for place, name in enumerate(names):
            if at is None or not at.inode.is_directory:
                return None
            at = self._find_one(at, name, names, place, is_last)
        return at

    def _find_one(
        self, directory: Dentry, name: bytes, names: list[bytes], place: int, is_last: bool
    ) -> Dentry | None:
        """One of the `names` of a path, the one at `place`.

        Linux: fs/overlayfs/namei.c, ovl_lookup_single, ovl_check_redirect.
        """
        found = find_in_layer(directory, name)
        if found is None:
            return None
        inode = found.inode
        is_end = place == len(names) - 1
        if is_whiteout(inode):
            self.is_over = True
            return None
        if not inode.is_directory:
            self.is_over = True
            return None if self.is_directory or not is_end else found
        if is_end:
            self.is_directory = True
        if is_last:
            return found
        if self.notes.is_opaque(inode):
            self.is_over = True
            return found
        redirect = self.notes.redirect_of(inode)
        if redirect is not None:
            if redirect[:1] == b"/":
                # An opaque directory on the way here has no say about it.
                self.is_over = False
            elif self.name[:1] == b"/":
                redirect = b"".join(b"/" + each for each in (*names[:place], redirect))
            after = b"".join(b"/" + each for each in names[place + 1 :])
            self.redirect = self.name = redirect + after
        return found


class FoundLayers:
    """What layers have of a name: the `upper` one, the `lowers`, and where those below have what's in the
    upper one, if elsewhere."""

    __slots__ = ("lowers", "redirect", "upper")

    def __init__(self) -> None:
        self.upper: Dentry | None = None
        self.lowers: list[Dentry] = []
        self.redirect: bytes | None = None


def look_up_in_layers(
    name: bytes,
    upper: Dentry | None,
    lowers: list[Dentry],
    roots: list[Dentry],
    notes: Notes,
    *,
    follows: bool,
) -> FoundLayers:
    """Look for `name` in a directory of the layers, whose `roots` are those below. Raises EINVAL, and EPERM
    for a redirect unless it `follows` some.

    Linux: fs/overlayfs/namei.c, ovl_lookup.
    """
    search, found = Search(name, notes), FoundLayers()
    stack = lowers
    if upper is not None:
        found.upper = search.find_in(upper, is_last=False)
        found.redirect = search.redirect
        if search.name[:1] == b"/":
            stack = roots
    place = 0
    while place < len(stack) and not search.is_over:
        directory = stack[place]
        is_last = place == len(stack) - 1 if not follows else directory.is_descendant_of(roots[-1])
        below = search.find_in(directory, is_last=is_last)
        place += 1
        if below is None:
            continue
        found.lowers.append(below)
        if search.redirect is not None and not follows:
            raise EPERM("redirects aren't followed")
        if search.name[:1] == b"/" and stack is not roots:
            stack = roots
            inside = [at for at, root in enumerate(roots) if below.is_descendant_of(root)]
            # Who changes the layers themselves may have moved it out of all.
            place = inside[0] + 1 if inside else len(roots)
    return found
