"""A stub process: starting it, handing over to it, and finding out how it fares."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import select
import signal
import weakref
from collections.abc import Sequence
from contextlib import suppress

from procession.abi.futex import FutexCommand
from procession.abi.mmap_flags import Advice
from procession.abi.syscall_numbers import name_of
from procession.abi.word import pack_u32, pack_u64
from procession.hardware.engines.native.budget import Budget
from procession.hardware.engines.native.image import BOOT, BOOT_BYTES, StubParts, make_image
from procession.hardware.engines.native.machine_code import StubUnavailable, address_of, map_code
from procession.hardware.engines.native.system_call_filter import (
    MAP_POPULATE,
    MAP_SHARED_FIXED,
    MMAP,
    MUNMAP,
)
from procession.hardware.physical_memory import PAGE_SIZE
from procession.hardware.translation import layout
from procession.hardware.translation.assembler import (
    CARRY,
    NOT_GREATER,
    R12,
    RAX,
    RDX,
    RSI,
    ZERO,
    Assembler,
    set_register,
    signed_32,
)
from procession.hardware.translation.code_cache import CodeCache

MAXIMUM_STUBS = 64
_NOT_ANSWERED, _ANSWERED_LATE = -1, -2
"""What a hand-over returns that had to sleep: instead of why the stub has come back, and less that."""
_ORDERS, _NUMBER, _LOOKS, _SLEEPER, PLACE, _STUB_LOOKS, _ANSWERED_AT, _BELL, _RINGS = range(9)
"""The words of the mailbox: the address of the orders, the last request's number, how long to look for its
answer, the address of the stub's word in ASLEEP, where the stub is to go on, how long the stub looks for the
next request, when the last answer came (all in the processor's ticks), the `struct pollfd` of the bell, and
how often that has rung.
"""
_LOOKING_TICKS = 24_000
"""How long the machine looks for an answer before it sleeps, in the processor's ticks: 6 to 12 us."""
_STUB_SHIFT = 2
"""A stub looks 1 << this times as long, as Python takes its time."""
_WAKING_SHIFT = 2
"""The machine looks 1 << this times as long for a stub that sleeps, as that has to be woken first."""
_MOST_PATIENCE = 64
_POLL, _FUTEX, _FUTEX_WAKE = 7, 202, int(FutexCommand.FUTEX_WAKE)
_NAP_MS = 1
"""How long who waits sleeps with Python's lock: that costs less than to give it up."""
_SHORT_WORK_TICKS = _LOOKING_TICKS << _STUB_SHIFT
"""If it works longer than that between an answer and a request, the stub may sleep."""
_WAIT_MS = 50
_STUCK_AFTER_MS = 30_000
"""No slice takes so long: a stub that doesn't answer has done away with its counter."""


class StubError(Exception):
    """The stub is no more. `has_begun` says whether it has run what it was asked to: if not, another can.
    `status` is what it exited with, if it did.
    """

    def __init__(self, reason: str, *, has_begun: bool = True, status: int = -1) -> None:
        super().__init__(reason)
        self.has_begun = has_begun
        self.status = status


class Processor:
    """The file that stubs share with the machine: one context, and for each stub its orders.

    `replies` is another file, which stubs have no mapping of: its first word is the request that was answered
    last, written by a system call.
    `general` are the live registers of whoever runs, `budget` what they may do, `words` the context's
    quadwords.
    `pointed` is the stub to which `hand_over` speaks, `earlier` the one before, `prompt` the same one as
    `pointed` if it answers while somebody looks. `looking` is how long the machine looks at present before it
    sleeps, in ticks, `sleeps` how often that was in vain; after it both sides sleep at once `patience` times,
    `until_try` of which are left.
    """

    __slots__ = (
        "bell_descriptor",
        "budget",
        "code",
        "context",
        "descriptor",
        "earlier",
        "extended",
        "free_slots",
        "general",
        "hand_over",
        "looking",
        "mailbox",
        "memory",
        "most_looking",
        "orders_descriptor",
        "patience",
        "pointed",
        "poller",
        "prompt",
        "replies",
        "reply_descriptor",
        "reply_words",
        "sleeps",
        "system_call",
        "until_try",
        "view",
        "words",
    )

    def __init__(self) -> None:
        size = layout.CONTEXT_BYTES + MAXIMUM_STUBS * layout.ORDERS_BYTES
        self.descriptor = self.orders_descriptor = self.reply_descriptor = self.bell_descriptor = -1
        self.descriptor = os.memfd_create("procession-processor")
        os.ftruncate(self.descriptor, size)
        self.orders_descriptor = os.open(f"/proc/self/fd/{self.descriptor}", os.O_RDONLY | os.O_CLOEXEC)
        self.memory = mmap.mmap(self.descriptor, size)
        self.view = memoryview(self.memory)
        self.context = self.view[: layout.CONTEXT_BYTES]
        self.words = self.context.cast("Q")
        self.general = self.context[:136].cast("Q")
        jumps, transfers = (
            self.context[offset : offset + 8].cast("q") for offset in (layout.COUNTER, layout.TRANSFERS)
        )
        self.budget = Budget(jumps, transfers)
        self.extended = self.context[layout.EXTENDED : layout.EXTENDED + layout.EXTENDED_BYTES]
        self.free_slots = list(range(MAXIMUM_STUBS - 1, -1, -1))
        self.reply_descriptor = os.memfd_create("procession-replies", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.reply_descriptor, mmap.PAGESIZE)
        fcntl.fcntl(self.reply_descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
        self.replies = mmap.mmap(self.reply_descriptor, mmap.PAGESIZE)
        self.reply_words = memoryview(self.replies).cast("I")
        self.bell_descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.poller = select.poll()
        self.poller.register(self.bell_descriptor, select.POLLIN)
        self.code, self.mailbox = _map_hand_over(
            address_of(self.memory),
            address_of(self.replies),
        )
        self.mailbox[_BELL] = self.bell_descriptor | select.POLLIN << 32
        self.hand_over = ctypes.PYFUNCTYPE(ctypes.c_int)(address_of(self.code) + _CODE_OFFSET)
        self.pointed: Stub | None = None
        self.earlier: Stub | None = None
        self.prompt: Stub | None = None
        self.most_looking = self.looking = _LOOKING_TICKS if _PROCESSORS > 1 else 0
        self.sleeps = 0
        self.patience = 1
        self.until_try = 0
        self.system_call = ctypes.CDLL(None, use_errno=True).syscall

    def orders_offset(self, slot: int) -> int:
        """Where in the file the orders of the stub with number `slot` are."""
        return layout.CONTEXT_BYTES + slot * layout.ORDERS_BYTES

    def orders(self, offset: int) -> memoryview[int]:
        """The orders that begin at `offset` in the file."""
        return self.view[offset : offset + layout.ORDERS_BYTES]

    def answered_late(self) -> None:
        """Looking again didn't help. Where others keep the host's processors busy it keeps them busier, and
        where the guest computes long it's in vain: so it's tried less and less often.
        """
        if self.looking:
            self.sleeps += 1
            self.prompt = None
            self.looking = 0
            self.patience = self.until_try = min(2 * self.patience, _MOST_PATIENCE)
        else:
            self._count_down()

    def answered_promptly(self) -> None:
        """An answer came while somebody looked, if only once, or while the stub was woken."""
        if self.looking:
            self.patience = max(self.patience >> 1, 1)
            if self.patience == 1:
                self.prompt = self.pointed
        else:
            self._count_down()

    def _count_down(self) -> None:
        self.until_try -= 1
        if self.until_try <= 0:
            # The stub sleeps until the next request wakes it: from then on both look.
            self.looking = self.most_looking

    def close(self) -> None:
        """Give back what the host has given."""
        for descriptor in (
            self.descriptor,
            self.orders_descriptor,
            self.reply_descriptor,
            self.bell_descriptor,
        ):
            if descriptor >= 0:
                os.close(descriptor)
        self.descriptor = self.orders_descriptor = self.reply_descriptor = self.bell_descriptor = -1

    def __del__(self) -> None:
        self.close()


_CODE_OFFSET = 128


def _map_hand_over(context: int, replies: int) -> tuple[mmap.mmap, memoryview[int]]:
    """Code that makes a request and waits briefly for its answer; and its mailbox.

    It returns why the stub has come back; less than that if it has slept for a moment; or NOT_ANSWERED, and
    then the stub will ring the bell. It's called with Python's lock, as giving that up costs more than a
    system call of the guest's should.
    """
    code = Assembler()

    def read_ticks() -> None:
        code.put("0f 31", "48 c1 e2 20", "48 09 d0")  # rdtsc; shl rdx, 32; or rax, rdx

    code.put("53", "41 54")  # push rbx; push r12
    code.address(R12, "mailbox")
    # Whether the stub looks for the next request or sleeps, by how long this one took to be made.
    read_ticks()
    code.put("49 2b 44 24 30", "49 8b 1c 24", "31 d2")  # sub rax, [r12 + 48]; mov rbx, [r12]; xor edx, edx
    code.put("48 3d", pack_u32(_SHORT_WORK_TICKS), "41 0f 42 54 24 28")  # cmp rax, ...; cmovb edx, [r12 + 40]
    code.put(b"\x89\x53%c" % (8 * _LOOKING))  # mov [rbx + looking], edx
    code.put("41 8b 44 24 08", "ff c0", "41 89 44 24 08")  # mov eax, [r12 + 8]; inc eax; mov [r12 + 8], eax
    code.put("89 c1", "49 8b 74 24 20", b"\x48\x89\x73%c" % (8 * _RESUME))  # mov ecx, eax; copy the place
    code.put("87 03")  # xchg [rbx], eax
    code.put("45 8b 4c 24 10", "49 8b 54 24 18")  # mov r9d, [r12 + 16]; mov rdx, [r12 + 24]
    code.put("48 be", pack_u64(replies))  # mov rsi, the reply's address
    code.put("83 3a 00")  # cmp dword [rdx], 0
    code.branch(ZERO, "begin")
    code.put("c7 02 00000000")  # mov dword [rdx], 0
    code.put("51", "56", "48 89 df")  # push rcx; push rsi; mov rdi, rbx
    code.put(set_register(RSI, _FUTEX_WAKE), set_register(RDX, 1), set_register(RAX, _FUTEX), "0f 05")
    code.put("5e", "59", b"\x41\xc1\xe1%c" % _WAKING_SHIFT)  # pop rsi; pop rcx; shl r9d, ...
    code.label("begin")
    code.put("0f 31", "41 89 c0")  # rdtsc; mov r8d, eax
    code.label("look")
    code.put("39 0e")  # cmp [rsi], ecx
    code.branch(ZERO, "answered")
    code.put("f3 90", "0f 31", "44 29 c0")  # pause; rdtsc; sub eax, r8d
    code.put("44 39 c8")  # cmp eax, r9d
    code.branch(CARRY, "look")
    # The stub looks at this after it has answered: so one of the two sees what the other one did.
    code.put(set_register(RAX, 1), b"\x87\x43%c" % (8 * _WAITING))  # mov eax, 1; xchg [rbx + waiting], eax
    code.label("sleep")
    code.put("39 0e")  # cmp [rsi], ecx
    code.branch(ZERO, "answered late")
    code.put("51", "56", "49 8d 7c 24 38")  # push rcx; push rsi; lea rdi, [r12 + 56]
    code.put(set_register(RSI, 1), set_register(RDX, _NAP_MS), set_register(RAX, _POLL), "0f 05")
    code.put("5e", "59", "85 c0")  # pop rsi; pop rcx; test eax, eax
    code.branch(NOT_GREATER ^ 1, "rung")
    code.put("39 0e")
    code.branch(ZERO, "answered late")
    code.put("83 c8 ff")  # or eax, -1
    code.jump("return")
    code.label("rung")
    # It may have rung for an answer that was found without.
    code.put("51", "56", "41 8b 7c 24 38", "49 8d 74 24 40")  # ...; mov edi, [r12 + 56]; lea ...
    code.put(set_register(RDX, 8), "31 c0", "0f 05", "5e", "59")  # mov edx, 8; xor eax, eax (read); syscall
    code.jump("sleep")
    code.label("answered late")
    code.put(b"\xc7\x43%c\0\0\0\0" % (8 * _WAITING))  # mov dword [rbx + waiting], 0
    code.put("48 be", pack_u64(context), b"\xb9", signed_32(_ANSWERED_LATE))  # mov rsi, ...; mov ecx, ...
    code.put("2b 8e", pack_u32(layout.EXIT))  # sub ecx, [rsi + exit]
    code.jump("note the time")
    code.label("answered")
    code.put("48 be", pack_u64(context))  # mov rsi, the context's address
    code.put("0f 0d 0e", "0f 0d 4e 40")  # prefetchw [rsi]; prefetchw [rsi + 64]
    code.put("0f 0d 8e 80000000", "0f 0d 8e c0000000")  # prefetchw [rsi + 128]; prefetchw [rsi + 192]
    code.put("8b 8e", pack_u32(layout.EXIT))  # mov ecx, [rsi + exit]
    code.label("note the time")
    read_ticks()
    code.put("49 89 44 24 30", "89 c8")  # mov [r12 + 48], rax; mov eax, ecx
    code.label("return")
    code.put("41 5c", "5b", "c3")  # pop r12; pop rbx; ret
    return map_code(code, _CODE_OFFSET)


class Stub:
    """One stub process. `tables` (the first, second and third, and that of returns) and `links` are its
    tables of jumps.
    """

    __slots__ = (
        "command_count",
        "finalizer",
        "is_alive",
        "links",
        "memory_descriptor",
        "orders",
        "orders_address",
        "orders_words",
        "pid",
        "processor",
        "sleeper_address",
        "slot",
        "tables",
    )

    def __init__(self, processor: Processor, cache: CodeCache, memory_descriptor: int) -> None:
        """Start it. Raises StubUnavailable."""
        self.processor = processor
        self.slot = slot = processor.free_slots.pop()
        start = processor.orders_offset(slot)
        self.orders = orders = processor.orders(start)
        self.orders_words = orders.cast("Q")

        def table(offset: int, entries: int = 1 << 16) -> memoryview:
            offset -= layout.ORDERS
            return orders[offset : offset + 8 * entries].cast("Q")

        self.tables = [table(layout.FIRST_TABLE + (number << 19)) for number in range(3)]
        self.tables.append(table(layout.RETURN_TABLE, layout.RETURN_PLACES))
        self.links = table(layout.LINKS, layout.MAXIMUM_LINKS)
        self.command_count = 0
        sleeps = layout.ASLEEP + 4 * slot
        base = address_of(processor.memory)
        self.orders_address, self.sleeper_address = base + start, base + sleeps
        words = self.orders_words
        words[_LOOKING] = processor.most_looking << _STUB_SHIFT
        words[(layout.SLOT - layout.ORDERS) >> 3] = sleeps
        words[_RESUME] = words[_COUNT] = 0
        words[_VALUE] = words[_WAITING] = 1
        words[_TURN] = layout.ITS_TURN
        mailbox = processor.mailbox
        words[0] = mailbox[_NUMBER] = (mailbox[_NUMBER] + 1) & 0xFFFF_FFFF
        try:
            self.pid, self.memory_descriptor, calls = _spawn(processor, cache, memory_descriptor, start)
        except StubUnavailable:
            processor.free_slots.append(slot)
            raise
        self.is_alive = True
        # Its orders are its alone and go when it does; objects of compiled classes have no weak references.
        self.finalizer = weakref.finalize(orders, _end, self.pid, os.getpid())
        self.point_mailbox()
        try:
            self._await()
        except StubError as error:
            reason = str(error)
            if 0 < error.status <= len(calls):
                reason = f"the host refused a stub its {name_of(calls[error.status - 1])}"
            raise StubUnavailable(reason) from error
        self.unmap(BOOT, BOOT_BYTES)

    def point_mailbox(self) -> None:
        """Let `hand_over` speak to this stub."""
        processor = self.processor
        last, earlier = processor.pointed, processor.earlier
        if earlier is not None and earlier is not self:
            earlier.orders_words[_TURN] = layout.TURN_OVER
        if last is not None:
            # It may be spoken to next, but leaves the host's processor to this one.
            last.orders_words[_TURN] = layout.NEXT_TURN
        processor.earlier = last
        self.orders_words[_TURN] = layout.ITS_TURN
        mailbox = processor.mailbox
        mailbox[_ORDERS] = self.orders_address
        mailbox[_SLEEPER] = self.sleeper_address
        processor.pointed = self
        processor.prompt = self if processor.looking and processor.patience == 1 else None

    def fill_tables(self, values: Sequence[int]) -> None:
        """Let each table of indirect jumps have one of `values` everywhere, and that of returns nothing."""
        start = self.processor.orders_offset(self.slot) - layout.ORDERS
        advise, filled = self.processor.memory.madvise, layout.LINKS - layout.FIRST_TABLE
        advise(mmap.MADV_REMOVE, start + layout.RETURN_TABLE, 8 * layout.RETURN_PLACES)
        with suppress(OSError):
            # The host's memory at once, where it can do that (Linux 5.14), costs less than page by page.
            advise(int(Advice.MADV_POPULATE_WRITE), start + layout.FIRST_TABLE, filled)
        for table, value in zip(self.tables, values, strict=False):
            table[0], count = value, 1
            while count < len(table):
                table[count : 2 * count] = table[:count]
                count *= 2

    def map(self, address: int, length: int, protection: int, offset: int) -> None:
        """Have the stub map the machine's memory at `offset`, before it goes on."""
        flags = MAP_SHARED_FIXED | MAP_POPULATE
        self._command(MMAP, address, length, protection, flags, self.memory_descriptor, offset)

    def map_touched(self, address: int, protection: int, offset: int) -> None:
        """As `map` for the one page that the stub touches first when it goes on: that it's looked up then is
        enough. It's spelt out, as it's ordered at most faults.
        """
        count = self.command_count
        at = _COMMANDS + count * _COMMAND_WORDS
        words = self.orders_words
        words[at] = MMAP
        words[at + 1] = address
        words[at + 2] = PAGE_SIZE
        words[at + 3] = protection
        words[at + 4] = MAP_SHARED_FIXED
        words[at + 5] = self.memory_descriptor
        words[at + 6] = offset
        self.command_count = words[_COUNT] = count + 1
        if count + 1 == layout.MAXIMUM_COMMANDS:
            with suppress(StubError):
                self.hand_over(0)

    def unmap(self, address: int, length: int) -> None:
        """Have the stub unmap pages before it goes on."""
        self._command(MUNMAP, address, length, 0, 0, 0, 0)

    def _command(
        self, number: int, first: int, second: int, third: int, fourth: int, fifth: int, sixth: int
    ) -> None:
        """Have the stub make a system call before it goes on."""
        count = self.command_count
        at = _COMMANDS + count * _COMMAND_WORDS
        words = self.orders_words
        words[at] = number
        words[at + 1] = first
        words[at + 2] = second
        words[at + 3] = third
        words[at + 4] = fourth
        words[at + 5] = fifth
        words[at + 6] = sixth
        self.command_count = words[_COUNT] = count + 1
        if count + 1 == layout.MAXIMUM_COMMANDS:
            # If that ends the stub, its next hand-over tells.
            with suppress(StubError):
                self.hand_over(0)

    def hand_over(self, resume: int) -> int:
        """Let the stub obey, and run on at `resume` unless that is 0; why it has come back.

        Raises StubError.
        """
        if not self.is_alive:
            raise StubError("the stub has ended", has_begun=False)
        processor = self.processor
        if processor.pointed is not self:
            self.point_mailbox()
        mailbox = processor.mailbox
        mailbox[PLACE] = resume
        mailbox[_LOOKS], mailbox[_STUB_LOOKS] = processor.looking, processor.looking << _STUB_SHIFT
        why: int = processor.hand_over()
        if why < 0:
            why = self.answered_late(why)
        else:
            processor.answered_promptly()
        return self.obeyed(why) if self.command_count else why

    def obeyed(self, why: int) -> int:
        """The stub has come back after commands; why. Raises StubError."""
        self.orders_words[_COUNT] = self.command_count = 0
        if why == layout.COMMAND_FAILED:
            processor = self.processor
            number = processor.words[layout.COMMAND_RESULT >> 3]
            self.end()
            # There may be too many of them. Another stub has none yet.
            reason = f"the host refused a mapping: {os.strerror(-number & 0xFFFF)}"
            raise StubError(reason, has_begun=False)
        return why

    def answered_late(self, answer: int) -> int:
        """A hand-over has given the negative `answer`: sleep on if there's none yet; why the stub has come
        back. Raises StubError.
        """
        processor = self.processor
        if answer == _NOT_ANSWERED:
            self._await()
            why: int = processor.words[layout.EXIT >> 3]
        else:
            why = _ANSWERED_LATE - answer
        processor.answered_late()
        return why

    def _await(self) -> None:
        """Wait until the stub answers. Raises StubError if it ends or doesn't."""
        processor = self.processor
        asked = ctypes.c_void_p(self.orders_address)
        processor.system_call(_FUTEX, asked, _FUTEX_WAKE, 1, None, None, 0)
        waited_ms = 0
        while processor.reply_words[0] != processor.mailbox[_NUMBER]:
            if processor.poller.poll(_WAIT_MS):
                # It may have rung for an answer that was found without.
                os.eventfd_read(processor.bell_descriptor)
                continue
            self._check_alive()
            waited_ms += _WAIT_MS
            if waited_ms > _STUCK_AFTER_MS:
                self.end()
                raise StubError("the stub doesn't answer")
        self.orders_words[_WAITING] = 0

    def _check_alive(self) -> None:
        try:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            ended, status = self.pid, 0
        if ended:
            self._gone()
            processor = self.processor
            has_begun = processor.words[layout.TAKEN >> 3] & 0xFFFF_FFFF == processor.mailbox[_NUMBER]
            code = os.waitstatus_to_exitcode(status)
            how = f"with status {code}" if code >= 0 else f"by signal {-code}"
            raise StubError(f"the stub ended {how}", has_begun=has_begun, status=code)

    def end(self) -> None:
        """End the process, and have its number free for another."""
        if self.is_alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(self.pid, 0)
            self._gone()

    def _gone(self) -> None:
        self.is_alive = False
        self.finalizer.detach()
        if self.processor.pointed is self:
            self.processor.pointed = self.processor.prompt = None
        elif self.processor.earlier is self:
            self.processor.earlier = None
        self.command_count = 0
        self.processor.free_slots.append(self.slot)


_PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
_RESUME, _COUNT, _DESCRIPTORS, _VALUE, _LOOKING, _WAITING, _TURN, _COMMANDS = (
    (layout.RESUME - layout.ORDERS) >> 3,
    (layout.COMMAND_COUNT - layout.ORDERS) >> 3,
    (layout.REPLY_DESCRIPTOR - layout.ORDERS) >> 3,
    (layout.BELL_VALUE - layout.ORDERS) >> 3,
    (layout.LOOKING - layout.ORDERS) >> 3,
    (layout.WAITING - layout.ORDERS) >> 3,
    (layout.TURN - layout.ORDERS) >> 3,
    (layout.COMMANDS - layout.ORDERS) >> 3,
)
_COMMAND_WORDS = layout.COMMAND_BYTES >> 3


def _spawn(
    processor: Processor, cache: CodeCache, memory_descriptor: int, orders_offset: int
) -> tuple[int, int, list[int]]:
    """Start the process; its pid, its descriptor of the machine's memory, and the numbers of the system calls
    that it begins with. Raises StubUnavailable.
    """
    if memory_descriptor < 0:
        raise StubUnavailable("the machine's memory isn't a file")
    image_descriptor = code_descriptor = -1
    try:
        image_descriptor = os.memfd_create("procession-stub", os.MFD_CLOEXEC)
        code_descriptor = os.open(f"/proc/self/fd/{cache.descriptor}", os.O_RDONLY | os.O_CLOEXEC)
        sources = (
            memory_descriptor,
            processor.reply_descriptor,
            processor.bell_descriptor,
            code_descriptor,
            processor.descriptor,
            processor.orders_descriptor,
        )
        first = max(*sources, image_descriptor) + 1
        parts = StubParts(
            memory=first,
            reply=first + 1,
            bell=first + 2,
            cache=first + 3,
            context=first + 4,
            orders=first + 5,
            orders_offset=orders_offset,
            parent_pid=os.getpid(),
            answer=cache.labels["answer"],
            on_signal=cache.labels["on_signal"],
        )
        image, calls = make_image(parts)
        os.write(image_descriptor, image)
        processor.orders(orders_offset).cast("Q")[_DESCRIPTORS] = parts.reply | parts.bell << 32
        actions = [(os.POSIX_SPAWN_DUP2, source, first + place) for place, source in enumerate(sources)]
        path = f"/proc/self/fd/{image_descriptor}"
        return os.posix_spawn(path, ["procession-stub"], {}, file_actions=actions, setpgroup=0), first, calls
    except OSError as error:
        raise StubUnavailable(f"no process can be started from memory: {error.strerror}") from error
    finally:
        for descriptor in (image_descriptor, code_descriptor):
            if descriptor >= 0:
                os.close(descriptor)


def _end(pid: int, creator: int) -> None:
    """A stub that nobody ended goes with the object."""
    if os.getpid() == creator:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
