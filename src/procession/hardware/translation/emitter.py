"""The parts of a unit that aren't the guest's: jumps between units, the tables of indirect ones, ways out.

Each unit of work is counted here: a backward direct jump, or an indirect transfer.
"""

from __future__ import annotations

from typing import Final

from procession.abi.word import Words
from procession.hardware.translation import layout
from procession.hardware.translation.assembler import (
    RCX,
    fetch,
    signed_32,
    store,
    store_constant,
    unsigned_64,
)
from procession.hardware.translation.code_cache import (
    BUDGET,
    CROSS,
    LINK,
    SETTLE,
    STEP,
    STEP_INDIRECT,
    Block,
    CodeCache,
)
from procession.hardware.translation.decode import (
    LONGEST_INSTRUCTION,
    decode,
)
from procession.hardware.translation.known_instructions import KnownInstructions, target_of
from procession.hardware.translation.opcodes import (
    CALL as DIRECT_CALL,
)
from procession.hardware.translation.opcodes import (
    CARRY,
    JUMP,
    PLAIN,
    STATUS_FLAGS,
    TRUNCATED,
)
from procession.hardware.translation.page_code import PageCode

_LEAVE = Words("<9sIBi")
_LONGEST_EXIT: Final = _LEAVE.size + len(fetch(RCX, layout.SAVED_RCX))
_LITERAL_BYTES: Final = 8
_STORE_EXIT: Final = store_constant(layout.EXIT, 0)[:-4]
_JUMP: Final = 0xE9
JUMP_AWAY: Final = b"\xe9\0\0\0\0"
"""jmp, to where the last four bytes are going to say"""
_JUMP_IF_ZERO: Final = b"\x0f\x84\0\0\0\0"
_JUMP_UNLESS_ZERO: Final = b"\x0f\x85\0\0\0\0"
_COUNT: Final = b"\x65\x48\xff\x0c\x25" + signed_32(layout.COUNTER)
"""dec qword gs:[counter]"""
_COUNT_TRANSFER: Final = b"\x65\x48\xff\x0c\x25" + signed_32(layout.TRANSFERS) + _JUMP_IF_ZERO
"""dec qword gs:[transfers]; jz"""
_FLAGS_SOUGHT: Final = 12
_COUNTED_FLAGS: Final = STATUS_FLAGS & ~CARRY
NEAR: Final = (1 << 31) - (1 << 27)
SIGNED_END: Final = 1 << 31
_LOWER: Final = (1 << 32) - 1
SPENT: Final = 0x100
"""The kind of `stubs` beside those of exits: a budget is spent, and rcx is in SAVED_RCX."""


class Emitter:
    """Puts code into a code cache, one unit at a time. `out` is the unit so far, which is going to be at
    `origin` in the cache and executed at `view` and that; `stubs` are jumps to what is put elsewhere,
    `literals` the numbers there, and `thunks` what calls go through: the address behind the call, its own,
    the target (0: it's in rcx) and the place of the jump. `new_pads` are where calls return to, by address,
    and `new_entries` the addresses of the blocks that have come since somebody asked;
    where the one behind a transfer begins is `end`, or -1; where a return has popped its target is `popped`,
    or -1; `target` is the present instruction's. `page` is
    the page's code, or None for a unit that doesn't belong to one page; `single` says that it's one
    instruction, behind which the code leaves. `known` finds instructions.
    """

    __slots__ = (
        "block",
        "cache",
        "counter_register",
        "data",
        "end",
        "known",
        "literals",
        "new_entries",
        "new_pads",
        "origin",
        "out",
        "page",
        "page_start",
        "popped",
        "single",
        "stubs",
        "target",
        "thunks",
        "used",
        "view",
    )

    def __init__(self, cache: CodeCache) -> None:
        self.cache = cache
        self.known = KnownInstructions()
        self.out = bytearray()
        self.data = b""
        self.page: PageCode | None = None
        self.page_start = 0
        self.origin = 0
        self.view = 0
        self.single = False
        self.block = Block(0, 0)
        self.counter_register = -1
        self.used = 0
        self.end = -1
        self.popped = -1
        self.target = 0
        self.stubs: list[tuple[int, int, int]] = []
        self.literals: list[tuple[int, int]] = []
        self.thunks: list[tuple[int, int, int, int]] = []
        self.new_pads: list[tuple[int, int]] = []
        self.new_entries: list[int] = []

    def straddler_stanza(self, pc: int, main: int) -> int:
        """The same for an instruction in two pages, whose code begins at `main`."""
        self._begin(pc, b"")
        self.page = None
        address = self._stanza(pc, main - self.view - self.origin)
        self._end()
        return address

    def further_stanza(self, pc: int, first: int, otherwise: str) -> int:
        """Where the second or third table shall lead, whose first table's stanza is `first`; who isn't meant
        for `pc` goes on at a label of the runtime.
        """
        self._begin(pc, b"")
        address = self.view + self.origin
        self._compare(pc, otherwise)
        # Behind the comparison, which is as long as this one.
        self._jump_to_offset(first - self.view + len(self.out))
        self._end()
        return address

    def make_link_stub(self, target: int, number: int) -> int:
        """The code to which link `number` leads as long as it isn't resolved; its offset in the cache."""
        self._begin(target, b"")
        self._leave(CROSS, target, number)
        start = self.origin
        self._end()
        return start

    def _begin(self, pc: int, data: bytes) -> None:
        self.data = data
        self.page_start = pc & ~4095
        self.origin = self.cache.position
        self.view = view_of(pc)
        self.out = bytearray()

    def _end(self) -> None:
        """Put all into the cache: calls' thunks behind the rest, and elsewhere what is rarely executed."""
        cache, out, stubs = self.cache, self.out, self.stubs
        for behind, pc, target, place in self.thunks:
            out[place : place + 4] = signed_32(len(out) - place - 4)
            self._thunk(behind, pc, target)
        for kind, pc, place in stubs:
            if kind == CROSS:
                out[place : place + 4] = signed_32(len(out) - place - 4)
                self._cross(pc)
        origin = self.origin
        if self.literals:
            self._put_literals()
        assert cache.add(out) == origin
        cache.make_cold_room(_LONGEST_EXIT * len(stubs))
        self.origin = cache.cold_position
        self.out = cold = bytearray()
        entries = {} if self.page is None else self.page.entries
        for kind, pc, place in stubs:
            if kind == CROSS:
                continue
            if kind == LINK and pc in entries:
                # It was translated behind the jump.
                out[place : place + 4] = signed_32(entries[pc] - self.view - origin - place - 4)
                continue
            out[place : place + 4] = signed_32(self.origin + len(cold) - origin - place - 4)
            if kind == SPENT:
                cold += fetch(RCX, layout.SAVED_RCX)
            at = {LINK: place, SETTLE: place + 4}.get(kind)
            self._leave(BUDGET if kind == SPENT else kind, pc, 0 if at is None else origin + at)
        cache.put(origin, out)
        cache.add_cold(cold)
        self.thunks = []
        self.stubs = []
        self.page = None

    def _put_literals(self) -> None:
        """Numbers, right behind the code that reads them, which is executed as often."""
        out = self.out
        out += bytes(-(self.origin + len(out)) % _LITERAL_BYTES)
        for value, place in self.literals:
            out[place : place + 4] = signed_32(len(out) - place - 4)
            out += unsigned_64(value)
        self.literals = []

    def _indirect(self) -> None:
        """Go to where rcx points; SAVED_RCX has what it was."""
        out = self.out
        if self.single:
            out += store(RCX, layout.TARGET) + fetch(RCX, layout.SAVED_RCX)
            self._leave(STEP_INDIRECT, 0)
            return
        # By way of no other register, for which the next transfer would wait.
        out += store(RCX, layout.TARGET) + b"\x0f\xb7\xc9"  # movzx ecx, cx
        out += b"\x65\xff\x24\xcd" + signed_32(layout.FIRST_TABLE)  # jmp gs:[table + rcx * 8]

    def _return(self) -> None:
        """Return to rcx, which was popped; SAVED_RCX has what it was. The host's processor returns too, to
        where it expects: what it takes from the guest's stack is pushed right before, and the code there puts
        back what was in that place, looks whether it's meant, and counts. Between the two nothing may be
        stored, as the guest's stack may lie anywhere.

        It's here and not in one place for all, as a processor that expects nothing any more guesses by where
        it is.
        """
        out, cache = self.out, self.cache
        self.popped = len(out)
        out += store(RCX, layout.TARGET)
        if cache.return_bits == layout.FEWER_RETURN_BITS:
            out += b"\xc4\xe3\xfb\xf0\xc9\x03\x0f\xb7\xc9"  # rorx rcx, rcx, 3; movzx ecx, cx
        else:
            bits = cache.labels["return_bits"] - self.origin - len(out) - 9
            out += b"\xc4\xe2\xf2\xf5\x0d" + signed_32(bits)  # pext rcx, rcx, [rip + bits]
        out += b"\x65\xff\x34\xcd" + signed_32(layout.RETURN_TABLE)  # push gs:[table + rcx * 8]
        out += fetch(RCX, layout.TARGET) + b"\xc3"  # ...; ret

    def _call(self, behind: int, pc: int, target: int) -> int:
        """Call `target`, or where rcx points if that is 0, by a call of the host's processor, so that it
        expects the return. What it pushes is replaced at once by the guest's return address. Where the unit
        goes on, or -1.
        """
        out = self.out
        out += b"\xe8\0\0\0\0"
        self.thunks.append((behind, pc, target, len(out) - 4))
        is_elsewhere = self._is_elsewhere(behind)
        pad = self._pad(behind)
        if is_elsewhere:
            # Another page's code isn't this one's to lead to, but the host expects the return here.
            self._cross(behind)
            return -1
        assert self.page is not None
        self.page.pads[behind] = pad
        return behind

    def _thunk(self, behind: int, pc: int, target: int) -> None:
        """Where a call of the host's processor leads."""
        out = self.out
        if behind < SIGNED_END:
            out += b"\x48\xc7\x04\x24" + signed_32(behind)  # mov qword [rsp], behind
        else:
            out += b"\x48\x8d\x64\x24\x08"  # lea rsp, [rsp + 8]
            self._push(behind)
        if not target:
            self._indirect()
        elif target <= pc:
            self._counted_jump(target)
        else:
            self._jump(target)

    def _pad(self, pc: int) -> int:
        """Where a return comes that has the place of one to `pc`, right behind the call: [rsp - 8], where the
        host's address was, is as it was before; whether `pc` is meant, rcx tells. It's counted here. Its
        address.
        """
        out = self.out
        self.end = len(out)
        address = self.view + self.origin + self.end
        self.new_pads.append((pc, address))
        out += b"\x48\x89\x4c\x24\xf8"  # mov [rsp - 8], rcx
        is_dead = self._are_flags_dead(pc)
        self._see_whether(pc, "returned", where_spent=not is_dead)
        spent = len(out) - len(JUMP_AWAY)
        if is_dead:
            self._count_transfer(pc)
        else:
            self._count_transfer_in_rcx()
            out += b"\xe3%c" % (spent - len(out) - 2 & 0xFF)  # jrcxz, to where it's spent
        out += fetch(RCX, layout.SAVED_RCX)
        return address

    def _count_transfer(self, pc: int) -> None:
        """Count an indirect transfer to `pc`, which doesn't look at the flags."""
        out = self.out
        out += _COUNT_TRANSFER
        self.stubs.append((SPENT, pc, len(out) - 4))

    def _count_transfer_in_rcx(self) -> None:
        """Count an indirect transfer; rcx is what is left."""
        out = self.out
        out += fetch(RCX, layout.TRANSFERS) + b"\x48\x8d\x49\xff" + store(RCX, layout.TRANSFERS)

    def _push(self, value: int) -> None:
        """Push a return address."""
        out = self.out
        if value < SIGNED_END:
            out += b"\x68" + signed_32(value)
        else:
            out += b"\xff\x35\0\0\0\0"
            self.literals.append((value, len(out) - 4))

    def _is_elsewhere(self, target: int) -> bool:
        """Whether what is at `target` isn't wholly in this page, so that its code isn't the page's alone."""
        if self.page is None or target & ~4095 != self.page_start:
            return True
        offset = target & 4095
        return offset > 4096 - LONGEST_INSTRUCTION and decode(self.data, offset).kind == TRUNCATED

    def _jump(self, target: int) -> None:
        """Go to `target`, which isn't counted."""
        if self.single:
            self._leave(STEP, target)
            return
        if self._is_elsewhere(target):
            self._cross(target)
            return
        self.out += JUMP_AWAY
        self._link_within(target)

    def _link_within(self, target: int) -> None:
        """Let the jump that was just put lead to `target`, which is in this page."""
        assert self.page is not None
        out = self.out
        known = self.page.entries.get(target)
        if known is None:
            self.stubs.append((LINK, target, len(out) - 4))
        else:
            out[-4:] = signed_32(known - self.view - self.origin - len(out))

    def _counted_jump(self, target: int) -> None:
        """Go to `target` and count a unit; with the last one the code leaves."""
        if self.single:
            self._leave(STEP, target)
            return
        out = self.out
        if self._are_flags_dead(target):
            out += _COUNT
            if self._is_elsewhere(target):
                out += _JUMP_IF_ZERO
                self.stubs.append((BUDGET, target, len(out) - 4))
                self._jump(target)
                return
            out += _JUMP_UNLESS_ZERO
            self._link_within(target)
            out += JUMP_AWAY
            self.stubs.append((BUDGET, target, len(out) - 4))
            return
        out += store(RCX, layout.SAVED_RCX) + fetch(RCX, layout.COUNTER)
        out += b"\x48\x8d\x49\xff" + store(RCX, layout.COUNTER) + b"\xe3\0"  # lea rcx, [rcx - 1]; jrcxz
        over = len(out)
        out += fetch(RCX, layout.SAVED_RCX)
        self._jump(target)
        out[over - 1] = len(out) - over
        out += JUMP_AWAY
        self.stubs.append((SPENT, target, len(out) - 4))

    def _are_flags_dead(self, pc: int) -> bool:
        """Whether what is at `pc` in this page sets all flags that counting changes before it reads any."""
        page = self.page
        if page is None or pc & ~4095 != self.page_start:
            return False
        known = page.dead.get(pc)
        if known is None:
            known = page.dead[pc] = find_dead_flags(page.data, pc & 4095, self.known)
        return known

    def _cross(self, target: int) -> None:
        """Go to another page, by this space's table of links."""
        self.out += b"\x65\xff\x24\x25" + signed_32(layout.LINKS + 8 * self._link(target))

    def _link(self, target: int) -> int:
        number = self.cache.link(target)
        return self.cache.add_link(target) if number is None else number

    def _leave(self, kind: int, pc: int, place: int = 0) -> None:
        """Leave for the machine."""
        out = self.out
        number = self.cache.add_exit(kind, pc, place)
        behind = self.origin + len(out) + _LEAVE.size
        out += _LEAVE.pack(_STORE_EXIT, number, _JUMP, self.cache.labels["leave"] - behind)

    def _jump_to_offset(self, offset: int) -> None:
        """Go to an offset in the cache."""
        out = self.out
        out += b"\xe9" + signed_32(offset - self.origin - len(out) - 5)

    def _stanza(self, pc: int, main: int) -> int:
        """Whoever comes by the table may be meant for another address with the same low bits. If not, count
        and go on at `main`, an offset from here, or behind this if that is 0.
        """
        out = self.out
        is_dead = self._are_flags_dead(pc)
        if not is_dead:
            out += JUMP_AWAY
            self.stubs.append((SPENT, pc, len(out) - 4))
        address = self.view + self.origin + len(out)
        self._compare(pc, "second_probe")
        if is_dead:
            self._count_transfer(pc)
        else:
            self._count_transfer_in_rcx()
            out += b"\xe3%c" % (-(len(out) + 2) & 0xFF)  # jrcxz, to the start
        out += fetch(RCX, layout.SAVED_RCX)
        if main:
            out += b"\xe9" + signed_32(main - len(out) - 5)
        return address

    def _compare(self, pc: int, otherwise: str) -> None:
        """Compare TARGET with `pc`, and go on at a label of the runtime if it's something else."""
        self.out += fetch(RCX, layout.TARGET)
        self._see_whether(pc, otherwise)

    def _see_whether(self, pc: int, otherwise: str, *, where_spent: bool = False) -> None:
        """See whether rcx, which is lost, is `pc`, and go on at a label of the runtime if not. If
        `where_spent` is wanted, there's a jump right before what comes next, which is for a spent budget.
        """
        out = self.out
        low = (-pc & _LOWER ^ SIGNED_END) - SIGNED_END
        out += b"\x48\x8d\x89" + signed_32(low)  # lea rcx, [rcx + low]
        upper = pc + low >> 32
        if upper:
            out += b"\xc4\xe3\xfb\xf0\xc9\x20\x48\x8d\x89" + signed_32(-upper)  # rorx rcx, rcx, 32; lea ...
        # jrcxz, over the jumps
        out += b"\xe3%c" % (len(JUMP_AWAY) << where_spent)
        self._jump_to_offset(self.cache.labels[otherwise])
        if where_spent:
            out += JUMP_AWAY
            self.stubs.append((SPENT, pc, len(out) - 4))


def view_of(pc: int) -> int:
    """At which of its addresses the code cache has the code for `pc`."""
    return layout.LOW_VIEW if -NEAR < pc - layout.LOW_VIEW < NEAR else layout.HIGH_VIEW


def find_dead_flags(data: bytes, offset: int, known: KnownInstructions) -> bool:
    """Whether code sets all flags but CF before it reads one, branches, or leaves its page."""
    needed = _COUNTED_FLAGS
    for _ in range(_FLAGS_SOUGHT):
        if not 0 <= offset < len(data):
            return False
        instruction = known.find(data, offset)
        if instruction.kind in (JUMP, DIRECT_CALL):
            offset += target_of(instruction, data, offset)
            continue
        if instruction.kind != PLAIN or instruction.flags_read & needed:
            return False
        needed &= ~(instruction.flags_written | instruction.flags_undefined)
        if not needed:
            return True
        offset += instruction.length
    return False
