"""A stub process: starting it, handing over to it, and finding out how it fares."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import select
import signal
import weakref
from array import array
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from procession.abi.mmap_flags import Advice
from procession.abi.syscall_numbers import name_of
from procession.hardware.engines.native.budget import Budget
from procession.hardware.engines.native.hand_over import (
    ANSWERED_LATE,
    BEFORE,
    BELL,
    CODE_OFFSET,
    FUTEX,
    FUTEX_WAKE,
    KEPT,
    LOOKING_TICKS,
    LOOKS,
    NOT_ANSWERED,
    NUMBER,
    ORDERS,
    PLACE,
    SLEEPER,
    STUB_LOOKS,
    STUB_SHIFT,
    map_hand_over,
)
from procession.hardware.engines.native.image import BOOT, BOOT_BYTES, StubParts, make_image
from procession.hardware.engines.native.machine_code import StubUnavailable, address_of
from procession.hardware.engines.native.system_call_filter import (
    MAP_POPULATE,
    MAP_SHARED_FIXED,
    MMAP,
    MUNMAP,
)
from procession.hardware.physical_memory import PAGE_SIZE
from procession.hardware.translation import layout
from procession.hardware.translation.code_cache import CodeCache

MAXIMUM_STUBS: Final = 64
_MOST_PATIENCE: Final = 64
_WAIT_MS: Final = 50
_STUCK_AFTER_MS: Final = 30_000
"""No slice takes so long: a stub that doesn't answer has done away with its counter."""
_MOST_BYTES: Final = MAXIMUM_STUBS * (5 << 20)
"""For the tables of all stubs. Large programs, as gcc is, fill about as much."""
_BLOCK_BYTES: Final = 512
_PROTECTIONS: Final = 4
"""A guest's page can be read and written, or one of both, or neither."""


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

    `bell_descriptor` is an eventfd that all have: its signal is the low bits of the request that was answered
    last. So who answers writes nothing that another could map, at a third of what a write to a file costs.
    `general` are the live registers of whoever runs, `budget` what they may do, `words` the context's
    quadwords.
    `hand_over` is for code that goes on, `begin` for code that begins if there's budget; `before` is what the
    two counters were.
    `pointed` is the stub to which these speak, `earlier` the one before, `prompt` the same one as
    `pointed` if it answers while somebody looks. `looking` is how long the machine looks at present before it
    sleeps, in ticks, `sleeps` how often that was in vain; after it both sides sleep at once `patience` times,
    `until_try` of which are left.
    """

    __slots__ = (
        "before",
        "begin",
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
        "sleeps",
        "system_call",
        "until_try",
        "view",
        "words",
    )

    def __init__(self) -> None:
        size = layout.CONTEXT_BYTES + MAXIMUM_STUBS * layout.ORDERS_BYTES
        self.descriptor = self.orders_descriptor = self.bell_descriptor = -1
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
        self.bell_descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.poller = select.poll()
        self.poller.register(self.bell_descriptor, select.POLLIN)
        self.code, self.mailbox, begin = map_hand_over(address_of(self.memory), self.bell_descriptor)
        self.before = memoryview(self.code)[8 * BEFORE : 8 * BEFORE + 16].cast("q")
        self.mailbox[BELL] = self.bell_descriptor | select.POLLIN << 32
        start = address_of(self.code) + CODE_OFFSET
        self.hand_over = ctypes.PYFUNCTYPE(ctypes.c_int)(start)
        self.begin = ctypes.PYFUNCTYPE(ctypes.c_int)(start + begin)
        self.pointed: Stub | None = None
        self.earlier: Stub | None = None
        self.prompt: Stub | None = None
        self.most_looking = self.looking = LOOKING_TICKS if _PROCESSORS > 1 else 0
        self.sleeps = 0
        self.patience = 1
        self.until_try = 0
        self.system_call = ctypes.CDLL(None, use_errno=True).syscall

    @property
    def is_answered(self) -> bool:
        """Whether the last request is."""
        answer = fcntl.fcntl(self.bell_descriptor, fcntl.F_GETSIG)
        return answer == self.mailbox[NUMBER] & layout.ANSWER_BITS

    @property
    def holds_much(self) -> bool:
        """Whether stubs' tables take more of the host's memory than they are to: returns to a million places
        can have programs that make it their work.
        """
        return os.fstat(self.descriptor).st_blocks * _BLOCK_BYTES > _MOST_BYTES

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
        for descriptor in (self.descriptor, self.orders_descriptor, self.bell_descriptor):
            if descriptor >= 0:
                os.close(descriptor)
        self.descriptor = self.orders_descriptor = self.bell_descriptor = -1

    def __del__(self) -> None:
        self.close()


class Stub:
    """One stub process. `tables` (the first, second and third, and that of returns) and `links` are its
    tables of jumps. `touched` are the commands of `map_touched`, by protection, without what they map.
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
        "touched",
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
        words[_LOOKING] = processor.most_looking << STUB_SHIFT
        words[(layout.SLOT - layout.ORDERS) >> 3] = sleeps
        words[_RESUME] = words[_COUNT] = 0
        words[_VALUE] = words[_WAITING] = 1
        words[_TURN] = layout.ITS_TURN
        mailbox = processor.mailbox
        last = mailbox[NUMBER]
        fcntl.fcntl(processor.bell_descriptor, fcntl.F_SETSIG, last & layout.ANSWER_BITS)
        words[0] = mailbox[NUMBER] = (last + 1) & 0xFFFF_FFFF
        try:
            self.pid, self.memory_descriptor, calls = _spawn(processor, cache, memory_descriptor, start)
        except StubUnavailable:
            processor.free_slots.append(slot)
            raise
        self.is_alive = True
        self.touched = [
            array("Q", (MMAP, 0, PAGE_SIZE, protection, MAP_SHARED_FIXED, self.memory_descriptor, 0))
            for protection in range(_PROTECTIONS)
        ]
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
        mailbox[ORDERS] = self.orders_address
        mailbox[KEPT] = 0
        mailbox[SLEEPER] = self.sleeper_address
        processor.pointed = self
        processor.prompt = self if processor.looking and processor.patience == 1 else None

    def empty_returns(self) -> None:
        """Let the table of returns have nothing, and none of the host's memory."""
        start = self.processor.orders_offset(self.slot) - layout.ORDERS + layout.RETURN_TABLE
        try:
            self.processor.memory.madvise(mmap.MADV_REMOVE, start, 8 * layout.RETURN_PLACES)
        except OSError:
            # Not every host can do that.
            self.tables[-1][:] = memoryview(bytes(8 * layout.RETURN_PLACES)).cast("Q")

    def fill_tables(self, values: Sequence[int]) -> None:
        """Let each table of indirect jumps have one of `values` everywhere, and that of returns nothing."""
        self.empty_returns()
        start = self.processor.orders_offset(self.slot) - layout.ORDERS
        advise, filled = self.processor.memory.madvise, layout.LINKS - layout.FIRST_TABLE
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
        words[at : at + _COMMAND_WORDS] = self.touched[protection]
        words[at + 1] = address
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
        mailbox[LOOKS], mailbox[STUB_LOOKS] = processor.looking, processor.looking << STUB_SHIFT
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
        if answer == NOT_ANSWERED:
            self._await()
            why: int = processor.words[layout.EXIT >> 3]
        else:
            why = ANSWERED_LATE - answer
        processor.answered_late()
        return why

    def _await(self) -> None:
        """Wait until the stub answers. Raises StubError if it ends or doesn't."""
        processor = self.processor
        asked = ctypes.c_void_p(self.orders_address)
        processor.system_call(FUTEX, asked, FUTEX_WAKE, 1, None, None, 0)
        waited_ms = 0
        while not processor.is_answered:
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
            has_begun = processor.words[layout.TAKEN >> 3] & 0xFFFF_FFFF == processor.mailbox[NUMBER]
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


_PROCESSORS: Final = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
_RESUME: Final = (layout.RESUME - layout.ORDERS) >> 3
_COUNT: Final = (layout.COMMAND_COUNT - layout.ORDERS) >> 3
_BELL_DESCRIPTOR: Final = (layout.BELL_DESCRIPTOR - layout.ORDERS) >> 3
_VALUE: Final = (layout.BELL_VALUE - layout.ORDERS) >> 3
_LOOKING: Final = (layout.LOOKING - layout.ORDERS) >> 3
_WAITING: Final = (layout.WAITING - layout.ORDERS) >> 3
_TURN: Final = (layout.TURN - layout.ORDERS) >> 3
_COMMANDS: Final = (layout.COMMANDS - layout.ORDERS) >> 3
_COMMAND_WORDS: Final = layout.COMMAND_BYTES >> 3


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
            processor.bell_descriptor,
            code_descriptor,
            processor.descriptor,
            processor.orders_descriptor,
        )
        first = max(*sources, image_descriptor) + 1
        parts = StubParts(
            memory=first,
            bell=first + 1,
            cache=first + 2,
            context=first + 3,
            orders=first + 4,
            orders_offset=orders_offset,
            parent_pid=os.getpid(),
            answer=cache.labels["answer"],
            on_signal=cache.labels["on_signal"],
        )
        image, calls = make_image(parts)
        os.write(image_descriptor, image)
        processor.orders(orders_offset).cast("Q")[_BELL_DESCRIPTOR] = parts.bell
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
