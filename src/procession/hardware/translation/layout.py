"""Where things lie in a stub process, and in the file that it shares with the machine.

A stub holds the guest's pages at the guest's addresses, and these things of its own:

- the code cache twice, below where position-independent programs are loaded and above where libraries are, so
  that code which addresses memory relative to rip reaches it from nearby. It's executable and read-only.
- the context, which is all that is writable: what one processor needs, whoever runs on it.
- the orders, read-only: what the machine wants, where to go on, and the tables of jumps. So nothing that says
  where the stub goes on can be written by what runs in it.

That a stub has answered is said by a system call, which the guest's code can't make: it writes the request's
number to a file that it hasn't mapped. If the machine sleeps, an eventfd is the bell that wakes it.

The file of a processor begins with the context; then each stub has a part for its orders.
"""

from __future__ import annotations

CACHE_BYTES = 64 << 20
LOW_VIEW = 0x5555_5000_0000
"""Right below `kernel.program.elf.PIE_BASE`."""
HIGH_VIEW = 0x7FFF_F800_0000
"""Right above `mm.address_space.MMAP_BASE`, below the stack's end."""
CONTEXT = HIGH_VIEW + CACHE_BYTES
"""Where gs points."""
CONTEXT_BYTES = 0x10000

# In the context: offsets from gs. The general registers come first, and rip after them.
RIP = 0x80
FLAGS = 0x88
FS_BASE = 0x90
SAVED_RCX = 0x98
"""What rcx was while an indirect jump finds its target."""
SAVED_R11 = 0xA0
"""What r11 was while something else needs it."""
SCRATCH = 0xA8
"""What up to three registers were while an instruction needs them for something else."""
COUNTER = 0xC0
EXIT = 0xC8
TARGET = 0xD0
"""Where an indirect jump goes."""
FAULT_ADDRESS = 0xD8
FAULT_RIP = 0xE0
FAULT_ERROR = 0xE8
FAULT_VECTOR = 0xF0
GS_BASE = 0xF8
"""The guest's own."""
TRANSFERS = 0x100
"""The counter of indirect transfers, apart from that of jumps, as each waits for itself only."""
LOOP_SAVED = 0x110
"""What the register was that has the counter in a loop."""
COMMAND_RESULT = 0x108
TAKEN = 0x118
"""The request that the stub obeys, or has obeyed."""
EXTENDED = 0x400
"""The XSAVE area."""
EXTENDED_BYTES = 832
STACK_TOP = 0x2000
SIGNAL_STACK, SIGNAL_STACK_BYTES = 0x2000, 0xA000
ASLEEP = 0xC000
"""A word for each stub: whether it sleeps, as far as it says so itself."""

# In the orders: offsets from gs too, right after the context.
ORDERS = CONTEXT_BYTES
REQUEST = ORDERS
RESUME = ORDERS + 0x8
COMMAND_COUNT = ORDERS + 0x10
REPLY_DESCRIPTOR = ORDERS + 0x18
BELL_DESCRIPTOR = ORDERS + 0x1C
LOOKING = ORDERS + 0x20
"""How long a stub looks for the next request before it sleeps, in the processor's ticks."""
SLOT = ORDERS + 0x28
"""Which word of ASLEEP is this stub's: its offset from gs."""
BELL_VALUE = ORDERS + 0x30
"""What is written to the eventfd: 1."""
WAITING = ORDERS + 0x38
"""Whether the machine sleeps until the bell rings."""
TURN = ORDERS + 0x40
"""Whether a stub may look: one whose turn is over may not; one whose turn may come next lets others run each
time."""
TURN_OVER, ITS_TURN, NEXT_TURN = range(3)
COMMANDS = ORDERS + 0x48
COMMAND_BYTES = 56
MAXIMUM_COMMANDS = 256
FIRST_TABLE = ORDERS + 0x10000
SECOND_TABLE = FIRST_TABLE + (8 << 16)
THIRD_TABLE = SECOND_TABLE + (8 << 16)
LINKS = THIRD_TABLE + (8 << 16)
MAXIMUM_LINKS = 1 << 18
RETURN_TABLE = LINKS + 8 * MAXIMUM_LINKS
"""Where returns lead, by the address to return to; 0 for those that nobody has led anywhere yet."""
RETURN_PLACES = 1 << 20
RETURN_BITS = 1 << 45 | 0x7_FFFF << 2
"""The bits of an address that say which place it has: one that tells libraries from programs, and low ones,
but not the lowest, as calls take five bytes mostly.
"""
FEWER_RETURN_BITS = 0xFFFF << 3
"""Those that do where a processor takes long to gather the others."""
ORDERS_BYTES = RETURN_TABLE + 8 * RETURN_PLACES - ORDERS
CONTEXT_END = CONTEXT + CONTEXT_BYTES + ORDERS_BYTES

# Why a stub has come back; from FIRST_EXIT on, which place of the code it left.
MISSED, COMMAND_FAILED, COMMANDS_DONE, FAULTED, CALLED, UNCERTAIN = range(6)
FIRST_EXIT = 16

VIEWS = (HIGH_VIEW, LOW_VIEW)
RESERVED = ((HIGH_VIEW, CONTEXT_END), (LOW_VIEW, LOW_VIEW + CACHE_BYTES))
"""Where no guest's page can be."""


def return_place(pc: int, bits: int) -> int:
    """Which place a return to `pc` has, by RETURN_BITS or FEWER_RETURN_BITS."""
    if bits == RETURN_BITS:
        return pc >> 2 & 0x7_FFFF | (pc >> 45 & 1) << 19
    return pc >> 3 & 0xFFFF
