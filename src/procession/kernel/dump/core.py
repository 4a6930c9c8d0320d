"""Dumping a core: halting the process's threads, and writing what core(5) says to a file or a program."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from procession.abi.errno import EPERM, Errno
from procession.fs import opening
from procession.fs.directory import remove_file
from procession.fs.file import MAXIMUM_SIZE, O_CREAT, O_EXCL, O_LARGEFILE, O_NOFOLLOW, O_WRONLY
from procession.fs.fs_context import FsContext
from procession.fs.pipe import PipeFile, create_pipe
from procession.fs.wait_queue import Sleep, WaitQueue
from procession.hardware.physical_memory import PAGE_SHIFT, PAGE_SIZE, OutOfFrames
from procession.kernel.dump.file import Core
from procession.kernel.dump.pattern import CoreSubject, core_file_name, core_program
from procession.kernel.exit import do_group_exit
from procession.kernel.process_flags import PF_DUMPCORE
from procession.kernel.rlimit import RLIMIT_CORE, RLIMIT_FSIZE
from procession.kernel.signal.generation import kill_thread
from procession.kernel.signal.mask import recalculate_pending
from procession.kernel.signal.set import KILL_BIT
from procession.kernel.signal.stop import withdraw_stop
from procession.kernel.signal.wake import has_fatal_signal
from procession.kernel.task import SIGNAL_GROUP_EXIT, SIGNAL_PENDING
from procession.kernel.task_state import ENDED, TaskState, set_state
from procession.kernel.time.costs import FILLED_PAGE_NS
from procession.kernel.umh import start_program
from procession.mm.address_space import DUMPABLE_BY_ROOT, UNDUMPABLE

if TYPE_CHECKING:
    from procession.fs.file import File
    from procession.kernel.kernel import Kernel
    from procession.kernel.security.credentials import Credentials
    from procession.kernel.signal.info import SigInfo
    from procession.kernel.task import Task

DUMPED = 0x80
"""The bit of a wait status that says that there is a core."""
_SMALLEST_LIMIT = PAGE_SIZE
"""With a lower RLIMIT_CORE there is no core (in Linux, linux_binfmt.min_coredump)."""
_NO_NESTING = 1
"""The RLIMIT_CORE of a program that gets a core: its own isn't piped."""
_MODE = 0o600
_CHECKED_MODE = 0o677


class CoreDump:
    """A core on its way (Linux: include/linux/sched/signal.h, struct core_state; include/linux/coredump.h,
    struct coredump_params).

    `dumper` is the thread that the signal of `info` ends; it dumps with `credentials`. `halted` are the
    process's other threads that have come to a halt, the latest first; they wait in `halt_queue` for the
    end of the dump. `running_count` more are still on their way there, which wakes `queue`.

    A core for a program is written to the pipe `pipe`; `unwritten` bytes are next. When all is written,
    `is_awaiting_program` says that the program's end is waited for.
    """

    __slots__ = (
        "core",
        "credentials",
        "dumpable",
        "dumper",
        "halt_queue",
        "halted",
        "info",
        "is_awaiting_program",
        "is_counted",
        "pipe",
        "queue",
        "running_count",
        "unwritten",
    )

    def __init__(self, dumper: Task, info: SigInfo, credentials: Credentials) -> None:
        self.dumper = dumper
        self.info = info
        self.credentials = credentials
        self.dumpable = dumper.mm.dumpable
        self.halted: list[Task] = []
        self.halt_queue = WaitQueue()
        self.running_count = 0
        self.queue = WaitQueue()
        self.core: Core | None = None
        self.pipe: PipeFile | None = None
        self.unwritten = b""
        self.is_awaiting_program = False
        self.is_counted = False

    @property
    def subject(self) -> CoreSubject:
        """What its name may tell of."""
        return CoreSubject(self.dumper, self.credentials, self.info.signo, self.dumpable)


def begin_core_dump(kernel: Kernel, task: Task, info: SigInfo) -> None:
    """End the process of the running `task` by the signal of `info`, with a core if one is wanted.

    If that takes waiting, `task` isn't running on return, and `go_on` goes on. Other processes that share
    the memory aren't touched. Linux: fs/coredump.c, do_coredump.
    """
    dumpable = task.mm.dumpable
    group = task.group
    if dumpable != UNDUMPABLE:
        task.flags |= PF_DUMPCORE
    is_wanted = kernel.core.is_piped or group.limits.soft[RLIMIT_CORE] >= _SMALLEST_LIMIT
    if dumpable == UNDUMPABLE or not is_wanted:
        do_group_exit(kernel, task, info.signo)
        return
    credentials = task.credentials
    if dumpable == DUMPABLE_BY_ROOT:
        credentials = credentials.replace(fsuid=0)
    dump = group.core_dump = CoreDump(task, info, credentials)
    # Linux: fs/coredump.c, zap_threads.
    group.flags = SIGNAL_GROUP_EXIT
    group.exit_code = info.signo
    group.stop_count = 0
    withdraw_stop(task)
    for thread in group.threads:
        if thread is not task and thread.state not in ENDED:
            kill_thread(thread)
            dump.running_count += 1
    go_on(kernel, task, dump)


def go_on(kernel: Kernel, task: Task, dump: CoreDump) -> None:
    """What the running `task` does while its process's core is dumped: it halts, or goes on dumping."""
    if task is not dump.dumper:
        _halt(task, dump)
    elif dump.running_count:
        _wait(task, TaskState.UNINTERRUPTIBLE, dump.queue)
    elif dump.pipe is not None:
        _feed_program(kernel, task, dump, dump.pipe)
    elif kernel.core.is_piped:
        _start_program(kernel, task, dump)
    else:
        _finish(kernel, task, dump, is_dumped=_dump_to_file(kernel, task, dump))


def _halt(task: Task, dump: CoreDump) -> None:
    """A thread that doesn't dump waits. Linux: kernel/exit.c, coredump_task_exit."""
    task.pending.discard(KILL_BIT)
    recalculate_pending(task)
    if task not in dump.halted:
        dump.halted.insert(0, task)
        dump.running_count -= 1
        if not dump.running_count:
            dump.queue.wake_all()
    _wait(task, TaskState.UNINTERRUPTIBLE, dump.halt_queue)


def _wait(task: Task, state: TaskState, *queues: WaitQueue) -> None:
    """Put the running `task`, which is in no system call, to sleep; it comes back to `go_on`."""
    task.queues = queues
    for queue in queues:
        queue.add(task)
    task.work |= SIGNAL_PENDING
    task.times.voluntary_switches += 1
    set_state(task, state)


def _finish(kernel: Kernel, task: Task, dump: CoreDump, *, is_dumped: bool) -> None:
    """The dump is over, well or not: the process ends. Linux: fs/coredump.c, coredump_finish."""
    if dump.pipe is not None:
        dump.pipe.put()
    if dump.is_counted:
        kernel.core.pipe_count -= 1
    group = task.group
    if is_dumped:
        group.exit_code |= DUMPED
    group.core_dump = None
    dump.halt_queue.wake_all()
    do_group_exit(kernel, task, group.exit_code)


# To a file


def _dump_to_file(kernel: Kernel, task: Task, dump: CoreDump) -> bool:
    """Whether there is a core now, be it cut short. Linux: fs/coredump.c, do_coredump."""
    name = core_file_name(kernel.core, dump.subject)
    try:
        file = _create_file(kernel, task, dump, name)
    except (Errno, OutOfFrames):
        return False
    file.acquire()
    inode = file.inode
    # On some file systems the owner or the mode isn't what was asked for.
    is_own = inode.uid == dump.credentials.fsuid and inode.mode & _CHECKED_MODE == _MODE
    if is_own and inode.is_regular:
        _write_file(kernel, task, file, Core((task, *dump.halted), dump.info))
    file.put()
    return is_own


def _create_file(kernel: Kernel, task: Task, dump: CoreDump, name: bytes) -> File:
    """A new file for the core: what bears its name is removed, and links aren't followed.

    Raises the errno of open(2). What runs with another's privilege dumps only to an absolute path, from the
    machine's root, and only if nothing is there.
    """
    flags = O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_LARGEFILE
    if dump.dumpable == DUMPABLE_BY_ROOT:
        if not name.startswith(b"/"):
            raise EPERM("a relative name is no place for a privileged process's core")
        context = FsContext(kernel.init_namespaces.mounts.root_path, umask=task.fs.umask)
        try:
            return opening.open(context, dump.credentials, name, None, flags, _MODE)
        finally:
            context.put()
    with suppress(Errno):
        remove_file(task.fs, dump.credentials, name)
    return opening.open(task.fs, dump.credentials, name, None, flags, _MODE)


def _write_file(kernel: Kernel, task: Task, file: File, core: Core) -> None:
    """Write until the limit is reached or the file system is full. Linux: fs/coredump.c, dump_emit."""
    soft = task.group.limits.soft
    left = soft[RLIMIT_CORE]
    largest = soft[RLIMIT_FSIZE]
    position = written = gap = 0
    while (piece := core.next_piece(MAXIMUM_SIZE)) is not None:
        if isinstance(piece, int):
            gap += piece
            continue
        position += gap
        gap = 0
        count = min(len(piece), max(largest - position, 0))
        if len(piece) > left or not _write_at(file, position, piece[:count]) or count < len(piece):
            break
        left -= len(piece)
        position += len(piece)
        written += len(piece)
    else:
        if gap and left and position + gap <= largest:
            _write_at(file, position + gap - 1, b"\0")
    kernel.clock.spend_copying(written)
    kernel.clock.spend((written >> PAGE_SHIFT) * FILLED_PAGE_NS)


def _write_at(file: File, position: int, data: bytes) -> bool:
    """Whether all of `data` could be written."""
    try:
        return file.write_at(position, data) == len(data)
    except (Errno, OutOfFrames):
        return False


# To a program


def _start_program(kernel: Kernel, task: Task, dump: CoreDump) -> None:
    """Start the program that kernel.core_pattern names with a pipe as its standard input."""
    settings = kernel.core
    settings.pipe_count += 1
    dump.is_counted = True
    is_nested = task.group.limits.soft[RLIMIT_CORE] == _NO_NESTING
    arguments = core_program(settings, dump.subject)
    if is_nested or not arguments[0] or 0 < settings.pipe_limit < settings.pipe_count:
        _finish(kernel, task, dump, is_dumped=False)
        return
    root = task.credentials.for_user(0, 0)
    try:
        reader, writer = create_pipe(kernel.vfs, 0, root)
    except Errno:
        _finish(kernel, task, dump, is_dumped=False)
        return
    writer.acquire()
    dump.pipe = writer
    reader.acquire()
    try:
        start_program(kernel, root, arguments, reader, _NO_NESTING)
        dump.core = Core((task, *dump.halted), dump.info)
    except (Errno, OutOfFrames):
        reader.put()
        _finish(kernel, task, dump, is_dumped=False)
        return
    reader.put()
    _feed_program(kernel, task, dump, writer)


def _feed_program(kernel: Kernel, task: Task, dump: CoreDump, pipe: PipeFile) -> None:
    """Write until the pipe is full or all is written; then wait for the program if that is wanted."""
    written = 0
    while not dump.is_awaiting_program:
        if has_fatal_signal(task) or not _take_unwritten(dump):
            break
        try:
            count = pipe.write(dump.unwritten)
        except Sleep as sleep:
            kernel.clock.spend_copying(written)
            _wait(task, TaskState.INTERRUPTIBLE, *sleep.queues)
            return
        except Errno:
            # The program doesn't read any more.
            break
        written += count
        dump.unwritten = dump.unwritten[count:]
    kernel.clock.spend_copying(written)
    if _must_await_program(kernel, task, dump, pipe):
        _wait(task, TaskState.INTERRUPTIBLE, pipe.pipe.read_queue)
        return
    _finish(kernel, task, dump, is_dumped=True)


def _take_unwritten(dump: CoreDump) -> bool:
    """Have something to write; False at the core's end."""
    while not dump.unwritten:
        assert dump.core is not None
        piece = dump.core.next_piece(PAGE_SIZE)
        if piece is None:
            return False
        dump.unwritten = bytes(piece)
    return True


def _must_await_program(kernel: Kernel, task: Task, dump: CoreDump, pipe: PipeFile) -> bool:
    """Whether the reader is still there, with kernel.core_pipe_limit. Linux: fs/coredump.c,
    wait_for_dump_helpers.

    It learns that the core is complete: the dumper's end counts as one for reading meanwhile.
    """
    buffer = pipe.pipe
    if not dump.is_awaiting_program:
        if not kernel.core.pipe_limit:
            return False
        dump.is_awaiting_program = True
        buffer.reader_count += 1
        buffer.writer_count -= 1
        buffer.read_queue.wake_all()
    if buffer.reader_count > 1 and not has_fatal_signal(task):
        return True
    buffer.reader_count -= 1
    buffer.writer_count += 1
    return False
