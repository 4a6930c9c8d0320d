"""Random requests of userfaultfds on the arena of memory: faults become SIGBUS, or wait for an answer."""

from __future__ import annotations

import struct

from tests.differential import memory_calls
from tests.differential.maker import Family, Maker, vector
from tests.differential.memory_calls import place, size
from tests.differential.notice_calls import show_description
from tests.differential.script import (
    ARENA,
    PAGE,
    SLURP,
    STACK_BYTES,
    STACKS_BASE,
    Argument,
    At,
    Naming,
    Pid,
    Result,
    Show,
    digest,
)

O_NONBLOCK, O_CLOEXEC = 0o4000, 0o2000000
API = 0xC018AA3F
REGISTER, UNREGISTER, WAKE, COPY, ZEROPAGE, MOVE, WRITEPROTECT, CONTINUE, POISON = (
    *(0xC020AA00, 0x8010AA01, 0x8010AA02, 0xC028AA03, 0xC020AA04),
    *(0xC028AA05, 0xC018AA06, 0xC020AA07, 0xC020AA08),
)
SIGBUS = 1 << 7
EVENT_FORK, EVENT_REMAP, EVENT_REMOVE, EVENT_UNMAP = 1 << 1, 1 << 2, 1 << 3, 1 << 6
MESSAGE_BYTES, PAGEFAULT, FORK = 32, 0x12, 0x13
CLONE_VM, CLONE_FILES = 0x100, 0x400
PAGEMAP_SCAN, SCAN_BYTES, REGIONS = 0xC0606610, 96, 8
WPALLOWED, WRITTEN, FILE, PRESENT = 1, 2, 4, 8
PATH_BYTES, FILE_BYTES = 32, 512
FEATURES = (1 << 0, 1 << 5, 1 << 8, 1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 15, 1 << 16)


def begin(make: Maker) -> None:
    """Two files, of which both are asked for SIGBUS; or one more who shares the memory, and waits."""
    waits = make.odds(40)
    for _ in range(2):
        descriptor = open_file(make)
        features = make.bits(
            (*FEATURES, EVENT_FORK, EVENT_REMAP, EVENT_REMOVE, EVENT_UNMAP) if waits else FEATURES
        )
        initialize(make, descriptor, features | (0 if waits else SIGBUS))
    if waits:
        stack = STACKS_BASE + STACK_BYTES * (make.next_actor + 1) - 256
        make.spawn("clone", CLONE_VM | CLONE_FILES | 17, stack, 0, 0, 0)


def has_two(make: Maker) -> bool:
    """Whether one answers the faults of the other."""
    return len(make.actors) > 1


def answer(make: Maker) -> None:
    """The next operation is made by who answers."""
    make.actor = 0


def by_who_waits(family: Family) -> Family:
    """Calls that may fault, made by the other where there are two."""

    def made(make: Maker) -> None:
        make.actor = 1 if has_two(make) else 0
        family(make)

    return made


def show_message(data: bytes, result: int, naming: Naming) -> str:
    """A struct uffd_msg: which event, and its numbers; whose fault it was differs."""
    shown = []
    for at in range(0, max(result, 0), MESSAGE_BYTES):
        event = data[at]
        words = struct.unpack_from("<QQQ", data, at + 8)
        if event == PAGEFAULT:
            shown.append(f"{event:x} {words[0]:x} {naming.address(words[1])}")
        elif event == FORK:
            shown.append(f"{event:x} {words[0] & 0xFFFFFFFF}")
        else:
            shown.append(f"{event:x} {' '.join(naming.address(word) for word in words[:2])}")
    return "; ".join(shown)


def fork(make: Maker) -> None:
    """fork, by who waits for the file's reader to have been told."""
    if has_two(make) and len(make.actors) < 4:
        make.actor = 1
        make.spawn("fork")
        # It has a memory of its own, whose faults nobody answers.
        make.actors.pop()


def open_file(make: Maker) -> Argument:
    """userfaultfd."""
    opened = make.call("userfaultfd", O_NONBLOCK | make.one(0, 0, 1, O_CLOEXEC))
    make.opened(opened)
    return make.descriptors[-1]


def initialize(make: Maker, descriptor: Argument, features: int) -> None:
    """UFFDIO_API."""
    data = struct.pack("<QQQ", make.one(*(0xAA,) * 15, 0xAB), features, 5)
    make.call("ioctl", descriptor, API, At(0), data=data, show=show_words(0, 1, 2))


def show_words(*places: int) -> Show:
    """What is shown of the words of an argument."""

    def show(data: bytes, result: int, naming: Naming) -> str:
        return " ".join(hex(struct.unpack_from("<Q", data, 8 * number)[0]) for number in places)

    return show


def user_fault_file(make: Maker) -> Argument:
    """One of the files, seldom another."""
    if make.odds(95) and len(make.descriptors) >= 2:
        return make.descriptors[make.one(0, 0, 0, 1)]
    return make.descriptor()


def request(make: Maker) -> None:
    """ioctl: all requests but UFFDIO_API."""
    answer(make)
    descriptor = user_fault_file(make)
    start, length = place(make) & (1 << 64) - 1, size(make) & (1 << 64) - 1
    kind = make.random.randrange(24)
    if kind < 6:
        mode = make.one(1, 1, 2, 3, 3, 4, 5, 7) if make.odds(95) else make.one(0, 8, 9)
        data = struct.pack("<QQQQ", start, length, mode, 7)
        make.call("ioctl", descriptor, REGISTER, At(0), data=data, show=show_words(3))
    elif kind < 8:
        make.call("ioctl", descriptor, UNREGISTER, At(0), data=struct.pack("<QQ", start, length))
    elif kind == 8:
        make.call("ioctl", descriptor, WAKE, At(0), data=struct.pack("<QQ", start, length))
    elif kind < 12:
        source = place(make) & (1 << 64) - 1
        mode = make.one(0, 0, 0, 1, 2, 2, 3, 4)
        data = struct.pack("<QQQQQ", start, source, length, mode, 9)
        make.call("ioctl", descriptor, COPY, At(0), data=data, show=show_words(4))
    elif kind < 14:
        source = place(make) & (1 << 64) - 1
        mode = make.one(0, 0, 0, 1, 2, 2, 3, 4)
        data = struct.pack("<QQQQQ", start, source, length, mode, 9)
        make.call("ioctl", descriptor, MOVE, At(0), data=data, show=show_words(4))
    elif kind < 18:
        mode = make.one(0, 0, 1, 1, 1, 2, 3, 4)
        data = struct.pack("<QQQ", start, length, mode)
        make.call("ioctl", descriptor, WRITEPROTECT, At(0), data=data)
    else:
        chosen = make.one(ZEROPAGE, ZEROPAGE, CONTINUE, CONTINUE, POISON)
        data = struct.pack("<QQQQ", start, length, make.one(0, 0, 0, 1, 2, 3, 4), 9)
        make.call("ioctl", descriptor, chosen, At(0), data=data, show=show_words(3))


def look(make: Maker) -> None:
    """read, poll, and UFFDIO_API once more."""
    answer(make)
    if make.odds(75):
        # One at a time: what a call tells of second is there only when the first has been read.
        length = make.one(32, 32, 63, 31, 0)
        make.call("read", user_fault_file(make), At(0), length, data=bytes(64), show=show_message)
    elif make.odds(50):
        data = struct.pack("<iHH", 0, make.one(1, 0x3F), 0)
        fixups = ((0, 4, user_fault_file(make)),)
        make.call("poll", At(0), 1, 0, data=data, fixups=fixups, show=show_events)
    elif make.odds(40):
        request_number = make.one(0xC020AA09, 0xAA00, 0x8010AA3F, 0x541B, 0xC018AA40)
        make.call("ioctl", user_fault_file(make), request_number, At(0), data=bytes(64), show=show_words())
    else:
        initialize(make, user_fault_file(make), make.one(SIGBUS, 0, 1 << 20))


def show_events(data: bytes, result: int, naming: Naming) -> str:
    """The events of poll."""
    return hex(struct.unpack_from("<H", data, 6)[0])


def scan_pages(make: Maker) -> None:
    """PAGEMAP_SCAN: which pages were written to, and protecting those."""
    opened = make.call("open", At(0), 0, data=b"/proc/self/pagemap\0")
    start = place(make) & (1 << 64) - 1
    end = start + PAGE * make.one(1, 2, 4, 16, 16)
    flags = make.one(0, 0, 1, 1, 2, 3) if make.odds(96) else 4
    # Which pages are there hangs on how many are had at once.
    inverted, mask, any_of = make.one(0, 0, 1, 2, 4), make.one(0, 0, 1, 2, 4, 3), make.one(0, 0, 0, 2, 6)
    wanted = make.one(WRITTEN, WPALLOWED | WRITTEN, WPALLOWED | WRITTEN | FILE, 0)
    length, most = make.one(REGIONS, REGIONS, 1, 2, 0), make.one(0, 0, 0, 1, 3)
    fields = (96, flags, start, end & (1 << 64) - 1, 0, 0, length, most, inverted, mask, any_of, wanted)
    data = struct.pack("<12Q", *fields) + bytes(24 * REGIONS)
    fixups = ((40, 8, At(SCAN_BYTES)),) if length else ()
    make.call("ioctl", Result(opened), PAGEMAP_SCAN, At(0), data=data, fixups=fixups, show=show_regions)
    make.call("close", Result(opened))


def show_regions(data: bytes, result: int, naming: Naming) -> str:
    """Where the walk has ended, and each region."""
    shown = [naming.address(struct.unpack_from("<Q", data, 32)[0])]
    for number in range(max(0, min(result, REGIONS))):
        start, end, categories = struct.unpack_from("<3Q", data, SCAN_BYTES + 24 * number)
        shown.append(f"{naming.address(start)}-{naming.address(end)}:{categories:x}")
    return " ".join(shown)


def look_at_file(make: Maker) -> None:
    """/proc/self/fdinfo: who waits, and what was agreed on; or one more name, or one less."""
    answer(make)
    kind = make.random.randrange(8)
    if kind < 5:
        path = f"/proc/self/fdinfo/{make.random.randrange(3)}\0".encode()
        make.operation(
            SLURP, data=path.ljust(PATH_BYTES + FILE_BYTES, b"\0"), show=show_description, result="none"
        )
    elif kind < 7:
        make.opened(make.call("dup", user_fault_file(make)))
    else:
        make.call("close", user_fault_file(make))


def reach_arena(make: Maker) -> None:
    """process_vm_readv and process_vm_writev of what may be missing, by who waits; and vectors of it."""
    first = ARENA + PAGE * make.random.randrange(8) + make.one(0, 4090)
    second = ARENA + PAGE * make.random.randrange(8)
    parts = vector([(first, make.one(10, PAGE)), (second, 10)])
    data = struct.pack("<QQ", 0, make.one(10, 1000)) + parts + bytes(1000)
    name = make.random.choice(("process_vm_readv", "process_vm_writev", "madvise", "mlock"))
    if name == "madvise":
        make.call(name, first & -PAGE, PAGE * make.one(1, 3), make.one(4, 4, 9, 22, 23))
    elif name == "mlock":
        make.call(name, first & -PAGE, PAGE * make.one(1, 2))
        make.call("munlock", first & -PAGE, 2 * PAGE)
    else:
        make.call(
            *(name, Pid(make.actor), At(0), 1, At(16), 2, 0),
            data=data, fixups=((0, 8, At(48)),), show=lambda data, result, naming: digest(data[48:]),
        )  # fmt: skip


FAMILIES = (
    *(request,) * 12,
    *(by_who_waits(scan_pages),) * 2,
    *(by_who_waits(reach_arena),) * 2,
    *(look_at_file,) * 2,
    *(look,) * 3,
    *(by_who_waits(memory_calls.map_area),) * 3,
    *(by_who_waits(memory_calls.change_area),) * 3,
    *(by_who_waits(memory_calls.touch),) * 6,
    by_who_waits(memory_calls.touch_by_call),
    memory_calls.look_at_maps,
    fork,
)
