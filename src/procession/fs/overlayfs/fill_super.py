"""How an overlay is put together from the layers that were named.

Linux: fs/overlayfs/super.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ELOOP, ENOTDIR, EROFS, Errno
from procession.fs.mounts.context import MS_RDONLY
from procession.fs.overlayfs.layer import find_in_layer
from procession.fs.overlayfs.options import OverlayOptions
from procession.fs.overlayfs.superblock import MAXIMUM_DEPTH, OverlayFileSystem, stacking_depth
from procession.hardware.physical_memory import OutOfFrames

if TYPE_CHECKING:
    from procession.fs.dentry import Dentry, Path
    from procession.fs.mounts.context import MountContext
    from procession.fs.superblock import Superblock


def fill_super(context: MountContext) -> Superblock:
    """Raises EINVAL, EPERM, ELOOP, EROFS, ENOSPC ... Linux: fs/overlayfs/super.c, ovl_fill_super.

    What is wrong with the layers and options together isn't told to who configures it.
    """
    values = context.values
    lowers: list[Path] = values.get("lowers", [])
    upper: Path | None = values.get("upperdir")
    work: Path | None = values.get("workdir")
    options = OverlayOptions(context, has_upper=upper is not None)
    if not lowers:
        raise EINVAL("missing 'lowerdir'")
    if upper is None:
        work = None
        if len(lowers) < 2:
            raise EINVAL("at least 2 lowerdir are needed while upperdir nonexistent")
    else:
        _check_upper(upper, work)
    layers = [*lowers] if upper is None or work is None else [upper, work, *lowers]
    if any(layer.mount.id_map is not None for layer in layers):
        # As before Linux 5.19: the layers are reached without their mounts.
        raise context.refuse("idmapped layers are currently not supported")
    _check_overlaps(layers)
    if stacking_depth(layers) > MAXIMUM_DEPTH:
        raise EINVAL("maximum fs stacking depth exceeded")
    if work is not None:
        _make_work(context, work)
    file_systems = {layer.mount.superblock for layer in layers}
    system = OverlayFileSystem(context.kernel.vfs, upper, lowers, context.subject, options)
    try:
        options.settle_handles(context.subject, layers)
        if upper is not None and not system.notes.can_be_made:
            options.do_without_notes()
        options.settle_layers(context, has_upper=upper is not None, is_one_file_system=len(file_systems) == 1)
        system.settle_uuid()
    except (Errno, OutOfFrames):
        system.shut_down()
        raise
    system.shown = [*_layer_options(values, has_upper=upper is not None), *options.show()]
    if upper is None:
        context.flags |= MS_RDONLY
    return system


def _check_upper(upper: Path, work: Path | None) -> None:
    if work is None:
        raise EINVAL("missing 'workdir'")
    if upper.mount.is_read_only:
        raise EROFS
    if upper.mount is not work.mount:
        raise EINVAL("workdir and upperdir must reside under the same mount")
    if upper.dentry.is_descendant_of(work.dentry) or work.dentry.is_descendant_of(upper.dentry):
        raise EINVAL("workdir and upperdir must be separate subtrees")


def _check_overlaps(layers: list[Path]) -> None:
    """Raise ELOOP if a layer is in another. Linux: fs/overlayfs/super.c, ovl_check_layer."""
    for place, path in enumerate(layers):
        for other in layers[:place]:
            if path.dentry.is_descendant_of(other.dentry) or other.dentry.is_descendant_of(path.dentry):
                raise ELOOP("overlapping layers")


def _make_work(context: MountContext, work: Path) -> None:
    """The directory `work`, where Linux makes what it then moves.

    Linux: fs/overlayfs/super.c, ovl_workdir_create.
    """
    found: Dentry | None = find_in_layer(work.dentry, b"work")
    if found is None:
        work.dentry.children.pop(b"work", None)
        work.dentry.add(b"work", work.inode.mkdir(b"work", 0, context.subject))
    elif not found.inode.is_directory:
        raise ENOTDIR


def _layer_options(values: dict[str, object], *, has_upper: bool) -> list[bytes]:
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
    return shown


def _text(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value
