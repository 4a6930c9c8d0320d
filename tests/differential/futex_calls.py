"""Random calls on futexes that processes share: waits, requeues, PI futexes, robust lists, dead owners."""

from __future__ import annotations

import struct

from tests.differential.ipc_calls import catch
from tests.differential.maker import Maker
from tests.differential.process_calls import THREAD, await_process
from tests.differential.script import ARENA, PAGE, STACK_BYTES, STACKS_BASE, Argument, At, Naming, Pid

MOST_ACTORS = 6
FUTEX_WAITERS, FUTEX_OWNER_DIED, FUTEX_TID_MASK = 1 << 31, 1 << 30, 0x3FFFFFFF
WAIT, WAKE, REQUEUE, CMP_REQUEUE, WAKE_OP, LOCK_PI, UNLOCK_PI, TRYLOCK_PI = 0, 1, 3, 4, 5, 6, 7, 8
WAIT_BITSET, WAKE_BITSET, WAIT_REQUEUE_PI, CMP_REQUEUE_PI, LOCK_PI2 = 9, 10, 11, 12, 13
PRIVATE, CLOCK_REALTIME = 0x80, 0x100
WORDS = (0, 0, 0, 4, 4, 8, 12)
SHOWN_WORDS = 4
HEADS, HEAD_BYTES, ENTRIES, ENTRY_BYTES = 0x100, 24, 0x400, 16
WORD_AT = 32
SECOND = 4 * PAGE
MREMAP_MAYMOVE, MREMAP_FIXED = 1, 2


def begin(make: Maker) -> None:
    """A shared page, and company."""
    make.call("mmap", ARENA, PAGE, 3, 0x31, -1, 0, result="address")
    for _ in range(2):
        make.spawn("fork")


def write_memory(make: Maker, offset: int, data: bytes, *values: tuple[int, int, Argument]) -> None:
    """Put bytes into the shared page."""
    vectors = struct.pack("<QQQQ", 0, len(data), ARENA + offset, len(data))
    fixups = [(WORD_AT + place, size, value) for place, size, value in values]
    make.call(
        "process_vm_writev",
        Pid(make.actor),
        At(0),
        1,
        At(16),
        1,
        0,
        data=vectors + data,
        fixups=((0, 8, At(WORD_AT)), *fixups),
        show=lambda data, result, naming: "",
    )


def set_word(make: Maker) -> None:
    """Say who has a futex, or give it another value."""
    flags = make.one(0, 0, FUTEX_WAITERS, FUTEX_OWNER_DIED, FUTEX_WAITERS | FUTEX_OWNER_DIED)
    offset = make.random.choice(WORDS)
    if make.odds(40):
        # Two bytes of a task's id are enough.
        word = struct.pack("<I", flags)
        write_memory(make, offset, word, (0, 2, Pid(make.random.choice(make.actors))))
    else:
        write_memory(make, offset, struct.pack("<I", make.one(0, 0, 0, 300000, flags, flags | 0x3FFFFFF0)))


def look(make: Maker) -> None:
    """Read all words."""
    vectors = struct.pack("<QQQQ", 0, 4 * SHOWN_WORDS, ARENA, 4 * SHOWN_WORDS)
    make.call(
        "process_vm_readv",
        Pid(make.actor),
        At(0),
        1,
        At(16),
        1,
        0,
        data=vectors + bytes(4 * SHOWN_WORDS),
        fixups=((0, 8, At(WORD_AT)),),
        show=show_words,
    )


def show_words(data: bytes, result: int, naming: Naming) -> str:
    """Whose the futexes are."""
    words = struct.unpack_from(f"<{SHOWN_WORDS}I", data, WORD_AT)
    return " ".join(f"{word >> 30}:{naming.group(word & FUTEX_TID_MASK)}" for word in words)


def word_of(make: Maker) -> int:
    """The address of a futex."""
    again = SECOND if make.odds(8) else 0
    return ARENA + again + (make.random.choice(WORDS) if make.odds(96) else make.one(1, 0x2000, -ARENA))


def use_pi(make: Maker) -> None:
    """FUTEX_LOCK_PI and its kin."""
    operation = make.one(*(LOCK_PI,) * 4, LOCK_PI2, *(TRYLOCK_PI,) * 2, *(UNLOCK_PI,) * 4)
    flags = make.one(0, 0, 0, PRIVATE) | (make.one(0, 0, CLOCK_REALTIME) if operation == LOCK_PI2 else 0)
    patience: Argument = At(0) if make.odds(30) and operation in {LOCK_PI, LOCK_PI2} else 0
    make.call("futex", word_of(make), operation | flags, 0, patience, 0, 0, data=bytes(16))
    if make.odds(50):
        look(make)


def requeue_pi(make: Maker) -> None:
    """FUTEX_WAIT_REQUEUE_PI, FUTEX_CMP_REQUEUE_PI."""
    private = make.one(0, 0, 0, PRIVATE)
    value = make.one(0, 0, 0, 1)
    if make.odds(50):
        patience: Argument = At(0) if make.odds(25) else 0
        clock = make.one(0, 0, CLOCK_REALTIME)
        operation = WAIT_REQUEUE_PI | private | clock
        make.call("futex", word_of(make), operation, value, patience, word_of(make), 0, data=bytes(16))
    else:
        most = make.one(0, 1, 1, 2, -1)
        operation = CMP_REQUEUE_PI | private
        make.call("futex", word_of(make), operation, make.one(1, 1, 1, 0, 2), most, word_of(make), value)
    look(make)


def wait_or_wake(make: Maker) -> None:
    """FUTEX_WAIT, FUTEX_WAKE, FUTEX_REQUEUE, FUTEX_WAKE_OP and their kin."""
    private = make.one(0, 0, 0, PRIVATE)
    value = make.one(0, 0, 0, 1, 2)
    kind = make.random.randrange(10)
    if kind < 4:
        operation, bits = make.random.choice(((WAIT, 0), (WAIT, 0), (WAIT_BITSET, 1), (WAIT_BITSET, 2)))
        patience: Argument = At(0) if make.odds(30) else 0
        make.call("futex", word_of(make), operation | private, value, patience, 0, bits, data=bytes(16))
    elif kind < 7:
        operation, bits = make.random.choice(((WAKE, 0), (WAKE, 0), (WAKE_BITSET, 1), (WAKE_BITSET, 3)))
        make.call("futex", word_of(make), operation | private, make.one(1, 1, 2, 0, -1), 0, 0, bits)
    elif kind < 9:
        operation = make.one(REQUEUE, CMP_REQUEUE, CMP_REQUEUE) | private
        make.call(
            "futex", word_of(make), operation, make.one(0, 1, 2), make.one(0, 1, 2, -1), word_of(make), value
        )
    else:
        encoded = make.one(0, 0x10000000, 0xA001F000, 0xA101F000, 0xC201E000, 0x0D000000, 0x60000000)
        operation = WAKE_OP | private
        make.call(
            "futex", word_of(make), operation, make.one(0, 1, 2), make.one(0, 1, 2), word_of(make), encoded
        )
        look(make)


def use_newer(make: Maker) -> None:
    """futex_wait, futex_wake, futex_requeue, futex_waitv."""
    flags = make.one(2, 2, 2, 0x82) if make.odds(92) else make.one(0, 1, 3, 0x12, 0x22)
    value = make.one(0, 0, 1)
    kind = make.random.randrange(5)
    if kind == 0:
        patience: Argument = At(0) if make.odds(40) else 0
        make.call("futex_wait", word_of(make), value, make.one(-1, 1, 2), flags, patience, 1, data=bytes(16))
    elif kind == 1:
        make.call("futex_wake", word_of(make), make.one(-1, 1, 2), make.one(1, 2, -1), flags)
    elif kind == 2:
        pair = [struct.pack("<QQII", value, word_of(make), flags, 0) for _ in range(2)]
        make.call("futex_requeue", At(0), 0, make.one(0, 1), make.one(0, 1, -1), data=b"".join(pair))
    else:
        count = make.one(1, 2, 3)
        waits = [struct.pack("<QQII", make.one(0, 0, 1), word_of(make), flags, 0) for _ in range(count)]
        patience = At(24 * count) if make.odds(40) else 0
        make.call("futex_waitv", At(0), count, 0, patience, 1, data=b"".join(waits) + bytes(16))


def make_robust(make: Maker) -> None:
    """set_robust_list, with a list in the shared page."""
    head = HEADS + HEAD_BYTES * make.actor
    entries = [ENTRIES + ENTRY_BYTES * make.one(0, 1, 2, 3) for _ in range(make.random.randrange(3))]
    entries = list(dict.fromkeys(entries))
    way = [ARENA + head, *(ARENA + entry for entry in entries), ARENA + head]
    # The lowest bit says that a futex is one of priority inheritance.
    is_pi = [0, *(make.one(0, 0, 1) for _ in entries), 0]
    pending = ARENA + ENTRIES + ENTRY_BYTES * make.one(0, 1) if make.odds(30) else 0
    # The word that belongs to an entry lies as far from it as the head says.
    offset = make.one(0, 4, 8) - ENTRIES
    write_memory(make, head, struct.pack("<QqQ", way[1] | is_pi[1], offset, pending))
    for place in range(1, len(way) - 1):
        write_memory(make, way[place] - ARENA, struct.pack("<QQ", way[place + 1] | is_pi[place + 1], 0))
    make.call("set_robust_list", way[0], make.one(24, 24, 24, 24, 24, 16, 0))


def map_again(make: Maker) -> None:
    """The same page at another place too, or no longer."""
    if make.odds(70):
        place = ARENA + SECOND
        make.call("mremap", ARENA, 0, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place, result="address")
    else:
        make.call("munmap", ARENA + make.one(SECOND, SECOND, SECOND, 0), PAGE)


def interrupt(make: Maker) -> None:
    """A signal to who may wait."""
    make.call("kill", Pid(make.random.choice(make.actors)), make.one(10, 12))


def make_actor(make: Maker) -> None:
    """fork, and threads."""
    if len(make.actors) >= MOST_ACTORS:
        return
    if make.odds(50):
        make.spawn("fork")
    else:
        stack = STACKS_BASE + STACK_BYTES * (make.next_actor + 1) - 256
        make.spawn("clone", THREAD, stack, 0, 0, 0)


def end_actor(make: Maker) -> None:
    """exit, exit_group, kill."""
    if make.odds(50):
        make.call(make.random.choice(("exit", "exit_group")), make.one(0, 1))
    else:
        make.call("kill", Pid(make.random.choice(make.actors[1:] or make.actors)), make.one(9, 15))
    look(make)


FAMILIES = (
    *(use_pi,) * 7,
    *(requeue_pi,) * 4,
    *(wait_or_wake,) * 4,
    *(use_newer,) * 2,
    *(set_word,) * 4,
    *(make_robust,) * 3,
    *(make_actor,) * 3,
    *(end_actor,) * 2,
    *(map_again, catch, interrupt, interrupt),
    await_process,
)
