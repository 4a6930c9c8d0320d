"""The options of overlayfs, and how it's mounted."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EINVAL, ELOOP, ENOTDIR, EROFS
from procession.fs.dentry import Dentry, Path
from procession.fs.file_system_type import FileSystemType
from procession.fs.mounts.context import MS_RDONLY, MountContext, Parameter, ParameterKind
from procession.fs.namei import lookup

if TYPE_CHECKING:
    from procession.fs.superblock import Superblock

_CHOICES = {
    b"redirect_dir": (b"off", b"follow", b"nofollow", b"on"),
    b"index": (b"off", b"on"),
    b"nfs_export": (b"off", b"on"),
    b"uuid": (b"off", b"null", b"auto", b"on"),
    b"xino": (b"off", b"auto", b"on"),
    b"metacopy": (b"off", b"on"),
    b"verity": (b"off", b"on", b"require"),
    b"fsync": (b"volatile", b"auto", b"strict"),
}
_BUILT = {
    b"redirect_dir": (b"off", b"nofollow"),
    b"index": (b"off",),
    b"nfs_export": (b"off",),
    b"uuid": (b"null", b"auto", b"off", b"on"),
    b"xino": (b"off", b"auto"),
    b"metacopy": (b"off",),
    b"verity": (b"off",),
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
            text = context.string(parameter)
            names = _split(text, ord(":"))
            if not all(names) or len(names) > _MAXIMUM_LAYERS:
                raise context.refuse("empty lowerdir" if not all(names) else "too many lower directories")
            values["lowers"] = [self._find(context, _unescaped(name)) for name in names]
            values["lowerdir"] = text
        elif key in (b"lowerdir+", b"datadir+"):
            if key == b"datadir+":
                raise context.refuse("data-only layers aren't configured in")
            lowers = values.setdefault("lowers", [])
            if "lowerdir" in values or len(lowers) >= _MAXIMUM_LAYERS:
                raise context.refuse("lowerdir+ can't be added to lowerdir")
            lowers.append(self._layer(context, parameter))
            values.setdefault("added", []).append(parameter.text)
        elif key in (b"upperdir", b"workdir"):
            values[key.decode()] = self._layer(context, parameter)
            values[key.decode() + "_name"] = parameter.text
        elif key in _CHOICES:
            text = context.string(parameter)
            if text not in _CHOICES[key]:
                raise context.bad_value(parameter)
            if text not in _BUILT[key]:
                raise context.refuse(f"{key.decode()}={text.decode()} isn't configured in")
            values[key.decode()] = text
        elif key in _FLAGS:
            if parameter.kind != ParameterKind.FLAG:
                raise context.bad_value(parameter)
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
        """Linux: fs/overlayfs/super.c, ovl_fill_super."""
        from procession.fs.overlayfs.superblock import MAXIMUM_DEPTH, OverlayFileSystem, stacking_depth

        values = context.values
        lowers: list[Path] = values.get("lowers", [])
        upper: Path | None = values.get("upperdir")
        work: Path | None = values.get("workdir")
        if not lowers:
            raise context.refuse("missing 'lowerdir'")
        if upper is None:
            work = None
            if len(lowers) < 2:
                raise context.refuse("at least 2 lowerdir are needed while upperdir nonexistent")
        else:
            self._check_upper(context, upper, work)
        layers = [*lowers] if upper is None or work is None else [upper, work, *lowers]
        if any(layer.mount.id_map is not None for layer in layers):
            # As before Linux 5.19: the layers are reached without their mounts.
            raise context.refuse("idmapped layers are currently not supported")
        self._check_overlaps(layers)
        if stacking_depth(layers) > MAXIMUM_DEPTH:
            raise context.refuse("maximum fs stacking depth exceeded")
        if work is not None:
            self._make_work(context, work)
        system = OverlayFileSystem(
            context.kernel.vfs, upper, lowers, context.subject, uses_user_names="userxattr" in values
        )
        system.shown = self._options(values, has_upper=upper is not None)
        if upper is None:
            context.flags |= MS_RDONLY
        return system

    def reconfigure(self, context: MountContext, superblock: Superblock) -> None:
        """Raises EROFS without an upper layer. Linux: fs/overlayfs/params.c, ovl_reconfigure."""
        from procession.fs.overlayfs.superblock import OverlayFileSystem

        has_no_upper = isinstance(superblock, OverlayFileSystem) and superblock.upper is None
        if has_no_upper and not context.flags & MS_RDONLY:
            raise EROFS("no upper layer")

    def _check_upper(self, context: MountContext, upper: Path, work: Path | None) -> None:
        if work is None:
            raise context.refuse("missing 'workdir'")
        if upper.mount.is_read_only:
            raise EROFS
        if upper.mount is not work.mount:
            raise context.refuse("workdir and upperdir must reside under the same mount")
        if upper.dentry.is_descendant_of(work.dentry) or work.dentry.is_descendant_of(upper.dentry):
            raise context.refuse("workdir and upperdir must be separate subtrees")

    def _check_overlaps(self, layers: list[Path]) -> None:
        """Raise ELOOP if a layer is in another. Linux: fs/overlayfs/super.c, ovl_check_layer."""
        for place, path in enumerate(layers):
            for other in layers[:place]:
                if path.dentry.is_descendant_of(other.dentry) or other.dentry.is_descendant_of(path.dentry):
                    raise ELOOP("overlapping layers")

    def _make_work(self, context: MountContext, work: Path) -> None:
        """The directory `work`, where Linux makes what it then moves.

        Linux: fs/overlayfs/super.c, ovl_workdir_create.
        """
        from procession.fs.overlayfs.layer import find_in_layer

        found: Dentry | None = find_in_layer(work.dentry, b"work")
        if found is None:
            work.dentry.children.pop(b"work", None)
            work.dentry.add(b"work", work.inode.mkdir(b"work", 0, context.subject))
        elif not found.inode.is_directory:
            raise ENOTDIR

    def _options(self, values: dict[str, object], *, has_upper: bool) -> list[bytes]:
        """As mountinfo has them. Linux: fs/overlayfs/params.c, ovl_show_options."""
        shown: list[bytes] = []
        if "lowerdir" in values:
            shown.append(b"lowerdir=" + _text(values["lowerdir"]))
        added = values.get("added")
        if isinstance(added, list):
            shown += [b"lowerdir+=" + _text(name) for name in added]
        if has_upper:
            shown.append(b"upperdir=" + _text(values["upperdir_name"]))
            shown.append(b"workdir=" + _text(values["workdir_name"]))
        if "default_permissions" in values:
            shown.append(b"default_permissions")
        redirect = values.get("redirect_dir")
        if isinstance(redirect, bytes) and redirect != b"off":
            shown.append(b"redirect_dir=" + redirect)
        if has_upper:
            shown.append(b"uuid=" + _text(values.get("uuid", b"on")))
        if "volatile" in values or values.get("fsync") == b"volatile":
            shown.append(b"fsync=volatile")
        if "userxattr" in values:
            shown.append(b"userxattr")
        return shown


def _text(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value


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
