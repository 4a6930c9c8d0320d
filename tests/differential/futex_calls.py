"""Random calls on futexes that processes share: waits, requeues, PI futexes, robust lists, dead owners."""

from __future__ import annotations

import struct

from tests.differential.ipc_calls import catch
from tests.differential.maker import Maker, go_on
from tests.differential.process_calls import THREAD, await_process
from tests.differential.script import (
    ARENA,
    PAGE,
    STACK_BYTES,
    STACKS_BASE,
    Argument,
    At,
    Naming,
    Pid,
    Result,
)

MOST_ACTORS = 6
FUTEX_WAITERS, FUTEX_OWNER_DIED, FUTEX_TID_MASK = 1 << 31, 1 << 30, 0x3FFFFFFF
WAIT, WAKE, REQUEUE, CMP_REQUEUE, WAKE_OP, LOCK_PI, UNLOCK_PI, TRYLOCK_PI = 0, 1, 3, 4, 5, 6, 7, 8
WAIT_BITSET, WAKE_BITSET, WAIT_REQUEUE_PI, CMP_REQUEUE_PI, LOCK_PI2 = 9, 10, 11, 12, 13
PRIVATE, CLOCK_REALTIME = 0x80, 0x100
WORDS = (0, 0, 0, 4, 4, 8, 12)
CLEARED, SHOWN_WORDS = 16, 5
"""A word that is cleared at somebody's end: of one that is locked besides, it's luck who writes it last."""
HEADS, HEAD_BYTES, ENTRIES, ENTRY_BYTES = 0x100, 24, 0x400, 16
WORD_AT = 32
SECOND = 4 * PAGE
MREMAP_MAYMOVE, MREMAP_FIXED = 1, 2
OWN, FILE = 8 * PAGE, 12 * PAGE
"""Where a page of one's own may be, and a file's."""
CLONE_VM, CHILD_CLEARTID, PARENT_SETTID, CHILD_SETTID = 0x100, 0x200000, 0x100000, 0x1000000


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
    again = make.one(SECOND, SECOND, OWN, FILE) if make.odds(12) else 0
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


def map_other(make: Maker) -> None:
    """Pages that one has alone, that are a file's, or that may only be read or not even that."""
    kind = make.random.randrange(6)
    if kind < 2:
        make.call("mmap", ARENA + OWN, PAGE, make.one(3, 3, 1), 0x32, -1, 0, result="address")
    elif kind == 2:
        made = make.call("memfd_create", At(0), 0, data=b"f\0", result="hidden")
        make.call("ftruncate", Result(made), make.one(PAGE, PAGE, 0))
        flags = make.one(0x11, 0x11, 0x12)
        make.call("mmap", ARENA + FILE, PAGE, make.one(3, 3, 1), flags, Result(made), 0, result="address")
        make.call("close", Result(made))
    elif kind < 5:
        place = ARENA + make.one(0, 0, SECOND, OWN, FILE)
        # The page where all look for words may be written again before anybody looks.
        make.call("mprotect", place, PAGE, make.one(1, 1, 0, 3))
        wait_or_wake(make)
        make.call("mprotect", place, PAGE, 3)
    else:
        make.call("madvise", ARENA + make.one(0, OWN, FILE), PAGE, make.one(4, 9))


def use_oddly(make: Maker) -> None:
    """Operations, flags and sizes that aren't, and lists that are too long."""
    kind = make.random.randrange(7)
    word = word_of(make)
    if kind < 2:
        operation = make.one(2, 11, 14, 15, 99, -1, WAKE | CLOCK_REALTIME, REQUEUE | CLOCK_REALTIME, 0x200)
        value, bits = make.one(0, 1), make.one(0, 1)
        # No time, so that none is read; who would wait finds another value.
        make.call(
            "futex", word, operation, 7, 0 if make.odds(70) else At(0), word, value | bits, data=bytes(16)
        )
    elif kind == 2:
        time = struct.pack("<qq", make.one(0, -1, 0), make.one(1_000_000_000, -1, 5))
        operation = make.one(WAIT, WAIT_BITSET, LOCK_PI, LOCK_PI2, WAIT_REQUEUE_PI)
        flags = make.one(0, CLOCK_REALTIME, PRIVATE)
        make.call("futex", word, operation | flags, 0, At(0), word_of(make), make.one(0, 1), data=time)
    elif kind == 3:
        flags = make.one(0, 1, 3, 4, 8, 0x10, 0x42, 0x100, 0x102, 0x82, 1 << 31)
        name = make.random.choice(("futex_wait", "futex_wake"))
        values = (7, 1, flags, 0, 1) if name == "futex_wait" else (1, make.one(0, 1), flags)
        make.call(name, word, *values)
    elif kind == 4:
        waits = struct.pack("<QQII", 7, word, make.one(2, 0x82, 0, 3, 0x12), make.one(0, 0, 1)) * 2
        count, flags, clock = make.one(2, 0, 129, -1), make.one(0, 0, 1), make.one(1, 0, 2, 11)
        where: Argument = At(0) if make.odds(90) else make.one(0, 8)
        make.call(
            "futex_waitv", where, count, flags, 0 if make.odds(60) else At(48), clock, data=waits + bytes(16)
        )
    elif kind == 5:
        pair = [
            struct.pack("<QQII", make.one(0, 7), word_of(make), make.one(2, 0x82, 0, 3), 0) for _ in range(2)
        ]
        flags = make.one(0, 1, 2)
        make.call("futex_requeue", At(0), flags, make.one(1, -1, 0), make.one(1, -1), data=b"".join(pair))
    else:
        encoded = make.one(*range(7)) << 28 | make.one(*range(8)) << 24 | make.one(0, 1, 31, 0xFFF) << 12
        operation = WAKE_OP | make.one(0, PRIVATE)
        make.call("futex", word, operation, 1, 1, word_of(make), encoded | make.one(0, 1, 0xFFF, 0x800))
        look(make)


def await_end(make: Maker) -> None:
    """FUTEX_WAIT for somebody's number to be cleared, or another value."""
    value: Argument = Pid(make.random.choice(make.actors)) if make.odds(80) else make.one(0, 1)
    if make.actor == 0:
        make.actor = make.random.choice(make.actors)
    operation = make.one(WAIT, WAIT, WAIT | PRIVATE)
    make.call("futex", ARENA + CLEARED, operation, value, 0, 0, 0)
    look(make)


def ask_robust(make: Maker) -> None:
    """get_robust_list, of oneself and of others."""
    data = b"\x55" * 16
    where: Argument = At(0) if make.odds(90) else make.one(0, 8)
    name = make.random.choice(("get_robust_list", "get_robust_list", "set_tid_address"))
    if name == "set_tid_address":
        make.call(name, 0, result="pid")
    else:
        make.call(name, make.pid(), where, At(8), data=data, show=show_robust)


def show_robust(data: bytes, result: int, naming: Naming) -> str:
    """Where a list is, if it's one that a script has made: the first has one of its library's."""
    head, length = struct.unpack_from("<QQ", data)
    return f"{head - ARENA if 0 <= head - ARENA < PAGE else 'elsewhere' if head else 0} {length:x}"


def make_telling_actor(make: Maker) -> None:
    """A thread or process whose number is written to a futex.

    One with the first's memory clears that and wakes who waits when it ends. That isn't asked for of others:
    the last to end of all with a memory doesn't, unless somebody looks at it in /proc just then.
    """
    if len(make.actors) >= MOST_ACTORS:
        return
    flags = make.one(CHILD_SETTID, PARENT_SETTID, CHILD_SETTID | PARENT_SETTID)
    places = (ARENA + make.random.choice(WORDS), ARENA + make.random.choice(WORDS))
    stack = STACKS_BASE + STACK_BYTES * (make.next_actor + 1) - 256
    if make.actor == 0 and make.odds(75):
        make.spawn("clone", CLONE_VM | CHILD_CLEARTID | flags | 17, stack, places[0], ARENA + CLEARED, 0)
    elif make.odds(50):
        make.spawn("clone", THREAD | flags, stack, *places, 0)
    else:
        make.spawn("clone", flags | 17, 0, *places, 0)
    look(make)


FAMILIES = (
    *(use_pi,) * 7,
    *(requeue_pi,) * 4,
    *(wait_or_wake,) * 4,
    *(use_newer,) * 2,
    *(set_word,) * 4,
    *(make_robust,) * 3,
    *(make_actor,) * 2,
    *(make_telling_actor, make_telling_actor, await_end, ask_robust),
    *(map_other, use_oddly, use_oddly),
    *(end_actor,) * 2,
    *(map_again, catch, interrupt, interrupt),
    await_process,
    go_on,
)
