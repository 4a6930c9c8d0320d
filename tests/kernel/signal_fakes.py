"""A kernel with tasks and no processor, in which signals can be sent, taken and delivered step by step."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from procession.abi.errno import EFAULT
from procession.fs.namespace import NamespaceTable
from procession.fs.user_namespace import UserNamespace
from procession.hardware.engine import EngineCapabilities
from procession.hardware.physical_memory import PhysicalMemory
from procession.hardware.processor_level import V2
from procession.hardware.registers import RIP, RSP, Registers
from procession.kernel.kernel import Kernel
from procession.kernel.namespaces.pid import PidNamespace
from procession.kernel.namespaces.time import TimeNamespace
from procession.kernel.namespaces.uts import UtsNamespace
from procession.kernel.pid import Pid
from procession.kernel.rlimit import Limits
from procession.kernel.security.credentials import Credentials
from procession.kernel.session import create_session, join_process_group
from procession.kernel.signal.handlers import SignalHandlers
from procession.kernel.signal.pending import PendingSignals
from procession.kernel.signal_delivery import deliver_signals
from procession.kernel.task import RESTORE_MASK, SIGNAL_PENDING, Task, ThreadGroup
from procession.kernel.task_state import TaskState, set_state
from tests.kernel.process_ids import pid_numbered

MEMORY_BASE = 0x10000
MEMORY_SIZE = 0x10000
STACK_TOP = MEMORY_BASE + MEMORY_SIZE - 0x1000


class Window:
    """An address space with one readable and writable area."""

    def __init__(self) -> None:
        self.bytes = bytearray(MEMORY_SIZE)
        self.dumpable = 1
        self.processor_level = V2

    @property
    def is_dumpable(self) -> bool:
        return self.dumpable == 1

    def read(self, address: int, length: int) -> bytes:
        at = address - MEMORY_BASE
        if not 0 <= at <= MEMORY_SIZE - length:
            raise EFAULT
        return bytes(self.bytes[at : at + length])

    def read_word(self, address: int) -> int:
        return int.from_bytes(self.read(address, 8), "little")

    def write(self, address: int, data: bytes) -> None:
        at = address - MEMORY_BASE
        if not 0 <= at <= MEMORY_SIZE - len(data):
            raise EFAULT
        self.bytes[at : at + len(data)] = data


class Processor:
    """An engine that runs nothing: floating point state is its FXSAVE image."""

    def save(self, registers: Registers) -> None:
        """Nothing is live here."""

    def load(self, registers: Registers) -> None:
        """Nothing is live here."""

    capabilities = EngineCapabilities("still", unit_ns=4, level=V2)

    def set_budget(self, units: int) -> None:
        """Time stands still."""

    def budget_left(self) -> int:
        return 0


class Choices:
    """A decider that takes the last option and remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def choose(self, kind: str, count: int) -> int:
        self.asked.append((kind, count))
        return count - 1


class Machine:
    """A kernel, its init (1, in a session of its own) and processes that a test makes."""

    def __init__(self) -> None:
        self.choices = Choices()
        parts: Any = (PhysicalMemory(1 << 20), Processor(), self.choices)
        self.kernel = Kernel(*parts)
        table = NamespaceTable()
        owner = UserNamespace(table, None)
        self.credentials = Credentials.for_root(owner)
        namespaces: Any = SimpleNamespace(uts=UtsNamespace(table, owner), time=TimeNamespace(table, owner))
        self.kernel.init_namespaces = namespaces
        self.kernel.init_pid_namespace = PidNamespace(table, owner, None)
        self.init = self.process(1)
        self.kernel.init = self.init.group

    def process(self, pid: int, parent: Task | None = None, credentials: Credentials | None = None) -> Task:
        """A new process whose main thread runs; in the group of `parent`, or in a session of its own."""
        group = ThreadGroup(pid_numbered(pid, self.kernel.init_pid_namespace))
        group.handlers = SignalHandlers()
        group.shared_pending = PendingSignals()
        group.limits = Limits()
        task = self._task(group.pid, group, credentials or self.credentials)
        group.leader = task
        task.exit_signal = 17
        if parent is None:
            create_session(group)
        else:
            join_process_group(group, parent.group.process_group)
            task.parent = parent
            parent.children[task] = None
        return task

    def thread(self, of: Task, tid: int) -> Task:
        """One more running thread in the process of `of`."""
        task = self._task(pid_numbered(tid, self.kernel.init_pid_namespace), of.group, of.credentials)
        task.parent = of.parent
        task.exit_signal = -1
        return task

    def _task(self, pid: Pid, group: ThreadGroup, credentials: Credentials) -> Task:
        task = Task(self.kernel, pid, Registers())
        task.group = group
        task.credentials = credentials
        task.namespaces = self.kernel.init_namespaces
        task.pending = PendingSignals()
        memory: Any = Window()
        task.mm = memory
        task.registers.general[RSP] = STACK_TOP
        task.registers.general[RIP] = 0x400000
        task.alternate_stack = (0, 0, 0)
        group.threads.append(task)
        pid.task = task
        self.kernel.tasks[task] = None
        set_state(task, TaskState.RUNNABLE)
        set_state(task, TaskState.RUNNING)
        return task

    def sleep(self, task: Task) -> None:
        """Let the task sleep, interruptibly."""
        set_state(task, TaskState.INTERRUPTIBLE)

    def resume(self, task: Task) -> None:
        """Run the task if it was woken, up to user mode; it may stop or enter one handler for each signal."""
        if task.state is TaskState.RUNNABLE:
            self.kernel.scheduler.processors[0].remove(task)
            set_state(task, TaskState.RUNNING)
        self.kernel.current = task
        while task.state is TaskState.RUNNING and task.work & (SIGNAL_PENDING | RESTORE_MASK):
            deliver_signals(self.kernel, task)
