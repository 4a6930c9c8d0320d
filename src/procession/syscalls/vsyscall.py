"""The vsyscall page: three calls at addresses that are the same in every program, and nothing to be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_S, NS_PER_US
from procession.abi.errno import EFAULT
from procession.abi.signals import SegvCode, SignalCode
from procession.abi.word import Words, pack_u32, pack_u64
from procession.fs.wait_queue import Sleep
from procession.hardware.engine import FAULT_FETCH, FAULT_USER, FAULT_WRITE
from procession.hardware.physical_memory import OutOfFrames
from procession.hardware.registers import RAX, RDI, RIP, RSI, RSP, set_register
from procession.kernel.oom import await_memory
from procession.kernel.signal.generation import force_signal
from procession.kernel.signal.info import SigInfo
from procession.kernel.signal.set import SIGSEGV
from procession.kernel.time.costs import EXCEPTION_NS
from procession.kernel.traps import PAGE_FAULT
from procession.mm.vsyscall import VSYSCALL_ADDRESS

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task
    from procession.syscalls.dispatch import Traps

_NR_GETTIMEOFDAY, _NR_TIME, _NR_GETCPU = 96, 201, 309
_CALLS = (
    (_NR_GETTIMEOFDAY, ((RDI, 16), (RSI, 8))),
    (_NR_TIME, ((RDI, 8),)),
    (_NR_GETCPU, ((RDI, 4), (RSI, 4))),
)
"""By their places: the number, and which registers say where how many bytes go, 0 for nowhere."""
_PLACE_SHIFT = 10
_PLACES = 3 << _PLACE_SHIFT
"""The bits of an address that say which call it is: 1024 bytes are for each."""
_PAST_USER = 0x7FFF_FFFF_F000
_PAIR = Words("<qq")
_ZONE = Words("<ii")
_SI_KERNEL, _SEGV_MAPERR = int(SignalCode.SI_KERNEL), int(SegvCode.SEGV_MAPERR)


NO_CALL, CALL_MADE, CALL_TO_MAKE = range(3)


def jumped_to_vsyscall(traps: Traps, task: Task, address: int, error_code: int) -> bool:
    """Make a call of the page; False if that's no jump but a fault like others."""
    kernel = traps.kernel
    traps.clock.spend(EXCEPTION_NS)
    try:
        outcome = emulate_vsyscall(kernel, task, address, error_code)
    except Sleep as sleep:
        if not task.has_pending_signal:
            kernel.scheduler.sleep(task, sleep, None)
    except OutOfFrames:
        await_memory(kernel, task)
    else:
        if outcome == NO_CALL:
            return False
        if outcome == CALL_TO_MAKE:
            traps.system_call()
            return True
    traps.resume()
    return True


def emulate_vsyscall(kernel: Kernel, task: Task, address: int, error_code: int) -> int:
    """What a fault at `address` in the page was: no call but a fault like others; one that's made, or for
    which a signal was sent instead; or one of a task that filters look at, which is back where it called
    from, with the call's number in rax, to be made as any other.

    Raises Sleep, OutOfFrames, with nothing done.
    Linux: arch/x86/entry/vsyscall/vsyscall_64.c, emulate_vsyscall.
    """
    if error_code & (FAULT_WRITE | FAULT_USER | FAULT_FETCH) != FAULT_USER | FAULT_FETCH:
        return NO_CALL
    place = (address & _PLACES) >> _PLACE_SHIFT
    general = kernel.cpu.general
    if address & ~_PLACES != VSYSCALL_ADDRESS or place >= len(_CALLS):
        _refuse(kernel, task)
        return CALL_MADE
    number, targets = _CALLS[place]
    try:
        caller = task.mm.read_word(general[RSP])
        for register, size in targets:
            if general[register] + size > _PAST_USER:
                _refuse_address(kernel, task, general[register])
                return CALL_MADE
        if task.seccomp_mode:
            result = number
        else:
            result, answers = _answers(kernel, task, number)
            for (register, _), data in zip(targets, answers, strict=True):
                if general[register]:
                    task.mm.write(general[register], data)
    except EFAULT:
        _refuse(kernel, task)
        return CALL_MADE
    # As a ret does.
    set_register(general, RAX, result)
    set_register(general, RIP, caller)
    set_register(general, RSP, general[RSP] + 8)
    return CALL_TO_MAKE if task.seccomp_mode else CALL_MADE


def _refuse(kernel: Kernel, task: Task) -> None:
    force_signal(kernel, task, SigInfo(SIGSEGV, _SI_KERNEL))


def _refuse_address(kernel: Kernel, task: Task, address: int) -> None:
    """Where no program has memory. Linux: arch/x86/entry/vsyscall/vsyscall_64.c, write_ok_or_segv."""
    task.last_trap = (PAGE_FAULT, FAULT_USER | FAULT_WRITE, address)
    force_signal(kernel, task, SigInfo(SIGSEGV, _SEGV_MAPERR, address=address))


def _answers(kernel: Kernel, task: Task, number: int) -> tuple[int, tuple[bytes, ...]]:
    """What the call returns, and what it writes to each of its targets."""
    seconds, part_ns = divmod(kernel.clock.realtime_ns, NS_PER_S)
    if number == _NR_TIME:
        return seconds, (pack_u64(seconds),)
    if number == _NR_GETTIMEOFDAY:
        return 0, (_PAIR.pack(seconds, part_ns // NS_PER_US), _ZONE.pack(*kernel.clock.time_zone))
    return 0, (pack_u32(task.entity.processor), pack_u32(0))
