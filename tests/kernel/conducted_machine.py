"""A machine whose tasks make one system call at a time, at a test's word, and go on in a known order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from struct import calcsize, pack, unpack
from typing import Any

from procession.hardware.engines.scripted import SCRATCH_ADDRESS, SCRATCH_BYTES, STEP_BYTES
from procession.hardware.registers import ARGUMENT_REGISTERS, RAX, RIP, RSP
from procession.kernel.sched.core import Scheduler
from procession.kernel.task import EXIT_WAITS, RESTORE_MASK, SIGNAL_PENDING, Task
from procession.kernel.task_state import TaskState, set_state
from procession.machine import Machine
from procession.syscalls.declaration import TABLE
from tests.kernel.process_ids import tasks_by_id

BEFORE_CALL = 0x40_0000
"""Where rip is before each call: a call that is to be restarted goes back to it."""
AFTER_CALL = BEFORE_CALL + STEP_BYTES
HANDLER = 0x50_0000
"""Where a test puts handlers of signals: a task whose rip is there has entered one."""
RESULTS = SCRATCH_ADDRESS + 0x1000
"""Where a test lets calls put what they give."""
STACK_TOP = SCRATCH_ADDRESS + SCRATCH_BYTES - 256
ROOT = Path(__file__).parent
"""A tree to stand in: what tests make there is in the machine's memory alone."""
SLEEPS = "sleeps"
ENDED = "ended"
STOPPED = "stopped"
HANDLES = "handles"
_WORD = (1 << 64) - 1
_SIGN = 1 << 63
_ENDED = (TaskState.ZOMBIE, TaskState.DEAD)

Outcome = int | str


class PatientScheduler(Scheduler):
    """A scheduler that lets nobody run by itself: the conductor takes tasks from its queues."""

    __slots__ = ()

    def pick(self) -> Task | None:
        """Nobody."""
        return None


class ConductedMachine:
    """A machine in which nothing happens but what a test says.

    `call` lets one task make one system call, and then whatever the kernel has to do at once: calls that
    were woken go on, signals are delivered, tasks end. Its outcome is the result (an errno is negative) or,
    for a call that hasn't returned, one of SLEEPS, ENDED, STOPPED and HANDLES. Of several tasks that have to
    do something in the kernel the one that was made first goes first. Init reaps when it's told to.
    """

    def __init__(self, *, rootfs: Path = ROOT, memory: int = 1 << 24, **settings: Any) -> None:
        self.machine = Machine(engine="scripted", rootfs=rootfs, memory=memory, environment={}, **settings)
        self.kernel = self.machine.kernel
        self.kernel.scheduler = PatientScheduler(self.kernel, len(self.kernel.scheduler.processors))
        self.init = self.machine.init
        self.kernel.scheduler.start(self.init)
        self.init.registers.general[RIP] = AFTER_CALL

    def close(self) -> None:
        self.machine.close()

    # Tasks

    def process(self) -> Task:
        """A new process: init's child, in a session of its own, with 64 KiB of memory."""
        task = self.machine.start_script([])
        task.registers.general[RIP] = AFTER_CALL
        task.registers.general[RSP] = STACK_TOP
        return task

    def task(self, tid: int) -> Task:
        """The task of that id, which may be a zombie."""
        return tasks_by_id(self.kernel)[tid]

    def fork(self, parent: Task) -> Task:
        """A child of `parent`, made by fork(2)."""
        return self.task(self.expect(parent, "fork"))

    def thread(self, of: Task) -> Task:
        """One more thread in the process of `of`."""
        flags = 0x100 | 0x200 | 0x400 | 0x800 | 0x10000
        return self.task(self.expect(of, "clone", flags, STACK_TOP - 0x4000))

    @property
    def zombies(self) -> list[int]:
        """The ids of the tasks that have ended and weren't reaped, in their order."""
        return [task.tid for task in self.kernel.tasks if task.state is TaskState.ZOMBIE]

    # Calls

    def call(self, task: Task, name: str, *arguments: int | bytes) -> Outcome:
        """Let `task`, which is runnable and in no call, make a system call; what became of it."""
        assert self.kernel.registers_of(task).general[RIP] in {AFTER_CALL, HANDLER}, task
        assert task.state is TaskState.RUNNABLE, task
        number = next(call.number for call in TABLE if call is not None and call.name == name)
        self._take(task)
        self._enter(task, number, arguments)
        self.settle()
        return self.outcome(task)

    def expect(self, task: Task, name: str, *arguments: int | bytes) -> int:
        """Like `call`, for a call that returns and doesn't fail."""
        outcome = self.call(task, name, *arguments)
        assert isinstance(outcome, int), f"{name} {outcome}"
        assert outcome >= 0, f"{name} fails with errno {-outcome}"
        return outcome

    def outcome(self, task: Task) -> Outcome:
        """What has become of the last call of `task`."""
        if task.state in _ENDED:
            return ENDED
        if task.state is TaskState.STOPPED:
            return STOPPED
        if task.frame is not None:
            return SLEEPS
        general = self.kernel.registers_of(task).general
        if general[RIP] == HANDLER:
            return HANDLES
        return (general[RAX] ^ _SIGN) - _SIGN

    def advance(self, duration_ns: int) -> None:
        """Let time pass, and what is due happen."""
        kernel = self.kernel
        until_ns = kernel.clock.now_ns + duration_ns
        while (deadline_ns := kernel.timers.next_deadline_ns()) is not None and deadline_ns <= until_ns:
            kernel.clock.jump_to(deadline_ns)
            kernel.timers.run_due()
            self.settle()
        kernel.clock.jump_to(until_ns)

    def settle(self) -> None:
        """Do what the kernel can do without anybody in user mode."""
        kernel = self.kernel
        # What a trap's entry says: the processor may have changed its registers.
        kernel.is_saved = False
        while True:
            current = kernel.current
            if current is not None and current.state is TaskState.RUNNING:
                kernel.charge(current)
                kernel.scheduler.preempt(current)
            kernel.current = None
            kernel.memory.payer = None
            task = next((task for task in kernel.tasks if self._has_to_go_on(task)), None)
            if task is None:
                return
            self._take(task)
            if task.frame is None and self._is_restarting(task):
                kernel.switch_to(task)
                kernel.cpu.general[RIP] = AFTER_CALL
                self.machine.traps.system_call()
            else:
                self.machine.traps.resume()

    def _has_to_go_on(self, task: Task) -> bool:
        return task.state is TaskState.RUNNABLE and (
            task.frame is not None
            or bool(task.work & (SIGNAL_PENDING | RESTORE_MASK | EXIT_WAITS))
            or self._is_restarting(task)
        )

    def _is_restarting(self, task: Task) -> bool:
        return self.kernel.registers_of(task).general[RIP] == BEFORE_CALL

    def _take(self, task: Task) -> None:
        """Put a runnable task on the processor."""
        kernel = self.kernel
        kernel.scheduler.processors[task.entity.processor].remove(task)
        set_state(task, TaskState.RUNNING)
        kernel.current = task
        kernel.memory.payer = task.cgroup.memory
        kernel.clock.start_slice(1 << 40)

    def _enter(self, task: Task, number: int, arguments: tuple[int | bytes, ...]) -> None:
        kernel = self.kernel
        kernel.switch_to(task)
        general = kernel.cpu.general
        address = SCRATCH_ADDRESS
        for register, argument in zip(ARGUMENT_REGISTERS, arguments, strict=False):
            if isinstance(argument, bytes):
                task.mm.write(address, argument)
                general[register] = address
                address += (len(argument) + 15) & ~15
            else:
                general[register] = argument & _WORD
        general[RAX] = number
        # In a handler too: its frame says where it returns to.
        general[RIP] = AFTER_CALL
        self.machine.traps.system_call()

    # What tasks make of it

    def exit(self, task: Task, code: int = 0) -> None:
        """End the process of `task`."""
        assert self.call(task, "exit_group", code) == ENDED

    def wait(self, task: Task, pid: int = -1, options: int = 0) -> Outcome:
        """wait4(2), the status put at RESULTS."""
        return self.call(task, "wait4", pid, RESULTS, options, 0)

    def reap(self, task: Task, pid: int = -1) -> tuple[int, int]:
        """The id and wait status of a child that has ended."""
        found = self.wait(task, pid)
        assert isinstance(found, int), found
        assert found > 0, f"wait4 fails with errno {-found}"
        return found, self.numbers(task, "i")[0]

    def reap_orphans(self) -> list[int]:
        """Let init reap what it can; whom."""
        found = []
        while (pid := self.call(self.init, "wait4", -1, 0, 1, 0)) not in {0, -10}:
            assert isinstance(pid, int)
            found.append(pid)
        return found

    def handle(self, task: Task, signal: int, flags: int = 0) -> None:
        """Give `signal` a handler; `outcome` is HANDLES while it runs."""
        restorer = 0x0400_0000
        action = pack("<QQQQ", HANDLER, flags | restorer, HANDLER + 0x100, 0)
        self.expect(task, "rt_sigaction", signal, action, 0, 8)

    def return_from_handler(self, task: Task) -> Outcome:
        """Let the handler that `task` is in return; what its call, interrupted or not, comes to."""
        registers = self.kernel.registers_of(task)
        registers.general[RSP] += 8  # what the `ret` to the restorer pops
        self.kernel.registers_changed(task)
        return self.call(task, "rt_sigreturn")

    def ignore(self, task: Task, signal: int, flags: int = 0, handler: int = 1) -> None:
        """Ignore `signal`, or give it the default action with `flags`."""
        self.expect(task, "rt_sigaction", signal, pack("<QQQQ", handler, flags, 0, 0), 0, 8)

    def register(self, task: Task, number: int) -> int:
        """A general register's value, by the numbers of `hardware.registers`."""
        return self.kernel.registers_of(task).general[number]

    def numbers(self, task: Task, form: str, address: int = RESULTS) -> tuple[int, ...]:
        """The numbers that calls have put into the memory of `task`."""
        return unpack("<" + form, task.mm.read(address, calcsize("<" + form)))


def conducted_machines(**settings: Any) -> Iterator[ConductedMachine]:
    """One machine, closed afterwards: for fixtures."""
    machine = ConductedMachine(**settings)
    yield machine
    machine.close()
