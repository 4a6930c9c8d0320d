"""Guest code made fit to run in a stub: copied, but for transfers and what the machine must attend to.

A unit is what is translated at once: blocks of one page in the order in which they follow each other. Direct
jumps within the page are linked; jumps to other pages go through a table that each address space has of its
own, so that a unit serves all spaces that map its frame at its address. Indirect jumps look their target up
by a table too, without touching the flags, and whoever is found there looks whether it's meant.

One unit of work is counted for each backward direct jump and each indirect transfer: that bounds every loop
and doesn't depend on how code is cut into units. What takes much longer is counted besides: long blocks and
dear instructions at a block's end (`price`), repeated string instructions by what they have done. The flags
are changed by that only where the code that follows sets them before it reads any: at a fault before that
they aren't what they would be.
"""

from __future__ import annotations

from typing import Final

from procession.hardware.translation import layout
from procession.hardware.translation.assembler import (
    R11,
    RCX,
    fetch,
    set_register,
    signed_32,
    store,
)
from procession.hardware.translation.code_cache import (
    ATTEND,
    BUDGET,
    CROSS,
    LINK,
    SETTLE,
    STEP,
    Block,
)
from procession.hardware.translation.copier import (
    RETURNING,
    SAVED,
    SHORT_WORDS,
    THREE,
    WORDS,
    Copier,
    is_harmless,
)
from procession.hardware.translation.decode import (
    ADDRESS_SIZE,
    FS,
    GS,
    LOCK,
    LONGEST_INSTRUCTION,
    Instruction,
    decode,
)
from procession.hardware.translation.emitter import JUMP_AWAY, NEAR
from procession.hardware.translation.known_instructions import target_of
from procession.hardware.translation.opcodes import (
    APPROXIMATION,
    CALL_INDIRECT,
    CONDITIONAL,
    DESCRIPTOR,
    EXTENDED_RESTORE,
    EXTENDED_SAVE,
    FLOATING_STORE,
    JUMP,
    JUMP_INDIRECT,
    LOOP,
    PLAIN,
    PUSH_FLAGS,
    REPEATED_STRING,
    RETURN,
    SYSCALL,
    TRUNCATED,
)
from procession.hardware.translation.opcodes import (
    CALL as DIRECT_CALL,
)
from procession.hardware.translation.page_code import PageCode
from procession.hardware.translation.price import (
    DEAR_OPCODES,
    PLAIN_PRICE,
    UNIT,
    is_exchange,
    price_of,
)

_LONGEST_TRACE: Final = 24
_LONGEST_BLOCK: Final = 64
_COPIED = (PLAIN, REPEATED_STRING, PUSH_FLAGS, FLOATING_STORE, APPROXIMATION)
_COUNTERS = (11, 10, 9, 8, 15, 14, 13, 12, 1, 2, 6, 7, 0, 3, 5)
"""Registers that may have the counter, those first which the ABI lets functions spoil."""
_REPEAT_PREFIX: Final = b"\xf3"
_COPIED_MARKS: Final = tuple(b"%c%c\0" % (length, length) for length in range(LONGEST_INSTRUCTION + 1))
"""The mark of an instruction that was copied as it is, by its length."""
_MOVES, _MOVES_SHIFT, _SEARCHES_SHIFT = (0xA4, 0xA5, 0xAA, 0xAB), 6, 4
"""How many repetitions count as a unit: of what moves and stores, and of what compares and loads."""


class Translator(Copier):
    """Puts units of guest code into a code cache."""

    __slots__ = ("is_counted",)

    # Units

    def translate(self, page: PageCode, pc: int) -> int:
        """Translate what begins at `pc` in a page, the first instruction wholly; where its code begins."""
        page.unfold()
        self._begin(pc, page.data)
        self.page = page
        self._trace(pc)
        self._trace_branch()
        self._end()
        return page.entries[pc]

    def translate_straddler(self, pc: int, code: bytes) -> int:
        """Translate the one instruction at `pc` that begins in one page and ends in the next; where it
        begins.
        """
        self._begin(pc, bytes(pc & 4095) + code)
        self.page = None
        entry = self.view + self.origin
        self._trace(pc)
        self._end()
        return entry

    def translate_step(self, pc: int, code: bytes) -> int:
        """Translate the one instruction at `pc` so that the code leaves behind it; where it begins.

        It's valid until the next code is translated, if the caller puts the cache's position back.
        """
        self._begin(pc, bytes(pc & 4095) + code)
        self.page = None
        self.single = True
        entry = self.view + self.origin
        self._trace(pc)
        self._end()
        self.single = False
        return entry

    def stanza(self, page: PageCode, pc: int) -> int:
        """Where the first table of indirect jumps shall lead to reach `pc`. 0 if the first instruction goes
        beyond the page.
        """
        page.unfold()
        known = page.stanzas.get(pc)
        if known is not None:
            return known
        main = page.entries.get(pc, 0)
        if not main and decode(page.data, pc & 4095).kind == TRUNCATED:
            return 0
        self._begin(pc, page.data)
        self.page = page
        page.stanzas[pc] = self._stanza(pc, main - self.view - self.origin if main else 0)
        if not main:
            self._trace(pc)
            self._trace_branch()
        self._end()
        return page.stanzas[pc]

    def _trace(self, pc: int) -> None:
        """Blocks in the order in which they follow each other."""
        out, page = self.out, self.page
        for _ in range(_LONGEST_TRACE):
            block = self.block = Block(self.origin + len(out), pc)
            if page is not None and not self.single:
                page.entries[pc] = self.view + self.origin + len(out)
                self.new_entries.append(pc)
            stubs, literals = len(self.stubs), len(self.literals)
            start = len(out)
            following = self._block(pc)
            if self.counter_register >= 0:
                # It loops, and there is a register for the counter: once more, with that.
                del out[start:], self.stubs[stubs:], self.literals[literals:]
                following = self._loop(pc, block)
            self.cache.add_block(block)
            if following < 0:
                return
            if page is None or following >> 12 != pc >> 12 or following in page.entries:
                self._jump(following)
                return
            pc = following
        self._jump(pc)

    def _trace_branch(self) -> None:
        """The blocks to which the unit's first jump leads whose target isn't translated yet. Every other one
        would be left for, and that takes as long as to translate three.
        """
        assert self.page is not None
        entries = self.page.entries
        for kind, target, _ in self.stubs:
            if kind == LINK and target not in entries:
                self._trace(target)
                return

    def _loop(self, pc: int, block: Block) -> int:
        """A block that jumps back to itself, with the counter in a register; where the unit goes on.

        The body has that in its registers when it faults, which the block's `counter_register` tells.
        """
        out, register = self.out, self.counter_register
        out += store(register, layout.LOOP_SAVED) + fetch(register, layout.COUNTER)
        block.start = self.origin + len(out)
        block.counter_register = register
        block.marks.clear()
        following = self._block(pc)
        self.counter_register = -1
        self._end_loop(register)
        return following

    def _end_loop(self, register: int) -> None:
        self.out += store(register, layout.COUNTER) + fetch(register, layout.LOOP_SAVED)

    def _block(self, pc: int) -> int:
        """Straight-line code, and the transfer at its end; where the unit goes on, or -1."""
        out, data, marks = self.out, self.data, self.block.marks
        find = self.known.find
        offset = first = pc - self.page_start
        end_of_data = len(data)
        used, price = 0, 0
        self.is_counted = False
        for _ in range(1 if self.page is None else _LONGEST_BLOCK):
            if offset == end_of_data:
                break
            instruction = find(data, offset)
            length = instruction.length
            used |= instruction.registers
            if instruction.is_ordinary:
                marks += _COPIED_MARKS[length]
                price += PLAIN_PRICE
                offset += length
                continue
            out += data[first:offset]
            first = offset + length
            pc = self.page_start + offset
            offset = first
            kind = instruction.kind
            self.target = target_of(instruction, data, first - length)
            start = len(out)
            if kind == TRUNCATED:
                if price >= UNIT:
                    self._count(price)
                if not marks and self.page is not None:
                    del self.page.entries[pc]
                self._jump(pc)
                return -1
            is_dear = instruction.opcode in DEAR_OPCODES or instruction.prefixes & LOCK
            price += price_of(instruction) if is_dear else PLAIN_PRICE
            raw = data[first - length : first]
            if is_dear and is_exchange(instruction):
                # What looks like a pause isn't one with r8, and not all processors say so.
                code = raw.replace(_REPEAT_PREFIX, b"")
                out += code
                marks += b"%c%c\0" % (length, len(code))
                continue
            if kind == PLAIN and not instruction.displacement and not instruction.prefixes & GS:
                out += raw
                marks += _COPIED_MARKS[length]
                continue
            if kind == REPEATED_STRING and not self.single:
                out += store(RCX, layout.SAVED_RCX)
                marks += b"\0%c\0" % (len(out) - start)
                start = len(out)
            if kind in _COPIED or (kind == DESCRIPTOR and is_harmless(instruction)):
                restoration = self._copy(instruction, raw, pc)
                if restoration < 0:
                    self._leave(ATTEND, pc)
                elif kind == REPEATED_STRING and not self.single:
                    self._count_repetitions(instruction)
                marks += b"%c%c%c" % (length, len(out) - start, max(restoration, 0))
                if restoration < 0:
                    return -1
                continue
            if kind in (EXTENDED_SAVE, EXTENDED_RESTORE):
                self._copy_extended(instruction, raw, pc)
                marks += b"%c%c%c" % (length, len(out) - start, THREE)
                continue
            self.used = used
            if price >= UNIT:
                self._count(price)
            return self._end_block(instruction, raw, pc)
        out += data[first:offset]
        if price >= UNIT:
            self._count(price)
        return self.page_start + offset

    def _end_block(self, instruction: Instruction, raw: bytes, pc: int) -> int:
        """The transfer at a block's end, with its marks; where the unit goes on, or -1."""
        out, marks = self.out, self.block.marks
        kind, length = instruction.kind, instruction.length
        if kind in (DIRECT_CALL, CALL_INDIRECT) and self._goes_on_at_call(pc):
            marks += b"%c%c\0" % (length, len(JUMP_AWAY))
            return -1
        start = len(out)
        following = self._transfer(instruction, raw, pc)
        end = len(out) if self.end < 0 else self.end
        restoration = SAVED if kind in (JUMP_INDIRECT, CALL_INDIRECT, RETURN) else 0
        if self.popped >= 0:
            # What takes the target from the stack, and what returns there.
            marks += b"\0%c%c" % (self.popped - start, SAVED)
            start, restoration, self.popped = self.popped, RETURNING, -1
        marks += b"%c%c%c" % (length, min(end - start, 255), restoration)
        self.end = -1
        return following

    # Counting what takes longer than a jump

    def _count(self, price: int) -> None:
        """At the end of a block whose instructions have that `price`, a unit or more: what is beyond a jump's
        unit.
        """
        if self.single or self.page is None:
            return
        out = self.out
        start = len(out)
        out += store(RCX, layout.SAVED_RCX) + fetch(RCX, layout.COUNTER)
        out += b"\x48\x8d\x89" + signed_32(-(price // UNIT))  # lea rcx, [rcx - units]
        out += store(RCX, layout.COUNTER) + b"\x48\x8d\x49\xff"  # lea rcx, [rcx - 1]
        self._settle_counter(self.block.pc)
        out += fetch(RCX, layout.SAVED_RCX)
        self.block.marks += b"\0%c\0" % (len(out) - start)

    def _count_repetitions(self, instruction: Instruction) -> None:
        """Behind a repeated string instruction, before which rcx was what SAVED_RCX has.

        What isn't done yet when it faults, and what was done before, counts when it's executed anew.
        """
        out, opcode = self.out, instruction.opcode
        out += store(RCX, layout.SCRATCH) + store(R11, layout.SAVED_R11)
        out += b"\x48\xf7\xd1" + fetch(R11, layout.SAVED_RCX)  # not rcx
        out += b"\x4a\x8d\x4c\x19\x01"  # lea rcx, [rcx + r11 + 1]
        shift = _MOVES_SHIFT if opcode in _MOVES else _SEARCHES_SHIFT
        out += set_register(R11, shift) + b"\xc4\xe2\xa3\xf7\xc9"  # shrx rcx, rcx, r11
        out += b"\x48\xf7\xd1" + fetch(R11, layout.COUNTER)  # not rcx
        out += b"\x4a\x8d\x0c\x19\x4c\x8d\x59\x01"  # lea rcx, [rcx + r11]; lea r11, [rcx + 1]
        out += store(R11, layout.COUNTER)
        self._settle_counter(self.block.pc)
        out += fetch(R11, layout.SAVED_R11) + fetch(RCX, layout.SCRATCH)

    def _settle_counter(self, pc: int) -> None:
        """See to it that the counter isn't spent when the code goes on: if it is, the machine gives out what
        is left anew, and comes back here.

        rcx is one less than it, and is lost. The flags stay as they are.
        """
        self.is_counted = True
        self.out += b"\x48\x0f\xc9\x0f\xb6\xc9\xe3\x05"  # bswap rcx; movzx ecx, cl; jrcxz +5
        self.out += JUMP_AWAY
        self.stubs.append((SETTLE, pc, len(self.out) - 4))

    # Transfers

    def _transfer(self, instruction: Instruction, raw: bytes, pc: int) -> int:
        """The end of a block."""
        out, kind = self.out, instruction.kind
        behind = (pc + instruction.length) % WORDS
        target = (pc + self.target) % WORDS
        if kind == CONDITIONAL:
            self._conditional(instruction.opcode & 15, target, pc)
            return behind
        if kind in (JUMP, DIRECT_CALL):
            if kind == DIRECT_CALL:
                if not self.single:
                    return self._call(behind, pc, target)
                self._push(behind)
            if target <= pc:
                self._counted_jump(target)
                return -1
            return target
        if kind == LOOP:
            out += raw[:-1] + b"\x02\xeb\0"
            over = len(out)
            if target <= pc:
                self._counted_jump(target)
            else:
                self._jump(target)
            out[over - 1] = len(out) - over
            return behind
        if kind in (JUMP_INDIRECT, CALL_INDIRECT):
            self._load_target(instruction, raw, pc)
            if kind == CALL_INDIRECT:
                if not self.single:
                    return self._call(behind, pc, 0)
                self._push(behind)
            self._indirect()
        elif kind == RETURN:
            out += store(RCX, layout.SAVED_RCX) + b"\x59"  # pop rcx
            if instruction.opcode == 0xC2:
                out += b"\x48\x8d\xa4\x24" + signed_32(instruction.immediate)  # lea rsp, [rsp + n]
                self._indirect()
            elif self.single or self.page is None:
                self._indirect()
            else:
                self._return()
        elif kind == SYSCALL:
            out += set_register(RCX, behind)
            self._jump_to_offset(self.cache.labels["call"])
        else:
            self._leave(ATTEND, pc)
        return -1

    def _goes_on_at_call(self, pc: int) -> bool:
        """Whether the code of the call at `pc` is there already, in a block that began before this one: then
        this one leads there. To each address there's one place alone where the host's processor expects
        returns that have it: from a second call none would come as expected.
        """
        page = self.page
        if page is None or self.single or pc == self.block.pc:
            return False
        out, entries = self.out, page.entries
        if pc not in entries:
            entries[pc] = self.view + self.origin + len(out)
            self.new_entries.append(pc)
            return False
        out += JUMP_AWAY
        self._link_within(pc)
        return True

    def _conditional(self, condition: int, target: int, pc: int) -> None:
        out = self.out
        if target == self.block.pc and not self.single and self._loop_back(condition, target):
            return
        if target <= pc and not self.single:
            out += b"\x0f%c\0\0\0\0" % (0x80 | condition ^ 1)
            over = len(out)
            self._counted_jump(target)
            out[over - 4 : over] = signed_32(len(out) - over)
            return
        out += b"\x0f%c\0\0\0\0" % (0x80 | condition)
        place = len(out) - 4
        if self.single:
            self.stubs.append((STEP, target, place))
        elif self.page is None or self._is_elsewhere(target):
            self.stubs.append((CROSS, target, place))
        else:
            self._link_within(target)

    def _loop_back(self, condition: int, target: int) -> bool:
        """The end of a block that goes back to its start, with the counter in a register. False if there is
        none yet; if one can be had, it is so from now on."""
        out, register, block = self.out, self.counter_register, self.block
        if self.is_counted:
            return False
        if register < 0:
            if self._are_flags_dead(target):
                self.counter_register = next((each for each in _COUNTERS if not self.used >> each & 1), -1)
            return False
        out += b"\x0f%c\0\0\0\0" % (0x80 | condition ^ 1)
        over = len(out)
        out += b"%c\xff%c" % (0x48 | register >> 3, 0xC8 | register & 7)  # dec register
        out += b"\x0f\x85" + signed_32(block.start - self.origin - len(out) - 6)  # jnz, to the start
        self._end_loop(register)
        self._leave(BUDGET, target)
        out[over - 4 : over] = signed_32(len(out) - over)
        return True

    def _load_target(self, instruction: Instruction, raw: bytes, pc: int) -> None:
        """rcx becomes where an indirect jump or call goes."""
        out = self.out
        prefix = b"\x64" if instruction.prefixes & FS else b""
        short = b"\x67" if instruction.prefixes & ADDRESS_SIZE else b""
        operand = raw[instruction.opcode_offset + 1 :]
        address = (pc + self.target) % (SHORT_WORDS if short else WORDS)
        out += store(RCX, layout.SAVED_RCX)
        if instruction.prefixes & GS and instruction.has_memory:
            if instruction.displacement:
                out += set_register(RCX, address)
            else:
                # lea rcx, operand
                modrm = operand[0] & 0xC7 | RCX << 3
                out += short + b"%c\x8d%c" % (0x48 | instruction.rex & 3, modrm) + operand[1:]
            # Its word at gs, by way of r11, which is back before the access that may fault.
            out += store(R11, layout.SAVED_R11) + fetch(R11, layout.GS_BASE)
            out += b"\x4a\x8d\x0c\x19" + fetch(R11, layout.SAVED_R11)  # lea rcx, [rcx + r11]
            out += b"\x48\x8b\x09"  # mov rcx, [rcx]
        elif instruction.displacement:
            here = self.view + self.origin + len(out) + 7 + len(prefix)
            if -NEAR < address - here < NEAR:
                out += prefix + b"\x48\x8b\x0d" + signed_32(address - here)
            else:
                out += set_register(RCX, address) + prefix + b"\x48\x8b\x09"
        else:
            out += (
                prefix
                + short
                + b"%c\x8b%c" % (0x48 | instruction.rex & 3, operand[0] & 0xC7 | RCX << 3)
                + operand[1:]
            )
