"""Who a machine's command runs as: a user and groups by name or number, as the guest's own files tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import Errno
from procession.abi.named_tuple import NamedTuple
from procession.abi.open_flags import OpenFlag
from procession.fs import namei
from procession.fs.fs_context import FsContext
from procession.kernel.security.credentials import UNCHANGED

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.security.credentials import Credentials

_O_RDONLY = int(OpenFlag.O_RDONLY)
_LARGEST_FILE_BYTES = 16 << 20


class Login(NamedTuple):
    """A user: ids, supplementary groups in ascending order, and the home directory."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def find_login(kernel: Kernel, reader: Credentials, wanted: str) -> Login:
    """Find `USER` or `USER:GROUP`, each a name of the guest's /etc/passwd and /etc/group or a number.

    `reader` has the rights with which they are read. A number needs no entry; without one the group is 0 and
    the home directory `/`. With GROUP there are no supplementary groups, otherwise those that list the user.
    Raises ValueError for an unknown name.
    """
    user, colon, group = wanted.partition(":")
    if not user or (colon and not group):
        raise ValueError(f"{wanted!r} isn't a user, or a user and a group with a colon between")
    context = FsContext(kernel.init_namespaces.mounts.root_path)
    try:
        users = _entries(context, reader, b"/etc/passwd", 7)
        all_groups = _entries(context, reader, b"/etc/group", 4)
    finally:
        context.put()
    number = _number(user)
    known = next((entry for entry in users if entry[0] == user), None)
    if known is None and number is not None:
        known = next((entry for entry in users if _number(entry[2]) == number), None)
    if known is not None:
        number = _number(known[2])
    if number is None:
        raise ValueError(f"no user is called {user!r} in /etc/passwd")
    home = known[5] if known is not None and known[5] else "/"
    if group:
        return Login(number, _find_group(all_groups, group), (), home)
    if known is None:
        return Login(number, 0, (), home)
    gid = _number(known[3]) or 0
    listed = (_number(entry[2]) for entry in all_groups if known[0] in entry[3].split(","))
    return Login(number, gid, tuple(sorted({found for found in listed if found is not None})), home)


def _find_group(groups: list[list[str]], wanted: str) -> int:
    known = next((entry for entry in groups if entry[0] == wanted), None)
    number = _number(wanted if known is None else known[2])
    if number is None:
        raise ValueError(f"no group is called {wanted!r} in /etc/group")
    return number


def _number(text: str) -> int | None:
    """The id that `text` is, None if it's none: -1 means "unchanged" in Linux's calls."""
    if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) < UNCHANGED:
        return int(text)
    return None


def _entries(context: FsContext, reader: Credentials, name: bytes, field_count: int) -> list[list[str]]:
    """The lines of one of passwd(5) or group(5), split; none where the guest has no such file."""
    try:
        path = namei.lookup(context, reader, name)
        file = path.dentry.inode.open(path, _O_RDONLY, reader)
        file.acquire()
        try:
            text = file.read_at(0, _LARGEST_FILE_BYTES)
        finally:
            file.put()
    except Errno:
        return []
    lines = (line.split(":") for line in text.decode("utf-8", "surrogateescape").splitlines())
    return [fields for fields in lines if len(fields) == field_count]
