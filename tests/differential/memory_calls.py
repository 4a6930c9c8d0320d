"""Random calls on an arena of memory at a fixed address."""

from __future__ import annotations

import struct

from tests.differential.maker import AT_FDCWD, Maker, go_on, vector
from tests.differential.script import (
    ARENA,
    ARENA_PAGES,
    EXECUTE,
    LOAD,
    PAGE,
    SLURP,
    STACK_BYTES,
    STACKS_BASE,
    STORE,
    Argument,
    At,
    Naming,
    Pid,
    Result,
    digest,
)

MAP_SHARED, MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS, MAP_NORESERVE = 1, 2, 0x10, 0x20, 0x4000
MAP_GROWSDOWN, MAP_LOCKED, MAP_POPULATE, MAP_FIXED_NOREPLACE = 0x100, 0x2000, 0x8000, 0x100000
MADV_GUARD_INSTALL, MADV_GUARD_REMOVE = 102, 103
PATH_BYTES, MAPS_BYTES = 32, 12000
MOST_ACTORS, CLONE_VM = 4, 0x100
RLIMIT_MEMLOCK, MOST_LOCKED = 8, 16 * PAGE


def place(make: Maker) -> int:
    """An address in the arena, seldom one between pages."""
    address = ARENA + PAGE * make.random.randrange(16)
    if make.odds(6):
        address += make.one(1, 8, 100, 4095)
    if make.odds(2):
        address = make.one(0, 1 << 47, (1 << 47) - PAGE, (1 << 64) - PAGE, -PAGE, 1 << 63)
    return address


def size(make: Maker) -> int:
    """A length, seldom odd."""
    if make.odds(88):
        return PAGE * make.one(1, 1, 2, 3, 4, 8)
    return make.one(0, 1, 100, 4095, 4097, -1, -4096, 1 << 47)


def protection(make: Maker) -> int:
    """PROT_*."""
    if make.odds(90):
        return make.one(0, 1, 1, 3, 3, 3, 3, 5, 7)
    # Not PROT_EXEC alone: processors with protection keys don't let that be read.
    return make.one(2, 6, 8, 16, 0x1000000, 0x2000000, 0x1000003, 0x3000001, -1)


def file_of(make: Maker) -> Argument:
    """A file with something in it."""
    if make.descriptors and make.odds(80):
        return make.descriptor()
    flags = make.one(2, 2, 2, 0, 1) | 0o100
    path = make.text(make.random.choice(("a", "b")))
    if make.odds(30):
        opened = make.call("memfd_create", At(0), 2, data=b"m\0")
    else:
        opened = make.call("openat", AT_FDCWD, At(0), flags, 0o644, data=path)
    make.opened(opened)
    make.call("ftruncate", Result(opened), make.one(0, 100, PAGE, 3 * PAGE, 5 * PAGE + 7))
    make.call("pwrite64", Result(opened), At(0), 64, make.one(0, 4090, 9000), data=bytes(range(1, 65)))
    return Result(opened)


def map_area(make: Maker) -> None:
    """mmap."""
    flags = make.one(MAP_PRIVATE, MAP_PRIVATE, MAP_SHARED, 3, 0) if make.odds(95) else make.one(4, 7)
    flags |= make.one(MAP_FIXED, MAP_FIXED, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_FIXED | MAP_FIXED_NOREPLACE)
    flags |= (
        make.bits((MAP_NORESERVE, MAP_POPULATE), (MAP_LOCKED, 0x800, 0x20000, 1 << 27, 1 << 31), 10)
        if make.odds(30)
        else 0
    )
    address, length = place(make), size(make)
    if address & (PAGE - 1) and not flags & (MAP_FIXED | MAP_FIXED_NOREPLACE):
        address &= -PAGE
    if make.odds(60):
        fd: Argument = make.one(-1, -1, -1, 0, 5)
        flags |= MAP_ANONYMOUS
        offset = make.one(0, 0, 0, PAGE, 1)
    else:
        fd = file_of(make)
        offset = make.one(0, 0, 0, PAGE, 2 * PAGE, 100, -PAGE, 1 << 62, (1 << 63) - PAGE)
    make.call("mmap", address, length, protection(make), flags, fd, offset, result="address")


def change_area(make: Maker) -> None:
    """munmap, mprotect, mremap, madvise, msync, mincore, mlock."""
    address, length = place(make), size(make)
    kind = make.random.randrange(20)
    if kind < 3:
        make.call("munmap", address, length)
    elif kind < 7:
        make.call("mprotect", address, length, protection(make))
    elif kind < 11:
        flags = make.one(0, 1, 1, 3, 3, 3, 3, 2, 5, 7, 8)
        target = place(make)
        new_length = size(make)
        if flags & 6 and make.odds(40):
            # That moves several areas at once.
            new_length = length
        make.call("mremap", address, length, new_length, flags, target if flags & 2 else 0, result="address")
    elif kind < 15:
        # Not MADV_FREE: whether what it gives up is still there is a matter of luck.
        advice = make.one(
            *(
                0,
                1,
                2,
                3,
                4,
                4,
                4,
                6,
                7,
                24,
                99,
                9,
                10,
                11,
                12,
                13,
                14,
                15,
                16,
                17,
                18,
                19,
                20,
                21,
                22,
                23,
                5,
                26,
                -1,
            ),
            *(MADV_GUARD_INSTALL, MADV_GUARD_INSTALL, MADV_GUARD_REMOVE),
        )
        # What reaches beyond the arena would be the executor's own.
        make.call("madvise", address, length if length < 1 << 40 else -1, advice)
    elif kind == 15:
        make.call("msync", address, length, make.one(0, 1, 2, 4, 6, 5, 3, 8))
    elif kind == 16:
        where: Argument = At(0) if make.odds(95) else make.one(0, 8)
        make.call("mincore", address, length, where, data=bytes(16), show=lambda data, result, naming: "")
    elif kind == 17:
        make.call(make.random.choice(("mlock", "munlock")), address, length)
    else:
        make.call("mlock2", address, length, make.one(0, 1, 2))


def policy(make: Maker) -> tuple[int, int, int]:
    """A mode with flags, the nodes of a mask, and how long the mask is said to be."""
    mode = make.one(0, 1, 2, 3, 4, 5, 7, -1) | make.bits((), (1 << 13, 1 << 14, 1 << 15, 3 << 14), 30)
    return mode, make.one(0, 1, 1, 1, 2, 3), make.one(64, 64, 64, 2, 1, 0, 1024, 1025, 99999)


def show_policy(data: bytes, result: int, naming: Naming) -> str:
    """The mode and the mask that get_mempolicy told."""
    mode, nodes = struct.unpack_from("<i4xQ", data)
    return f"{mode:#x} {nodes:#x}" if result == 0 else ""


def place_on_nodes(make: Maker) -> None:
    """mbind, set_mempolicy, get_mempolicy, move_pages, set_mempolicy_home_node."""
    address, length = place(make), size(make)
    mode, nodes, count = policy(make)
    mask = struct.pack("<Q", nodes).ljust(256, b"\0")
    kind = make.random.randrange(8)
    if kind < 3:
        make.call("mbind", address, length, mode, At(0), count, make.one(0, 0, 1, 2, 4, 8), data=mask)
    elif kind == 3:
        make.call("set_mempolicy", mode, At(0), count, data=mask)
    elif kind < 6:
        flags = make.one(0, 1, 2, 2, 2, 3, 4, 5, 8)
        make.call(
            "get_mempolicy", At(0), At(8), make.one(0, 1, 64, 64, 1024), address if flags & 2 else 0, flags,
            data=bytes(256), show=show_policy,
        )  # fmt: skip
    elif kind == 6:
        make.call("set_mempolicy_home_node", address, length, make.one(0, 0, 0, 1, -1), make.one(0, 0, 1))
    else:
        make.call("migrate_pages", Pid(0), count, At(0), At(128), data=mask)


def seal_and_remap(make: Maker) -> None:
    """mseal, remap_file_pages."""
    address, length = place(make), size(make)
    if make.odds(30):
        # What is sealed stays in the arena to the end of the script.
        make.call("mseal", address, length if length < 1 << 40 else -1, make.one(0, 0, 0, 0, 1))
    else:
        make.call("remap_file_pages", address, length, make.one(0, 0, 0, 1), make.one(0, 1, 2, 1 << 60), 0)


def touch(make: Maker) -> None:
    """Loads and stores."""
    address = ARENA + PAGE * make.random.randrange(16) + make.one(0, 1, 64, 4095, 9000)
    if make.odds(50):
        make.operation(LOAD, address)
    else:
        make.operation(STORE, address, make.one(1, 2, 200))


def touch_by_call(make: Maker) -> None:
    """Calls that read and write the arena."""
    address = place(make)
    kind = make.random.randrange(6)
    if kind == 0:
        make.call("read", file_of(make), address, make.one(10, 100, PAGE, 3 * PAGE))
    elif kind == 1:
        make.call("pwrite64", file_of(make), address, make.one(10, 100), 0)
    elif kind == 2:
        make.call(
            "pread64",
            file_of(make),
            address + make.one(0, 4000),
            make.one(100, PAGE, 5000),
            make.one(0, 4096),
        )
    elif kind == 3:
        make.call("getcwd", address + make.one(0, 4090), 100)
    else:
        local = vector([(address + make.one(0, 4090), make.one(10, 5000, PAGE))])
        call = make.random.choice(("process_vm_readv", "process_vm_writev"))
        make.call(
            call, Pid(0), At(0), 1, At(16), 1, make.one(0, 0, 1),
            data=struct.pack("<QQ", 0, make.one(10, 1000)) + local + b"w" * 1000,
            fixups=((0, 8, At(32)),), show=lambda data, result, naming: digest(data[32:]),
        )  # fmt: skip


def show_maps(data: bytes, result: int, naming: Naming) -> str:
    """The lines of /proc/self/maps for the arena."""
    lines: list[tuple[int, int, str]] = []
    for line in data[PATH_BYTES:].partition(b"\0")[0].decode().splitlines():
        fields = line.split(maxsplit=5)
        start, _, end = fields[0].partition("-")
        if ARENA <= int(start, 16) < ARENA + PAGE * ARENA_PAGES:
            name = fields[5].rpartition("/")[2] if len(fields) > 5 else ""
            first, last = (int(start, 16) - ARENA) // PAGE, (int(end, 16) - ARENA) // PAGE
            offset = int(fields[2], 16) // PAGE - first if name else 0
            rest = f"{fields[1]} {offset} {name}"
            if lines and lines[-1][1:] == (first, rest):
                # What has been moved, or could be written to, may stay apart from its neighbours.
                lines[-1] = lines[-1][0], last, rest
            else:
                lines.append((first, last, rest))
    return "; ".join(f"{first}-{last} {rest}" for first, last, rest in lines)


def look_at_maps(make: Maker) -> None:
    """Which areas there are."""
    path = b"/proc/self/maps"
    make.operation(SLURP, data=path.ljust(PATH_BYTES + MAPS_BYTES, b"\0"), show=show_maps, result="none")


def advise_by_number(make: Maker) -> None:
    """process_madvise, and more than one range at once."""
    opened = make.call("pidfd_open", Pid(make.random.choice(make.actors)), 0, result="pidfd")
    count = make.one(1, 1, 2, 3, 0)
    ranges = vector([(place(make), size(make) & (1 << 40) - 1) for _ in range(count)])
    # Not MADV_COLLAPSE, which takes huge pages.
    advice = make.one(20, 21, 4, 4, 14, 15, 102, 103, 0, -1)
    said = count if make.odds(95) else make.one(1025, -1)
    make.call(
        "process_madvise", Result(opened), At(0), said, advice, make.one(0, 0, 0, 1), data=ranges + bytes(16)
    )
    make.call("close", Result(opened))


def lock_all(make: Maker) -> None:
    """mlockall, munlockall, pkey_mprotect, memfd_secret, move_pages."""
    kind = make.random.randrange(8)
    if kind == 0:
        # What is locked from now on is the executor's too: only what's refused.
        make.call("mlockall", make.one(0, 4, 8, -1))
    elif kind == 1:
        make.call("munlockall")
    elif kind < 4:
        key = make.one(-1, -1, -1, 1, 16, -2)
        make.call("pkey_mprotect", place(make), size(make), protection(make), key)
    elif kind == 4:
        opened = make.call("memfd_secret", make.one(0, 0, 0o2000000, 1), result="hidden")
        make.call("close", Result(opened), result="hidden")
    else:
        count = make.one(1, 2, 3, 0)
        pages = struct.pack("<3Q", *(place(make) & (1 << 64) - 1 for _ in range(3)))
        nodes = struct.pack("<3i4x", *(make.one(0, 0, 0, 1, -1) for _ in range(3)))
        where: Argument = At(24) if make.odds(50) else 0
        flags = make.one(0, 2, 2, 4, 1, 8)
        who: Argument = Pid(0) if make.odds(50) else 0
        make.call(
            "move_pages", who, count, At(0), where, At(40), flags,
            data=pages + nodes + bytes(16), show=show_statuses,
        )  # fmt: skip


def move_break(make: Maker) -> None:
    """brk; not after somebody has executed a program, whose heap is anywhere."""
    if any(operation.kind == EXECUTE for operation in make.operations):
        return
    found = make.call("brk", 0, result="none", show=show_heap)
    change = make.one(0, PAGE, 3 * PAGE, 5, 4095, -PAGE, -3 * PAGE, -1 << 40, 1 << 46)
    make.call("brk", Result(found, change), result="none", show=show_heap)
    if make.odds(50):
        make.operation(make.one(LOAD, STORE), Result(found, make.one(0, PAGE, 2 * PAGE)), 7)


def show_heap(data: bytes, result: int, naming: Naming) -> str:
    """Where the heap ends."""
    return naming.heap(result)


def limit_locks(make: Maker) -> None:
    """RLIMIT_MEMLOCK, and no right to pass it."""
    if make.actor == 0:
        return
    soft = make.one(0, PAGE, 2 * PAGE, 3 * PAGE + 5, 8 * PAGE)
    make.call("prlimit64", 0, RLIMIT_MEMLOCK, At(0), 0, data=struct.pack("<QQ", soft, MOST_LOCKED))
    make.call("capset", At(0), At(8), data=struct.pack("<Ii6I", 0x20080522, 0, *(0,) * 6))
    address, length = place(make), size(make)
    kind = make.random.randrange(4)
    if kind < 2:
        make.call("mlock2", address, length, make.one(0, 1))
    elif kind == 2:
        flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_LOCKED
        make.call("mmap", address & -PAGE, length, 3, flags, -1, 0, result="address")
    else:
        make.call("mremap", address, length, length + PAGE, 1, 0, result="address")


def fork(make: Maker) -> None:
    """One more, with the same memory, or with a copy of it."""
    if len(make.actors) >= MOST_ACTORS:
        return
    if make.odds(70):
        make.spawn("fork")
    else:
        stack = STACKS_BASE + STACK_BYTES * (make.next_actor + 1) - 256
        make.spawn("clone", CLONE_VM | 17, stack, 0, 0, 0)


def reach_others(make: Maker) -> None:
    """process_vm_readv and process_vm_writev of another's arena."""
    remote = vector([(place(make), make.one(1, 10, PAGE, 2 * PAGE)) for _ in range(2)])
    call = make.random.choice(("process_vm_readv", "process_vm_writev"))
    make.call(
        call, Pid(make.random.choice(make.actors)), At(0), 1, At(16), make.one(1, 2), 0,
        data=struct.pack("<QQ", 0, make.one(10, 1000, 6000)) + remote + b"v" * 6000,
        fixups=((0, 8, At(48)),), show=lambda data, result, naming: digest(data[48:]),
    )  # fmt: skip


def show_statuses(data: bytes, result: int, naming: Naming) -> str:
    """Where each page is, or what's wrong with it."""
    # What is mapped ahead of use may be there, or not (ENOENT); what was only read has a page here, and none
    # of its own on Linux (EFAULT).
    found = struct.unpack_from("<3i", data, 40)
    return " ".join(str(0 if status in (-2, -14) else status) for status in found) if result >= 0 else ""


FAMILIES = (
    *(fork, reach_others, reach_others),
    advise_by_number,
    lock_all,
    *(map_area,) * 4,
    *(change_area,) * 7,
    *(place_on_nodes, place_on_nodes, move_break, limit_locks, limit_locks),
    seal_and_remap,
    *(touch,) * 5,
    touch_by_call,
    go_on,
    *(look_at_maps,) * 2,
)
