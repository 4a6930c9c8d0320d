"""An independent model of signals: what is pending, blocked, handled, stopped, and what calls become.

It says what signal(7), sigaction(2), sigwaitinfo(2) and kill(2) promise, and leaves open what they leave
open: which of several threads takes a signal that was sent to their process.
"""

from __future__ import annotations

from typing import NamedTuple

SIGHUP, SIGINT, SIGKILL, SIGUSR1, SIGSEGV, SIGUSR2, SIGTERM = 1, 2, 9, 10, 11, 12, 15
SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH = 17, 18, 19, 20, 21, 22, 23, 28
FIRST_REAL_TIME = 32
STOPPING = (SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU)
IGNORED_BY_DEFAULT = (SIGCHLD, SIGCONT, SIGURG, SIGWINCH)
DUMPING = (3, 4, 5, 6, 7, 8, 11, 24, 25, 31)
# Those that instructions cause are delivered before others, whoever sent them.
FIRST = (4, 5, 7, 8, 11, 31)
SA_RESTART, SA_NODEFER, SA_RESETHAND = 0x10000000, 0x40000000, 0x80000000
SI_USER, SI_QUEUE, SI_TKILL = 0, -1, -6
EINTR, EAGAIN = 4, 11
ALL = frozenset(range(1, 65))
READ, PAUSE, SIGSUSPEND, SIGTIMEDWAIT = "read", "pause", "rt_sigsuspend", "rt_sigtimedwait"
HANDLE, IGNORE, DEFAULT = "handle", "ignore", "default"


class Info(NamedTuple):
    """What is known of one sent signal; `sender` and `value` as siginfo has them."""

    code: int
    sender: int
    value: int


UNKNOWN = Info(SI_USER, 0, 0)
"""What is delivered of a signal for which there was no room in the queue."""


class Action(NamedTuple):
    """What a process does about a signal."""

    kind: str = DEFAULT
    flags: int = 0
    mask: frozenset[int] = frozenset()


class Pending:
    """Signals that were sent and not delivered, by number: without infos, there was no room for one."""

    def __init__(self) -> None:
        self.infos: dict[int, list[Info]] = {}

    def next_of(self, signals: frozenset[int]) -> int:
        """The one of `signals` that comes first, 0 if none is pending."""
        numbers = [number for number in self.infos if number in signals]
        return min(numbers, key=lambda number: (number not in FIRST, number), default=0)

    def take(self, number: int) -> Info:
        infos = self.infos[number]
        info = infos.pop(0) if infos else UNKNOWN
        if not infos:
            del self.infos[number]
        return info

    def discard(self, *numbers: int) -> None:
        for number in numbers:
            self.infos.pop(number, None)

    @property
    def queued(self) -> int:
        return sum(map(len, self.infos.values()))


class Call(NamedTuple):
    """A call that sleeps; `signals` are those that are waited for."""

    name: str
    signals: frozenset[int] = frozenset()


class Context:
    """The main program of a thread, or one of its handlers, which may have interrupted another.

    `result` is what its last call gave. While `is_at_entry`, it has made none. `repeats` is the call that it
    makes again when it goes on.
    """

    def __init__(self, signal: int = 0, info: Info = UNKNOWN, mask: frozenset[int] = frozenset()) -> None:
        self.signal = signal
        self.info = info
        self.mask_before = mask
        self.is_at_entry = signal != 0
        self.result = 0
        self.call: Call | None = None
        self.repeats: Call | None = None


class Thread:
    """A thread: its mask, what is pending for it alone, and what it does.

    `makes_call_again` says that it has to, though no handler ran: it was stopped, or took a signal in vain.
    """

    def __init__(self, tid: int, process: Process, mask: frozenset[int]) -> None:
        self.tid = tid
        self.process = process
        self.mask = mask
        self.mask_before_call: frozenset[int] | None = None
        self.pending = Pending()
        self.contexts = [Context()]
        self.makes_call_again = False

    @property
    def context(self) -> Context:
        return self.contexts[-1]

    @property
    def is_free(self) -> bool:
        """Whether it can make a call."""
        return not self.process.is_stopped and self.context.call is None

    @property
    def awaited(self) -> frozenset[int]:
        call = self.context.call
        return call.signals if call is not None and call.name == SIGTIMEDWAIT else frozenset()


class Process:
    """A thread group. In an orphaned process group the terminal's signals stop nobody."""

    def __init__(self, pid: int, is_orphaned: bool) -> None:
        self.pid = pid
        self.is_orphaned = is_orphaned
        self.threads: list[Thread] = []
        self.pending = Pending()
        self.actions: dict[int, Action] = {}
        self.limit = 1 << 20
        self.is_stopped = False
        self.dies_of = 0

    def action(self, signal: int) -> Action:
        return self.actions.get(signal, Action())

    def ignores(self, signal: int) -> bool:
        kind = self.action(signal).kind
        return kind == IGNORE or (kind == DEFAULT and signal in IGNORED_BY_DEFAULT)

    def is_deadly(self, signal: int) -> bool:
        """Whether the default action, which ends it, would be taken."""
        harmless = signal in IGNORED_BY_DEFAULT or signal in STOPPING
        return self.action(signal).kind == DEFAULT and not harmless

    @property
    def all_pending(self) -> list[Pending]:
        return [self.pending, *(thread.pending for thread in self.threads)]


class SignalModel:
    """Some processes of one user, for whose other processes `queued_elsewhere` signals are queued."""

    def __init__(self) -> None:
        self.processes: dict[int, Process] = {}
        self.queued_elsewhere = 0

    @property
    def threads(self) -> dict[int, Thread]:
        return {thread.tid: thread for process in self.processes.values() for thread in process.threads}

    @property
    def queued(self) -> int:
        """How many signals are queued for the user's processes."""
        pending = [each for process in self.processes.values() for each in process.all_pending]
        return self.queued_elsewhere + sum(each.queued for each in pending)

    def add_process(self, pid: int, *, is_orphaned: bool) -> Process:
        process = self.processes[pid] = Process(pid, is_orphaned)
        process.threads.append(Thread(pid, process, frozenset()))
        return process

    def add_thread(self, tid: int, maker: Thread) -> Thread:
        thread = Thread(tid, maker.process, maker.mask)
        maker.process.threads.append(thread)
        return thread

    # Sending

    def send(self, target: Process | Thread, signal: int, info: Info) -> int:
        """Send a signal; the result of the call that does."""
        process = target if isinstance(target, Process) else target.process
        asked = process.threads[0] if isinstance(target, Process) else target
        if signal in STOPPING:
            self._discard(process, SIGCONT)
        elif signal == SIGCONT:
            self._discard(process, *STOPPING)
            process.is_stopped = False
        if signal not in asked.mask and process.ignores(signal):
            return 0
        is_real_time = signal >= FIRST_REAL_TIME
        infos = target.pending.infos
        if signal in infos and not is_real_time:
            return 0
        has_room = self.queued < process.limit or (not is_real_time and info.code >= 0)
        if not has_room and is_real_time and info.code != SI_USER:
            return -EAGAIN
        queue = infos.setdefault(signal, [])
        if has_room and signal != SIGKILL:
            queue.append(info)
        return 0

    @staticmethod
    def _discard(process: Process, *signals: int) -> None:
        for pending in process.all_pending:
            pending.discard(*signals)

    # What a thread does

    def act(self, process: Process, signal: int, action: Action) -> None:
        """sigaction(2)."""
        process.actions[signal] = action
        if process.ignores(signal):
            self._discard(process, signal)

    def begin_call(self, thread: Thread, call: Call) -> None:
        """A call that sleeps, at least until somebody looks for signals."""
        context = thread.context
        context.is_at_entry = False
        context.call = call
        if call.name == SIGSUSPEND:
            thread.mask_before_call = thread.mask
            thread.mask = call.signals - {SIGKILL, SIGSTOP}

    def take_awaited(self, thread: Thread, signal: int) -> Info:
        """A thread's sigtimedwait gives it `signal`; what it learns. The thread's own come first."""
        for pending in (thread.pending, thread.process.pending):
            first = pending.next_of(thread.awaited)
            if first:
                assert signal == first, f"{signal} before {first}"
                self.end_call(thread, signal)
                return pending.take(first)
        raise AssertionError(f"{signal} isn't pending")

    def end_call(self, thread: Thread, result: int) -> None:
        """The call that slept returns."""
        thread.context.call = None
        thread.context.result = result
        if thread.mask_before_call is not None:
            thread.mask = thread.mask_before_call
            thread.mask_before_call = None

    def return_from_handler(self, thread: Thread) -> None:
        """sigreturn(2): what was interrupted goes on, with the mask of before."""
        thread.mask = thread.contexts.pop().mask_before

    # Delivery

    def deliverable(self, thread: Thread, signal: int) -> Pending | None:
        """Where the thread would take `signal` from now, if it's its turn."""
        unblocked = ALL - thread.mask
        for pending in (thread.pending, thread.process.pending):
            first = pending.next_of(unblocked)
            if first:
                return pending if first == signal else None
        return None

    def deliver(self, thread: Thread, signal: int, info: Info) -> None:
        """The thread takes `signal`: it must be its turn, and what is known of it what was sent."""
        process, context = thread.process, thread.context
        assert not process.is_stopped, f"{signal} is taken by a stopped thread"
        assert not process.dies_of, f"{signal} is taken by a dead thread"
        pending = self.deliverable(thread, signal)
        if pending is None and thread.mask_before_call is not None and thread.makes_call_again:
            # Between two calls of sigsuspend the mask is that of before.
            context.repeats = context.call
            self.end_call(thread, context.result)
            pending = self.deliverable(thread, signal)
        assert pending is not None, f"it isn't the turn of {signal}"
        expected = pending.take(signal)
        assert info == expected
        action = process.action(signal)
        if action.kind == HANDLE:
            self._enter_handler(thread, signal, info, action)
            return
        self._disturb(thread)
        if process.is_deadly(signal):
            process.dies_of = signal
        elif signal == SIGSTOP or (signal in STOPPING and action.kind == DEFAULT and not process.is_orphaned):
            self._stop(process)

    def _enter_handler(self, thread: Thread, signal: int, info: Info, action: Action) -> None:
        context = thread.context
        mask_before = thread.mask if thread.mask_before_call is None else thread.mask_before_call
        if context.call is not None:
            call, mask = context.call, thread.mask
            self.end_call(thread, -EINTR)
            # The handler blocks more than what sigsuspend did.
            thread.mask = mask
            if call.name == READ and action.flags & SA_RESTART:
                context.repeats = call
        if action.flags & SA_RESETHAND:
            thread.process.actions[signal] = action._replace(kind=DEFAULT)
        thread.contexts.append(Context(signal, info, mask_before))
        thread.mask |= action.mask
        if not action.flags & SA_NODEFER:
            thread.mask |= {signal}
        thread.mask -= {SIGKILL, SIGSTOP}

    def _stop(self, process: Process) -> None:
        process.is_stopped = True
        for thread in process.threads:
            self._disturb(thread)

    def _disturb(self, thread: Thread) -> None:
        """The thread has been woken, and no handler runs."""
        thread.makes_call_again = True
        call = thread.context.call
        if call is not None and call.name == SIGTIMEDWAIT:
            self.end_call(thread, -EINTR)

    def may_end(self, process: Process, signal: int) -> bool:
        """Whether `signal` may have ended the process: at once, before any thread has taken it."""
        if process.dies_of:
            return process.dies_of == signal
        if signal == SIGKILL:
            return any(SIGKILL in pending.infos for pending in process.all_pending)
        takers = [thread for thread in process.threads if signal not in thread.mask]
        return (
            process.is_deadly(signal)
            and signal not in DUMPING
            and not process.is_stopped
            and any(signal in thread.pending.infos or signal in process.pending.infos for thread in takers)
        )

    def settle(self) -> None:
        """Everybody has done what there was to do: calls are made again, and nothing was slept over."""
        for process in self.processes.values():
            assert not process.dies_of, process.pid
            assert not any(SIGKILL in pending.infos for pending in process.all_pending)
            if process.is_stopped:
                continue
            for thread in process.threads:
                context = thread.context
                thread.makes_call_again = False
                if context.repeats is not None:
                    self.begin_call(thread, context.repeats)
                    context.repeats = None
                wanted = ALL - thread.mask | thread.awaited
                assert not thread.pending.next_of(wanted), thread.tid
                assert not process.pending.next_of(wanted), thread.tid
