"""The options of tmpfs, and how it's mounted (tmpfs(5))."""

from __future__ import annotations

from typing import ClassVar

from procession.abi.errno import EINVAL
from procession.fs.file_system_type import FileSystemType
from procession.fs.mounts.context import MountContext, Parameter, parse_size
from procession.fs.permission import CAP_SYS_ADMIN
from procession.fs.policy_option import parse_policy
from procession.fs.superblock import Superblock
from procession.fs.tmpfs import Tmpfs

_HUGE = (b"never", b"always", b"within_size", b"advise", b"deny", b"force")
_LONG_MAX = (1 << 63) - 1
_BOGUS_INODE_SIZE = 1024


class TmpfsType(FileSystemType):
    """Linux: mm/shmem.c, shmem_fs_type."""

    __slots__ = ()

    name: ClassVar[bytes] = b"tmpfs"

    def split_options(self, options: bytes) -> list[bytes]:
        """As others, but a comma before a digit belongs to the option: a list of nodes.

        Linux: mm/shmem.c, shmem_parse_options.
        """
        found: list[bytes] = []
        for part in options.split(b","):
            if found and part[:1].isdigit():
                found[-1] += b"," + part
            else:
                found.append(part)
        return found

    def parse(self, context: MountContext, parameter: Parameter) -> bool:
        """Linux: mm/shmem.c, shmem_parse_one."""
        key, values = parameter.key, context.values
        if key == b"size":
            values["blocks"] = self._blocks(context, parameter)
        elif key == b"nr_blocks":
            number, rest = parse_size(context.string(parameter))
            if rest or number > _LONG_MAX:
                raise context.bad_value(parameter)
            values["blocks"] = number
        elif key == b"nr_inodes":
            number, rest = parse_size(context.string(parameter))
            if rest or number > 0xFFFF_FFFF_FFFF_FFFF // _BOGUS_INODE_SIZE:
                raise context.bad_value(parameter)
            values["inodes"] = number
        elif key == b"mode":
            values["mode"] = context.number(parameter, 8) & 0o7777
        elif key == b"uid":
            values["uid"] = context.identity(parameter, "uid")
        elif key == b"gid":
            values["gid"] = context.identity(parameter, "gid")
        elif key in (b"inode32", b"inode64", b"noswap"):
            context.check_flag(parameter)
            if key == b"noswap":
                first = context.kernel.vfs.init_user_namespace
                if context.owner is not first or not context.task.credentials.capable(CAP_SYS_ADMIN):
                    raise context.refuse("Turning off swap in unprivileged tmpfs mounts unsupported")
                values["noswap"] = True
            else:
                values["has_full_numbers"] = key == b"inode64"
        elif key == b"mpol":
            try:
                values["policy"] = parse_policy(context.string(parameter))
            except EINVAL:
                raise context.bad_value(parameter) from None
        elif key == b"huge":
            if context.string(parameter) not in _HUGE:
                raise context.bad_value(parameter)
            if parameter.text not in (b"never", b"deny"):
                # The machine's processors have no transparent huge pages.
                raise context.refuse("Unsupported parameter 'huge'")
        else:
            return False
        return True

    def _blocks(self, context: MountContext, parameter: Parameter) -> int:
        text = context.string(parameter)
        number, rest = parse_size(text)
        if rest[:1] == b"%":
            number = (number << 12) * context.kernel.memory.frame_count // 100
            rest = rest[1:]
        if rest:
            raise context.bad_value(parameter)
        return -(-number // 4096)

    def get_tree(self, context: MountContext) -> Superblock:
        """Linux: mm/shmem.c, shmem_fill_super. No limit at all, as 0 says, is what the memory allows."""
        values = context.values
        pages = context.kernel.memory.frame_count
        blocks = values.get("blocks")
        inodes = values.get("inodes")
        system = Tmpfs(
            context.kernel.vfs,
            mode=values.get("mode", 0o1777),
            uid=values.get("uid", context.subject.fsuid),
            gid=values.get("gid", context.subject.fsgid),
            maximum_pages=None if blocks is None else min(blocks or pages, pages),
            maximum_inodes=inodes or None,
        )
        system.limits = (blocks, inodes)
        system.is_unswappable = "noswap" in values
        system.memory_policy = values.get("policy", 0)
        system.has_full_numbers = values.get("has_full_numbers", False)
        return system

    def reconfigure(self, context: MountContext, superblock: Superblock) -> None:
        """Only limits change, and not below what is used. Linux: mm/shmem.c, shmem_reconfigure."""
        assert isinstance(superblock, Tmpfs)
        values = context.values
        blocks, inodes = values.get("blocks"), values.get("inodes")
        old_blocks, old_inodes = superblock.limits
        if blocks:
            if old_blocks == 0:
                raise context.refuse("Cannot retroactively limit size")
            if blocks < superblock.page_count:
                raise context.refuse("Too small a size for current use")
        if inodes:
            if old_inodes == 0:
                raise context.refuse("Cannot retroactively limit inodes")
            if inodes < superblock.used_inodes:
                raise context.refuse("Too few inodes for current use")
        if "noswap" in values and not superblock.is_unswappable:
            raise context.refuse("Cannot disable swap on remount")
        superblock.memory_policy = values.get("policy") or superblock.memory_policy
        superblock.has_full_numbers = values.get("has_full_numbers", superblock.has_full_numbers)
        pages = context.kernel.memory.frame_count
        if blocks is not None:
            superblock.maximum_pages = min(blocks or pages, pages)
        if inodes is not None:
            superblock.maximum_inodes = inodes or superblock.default_inodes
        superblock.limits = (
            old_blocks if blocks is None else blocks,
            old_inodes if inodes is None else inodes,
        )
