"""Where a task is in the tree of files: its root and current directory, and its umask."""

from __future__ import annotations

from procession.fs.dentry import Path


class FsContext:
    """What CLONE_FS shares (Linux: include/linux/fs_struct.h, struct fs_struct).

    `umask` holds permission bits. `reference_count` counts the tasks that share it: it is born with one.
    """

    __slots__ = ("cwd", "reference_count", "root", "umask")

    def __init__(self, root: Path, cwd: Path | None = None, umask: int = 0o022) -> None:
        self.root = root
        self.cwd = root if cwd is None else cwd
        self.umask = umask
        self.reference_count = 1
        _use(self.root)
        _use(self.cwd)

    def set_root(self, root: Path) -> None:
        """chroot(2), once everything is checked. Linux: fs/fs_struct.c, set_fs_root."""
        _use(root)
        _leave(self.root)
        self.root = root

    def set_cwd(self, cwd: Path) -> None:
        """chdir(2), once everything is checked. Linux: fs/fs_struct.c, set_fs_pwd."""
        _use(cwd)
        _leave(self.cwd)
        self.cwd = cwd

    def replace(self, old: Path, new: Path) -> None:
        """Whatever of this is at `old` moves to `new`. Linux: fs/fs_struct.c, chroot_fs_refs."""
        if self.root == old:
            self.set_root(new)
        if self.cwd == old:
            self.set_cwd(new)

    def copy(self) -> FsContext:
        """A context of its own for a new task. Linux: fs/fs_struct.c, copy_fs_struct."""
        return FsContext(self.root, self.cwd, self.umask)

    def acquire(self) -> FsContext:
        """One more task shares this one."""
        self.reference_count += 1
        return self

    def put(self) -> None:
        """A task leaves. Linux: fs/fs_struct.c, exit_fs."""
        self.reference_count -= 1
        if self.reference_count == 0:
            _leave(self.root)
            _leave(self.cwd)


def _use(place: Path) -> None:
    """A directory in which somebody is stays, though it may lose its name. Linux: fs/namei.c, path_get."""
    place.mount.user_count += 1
    place.dentry.inode.open_count += 1


def _leave(place: Path) -> None:
    """Linux: fs/namei.c, path_put."""
    inode = place.dentry.inode
    inode.open_count -= 1
    inode.evict_if_unused()
    place.mount.put_user()
