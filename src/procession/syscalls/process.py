"""System calls that make, replace, end and await processes."""

from __future__ import annotations

from contextlib import suppress
from struct import unpack
from typing import TYPE_CHECKING

from procession.abi.clone_flags import (
    CLONE_ARGS_SIZE_VER0,
    CLONE_ARGS_SIZE_VER2,
    CSIGNAL,
    CloneArgs,
    CloneFlag,
)
from procession.abi.errno import (
    E2BIG,
    EAGAIN,
    EFAULT,
    EINVAL,
    ELOOP,
    ENOTDIR,
    ESRCH,
    Errno,
)
from procession.abi.file_mode import S_IFMT
from procession.abi.open_flags import AT_FDCWD, ExecFlag
from procession.abi.resource import Rusage
from procession.abi.siginfo import SiginfoChild
from procession.abi.signals import Signal
from procession.abi.time import Timeval
from procession.abi.wait_options import IdType, WaitOption
from procession.fs import namei
from procession.fs.inode import S_IFDIR, S_IFLNK
from procession.fs.wait_queue import Abandonable, Sleep
from procession.hardware.physical_memory import OutOfFrames
from procession.kernel import clone as cloning
from procession.kernel.clone import CloneArguments, copy_process, store_tid
from procession.kernel.exit import do_exit, do_group_exit
from procession.kernel.observer import LOOK_FOR_PARENT
from procession.kernel.pid import find_pid
from procession.kernel.pidfd import PIDFD_THREAD, open_pidfd_of_child, pid_file_of
from procession.kernel.program.exec import (
    PreparedExec,
    begin_new_exec,
    check_process_limit,
    execute,
    open_program,
)
from procession.kernel.ptrace.link import clone_event
from procession.kernel.ptrace.stop import ptrace_event
from procession.kernel.ptrace.tracing import EVENT_EXEC, EVENT_VFORK_DONE, IN_CALL, EventStop
from procession.kernel.rlimit import RLIMIT_NOFILE
from procession.kernel.task import CpuTimes, Task
from procession.kernel.time.costs import ARGUMENT_NS, FORK_NS
from procession.kernel.userfault.unfinished import Beginning, finish_later
from procession.kernel.wait import (
    P_ALL,
    P_PGID,
    P_PID,
    P_PIDFD,
    WALL,
    WCLONE,
    WEXITED,
    WNOHANG,
    WNOTHREAD,
    WNOWAIT,
    WSTOPPED,
    WaitedChild,
    WaitSelection,
    do_wait,
)
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import (
    Address,
    Fd,
    Flags,
    FlagsAndSignal,
    Int,
    Out,
    Size,
    SizedIn,
    StringArray,
    Text,
    WaitStatus,
)
from procession.syscalls.sized_structure import read_sized
from procession.syscalls.user_vector import is_user_range

if TYPE_CHECKING:
    from procession.fs.dentry import Path as PathPlace
    from procession.kernel.kernel import Kernel
    from procession.kernel.pid import Pid
    from procession.kernel.program.binary_parameters import BinaryParameters

_AT_EMPTY_PATH, _AT_SYMLINK_NOFOLLOW = int(ExecFlag.AT_EMPTY_PATH), int(ExecFlag.AT_SYMLINK_NOFOLLOW)
_AT_EXECVE_CHECK = int(ExecFlag.AT_EXECVE_CHECK)
_WCONTINUED = int(WaitOption.WCONTINUED)
_SIGCHLD = int(Signal.SIGCHLD)
_SIGNAL_MAXIMUM = 64
_INT_MAX = 0x7FFF_FFFF
_MAX_ARG_STRLEN = 131_072
_WAIT4_OPTIONS = WNOHANG | WSTOPPED | _WCONTINUED | WNOTHREAD | WCLONE | WALL
_WAITID_OPTIONS = _WAIT4_OPTIONS | WNOWAIT | WEXITED


@syscall(39)
def getpid(task: Task) -> int:
    """getpid(2). Linux: kernel/sys.c, SYSCALL_DEFINE0(getpid)."""
    return task.group.pid.own_number


@syscall(186)
def gettid(task: Task) -> int:
    """gettid(2)."""
    return task.thread_pid.own_number


@syscall(110)
def getppid(task: Task) -> int:
    """getppid(2). A process without a parent here has one that it can't see: 0."""
    if task.kernel.observer is not None:
        task.kernel.observer.task_event(task, LOOK_FOR_PARENT)
    parent = task.group.leader.parent
    return parent.group.pid.number_in(task.pid_namespace) if parent is not None else 0


@syscall(218)
def set_tid_address(task: Task, address: Address) -> int:
    """set_tid_address(2)."""
    task.clear_child_tid = address
    return task.thread_pid.own_number


def kernel_clone(kernel: Kernel, task: Task, arguments: CloneArguments, pidfd_address: int = 0) -> int:
    """Make a task and let it run; with CLONE_VFORK wait until it has ended or called exec.

    With CLONE_PIDFD a pidfd for it is put at `pidfd_address`. Linux: kernel/fork.c, kernel_clone.
    """
    is_told = False
    if task.frame is not None:
        child: Task
        child, is_told = task.frame.progress
    elif arguments.flags & cloning.CLONE_PIDFD:
        child = _clone_with_pidfd(kernel, task, arguments, pidfd_address)
    else:
        child = copy_process(kernel, task, arguments)
        _let_run(kernel, task, child)
        kernel.clock.spend(FORK_NS)
    if task.ptrace is not None and task.frame is None:
        event = clone_event(task, arguments.flags, arguments.exit_signal)
        if event:
            raise EventStop(event, _number_for_tracer(task, child), (child, False))
    number = child.thread_pid.number_in(task.pid_namespace)
    if child.vfork_queue is not None:
        raise Sleep(child.vfork_queue, progress=(child, False), interrupted=number, is_interruptible=False)
    if (
        arguments.flags & cloning.CLONE_VFORK
        and not is_told
        and task.ptrace is not None
        and task.ptrace.wants(EVENT_VFORK_DONE)
    ):
        raise EventStop(EVENT_VFORK_DONE, _number_for_tracer(task, child), (child, True))
    return number


def _number_for_tracer(task: Task, child: Task) -> int:
    """What the tracer of `task` calls its new child. Linux: include/linux/ptrace.h, ptrace_event_pid."""
    assert task.ptrace is not None
    return child.thread_pid.number_in(task.ptrace.tracer.pid_namespace)


def _tell_tracer_of_exec(task: Task, old_number: int) -> None:
    """Raise EventStop if a tracer wants to know of the program that `task` runs now.

    `old_number` is what it was called before, as the tracer sees it.
    """
    tracing = task.ptrace
    if tracing is None:
        return
    if tracing.wants(EVENT_EXEC):
        raise EventStop(EVENT_EXEC, old_number, None)
    ptrace_event(task.kernel, task, EVENT_EXEC, old_number, IN_CALL)


def _number_seen(task: Task) -> int:
    """What the tracer of `task` calls it."""
    tracing = task.ptrace
    return 0 if tracing is None else task.thread_pid.number_in(tracing.tracer.pid_namespace)


def _go_on_executing(task: Task, progress: PreparedExec | None) -> int:
    """Other threads have ended, or the tracer has been told: the rest of execve(2)."""
    if progress is not None:
        old_number = _number_seen(task)
        begin_new_exec(task.kernel, task, progress)
        if task.ptrace is not None:
            _tell_tracer_of_exec(task, old_number)
    return 0


def _clone_with_pidfd(kernel: Kernel, task: Task, arguments: CloneArguments, pidfd_address: int) -> Task:
    """What can fail comes before there is a child: the descriptor, its file, and the address it goes to."""
    cloning.check_clone(kernel, task, arguments)
    is_thread = arguments.flags & cloning.CLONE_THREAD != 0
    limit = task.group.limits.soft[RLIMIT_NOFILE]
    fd = task.files.lowest_free(0, limit)
    task.mm.probe_write(pidfd_address, 4)
    file = open_pidfd_of_child(task, PIDFD_THREAD if is_thread else 0)
    task.files.make_room(file)
    try:
        child = copy_process(kernel, task, arguments)
    except (Errno, OutOfFrames):
        file.release_if_unheld()
        raise
    file.stand_for(child)
    task.files.install(file, close_on_exec=True, limit=limit)
    # fork has made the page read-only again: if memory is used up now, the descriptor is there all the same.
    store_tid(task, pidfd_address, fd)
    _let_run(kernel, task, child)
    return child


def _let_run(kernel: Kernel, task: Task, child: Task) -> None:
    """Let a new task run: not before a reader of the parent's faults has heard of it.

    Who waits for the child itself, or stops for a tracer first, waits for the reader behind that.
    """
    if task.unfinished is not None and child.vfork_queue is None and task.ptrace is None:
        finish_later(task, Beginning(kernel, child))
    else:
        kernel.scheduler.start(child)


@syscall(57)
def fork(task: Task) -> int:
    """fork(2)."""
    return kernel_clone(task.kernel, task, CloneArguments(0, _SIGCHLD))


@syscall(58)
def vfork(task: Task) -> int:
    """vfork(2): the parent is suspended until the child has ended or called exec."""
    flags = cloning.CLONE_VFORK | cloning.CLONE_VM
    return kernel_clone(task.kernel, task, CloneArguments(flags, _SIGCHLD))


@syscall(56)
def clone(
    task: Task,
    flags: FlagsAndSignal[CloneFlag],
    stack: Address,
    parent_tid: Address,
    child_tid: Address,
    tls: Address,
) -> int:
    """clone(2), the raw call: the low byte of `flags` is the signal that the parent gets."""
    lower = flags & 0xFFFF_FFFF & ~CSIGNAL
    if lower & cloning.CLONE_PIDFD and lower & (cloning.CLONE_PARENT_SETTID | cloning.CLONE_DETACHED):
        raise EINVAL("the pidfd goes where the thread's id would")
    return kernel_clone(
        task.kernel,
        task,
        CloneArguments(lower, flags & CSIGNAL, stack, tls, parent_tid, child_tid),
        parent_tid,
    )


@syscall(435)
def clone3(task: Task, arguments: SizedIn[CloneArgs], size: Size) -> int:
    """clone3(2). Linux: kernel/fork.c, copy_clone_args_from_user, clone3_args_valid."""
    if size > 4096:
        raise E2BIG("more than a page of arguments")
    if size < CLONE_ARGS_SIZE_VER0:
        raise EINVAL("fewer arguments than the first version has")
    args = CloneArgs.unpack(read_sized(task.mm, arguments.address, size, CloneArgs.SIZE))
    if args.set_tid_size > 32 or bool(args.set_tid) != bool(args.set_tid_size):
        raise EINVAL("set_tid without a size, or the other way round")
    if args.exit_signal & ~CSIGNAL or args.exit_signal > _SIGNAL_MAXIMUM:
        raise EINVAL(f"no signal {args.exit_signal}")
    flags = args.flags
    if flags & ~(0xFFFF_FFFF | cloning.CLONE_CLEAR_SIGHAND | cloning.CLONE_INTO_CGROUP):
        raise EINVAL("unknown flags")
    if flags & (cloning.CLONE_DETACHED | (CSIGNAL & ~0x80)):
        raise EINVAL("flags that only clone has")
    if flags & (cloning.CLONE_THREAD | cloning.CLONE_PARENT) and args.exit_signal:
        raise EINVAL("a thread or sibling has no exit signal of its own")
    if bool(args.stack) != bool(args.stack_size):
        raise EINVAL("a stack without a size, or the other way round")
    if args.stack and not is_user_range(args.stack, args.stack_size):
        raise EINVAL("the stack isn't in user space")
    if flags & cloning.CLONE_PIDFD and flags & cloning.CLONE_PARENT_SETTID and args.pidfd == args.parent_tid:
        raise EINVAL("the pidfd goes where the thread's id would")
    if flags & cloning.CLONE_INTO_CGROUP and (args.cgroup > _INT_MAX or size < CLONE_ARGS_SIZE_VER2):
        raise EINVAL("no descriptor of a control group")
    set_tid: tuple[int, ...] = ()
    if args.set_tid_size:
        set_tid = unpack(f"<{args.set_tid_size}i", task.mm.read(args.set_tid, 4 * args.set_tid_size))
    return kernel_clone(
        task.kernel,
        task,
        CloneArguments(
            flags,
            args.exit_signal,
            args.stack + args.stack_size if args.stack else 0,
            args.tls,
            args.parent_tid,
            args.child_tid,
            set_tid,
            args.cgroup if flags & cloning.CLONE_INTO_CGROUP else None,
        ),
        args.pidfd,
    )


def read_strings(task: Task, address: int) -> list[bytes]:
    """A NULL-terminated array of strings, as argv and envp are; NULL counts as empty.

    Raises EFAULT, E2BIG. Linux: fs/exec.c, count, copy_strings.
    """
    strings: list[bytes] = []
    memory, clock = task.mm, task.kernel.clock
    total = 0
    while address:
        # As many pointers as the page holds, or fewer where the next page isn't there.
        count = (4096 - (address & 4095)) // 8 or 1
        pointers = unpack(f"<{count}Q", memory.read(address, 8 * count))
        before, total_before = len(strings), total
        for pointer in pointers:
            if not pointer:
                clock.spend((len(strings) - before) * ARGUMENT_NS)
                clock.spend_copying(total - total_before)
                return strings
            string = memory.read_cstring(pointer, _MAX_ARG_STRLEN)
            if string is None:
                raise E2BIG("an argument of more than 128 KiB")
            strings.append(string)
            total += len(string) + 9
            if total > 8 << 20:
                raise E2BIG("too many arguments")
        clock.spend((len(strings) - before) * ARGUMENT_NS)
        clock.spend_copying(total - total_before)
        address += 8 * count
    return strings


@syscall(59)
def execve(task: Task, path: Text, arguments: StringArray, environment: Address) -> int:
    """execve(2)."""
    if task.frame is not None:
        return _go_on_executing(task, task.frame.progress)
    check_process_limit(task)
    place = namei.lookup(task.fs, task.credentials, path)
    return _execute(task, open_program(task, place, path), arguments, environment, is_check=False)


@syscall(322)
def execveat(
    task: Task,
    directory: Fd,
    path: Text,
    arguments: StringArray,
    environment: Address,
    flags: Flags[ExecFlag],
) -> int:
    """execveat(2)."""
    if task.frame is not None:
        return _go_on_executing(task, task.frame.progress)
    if path or not flags & _AT_EMPTY_PATH:
        namei.check_name(path)
    check_process_limit(task)
    if flags & ~(_AT_EMPTY_PATH | _AT_SYMLINK_NOFOLLOW | _AT_EXECVE_CHECK):
        raise EINVAL("unknown flags")
    start: PathPlace | None = None
    name = path
    has_descriptor = directory != AT_FDCWD and not path.startswith(b"/")
    if has_descriptor:
        start = task.files.file(directory).path
        name = b"/dev/fd/%d/%s" % (directory, path) if path else b"/dev/fd/%d" % directory
        if path and start.dentry.inode.mode & S_IFMT != S_IFDIR:
            raise ENOTDIR
    follow = not flags & _AT_SYMLINK_NOFOLLOW
    place = namei.lookup(task.fs, task.credentials, path, start, follow=follow, allow_empty=True)
    if not follow and place.dentry.inode.mode & S_IFMT == S_IFLNK:
        raise ELOOP
    parameters = open_program(task, place, name)
    parameters.is_path_inaccessible = has_descriptor and task.files.is_close_on_exec(directory)
    is_check = bool(flags & _AT_EXECVE_CHECK)
    return _execute(task, parameters, arguments, environment, is_check=is_check)


def _execute(
    task: Task, parameters: BinaryParameters, arguments: int, environment: int, *, is_check: bool
) -> int:
    """The rest of execve(2), with the file open. Linux: fs/exec.c, do_execveat_common."""
    old_number = _number_seen(task)
    try:
        parameters.arguments = read_strings(task, arguments)
        parameters.environment = read_strings(task, environment)
    except BaseException:
        parameters.close()
        raise
    execute(task.kernel, task, parameters, is_check=is_check)
    if task.ptrace is not None and not is_check:
        _tell_tracer_of_exec(task, old_number)
    return 0


@syscall(60)
def exit_(task: Task, code: Int) -> int:
    """_exit(2) of one thread."""
    do_exit(task.kernel, task, (code & 0xFF) << 8)
    return 0


@syscall(231)
def exit_group(task: Task, code: Int) -> int:
    """exit_group(2)."""
    do_group_exit(task.kernel, task, (code & 0xFF) << 8)
    return 0


def rusage_of(times: CpuTimes) -> Rusage:
    """The figures as getrusage(2) gives them: times in microseconds, the resident size in KiB."""
    return Rusage(
        ru_utime=Timeval(times.user_ns // 10**9, times.user_ns % 10**9 // 1000),
        ru_stime=Timeval(times.system_ns // 10**9, times.system_ns % 10**9 // 1000),
        ru_maxrss=times.max_resident_pages * 4,
        ru_minflt=times.minor_faults,
        ru_majflt=times.major_faults,
        ru_nvcsw=times.voluntary_switches,
        ru_nivcsw=times.involuntary_switches,
    )


@syscall(61)
def wait4(
    task: Task, pid: Int, status: Out[WaitStatus], options: Flags[WaitOption], usage: Out[Rusage]
) -> int:
    """wait4(2). Linux: kernel/exit.c, kernel_wait4."""
    if options & ~_WAIT4_OPTIONS:
        raise EINVAL("unknown options")
    if pid == -0x80000000:
        raise ESRCH("no process group has that number")
    named: Pid | None = None
    if pid == -1:
        kind = P_ALL
    elif pid == 0:
        kind, named = P_PGID, task.group.process_group.pid
    else:
        kind, named = P_PID if pid > 0 else P_PGID, find_pid(task.pid_namespace, abs(pid))
    found = do_wait(task.kernel, task, WaitSelection(kind, named, options | WEXITED))
    if found is None:
        return 0
    if status:
        status.put(found.status)
    if usage:
        usage.put(rusage_of(found.usage))
    return found.pid.number_in(task.pid_namespace)


def _put_info(task: Task, address: int, info: SiginfoChild) -> None:
    """Fill the fields that waitid(2) tells; it touches no others."""
    data = info.pack()
    task.mm.write(address, data[:12])
    task.mm.write(address + 16, data[16:28])


class _InfoToClear(Abandonable):
    """A waitid(2) that sleeps: a signal that ends it clears what it would have filled in."""

    __slots__ = ("address", "task")

    def __init__(self, task: Task, address: int) -> None:
        self.task = task
        self.address = address

    def abandon(self) -> None:
        with suppress(EFAULT, OutOfFrames):
            _put_info(self.task, self.address, SiginfoChild())


def _wait_by_id(task: Task, kind: int, number: int, options: int) -> WaitedChild | None:
    """Linux: kernel/exit.c, kernel_waitid."""
    if options & ~_WAITID_OPTIONS or not options & (WEXITED | WSTOPPED | _WCONTINUED):
        raise EINVAL("unknown options, or nothing to wait for")
    found: WaitedChild | None = None
    named: Pid | None = None
    fds: tuple[int, ...] = ()
    if kind == P_PID:
        if number <= 0:
            raise EINVAL("no such pid")
        named = find_pid(task.pid_namespace, number)
    elif kind == P_PGID:
        if number < 0:
            raise EINVAL("no such process group")
        named = find_pid(task.pid_namespace, number) if number else task.group.process_group.pid
    elif kind == P_PIDFD:
        if number < 0:
            raise EINVAL("no descriptor")
        file = pid_file_of(task, number)
        fds = (number,)
        named = file.pid
        if not file.is_blocking and not options & WNOHANG:
            found = do_wait(task.kernel, task, WaitSelection(P_PID, named, options | WNOHANG))
            if found is None:
                raise EAGAIN("the pidfd doesn't block")
    elif kind != P_ALL:
        raise EINVAL("an unknown kind of id")
    if found is None:
        try:
            found = do_wait(task.kernel, task, WaitSelection(kind, named, options))
        except Sleep as sleep:
            sleep.fds = fds
            raise
    return found


@syscall(247)
def waitid(
    task: Task,
    kind: Flags[IdType],
    number: Int,
    info: Out[SiginfoChild],
    options: Flags[WaitOption],
    usage: Out[Rusage],
) -> int:
    """waitid(2). Linux: kernel/exit.c, SYSCALL_DEFINE5(waitid): it clears `info` in any case."""
    try:
        found = _wait_by_id(task, kind, number, options)
    except (Errno, OutOfFrames):
        if info:
            _put_info(task, info.address, SiginfoChild())
        raise
    except Sleep as sleep:
        if info:
            sleep.progress = _InfoToClear(task, info.address)
        raise
    if usage and found is not None:
        # If that can't be put, `info` stays as it was.
        usage.put(rusage_of(found.usage))
    if info:
        if found is None:
            _put_info(task, info.address, SiginfoChild())
        else:
            stopped = found.status & 0xFF == 0x7F
            if found.status == 0xFFFF:
                status = 18
            elif stopped or not found.status & 0x7F:
                status = found.status >> 8
            else:
                status = found.status & 0x7F
            _put_info(
                task,
                info.address,
                SiginfoChild(
                    si_signo=_SIGCHLD,
                    si_code=found.code,
                    si_pid=found.pid.number_in(task.pid_namespace),
                    si_uid=task.credentials.user_namespace.from_kuid_munged(found.uid),
                    si_status=status,
                ),
            )
    return 0
