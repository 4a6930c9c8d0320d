"""statmount and listmount: what is known of mounts by their ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.device_numbers import device_major, device_minor
from procession.abi.errno import E2BIG, EFAULT, EINVAL, ENOENT, EOVERFLOW, EPERM
from procession.abi.mount_flags import (
    LSMT_ROOT,
    MNT_ID_REQ_SIZE_VER0,
    STATMOUNT_SUPPORTED,
    ListmountFlag,
    MntIdReq,
    MountAttribute,
    StatmountFields,
    StatmountMask,
)
from procession.abi.word import pack_u64
from procession.fs.dentry import Path, name_in_file_system, path_below
from procession.fs.mounts.attributes import attributes_of
from procession.fs.mounts.context import MS_DIRSYNC, MS_LAZYTIME, MS_RDONLY, MS_SYNCHRONOUS
from procession.fs.mounts.mount import FIRST_MOUNT_ID, MountId, is_reachable
from procession.fs.mounts.namespace import MountNamespace
from procession.fs.mounts.peers import (
    MS_PRIVATE,
    MS_SHARED,
    MS_SLAVE,
    MS_UNBINDABLE,
    dominating_group,
)
from procession.fs.permission import CAP_SYS_ADMIN
from procession.hardware.page_table import USER_END
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Address, Flags, Size
from procession.syscalls.sized_structure import read_sized

if TYPE_CHECKING:
    from procession.fs.mounts.mount import Mount
    from procession.kernel.task import Task

_PAGE_SIZE = 4096
_MOST_IDS = 1_000_000
_LARGEST_ID = (1 << 64) - 1
_STRINGS = int(
    StatmountMask.STATMOUNT_FS_TYPE
    | StatmountMask.STATMOUNT_MNT_ROOT
    | StatmountMask.STATMOUNT_MNT_POINT
    | StatmountMask.STATMOUNT_MNT_OPTS
    | StatmountMask.STATMOUNT_FS_SUBTYPE
    | StatmountMask.STATMOUNT_SB_SOURCE
    | StatmountMask.STATMOUNT_OPT_ARRAY
    | StatmountMask.STATMOUNT_OPT_SEC_ARRAY
    | StatmountMask.STATMOUNT_MNT_UIDMAP
    | StatmountMask.STATMOUNT_MNT_GIDMAP
)
_ID_MAPS = (
    (int(StatmountMask.STATMOUNT_MNT_UIDMAP), "mnt_uidmap"),
    (int(StatmountMask.STATMOUNT_MNT_GIDMAP), "mnt_gidmap"),
)
_IDMAP = int(MountAttribute.MOUNT_ATTR_IDMAP)
_SHOWN_FLAGS = MS_RDONLY | MS_SYNCHRONOUS | MS_DIRSYNC | MS_LAZYTIME


def _read_request(task: Task, address: int) -> MntIdReq:
    """struct mnt_id_req. Raises EFAULT, E2BIG, EINVAL. Linux: fs/namespace.c, copy_mnt_id_req."""
    size = int.from_bytes(task.mm.read(address, 4), "little")
    if size > _PAGE_SIZE:
        raise E2BIG
    if size < MNT_ID_REQ_SIZE_VER0:
        raise EINVAL("too small a structure")
    request = MntIdReq.unpack(read_sized(task.mm, address, size, MntIdReq.SIZE))
    if request.mnt_ns_fd or request.mnt_id < FIRST_MOUNT_ID:
        raise EINVAL("not an id of a mount")
    return request


def _namespace_for(task: Task, number: int) -> MountNamespace:
    """The namespace that the request names, or the caller's own. Raises ENOENT."""
    own = task.namespaces.mounts
    if not number or number == own.id:
        return own
    for namespace in task.kernel.vfs.namespaces.live.values():
        if (
            isinstance(namespace, MountNamespace)
            and namespace.id == number
            and not namespace.is_anonymous
            and task.credentials.ns_capable(namespace.owner, CAP_SYS_ADMIN)
        ):
            return namespace
    raise ENOENT("no such namespace")


def _root_of(task: Task, namespace: MountNamespace) -> Path:
    """What the caller sees as root in `namespace`. Linux: fs/namespace.c, grab_requested_root."""
    return task.fs.root if namespace is task.namespaces.mounts else namespace.root_path


def _check_reachable(task: Task, namespace: MountNamespace, path: Path, root: Path) -> None:
    if not is_reachable(path, root) and not task.credentials.ns_capable(namespace.owner, CAP_SYS_ADMIN):
        raise EPERM("not below the root directory")


@syscall(457)
def statmount(task: Task, request: Address, buffer: Address, size: Size, flags: Flags[StatmountMask]) -> int:
    """statmount(2). Linux: fs/namespace.c, SYSCALL_DEFINE4(statmount)."""
    if flags:
        raise EINVAL
    wanted = _read_request(task, request)
    namespace = _namespace_for(task, wanted.mnt_ns_id)
    if buffer + size > USER_END:
        raise EFAULT
    # Linux: fs/namespace.c, prepare_kstatmount.
    if wanted.param & _STRINGS and size == StatmountFields.SIZE:
        raise EOVERFLOW("no room for any string")
    mount = namespace.mounts.get(MountId(wanted.mnt_id))
    if mount is None:
        raise ENOENT("no such mount")
    root = _root_of(task, namespace)
    _check_reachable(task, namespace, mount.path, root)
    fields, strings = _describe(task, namespace, mount, root, wanted.param)
    if len(strings) > 1 and StatmountFields.SIZE + len(strings) > size:
        raise EOVERFLOW("no room for the strings")
    copied = min(size, StatmountFields.SIZE)
    fields.size = copied + len(strings)
    if strings:
        task.mm.write(buffer + StatmountFields.SIZE, strings)
    task.mm.write(buffer, fields.pack()[:copied])
    return 0


def _describe(
    task: Task, namespace: MountNamespace, mount: Mount, root: Path, mask: int
) -> tuple[StatmountFields, bytes]:
    """What `mask` asks for, and the strings to which offsets point; the first is empty.

    Linux: fs/namespace.c, do_statmount.
    """
    fields = StatmountFields()
    superblock = mount.superblock
    parent = mount.parent or mount
    got = 0
    if mask & StatmountMask.STATMOUNT_SB_BASIC:
        got |= StatmountMask.STATMOUNT_SB_BASIC
        fields.sb_dev_major = device_major(superblock.device)
        fields.sb_dev_minor = device_minor(superblock.device)
        fields.sb_magic = superblock.magic
        fields.sb_flags = superblock.flags & _SHOWN_FLAGS & ~MS_RDONLY | superblock.is_read_only
    if mask & StatmountMask.STATMOUNT_MNT_BASIC:
        got |= StatmountMask.STATMOUNT_MNT_BASIC
        fields.mnt_id, fields.mnt_parent_id = mount.id, parent.id
        fields.mnt_id_old, fields.mnt_parent_id_old = mount.number, parent.number
        fields.mnt_attr = attributes_of(mount.flags) | (_IDMAP if mount.id_map is not None else 0)
        fields.mnt_propagation = _propagation_of(mount)
        fields.mnt_peer_group = mount.group
        fields.mnt_master = 0 if mount.master is None else mount.master.group
    if mask & StatmountMask.STATMOUNT_PROPAGATE_FROM:
        got |= StatmountMask.STATMOUNT_PROPAGATE_FROM
        fields.propagate_from = dominating_group(mount, task.fs.root)
    if mask & StatmountMask.STATMOUNT_MNT_NS_ID:
        got |= StatmountMask.STATMOUNT_MNT_NS_ID
        fields.mnt_ns_id = namespace.id
    if mask & StatmountMask.STATMOUNT_SUPPORTED_MASK:
        got |= StatmountMask.STATMOUNT_SUPPORTED_MASK
        fields.supported_mask = STATMOUNT_SUPPORTED
    # One that is asked for and that there isn't points to the empty string as well.
    strings = b"\0" if mask & _STRINGS else b""
    for flag, name, text in _strings_of(mount, root):
        if mask & flag and text:
            setattr(fields, name, len(strings))
            strings += text + b"\0"
            got |= flag
    if mount.id_map is not None:
        reader = task.credentials.user_namespace
        for flag, name in _ID_MAPS:
            if not mask & flag:
                continue
            lines = mount.id_map.lines(reader, is_of_groups=flag == StatmountMask.STATMOUNT_MNT_GIDMAP)
            setattr(fields, name + "_num", len(lines))
            # Even if none of its ids is anybody's for the caller.
            got |= flag
            if lines:
                setattr(fields, name, len(strings))
                strings += b"".join(line + b"\0" for line in lines) + b"\0"
    if got & StatmountMask.STATMOUNT_OPT_ARRAY:
        fields.opt_num = len(superblock.show_options().split(b","))
    fields.mask = int(got)
    return fields, strings


def _propagation_of(mount: Mount) -> int:
    """Linux: fs/namespace.c, mnt_to_propagation_flags."""
    kind = MS_SHARED if mount.group else 0
    if mount.master is not None:
        kind |= MS_SLAVE
    if mount.is_unbindable:
        kind |= MS_UNBINDABLE
    return kind or MS_PRIVATE


def _strings_of(mount: Mount, root: Path) -> list[tuple[int, str, bytes]]:
    """The strings in the order in which they are laid out: which they are, where their offset is."""
    superblock = mount.superblock
    options = superblock.show_options()
    place, is_below = path_below(mount.path, root)
    return [
        (StatmountMask.STATMOUNT_FS_TYPE, "fs_type", superblock.type_name.encode()),
        (StatmountMask.STATMOUNT_MNT_ROOT, "mnt_root", name_in_file_system(mount.root)),
        (StatmountMask.STATMOUNT_MNT_POINT, "mnt_point", place if is_below else b""),
        (StatmountMask.STATMOUNT_MNT_OPTS, "mnt_opts", options),
        (StatmountMask.STATMOUNT_OPT_ARRAY, "opt_array", options.replace(b",", b"\0")),
        (StatmountMask.STATMOUNT_SB_SOURCE, "sb_source", mount.source),
    ]


@syscall(458)
def listmount(task: Task, request: Address, ids: Address, count: Size, flags: Flags[ListmountFlag]) -> int:
    """listmount(2). Linux: fs/namespace.c, SYSCALL_DEFINE4(listmount)."""
    if flags & ~ListmountFlag.LISTMOUNT_REVERSE:
        raise EINVAL
    if count > _MOST_IDS:
        raise EOVERFLOW
    if ids + 8 * count > USER_END:
        raise EFAULT
    wanted = _read_request(task, request)
    last = wanted.param
    if last and last < FIRST_MOUNT_ID:
        raise EINVAL("not an id of a mount")
    namespace = _namespace_for(task, wanted.mnt_ns_id)
    root = _root_of(task, namespace)
    origin = root
    if wanted.mnt_id != LSMT_ROOT:
        mount = namespace.mounts.get(MountId(wanted.mnt_id))
        if mount is None:
            raise ENOENT("no such mount")
        origin = mount.path
    _check_reachable(task, namespace, origin, root)
    is_reversed = bool(flags & ListmountFlag.LISTMOUNT_REVERSE)
    if last == _LARGEST_ID and not is_reversed:
        # Linux looks for one from the next number on, which is 0.
        last = 0
    found: list[int] = []
    for mount_id in sorted(namespace.mounts, reverse=is_reversed):
        if len(found) == count:
            break
        if last and (mount_id >= last if is_reversed else mount_id <= last):
            continue
        if mount_id != wanted.mnt_id and is_reachable(namespace.mounts[mount_id].path, origin):
            found.append(mount_id)
    task.mm.write(ids, b"".join(map(pack_u64, found)))
    return len(found)
