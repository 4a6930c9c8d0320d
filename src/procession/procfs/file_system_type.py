"""The options of proc, and how it's mounted (proc(5))."""

from __future__ import annotations

from typing import ClassVar

from procession.fs.file_system_type import FileSystemType
from procession.fs.mounts.context import MountContext, Parameter, parse_number
from procession.fs.superblock import Superblock
from procession.procfs.file_system import HidePid, ProcFileSystem


class ProcType(FileSystemType):
    """An instance of its own for each mount. Linux: fs/proc/root.c, proc_fs_type."""

    __slots__ = ()

    name: ClassVar[bytes] = b"proc"
    is_always_visible: ClassVar[bool] = False

    def begin(self, context: MountContext) -> None:
        """It shows the pid namespace of who mounts it. Linux: fs/proc/root.c, proc_init_fs_context."""
        context.show_namespace(context.task.pid_namespace)

    def parse(self, context: MountContext, parameter: Parameter) -> bool:
        """Linux: fs/proc/root.c, proc_parse_param."""
        key, values = parameter.key, context.values
        if key == b"gid":
            values["gid"] = context.owner.make_kgid(context.number(parameter))
        elif key == b"hidepid":
            values["hidepid"] = self._hide(context, parameter)
        elif key == b"subset":
            for name in context.string(parameter).split(b","):
                if name != b"pid":
                    raise context.refuse(
                        f"unsupported subset option - {name.decode(errors='surrogateescape')}\n"
                    )
            values["subset"] = True
        else:
            return False
        return True

    def _hide(self, context: MountContext, parameter: Parameter) -> int:
        """Linux: fs/proc/root.c, proc_parse_hidepid_param."""
        text = context.string(parameter)
        number = parse_number(text)
        if number is None:
            name = text.decode(errors="surrogateescape")
            level = _NAMES.get(text)
            if level is None:
                raise context.refuse(f"unknown value of hidepid - {name}\n")
            return level
        if number not in set(HidePid):
            raise context.refuse(f"unknown value of hidepid - {text.decode()}\n")
        return number

    def get_tree(self, context: MountContext) -> Superblock:
        """Linux: fs/proc/root.c, proc_fill_super."""
        system = ProcFileSystem(context.kernel, context.namespace)
        self.reconfigure(context, system)
        return system

    def reconfigure(self, context: MountContext, superblock: Superblock) -> None:
        """Linux: fs/proc/root.c, proc_apply_options."""
        assert isinstance(superblock, ProcFileSystem)
        values = context.values
        superblock.hidden_from = values.get("hidepid", superblock.hidden_from)
        superblock.trusted_group = values.get("gid", superblock.trusted_group)
        superblock.shows_processes_only |= "subset" in values


_NAMES = {
    b"off": int(HidePid.OFF),
    b"noaccess": int(HidePid.NO_ACCESS),
    b"invisible": int(HidePid.INVISIBLE),
    b"ptraceable": int(HidePid.NOT_PTRACEABLE),
}
