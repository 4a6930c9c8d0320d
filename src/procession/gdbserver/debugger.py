"""A debugger outside that holds the machine: where it stops, and what goes on then.

While the debugger thinks, the machine stands still in the middle of what it does: in front of an instruction,
or inside the kernel where a process is made, executes a program, ends or takes a signal. Nothing that the
guest could see, and no decision of the kernel's, depends on it; only what the debugger writes does. All
processes run or stand still together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procession.gdbserver.commands import Commands
from procession.gdbserver.connection import Connection, ConnectionLost
from procession.gdbserver.past import Past, Place, Search
from procession.gdbserver.signals import INTERRUPTED, SIGNALLED
from procession.gdbserver.stop import Reversal, Stop, end_reply, process_number, stop_reply, thread_id
from procession.gdbserver.transfers import program_name
from procession.gdbserver.watchpoint import ACCESS, READ, Watchpoint
from procession.hardware.engines.unicorn import UnicornEngine
from procession.hardware.engines.unicorn_debug import AccessWatch, InstructionWatch
from procession.hardware.registers import RIP
from procession.inspection.steering import has_ended
from procession.kernel.observer import CLONE, EXEC, EXIT, FAULT
from procession.kernel.signal.generation import send_signal
from procession.kernel.signal.info import SigInfo
from procession.mm.peek import peek

if TYPE_CHECKING:
    import socket

    from procession.abi.errno import Errno
    from procession.attachment import Attachment
    from procession.kernel.task import Task
    from procession.machine import Machine


class Debugger:
    """The stub of one debugger.

    `processes` are those that the debugger holds, by number: the others run as if there were none.
    `breakpoints` has the addresses of each. `steps` are the threads that shall stop after an instruction,
    each with the range of addresses in which it goes on. `passing` are those whose next instruction, at
    that address, has been stopped at already. `accesses` are the watchpoints that their last instructions
    have met. `signals` are those that threads shall take instead of the
    one that stopped them, `sent_signals` those that the debugger has sent to threads that something else
    had stopped. `silent_signals` don't stop anybody. `caught_calls` are the system calls that do, None for
    all, by process.
    """

    def __init__(self, machine: Machine, listener: socket.socket, *, keeps_past: bool = True) -> None:
        if not isinstance(machine.engine, UnicornEngine):
            raise TypeError("only a machine with a processor can be debugged")
        self.machine = machine
        self.engine = machine.engine
        self.listener: socket.socket | None = listener
        self.connection: Connection | None = None
        self.processes: set[int] = set()
        self.breakpoints: dict[int, set[int]] = {}
        self.watchpoints: list[Watchpoint] = []
        self.steps: dict[Task, tuple[int, int]] = {}
        self.passing: dict[Task, int] = {}
        self.passed: tuple[Task, int] | None = None
        self.accesses: dict[Task, Watchpoint] = {}
        self.signals: dict[Task, int] = {}
        self.sent_signals: dict[Task, int] = {}
        self.silent_signals: frozenset[int] = frozenset()
        self.caught_calls: dict[int, frozenset[int] | None] = {}
        self.events: frozenset[bytes] = frozenset()
        self.stop: Stop | None = None
        self.commands = Commands(self)
        self.watch = InstructionWatch(machine.engine, self.shall_stop)
        self.access_watch = AccessWatch(machine.engine, self.accessed)
        self.past = Past(machine, machine.engine, self.watch) if keeps_past else None
        self.reversal: Reversal | None = None
        self.is_in_kernel = False
        machine.observe(self)
        machine.kernel.signal_gate = self

    # The machine asks

    def before_slice(self) -> None:
        """The processor is about to run: meet the debugger the first time, and when it was stopped."""
        machine, kernel, past = self.machine, self.machine.kernel, self.past
        if self.listener is not None:
            self._meet()
        elif self.watch.is_stopped:
            self.watch.settle()
            # No trap has told the kernel that the registers are others than those that were saved last.
            kernel.is_saved = False
            stop = self.stop
            assert stop is not None
            self.passing[stop.task] = kernel.registers_of(stop.task).general[RIP]
            self._stand_still(stop)
        elif self.reversal is not None and past is not None:
            # It was asked for in the middle of what the kernel does.
            machine.shall_stop = False
            self._go_back_all()
            return
        elif self.connection is not None and self._is_interrupted():
            task = kernel.current or self.machine.command
            kernel.is_saved = False
            if task is not None:
                self._stand_still(Stop(task, INTERRUPTED))
        elif machine.is_in_slice:
            machine.shall_stop = False
            return
        if past is not None and self.connection is not None:
            past.note()
            self._go_back_all()
        machine.shall_stop = False

    def join(self, attachment: Attachment) -> Attachment:
        """See `MachineHolder`."""
        return attachment if self.past is None else self.past.join(attachment)

    def _meet(self) -> None:
        listener, self.listener = self.listener, None
        assert listener is not None
        try:
            client, _ = listener.accept()
        finally:
            listener.close()
        command = self.machine.command
        assert command is not None
        self.connection = Connection(client)
        self.processes.add(process_number(command))
        self.stop = Stop(command, SIGNALLED)
        self._serve()

    def _is_interrupted(self) -> bool:
        """Whether the debugger has sent a Ctrl-C, or has gone."""
        connection = self.connection
        assert connection is not None
        try:
            return connection.take_interrupt()
        except ConnectionLost:
            self.let_go()
            return False

    def shall_stop(self, address: int) -> bool:
        """The live task is about to execute the instruction at `address`; whether to stop in front of it."""
        machine = self.machine
        task = machine.kernel.live
        if task is None:
            return False
        search = self.search
        is_stop = self._is_stop(task, address) if search is None else search.shall_stop(task, address)
        if is_stop:
            machine.shall_stop = True
        return is_stop

    def place(self) -> Place | None:
        """Where the machine stands, to go back from there; None if it can't."""
        past, stop = self.past, self.stop
        if past is None or stop is None or not past.can_go_back:
            return None
        if not self.is_in_kernel:
            return past.here()
        return past.in_kernel(stop_reply(stop)) if past.checkpoints else None

    @property
    def search(self) -> Search | None:
        """What goes on while the machine runs again: nobody is told of that."""
        return None if self.past is None else self.past.search

    def _is_stop(self, task: Task, address: int) -> bool:
        process = process_number(task)
        if process not in self.processes:
            return False
        if self.passing.pop(task, None) == address:
            self.passed = task, address
            return False
        self.passed = None
        met = self._met_watchpoint(task, process) if self.watchpoints else None
        if met is not None:
            self.stop = Stop(task, SIGNALLED, met.detail)
            return True
        if address in self.breakpoints.get(process, ()):
            self.stop = Stop(task, SIGNALLED, self._breakpoint_detail)
            return True
        step = self.steps.get(task)
        if step is not None and not step[0] <= address < step[1]:
            self.stop = Stop(task, SIGNALLED)
            return True
        return False

    @property
    def _breakpoint_addresses(self) -> set[int]:
        """Where any process has a breakpoint."""
        return {address for each in self.breakpoints.values() for address in each}

    @property
    def _breakpoint_detail(self) -> bytes:
        return b"swbreak:;" if b"swbreak" in self.events else b""

    def accessed(self, physical: int, size: int, *, is_write: bool) -> None:
        """The live task's instruction reads or writes so many bytes of the machine's memory."""
        task = self.machine.kernel.live
        if task is None:
            return
        process = process_number(task)
        for point in self.watchpoints:
            if (
                point.process == process
                and point.hears(is_write=is_write)
                and point.is_at(task.mm, physical, size)
            ):
                self.accesses[task] = point

    def _met_watchpoint(self, task: Task, process: int) -> Watchpoint | None:
        """The watchpoint that the task's last instruction has met, or that has changed since it ran."""
        found = self.accesses.pop(task, None)
        for point in self.watchpoints:
            if point.process == process and point.kind != READ:
                value = peek(task.mm, point.address, point.length)
                if value != point.value:
                    point.value = value
                    found = found or point
        return found

    def holds(self, task: Task) -> bool:
        """See `SignalGate`."""
        return process_number(task) in self.processes

    def signal_for(self, task: Task, info: SigInfo) -> int:
        """See `SignalGate`: the debugger may keep a signal from a process, or change it."""
        is_held = process_number(task) in self.processes and info.signo not in self.silent_signals
        if not is_held and self.search is None:
            return info.signo
        if self.sent_signals.get(task) == info.signo:
            del self.sent_signals[task]
            return info.signo
        self._stand_still_in_kernel(Stop(task, info.signo, b"", info.pack(task.pid_namespace)))
        if self.reversal is not None or (self.search is not None and self.search.is_over):
            # So that the machine comes to where it can go back.
            return 0
        if self.connection is None or self.search is not None:
            return info.signo
        signal = self.signals.pop(task, 0)
        if signal != info.signo:
            self.changed()
        return signal

    def task_event(self, task: Task, kind: str, detail: Any = None) -> None:
        """See `Observer`."""
        if kind == FAULT:
            # What the instruction has accessed it will access once more.
            self.accesses.pop(task, None)
            search = self.search
            if search is not None:
                search.has_faulted(task, self.engine.general[RIP])
                return
            passed = self.passed
            if passed is not None and passed[0] is task:
                self.passed = None
                if self.machine.kernel.registers_of(task).general[RIP] == passed[1]:
                    # The instruction that was passed by will be met once more.
                    self.passing[task] = passed[1]
        elif self.connection is None or self.reversal is not None:
            return
        elif kind == CLONE:
            self._cloned(task)
        elif kind == EXEC:
            self._executed(task)
        elif kind == EXIT:
            self._ended(task)

    def _cloned(self, child: Task) -> None:
        parent = self.machine.kernel.current
        if child is not child.group.leader or parent is None:
            return
        if process_number(parent) not in self.processes or b"fork" not in self.events:
            return
        number = process_number(child)
        if self.search is None:
            self.processes.add(number)
            self.breakpoints[number] = set(self.breakpoints.get(process_number(parent), ()))
        self._stand_still_in_kernel(Stop(parent, SIGNALLED, b"fork:%s;" % thread_id(child)))

    def _executed(self, task: Task) -> None:
        number = process_number(task)
        if number not in self.processes:
            return
        if self.search is None:
            self.breakpoints.pop(number, None)
            self.watchpoints = [point for point in self.watchpoints if point.process != number]
        if b"exec" in self.events:
            self._stand_still_in_kernel(
                Stop(task, SIGNALLED, b"exec:%s;" % program_name(task).hex().encode())
            )

    def _ended(self, task: Task) -> None:
        if self.search is not None:
            return
        self.steps.pop(task, None)
        self.passing.pop(task, None)
        self.accesses.pop(task, None)
        self.signals.pop(task, None)
        self.sent_signals.pop(task, None)
        number = process_number(task)
        group = task.group
        if number not in self.processes or any(
            other is not task and not other.is_exiting for other in group.threads
        ):
            return
        self.forget(number)
        connection = self.connection
        assert connection is not None
        try:
            connection.send(end_reply(number, group.exit_code))
        except ConnectionLost:
            self.let_go()
            return
        self.stop = None
        self._serve()

    def system_call_entered(self, task: Task, call: Any, arguments: tuple[Any, ...]) -> None:
        """See `Observer`."""
        self._call_seen(task, call, b"syscall_entry")

    def system_call_returned(
        self, task: Task, call: Any, arguments: tuple[Any, ...], outcome: int | Errno | None
    ) -> None:
        """See `Observer`."""
        self._call_seen(task, call, b"syscall_return")

    def unknown_call(self, task: Task, number: int) -> None:
        """See `Observer`."""

    def _call_seen(self, task: Task, call: Any, what: bytes) -> None:
        number = process_number(task)
        is_caught = number in self.caught_calls and number in self.processes
        caught = self.caught_calls.get(number)
        # What is looked for while the machine runs again may have been caught before.
        if self.search is not None or (is_caught and (caught is None or call.number in caught)):
            self._stand_still_in_kernel(Stop(task, SIGNALLED, b"%s:%x;" % (what, call.number)))

    # The debugger answers

    def _stand_still_in_kernel(self, stop: Stop) -> None:
        """The same in the middle of what the kernel does."""
        self.is_in_kernel = True
        self._stand_still(stop)
        self.is_in_kernel = False

    def _stand_still(self, stop: Stop) -> None:
        """Tell the debugger why, and do what it asks until it says how to go on."""
        connection = self.connection
        if connection is None or self.reversal is not None:
            return
        search = self.search
        if search is not None:
            if search.is_end_in_kernel(stop.task, stop_reply(stop)):
                self._leave_kernel()
            return
        self.stop = stop
        self.commands.selected = stop.task
        try:
            connection.send(stop_reply(stop))
        except ConnectionLost:
            self.let_go()
            return
        self._serve()

    def _serve(self) -> None:
        connection = self.connection
        assert connection is not None
        self.steps.clear()
        try:
            while True:
                answer = self.commands.answer(connection.next_packet())
                if answer is None:
                    break
                connection.send(answer)
                self.commands.after(connection)
        except ConnectionLost:
            self.let_go()
            return
        if self.reversal is not None:
            if self.is_in_kernel:
                self._leave_kernel()
        elif self.connection is not None:
            self._send_signals()
            self._arm()

    def _send_signals(self) -> None:
        """Send the threads that no signal has stopped what they shall take; the debugger isn't told again."""
        stop, kernel = self.stop, self.machine.kernel
        for task, signal in list(self.signals.items()):
            if stop is not None and stop.siginfo and stop.task is task:
                continue
            del self.signals[task]
            if not task.is_exiting:
                self.changed()
                send_signal(kernel, task, SigInfo(signal))
                if task.pending.mask >> (signal - 1) & 1:
                    self.sent_signals[task] = signal

    def _arm(self) -> None:
        """Watch what has to be watched until the next stop."""
        kernel = self.machine.kernel
        for task in self.steps:
            self.passing[task] = kernel.registers_of(task).general[RIP]
        self._look_at_watchpoints()
        self._watch(self._breakpoint_addresses, is_everywhere=bool(self.steps))

    # Going back

    def changed(self) -> None:
        """The debugger has changed something of the machine: what was before can't be run again."""
        if self.past is not None:
            self.past.forget()

    def _leave_kernel(self) -> None:
        """Let the machine stop once what the kernel does has ended."""
        self.machine.shall_stop = True
        self.machine.engine.stop()

    def _go_back_all(self) -> None:
        while self.reversal is not None:
            self._go_back(self.reversal)

    def _go_back(self, reversal: Reversal) -> None:
        """Stand where it's asked for, and tell the debugger."""
        past, kernel = self.past, self.machine.kernel
        assert past is not None
        self.reversal = None
        number = reversal.process, reversal.tid

        def wanted(task: Task, address: int) -> bytes | None:
            if reversal.is_step:
                return b"" if (process_number(task), task.tid) == number else None
            is_met = address in self.breakpoints.get(process_number(task), ())
            return self._breakpoint_detail if is_met else None

        def met(task: Task) -> bytes | None:
            point = self._met_watchpoint(task, process_number(task)) if self.watchpoints else None
            return None if point is None else point.detail

        addresses = self._breakpoint_addresses
        addresses |= {known.place.address for known in past.checkpoints if known.place.address >= 0}
        if reversal.place.address >= 0:
            addresses.add(reversal.place.address)
        self._watch(addresses, is_everywhere=reversal.is_step)
        if reversal.mark is None:
            detail = past.go_back(reversal.place, wanted, met, self._look_at_watchpoints)
        else:
            past.return_to(reversal.mark, self._look_at_watchpoints)
            detail = b""
        self._forget_tasks()
        task = kernel.live
        if detail is None or task is None or process_number(task) not in self.processes:
            task = self.thread_of(*number) or self.thread_of(0) or self.machine.command
        if task is None:
            return
        if self.machine.is_in_slice:
            self.passing[task] = kernel.registers_of(task).general[RIP]
        if reversal.mark is not None:
            # Whatever gdb was about, such as a step over a breakpoint, it stops for this.
            self._stand_still(Stop(task, INTERRUPTED))
            return
        self._stand_still(Stop(task, SIGNALLED, b"replaylog:begin;" if detail is None else detail))

    def _look_at_watchpoints(self) -> None:
        """Note what is there now."""
        self.accesses.clear()
        for point in self.watchpoints:
            holder = self.thread_of(point.process)
            if holder is not None:
                point.value = peek(holder.mm, point.address, point.length)

    def _watch(self, addresses: set[int], *, is_everywhere: bool) -> None:
        self.watch.watch(addresses, is_everywhere=is_everywhere or bool(self.watchpoints))
        kinds = {point.kind for point in self.watchpoints}
        self.access_watch.watch(reads=bool(kinds & {READ, ACCESS}), writes=ACCESS in kinds)

    def _forget_tasks(self) -> None:
        """What was noted of threads doesn't hold any more."""
        self.steps.clear()
        self.passing.clear()
        self.accesses.clear()
        self.signals.clear()
        self.sent_signals.clear()

    def threads(self) -> list[Task]:
        """Those that the debugger holds."""
        return [
            task
            for task in self.machine.kernel.tasks
            if process_number(task) in self.processes and not task.is_exiting and not has_ended(task.group)
        ]

    def thread_of(self, process: int, number: int = 0) -> Task | None:
        """A thread that is held, by its process and its own number, 0 for any; 0 for any process."""
        for task in self.threads():
            if process in (0, process_number(task)) and number in (0, task.tid):
                return task
        return None

    def forget(self, number: int) -> None:
        """The process isn't held any more."""
        self.processes.discard(number)
        self.breakpoints.pop(number, None)
        self.caught_calls.pop(number, None)
        self.watchpoints = [point for point in self.watchpoints if point.process != number]
        self.accesses = {task: point for task, point in self.accesses.items() if point.process != number}

    def let_go(self) -> None:
        """The debugger is gone: the machine runs on as if there had been none."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()
        self.commands.files.close()
        if self.past is not None:
            self.past.checkpoints.clear()
            self.past.marks.clear()
        self.processes.clear()
        self.breakpoints.clear()
        self.watchpoints = []
        self._forget_tasks()
        self.caught_calls.clear()
        self.watch.watch((), is_everywhere=False)
        self.access_watch.watch(reads=False, writes=False)

    def close(self) -> None:
        """The run is over."""
        listener, self.listener = self.listener, None
        if listener is not None:
            listener.close()
        if self.connection is not None:
            self.let_go()
        self.machine.kernel.signal_gate = None
        self.machine.unobserve(self)
