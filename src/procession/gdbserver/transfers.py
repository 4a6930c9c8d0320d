"""What the debugger reads of the machine as objects: qXfer, and the guest's files by vFile."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from procession.abi.errno import EBADF, EMFILE, Errno
from procession.abi.word import Words
from procession.fs.dentry import absolute_path
from procession.gdbserver.packet import escaped
from procession.gdbserver.registers import TARGET_DESCRIPTION
from procession.gdbserver.stop import process_number, thread_id
from procession.kernel.program.exec import Program

if TYPE_CHECKING:
    from collections.abc import Iterable

    from procession.kernel.task import Task
    from procession.machine import Machine

LONGEST_READ = 1 << 14
_MOST_FILES, _MOST_FILE_BYTES = 64, 1 << 29
"""What may be open at once: the guest chooses which files a debugger reads, and how large they are."""
_STAT = Words(">IIIIIIIQQQIII")
"""The protocol's struct stat: dev, ino, mode, nlink, uid, gid, rdev, size, blksize, blocks, three times."""
_REGULAR = 0o100644
_BLOCK = 4096


def part_of(data: bytes, asked: bytes) -> bytes:
    """The piece `OFFSET,LENGTH` of an object, marked as the last one or not. Raises ValueError."""
    offset, length = (int(word, 16) for word in asked.split(b","))
    piece = data[offset : offset + min(length, LONGEST_READ)]
    return (b"m" if offset + len(piece) < len(data) else b"l") + escaped(piece)


def target_description() -> bytes:
    """qXfer:features."""
    return TARGET_DESCRIPTION.encode()


def program_name(task: Task) -> bytes:
    """qXfer:exec-file: the path of the program that a process runs, b"" if it runs none any more."""
    program = task.mm.executable
    if not isinstance(program, Program):
        return b""
    return absolute_path(program.path, task.fs.root)


def thread_list(tasks: Iterable[Task]) -> bytes:
    """qXfer:threads."""
    lines = [
        f'<thread id="{thread_id(task).decode()}" core="0" name="{_text(task.command_name)}"/>'
        for task in tasks
    ]
    return ('<?xml version="1.0"?><threads>' + "".join(lines) + "</threads>").encode()


def _text(data: bytes) -> str:
    return escape(data.decode("ascii", "replace").replace("\ufffd", "?"), {'"': "&quot;"})


def _table(kind: str, rows: Iterable[dict[str, str]]) -> bytes:
    items = "".join(
        "<item>"
        + "".join(f'<column name="{name}">{value}</column>' for name, value in row.items())
        + "</item>"
        for row in rows
    )
    return f'<?xml version="1.0"?><osdata type="{kind}">{items}</osdata>'.encode()


def system_table(machine: Machine, kind: bytes) -> bytes:
    """qXfer:osdata, as `info os` shows it: all of the machine, whoever is debugged."""
    tasks = list(machine.kernel.tasks)
    if kind == b"":
        kinds = {"processes": "Listing of all processes", "threads": "Listing of all threads"}
        return _table("types", [{"Type": name, "Description": text} for name, text in kinds.items()])
    if kind == b"processes":
        return _table(
            "processes",
            [
                {
                    "pid": str(process_number(task)),
                    "user": str(task.credentials.uid),
                    "command": _text(task.command_name),
                    "cores": "0",
                }
                for task in tasks
                if task is task.group.leader
            ],
        )
    if kind == b"threads":
        return _table(
            "threads",
            [
                {
                    "pid": str(process_number(task)),
                    "command": _text(task.command_name),
                    "tid": str(task.tid),
                    "core": "0",
                }
                for task in tasks
            ],
        )
    raise ValueError("no such table")


class GuestFiles:
    """The guest's files as the debugger reads them; nothing is ever written (vFile).

    What a path leads to is remembered in a machine, and what is read is cached: guests could tell, by their
    clocks. So a second machine in the same state reads it. There can't be one while the kernel is in the
    middle of something: then the last one does.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.twin: Machine | None = None
        self.open_files: dict[int, bytes] = {}
        self.last_number = 2

    def answer(self, operation: bytes, argument: bytes) -> bytes:
        """What vFile:OPERATION:ARGUMENT is answered. Raises ValueError."""
        try:
            return self._answer(operation, argument)
        except Errno as error:
            return b"F-1,%x" % error.number

    def _answer(self, operation: bytes, argument: bytes) -> bytes:
        if operation == b"setfs":
            return b"F0"
        if operation == b"open":
            path, flags, _ = argument.split(b",")
            if int(flags, 16) & 3:
                raise EBADF("files are only read")
            return self._open(bytes.fromhex(path.decode()))
        if operation == b"pread":
            number, count, offset = (int(word, 16) for word in argument.split(b","))
            data = self._data(number)[offset : offset + min(count, LONGEST_READ)]
            return b"F%x;" % len(data) + escaped(data)
        if operation == b"close":
            self.open_files.pop(int(argument, 16), None)
            return b"F0"
        if operation == b"fstat":
            size = len(self._data(int(argument, 16)))
            status = _STAT.pack(0, 0, _REGULAR, 1, 0, 0, 0, size, _BLOCK, -(-size // 512), 0, 0, 0)
            return b"F%x;" % len(status) + escaped(status)
        if operation == b"readlink":
            target = self._reader().read_link(bytes.fromhex(argument.decode()))
            return b"F%x;" % len(target) + escaped(target)
        return b""

    def _open(self, path: bytes) -> bytes:
        if len(self.open_files) >= _MOST_FILES:
            raise EMFILE
        room = _MOST_FILE_BYTES - sum(map(len, self.open_files.values()))
        data = self._reader().read_file(path, most_bytes=room)
        self.last_number += 1
        self.open_files[self.last_number] = data
        return b"F%x" % self.last_number

    def _reader(self) -> Machine:
        """A machine whose caches are nobody's. Raises EBADF if there is none."""
        try:
            fresh = self.machine.fork()
        except ValueError:
            if self.twin is None:
                raise EBADF("the kernel is in the middle of something") from None
            return self.twin
        self.close()
        self.twin = fresh
        return fresh

    def close(self) -> None:
        """Nothing more will be read."""
        twin, self.twin = self.twin, None
        if twin is not None:
            twin.close()

    def _data(self, number: int) -> bytes:
        data = self.open_files.get(number)
        if data is None:
            raise EBADF
        return data
