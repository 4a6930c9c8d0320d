"""What a step reads and writes of what tasks share, as the kernel tells it; steps that don't meet commute.

Nothing is listed here by system call. The kernel says which names, files and children were looked at or
changed (the hooks of inotify, and its observer), and a call's declaration says which of its arguments are
descriptors, paths and ids. Where that is coarse it errs to the safe side: two steps count as dependent that
aren't.
"""

from __future__ import annotations

from ast import literal_eval
from typing import TYPE_CHECKING, Any, ClassVar

from procession.abi.file_mode import S_IFMT
from procession.abi.named_tuple import NamedTuple
from procession.abi.signals import Signal
from procession.fs.host_stream import OutputFile
from procession.fs.inode import S_IFDIR, S_IFREG, Inode
from procession.fs.inotify import Inotify
from procession.fs.namei import address_of_unreadable
from procession.fs.pipe_buffer import Pipe
from procession.kernel import observer as told
from procession.kernel.sched.explored import ExploredScheduler
from procession.mm.vma import PROT_WRITE
from procession.syscalls.declaration import TABLE

if TYPE_CHECKING:
    from procession.abi.errno import Errno
    from procession.fs.dentry import Dentry
    from procession.fs.file import File
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task, ThreadGroup
    from procession.mm.vma import MappedFile
    from procession.syscalls.declaration import SystemCall

Key = tuple[object, ...]
CLOCK_TID = 0
"""Stands for the clock where it's chosen as if it were a task: the next timer is due."""
_SIGCHLD = int(Signal.SIGCHLD)
_WORD_SHIFT = 3
_DATA_FILES = (S_IFREG, S_IFDIR)
_PIDS: Key = ("pids",)
_TIMERS: Key = ("timers",)
"""Which timer is due first depends on the order in which they were set."""
_SHARED_MEMORY: Key = ("shared memory",)
_NOBODYS_BUSINESS = frozenset((told.STATE, told.FAULT))
END: Key = ("end",)
"""What the command's end writes, and every step reads: whether it comes before the end matters."""


class Footprint:
    """What one step has read and written, and whom it has woken or made: `enabled`.

    `updates` are writes whose order among themselves doesn't matter, as that of two children that end.
    """

    __slots__ = ("enabled", "reads", "updates", "writes")

    def __init__(self) -> None:
        self.reads: set[Key] = set()
        self.writes: set[Key] = set()
        self.updates: set[Key] = set()
        self.enabled: set[int] = set()

    def joined(self, other: Footprint) -> Footprint:
        """What either has touched."""
        both = Footprint()
        both.reads = self.reads | other.reads
        both.writes = self.writes | other.writes
        both.updates = self.updates | other.updates
        both.enabled = self.enabled | other.enabled
        return both

    def meets(self, other: Footprint) -> bool:
        """Whether the order of the two steps may matter."""
        return not (
            self.writes.isdisjoint(other.writes)
            and self.writes.isdisjoint(other.reads)
            and self.reads.isdisjoint(other.writes)
            and self.updates.isdisjoint(other.reads)
            and self.updates.isdisjoint(other.writes)
            and self.reads.isdisjoint(other.updates)
            and self.writes.isdisjoint(other.updates)
        )


def footprint_text(footprint: Footprint) -> str:
    """What is read, updated and written, as a Python literal."""
    return repr([sorted(keys, key=repr) for keys in (footprint.reads, footprint.updates, footprint.writes)])


def footprint_of(text: str) -> Footprint:
    """The footprint that `footprint_text` has written. Raises ValueError."""
    footprint = Footprint()
    try:
        reads, updates, writes = literal_eval(text)
        footprint.reads, footprint.updates, footprint.writes = set(reads), set(updates), set(writes)
    except (SyntaxError, TypeError) as error:
        raise ValueError(f"no footprint: {error}") from None
    return footprint


class Segment(NamedTuple):
    """What one task did without a break: one system call at most, and what came after it in user mode."""

    tid: int
    footprint: Footprint


class FootprintEvents(Inotify):
    """The file events of a machine, noted in the footprint of the present step."""

    __slots__ = ("watcher",)

    OUTSIDE_STATE: ClassVar = ("watcher",)

    def __init__(self, watcher: FootprintWatcher) -> None:
        super().__init__()
        self.watcher = watcher

    def opened(self, file: File) -> None:
        """See `FileEvents`."""
        self.watcher.note_file(file, is_written=False)
        super().opened(file)

    def accessed(self, file: File) -> None:
        """See `FileEvents`."""
        self.watcher.note_file(file, is_written=False)
        super().accessed(file)

    def modified(self, file: File) -> None:
        """See `FileEvents`."""
        self.watcher.note_file(file, is_written=True)
        super().modified(file)

    def closed(self, file: File) -> None:
        """See `FileEvents`."""
        self.watcher.note_close(file)
        super().closed(file)

    def followed(self, target: bytes) -> None:
        """See `FileEvents`."""
        self.watcher.note_names(target)

    def changed(self, entry: Dentry, mask: int) -> None:
        """See `FileEvents`."""
        writes = self.watcher.footprint.writes
        writes.add(_inode_key(entry.inode))
        writes.add(("name", entry.name))
        super().changed(entry, mask)

    def _name_event(self, directory: Inode, name: bytes, inode: Inode, mask: int, cookie: int = 0) -> None:
        writes = self.watcher.footprint.writes
        writes.add(("name", name))
        writes.add(("list", *_inode_key(directory)))
        writes.add(_inode_key(inode))
        super()._name_event(directory, name, inode, mask, cookie)


class FootprintWatcher:
    """An observer that notes the footprint of each step; it changes nothing.

    With `orders_output` unset it's nobody's business in which order tasks write to the machine's standard
    streams. `shared` are the address spaces in which more than one task has run, by their roots. With
    `knows_accesses` it's told of accesses to memory that tasks share, word by word. `has_shared_memory` says
    whether there was any that can be written to, in whatever run, `has_lent_memory` whether a pipe was used
    with pages in it that are a program's or a file's too: who writes there isn't known to change what's read.
    """

    __slots__ = (
        "chooses_timers",
        "command",
        "dispositions",
        "files",
        "footprint",
        "has_call",
        "has_lent_memory",
        "has_shared_memory",
        "kernel",
        "knows_accesses",
        "made_call",
        "orders_output",
        "positions",
        "segments",
        "shared",
        "task",
        "tid",
        "timers_before",
    )

    def __init__(self, kernel: Kernel, *, orders_output: bool = True, knows_accesses: bool = False) -> None:
        self.kernel = kernel
        self.knows_accesses = knows_accesses
        self.made_call = False
        self.orders_output = orders_output
        self.footprint = Footprint()
        self.command: ThreadGroup | None = None
        self.tid = CLOCK_TID
        self.has_call = False
        self.task: Task | None = None
        self.dispositions: tuple[object, ...] = ()
        self.files: list[File] = []
        self.segments: list[Segment] = []
        self.shared: frozenset[int] = frozenset()
        self.has_shared_memory = self.has_lent_memory = False
        self.timers_before: tuple[int, int] | None = None
        scheduler = kernel.scheduler
        self.chooses_timers = isinstance(scheduler, ExploredScheduler) and scheduler.offers_timers
        # For each call, by number: which of its arguments are descriptors, paths and ids.
        self.positions: dict[int, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = {}

    def begin(self) -> None:
        """A step begins, with what the clock does."""
        self.segments = []
        self._begin_segment(CLOCK_TID)

    def take(self) -> list[Segment]:
        """What happened since `begin`, by who did it; nothing of the clock unless something was due."""
        self._end_segment()
        self.timers_before = None
        first = self.segments[0].footprint
        if not (first.writes or first.reads or first.updates or first.enabled) and len(self.segments) > 1:
            del self.segments[0]
        elif self.segments[0].tid == CLOCK_TID and self.chooses_timers:
            first.reads.add(END)
        return self.segments

    def _begin_segment(self, tid: int) -> None:
        self._end_segment()
        self.tid = tid
        timers = self.kernel.timers
        self.timers_before = timers.sequence, timers.armed_count
        self.has_call = self.made_call = False
        self.footprint = Footprint()
        self.segments.append(Segment(tid, self.footprint))

    def _switched_to(self, task: Task) -> None:
        """The machine's init has no segments of its own: it goes at once, whenever it can."""
        if task.tid == self.tid or self._is_reaper(task):
            return
        self._begin_segment_of(task)
        scheduler = self.kernel.scheduler
        assert isinstance(scheduler, ExploredScheduler)
        # In user mode, or in a call that slept, the next call is another segment's.
        self.has_call = scheduler.admitted is None
        frame = task.frame
        if frame is not None and frame.number >= 0:
            self._note_call(task, TABLE[frame.number], frame.arguments)

    def _note_parent(self, task: Task) -> None:
        parent = task.parent
        if parent is not None and not self._is_reaper(parent):
            self.footprint.updates.add(("children", parent.tgid))

    def _is_reaper(self, task: Task) -> bool:
        return task.group is self.kernel.init and not task.has_executed

    def _end_segment(self) -> None:
        """What the segment's task does about signals changes what becomes of those that are sent to it.

        What it has mapped by now it has used, too.
        """
        task = self.task
        if task is not None:
            if self.dispositions != _dispositions(task):
                self.footprint.writes.add(("signals", task.tgid))
            self._note_memory(task)
        self.task = None
        self._note_timers()

    # Timers

    def _note_timers(self) -> None:
        """Those that were set in the present segment, or given up."""
        timers = self.kernel.timers
        if (
            self.timers_before is not None
            and self.timers_before != (timers.sequence, timers.armed_count)
            # Where it isn't chosen that a timer is due, none is before all have gone as far as they can.
            and (self.tid != CLOCK_TID or self.chooses_timers)
        ):
            self.footprint.writes.add(_TIMERS)

    def jump_to_next_timer(self) -> bool:
        """Nobody can run: let time go on; False if there is no timer. That one is due is no task's doing."""
        self._note_timers()
        timers = self.kernel.timers
        has_jumped = timers.jump_to_next()
        self.timers_before = timers.sequence, timers.armed_count
        return has_jumped

    def _begin_segment_of(self, task: Task) -> None:
        self._begin_segment(task.tid)
        self.task, self.dispositions = task, _dispositions(task)
        # An ending task has given them up by the time that its end is told.
        self.files = list(task.files.files.values())
        footprint = self.footprint
        tgid = task.tgid
        footprint.reads |= {END, ("signals", tgid)}
        self._note_memory(task)

    # Memory

    def _note_memory(self, task: Task) -> None:
        """A task may look at all that it has mapped, and change what others see of it where it may write.

        Where it's known which words it accesses, these count among tasks in user mode, and all of the memory
        against what the kernel may do to it in a call.
        """
        mm, footprint = task.mm, self.footprint
        root = mm.tables.root
        knows_words = self.knows_accesses and not self.made_call
        if root in self.shared:
            self.has_shared_memory = True
            (footprint.updates if knows_words else footprint.writes).add(("memory", root))
        last = None
        for area in mm.areas:
            file = area.file
            if area.is_shared:
                if knows_words:
                    keys = footprint.updates
                else:
                    keys = footprint.writes if area.protection & PROT_WRITE else footprint.reads
                keys.add(_SHARED_MEMORY if file is None else _mapped_key(file))
                if area.protection & PROT_WRITE:
                    self.has_shared_memory = True
            elif file is not None and file is not last:
                # A private page that wasn't written to shows what becomes of the file.
                last = file
                footprint.reads.add(_mapped_key(file))

    def _note_address_space(self, task: Task, maker: Task | None) -> None:
        """`task` runs in another address space now: that of `maker`, or a new one."""
        root = task.mm.tables.root
        if maker is not None and maker.mm is task.mm:
            self.shared |= {root}
        else:
            self.shared -= {root}

    # Files and names

    def note_file(self, file: File, *, is_written: bool) -> None:
        """An open file is used."""
        inode = file.inode
        footprint = self.footprint
        kind = inode.mode & S_IFMT
        key = _inode_key(inode)
        if kind not in _DATA_FILES:
            if not file.discards_writes and (self.orders_output or not isinstance(file, OutputFile)):
                footprint.writes.add(_special_key(file, key))
            self.has_lent_memory |= isinstance(inode.pipe, Pipe) and bool(inode.pipe.borrowed)
            return
        if inode.superblock.type_name in ("proc", "sysfs"):
            footprint.reads.add(("processes",))
            return
        if is_written:
            footprint.writes.add(key)
            footprint.writes.add(("name", file.path.dentry.name))
        else:
            footprint.reads.add(key)
        if kind == S_IFDIR:
            footprint.reads.add(("list", *key))
        if file.reference_count > 1:
            footprint.writes.add(("position", *key))

    def note_close(self, file: File) -> None:
        """One reference less: in which order those are given up that there are is nobody's business."""
        inode = file.inode
        if inode.mode & S_IFMT not in _DATA_FILES and not file.discards_writes:
            self.footprint.updates.add(_special_key(file, _inode_key(inode)))

    def note_names(self, path: bytes) -> None:
        """A path is walked along."""
        reads = self.footprint.reads
        for name in path.split(b"/"):
            if name not in (b"", b".", b".."):
                reads.add(("name", name))

    # System calls

    def system_call_entered(self, task: Task, call: Any, arguments: tuple[Any, ...]) -> None:
        """See `Observer`. Each call begins a segment, whether anybody else could go on or not."""
        if self.has_call and task.tid == self.tid:
            self._begin_segment_of(task)
        self.has_call = True
        self._note_call(task, call, arguments)

    def _note_call(self, task: Task, call: SystemCall | None, arguments: tuple[Any, ...]) -> None:
        if call is None:
            return
        positions = self.positions.get(call.number)
        if positions is None:
            kinds = [parameter.kind.name if parameter.kind else "" for parameter in call.parameters]
            positions = self.positions[call.number] = (
                tuple(at for at, kind in enumerate(kinds) if kind == "fd"),
                tuple(at for at, kind in enumerate(kinds) if "path" in kind),
                tuple(at for at, kind in enumerate(kinds) if kind == "int"),
            )
        fds, paths, ids = positions
        if self.knows_accesses:
            self.made_call = True
            self._note_memory(task)
        if call.handler.__module__.endswith("poll"):
            # It asks files that its arguments don't name by themselves.
            for polled in task.files.files.values():
                self.note_file(polled, is_written=False)
        for at in fds:
            file = task.files.files.get(arguments[at])
            if file is not None:
                self.note_file(file, is_written=False)
        for at in paths:
            if arguments[at] and address_of_unreadable(arguments[at]) is None:
                self.note_names(arguments[at])
        for at in ids:
            number = arguments[at]
            if number not in (0, 1, -1) and abs(number) != task.tgid:
                self.footprint.writes.add(("pid", abs(number)))

    def system_call_returned(
        self, task: Task, call: Any, arguments: tuple[Any, ...], outcome: int | Errno | None
    ) -> None:
        """See `Observer`."""

    def unknown_call(self, task: Task, number: int) -> None:
        """See `Observer`."""

    # What becomes of tasks

    def task_event(self, task: Task, kind: str, detail: Any = None) -> None:
        """See `Observer`."""
        if kind in _NOBODYS_BUSINESS:
            return
        if kind == told.SWITCH:
            self._switched_to(task)
            return
        if kind == told.CLONE:
            self._note_address_space(task, self.kernel.current)
        elif kind == told.EXEC:
            self._note_address_space(task, None)
        if kind == told.ACCESS:
            region, address, size, is_write, *_ = detail
            words = range(address >> _WORD_SHIFT, (address + size - 1 >> _WORD_SHIFT) + 1)
            keys = self.footprint.writes if is_write else self.footprint.reads
            keys.update([("word", *region, word) for word in words])
            return
        if self._is_reaper(task):
            # It reaps whom it gets at once: nobody hears of it.
            return
        footprint = self.footprint
        if kind == told.WAKE:
            footprint.enabled.add(task.tid)
        elif kind == told.SIGNAL_SENT:
            info, _, outcome = detail
            if info.signo == _SIGCHLD:
                footprint.updates.add(("children", task.tgid))
            if outcome in (told.SENT_IGNORED, told.SENT_PENDING):
                footprint.reads.add(("signals", task.tgid))
            else:
                footprint.writes.add(("signals", task.tgid))
        elif kind == told.SIGNAL:
            # A handler comes before the call that was chosen.
            self.has_call = True
        elif kind == told.CLONE:
            footprint.enabled.add(task.tid)
            footprint.writes |= {_PIDS, ("pid", task.tid)}
            footprint.updates.add(("processes",))
        elif kind == told.EXIT:
            # Of a parent and its child either may end first: whoever is left is init's, who reaps it.
            footprint.updates |= {("pid", task.tid), ("children", task.tgid), ("processes",)}
            self._note_parent(task)
            for file in self.files:
                self.note_close(file)
            for child in task.children:
                footprint.writes.add(("parent", child.tgid))
            if task.group is self.command:
                # Nothing comes after it.
                footprint.writes.add(END)
        elif kind == told.REAP:
            footprint.updates |= {("pid", task.tid), ("processes",)}
            self._note_parent(task)
        elif kind == told.EXEC:
            for file in self.files:
                self.note_close(file)
            footprint.writes.add(("pid", task.tid))
        elif kind == told.LOOK_FOR_CHILDREN:
            footprint.reads.add(("children", task.tgid))
        elif kind == told.LOOK_FOR_PARENT:
            footprint.reads.add(("parent", task.tgid))


def _dispositions(task: Task) -> tuple[object, ...]:
    return task.blocked, tuple(task.group.handlers.actions)


def _inode_key(inode: Inode) -> Key:
    return "inode", inode.superblock.device, inode.number


def _mapped_key(file: MappedFile) -> Key:
    inode = file.inode
    assert isinstance(inode, Inode)
    return _inode_key(inode)


def _special_key(file: File, key: Key) -> Key:
    """The key of what isn't data on a file system: ends that are joined count as one."""
    name = type(file).__name__
    if "Pipe" in name or "Fifo" in name or "Output" in name or "Input" in name:
        return key
    return ("special", type(file).__module__.rpartition(".")[0])
