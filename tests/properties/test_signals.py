"""Checks signals against a model: any sequence of sends, masks, actions, waits, handlers, stops and ends."""

from __future__ import annotations

from struct import pack, unpack

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from procession.hardware.registers import RDI, RDX, RIP, RSI
from procession.kernel.rlimit import RLIMIT_SIGPENDING
from procession.kernel.signal.info import SigInfo
from procession.kernel.signal.pending import PendingSignals
from procession.kernel.task import Task
from procession.kernel.task_state import TaskState
from tests.kernel.conducted_machine import (
    HANDLER,
    HANDLES,
    RESULTS,
    SLEEPS,
    STACK_TOP,
    STOPPED,
    ConductedMachine,
    Outcome,
)
from tests.kernel.process_ids import first_pid_namespace
from tests.of_a_kind import examples
from tests.properties.signal_model import (
    ALL,
    DEFAULT,
    HANDLE,
    IGNORE,
    PAUSE,
    READ,
    SA_NODEFER,
    SA_RESETHAND,
    SA_RESTART,
    SI_QUEUE,
    SI_TKILL,
    SI_USER,
    SIGCHLD,
    SIGCONT,
    SIGHUP,
    SIGKILL,
    SIGSEGV,
    SIGSTOP,
    SIGSUSPEND,
    SIGTERM,
    SIGTIMEDWAIT,
    SIGTSTP,
    SIGTTIN,
    SIGURG,
    SIGUSR1,
    SIGUSR2,
    Action,
    Call,
    Info,
    Pending,
    Process,
    SignalModel,
    Thread,
)

SIGRTMIN, SIGRTMAX = 34, 64

CLASSIC = (SIGHUP, SIGUSR1, SIGSEGV, SIGUSR2, SIGTERM, SIGCHLD, SIGURG, SIGURG, SIGURG)
STOPS = (SIGSTOP, SIGTSTP, SIGTTIN, SIGCONT, SIGCONT)
REAL_TIME = (SIGRTMIN, SIGRTMIN + 1, SIGRTMAX)
HANDLED = (SIGHUP, SIGUSR1, SIGSEGV, SIGUSR2, SIGTERM, SIGURG, *REAL_TIME, *REAL_TIME)
MOST_PROCESSES, MOST_THREADS, MOST_HANDLERS, MOST_QUEUED = 3, 3, 4, 6
STACK_BYTES = 0x4A00
SI_SIZE, SIGSET_AT = 128, 296
SA_SIGINFO, SA_RESTORER = 4, 0x04000000
CLONE_THREAD = 0x100 | 0x200 | 0x400 | 0x800 | 0x10000

picks = st.integers(0, 60)
signals = st.sampled_from(CLASSIC * 4 + STOPS + REAL_TIME * 5 + (SIGKILL,))
harmless = st.sampled_from(HANDLED)
gathering = st.sampled_from(
    (*HANDLED, SIGTSTP, SIGTSTP, SIGTTIN, SIGCONT, SIGCONT, SIGCONT, SIGCHLD, SIGURG, SIGURG, SIGURG)
)
sets = st.frozensets(st.sampled_from((*CLASSIC, *STOPS, *REAL_TIME)), max_size=6)
wide_sets = st.one_of(sets, st.sampled_from([ALL, frozenset[int]()]))
flag_sets = st.builds(
    lambda *chosen: SA_SIGINFO + sum(chosen),
    st.sampled_from([0, SA_RESTART]),
    st.sampled_from([0, 0, SA_NODEFER]),
    st.sampled_from([0, 0, 0, SA_RESETHAND]),
)


def bits(numbers: frozenset[int]) -> int:
    return sum(1 << (number - 1) for number in numbers)


NAMESPACE = first_pid_namespace()


def info_of(sent: SigInfo) -> Info:
    """What the model keeps of a SigInfo."""
    return read_info(sent.pack(NAMESPACE if sent.sender is None else sent.sender.namespace))


def read_info(data: bytes) -> Info:
    code, sender, value = unpack("<8xi4xi4xQ", data[:32])
    return Info(code, sender, value)


class Deliveries:
    """The observer of the machine: it notes which thread takes which signal."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int, Info]] = []

    def task_event(self, task: Task, kind: str, info: object = None) -> None:
        if kind == "signal":
            assert isinstance(info, SigInfo)
            self.seen.append((task.tid, info.signo, info_of(info)))

    def unknown_call(self, *_: object) -> None:
        """There is none."""

    def system_call_entered(self, *_: object) -> None:
        """What calls do is asked for afterwards."""

    def system_call_returned(self, *_: object) -> None:
        """What calls do is asked for afterwards."""


class Signals(RuleBasedStateMachine):
    """Threads that send and take signals as a test says; the model follows, and says what may be."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = ConductedMachine(memory=1 << 24)
        self.model = SignalModel()
        # They get no signals: who sends, and the parent of processes whose group isn't orphaned.
        self.sender = self.machine.process()
        self.shell = self.machine.process()
        self.deliveries = Deliveries()
        self.machine.kernel.observe(self.deliveries)
        self.pipes: dict[int, int] = {}
        self.pipes[self.shell.tid] = self.make_pipe(self.shell)
        self.start(False, SA_SIGINFO)
        self.start(True, SA_SIGINFO | SA_RESTART)

    def make_pipe(self, task: Task) -> int:
        self.machine.expect(task, "pipe2", RESULTS, 0)
        return self.machine.numbers(task, "ii")[0]

    # Who there is

    def task(self, thread: Thread) -> Task:
        return self.machine.task(thread.tid)

    def process(self, pick: int) -> Process | None:
        processes = list(self.model.processes.values())
        return processes[pick % len(processes)] if processes else None

    def thread(self, pick: int) -> Thread | None:
        threads = list(self.model.threads.values())
        return threads[pick % len(threads)] if threads else None

    def free_thread(self, pick: int) -> Thread | None:
        """A thread that can make a call."""
        free = [thread for thread in self.model.threads.values() if thread.is_free]
        return free[pick % len(free)] if free else None

    def has_room(self, process: Process) -> bool:
        """Whether the stacks of its threads hold handlers for all that might come."""
        return (
            sum(len(pending.infos) + pending.queued for pending in process.all_pending) < MOST_QUEUED
            and max(len(thread.contexts) for thread in process.threads) < MOST_HANDLERS
        )

    @precondition(lambda self: len(self.model.processes) < MOST_PROCESSES)
    @rule(is_orphaned=st.booleans(), flags=flag_sets)
    def start(self, is_orphaned: bool, flags: int) -> None:
        """A process with handlers for most signals that would end it."""
        machine = self.machine
        if is_orphaned:
            task = machine.process()
            self.pipes[task.tid] = self.make_pipe(task)
        else:
            task = machine.fork(self.shell)
            self.pipes[task.tid] = self.pipes[self.shell.tid]
            machine.expect(task, "setpgid", 0, 0)
        process = self.model.add_process(task.tid, is_orphaned=is_orphaned)
        for signal in HANDLED:
            machine.handle(task, signal, flags)
            self.model.act(process, signal, Action(HANDLE, flags))

    @rule(pick=picks)
    def add_thread(self, pick: int) -> None:
        thread = self.free_thread(pick)
        if thread is not None and len(thread.process.threads) < MOST_THREADS:
            stack = STACK_TOP - STACK_BYTES * len(thread.process.threads)
            tid = self.call(thread, "clone", CLONE_THREAD, stack)
            assert isinstance(tid, int)
            self.model.add_thread(tid, thread)

    # Sending

    @rule(pick=picks, signal=signals)
    def kill(self, pick: int, signal: int) -> None:
        process = self.process(pick)
        if process is not None and self.has_room(process):
            self.send_to(process, signal)

    def send_to(self, process: Process, signal: int) -> None:
        self.machine.expect(self.sender, "kill", process.pid, signal)
        assert self.model.send(process, signal, Info(SI_USER, self.sender.tid, 0)) == 0
        self.follow()

    @rule(pick=picks, signal=signals, value=st.integers(0, 1 << 40))
    def queue(self, pick: int, signal: int, value: int) -> None:
        process = self.process(pick)
        if process is not None and self.has_room(process):
            info = Info(SI_QUEUE, 1234, value)
            outcome = self.machine.call(
                self.sender, "rt_sigqueueinfo", process.pid, signal, self.packed(signal, info)
            )
            assert outcome == self.model.send(process, signal, info)
            self.follow()

    @rule(pick=picks, signal=signals)
    def kill_thread(self, pick: int, signal: int) -> None:
        thread = self.thread(pick)
        if thread is not None and self.has_room(thread.process):
            expected = self.model.send(thread, signal, Info(SI_TKILL, self.sender.tid, 0))
            outcome = self.machine.call(self.sender, "tgkill", thread.process.pid, thread.tid, signal)
            assert outcome == expected
            self.follow()

    @rule(pick=picks, signal=signals, value=st.integers(0, 1 << 40))
    def queue_to_thread(self, pick: int, signal: int, value: int) -> None:
        thread = self.thread(pick)
        if thread is not None and self.has_room(thread.process):
            info = Info(SI_QUEUE, 1234, value)
            outcome = self.machine.call(
                self.sender,
                "rt_tgsigqueueinfo",
                thread.process.pid,
                thread.tid,
                signal,
                self.packed(signal, info),
            )
            assert outcome == self.model.send(thread, signal, info)
            self.follow()

    @rule(pick=picks, sent=st.lists(st.tuples(gathering, st.booleans()), min_size=2, max_size=6))
    def let_signals_gather(self, pick: int, sent: list[tuple[int, bool]]) -> None:
        """A thread blocks everything, gets signals, its own and its process's, and then blocks nothing."""
        thread = self.free_thread(pick)
        if thread is None or not self.has_room(thread.process):
            return
        self.set_mask(thread, ALL)
        for number, (signal, is_its_own) in enumerate(sent):
            info = Info(SI_QUEUE, 1234, number)
            target = thread if is_its_own else thread.process
            ids = (thread.process.pid, thread.tid) if is_its_own else (thread.process.pid,)
            name = "rt_tgsigqueueinfo" if is_its_own else "rt_sigqueueinfo"
            outcome = self.machine.call(self.sender, name, *ids, signal, self.packed(signal, info))
            assert outcome == self.model.send(target, signal, info)
            self.follow()
            if thread.process.pid not in self.model.processes:
                return
        if thread.is_free:
            self.set_mask(thread, frozenset())

    @rule(pick=picks)
    def go_on(self, pick: int) -> None:
        """A stopped process is continued."""
        stopped = [process for process in self.model.processes.values() if process.is_stopped]
        if stopped:
            self.send_to(stopped[pick % len(stopped)], SIGCONT)

    @rule(pick=picks, name=st.sampled_from([READ, PAUSE]), signal=harmless, returns=st.booleans())
    def interrupt(self, pick: int, name: str, signal: int, returns: bool) -> None:
        """A thread that sleeps, or does then, gets a signal, and may come back from its handler at once."""
        thread = self.thread(pick)
        if thread is None or not self.has_room(thread.process):
            return
        if thread.is_free:
            self.sleep_in(thread, name)
        info = Info(SI_TKILL, self.sender.tid, 0)
        expected = self.model.send(thread, signal, info)
        outcome = self.machine.call(self.sender, "tgkill", thread.process.pid, thread.tid, signal)
        assert outcome == expected
        self.follow()
        while returns and thread.tid in self.model.threads and thread.is_free and thread.context.is_at_entry:
            self.leave_handler(thread)

    @rule(pick=picks, signal=signals)
    def raise_signal(self, pick: int, signal: int) -> None:
        """A process sends itself a signal: unless it's blocked, it comes before kill(2) returns."""
        thread = self.free_thread(pick)
        if thread is not None and self.has_room(thread.process):
            process = thread.process
            thread.context.is_at_entry = False
            thread.context.result = 0
            self.model.send(process, signal, Info(SI_USER, process.pid, 0))
            self.machine.call(self.task(thread), "kill", process.pid, signal)
            self.follow()

    @staticmethod
    def packed(signal: int, info: Info) -> bytes:
        return pack("<iii4xiiQ", signal, 0, info.code, info.sender, 0, info.value).ljust(SI_SIZE, b"\0")

    @rule(pick=picks, limit=st.sampled_from([0, 1, 2, 3, 1 << 20]))
    def limit_queue(self, pick: int, limit: int) -> None:
        process = self.process(pick)
        if process is not None:
            self.machine.expect(
                self.sender, "prlimit64", process.pid, RLIMIT_SIGPENDING, pack("<QQ", limit, 1 << 20), 0
            )
            process.limit = limit

    # What threads do about signals

    def call(self, thread: Thread, name: str, *arguments: int | bytes) -> Outcome:
        """Let a free thread make a call that doesn't sleep."""
        thread.context.is_at_entry = False
        outcome = self.machine.call(self.task(thread), name, *arguments)
        if isinstance(outcome, int):
            thread.context.result = outcome
        else:
            thread.context.result = 0
        return outcome

    @rule(pick=picks, how=st.sampled_from([0, 1, 2]), numbers=wide_sets)
    def change_mask(self, pick: int, how: int, numbers: frozenset[int]) -> None:
        thread = self.free_thread(pick)
        if thread is None:
            return
        new = (thread.mask | numbers, thread.mask - numbers, numbers)[how]
        thread.mask = new - {SIGKILL, SIGSTOP}
        self.call(thread, "rt_sigprocmask", how, pack("<Q", bits(numbers)), 0, 8)
        self.follow()

    def set_mask(self, thread: Thread, numbers: frozenset[int]) -> None:
        thread.mask = numbers - {SIGKILL, SIGSTOP}
        self.call(thread, "rt_sigprocmask", 2, pack("<Q", bits(numbers)), 0, 8)
        self.follow()

    @rule(
        pick=picks,
        signal=signals,
        kind=st.sampled_from([HANDLE, HANDLE, HANDLE, HANDLE, IGNORE, DEFAULT]),
        flags=flag_sets,
        mask=sets,
    )
    def act(self, pick: int, signal: int, kind: str, flags: int, mask: frozenset[int]) -> None:
        thread = self.free_thread(pick)
        if thread is None:
            return
        handler = {HANDLE: HANDLER, IGNORE: 1, DEFAULT: 0}[kind]
        action = pack("<QQQQ", handler, flags | SA_RESTORER, HANDLER + 0x100, bits(mask))
        outcome = self.call(thread, "rt_sigaction", signal, action, 0, 8)
        if signal in (SIGKILL, SIGSTOP):
            assert outcome == -22
            return
        assert outcome == 0
        self.model.act(thread.process, signal, Action(kind, flags, mask))

    @rule(pick=picks)
    def look_at_pending(self, pick: int) -> None:
        thread = self.free_thread(pick)
        if thread is not None:
            assert self.call(thread, "rt_sigpending", RESULTS, 8) == 0
            pending = {*thread.pending.infos, *thread.process.pending.infos} & thread.mask
            assert self.machine.numbers(self.task(thread), "Q") == (bits(frozenset(pending)),)

    @rule(pick=picks, name=st.sampled_from([READ, PAUSE]))
    def sleep(self, pick: int, name: str) -> None:
        thread = self.free_thread(pick)
        if thread is not None:
            self.sleep_in(thread, name)

    def sleep_in(self, thread: Thread, name: str) -> None:
        arguments = (self.pipes[thread.process.pid], RESULTS, 1) if name == READ else ()
        self.model.begin_call(thread, Call(name))
        self.machine.call(self.task(thread), name, *arguments)
        self.follow()

    @rule(pick=picks, numbers=wide_sets)
    def suspend(self, pick: int, numbers: frozenset[int]) -> None:
        thread = self.free_thread(pick)
        if thread is not None:
            self.model.begin_call(thread, Call(SIGSUSPEND, numbers))
            # It's read again when the call is made again.
            place = self.place_of_info(thread) + 0x80
            self.task(thread).mm.write(place, pack("<Q", bits(numbers)))
            self.machine.call(self.task(thread), SIGSUSPEND, place, 8)
            self.follow()

    @rule(pick=picks, numbers=wide_sets)
    def wait_for_signals(self, pick: int, numbers: frozenset[int]) -> None:
        thread = self.free_thread(pick)
        if thread is not None:
            place = self.place_of_info(thread)
            self.model.begin_call(thread, Call(SIGTIMEDWAIT, numbers - {SIGKILL, SIGSTOP}))
            self.machine.call(self.task(thread), SIGTIMEDWAIT, pack("<Q", bits(numbers)), place, 0, 8)
            self.follow()

    @staticmethod
    def place_of_info(thread: Thread) -> int:
        return RESULTS + 0x100 * thread.process.threads.index(thread)

    @rule(pick=picks)
    def return_from_handler(self, pick: int) -> None:
        thread = self.free_thread(pick)
        if thread is not None and len(thread.contexts) > 1:
            self.leave_handler(thread)

    def leave_handler(self, thread: Thread) -> None:
        self.model.return_from_handler(thread)
        self.machine.return_from_handler(self.task(thread))
        self.follow()

    # What became of it

    def follow(self) -> None:
        """Let the model do what the machine has done, and see that it might."""
        model = self.model
        for tid, signal, info in self.deliveries.seen:
            thread = model.threads[tid]
            model.deliver(thread, signal, info)
        self.deliveries.seen.clear()
        for process in list(model.processes.values()):
            leader = self.machine.task(process.pid)
            if leader.state is TaskState.ZOMBIE:
                self.bury(process, leader)
        for thread in model.threads.values():
            call = thread.context.call
            outcome = self.machine.outcome(self.task(thread))
            if call is not None and call.name == SIGTIMEDWAIT and isinstance(outcome, int) and outcome > 0:
                info = model.take_awaited(thread, outcome)
                data = self.task(thread).mm.read(self.place_of_info(thread), 32)
                assert unpack("<i", data[:4]) == (outcome,)
                assert read_info(data) == info
        model.settle()
        self.count_elsewhere()

    def bury(self, process: Process, leader: Task) -> None:
        assert self.model.may_end(process, leader.group.exit_code), leader.group.exit_code
        del self.model.processes[process.pid]
        if process.is_orphaned:
            assert self.machine.reap_orphans() == [process.pid]
        else:
            assert self.machine.reap(self.shell)[0] == process.pid

    # What always holds

    @invariant()
    def threads_are_the_models(self) -> None:
        for thread in self.model.threads.values():
            task, context = self.task(thread), thread.context
            assert task.blocked == bits(thread.mask), thread.tid
            outcome = self.machine.outcome(task)
            if thread.process.is_stopped:
                assert outcome == STOPPED
            elif context.call is not None:
                assert outcome == SLEEPS
            elif context.is_at_entry:
                assert outcome == HANDLES
                self.check_frame(thread, task)
            else:
                assert outcome == context.result

    def check_frame(self, thread: Thread, task: Task) -> None:
        """What the handler that was entered learns, and the mask that it returns to."""
        general = self.machine.kernel.registers_of(task).general
        context = thread.context
        assert general[RIP] == HANDLER
        assert general[RDI] == context.signal
        data = task.mm.read(general[RSI], 32)
        assert unpack("<i", data[:4]) == (context.signal,)
        assert read_info(data) == context.info
        assert unpack("<Q", task.mm.read(general[RDX] + SIGSET_AT, 8)) == (bits(context.mask_before),)

    @invariant()
    def pending_is_the_models(self) -> None:
        for process in self.model.processes.values():
            group = self.machine.task(process.pid).group
            self.check_pending(group.shared_pending, process.pending)
            for thread in process.threads:
                self.check_pending(self.task(thread).pending, thread.pending)
        assert self.machine.init.credentials.count_of(RLIMIT_SIGPENDING) == self.model.queued

    def count_elsewhere(self) -> None:
        """Init is told of its children."""
        queues = self.machine.init.group.shared_pending.queues
        self.model.queued_elsewhere = sum(map(len, queues.values()))

    @invariant()
    def actions_are_the_models(self) -> None:
        handlers = {HANDLE: HANDLER, IGNORE: 1, DEFAULT: 0}
        for process in self.model.processes.values():
            actions = self.machine.task(process.pid).group.handlers.actions
            for signal, action in process.actions.items():
                assert actions[signal].handler == handlers[action.kind]

    @staticmethod
    def check_pending(found: PendingSignals, expected: Pending) -> None:
        assert found.mask == bits(frozenset(expected.infos))
        queues = {number: [info_of(info) for info in queue] for number, queue in found.queues.items()}
        assert queues == {number: infos for number, infos in expected.infos.items() if infos}

    def teardown(self) -> None:
        for process in list(self.model.processes.values()):
            self.machine.call(self.sender, "kill", process.pid, SIGKILL)
        self.machine.exit(self.shell)
        self.machine.reap_orphans()
        self.count_elsewhere()
        assert self.machine.init.credentials.count_of(RLIMIT_SIGPENDING) == self.model.queued_elsewhere
        self.machine.close()
        super().teardown()


TestSignals = Signals.TestCase
TestSignals.settings = settings(max_examples=examples(175), stateful_step_count=60)


class LongerSignals(Signals):
    """The same for longer."""


TestLongerSignals = pytest.mark.heavy(pytest.mark.timeout(900)(LongerSignals.TestCase))
TestLongerSignals.settings = settings(max_examples=1000, stateful_step_count=100)
