"""One instruction at a time: for the trap flag, and for writes to pages with translated code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from procession.hardware.engines.native.machine_code import StubUnavailable
from procession.hardware.engines.native.place import find_place, forget_places
from procession.hardware.engines.native.space import Absent, Space
from procession.hardware.engines.native.stub import StubError
from procession.hardware.engines.native.window import CODE_WRITTEN, DENIED, is_reserved
from procession.hardware.registers import R11, RCX, RIP, RSP, TRAP_FLAG
from procession.hardware.translation import layout
from procession.hardware.translation.code_cache import ATTEND, STEP_INDIRECT, Exit, Place
from procession.hardware.translation.decode import ADDRESS_SIZE, REPEAT, Instruction, decode
from procession.hardware.translation.opcodes import PUSH_FLAGS, REPEATED_STRING, ZERO

if TYPE_CHECKING:
    from procession.hardware.engines.native.engine import NativeEngine

ATTENDED_UNITS: Final = 2_500
"""What an instruction counts that the machine executes itself, or has a stub execute alone: 10 us."""
COUNTER_WRITTEN: Final = "the counter was written to"
_DEBUG, _PAGE_FAULT = 1, 14
_WRITE: Final = 2
_COMPARING: Final = (0xA6, 0xA7, 0xAE, 0xAF)
"""cmps and scas."""
_HALF_MASK: Final = 0xFFFF_FFFF
_FLAGS, _TARGET, _FAULT_ADDRESS, _FAULT_RIP, _FAULT_ERROR, _FAULT_VECTOR = (
    offset >> 3
    for offset in (
        *(layout.FLAGS, layout.TARGET, layout.FAULT_ADDRESS, layout.FAULT_RIP, layout.FAULT_ERROR),
        layout.FAULT_VECTOR,
    )
)


def step(engine: NativeEngine, space: Space, *, is_trapped: bool = True) -> None:
    """Run the one instruction at rip; then, if `is_trapped`, tell of a debug exception."""
    general, words, cache = engine.general, engine.words, engine.store.cache
    pc = general[RIP]
    try:
        code = engine.guest.code_at(pc)
    except Absent as absent:
        engine.fetch_fault(absent.address)
        return
    engine.counter[0] -= ATTENDED_UNITS
    engine.is_left_known = False
    instruction = decode(code, 0)
    repeated = _once(engine, instruction) if is_trapped and instruction.kind == REPEATED_STRING else None
    lengths, places = cache.lengths(), len(cache.places)
    entry = engine.store.translator.translate_step(pc, code)
    trap_flag = words[_FLAGS] & TRAP_FLAG
    exit_, fault, failure, error = None, None, "the stub failed outside of the guest's code", None
    is_call = False
    before = engine.counter[0], engine.transfers[0]
    try:
        why = _run(engine, space, entry)
        if (engine.counter[0], engine.transfers[0]) != before:
            engine.set_budget(0)
            failure = COUNTER_WRITTEN
        elif why == layout.CALLED:
            is_call = True
        elif why == layout.FAULTED:
            fault = find_place(cache, words[_FAULT_RIP])
        elif layout.FIRST_EXIT <= why < layout.FIRST_EXIT + cache.exit_count:
            exit_ = cache.exit_at(why - layout.FIRST_EXIT)
    except (StubError, StubUnavailable) as found:
        error = found
    finally:
        words[_FLAGS] |= trap_flag
        cache.cut(lengths)
        forget_places(cache, places)
    if error is not None:
        engine.fail(error)
    elif fault is not None:
        engine.restore(fault)
        if repeated is not None:
            general[RCX] = repeated
        _raise_fault(engine, fault)
    elif is_call:
        # The host's processor didn't have the trap flag, the guest's has.
        general[R11] |= trap_flag
        engine.traps.system_call()
    elif exit_ is None:
        engine.stub_failed(failure)
    else:
        if is_trapped and instruction.kind == PUSH_FLAGS:
            # The host's processor didn't have the trap flag, the guest's has.
            engine.guest.set_bits(general[RSP] + 1, TRAP_FLAG >> 8)
        if repeated is not None and exit_.kind == ATTEND:
            # The machine does it, once as well.
            general[RCX] = repeated
        elif repeated is not None:
            general[RCX] = repeated - 1
            if _goes_on(instruction, words[_FLAGS]):
                general[RIP] = pc
                engine.traps.processor_exception(_DEBUG, 0)
                return
        _finish(engine, exit_, is_trapped=is_trapped)


def _once(engine: NativeEngine, instruction: Instruction) -> int | None:
    """Let a repeated string instruction do its work once, as each time ends in a debug exception; how often
    it was to be done, None if that's not more than once.
    """
    count = engine.general[RCX]
    if instruction.prefixes & ADDRESS_SIZE:
        count &= _HALF_MASK
    if count <= 1:
        return None
    engine.general[RCX] = 1
    return count


def _goes_on(instruction: Instruction, flags: int) -> bool:
    """Whether a repeated string instruction does its work again, if that is to be done."""
    if instruction.opcode not in _COMPARING:
        return True
    return (flags & ZERO != 0) == (instruction.prefixes & REPEAT != 0)


def _run(engine: NativeEngine, space: Space, entry: int) -> int:
    """Run what was translated, and map what it touches; why it has left.

    Raises StubError and StubUnavailable.
    """
    words = engine.words
    while True:
        words[_FLAGS] &= ~TRAP_FLAG
        try:
            why = space.stub.hand_over(entry)
        except StubError as error:
            space = engine.replace_stub(error)
            continue
        window = space.window
        if why != layout.FAULTED or words[_FAULT_VECTOR] != _PAGE_FAULT:
            return why
        place = find_place(engine.store.cache, words[_FAULT_RIP])
        if place is None:
            return why
        address, is_write = words[_FAULT_ADDRESS], words[_FAULT_ERROR] & _WRITE != 0
        outcome = window.fill(address, is_write=is_write)
        if outcome == CODE_WRITTEN:
            engine.store.forget_frame(window.walk.frame)
            outcome = window.fill(address, is_write=is_write)
        if outcome == DENIED:
            return why
        engine.restore(place)


def _raise_fault(engine: NativeEngine, place: Place) -> None:
    words = engine.words
    if words[_FAULT_VECTOR] == _PAGE_FAULT:
        if is_reserved(words[_FAULT_ADDRESS]):
            engine.give_up(f"the program uses {words[_FAULT_ADDRESS]:#x}, where the native engine is")
            return
        engine.access_fault(words[_FAULT_ADDRESS], words[_FAULT_ERROR] & _WRITE)
    else:
        vector, error_code = words[_FAULT_VECTOR] & 0xFF, words[_FAULT_ERROR] & 0xFFFF
        if place.restoration:
            vector = engine.guest.vector_of(vector, error_code, engine.general)
        engine.traps.processor_exception(vector, error_code)


def _finish(engine: NativeEngine, exit_: Exit, *, is_trapped: bool) -> None:
    """The instruction has been executed, but for what the machine does of it."""
    general, kind = engine.general, exit_.kind
    if kind == ATTEND:
        if not engine.attend():
            return
    elif kind == STEP_INDIRECT:
        general[RIP] = engine.words[_TARGET]
    else:
        general[RIP] = exit_.pc
    if is_trapped:
        engine.traps.processor_exception(_DEBUG, 0)


def write_code(engine: NativeEngine, space: Space, address: int) -> None:
    """The instruction at rip writes to a page with translated code: that goes, and the instruction runs by
    itself, as it may lie in that page.
    """
    window = space.window
    if window.walk.find(space.root, address):
        engine.store.forget_frame(window.walk.frame)
    window.fill(address, is_write=True)
    step(engine, space, is_trapped=False)
