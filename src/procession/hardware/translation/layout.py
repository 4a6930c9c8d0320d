"""Where things lie in a stub process, and in the file that it shares with the machine.

A stub holds the guest's pages at the guest's addresses, and these things of its own:

- the code cache twice, below where position-independent programs are loaded and above where libraries are, so
  that code which addresses memory relative to rip reaches it from nearby. It's executable and read-only.
- the context, which is all that is writable: what one processor needs, whoever runs on it.
- the orders, read-only: what the machine wants, where to go on, and the tables of jumps. So nothing that says
  where the stub goes on can be written by what runs in it.

That a stub has answered is said by a system call, which the guest's code can't make: low bits of the
request's number become the signal of an eventfd (F_SETSIG), which never sends it, and the machine asks what
that is. If the machine sleeps, a write to the eventfd is the bell that wakes it.

The file of a processor begins with the context; then each stub has a part for its orders.
"""

from __future__ import annotations

from typing import Final

CACHE_BYTES: Final = 64 << 20
LOW_VIEW: Final = 0x5555_5000_0000
"""Right below `kernel.program.elf.PIE_BASE`."""
HIGH_VIEW: Final = 0x7FFF_F800_0000
"""Right above `mm.address_space.MMAP_BASE`, below the stack's end."""
CONTEXT: Final = HIGH_VIEW + CACHE_BYTES
"""Where gs points."""
CONTEXT_BYTES: Final = 0x10000

# In the context: offsets from gs. The general registers come first, and rip after them.
RIP: Final = 0x80
FLAGS: Final = 0x88
FS_BASE: Final = 0x90
SAVED_RCX: Final = 0x98
"""What rcx was while an indirect jump finds its target."""
SAVED_R11: Final = 0xA0
"""What r11 was while something else needs it."""
SCRATCH: Final = 0xA8
"""What up to three registers were while an instruction needs them for something else."""
COUNTER: Final = 0xC0
EXIT: Final = 0xC8
TARGET: Final = 0xD0
"""Where an indirect jump goes."""
FAULT_ADDRESS: Final = 0xD8
FAULT_RIP: Final = 0xE0
FAULT_ERROR: Final = 0xE8
FAULT_VECTOR: Final = 0xF0
GS_BASE: Final = 0xF8
"""The guest's own."""
TRANSFERS: Final = 0x100
"""The counter of indirect transfers, apart from that of jumps, as each waits for itself only."""
LOOP_SAVED: Final = 0x110
"""What the register was that has the counter in a loop."""
COMMAND_RESULT: Final = 0x108
TAKEN: Final = 0x118
"""The request that the stub obeys, or has obeyed."""
EXTENDED: Final = 0x400
"""The XSAVE area."""
EXTENDED_BYTES: Final = 832
STACK_TOP: Final = 0x2000
SIGNAL_STACK, SIGNAL_STACK_BYTES = 0x2000, 0xA000
ASLEEP: Final = 0xC000
"""A word for each stub: whether it sleeps, as far as it says so itself."""

# In the orders: offsets from gs too, right after the context.
ORDERS: Final = CONTEXT_BYTES
REQUEST: Final = ORDERS
RESUME: Final = ORDERS + 0x8
COMMAND_COUNT: Final = ORDERS + 0x10
BELL_DESCRIPTOR: Final = ORDERS + 0x18
KEPT: Final = ORDERS + 0x1C
"""Whether the extended state is still what the stub left it as."""
LOOKING: Final = ORDERS + 0x20
"""How long a stub looks for the next request before it sleeps, in the processor's ticks."""
SLOT: Final = ORDERS + 0x28
"""Which word of ASLEEP is this stub's: its offset from gs."""
BELL_VALUE: Final = ORDERS + 0x30
"""What is written to the eventfd: 1."""
WAITING: Final = ORDERS + 0x38
"""Whether the machine sleeps until the bell rings."""
TURN: Final = ORDERS + 0x40
"""Whether a stub may look: one whose turn is over may not; one whose turn may come next lets others run each
time."""
TURN_OVER: Final = 0
ITS_TURN: Final = 1
NEXT_TURN: Final = 2
COMMANDS: Final = ORDERS + 0x48
COMMAND_BYTES: Final = 56
MAXIMUM_COMMANDS: Final = 256
FIRST_TABLE: Final = ORDERS + 0x10000
SECOND_TABLE: Final = FIRST_TABLE + (8 << 16)
THIRD_TABLE: Final = SECOND_TABLE + (8 << 16)
LINKS: Final = THIRD_TABLE + (8 << 16)
MAXIMUM_LINKS: Final = 1 << 18
RETURN_TABLE: Final = LINKS + 8 * MAXIMUM_LINKS
"""Where returns lead, by the address to return to; 0 for those that nobody has led anywhere yet."""
RETURN_PLACES: Final = 1 << 20
RETURN_BITS: Final = 1 << 45 | 0x7_FFFF << 2
"""The bits of an address that say which place it has: one that tells libraries from programs, and low ones,
but not the lowest, as calls take five bytes mostly.
"""
FEWER_RETURN_BITS: Final = 0xFFFF << 3
"""Those that do where a processor takes long to gather the others."""
ORDERS_BYTES: Final = RETURN_TABLE + 8 * RETURN_PLACES - ORDERS
CONTEXT_END: Final = CONTEXT + CONTEXT_BYTES + ORDERS_BYTES

ANSWER_BITS: Final = 0x3F
"""What of a request's number is its answer: a signal's number is at most 64."""

# Why a stub has come back; from FIRST_EXIT on, which place of the code it left.
MISSED: Final = 0
COMMAND_FAILED: Final = 1
COMMANDS_DONE: Final = 2
FAULTED: Final = 3
CALLED: Final = 4
UNCERTAIN: Final = 5
FIRST_EXIT: Final = 16

VIEWS: Final = (HIGH_VIEW, LOW_VIEW)
RESERVED: Final = ((HIGH_VIEW, CONTEXT_END), (LOW_VIEW, LOW_VIEW + CACHE_BYTES))
"""Where no guest's page can be."""


def return_place(pc: int, bits: int) -> int:
    """Which place a return to `pc` has, by RETURN_BITS or FEWER_RETURN_BITS."""
    if bits == RETURN_BITS:
        return pc >> 2 & 0x7_FFFF | (pc >> 45 & 1) << 19
    return pc >> 3 & 0xFFFF
