"""The files of a machine before its first program: its root, and what is mounted in it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from procession.abi.errno import ENOENT, ENOTDIR, Errno
from procession.fs import namei
from procession.fs.devices import Devtmpfs, DevtmpfsType
from procession.fs.directory import make_directory
from procession.fs.file_system_type import register
from procession.fs.fs_context import FsContext
from procession.fs.inotify import set_first_limits
from procession.fs.internal_type import PipeFileSystemType, SocketFileSystemType
from procession.fs.kernel_log import KERN_NOTICE
from procession.fs.mounts.mount import MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RELATIME
from procession.fs.mounts.namespace import first_namespace
from procession.fs.namespace import PID_NUMBER
from procession.fs.overlay import Overlay
from procession.fs.overlayfs.file_system_type import OverlayType
from procession.fs.ramfs import RamfsType
from procession.fs.terminal.devpts import Devpts, DevptsOptions, DevptsType, install_terminals
from procession.fs.tmpfs import Tmpfs
from procession.fs.tmpfs_type import TmpfsType
from procession.fs.vfs import Vfs
from procession.kernel.ipc import MqueueType
from procession.kernel.ipc.posix_queue import queues_of
from procession.kernel.namespaces.pid import PidNamespace
from procession.kernel.namespaces.proxy import first_namespaces
from procession.kernel.namespaces.uts import RELEASE
from procession.kernel.security.credentials import Credentials
from procession.kernel.terminal import TerminalJobs
from procession.net.tun.driver import install_tun
from procession.procfs.binfmt_misc import BinaryFormatType
from procession.procfs.cgroup.file_system_type import CGROUP_MOUNT_FLAGS, CgroupType, cgroups_of
from procession.procfs.file_system import ProcFileSystem
from procession.procfs.file_system_type import ProcType
from procession.procfs.sysfs import SysfsType, sysfs_of

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.host_source import HostSource
    from procession.fs.host_stream import HostOutput
    from procession.hardware.fault_injection import FaultInjector
    from procession.kernel.kernel import Kernel

FILE_SYSTEM_TYPES = (
    SysfsType(),
    TmpfsType(),
    RamfsType(),
    ProcType(),
    DevtmpfsType(),
    BinaryFormatType(),
    DevptsType(),
    OverlayType(),
    MqueueType(),
    CgroupType(),
    PipeFileSystemType(),
    SocketFileSystemType(),
)
"""What mount(2) can mount, and what it knows but leaves to the kernel."""
_TTY_GROUP = 5


def register_types() -> None:
    """Let all file systems that there are be mounted."""
    for kind in FILE_SYSTEM_TYPES:
        register(kind)


def devpts_options() -> DevptsOptions:
    """How /dev/pts is mounted: a terminal belongs to whom has opened it, and to the group `tty`."""
    return DevptsOptions(gid=_TTY_GROUP, mode=0o620)


def mount_first(
    kernel: Kernel,
    rootfs: str,
    source: HostSource | None,
    host_name: bytes,
    *,
    console: tuple[HostOutput, int],
    injector: FaultInjector | None = None,
) -> None:
    """Mount the root, what `source` or the host's directory `rootfs` has, and what every machine has in it.

    This makes the kernel's first namespaces too. `console` is where /dev/console leads without a terminal: a
    stream outside and its number.
    """
    vfs = Vfs(kernel.memory, kernel.clock, kernel)
    vfs.caller = vfs.init_user_namespace.caller = kernel
    kernel.vfs = vfs
    vfs.accounts.caller = kernel
    vfs.log.append(KERN_NOTICE, b"Linux version %s (Procession)" % RELEASE, time_ns=0)
    set_first_limits(vfs.init_user_namespace, vfs.memory.frame_count)
    kernel.init_pid_namespace = PidNamespace(vfs.namespaces, vfs.init_user_namespace, None, PID_NUMBER)
    if injector is not None:
        from procession.kernel.fault_injection import inject_failures

        inject_failures(kernel, injector)
    install_terminals(vfs, TerminalJobs(kernel), console)
    install_tun(vfs, kernel)
    mounts = first_namespace(Overlay(vfs, rootfs, source=source))
    mounts.root_path.mount.flags = MS_RELATIME
    kernel.init_namespaces = first_namespaces(kernel, mounts, host_name)
    for name, superblock, flags in (
        (b"/dev", Devtmpfs(vfs), MS_NOSUID),
        (b"/dev/pts", Devpts(vfs, devpts_options()), MS_NOSUID | MS_NOEXEC),
        (b"/dev/shm", Tmpfs(vfs), MS_NOSUID | MS_NODEV),
        (b"/dev/mqueue", queues_of(kernel, kernel.init_namespaces.ipc), MS_NOSUID | MS_NODEV | MS_NOEXEC),
        (b"/proc", ProcFileSystem(kernel, kernel.init_pid_namespace), MS_NOSUID | MS_NODEV | MS_NOEXEC),
        (b"/sys", sysfs_of(kernel, kernel.init_namespaces.network), MS_NOSUID | MS_NODEV | MS_NOEXEC),
        (b"/sys/fs/cgroup", cgroups_of(kernel), CGROUP_MOUNT_FLAGS),
    ):
        place = find_place(kernel, name, is_made=True)
        if place is not None:
            mounts.mount(superblock, place, flags | MS_RELATIME)


def find_place(
    kernel: Kernel, name: bytes, *, is_directory: bool = True, is_made: bool = False
) -> Path | None:
    """A directory, or a file, of the tree; None if there is none, and none could be made there.

    With `is_made` a directory that isn't there is made, in memory as all that is written.
    """
    context = FsContext(kernel.init_namespaces.mounts.root_path)
    root = Credentials.for_root(kernel.vfs.init_user_namespace)
    try:
        if is_made:
            with suppress(Errno):
                make_directory(context, root, name, None, 0o755)
        return namei.lookup(context, root, name, must_be_directory=is_directory)
    except (ENOENT, ENOTDIR):
        return None
    finally:
        context.put()


def make_directories(kernel: Kernel, name: bytes) -> None:
    """Make a directory and those that lead to it, as docker does for the one where a program starts."""
    parts = name.split(b"/")
    for count in range(1, len(parts)):
        find_place(kernel, b"/".join(parts[: count + 1]), is_made=True)
