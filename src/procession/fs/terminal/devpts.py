"""devpts: the file system of /dev/pts, and the devices ptmx and tty that lead to terminals (pts(4))."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.device_numbers import Major, device_minor, encode_device
from procession.abi.errno import EINVAL, EIO, ENODEV, ENOENT, ENOSPC, ENXIO, Errno
from procession.abi.numbers import Numbers
from procession.abi.statfs import Magic
from procession.fs.dentry import Path
from procession.fs.file import O_CLOEXEC, O_DIRECT, O_NOCTTY, O_PATH, File, PathFile
from procession.fs.file_system_type import FileSystemType
from procession.fs.host_stream import ConsoleFile
from procession.fs.inode import S_IFCHR, S_IFDIR, DirectoryEntry, Inode
from procession.fs.mounts.context import MountContext, Parameter
from procession.fs.mounts.mount import root_dentry, top_of
from procession.fs.namei import look_up_entry
from procession.fs.superblock import LARGEST_OF_OLD, Superblock
from procession.fs.terminal.pty import MasterFile, PtyMaster, PtySlave
from procession.fs.terminal.tty import Tty, TtyFile
from procession.hardware.kernel_memory import TERMINAL, TERMINAL_BYTES
from procession.hardware.physical_memory import OutOfFrames

if TYPE_CHECKING:
    from procession.fs.host_stream import HostOutput
    from procession.fs.permission import Subject
    from procession.fs.terminal.job_control import JobControl
    from procession.fs.vfs import Vfs

DEVPTS_MAGIC = int(Magic.DEVPTS_SUPER_MAGIC)
MAXIMUM_PTYS = 4096
"""kernel.pty.max: how many there may be, in all instances of devpts together."""
_TTY_MINOR, _CONSOLE_MINOR, _PTMX_MINOR = 0, 1, 2
_ROOT_NUMBER, _PTMX_NUMBER, _FIRST_SLAVE_NUMBER = 1, 2, 3
_NO_LIMIT = 1 << 20


class DevptsOptions:
    """What mount(2) was told: owner, group and mode of new slaves, None for those of who opens the master;
    the mode of `ptmx`; how many there may be."""

    __slots__ = ("gid", "maximum", "mode", "ptmx_mode", "uid")

    def __init__(self, *, gid: int | None = None, mode: int = 0o600, ptmx_mode: int = 0) -> None:
        self.uid: int | None = None
        self.gid = gid
        self.mode = mode
        self.ptmx_mode = ptmx_mode
        self.maximum = _NO_LIMIT

    def show(self) -> bytes:
        """As /proc/mounts has it. Linux: fs/devpts/inode.c, devpts_show_options."""
        parts = []
        if self.uid is not None:
            parts.append(b"uid=%d" % self.uid)
        if self.gid is not None:
            parts.append(b"gid=%d" % self.gid)
        parts += (b"mode=%03o" % self.mode, b"ptmxmode=%03o" % self.ptmx_mode)
        if self.maximum < _NO_LIMIT:
            parts.append(b"max=%d" % self.maximum)
        return b",".join(parts)


class Devpts(Superblock):
    """One instance of devpts (Linux: fs/devpts/inode.c). `slaves` are its terminals by number; the lowest
    of the `numbers` that are free is the next one's."""

    __slots__ = ("jobs", "numbers", "parameters", "slaves")

    block_size: ClassVar[int] = 1024
    largest_file: ClassVar[int] = LARGEST_OF_OLD

    def __init__(self, vfs: Vfs, options: DevptsOptions | None = None) -> None:
        super().__init__(vfs, "devpts", DEVPTS_MAGIC)
        self.jobs = terminal_driver(vfs).jobs
        self.parameters = DevptsOptions() if options is None else options
        self.numbers = Numbers(0)
        self.slaves: dict[int, SlaveInode] = {}
        self.root = DevptsRoot(self)

    def show_options(self) -> bytes:
        return self.parameters.show()

    def allocate_inode_number(self) -> int:
        """Slaves have the numbers that follow from theirs; the others come first."""
        return min(super().allocate_inode_number(), _PTMX_NUMBER)

    def new_pty(self, subject: Subject) -> PtyMaster:
        """A new pair, whose master isn't open yet and whose slave is locked. Raises ENOSPC.

        Linux: drivers/tty/pty.c, ptmx_open.
        """
        limits = terminal_driver(self.vfs).accounts
        if self.numbers.lowest >= self.parameters.maximum or limits.count >= limits.maximum:
            raise ENOSPC("no more pseudo-terminals")
        self.vfs.memory.account.charge(TERMINAL, TERMINAL_BYTES)
        limits.count += 1
        number = self.numbers.take()
        inode = SlaveInode(self, number, subject)
        self.slaves[number] = inode
        events = self.vfs.file_events
        if events is not None:
            events.created(self.root, b"%d" % number, inode)
        return inode.master


class DevptsType(FileSystemType):
    """An instance with terminals of its own. Linux: fs/devpts/inode.c, devpts_fs_type."""

    __slots__ = ()

    name: ClassVar[bytes] = b"devpts"

    def parse(self, context: MountContext, parameter: Parameter) -> bool:
        """Linux: fs/devpts/inode.c, parse_mount_options."""
        key, values = parameter.key, context.values
        if key == b"uid":
            values["uid"] = context.identity(parameter, "uid")
        elif key == b"gid":
            values["gid"] = context.identity(parameter, "gid")
        elif key == b"mode":
            values["mode"] = context.number(parameter, 8) & 0o7777
        elif key == b"ptmxmode":
            values["ptmxmode"] = context.number(parameter, 8) & 0o7777
        elif key == b"max":
            number = context.signed_number(parameter)
            if not 0 <= number <= _NO_LIMIT:
                raise context.refuse("max out of range", names_type=False)
            values["max"] = number
        elif key == b"newinstance":
            context.check_flag(parameter)
        else:
            return False
        return True

    def get_tree(self, context: MountContext) -> Devpts:
        """Linux: fs/devpts/inode.c, devpts_fill_super."""
        system = Devpts(context.kernel.vfs)
        self.reconfigure(context, system)
        return system

    def reconfigure(self, context: MountContext, superblock: Superblock) -> None:
        """What isn't said goes back to the defaults. Linux: fs/devpts/inode.c, devpts_remount."""
        assert isinstance(superblock, Devpts)
        values = context.values
        options = superblock.parameters
        options.uid, options.gid = values.get("uid"), values.get("gid")
        options.mode = values.get("mode", 0o600)
        options.ptmx_mode = values.get("ptmxmode", 0)
        options.maximum = values.get("max", _NO_LIMIT)
        root = superblock.root
        assert isinstance(root, DevptsRoot)
        root.ptmx.mode = S_IFCHR | options.ptmx_mode


class PtyAccounts:
    """How many pseudo-terminals there are in all instances, and may be (proc(5), sys/kernel/pty)."""

    __slots__ = ("count", "maximum")

    def __init__(self) -> None:
        self.count = 0
        self.maximum = MAXIMUM_PTYS


def terminal_driver(vfs: Vfs) -> TerminalDriver:
    """The machine's, which `install_terminals` has put there."""
    driver = vfs.character_drivers[Major.TTYAUX_MAJOR]
    assert isinstance(driver, TerminalDriver)
    return driver


class DevptsRoot(Inode):
    """The root directory: `ptmx` and the slaves, which nobody can add or remove by hand."""

    __slots__ = ("devpts", "ptmx")

    caches_lookups = False

    def __init__(self, superblock: Devpts) -> None:
        super().__init__(superblock, S_IFDIR | 0o755)
        self.devpts = superblock
        self.ptmx = PtmxInode(superblock)

    def lookup(self, name: bytes) -> Inode:
        if name == b"ptmx":
            return self.ptmx
        if name.isdigit() and len(name) < 10:
            slave = self.devpts.slaves.get(int(name))
            if slave is not None and name == b"%d" % slave.number_of_pty:
                return slave
        raise ENOENT

    def list_entries(self) -> list[DirectoryEntry]:
        kind = S_IFCHR >> 12
        slaves = self.devpts.slaves
        entries = [
            DirectoryEntry(b"%d" % number, inode.number, kind) for number, inode in reversed(slaves.items())
        ]
        return [*entries, DirectoryEntry(b"ptmx", self.ptmx.number, kind)]


class PtmxInode(Inode):
    """`ptmx` in a devpts: opening it makes a new terminal there."""

    __slots__ = ("devpts",)

    def __init__(self, superblock: Devpts) -> None:
        mode = S_IFCHR | superblock.parameters.ptmx_mode
        super().__init__(superblock, mode, rdev=encode_device(Major.TTYAUX_MAJOR, _PTMX_MINOR))
        self.devpts = superblock

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        return open_master(self.devpts, path, flags, subject)


class SlaveInode(Inode):
    """The device of a slave, there as long as its master is open."""

    __slots__ = ("devpts", "master", "number_of_pty")

    def __init__(self, superblock: Devpts, number: int, subject: Subject) -> None:
        options = superblock.parameters
        super().__init__(
            superblock,
            S_IFCHR | options.mode,
            subject.fsuid if options.uid is None else options.uid,
            subject.fsgid if options.gid is None else options.gid,
            encode_device(Major.UNIX98_PTY_SLAVE_MAJOR, number),
        )
        self.devpts = superblock
        self.number = _FIRST_SLAVE_NUMBER + number
        self.number_of_pty = number
        self.master = PtyMaster(superblock.jobs, number, self)

    @property
    def slave(self) -> PtySlave:
        """The terminal."""
        return self.master.slave

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        if self.link_count <= 0:
            raise EIO("its master is closed")
        return open_tty(self.slave, path, flags, subject)

    def remove(self) -> None:
        """Its master is closed: the name goes. Linux: fs/devpts/inode.c, devpts_pty_kill."""
        superblock = self.devpts
        del superblock.slaves[self.number_of_pty]
        self.link_count = 0
        root = superblock.root_dentry
        if root is not None and root.volatile_children is not None:
            entry = root.volatile_children.get(b"%d" % self.number_of_pty)
            if entry is not None:
                root.remove(entry)
        events = superblock.vfs.file_events
        if events is not None:
            events.deleted(superblock.root, b"%d" % self.number_of_pty, self)
        self.evict_if_unused()

    def give_number_back(self) -> None:
        """Neither end is open any more: another terminal may have the number.

        Linux: fs/devpts/inode.c, devpts_kill_index.
        """
        vfs = self.devpts.vfs
        self.devpts.numbers.give_back(self.number_of_pty)
        terminal_driver(vfs).accounts.count -= 1
        vfs.memory.account.uncharge(TERMINAL, TERMINAL_BYTES)


def open_master(system: Devpts, path: Path, flags: int, subject: Subject) -> TtyFile:
    """Open the master of a new terminal."""
    master = system.new_pty(subject)
    try:
        file = MasterFile(path, flags, subject, master)
    except (Errno, OutOfFrames):
        master.close()
        raise
    master.count = 1
    return file


def open_tty(tty: Tty, path: Path, flags: int, subject: Subject) -> TtyFile:
    """Open a terminal that exists; without O_NOCTTY it may become the controlling one.

    Raises EIO, EBUSY. Linux: drivers/tty/tty_io.c, tty_open.
    """
    tty.reopen()
    try:
        file = TtyFile(path, flags, subject, tty)
    except (Errno, OutOfFrames):
        tty.count -= 1
        raise
    tty.opened()
    if not flags & O_NOCTTY and file.is_readable:
        tty.jobs.opened(tty)
    return file


class TerminalDriver:
    """The devices of major number 5: tty, console and ptmx (Linux: drivers/tty/tty_io.c).

    The console is `console`, a stream that leads out of the machine, unless a terminal is mounted on its
    node; without a stream there is none.
    """

    __slots__ = ("accounts", "allows_typing", "console", "jobs")

    def __init__(self, jobs: JobControl) -> None:
        self.jobs = jobs
        self.console: tuple[HostOutput, int] | None = None
        # Whether whoever isn't privileged may put input into his own terminal (dev.tty.legacy_tiocsti).
        self.allows_typing = True
        self.accounts = PtyAccounts()

    def open(self, path: Path, flags: int, subject: Subject) -> File:
        minor = device_minor(path.inode.rdev)
        if minor == _TTY_MINOR:
            tty = self.jobs.current_terminal()
            if tty is None:
                raise ENXIO("no controlling terminal")
            return open_tty(tty, path, flags | O_NOCTTY, subject)
        if minor == _PTMX_MINOR:
            place = devpts_beside(path)
            system = place.inode.superblock
            assert isinstance(system, Devpts)
            return open_master(system, path, flags, subject)
        if minor == _CONSOLE_MINOR:
            if self.console is None:
                raise ENODEV("there is no console")
            output, number = self.console
            return ConsoleFile(path, flags, subject, output, number)
        raise ENXIO


class PtyDriver:
    """The devices of major numbers 128 and 136: only devpts leads to a terminal."""

    __slots__ = ()

    def open(self, path: Path, flags: int, subject: Subject) -> File:
        raise EIO


def devpts_beside(path: Path) -> Path:
    """The root of the devpts that a file `ptmx` belongs to: its own, or the one mounted on `pts` beside it.

    Raises ENOENT, ENODEV. Linux: fs/devpts/inode.c, devpts_mntget, devpts_ptmx_path.
    """
    mount, dentry = path
    if isinstance(mount.superblock, Devpts):
        return Path(mount, root_dentry(mount.superblock))
    beside = top_of(Path(mount, look_up_entry(dentry.parent, b"pts")))
    if not isinstance(beside.inode, DevptsRoot):
        raise ENODEV
    return beside


def open_peer(master: TtyFile, flags: int, subject: Subject) -> File:
    """Open the slave of a master by no name at all (TIOCGPTPEER). Raises EIO for anything but a master.

    Linux: drivers/tty/pty.c, ptm_open_peer.
    """
    tty = master.tty
    if not isinstance(tty, PtyMaster):
        raise EIO
    place = devpts_beside(master.path)
    entry = look_up_entry(place.dentry, b"%d" % tty.number)
    if entry.inode is not tty.slave_inode:
        raise EIO
    path = Path(place.mount, entry)
    if flags & O_PATH:
        place_file = PathFile(path, flags, subject)
        # Nothing is taken out of them: Linux: fs/open.c, dentry_open.
        place_file.flags = flags
        return place_file
    file = tty.slave_inode.open(path, flags, subject)
    # It's what open(2) takes out of the flags, and nothing else.
    file.flags |= flags & O_CLOEXEC
    if flags & O_DIRECT:
        # Linux finds that out when the file has been opened: fs/open.c, do_dentry_open.
        file.release_if_unheld()
        raise EINVAL("there is no direct access to a terminal")
    return file


def install_terminals(vfs: Vfs, jobs: JobControl, console: tuple[HostOutput, int] | None = None) -> None:
    """Let device nodes lead to terminals; `console` is a stream outside and its number."""
    driver = TerminalDriver(jobs)
    driver.console = console
    vfs.character_drivers[Major.TTYAUX_MAJOR] = driver
    for major in (Major.UNIX98_PTY_MASTER_MAJOR, Major.UNIX98_PTY_SLAVE_MAJOR):
        vfs.character_drivers[major] = PtyDriver()
