"""The file descriptors of fsopen(2) and fspick(2), and of trees that aren't mounted."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EMSGSIZE, ENODATA, Errno
from procession.fs.anonymous_inode import anonymous_path
from procession.fs.file import O_PATH, O_RDWR, File, PathFile
from procession.fs.mounts.namespace import MountNamespace
from procession.fs.mounts.unmount import unmount_tree
from procession.hardware.physical_memory import OutOfFrames

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.mounts.context import MountContext
    from procession.fs.mounts.mount import Mount
    from procession.fs.permission import Subject
    from procession.fs.user_namespace import UserNamespace
    from procession.fs.vfs import Vfs


class ContextFile(File):
    """A file system that is being configured; reading tells what was wrong (Linux: fs/fsopen.c)."""

    __slots__ = ("context",)

    can_poll: ClassVar[bool] = False
    has_write: ClassVar[bool] = False
    takes_read_flags: ClassVar[bool] = False

    def __init__(self, vfs: Vfs, context: MountContext, subject: Subject) -> None:
        super().__init__(anonymous_path(vfs, "[fscontext]"), O_RDWR, subject)
        self.context = context
        context.messages = []

    def read(self, length: int) -> bytes:
        """The oldest message. Raises ENODATA, EMSGSIZE. Linux: fs/fsopen.c, fscontext_read."""
        messages = self.context.messages
        if not messages:
            raise ENODATA("nothing was wrong")
        if len(messages[0]) > length:
            raise EMSGSIZE(f"a message of {len(messages[0])} bytes")
        return messages.pop(0)

    def release(self) -> None:
        self.context.close()


def open_detached(
    mount: Mount, owner: UserNamespace, origin: MountNamespace | None, subject: Subject
) -> TreeFile:
    """A descriptor of the tree of `mount`, which is put into an anonymous namespace of `owner`.

    `origin` is the namespace from which it was copied, None for none. Raises ENFILE, and then nothing
    remains of the tree.
    """
    namespace = MountNamespace(mount, owner)
    namespace.is_anonymous = True
    namespace.origin = origin
    try:
        return TreeFile(mount.path, subject)
    except (Errno, OutOfFrames):
        unmount_tree(mount)
        namespace.put()
        raise


class TreeFile(PathFile):
    """A place in a tree of mounts that is nobody's: with the last close it's gone, unless it was mounted.

    Linux: fs/namespace.c, dissolve_on_fput.
    """

    __slots__ = ()

    def __init__(self, path: Path, subject: Subject) -> None:
        super().__init__(path, O_PATH, subject)

    def release(self) -> None:
        mount = self.path.mount
        namespace = mount.namespace
        if namespace is not None and namespace.is_anonymous and namespace.root is mount:
            unmount_tree(mount, stays_connected=True)
            namespace.put()
