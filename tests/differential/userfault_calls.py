"""Random requests of userfaultfds on the arena of memory, whose faults become SIGBUS so that nobody waits."""

from __future__ import annotations

import struct

from tests.differential import memory_calls
from tests.differential.maker import Maker
from tests.differential.memory_calls import place, size
from tests.differential.script import Argument, At, Naming, Show

O_NONBLOCK, O_CLOEXEC = 0o4000, 0o2000000
API = 0xC018AA3F
REGISTER, UNREGISTER, WAKE, COPY, ZEROPAGE, MOVE, WRITEPROTECT, CONTINUE, POISON = (
    *(0xC020AA00, 0x8010AA01, 0x8010AA02, 0xC028AA03, 0xC020AA04),
    *(0xC028AA05, 0xC018AA06, 0xC020AA07, 0xC020AA08),
)
SIGBUS = 1 << 7
FEATURES = (1 << 0, 1 << 5, 1 << 8, 1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 15, 1 << 16)


def begin(make: Maker) -> None:
    """Two files, of which both are asked for SIGBUS."""
    for _ in range(2):
        descriptor = open_file(make)
        features = SIGBUS | make.bits(FEATURES)
        initialize(make, descriptor, features)


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
    """read, and UFFDIO_API once more."""
    if make.odds(70):
        make.call("read", user_fault_file(make), At(0), make.one(32, 64, 31, 0), data=bytes(64))
    else:
        initialize(make, user_fault_file(make), make.one(SIGBUS, 0, 1 << 20))


FAMILIES = (
    *(request,) * 12,
    look,
    *(memory_calls.map_area,) * 3,
    *(memory_calls.change_area,) * 3,
    *(memory_calls.touch,) * 6,
    memory_calls.touch_by_call,
    memory_calls.look_at_maps,
)
