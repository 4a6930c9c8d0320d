"""A terminal whose master the machine itself holds: it's typed into, and looked at, from outside.

No descriptor of the host is here: the machine feeds a `HostTerminal`, and takes from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.fs.dentry import Path
from procession.fs.namei import look_up_entry
from procession.fs.terminal.devpts import Devpts, SlaveInode

if TYPE_CHECKING:
    from procession.fs.file import File
    from procession.fs.permission import Subject
    from procession.fs.terminal.pty import PtySlave

_CHUNK_BYTES = 4096


class HostTerminal:
    """A pseudo-terminal seen from its master, which is no open file of the machine.

    `slave_path` is where its slave is, in the devpts whose root is `place`; it belongs to `owner`.
    """

    __slots__ = ("is_hung_up", "master", "slave_path")

    def __init__(self, place: Path, owner: Subject) -> None:
        system = place.inode.superblock
        assert isinstance(system, Devpts)
        self.master = system.new_pty(owner)
        self.master.count = 1
        self.master.is_locked = False
        self.slave_path = Path(place.mount, look_up_entry(place.dentry, b"%d" % self.master.number))
        self.is_hung_up = False

    @property
    def slave_tty(self) -> PtySlave:
        """The end that programs have."""
        return self.master.slave

    def open_slave(self, flags: int, subject: Subject) -> File:
        """A new open file for it."""
        inode = self.slave_path.inode
        assert isinstance(inode, SlaveInode)
        return inode.open(self.slave_path, flags, subject)

    @property
    def has_output(self) -> bool:
        """Whether `take` would give anything."""
        return bool(self.master.discipline.buffer)

    @property
    def has_room(self) -> bool:
        """Whether `feed` would take anything."""
        return not self.is_hung_up and self.master.output_room() > 0

    def feed(self, data: bytes) -> int:
        """Type `data`; how much of it there was room for."""
        return 0 if self.is_hung_up else self.master.put_output(data)

    def take(self) -> bytes:
        """What was shown since the last call."""
        master, shown = self.master, bytearray()
        while master.discipline.buffer:
            shown += master.take_input(_CHUNK_BYTES)
        return bytes(shown)

    def resize(self, rows: int, columns: int) -> None:
        """The window outside has this size now."""
        if not self.is_hung_up:
            self.master.resize((rows, columns, 0, 0))

    def send_signal(self, signo: int) -> None:
        """Send what runs in the foreground a signal."""
        self.slave_tty.send_signal(signo)

    def hang_up(self) -> None:
        """Whoever sat there has gone: the session that has the terminal is told."""
        if not self.is_hung_up:
            self.is_hung_up = True
            self.master.close()
