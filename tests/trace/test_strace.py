"""Tests of the system call trace: lines made from declarations, halves, prefixes, signals and exits."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Annotated, Any, cast

import pytest

from procession.abi.clone_flags import CloneArgs, CloneFlag
from procession.abi.errno import ECHILD, EFAULT, ENOENT, ERESTARTSYS, Errno
from procession.abi.futex import FutexCommand, FutexFlag
from procession.abi.open_flags import OpenFlag
from procession.abi.poll import EpollEvent, Pollfd
from procession.abi.structure import I32
from procession.abi.time import Timespec
from procession.abi.wait_options import WaitOption
from procession.hardware.physical_memory import PhysicalMemory
from procession.kernel.signal.info import SigInfo
from procession.kernel.task import Task
from procession.mm.address_space import MemoryDescriptor
from procession.mm.vma import PROT_READ, PROT_WRITE, VirtualMemoryArea
from procession.syscalls.declaration import SystemCall
from procession.syscalls.parameters import (
    ARRAY,
    Address,
    Choice,
    ChoiceAndFlags,
    CreationMode,
    Fd,
    Flags,
    FlagsAndSignal,
    In,
    InBuffer,
    InOut,
    Int,
    InVector,
    Out,
    OutBuffer,
    OutVector,
    Path,
    SignalNumber,
    SignalSet,
    Size,
    SizedIn,
    StringArray,
    UInt,
    WaitStatus,
)
from procession.trace.strace import SystemCallTrace
from tests.kernel.process_ids import pid_numbered

BASE = 0x10000


def wait4(task: Task, pid: Int, status: Out[WaitStatus], options: Flags[WaitOption], usage: Out[I32]) -> int:
    """wait4(2)."""
    return 0


def openat(task: Task, directory: Fd, path: Path, flags: Flags[OpenFlag], mode: CreationMode) -> int:
    """openat(2)."""
    return 0


def read(task: Task, fd: Fd, buffer: OutBuffer, count: Size) -> int:
    """read(2)."""
    return 0


def write(task: Task, fd: Fd, buffer: InBuffer, count: Size) -> int:
    """write(2)."""
    return 0


def readv(task: Task, fd: Fd, vector: OutVector, count: Size) -> int:
    """readv(2)."""
    return 0


def writev(task: Task, fd: Fd, vector: InVector, count: Size) -> int:
    """writev(2)."""
    return 0


def execve(task: Task, path: Path, argv: StringArray, environment: Address) -> int:
    """execve(2)."""
    return 0


def brk(task: Task, address: Address) -> Address:
    """brk(2)."""
    return 0


def clone(
    task: Task,
    flags: FlagsAndSignal[CloneFlag],
    stack: Address,
    parent: Address,
    child: Address,
    tls: Address,
) -> int:
    """clone(2)."""
    return 0


def getpid(task: Task) -> int:
    """getpid(2)."""
    return 0


def kill(task: Task, pid: Int, signal: SignalNumber) -> int:
    """kill(2)."""
    return 0


def sigsuspend(task: Task, mask: In[SignalSet]) -> int:
    """rt_sigsuspend(2), shortened."""
    return 0


def nanosleep(task: Task, request: In[Timespec], remaining: Out[Timespec]) -> int:
    """nanosleep(2)."""
    return 0


def socklen(task: Task, fd: Fd, length: InOut[I32]) -> int:
    """A call with a value that it replaces."""
    return 0


def poll(task: Task, descriptors: InOut[Annotated[Pollfd, ARRAY]], count: UInt, timeout: Int) -> int:
    """poll(2)."""
    return 0


def epoll_wait(
    task: Task, instance: Fd, events: Out[Annotated[EpollEvent, ARRAY]], maximum: Int, timeout: Int
) -> int:
    """epoll_wait(2)."""
    return 0


def clone3(task: Task, arguments: SizedIn[CloneArgs], size: Size) -> int:
    """clone3(2)."""
    return 0


def futex(
    task: Task,
    address: Address,
    operation: ChoiceAndFlags[FutexCommand | FutexFlag],
    value: UInt,
    timeout: In[Timespec],
    address2: Address,
    value3: UInt,
) -> int:
    """futex(2)."""
    return 0


def seek(task: Task, whence: Choice[Any]) -> int:
    """A call whose choice has no names."""
    return 0


class Limits:
    """Limits that are out of reach."""

    soft = hard = [1 << 62] * 16


class Watched:
    """A trace and one task with a page of memory."""

    def __init__(self) -> None:
        self.output = io.StringIO()
        self.trace = SystemCallTrace(self.output)
        self.mm = MemoryDescriptor(PhysicalMemory(1 << 18), Limits())
        self.mm.map(VirtualMemoryArea(BASE, BASE + 8192, PROT_READ | PROT_WRITE))
        self.task = self.another(7)

    def another(self, tid: int) -> Task:
        """A task in the same memory."""
        return cast(
            "Task",
            SimpleNamespace(
                tid=tid, mm=self.mm, group=self, exit_code=0, is_exiting=False, work=0, kernel=None
            ),
        )

    def decode(self, handler: Any, *registers: int) -> tuple[SystemCall, tuple[Any, ...]]:
        """The call and the arguments as its decoder makes them of `registers`."""
        call = SystemCall(400, handler.__name__, handler)
        general = [0] * 17
        for register, value in zip((7, 6, 2, 10, 8, 9), registers, strict=False):
            general[register] = value & (1 << 64) - 1
        return call, call.decode(self.task, general)

    def line(
        self, handler: Any, *registers: int, result: int | Errno = 0, then: tuple[int, bytes] = (0, b"")
    ) -> str:
        """The line for a call; `then` is what it puts into memory, and where."""
        call, arguments = self.decode(handler, *registers)
        self.trace.system_call_entered(self.task, call, arguments)
        if then[1]:
            self.mm.write(*then)
        self.trace.system_call_returned(self.task, call, arguments, result)
        return self.take()

    def take(self) -> str:
        """What has been written since the last time."""
        text = self.output.getvalue()
        self.output.seek(0)
        self.output.truncate()
        return text


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_wait_shows_the_status_after_the_return(watched: Watched) -> None:
    line = watched.line(wait4, -1, BASE, 0, 0, result=7, then=(BASE, b"\0\3\0\0"))
    assert line == "wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == 3}], 0, NULL) = 7\n"


def test_a_failed_call_shows_addresses_the_error_and_its_reason(watched: Watched) -> None:
    line = watched.line(wait4, -1, BASE, 1, 0, result=ECHILD("no children"))
    assert (
        line == "wait4(-1, 0x10000, WNOHANG, NULL)       = -1 ECHILD (No child processes) /* no children */\n"
    )


def test_an_interrupted_call_has_no_result_yet(watched: Watched) -> None:
    line = watched.line(wait4, -1, BASE, 0, 0, result=ERESTARTSYS())
    assert line.endswith(" = ? ERESTARTSYS (To be restarted if SA_RESTART is set)\n")


def test_paths_flags_and_modes(watched: Watched) -> None:
    watched.mm.write(BASE, b"/etc/passwd\0")
    line = watched.line(openat, -100, BASE, 0o2000101, 0o644, result=ENOENT())
    assert line == (
        'openat(AT_FDCWD, "/etc/passwd", O_WRONLY|O_CREAT|O_CLOEXEC, 0644)'
        " = -1 ENOENT (No such file or directory)\n"
    )
    assert watched.line(openat, 3, BASE, 0, 0, result=5) == ('openat(3, "/etc/passwd", O_RDONLY)      = 5\n')


def test_buffers_are_shown_as_far_as_they_are_filled(watched: Watched) -> None:
    line = watched.line(read, 3, BASE, 4096, result=3, then=(BASE, b"abcdef"))
    assert line == 'read(3, "abc", 4096)                    = 3\n'
    assert watched.line(write, 1, BASE, 5, result=5) == 'write(1, "abcde", 5)                    = 5\n'
    assert watched.line(write, 1, 64, 5).startswith("write(1, 0x40, 5)")


def test_vectors(watched: Watched) -> None:
    vector = b"".join(value.to_bytes(8, "little") for value in (BASE + 100, 4, BASE + 200, 9))
    watched.mm.write(BASE, vector)
    watched.mm.write(BASE + 100, b"abcd")
    watched.mm.write(BASE + 200, b"efghijklm")
    assert watched.line(writev, 1, BASE, 2, result=13) == (
        'writev(1, [{iov_base="abcd", iov_len=4}, {iov_base="efghijklm", iov_len=9}], 2) = 13\n'
    )
    assert watched.line(readv, 1, BASE, 2, result=6) == (
        'readv(1, [{iov_base="abcd", iov_len=4}, {iov_base="ef", iov_len=9}], 2) = 6\n'
    )


def test_execve_shows_its_argument_strings(watched: Watched) -> None:
    watched.mm.write(BASE, b"/bin/ls\0-l\0")
    watched.mm.write(BASE + 64, b"".join(value.to_bytes(8, "little") for value in (BASE, BASE + 8, 0)))
    line = watched.line(execve, BASE, BASE + 64, BASE + 256)
    assert line == 'execve("/bin/ls", ["/bin/ls", "-l"], 0x10100 /* 0 vars */) = 0\n'


def test_other_kinds(watched: Watched) -> None:
    assert watched.line(brk, 0, result=0x555000) == "brk(NULL)                               = 0x555000\n"
    flags = "CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD"
    assert watched.line(clone, 0x1200011, 0, 4, 5, 6, result=8) == (
        f"clone(child_stack=NULL, flags={flags}, child_tidptr=0x5) = 8\n"
    )
    assert watched.line(clone, 0, 0, 4, 5, 6).startswith("clone(child_stack=NULL, flags=0) ")
    assert watched.line(kill, 7, 15).startswith("kill(7, SIGTERM) ")
    watched.mm.write(BASE, (0x10002).to_bytes(8, "little"))
    assert watched.line(sigsuspend, BASE).startswith("sigsuspend([INT CHLD]) ")
    watched.mm.write(BASE, Timespec(2, 5).pack())
    assert watched.line(nanosleep, BASE, 0).startswith("nanosleep({tv_sec=2, tv_nsec=5}, NULL) ")
    assert watched.line(seek, 3).startswith("seek(0x3) ")
    watched.mm.write(BASE, b"\x10\0\0\0")
    assert watched.line(socklen, 3, BASE, then=(BASE, b"\2\0\0\0")).startswith("socklen(3, [16 => 2]) ")


def test_each_futex_command_has_its_arguments(watched: Watched) -> None:
    watched.mm.write(BASE, Timespec(2, 5).pack())
    assert watched.line(futex, 0x20000, 0x189, 3, BASE, 7, -1).startswith(
        "futex(0x20000, FUTEX_WAIT_BITSET|FUTEX_PRIVATE_FLAG|FUTEX_CLOCK_REALTIME, 3, {tv_sec=2, tv_nsec=5}, "
        "FUTEX_BITSET_MATCH_ANY) "
    )
    assert watched.line(futex, 0x20000, 1, 3, BASE, 7, 9).startswith("futex(0x20000, FUTEX_WAKE, 3) ")
    assert watched.line(futex, 0x20000, 4, 3, 8, 0x30000, 9).startswith(
        "futex(0x20000, FUTEX_CMP_REQUEUE, 3, 8, 0x30000, 9) "
    )
    assert watched.line(futex, 0x20000, 7, 3, BASE, 7, 9).startswith("futex(0x20000, FUTEX_UNLOCK_PI) ")
    assert watched.line(futex, 0x20000, 2, 3, 0, 0, 9).startswith(
        "futex(0x20000, FUTEX_FD, 3, NULL, NULL, 9) "
    )


def test_arrays_of_structures(watched: Watched) -> None:
    watched.mm.write(BASE, Pollfd(0, 1).pack() + Pollfd(4, 0x2001).pack())
    line = watched.line(poll, BASE, 2, -1, result=1, then=(BASE, Pollfd(0, 1, 0x10).pack()))
    polled = "{fd=0, events=POLLIN}, {fd=4, events=POLLIN|POLLRDHUP}"
    assert line == f"poll([{polled}], 2, -1) = 1 ([{{fd=0, revents=POLLHUP}}])\n"
    assert watched.line(poll, BASE, 1, 0).endswith(" = 0 (Timeout)\n")
    then = (BASE, EpollEvent(1, 7).pack())
    line = watched.line(epoll_wait, 3, BASE, 10, 0, result=1, then=then)
    assert line == "epoll_wait(3, [{events=EPOLLIN, data=0x7}], 10, 0) = 1\n"
    assert watched.line(epoll_wait, 3, BASE, 10, 0, result=0).startswith("epoll_wait(3, [], 10, 0) ")


def test_structures_that_grow(watched: Watched) -> None:
    watched.mm.write(BASE, CloneArgs(flags=0x4100, exit_signal=17).pack())
    line = watched.line(clone3, BASE, 64, result=8)
    flags = "CLONE_VM|CLONE_VFORK"
    assert line == f"clone3({{flags={flags}, exit_signal=SIGCHLD, stack=NULL, stack_size=0}}, 64) = 8\n"
    watched.mm.write(BASE, CloneArgs(flags=0x100000, parent_tid=BASE + 256).pack())
    line = watched.line(clone3, BASE, 88, result=8, then=(BASE + 256, b"\x08\0\0\0"))
    fields = "{flags=CLONE_PARENT_SETTID, parent_tid=0x10100, exit_signal=0, stack=NULL, stack_size=0}"
    assert line == f"clone3({fields} => {{parent_tid=[8]}}, 88) = 8\n"


def test_a_thread_that_takes_its_leader_s_id(watched: Watched) -> None:
    watched.mm.write(BASE, b"/bin/ls\0-l\0")
    watched.mm.write(BASE + 64, b"".join(value.to_bytes(8, "little") for value in (BASE, BASE + 8, 0)))
    call, arguments = watched.decode(execve, BASE, BASE + 64, BASE + 256)
    thread = watched.another(9)
    for task in (watched.task, thread):
        watched.trace.task_event(task, "clone")
    watched.trace.system_call_entered(thread, call, arguments)
    watched.trace.task_event(watched.task, "exit")
    thread = watched.another(watched.task.tid)
    watched.trace.task_event(thread, "supersede", 9)
    watched.trace.system_call_returned(thread, call, arguments, 0)
    assert watched.take().splitlines() == [
        '[pid     9] execve("/bin/ls", ["/bin/ls", "-l"], 0x10100 /* 0 vars */ <unfinished ...>',
        "[pid     7] +++ exited with 0 +++",
        "+++ superseded by execve in pid 9 +++",
        "<... execve resumed>)                   = 0",
    ]


def test_a_trace_never_brings_pages_in(watched: Watched) -> None:
    watched.line(write, 1, BASE, 5)
    assert watched.mm.resident_pages == 0


def test_calls_of_several_tasks_are_written_in_halves(watched: Watched) -> None:
    call, arguments = watched.decode(wait4, -1, BASE, 0, 0)
    child = watched.another(8)
    watched.trace.system_call_entered(watched.task, call, arguments)
    watched.trace.task_event(child, "clone")
    kill_call, kill_arguments = watched.decode(kill, 7, 9)
    watched.trace.system_call_entered(child, kill_call, kill_arguments)
    watched.trace.system_call_returned(child, kill_call, kill_arguments, 0)
    watched.trace.task_event(child, "exit")
    watched.mm.write(BASE, bytes(4))
    watched.trace.system_call_returned(watched.task, call, arguments, 8)
    assert watched.take() == (
        "[pid     7] wait4(-1,  <unfinished ...>\n"
        "[pid     8] kill(7, SIGKILL)                        = 0\n"
        "[pid     8] +++ exited with 0 +++\n"
        "<... wait4 resumed>[{WIFEXITED(s) && WEXITSTATUS(s) == 0}], 0, NULL) = 8\n"
    )


def test_a_value_that_changed_while_others_ran_is_shown_again(watched: Watched) -> None:
    watched.mm.write(BASE, Pollfd(3, 1).pack())
    call, arguments = watched.decode(poll, BASE, 1, -1)
    watched.trace.system_call_entered(watched.task, call, arguments)
    watched.trace.task_event(watched.task, "signal", SigInfo(2, 0x80))
    watched.take()
    watched.mm.write(BASE, Pollfd(3, 1, 1).pack())
    watched.trace.system_call_returned(watched.task, call, arguments, 1)
    assert watched.take() == ("<... poll resumed>)                     = 1 ([{fd=3, revents=POLLIN}])\n")


def test_signals_and_ends(watched: Watched) -> None:
    trace, task = watched.trace, watched.task
    trace.task_event(task, "signal", SigInfo(17, 1, sender=pid_numbered(8), status=3))
    trace.task_event(task, "signal", SigInfo(17, 2, sender=pid_numbered(8), status=9))
    trace.task_event(task, "signal", SigInfo(11, 1, address=0x10))
    trace.task_event(task, "signal", SigInfo(2, 0x80))
    task.exit_code = 11 | 0x80
    trace.task_event(task, "exit")
    assert watched.take().splitlines() == [
        "--- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=8, si_uid=0, si_status=3,"
        " si_utime=0, si_stime=0} ---",
        "--- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_KILLED, si_pid=8, si_uid=0, si_status=SIGKILL,"
        " si_utime=0, si_stime=0} ---",
        "--- SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=0x10} ---",
        "--- SIGINT {si_signo=SIGINT, si_code=SI_KERNEL} ---",
        "+++ killed by SIGSEGV (core dumped) +++",
    ]


def test_what_never_returns_is_shown_so(watched: Watched) -> None:
    call, arguments = watched.decode(kill, 7, 0)
    watched.trace.system_call_entered(watched.task, call, arguments)
    watched.trace.task_event(watched.task, "exit")
    assert watched.take() == "kill(7, 0)                              = ?\n+++ exited with 0 +++\n"
    watched.trace.system_call_entered(watched.task, call, arguments)
    watched.trace.close()
    assert watched.take() == "kill(7, 0 <unfinished ...>\n"


def test_what_is_not_built_is_shown(watched: Watched) -> None:
    watched.trace.unknown_call(watched.task, 425)
    assert (
        watched.take() == "io_uring_setup(...)                     = -1 ENOSYS (Function not implemented)\n"
    )


def test_a_call_without_arguments(watched: Watched) -> None:
    assert watched.line(getpid, result=7) == "getpid()                                = 7\n"


def test_a_call_whose_arguments_cannot_be_read(watched: Watched) -> None:
    call = SystemCall(257, "openat", openat)
    watched.trace.system_call_returned(watched.task, call, (), EFAULT("0x10 can't be read"))
    assert watched.take() == (
        "openat(...)                             = -1 EFAULT (Bad address) /* 0x10 can't be read */\n"
    )


def test_the_start_of_the_command_is_an_execve(watched: Watched) -> None:
    watched.mm.write(BASE, b"ls\0-l\0A=1\0B=2\0/bin/ls\0")
    watched.mm.arguments_start = BASE
    watched.mm.arguments_end = watched.mm.environment_start = BASE + 6
    watched.mm.environment_end = BASE + 14
    watched.trace.task_event(watched.task, "exec")
    assert watched.take() == 'execve("/bin/ls", ["ls", "-l"], 0x10006 /* 2 vars */) = 0\n'


def test_an_ignored_process_leaves_no_lines(watched: Watched) -> None:
    group: Any = object()
    watched.task.group = group
    watched.trace.ignored = group
    assert watched.line(kill, 7, 9) == ""
    watched.trace.task_event(watched.task, "exit")
    watched.trace.unknown_call(watched.task, 425)
    assert watched.take() == ""


class ClosedOutput(io.StringIO):
    """A stream that nobody reads."""

    def write(self, text: str) -> int:
        """Fail."""
        raise BrokenPipeError(32, "Broken pipe")


def test_an_output_that_fails_ends_the_trace_and_not_the_run(watched: Watched) -> None:
    trace = SystemCallTrace(ClosedOutput())
    trace.task_event(watched.task, "exit")
    assert str(trace.failure) == "[Errno 32] Broken pipe"
