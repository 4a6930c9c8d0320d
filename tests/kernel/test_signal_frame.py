"""Checks the frame of a signal handler against the structures, and what the return from it believes."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession.abi.errno import EINVAL, ENOMEM, EPERM
from procession.abi.siginfo import SiginfoFault
from procession.abi.signal_frame import Fpstate, RtSigframe
from procession.hardware.extended_state import canonical
from procession.hardware.registers import RAX, RDI, RDX, RIP, RSI, RSP
from procession.kernel.signal.alternate_stack import SS_AUTODISARM, set_alternate_stack, stack_flags
from procession.kernel.signal.generation import force_signal, send_signal
from procession.kernel.signal.handlers import (
    SA_NODEFER,
    SA_ONSTACK,
    SA_RESETHAND,
    SA_RESTART,
    SA_RESTORER,
    SA_SIGINFO,
    SignalAction,
)
from procession.kernel.signal.info import SI_USER, SigInfo
from procession.kernel.signal.mask import set_blocked, set_temporary_mask
from procession.kernel.signal.set import mask_of
from procession.kernel.signal_delivery import deliver_signals
from procession.kernel.task import SIGNAL_PENDING, Task
from procession.syscalls.signal import rt_sigreturn
from tests.kernel.signal_fakes import MEMORY_BASE, STACK_TOP, Machine

ADDRESS = 0x401000
RESTORER = 0x402000
WORD = 1 << 64
ALTERNATE = MEMORY_BASE + 0x1000


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def task(machine: Machine) -> Task:
    task = machine.process(10, machine.init)
    for number in range(16):
        task.registers.general[number] = 0x1111 * number
    task.registers.general[RSP] = STACK_TOP - 3
    return task


def handle(task: Task, signo: int = 10, flags: int = 0, mask: int = 0) -> None:
    task.group.handlers.actions[signo] = SignalAction(ADDRESS, flags | SA_RESTORER, RESTORER, mask)


def enter(machine: Machine, task: Task, signo: int = 10) -> RtSigframe:
    """Send the signal, enter its handler and give the frame."""
    send_signal(machine.kernel, task, SigInfo(signo, SI_USER, sender=machine.init.group.pid, uid=2))
    machine.resume(task)
    assert task.registers.general[RIP] == ADDRESS
    return RtSigframe.unpack(task.mm.read(task.registers.general[RSP], RtSigframe.SIZE))


def leave(machine: Machine, task: Task) -> None:
    """What the restorer does: the handler's ret has popped its address."""
    task.registers.general[RSP] += 8
    result = rt_sigreturn(task)
    assert result == task.registers.general[RAX]


class TestFrame:
    def test_registers_of_the_handler(self, machine: Machine, task: Task) -> None:
        handle(task, flags=SA_SIGINFO)
        task.registers.rflags = 0x202 | 0x500
        enter(machine, task)
        general = task.registers.general
        frame = general[RSP]
        assert frame % 16 == 8
        assert frame < STACK_TOP - 3 - 128 - 512 - 440
        assert general[RDI] == 10
        assert general[RSI] == frame + RtSigframe.OFFSETS["info"]
        assert general[RDX] == frame + RtSigframe.OFFSETS["uc"]
        assert general[RAX] == 0
        assert task.registers.rflags == 0x202

    def test_contents(self, machine: Machine, task: Task) -> None:
        handle(task, flags=SA_SIGINFO, mask=mask_of(12))
        set_blocked(task, mask_of(1))
        before = list(task.registers.general)
        frame = enter(machine, task)
        context = frame.uc.uc_mcontext
        assert frame.pretcode == RESTORER
        assert frame.uc.uc_flags == 6
        assert frame.uc.uc_sigmask == context.oldmask == mask_of(1)
        assert (context.rax, context.r15, context.rsp, context.rip) == (
            before[0],
            before[15],
            before[RSP],
            before[RIP],
        )
        assert (context.cs, context.ss, context.fs, context.gs) == (0x33, 0x2B, 0, 0)
        assert frame.info == SigInfo(10, SI_USER, sender=machine.init.group.pid, uid=2).pack(
            task.pid_namespace
        )
        assert context.fpstate % 64 == 0
        state = Fpstate.unpack(task.mm.read(context.fpstate, Fpstate.SIZE))
        assert (state.cwd, state.mxcsr) == (0x37F, 0x1F80)
        assert task.blocked == mask_of(1, 10, 12)

    def test_fault_details(self, machine: Machine, task: Task) -> None:
        handle(task, 11, flags=SA_SIGINFO)
        task.last_trap = (14, 6, 0x1234000)
        force_signal(machine.kernel, task, SigInfo(11, 1, address=0x1234000))
        machine.resume(task)
        frame = RtSigframe.unpack(task.mm.read(task.registers.general[RSP], RtSigframe.SIZE))
        context = frame.uc.uc_mcontext
        assert (context.trapno, context.err, context.cr2) == (14, 6, 0x1234000)
        assert SiginfoFault.unpack(frame.info).si_addr == 0x1234000

    def test_no_stack_kills(self, machine: Machine, task: Task) -> None:
        handle(task)
        task.registers.general[RSP] = 0x1000
        send_signal(machine.kernel, task, SigInfo(10, SI_USER))
        deliver_signals(machine.kernel, task)
        assert task.registers.general[RIP] == 0x400000
        assert task.pending.holds(11)
        assert task.blocked == 0

    def test_no_restorer_is_a_fault(self, machine: Machine, task: Task) -> None:
        task.group.handlers.actions[10] = SignalAction(ADDRESS, 0, 0, 0)
        handle(task, 11)
        send_signal(machine.kernel, task, SigInfo(10, SI_USER))
        machine.resume(task)
        assert task.registers.general[RDI] == 11

    def test_fault_in_the_frame_of_sigsegv_is_fatal(self, machine: Machine, task: Task) -> None:
        handle(task, 11, flags=SA_NODEFER)
        task.registers.general[RSP] = 0x1000
        send_signal(machine.kernel, task, SigInfo(11, SI_USER))
        deliver_signals(machine.kernel, task)
        assert task.group.handlers.actions[11].handler == 0
        assert task.pending.holds(11)

    def test_flags_of_the_action(self, machine: Machine, task: Task) -> None:
        handle(task, flags=SA_NODEFER | SA_RESETHAND, mask=mask_of(1, 2))
        enter(machine, task)
        assert task.blocked == mask_of(1, 2)
        assert task.group.handlers.actions[10].handler == 0

    def test_two_signals_nest(self, machine: Machine, task: Task) -> None:
        handle(task, 10)
        handle(task, 12)
        send_signal(machine.kernel, task, SigInfo(12, SI_USER))
        send_signal(machine.kernel, task, SigInfo(10, SI_USER))
        machine.resume(task)
        assert task.registers.general[RDI] == 12
        outer = RtSigframe.unpack(task.mm.read(task.registers.general[RSP], RtSigframe.SIZE))
        assert outer.uc.uc_mcontext.rip == ADDRESS
        assert outer.uc.uc_sigmask == mask_of(10)
        leave(machine, task)
        assert task.registers.general[RDI] == 10
        leave(machine, task)
        assert task.registers.general[RIP] == 0x400000
        assert task.blocked == 0


class TestReturn:
    def test_everything_comes_back(self, machine: Machine, task: Task) -> None:
        handle(task)
        image = bytes(range(24)) + b"\x80\x1f\0\0" + bytes(range(200)) + bytes(604)
        task.registers.floating = canonical(image)
        before = task.registers.copy()
        enter(machine, task)
        assert task.registers.floating == b""
        task.registers.floating = b"\1" * 512
        for number in range(RSP):
            task.registers.general[number] = 5
        leave(machine, task)
        assert task.registers.general == before.general
        assert task.registers.rflags == before.rflags
        assert task.registers.floating == before.floating
        assert task.blocked == 0

    def patch(self, task: Task, offset: int, data: bytes) -> None:
        task.mm.write(task.registers.general[RSP] + offset, data)

    def test_only_user_flags_are_believed(self, machine: Machine, task: Task) -> None:
        handle(task)
        enter(machine, task)
        self.patch(task, 8 + 40 + 17 * 8, struct.pack("<Q", WORD - 1))
        leave(machine, task)
        assert task.registers.rflags == 0x202 | 0x50DD5

    def test_kill_and_stop_are_not_blocked(self, machine: Machine, task: Task) -> None:
        handle(task)
        enter(machine, task)
        self.patch(task, 8 + 40 + 256, struct.pack("<Q", WORD - 1))
        leave(machine, task)
        assert task.blocked == (WORD - 1) & ~mask_of(9, 19)

    def test_address_that_no_processor_holds(self, machine: Machine, task: Task) -> None:
        handle(task)
        enter(machine, task)
        self.patch(task, 8 + 40 + 16 * 8, struct.pack("<Q", 1 << 60))
        leave(machine, task)
        assert task.registers.general[RIP] == 1 << 60
        assert task.pending.holds(11)

    @pytest.mark.parametrize("floating", [MEMORY_BASE - 0x1000, STACK_TOP + 8, WORD - 16])
    def test_bad_floating_point_state(self, machine: Machine, task: Task, floating: int) -> None:
        handle(task)
        enter(machine, task)
        self.patch(task, 8 + 40 + 184, struct.pack("<Q", floating))
        task.registers.general[RSP] += 8
        assert rt_sigreturn(task) == 0
        assert task.pending.holds(11)

    def test_reserved_bits_of_mxcsr(self, machine: Machine, task: Task) -> None:
        handle(task)
        frame = enter(machine, task)
        task.mm.write(frame.uc.uc_mcontext.fpstate + 24, b"\xff\xff\xff\xff")
        task.registers.general[RSP] += 8
        assert rt_sigreturn(task) == 0
        assert task.pending.holds(11)

    def test_no_frame(self, machine: Machine, task: Task) -> None:
        for pointer in (0, 8, WORD - 8, MEMORY_BASE - 8):
            task.registers.general[RSP] = pointer
            assert rt_sigreturn(task) == 0
        assert task.pending.holds(11)

    @given(st.binary(min_size=312, max_size=312))
    def test_any_frame_is_a_return_or_a_fault(self, data: bytes) -> None:
        machine = Machine()
        task = machine.process(10, machine.init)
        task.mm.write(STACK_TOP - 1024, data)
        task.registers.general[RSP] = STACK_TOP - 1024 + 8
        rt_sigreturn(task)
        assert not task.blocked & mask_of(9, 19)
        assert all(0 <= value < WORD for value in task.registers.general)


class TestCalls:
    CASES = (
        (512, 0, "interrupt"),
        (512, SA_RESTART, "again"),
        (513, 0, "again"),
        (514, SA_RESTART, "interrupt"),
        (516, SA_RESTART, "interrupt"),
    )

    def interrupted(self, task: Task, error: int) -> None:
        task.call_number = 61
        task.registers.general[RAX] = WORD - error

    @pytest.mark.parametrize(("error", "flags", "effect"), CASES)
    def test_with_a_handler(self, machine: Machine, task: Task, error: int, flags: int, effect: str) -> None:
        handle(task, flags=flags)
        self.interrupted(task, error)
        context = enter(machine, task).uc.uc_mcontext
        if effect == "again":
            assert (context.rax, context.rip) == (61, 0x400000 - 2)
        else:
            assert (context.rax, context.rip) == (WORD - 4, 0x400000)
        assert task.call_number == -1

    @pytest.mark.parametrize(("error", "number"), [(512, 61), (513, 61), (514, 61), (516, 219)])
    def test_without_a_handler(self, machine: Machine, task: Task, error: int, number: int) -> None:
        self.interrupted(task, error)
        task.work |= SIGNAL_PENDING
        machine.resume(task)
        assert (task.registers.general[RAX], task.registers.general[RIP]) == (number, 0x400000 - 2)

    def test_temporary_mask_is_what_the_handler_returns_to(self, machine: Machine, task: Task) -> None:
        handle(task)
        set_blocked(task, mask_of(10))
        set_temporary_mask(task, mask_of(12))
        assert task.blocked == mask_of(12)
        self.interrupted(task, 514)
        frame = enter(machine, task)
        assert frame.uc.uc_sigmask == mask_of(10)
        assert task.blocked == mask_of(10, 12)
        assert task.saved_mask is None

    def test_temporary_mask_ends_with_the_call(self, machine: Machine, task: Task) -> None:
        handle(task)
        set_blocked(task, mask_of(10))
        send_signal(machine.kernel, task, SigInfo(10, SI_USER))
        set_temporary_mask(task, 0)
        task.registers.general[RAX] = 1
        machine.resume(task)
        assert task.registers.general[RIP] == 0x400000
        assert task.blocked == mask_of(10)
        assert task.pending.holds(10)


class TestAlternateStack:
    def test_handler_runs_there(self, machine: Machine, task: Task) -> None:
        set_alternate_stack(task, ALTERNATE, 0, 0x4000, STACK_TOP)
        handle(task, flags=SA_ONSTACK)
        frame = enter(machine, task)
        pointer = task.registers.general[RSP]
        assert ALTERNATE < pointer < ALTERNATE + 0x4000 - 512 - 440
        assert (frame.uc.uc_stack.ss_sp, frame.uc.uc_stack.ss_size) == (ALTERNATE, 0x4000)
        assert stack_flags(task, pointer) == 1
        with pytest.raises(EPERM):
            set_alternate_stack(task, 0, 2, 0, pointer)

    def test_only_with_the_flag(self, machine: Machine, task: Task) -> None:
        set_alternate_stack(task, ALTERNATE, 0, 0x4000, STACK_TOP)
        handle(task)
        enter(machine, task)
        assert task.registers.general[RSP] > ALTERNATE + 0x4000

    def test_second_signal_goes_on_below(self, machine: Machine, task: Task) -> None:
        set_alternate_stack(task, ALTERNATE, 0, 0x4000, STACK_TOP)
        handle(task, flags=SA_ONSTACK | SA_NODEFER)
        enter(machine, task)
        first = task.registers.general[RSP]
        enter(machine, task)
        assert ALTERNATE < task.registers.general[RSP] < first - 128 - 512

    def test_overflow_is_a_fault(self, machine: Machine, task: Task) -> None:
        set_alternate_stack(task, ALTERNATE, 0, 0x800, STACK_TOP)
        handle(task, flags=SA_ONSTACK | SA_NODEFER)
        handle(task, 11)
        enter(machine, task)
        send_signal(machine.kernel, task, SigInfo(10, SI_USER))
        deliver_signals(machine.kernel, task)
        assert task.pending.holds(11)

    def test_it_disarms_itself(self, machine: Machine, task: Task) -> None:
        set_alternate_stack(task, ALTERNATE, SS_AUTODISARM, 0x4000, STACK_TOP)
        handle(task, flags=SA_ONSTACK)
        frame = enter(machine, task)
        assert frame.uc.uc_stack.ss_flags & 0xFFFFFFFF == SS_AUTODISARM
        assert task.alternate_stack == (0, 0, 2)
        leave(machine, task)
        assert task.alternate_stack == (ALTERNATE, 0x4000, SS_AUTODISARM)

    def test_errors(self, task: Task) -> None:
        with pytest.raises(EINVAL):
            set_alternate_stack(task, ALTERNATE, 7, 0x4000, STACK_TOP)
        with pytest.raises(ENOMEM):
            set_alternate_stack(task, ALTERNATE, 0, 2047, STACK_TOP)
        set_alternate_stack(task, ALTERNATE, 2 | SS_AUTODISARM, 1, STACK_TOP)
        assert task.alternate_stack == (0, 0, 2 | SS_AUTODISARM)
        assert stack_flags(task, STACK_TOP) == 2 | SS_AUTODISARM
