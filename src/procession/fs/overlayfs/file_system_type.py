"""The options of overlayfs, and how it's mounted."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EINVAL, EROFS
from procession.fs.file_system_type import FileSystemType
from procession.fs.mounts.context import MS_RDONLY, MountContext, Parameter, ParameterKind
from procession.fs.namei import lookup

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.superblock import Superblock

CHOICES = {
    b"redirect_dir": (b"off", b"follow", b"nofollow", b"on"),
    b"index": (b"off", b"on"),
    b"nfs_export": (b"off", b"on"),
    b"uuid": (b"off", b"null", b"auto", b"on"),
    b"xino": (b"off", b"auto", b"on"),
    b"metacopy": (b"off", b"on"),
    b"verity": (b"off", b"on", b"require"),
    b"fsync": (b"volatile", b"auto", b"strict"),
}
_FLAGS = (b"default_permissions", b"userxattr", b"volatile", b"override_creds", b"nooverride_creds")
_MAXIMUM_LAYERS = 500


class OverlayType(FileSystemType):
    """Linux: fs/overlayfs/super.c, ovl_fs_type."""

    __slots__ = ()

    name: ClassVar[bytes] = b"overlay"

    def split_options(self, options: bytes) -> list[bytes]:
        """Commas in names are escaped by a backslash. Linux: fs/overlayfs/params.c, ovl_next_opt."""
        return _split(options, ord(","))

    def parse(self, context: MountContext, parameter: Parameter) -> bool:
        """Linux: fs/overlayfs/params.c, ovl_parse_param."""
        key, values = parameter.key, context.values
        if not context.is_for_mount:
            if context.is_old_call:
                return True
            raise context.refuse("No changes allowed in reconfigure")
        if key == b"lowerdir":
            text = parameter.text
            if parameter.kind == ParameterKind.STRING and not text:
                # Linux: fs/overlayfs/params.c, ovl_reset_lowerdirs.
                for name in ("lowers", "lowerdir", "added"):
                    values.pop(name, None)
                return True
            names = _split(context.string(parameter), ord(":"))
            if not all(names) or len(names) > _MAXIMUM_LAYERS:
                raise EINVAL("empty lowerdir" if not all(names) else "too many lower directories")
            values["lowers"] = [self._find(context, _unescaped(name)) for name in names]
            values["lowerdir"] = text
        elif key in (b"lowerdir+", b"datadir+"):
            if key == b"datadir+":
                raise EINVAL("data-only layers aren't configured in")
            lowers = values.setdefault("lowers", [])
            if "lowerdir" in values:
                raise context.refuse("lowerdir+ and datadir+ cannot follow lowerdir")
            if len(lowers) >= _MAXIMUM_LAYERS:
                raise EINVAL("too many lower directories")
            lowers.append(self._layer(context, parameter))
            values.setdefault("added", []).append(parameter.text)
        elif key in (b"upperdir", b"workdir"):
            values[key.decode()] = self._layer(context, parameter)
            values[key.decode() + "_name"] = parameter.text
        elif key in CHOICES:
            text = context.string(parameter)
            if text not in CHOICES[key]:
                raise context.bad_value(parameter)
            values[key.decode()] = text
        elif key in _FLAGS:
            context.check_flag(parameter)
            values[key.decode()] = True
        else:
            return False
        return True

    def _layer(self, context: MountContext, parameter: Parameter) -> Path:
        """A layer by its name, or by a descriptor of it."""
        if parameter.kind == ParameterKind.FILE and parameter.start is not None:
            path = parameter.start
            if not path.inode.is_directory:
                raise context.bad_value(parameter)
            return path
        return self._find(context, _unescaped(context.string(parameter)))

    def _find(self, context: MountContext, name: bytes) -> Path:
        """Raises ENOENT, ENOTDIR and others. Linux: fs/overlayfs/params.c, ovl_mount_dir_noesc."""
        task = context.task
        path: Path = lookup(task.fs, task.credentials, name)
        if not path.inode.is_directory:
            context.note(f"{name.decode(errors='surrogateescape')} is not a directory")
            raise EINVAL("a layer that isn't a directory")
        return path

    def get_tree(self, context: MountContext) -> Superblock:
        from procession.fs.overlayfs.fill_super import fill_super

        return fill_super(context)

    def reconfigure(self, context: MountContext, superblock: Superblock) -> None:
        """Raises EROFS without an upper layer. Linux: fs/overlayfs/params.c, ovl_reconfigure."""
        from procession.fs.overlayfs.superblock import OverlayFileSystem

        has_no_upper = isinstance(superblock, OverlayFileSystem) and superblock.upper is None
        if has_no_upper and not context.flags & MS_RDONLY:
            raise EROFS("no upper layer")


def _split(text: bytes, separator: int) -> list[bytes]:
    """The parts of `text` between separators that no backslash precedes."""
    parts: list[bytes] = []
    start = at = 0
    while at < len(text):
        if text[at] == ord("\\"):
            at += 1
        elif text[at] == separator:
            parts.append(text[start:at])
            start = at + 1
        at += 1
    parts.append(text[start:])
    return parts


def _unescaped(name: bytes) -> bytes:
    """Without the backslashes before other characters. Linux: fs/overlayfs/params.c, ovl_unescape."""
    plain = bytearray()
    at = 0
    while at < len(name):
        if name[at] == ord("\\") and at + 1 < len(name):
            at += 1
        plain.append(name[at])
        at += 1
    return bytes(plain)
