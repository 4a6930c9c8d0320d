"""The names of local sockets: abstract ones, those that the kernel makes up, and files (unix(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EADDRINUSE, ECONNREFUSED, EEXIST, EINVAL, ENOSPC, EPROTOTYPE
from procession.abi.file_mode import S_IFMT
from procession.abi.socket import UNIX_PATH_MAX, AddressFamily
from procession.abi.word import pack_u16
from procession.fs.directory import make_node
from procession.fs.inode import S_IFSOCK
from procession.fs.mounts.id_map import through
from procession.fs.namei import lookup
from procession.fs.permission import MAY_WRITE

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.net.host import Caller
    from procession.net.unix.socket import UnixSocket

_FAMILY = pack_u16(AddressFamily.AF_UNIX)
_FAMILY_LENGTH = 2
_LAST_AUTOMATIC = 0xFFFFF


class UnixNames:
    """The local sockets of a network.

    `abstract` maps kinds and names, with the NUL that they begin with, to their sockets: those of each kind
    have names of their own. `sockets` has all sockets in the order in which they were made.
    `next_automatic` numbers the names that the kernel makes up.
    """

    __slots__ = ("abstract", "next_automatic", "sockets")

    def __init__(self) -> None:
        self.abstract: dict[tuple[int, bytes], UnixSocket] = {}
        self.sockets: dict[UnixSocket, None] = {}
        self.next_automatic = 0

    def automatic_name(self, kind: int) -> bytes:
        """A free name of five hexadecimal digits for a socket of `kind`.

        Linux: net/unix/af_unix.c, unix_autobind.
        """
        for _ in range(_LAST_AUTOMATIC + 1):
            name = b"\0%05x" % self.next_automatic
            self.next_automatic = self.next_automatic + 1 & _LAST_AUTOMATIC
            if (kind, name) not in self.abstract:
                return name
        raise ENOSPC("all automatic names are taken")


def parse_address(address: bytes) -> bytes:
    """The name in a sockaddr_un: a path without its NUL, or an abstract name with its own.

    Raises EINVAL. Linux: net/unix/af_unix.c, unix_validate_addr, unix_mkname_bsd.
    """
    if not _FAMILY_LENGTH < len(address) <= _FAMILY_LENGTH + UNIX_PATH_MAX:
        raise EINVAL("the length of the address")
    if address[:2] != _FAMILY:
        raise EINVAL("not an address of AF_UNIX")
    name = address[_FAMILY_LENGTH:]
    if name[0] == 0:
        return name
    return name.split(b"\0", 1)[0]


def wants_automatic_name(address: bytes) -> bool:
    """Whether bind(2) of `address` asks the kernel for a name."""
    return address == _FAMILY


def format_address(name: bytes | None) -> bytes:
    """The sockaddr_un of a name, as long as it is; None for no name."""
    if name is None:
        return _FAMILY
    return _FAMILY + name if name[0] == 0 else _FAMILY + name + b"\0"


def make_socket_file(socket: UnixSocket, name: bytes, caller: Caller) -> Path:
    """Make the file `name` for `socket`, which it leads to from now on. Raises EADDRINUSE ...

    Linux: net/unix/af_unix.c, unix_bind_bsd.
    """
    file = socket.file
    permissions = file.inode.mode & 0o7777 if file is not None else 0o777
    try:
        path = make_node(caller.fs, caller.credentials, name, None, S_IFSOCK | permissions)
    except EEXIST:
        raise EADDRINUSE("there is such a file") from None
    path.inode.pipe = socket
    path.inode.open_count += 1
    path.mount.user_count += 1
    return path


def forget_socket_file(path: Path) -> None:
    """The socket that was bound to `path` is gone; the name stays."""
    inode = path.inode
    inode.pipe = None
    inode.open_count -= 1
    path.mount.put_user()
    inode.evict_if_unused()


def find_socket(names: UnixNames, name: bytes, kind: int, caller: Caller) -> UnixSocket:
    """The socket called `name`. Raises ECONNREFUSED if there is none, EPROTOTYPE if it's of another kind.

    Linux: net/unix/af_unix.c, unix_find_other.
    """
    from procession.net.unix.socket import UnixSocket

    if name[0] == 0:
        found = names.abstract.get((kind, name))
        if found is None:
            raise ECONNREFUSED("no socket of this kind has this name")
        return found
    path = lookup(caller.fs, caller.credentials, name)
    inode = path.inode
    inode.check_permission(through(path.mount, caller.credentials), MAY_WRITE)
    if inode.mode & S_IFMT != S_IFSOCK:
        raise ECONNREFUSED("no socket")
    owner = inode.pipe
    if not isinstance(owner, UnixSocket):
        raise ECONNREFUSED("no socket has this name any more")
    if owner.kind != kind:
        raise EPROTOTYPE
    inode.touch_accessed(path.mount.flags)
    return owner
