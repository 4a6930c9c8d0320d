"""seccomp: the mode of a task, its filters of system calls, and how they are attached (seccomp(2))."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.bpf import BPF_MAXINSNS, SockFilter, SockFprog
from procession.abi.errno import EACCES, EBUSY, EINVAL, ENOMEM, ESRCH
from procession.abi.seccomp import (
    AUDIT_ARCH_X86_64,
    SECCOMP_RET_ACTION_FULL,
    SeccompAction,
    SeccompData,
    SeccompFilterFlag,
    SeccompMode,
)
from procession.fs.wait_queue import WaitQueue
from procession.hardware.kernel_memory import (
    DECISION_BYTES,
    INSTRUCTION_BYTES,
    SECCOMP,
    SECCOMP_BYTES,
)
from procession.hardware.registers import ARGUMENT_REGISTERS, RIP
from procession.kernel.security.capability import CAP_SYS_ADMIN
from procession.kernel.task import CALL_SECCOMP
from procession.net.bpf import (
    ARITHMETIC,
    LOAD_ABSOLUTE,
    LOAD_IMMEDIATE,
    LOAD_LENGTH,
    LOAD_X_IMMEDIATE,
    LOAD_X_LENGTH,
    MODULO,
    START,
    Program,
    Suspension,
    check_length,
    check_program,
    converted_length,
    run,
)

if TYPE_CHECKING:
    from procession.hardware.engine import GeneralRegisters
    from procession.hardware.kernel_memory import KernelMemory
    from procession.kernel.kernel import Kernel
    from procession.kernel.security.seccomp_listener import Notifications
    from procession.kernel.task import Task
    from procession.kernel.time.clock import Clock

MODE_DISABLED = int(SeccompMode.SECCOMP_MODE_DISABLED)
MODE_STRICT = int(SeccompMode.SECCOMP_MODE_STRICT)
MODE_FILTER = int(SeccompMode.SECCOMP_MODE_FILTER)
MODE_DEAD = 3
"""The task is being killed for what it called, and makes no more calls.

Linux: kernel/seccomp.c, SECCOMP_MODE_DEAD."""

RET_ALLOW = int(SeccompAction.SECCOMP_RET_ALLOW)

TSYNC = int(SeccompFilterFlag.SECCOMP_FILTER_FLAG_TSYNC)
LOG = int(SeccompFilterFlag.SECCOMP_FILTER_FLAG_LOG)
NEW_LISTENER = int(SeccompFilterFlag.SECCOMP_FILTER_FLAG_NEW_LISTENER)
TSYNC_ESRCH = int(SeccompFilterFlag.SECCOMP_FILTER_FLAG_TSYNC_ESRCH)
WAIT_KILLABLE_RECV = int(SeccompFilterFlag.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)

ACTION_NAMES = (
    b"kill_process",
    b"kill_thread",
    b"trap",
    b"errno",
    b"user_notif",
    b"trace",
    b"log",
    b"allow",
)
"""The actions, the strongest first. Linux: kernel/seccomp.c, seccomp_actions_avail."""
ALL_LOGGED = (1 << len(ACTION_NAMES) - 1) - 1
"""Every action but to allow, which is never logged: bits in the order of ACTION_NAMES."""

MAX_INSTRUCTIONS_PER_PATH = 32768
"""How long the programs of a task may be together. Linux: kernel/seccomp.c, MAX_INSNS_PER_PATH."""
_PENALTY = 4
"""What a filter counts beside its program's length."""

_WORD = 0xFFFFFFFF
_ADDRESS_WORDS = (2, 3)
_LAST_ADDRESS_WORD = 3
_CACHED_NUMBERS = 512
_CACHED_REST = 8
_MODULOS = frozenset((MODULO, MODULO | 8))
_PACKET_CODES = frozenset((0x28, 0x30, 0x40, 0x48, 0x50, 0xB1))
"""Loads of a half word, of a byte, from where X says, and of an IP header's length."""


class CallWords:
    """What filters see of a call: struct seccomp_data as words, read when they are wanted."""

    __slots__ = ("general", "number")

    COUNT: ClassVar[int] = SeccompData.SIZE // 4

    def __init__(self, number: int, general: GeneralRegisters) -> None:
        self.number = number
        self.general = general

    def __getitem__(self, index: int) -> int:
        if index > _LAST_ADDRESS_WORD:
            value = self.general[ARGUMENT_REGISTERS[(index >> 1) - 2]]
        elif index > 1:
            value = self.general[RIP]
        else:
            return AUDIT_ARCH_X86_64 if index else self.number & _WORD
        return value >> 32 if index & 1 else value & _WORD


class Decision:
    """What filters say to a call: their answer, and the filter whose it is.

    If `rest` isn't empty that is only the answer of those that don't look at the call's arguments; the others
    are in `rest`, newest first, each with where its program stood when it wanted the first argument.
    """

    __slots__ = ("answer", "filter", "rank", "rest")

    def __init__(
        self, answer: int, source: SeccompFilter | None, rest: tuple[tuple[SeccompFilter, Suspension], ...]
    ) -> None:
        self.answer = answer
        self.filter = source
        self.rank = rank_of(answer)
        self.rest = rest


class SeccompFilter:
    """One filter, and those that were there before it (Linux: kernel/seccomp.c, struct
    seccomp_filter).

    It never changes once it is attached, and tasks share it. `users` counts the tasks whose newest it is and
    the filters right after it; `queue` is woken when it has none any more, and for its listener. `length`
    is that of all programs from here on as Linux counts it. `decisions` keeps what was found out for a call's
    number: all that a program does before it looks at an argument is the same each time. `uses_address` says
    whether any program from here on looks at where the call was made. `charged_bytes` is what it takes of
    the memory of `account`. `original` is the program as it was given, for tracers.
    """

    __slots__ = (
        "account",
        "charged_bytes",
        "decisions",
        "depth",
        "is_logged",
        "length",
        "notifications",
        "original",
        "previous",
        "program",
        "queue",
        "users",
        "uses_address",
        "waits_killable",
    )

    def __init__(
        self, account: KernelMemory, program: Program, length: int, flags: int, original: bytes
    ) -> None:
        self.account = account
        self.charged_bytes = SECCOMP_BYTES + len(program) * INSTRUCTION_BYTES + len(original)
        account.charge(SECCOMP, self.charged_bytes)
        self.program = program
        self.original = original
        self.length = length
        self.is_logged = bool(flags & LOG)
        self.waits_killable = bool(flags & WAIT_KILLABLE_RECV)
        self.previous: SeccompFilter | None = None
        self.depth = 1
        self.users = 1
        self.queue = WaitQueue()
        self.notifications: Notifications | None = None
        self.uses_address = any(
            code == LOAD_ABSOLUTE and operand in _ADDRESS_WORDS for code, _, _, operand in program
        )
        self.decisions: dict[int, Decision] = {}

    def discard(self) -> None:
        """Nobody has it any more. Linux: kernel/seccomp.c, seccomp_filter_free."""
        self.account.uncharge(SECCOMP, self.charged_bytes)
        self.charged_bytes = 0

    def is_ancestor_of(self, other: SeccompFilter | None) -> bool:
        """Whether `other` is this filter or came after it. Linux: kernel/seccomp.c, is_ancestor."""
        while other is not None and other.depth >= self.depth:
            if other is self:
                return True
            other = other.previous
        return False

    def decide(self, clock: Clock, number: int) -> Decision:
        """What follows from a call's number alone."""
        decision = self.decisions.get(number)
        if decision is None:
            decision = self._look(clock, number)
            size = (1 + len(decision.rest)) * DECISION_BYTES
            if (
                number < _CACHED_NUMBERS
                and len(decision.rest) <= _CACHED_REST
                and self.account.can_charge(size)
            ):
                self.account.charge_always(SECCOMP, size)
                self.charged_bytes += size
                self.decisions[number] = decision
        return decision

    def _look(self, clock: Clock, number: int) -> Decision:
        words = (number & _WORD, AUDIT_ARCH_X86_64)
        best, best_rank, source = RET_ALLOW, rank_of(RET_ALLOW), None
        rest: list[tuple[SeccompFilter, Suspension]] = []
        each: SeccompFilter | None = self
        while each is not None:
            answer, steps = run(each.program, words, len(words), START)
            clock.spend_stepping(steps)
            if isinstance(answer, Suspension):
                rest.append((each, answer))
            elif rank_of(answer) < best_rank:
                best, best_rank, source = answer, rank_of(answer), each
            each = each.previous
        return Decision(best, source, tuple(rest))

    @staticmethod
    def finish(
        clock: Clock, decision: Decision, number: int, general: GeneralRegisters
    ) -> tuple[int, SeccompFilter | None]:
        """The answer to a call whose arguments count too, and whose it is; of equal ones the newest filter's.

        Linux: kernel/seccomp.c, seccomp_run_filters.
        """
        words = CallWords(number, general)
        best, best_rank, source = decision.answer, decision.rank, decision.filter
        for each, start in decision.rest:
            answer, steps = run(each.program, words, CallWords.COUNT, start)
            clock.spend_stepping(steps)
            assert isinstance(answer, int)
            rank = rank_of(answer)
            if rank < best_rank or (rank == best_rank and source is not None and each.depth > source.depth):
                best, best_rank, source = answer, rank, each
        return best, source


def rank_of(answer: int) -> int:
    """Where an answer's action stands among the others, the smallest winning: it is read as signed."""
    action = answer & SECCOMP_RET_ACTION_FULL
    return (action ^ 0x80000000) - 0x80000000


def data_of(number: int, general: GeneralRegisters) -> SeccompData:
    """What a listener sees of a call. Linux: kernel/seccomp.c, populate_seccomp_data."""
    return SeccompData(
        ((number & _WORD) ^ 0x80000000) - 0x80000000,
        AUDIT_ARCH_X86_64,
        general[RIP],
        tuple(general[register] for register in ARGUMENT_REGISTERS),
    )


def prepare_filter(task: Task, address: int, flags: int) -> SeccompFilter:
    """The filter whose struct sock_fprog is at `address`. Raises EFAULT, EINVAL, EACCES, OutOfFrames.

    Who then doesn't attach it calls `discard`.

    Linux: kernel/seccomp.c, seccomp_prepare_user_filter, seccomp_prepare_filter.
    """
    header = SockFprog.unpack(task.mm.read(address, SockFprog.SIZE))
    check_length(header.len)
    credentials = task.credentials
    if not credentials.no_new_privs and not credentials.capable_in_own(CAP_SYS_ADMIN):
        raise EACCES("a filter takes no_new_privs or CAP_SYS_ADMIN")
    if not header.filter:
        raise EINVAL("no program")
    assert header.len <= BPF_MAXINSNS
    original = task.mm.read(header.filter, header.len * SockFilter.SIZE)
    instructions = SockFilter.unpack_array(original)
    task.kernel.clock.spend_checking(header.len)
    check_program(instructions)
    program = tuple(map(_translate, instructions))
    length = converted_length(instructions)
    return SeccompFilter(task.kernel.memory.account, program, length, flags, original)


def _translate(instruction: SockFilter) -> tuple[int, int, int, int]:
    """An instruction as it will run. Raises EINVAL for one that has no place in these programs.

    Linux: kernel/seccomp.c, seccomp_check_filter.
    """
    code, operand = instruction.code, instruction.k
    if code == LOAD_ABSOLUTE:
        if operand >= SeccompData.SIZE or operand & 3:
            raise EINVAL(f"no word of struct seccomp_data at {operand:#x}")
        operand >>= 2
    elif code == LOAD_LENGTH:
        code, operand = LOAD_IMMEDIATE, SeccompData.SIZE
    elif code == LOAD_X_LENGTH:
        code, operand = LOAD_X_IMMEDIATE, SeccompData.SIZE
    elif code in _PACKET_CODES or (code in ARITHMETIC and code in _MODULOS):
        raise EINVAL(f"no code {code:#x} for system calls")
    return code, instruction.jt, instruction.jf, operand


def check_mode(task: Task, mode: int) -> None:
    """Raise EINVAL if the task has another mode. Linux: kernel/seccomp.c, seccomp_may_assign_mode."""
    if task.seccomp_mode not in (MODE_DISABLED, mode):
        raise EINVAL("the task has the other mode of seccomp")


def check_listener(task: Task, new: SeccompFilter) -> None:
    """Raise EBUSY if a task would get a second listener. Linux: kernel/seccomp.c, has_duplicate_listener."""
    if new.notifications is None:
        return
    each = task.seccomp_filter
    while each is not None:
        if each.notifications is not None:
            raise EBUSY("an older filter has a listener")
        each = each.previous


def attach_filter(kernel: Kernel, task: Task, new: SeccompFilter, flags: int) -> int:
    """Make `new` the newest filter of the running `task`, with TSYNC of the whole process.

    The result is 0, or the id of a thread that can't have the same filters. Raises ENOMEM, ESRCH; then
    nothing has changed. Linux: kernel/seccomp.c, seccomp_attach_filter.
    """
    previous = task.seccomp_filter
    total = new.length + (previous.length + _PENALTY * previous.depth if previous is not None else 0)
    if total > MAX_INSTRUCTIONS_PER_PATH:
        raise ENOMEM(f"{total} instructions")
    others = [thread for thread in task.group.threads if thread is not task and not thread.is_exiting]
    if flags & TSYNC:
        for thread in others:
            if not _can_synchronize(thread, previous):
                if flags & TSYNC_ESRCH:
                    raise ESRCH("a thread has filters of its own")
                return thread.thread_pid.number_in(task.pid_namespace)
    if previous is not None:
        # The new one takes over the task's reference.
        new.previous = previous
        new.depth = previous.depth + 1
        new.length += previous.length
        new.uses_address = new.uses_address or previous.uses_address
    task.seccomp_filter = new
    set_mode(kernel, task, MODE_FILTER)
    if flags & TSYNC:
        for thread in others:
            _synchronize(kernel, task, thread)
    return 0


def _can_synchronize(thread: Task, newest: SeccompFilter | None) -> bool:
    """Linux: kernel/seccomp.c, seccomp_can_sync_threads."""
    if thread.seccomp_mode == MODE_DISABLED:
        return True
    if thread.seccomp_mode != MODE_FILTER:
        return False
    return thread.seccomp_filter is None or thread.seccomp_filter.is_ancestor_of(newest)


def _synchronize(kernel: Kernel, caller: Task, thread: Task) -> None:
    """Linux: kernel/seccomp.c, seccomp_sync_threads."""
    newest = caller.seccomp_filter
    assert newest is not None
    newest.users += 1
    drop_filter(thread)
    thread.seccomp_filter = newest
    if caller.credentials.no_new_privs and not thread.credentials.no_new_privs:
        thread.credentials = thread.credentials.replace(no_new_privs=True)
    set_mode(kernel, thread, MODE_FILTER)


def set_mode(kernel: Kernel, task: Task, mode: int) -> None:
    """From now on every call of `task` is looked at. Linux: kernel/seccomp.c, seccomp_assign_mode."""
    task.seccomp_mode = mode
    kernel.add_call_work(task, CALL_SECCOMP)


def copy_seccomp(parent: Task, child: Task) -> None:
    """Give a new task its parent's mode and filters. Linux: kernel/fork.c, copy_seccomp."""
    child.seccomp_mode = parent.seccomp_mode
    child.seccomp_filter = parent.seccomp_filter
    child.call_work |= CALL_SECCOMP
    if child.seccomp_filter is not None:
        child.seccomp_filter.users += 1


def drop_filter(task: Task) -> None:
    """The task is rid of its filters; listeners of those that nobody has any more are told.

    Linux: kernel/seccomp.c, __seccomp_filter_release, __seccomp_filter_orphan.
    """
    each, task.seccomp_filter = task.seccomp_filter, None
    while each is not None:
        each.users -= 1
        if each.users:
            return
        each.queue.wake_all()
        each.discard()
        each = each.previous
