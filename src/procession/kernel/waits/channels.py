"""What processes can talk through, who holds which end, and what is on its way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procession.abi.named_tuple import NamedTuple
from procession.fs.dentry import absolute_path
from procession.fs.eventfd import EventFile
from procession.fs.mqueue import QueueFile
from procession.fs.pipe import FifoFile, PipeFile
from procession.fs.terminal.tty import TtyFile
from procession.kernel.ipc.namespace import IpcNamespace
from procession.kernel.pidfd import PidFile
from procession.kernel.task_state import ENDED
from procession.mm.vma import PROT_WRITE
from procession.net.socket_file import SocketFile
from procession.net.unix.socket import UnixSocket

if TYPE_CHECKING:
    from procession.fs.file import File
    from procession.fs.lock import FileLocks
    from procession.kernel.kernel import Kernel
    from procession.kernel.pid import Pid
    from procession.kernel.task import Task
    from procession.mm.page_cache import PageCache
    from procession.mm.vma import VirtualMemoryArea
    from procession.net.socket import Socket

_SHOWN_VALUES = 8
_FAMILIES = {1: "unix", 2: "IPv4", 10: "IPv6", 16: "netlink"}


class Party(NamedTuple):
    """A process at the end of a channel: its id and name, and by which descriptor, None for none.

    What `is_on_its_way` is in a message that the process hasn't received yet (SCM_RIGHTS).
    """

    pid: int
    name: str
    descriptor: int | None = None
    is_on_its_way: bool = False

    def __str__(self) -> str:
        if self.is_on_its_way:
            return f"{self.pid} ({self.name}) once it has received it"
        place = "" if self.descriptor is None else f" by descriptor {self.descriptor}"
        return f"{self.pid} ({self.name}){place}"


class Channel:
    """Something that processes can talk through.

    `kind` says what it is, `name` which one, `queued` what is in it now. `readers` and `writers` are who can
    take from it and put into it; for what has no direction, as shared memory, everybody is both.
    """

    __slots__ = ("kind", "name", "queued", "readers", "writers")

    def __init__(self, kind: str, name: str, queued: str) -> None:
        self.kind = kind
        self.name = name
        self.queued = queued
        self.readers: list[Party] = []
        self.writers: list[Party] = []

    def add(self, party: Party, *, reads: bool, writes: bool) -> None:
        """One more at its ends."""
        if reads:
            self.readers.append(party)
        if writes:
            self.writers.append(party)

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that have an end of it, each once."""
        return tuple(dict.fromkeys(party.pid for party in (*self.readers, *self.writers)))

    def __str__(self) -> str:
        readers = ", ".join(map(str, self.readers)) or "nobody"
        writers = ", ".join(map(str, self.writers)) or "nobody"
        ends = f"between {readers}" if readers == writers else f"from {writers} to {readers}"
        return f"{self.kind} {self.name}: {self.queued}; {ends}"


class ChannelMap:
    """All channels of a machine by the object that they are about.

    `holders` says for the end of a connection, an open file or a lock who has it; `threads_of_parties` keeps
    the ids of the threads behind a list of parties, by its id().
    """

    __slots__ = ("channels", "holders", "kernel", "root", "threads_of_parties")

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.root = kernel.init_namespaces.mounts.root_path
        self.channels: dict[Any, Channel] = {}
        self.holders: dict[Any, list[Party]] = {}
        self.threads_of_parties: dict[int, tuple[list[Party], tuple[int, ...]]] = {}
        for task, table in distinct_tables(kernel):
            for fd, file in table:
                self._add_file(file, Party(task.tgid, name_of_task(task), fd))
        for task, file in files_of_calls_alone(kernel):
            self._add_file(file, Party(task.tgid, name_of_task(task)))
        self._add_files_on_their_way()
        self._add_locks()
        self._add_memory()
        for namespace in kernel.vfs.namespaces.live.values():
            if isinstance(namespace, IpcNamespace):
                self._add_objects(namespace)

    def holders_of(self, end: Any) -> list[Party]:
        """Who has that end."""
        return self.holders.get(end, [])

    def named(self, file: File) -> str:
        """What /proc/PID/fd calls an open file."""
        return absolute_path(file.path, self.root).decode(errors="replace")

    # Open files

    def _add_file(self, file: File, party: Party) -> None:
        self.holders.setdefault(file, []).append(party)
        kind = file.inode.superblock.type_name
        if isinstance(file, PipeFile):
            channel = self.channels.get(file.pipe)
            if channel is None:
                name = self.named(file)
                queued = f"{file.pipe.length} bytes"
                channel = Channel("FIFO" if isinstance(file, FifoFile) else "pipe", name, queued)
                self.channels[file.pipe] = channel
            channel.add(party, reads=file.is_readable, writes=file.is_writable)
        elif isinstance(file, EventFile):
            channel = self.channels.setdefault(
                file, Channel("eventfd", str(file.number), f"the count is {file.count}")
            )
            channel.add(party, reads=True, writes=True)
        elif kind == "sockfs":
            self._add_socket(file, party)
        elif kind == "mqueue":
            self._add_queue(file, party)
        elif isinstance(file, PidFile):
            self._add_pidfd(file, party)
        else:
            self._add_terminal(file, party)

    def _add_files_on_their_way(self) -> None:
        """Open files in messages that wait: whoever can receive a message has its files too."""
        sockets = [end for end in self.holders if isinstance(end, UnixSocket)]
        for socket in sockets:
            receivers = dict.fromkeys(party.pid for party in self.holders[socket])
            parties = [party for party in self.holders[socket] if receivers.pop(party.pid, 0) is None]
            for message in socket.messages:
                for file in () if message.files is None else message.files.files:
                    inner = getattr(file, "socket", None)
                    if isinstance(inner, UnixSocket) and inner not in self.holders:
                        sockets.append(inner)
                    for party in parties:
                        self._add_file(file, Party(party.pid, party.name, None, True))

    def _add_pidfd(self, file: PidFile, party: Party) -> None:
        target = file.target
        if target is None:
            return
        channel = self.channels.get(file)
        if channel is None:
            pending = (target.group.shared_pending.mask | target.pending.mask).bit_count()
            channel = Channel("pidfd", f"of {target.tid}", f"{pending} signals pending")
            channel.add(Party(target.tgid, name_of_task(target)), reads=True, writes=False)
            self.channels[file] = channel
        channel.add(party, reads=False, writes=True)

    def _add_socket(self, file: File, party: Party) -> None:
        if not isinstance(file, SocketFile):
            return
        socket = file.socket
        self.holders.setdefault(socket, []).append(party)
        peer: Socket | None = getattr(socket, "peer", None)
        subject = socket if peer is None or socket.cookie < peer.cookie else peer
        channel = self.channels.get(subject)
        if channel is None:
            family = _FAMILIES.get(socket.family, f"family {socket.family}")
            name = socket_name(subject)
            queued = f"{socket.unread_bytes} bytes"
            if peer is not None:
                name = f"{name} and {socket_name(peer if subject is socket else socket)}"
                queued = (
                    f"{subject.unread_bytes} and {(peer if subject is socket else socket).unread_bytes} bytes"
                )
            channel = self.channels[subject] = Channel(f"{family} socket", name, queued)
        channel.add(party, reads=True, writes=True)

    def _add_queue(self, file: File, party: Party) -> None:
        if not isinstance(file, QueueFile):
            return
        queue = file.message_queue
        channel = self.channels.get(queue)
        if channel is None:
            queued = f"{len(queue.messages)} of {queue.message_limit} messages, {queue.byte_count} bytes"
            channel = self.channels[queue] = Channel("POSIX message queue", self.named(file), queued)
        channel.add(party, reads=file.is_readable, writes=file.is_writable)

    def _add_terminal(self, file: File, party: Party) -> None:
        if not isinstance(file, TtyFile):
            return
        tty = file.tty
        self.holders.setdefault(tty, []).append(party)
        channel = self.channels.get(tty.pair)
        if channel is None:
            queued = f"{len(tty.pair.pending)} bytes to its programs"
            channel = self.channels[tty.pair] = Channel("terminal", self.named(file), queued)
        channel.add(party, reads=True, writes=True)

    def _add_locks(self) -> None:
        """Files that somebody has locked."""
        seen: dict[FileLocks, File] = {}
        for file in self.holders:
            locks = getattr(getattr(file, "inode", None), "locks", None)
            if locks is not None and (locks.records or locks.whole):
                seen.setdefault(locks, file)
        for locks, file in seen.items():
            count = len(locks.records) + len(locks.whole)
            channel = Channel("file lock", self.named(file), f"{count} locks held")
            for party in lock_holders(self, locks):
                channel.add(party, reads=True, writes=True)
            self.channels[locks] = channel

    # Memory

    def _add_memory(self) -> None:
        """Pages that several processes have mapped, of whom one may write."""
        found: dict[PageCache, list[tuple[Party, VirtualMemoryArea]]] = {}
        for task in first_of_spaces(self.kernel):
            party = Party(task.tgid, name_of_task(task))
            for area in task.mm.areas:
                if area.is_shared and area.pages is not None:
                    found.setdefault(area.pages, []).append((party, area))
        for pages, mappings in found.items():
            parties = list(dict.fromkeys(party for party, _ in mappings))
            if len(parties) < 2 or not any(area.may_write for _, area in mappings):
                continue
            area = mappings[0][1]
            file: Any = area.file
            name = f"at {area.start:#x}" if file is None else self.named(file)
            channel = Channel("shared memory", name, f"{len(pages.frames)} pages")
            for party in parties:
                rights = [each.protection for owner, each in mappings if owner == party]
                channel.add(party, reads=True, writes=any(right & PROT_WRITE for right in rights))
            self.channels[pages] = channel

    # System V objects

    def _add_objects(self, namespace: IpcNamespace) -> None:
        for segment in namespace.segments.ordered():
            pages = segment.path.inode.pages
            mapped = self.channels.pop(pages, None)
            channel = Channel("shared memory", _object_name(segment), f"{segment.size} bytes")
            if mapped is not None:
                channel.readers, channel.writers = mapped.readers, mapped.writers
            else:
                for task in first_of_spaces(self.kernel):
                    if any(area.pages is pages for area in task.mm.areas):
                        channel.add(Party(task.tgid, name_of_task(task)), reads=True, writes=True)
            self.channels[pages] = channel
        for semaphores in namespace.semaphores.ordered():
            values = " ".join(map(str, semaphores.values[:_SHOWN_VALUES]))
            more = " ..." if len(semaphores.values) > _SHOWN_VALUES else ""
            channel = Channel("semaphores", _object_name(semaphores), f"values {values}{more}")
            tasks = [wait.task for wait in (*semaphores.watching, *semaphores.altering)]
            tasks += holders_of_undos(self.kernel, semaphores)
            tasks += [task for task in map(self.task_of, dict.fromkeys(semaphores.pids)) if task is not None]
            for party in dict.fromkeys(Party(task.tgid, name_of_task(task)) for task in tasks):
                channel.add(party, reads=True, writes=True)
            self.channels[semaphores] = channel
        for queue in namespace.messages.ordered():
            queued = f"{len(queue.messages)} messages, {queue.byte_count} of {queue.byte_limit} bytes"
            channel = Channel("message queue", _object_name(queue), queued)
            last_reader, last_writer = self.task_of(queue.last_receiver), self.task_of(queue.last_sender)
            readers = [*(wait.task for wait in queue.receivers), last_reader]
            writers = [*(wait.task for wait in queue.senders), last_writer]
            channel.readers = _parties(readers)
            channel.writers = _parties(writers)
            self.channels[queue] = channel

    def task_of(self, pid: Pid | None) -> Task | None:
        """The task with that id, if it still runs."""
        task = None if pid is None else pid.task
        return None if task is None or task.state in ENDED else task


def _parties(tasks: list[Task | None]) -> list[Party]:
    return list(dict.fromkeys(Party(task.tgid, name_of_task(task)) for task in tasks if task is not None))


def _object_name(found: Any) -> str:
    return f"{found.id}" if not found.key else f"{found.id} (key {found.key & 0xFFFFFFFF:#x})"


def name_of_task(task: Task) -> str:
    """The name of the program that `task` runs."""
    return task.command_name.decode(errors="replace")


def living_tasks(kernel: Kernel) -> list[Task]:
    """All tasks that haven't ended."""
    return [task for task in kernel.tasks if task.state not in ENDED]


def distinct_tables(kernel: Kernel) -> list[tuple[Task, Any]]:
    """The tables of descriptors, each once for each process that has it."""
    found: dict[tuple[int, int], tuple[Task, Any]] = {}
    for task in living_tasks(kernel):
        found.setdefault((task.tgid, id(task.files)), (task, task.files))
    return list(found.values())


def files_of_calls_alone(kernel: Kernel) -> list[tuple[Task, File]]:
    """The open files that a sleeping call holds after another thread has closed the descriptor."""
    return [
        (task, file)
        for task in living_tasks(kernel)
        if task.frame is not None
        for fd, file in task.frame.files.items()
        if task.files.files.get(fd) is not file
    ]


def first_of_spaces(kernel: Kernel) -> list[Task]:
    """One task of each process with an address space."""
    found: dict[tuple[int, int], Task] = {}
    for task in living_tasks(kernel):
        if task.mm.reference_count > 0:
            found.setdefault((task.tgid, id(task.mm)), task)
    return list(found.values())


def holders_of_undos(kernel: Kernel, semaphores: Any) -> list[Task]:
    """Who will give something back to a set of semaphores when it ends."""
    return [
        task
        for task in living_tasks(kernel)
        if task.semaphore_undo is not None
        and semaphores in task.semaphore_undo.undos
        and any(task.semaphore_undo.undos[semaphores].adjustments)
    ]


def lock_holders(channels: ChannelMap, locks: FileLocks) -> list[Party]:
    """Who has locks on a file."""
    holders: list[Party] = []
    for record in locks.records:
        holders += parties_of_owner(channels, record.owner)
    for file in locks.whole:
        holders += channels.holders_of(file)
    return list(dict.fromkeys(holders))


def parties_of_owner(channels: ChannelMap, owner: Any) -> list[Party]:
    """The processes that a record lock belongs to: by a table of descriptors, or by an open file."""
    if owner in channels.holders:
        return channels.holders_of(owner)
    return [
        Party(task.tgid, name_of_task(task))
        for task, table in distinct_tables(channels.kernel)
        if table is owner
    ]


def socket_name(socket: Socket) -> str:
    """What /proc/PID/fd calls a socket; one that nobody has accepted has no file yet."""
    return socket.file.path.dentry.name.decode() if socket.file is not None else "not accepted yet"
