"""From a trap to its handler and back to user mode: the kernel's entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from procession.abi.errno import BY_NUMBER, EINTR, Errno
from procession.fs.wait_queue import Abandonable, Sleep
from procession.hardware.engine import FAULT_FETCH, FAULT_PROTECTION, FAULT_USER, FAULT_WRITE
from procession.hardware.physical_memory import (
    ENDED_SPACES,
    PAGE_SHIFT,
    PAGES_WORKED,
    RESERVED_ADDRESSES,
    STALE_CODE,
    STALE_TRANSLATIONS,
    OutOfFrames,
)
from procession.hardware.registers import RAX, RIP, WORD_MASK, set_register
from procession.kernel.cgroup.memory import throttle_over_high
from procession.kernel.exit import finish_exit, go_on_exiting
from procession.kernel.observer import FAULT, FAULT_MAJOR, FAULT_MINOR, FAULT_SIGNAL, SWITCH
from procession.kernel.oom import await_memory, out_of_memory
from procession.kernel.program.vdso import CALLS_OF_VDSO, is_call_of_vdso
from procession.kernel.ptrace.stop import leave_stop, signal_after_stop, stop_at_call_exit, take_call_stop
from procession.kernel.ptrace.tracing import (
    AT_CALL_ENTRY,
    AT_CALL_EXIT,
    AT_EXIT,
    AT_SECCOMP,
    AT_SIGNAL,
    AT_TRAP,
    EventStop,
)
from procession.kernel.rseq import handle_event
from procession.kernel.signal.frame import is_canonical
from procession.kernel.signal.generation import force_signal
from procession.kernel.signal.info import SigInfo
from procession.kernel.signal.wake import has_fatal_signal
from procession.kernel.signal_delivery import deliver_signals
from procession.kernel.task import (
    CALL_DISPATCHED,
    CALL_EXIT_WORK,
    CALL_EXPLORED,
    CALL_OBSERVED,
    CALL_SECCOMP,
    CALL_TRACED,
    EXIT_WAITS,
    MEMORY_HIGH,
    NEED_RESCHED,
    NOT_ENTERED,
    OTHER_SEGMENTS,
    RESTORE_MASK,
    RSEQ_EVENT,
    SIGNAL_PENDING,
    TRACE_STOPPED,
    UNFINISHED,
    UNUSUAL_WORK,
    CallFrame,
    FaultedEntry,
    Task,
)
from procession.kernel.task_state import RUNNING
from procession.kernel.time.costs import (
    AHEAD_PAGE_NS,
    CHANGED_PAGE_NS,
    EXCEPTION_NS,
    FAULT_NS,
    FILLED_PAGE_NS,
    QUICK_NS,
    call_cost_ns,
)
from procession.kernel.traps import (
    DEBUG,
    GENERAL_PROTECTION,
    PAGE_FAULT,
    load_segments,
    raise_exception,
    set_resume_flag,
)
from procession.kernel.user_dispatch import dispatch_call
from procession.kernel.userfault.unfinished import finish_call
from procession.mm.fault import DIRTIED, MAJOR, NEXT, handle_fault
from procession.mm.fault_ahead import fault_ahead
from procession.mm.user_fault import AccessViolation
from procession.mm.vsyscall import VSYSCALL_PAGE
from procession.syscalls.declaration import TABLE, TABLE_SIZE, Entry
from procession.syscalls.step_by_step import (
    RESTARTS,
    RT_SIGRETURN,
    go_on_entering,
    go_on_with_call,
    make_call,
    passes_filters,
    stop_in_call,
)
from procession.syscalls.time_stamp import emulate_time_stamp
from procession.syscalls.vsyscall import jumped_to_vsyscall

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel

_STEP_BY_STEP: Final = CALL_OBSERVED | CALL_TRACED
_ENOSYS: Final = 38
_FAULT_BITS: Final = FAULT_WRITE | FAULT_FETCH | FAULT_USER
_LAST_USER_ADDRESS: Final = 0x7FFF_FFFF_EFFF


class Traps:
    """The kernel's side of the processor's traps (in Linux, arch/x86/entry).

    A system call's entry in `entries` is a function of (task, live registers), compiled at the first use.
    `return_at_ns`, in time worked by all processors, is when the engine shall return to whoever runs the
    machine: tasks that keep switching never use up a slice. `has_returned` says that it does so for this, or
    because nobody can run; `gave_way` that nobody is in user mode then, as a call that lets others run goes
    on and on.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.entries: list[Entry] = [self._first_use(number) for number in range(TABLE_SIZE)]
        self.costs_ns = [call_cost_ns(number) for number in range(TABLE_SIZE)]
        self.clock = kernel.clock
        self.memory = kernel.memory
        self.cpu = kernel.cpu
        self.return_at_ns = 0
        self.has_returned = False
        self.gave_way = False

    def _first_use(self, number: int) -> Entry:
        def compile_and_run(task: Task, registers: Any) -> int | None:
            call = TABLE[number]
            if call is None:
                return self.unknown(number)
            entry = call.entry
            self.entries[number] = entry
            return entry(task, registers)

        return compile_and_run

    def unknown(self, number: int) -> int:
        counts = self.kernel.unknown_calls
        # A program can name 2^64 of them: they count as one from the end of the table on.
        number = min(number, TABLE_SIZE)
        counts[number] = counts.get(number, 0) + 1
        return -_ENOSYS

    @property
    def kernel_work_ns(self) -> int:
        """What the clock says that the kernel has worked."""
        return self.clock.kernel_work_ns

    # System calls

    def system_call(self) -> None:
        """Linux: arch/x86/entry/common.c, do_syscall_64."""
        kernel = self.kernel
        kernel.is_saved = False
        registers = self.cpu.general
        # Linux takes an int: the upper half of rax may hold anything.
        number = registers[RAX] & 0xFFFF_FFFF
        clock = self.clock
        entry = self.entries[number] if number < TABLE_SIZE else None
        spent_ns = clock.kernel_work_ns + (QUICK_NS if entry is None else self.costs_ns[number])
        clock.kernel_work_ns = spent_ns
        if spent_ns >= clock.check_at_work_ns:
            clock.check_slice()
        task = kernel.current
        assert task is not None
        if kernel.call_work and not (
            number in CALLS_OF_VDSO and is_call_of_vdso(kernel, task, number, registers)
        ):
            if kernel.call_work & CALL_EXPLORED and kernel.scheduler.puts_back(task):
                self.resume()
                return
            if kernel.call_work & CALL_DISPATCHED and dispatch_call(kernel, task, number):
                kernel.is_saved = False
                self.resume()
                return
            if kernel.call_work & _STEP_BY_STEP or (
                kernel.call_work & CALL_EXPLORED and kernel.scheduler.offers_faults
            ):
                make_call(self, task, number)
                kernel.is_saved = False
                if task.work or task.frame is not None or task.state is not RUNNING or self.memory.stale:
                    self.resume()
                else:
                    task.call_number = -1
                return
            if kernel.call_work & CALL_SECCOMP and not passes_filters(self, task, number):
                kernel.is_saved = False
                self.resume()
                return
        try:
            result = self.unknown(number) if entry is None else entry(task, registers)
        except Errno as error:
            result = -error.number
            if isinstance(error, RESTARTS):
                task.call_number = number
        except Sleep as sleep:
            if sleep.is_fault and sleep.progress is None:
                self.block_in_fault(task, sleep, number, is_shown=False)
            else:
                self.block(task, number, sleep)
            self.resume()
            return
        except OutOfFrames as failure:
            out_of_memory(kernel)
            result = -failure.errno_number
        result = result or 0
        # To mask takes an object, compiled, and few results need it.
        registers[RAX] = result if 0 <= result <= _LAST_USER_ADDRESS else result & WORD_MASK
        if task.work or task.state is not RUNNING or self.memory.stale:
            if number < TABLE_SIZE and number != RT_SIGRETURN:
                task.call_number = number
            kernel.is_saved = False
            self.resume()

    def _go_on_traced(self, task: Task) -> None:
        """The running task goes on after a stop for its tracer."""
        kernel = self.kernel
        kernel.switch_to(task)
        stop = leave_stop(task)
        stage = stop.stage
        if stage == AT_SIGNAL:
            deliver_signals(kernel, task, signal_after_stop(kernel, task, stop))
        elif stage == AT_EXIT:
            finish_exit(kernel, task, stop.argument)
        elif stage == AT_CALL_EXIT:
            take_call_stop(kernel, task, stop)
        elif stage in (AT_CALL_ENTRY, AT_SECCOMP):
            go_on_with_call(self, task, stop)
        elif stage == AT_TRAP:
            # It looks for signals again, and whether a call is to be made again.
            task.work |= SIGNAL_PENDING

    def block_in_fault(self, task: Task, sleep: Sleep, number: int, *, is_shown: bool) -> None:
        """The call has looked at memory of which a program handles the faults, and done nothing yet: it's
        made from the beginning then.
        """
        if self.is_interrupted(task, sleep):
            set_register(self.cpu.general, RAX, -EINTR.number)
            self.kernel.is_saved = False
            return
        sleep.progress = FaultedEntry(number, is_shown=is_shown)
        self.kernel.scheduler.sleep(task, sleep, CallFrame(NOT_ENTERED, ()))

    def block(self, task: Task, number: int, sleep: Sleep, arguments: tuple[Any, ...] | None = None) -> None:
        """The call sleeps, unless a signal is pending that ends it at once."""
        call = TABLE.calls[number]
        assert call is not None
        if arguments is None:
            arguments = call.decode(task, self.cpu.general)
        frame = CallFrame(number, arguments)
        if self.is_interrupted(task, sleep):
            set_register(self.cpu.general, RAX, self._interrupt(task, number, sleep))
            self.kernel.is_saved = False
            return
        files = task.files
        if files.reference_count > 1:
            frame.hold(files, [arguments[position] for position in call.fd_positions])
            frame.hold(files, sleep.fds)
        self.kernel.scheduler.sleep(task, sleep, frame)

    @staticmethod
    def is_interrupted(task: Task, sleep: Sleep) -> bool:
        if sleep.is_interruptible:
            return task.has_pending_signal
        return sleep.is_killable and has_fatal_signal(task)

    def _interrupt(self, task: Task, number: int, sleep: Sleep) -> int:
        """The value for rax of a call that a signal interrupts."""
        if isinstance(sleep.progress, Abandonable):
            sleep.progress.abandon()
        outcome = sleep.interrupted
        if isinstance(outcome, int):
            result = outcome
        else:
            result = -outcome.number
            if issubclass(outcome, RESTARTS):
                task.call_number = number
        observer = self.kernel.observer
        if observer is not None:
            call = TABLE[number]
            arguments = task.frame.arguments if task.frame is not None else ()
            observer.system_call_returned(
                task, call, arguments, outcome if isinstance(outcome, int) else outcome()
            )
        return result & WORD_MASK

    def _continue_call(self, task: Task, frame: CallFrame) -> None:
        """Run again the handler of a call that slept. The task's registers needn't be live."""
        if frame.number == NOT_ENTERED:
            go_on_entering(self, task, frame)
            return
        call = TABLE.calls[frame.number]
        assert call is not None
        kernel = self.kernel
        outcome: int | Errno | None
        try:
            outcome = call.handler(task, *frame.arguments)
        except Errno as error:
            outcome = error
            if isinstance(error, RESTARTS):
                task.call_number = frame.number
        except Sleep as sleep:
            if not self.is_interrupted(task, sleep):
                if sleep.fds and task.files.reference_count > 1:
                    frame.hold(task.files, sleep.fds)
                kernel.scheduler.sleep(task, sleep, frame)
                return
            result = self._interrupt(task, frame.number, sleep)
            task.frame = None
            self._set_result(task, result)
            frame.release()
            return
        except EventStop as event:
            stop_in_call(self, task, frame, event)
            return
        except OutOfFrames as failure:
            out_of_memory(kernel)
            outcome = BY_NUMBER[failure.errno_number]()
        task.frame = None
        if kernel.observer is not None:
            kernel.observer.system_call_returned(task, call, frame.arguments, outcome)
        self._set_result(task, -outcome.number if isinstance(outcome, Errno) else outcome or 0)
        task.call_number = frame.number
        frame.release()

    def _set_result(self, task: Task, result: int) -> None:
        if task is self.kernel.live:
            self.cpu.general[RAX] = result & WORD_MASK
            self.kernel.is_saved = False
        else:
            task.registers.general[RAX] = result & WORD_MASK

    # Going on

    def resume(self) -> None:
        """Before user mode: switch tasks if need be, go on with calls that slept, deliver signals.

        Linux: kernel/entry/common.c, exit_to_user_mode_loop; kernel/sched/core.c, __schedule.
        """
        kernel = self.kernel
        has_scheduled = False
        while True:
            task = kernel.current
            if task is not None:
                if task.state is not RUNNING:
                    kernel.charge(task)
                    task = None
                elif task.work & NEED_RESCHED:
                    task.work &= ~NEED_RESCHED
                    if kernel.scheduler.shall_switch(task):
                        kernel.charge(task)
                        kernel.scheduler.preempt(task)
                        task = None
            if task is None:
                if has_scheduled and kernel.clock.work_ns >= self.return_at_ns:
                    self._give_way()
                    return
                task = self._schedule()
                if task is None:
                    return
                has_scheduled = True
            if not task.work and task.frame is None:
                break
            if task.work & UNUSUAL_WORK:
                if task.work & EXIT_WAITS:
                    task.work &= ~EXIT_WAITS
                    go_on_exiting(kernel, task)
                elif not task.work & TRACE_STOPPED:
                    finish_call(kernel, task)
                else:
                    self._go_on_traced(task)
                continue
            frame = task.frame
            if frame is not None:
                self._continue_call(task, frame)
                if task.state is not RUNNING or task.work & UNFINISHED:
                    continue
            if task.work & MEMORY_HIGH:
                throttle_over_high(kernel, task)
                continue
            if task.work & CALL_EXIT_WORK:
                task.work &= ~CALL_EXIT_WORK
                stop_at_call_exit(kernel, task)
                continue
            if task.work & (SIGNAL_PENDING | RESTORE_MASK):
                deliver_signals(kernel, task)
                continue
            if task.work & OTHER_SEGMENTS:
                load_segments(kernel, task)
                continue
            if task.work & RSEQ_EVENT:
                try:
                    handle_event(kernel, task)
                except OutOfFrames:
                    await_memory(kernel, task)
                except Sleep as sleep:
                    task.work |= RSEQ_EVENT
                    kernel.scheduler.sleep(task, sleep, None)
                continue
            if not task.work:
                break
        task.call_number = -1
        if self.memory.stale:
            self._drop_what_is_stale()
        kernel.switch_to(task)

    def _drop_what_is_stale(self) -> None:
        """Let the engine drop what the kernel has made untrue since user code ran last."""
        memory, cpu = self.memory, self.cpu
        stale, memory.stale = memory.stale, 0
        if stale & PAGES_WORKED:
            work_ns = memory.changed_pages * CHANGED_PAGE_NS + memory.filled_pages * FILLED_PAGE_NS
            memory.changed_pages = memory.filled_pages = 0
            self.clock.spend(work_ns)
        if stale & ENDED_SPACES:
            for root in memory.ended_spaces:
                memory.stale_spaces.pop(root, None)
                cpu.end_space(root)
            memory.ended_spaces.clear()
        if stale & RESERVED_ADDRESSES:
            for root in memory.reserving_spaces:
                cpu.give_way(root)
            memory.reserving_spaces.clear()
        if stale & STALE_CODE:
            cpu.forget_code(memory.stale_code)
            memory.stale_code.clear()
        if stale & STALE_TRANSLATIONS:
            for root, pages in memory.stale_spaces.items():
                if pages is None:
                    cpu.flush_space(root)
                else:
                    cpu.flush_pages(root, pages)
            memory.stale_spaces.clear()

    def _give_way(self) -> None:
        """Go back to whoever runs the machine with all tasks in the kernel: it's time to."""
        kernel = self.kernel
        kernel.current = None
        self.memory.fault_counts = None
        self.memory.payer = None
        self.has_returned = self.gave_way = True
        self.cpu.stop()

    def _schedule(self) -> Task | None:
        """The next task, made the current one; None, with the engine stopped, if nobody can run now."""
        kernel = self.kernel
        scheduler = kernel.scheduler
        if kernel.timers.heap:
            kernel.timers.run_due()
        task = scheduler.pick()
        kernel.current = task
        if task is None:
            self.memory.fault_counts = None
            self.memory.payer = None
            self.has_returned = True
            self.cpu.stop()
            return None
        if task.rseq is not None and task.rseq.processor != task.entity.processor:
            task.work |= RSEQ_EVENT
        if kernel.observer is not None:
            kernel.observer.task_event(task, SWITCH)
        self.memory.fault_counts = task.times
        self.memory.payer = task.cgroup.memory
        scheduler.start_turn(task)
        if kernel.clock.work_start_ns >= self.return_at_ns:
            self.has_returned = True
            self.cpu.stop()
        return task

    def slice_over(self) -> None:
        """The engine's budget is spent: timers may be due, and it's another's turn."""
        kernel = self.kernel
        kernel.is_saved = False
        scheduler = kernel.scheduler
        scheduler.timer_has_interrupted()
        kernel.timers.run_due()
        task = kernel.current
        if task is None:
            return
        kernel.charge(task)
        if task.state is RUNNING and scheduler.must_give_way(task):
            task.work |= NEED_RESCHED
            if task.rseq is not None:
                # Who gives way in a system call isn't in a restartable sequence, which makes none.
                task.work |= RSEQ_EVENT
        else:
            scheduler.start_slice(task)
        self.resume()

    # Faults and exceptions

    def page_fault(self, address: int, error_code: int) -> None:
        """Linux: arch/x86/mm/fault.c, exc_page_fault."""
        kernel = self.kernel
        kernel.is_saved = False
        task = kernel.current
        assert task is not None
        try:
            kind = handle_fault(task.mm, address, error_code & _FAULT_BITS)
        except Sleep as sleep:
            if not task.has_pending_signal:
                kernel.scheduler.sleep(task, sleep, None)
            self.resume()
            return
        except AccessViolation as violation:
            if not is_canonical(address):
                # No page tables can map it: it isn't a page fault at all.
                self.processor_exception(GENERAL_PROTECTION, 0)
                return
            if address >> PAGE_SHIFT == VSYSCALL_PAGE and jumped_to_vsyscall(self, task, address, error_code):
                return
            info = SigInfo(violation.signal, violation.code, address=address)
            if address > _LAST_USER_ADDRESS:
                # What is mapped there is no program's business (Linux: arch/x86/mm/fault.c,
                # set_signal_archinfo).
                error_code |= FAULT_PROTECTION
            if kernel.observer is not None:
                kernel.observer.task_event(task, FAULT, (address, error_code, FAULT_SIGNAL))
            self.clock.spend(EXCEPTION_NS)
            task.last_trap = (PAGE_FAULT, error_code, address)
            set_resume_flag(kernel, task)
            force_signal(kernel, task, info)
            self.resume()
            return
        except OutOfFrames:
            await_memory(kernel, task)
            self.resume()
            return
        if kind == MAJOR:
            task.times.major_faults += 1
        elif kind != DIRTIED:
            task.times.minor_faults += 1
        if kind == NEXT:
            self.clock.spend(FAULT_NS + fault_ahead(task.mm, address) * AHEAD_PAGE_NS)
        else:
            self.clock.spend(FAULT_NS)
        if kernel.observer is not None and kind != DIRTIED:
            outcome = FAULT_MAJOR if kind == MAJOR else FAULT_MINOR
            kernel.observer.task_event(task, FAULT, (address, error_code, outcome))
        if self.memory.stale or task.work & MEMORY_HIGH:
            self.resume()

    def processor_exception(self, vector: int, error_code: int) -> None:
        """Linux: arch/x86/kernel/traps.c."""
        kernel = self.kernel
        kernel.is_saved = False
        task = kernel.current
        assert task is not None
        self.clock.spend(EXCEPTION_NS)
        if vector == GENERAL_PROTECTION:
            # What the kernel does of an instruction's work is done before its debug exception.
            is_stepped = self.cpu.has_trap_flag
            if emulate_time_stamp(kernel, task, self.cpu.general[RIP]):
                if is_stepped:
                    raise_exception(kernel, task, DEBUG, 0)
                    self.resume()
                return
            # Few programs come here.
            from procession.syscalls.segments import DONE, DONE_WITHOUT_TRAP, Absent, emulate_segments

            try:
                error_code = emulate_segments(kernel, task, error_code)
            except Absent as absent:
                self.page_fault(absent.address, absent.access)
                return
            except OutOfFrames:
                await_memory(kernel, task)
                self.resume()
                return
            if error_code in (DONE, DONE_WITHOUT_TRAP):
                if is_stepped and error_code == DONE:
                    raise_exception(kernel, task, DEBUG, 0)
                    self.resume()
                return
        raise_exception(kernel, task, vector, error_code)
        self.resume()
