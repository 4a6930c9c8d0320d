"""ELF files that are wrong in one way each, made from a program that is right."""

from __future__ import annotations

import struct
from collections.abc import Iterator

# Writes "ok\n" to its stdout and exits with status 0, wherever it lies.
CODE = bytes.fromhex(
    "b801000000"  # mov eax, 1 (write)
    "bf01000000"  # mov edi, 1
    "488d3511000000"  # lea rsi, [rip + 17]
    "ba03000000"  # mov edx, 3
    "0f05"  # syscall
    "b83c000000"  # mov eax, 60 (exit)
    "31ff"  # xor edi, edi
    "0f05"  # syscall
    "90"  # nop
    "6f6b0a"  # "ok\n"
)

EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
PHDR = struct.Struct("<IIQQQQQQ")
ET_EXEC, ET_DYN = 2, 3
PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE, PT_PHDR, PT_TLS = 1, 2, 3, 4, 6, 7
PT_GNU_STACK, PT_GNU_PROPERTY = 0x6474E551, 0x6474E553
X, W, R = 1, 2, 4
BASE = 0x400000
TEXT, DATA = 0x1000, 0x2000
FILE_SIZE = 0x3000
HUGE = (1 << 64) - 1
LOADER = b"/lib64/ld-linux-x86-64.so.2\0"

Program = dict[str, int]
Segment = dict[str, int]


def segment(kind: int, flags: int, offset: int, size: int, **changes: int) -> Segment:
    """A program header whose addresses follow from `offset`, but for `changes`."""
    fields = {
        "kind": kind,
        "flags": flags,
        "offset": offset,
        "address": BASE + offset,
        "physical": 0,
        "file_size": size,
        "memory_size": size,
        "alignment": 0x1000,
    }
    return fields | changes


def usual_segments() -> list[Segment]:
    """Headers, text and data, the last with 2 pages of zeros after it."""
    return [
        segment(PT_LOAD, R, 0, 0x200),
        segment(PT_LOAD, R | X, TEXT, len(CODE)),
        segment(PT_LOAD, R | W, DATA, 0x100, memory_size=0x2100),
    ]


def elf(
    segments: list[Segment] | None = None, contents: dict[int, bytes] | None = None, **changes: int | bytes
) -> bytes:
    """An ELF file with these program headers; `contents` are put at offsets of the file."""
    segments = usual_segments() if segments is None else segments
    header: dict[str, int | bytes] = {
        "identity": b"\x7fELF\x02\x01\x01" + bytes(9),
        "type": ET_EXEC,
        "machine": 62,
        "version": 1,
        "entry": BASE + TEXT,
        "program_headers": EHDR.size,
        "section_headers": 0,
        "flags": 0,
        "size": EHDR.size,
        "entry_size": PHDR.size,
        "count": len(segments),
        "section_entry_size": 0,
        "section_count": 0,
        "names": 0,
    }
    unknown = set(changes) - set(header)
    assert not unknown, unknown
    data = bytearray(FILE_SIZE)
    data[: EHDR.size] = EHDR.pack(*(header | changes).values())
    for index, fields in enumerate(segments):
        PHDR.pack_into(data, EHDR.size + PHDR.size * index, *fields.values())
    data[TEXT : TEXT + len(CODE)] = CODE
    for offset, part in (contents or {}).items():
        data[offset : offset + len(part)] = part
    return bytes(data)


def with_segment(index: int, **changes: int) -> bytes:
    """The usual program with one of its program headers changed."""
    segments = usual_segments()
    segments[index] |= changes
    return elf(segments)


def with_interpreter(name: bytes, **changes: int) -> bytes:
    """The usual program with an interpreter, whose header has these `changes`."""
    header = segment(PT_INTERP, R, 0x800, len(name)) | changes
    return elf([*usual_segments(), header], {0x800: name})


def truncated_cases() -> Iterator[tuple[str, bytes]]:
    """The file cut off at every border inside its headers and around them."""
    whole = elf()
    borders = {0, 1, 4, 16, 18, 20, 24, 32, 40, 48, 52, 54, 56, 58, 60, 62, TEXT, DATA, FILE_SIZE}
    borders |= {EHDR.size + PHDR.size * index + place for index in range(4) for place in (0, 4, 8, 16, 32)}
    borders |= {border - 1 for border in borders if border} | {TEXT + 1, TEXT + len(CODE), DATA + 0x100}
    for border in sorted(borders):
        yield f"truncated-{border:05}", whole[:border]


def header_cases() -> Iterator[tuple[str, bytes]]:
    """One field of the file's header wrong."""
    for name, identity in {
        "magic": b"\x7fELG\x02\x01\x01",
        "class-0": b"\x7fELF\x00\x01\x01",
        "order-big": b"\x7fELF\x02\x02\x01",
        "version-9": b"\x7fELF\x02\x01\x09",
        "system-3": b"\x7fELF\x02\x01\x01\x03",
        "system-9": b"\x7fELF\x02\x01\x01\x09",
    }.items():
        yield f"identity-{name}", elf(identity=identity.ljust(16, b"\0"))
    for kind in (0, 1, ET_DYN, 4, 5, 0xFE00, 0xFFFF):
        yield f"type-{kind}", elf(type=kind)
    for machine in (0, 2, 40, 183, 243, 0xFFFF):
        yield f"machine-{machine}", elf(machine=machine)
    for version in (0, 2, 0xFFFFFFFF):
        yield f"version-{version}", elf(version=version)
    entries = {
        "zero": 0,
        "one": 1,
        "before": BASE - 1,
        "headers": BASE,
        "data": BASE + DATA,
        "text-end": BASE + TEXT + len(CODE),
        "middle": BASE + TEXT + 1,
        "last-user": 0x7FFFFFFFEFFF,
        "past-user": 0x7FFFFFFFF000,
        "border": 0x800000000000,
        "kernel": 0xFFFFFFFF80000000,
        "top": HUGE,
    }
    for name, entry in entries.items():
        yield f"entry-{name}", elf(entry=entry)
    for offset in (
        0,
        1,
        63,
        65,
        0x1000,
        FILE_SIZE - 1,
        FILE_SIZE,
        1 << 31,
        1 << 62,
        1 << 63,
        HUGE,
        HUGE - 55,
    ):
        yield f"header-offset-{offset:x}", elf(program_headers=offset)
    for size in (0, 1, 32, 55, 57, 64, 0xFFFF):
        yield f"entry-size-{size}", elf(entry_size=size)
    for count in (0, 1, 2, 4, 200, 1170, 1171, 0xFFFE, 0xFFFF):
        yield f"count-{count}", elf(count=count)
    yield "header-size-0", elf(size=0)
    yield "sections", elf(section_headers=HUGE, section_entry_size=64, section_count=0xFFFF, names=0xFFFF)


def segment_cases() -> Iterator[tuple[str, bytes]]:
    """One program header wrong."""
    values = {
        "offset": (1, 0xFFF, 0x1001, FILE_SIZE, 1 << 20, 1 << 62, 1 << 63, HUGE & ~0xFFF, HUGE),
        "address": (
            *(1, 0x1000, 0x10000, BASE + 1, BASE, BASE + DATA, 0x7FFFFFFFF000),
            *(1 << 47, 1 << 62, 1 << 63, HUGE & ~0xFFF, HUGE),
        ),
        "file_size": (0, 1, 0x1000, 0x1001, FILE_SIZE, 1 << 20, 1 << 40, 1 << 62, 1 << 63, HUGE),
        "memory_size": (0, 1, 0x1000, 0x10000, 1 << 20, 1 << 46, 1 << 47, 1 << 62, 1 << 63, HUGE),
        "alignment": (0, 1, 2, 3, 0x1001, 0x2000, 1 << 21, 1 << 40, 1 << 62, 1 << 63, HUGE),
        "flags": (0, X, W, R, R | W | X, W | X, 0xFFFFFFF8),
        "kind": (0, PT_DYNAMIC, PT_NOTE, PT_PHDR, PT_TLS, PT_GNU_STACK, PT_GNU_PROPERTY, 0x7FFFFFFF),
    }
    for index, place in enumerate(("headers", "text", "data")):
        for field, wrong in values.items():
            for value in wrong:
                yield f"{place}-{field}-{value:x}", with_segment(index, **{field: value})


def layout_cases() -> Iterator[tuple[str, bytes]]:
    """Program headers that don't go together."""
    yield "right", elf()
    yield "no-segments", elf([segment(PT_NOTE, R, 0, 0x100)])
    yield "reversed", elf(usual_segments()[::-1])
    yield "twice", elf(usual_segments() * 2)
    yield "overlapping", elf([*usual_segments(), segment(PT_LOAD, R, DATA, 0x1000, address=BASE + TEXT)])
    yield (
        "overlapping-before",
        elf([segment(PT_LOAD, R | W, DATA, 0x1000, address=BASE + TEXT), *usual_segments()]),
    )
    yield "one-page-of-all", elf([segment(PT_LOAD, R | W | X, 0, FILE_SIZE)])
    yield (
        "zeros-over-text",
        elf([*usual_segments(), segment(PT_LOAD, R | W, 0, 0, address=BASE, memory_size=DATA)]),
    )
    yield "only-zeros", elf([segment(PT_LOAD, R | W | X, TEXT, 0, memory_size=0x1000)])
    yield "many", elf([segment(PT_LOAD, R, 0, 16, address=BASE + 0x100000 * index) for index in range(40)])
    yield "stack-executable", elf([*usual_segments(), segment(PT_GNU_STACK, R | W | X, 0, 0)])
    yield "stack-nothing", elf([*usual_segments(), segment(PT_GNU_STACK, 0, HUGE, HUGE, address=HUGE)])
    for size in (0, 1, 8, 16, 64, 1 << 62, HUGE):
        yield f"property-{size:x}", elf([*usual_segments(), segment(PT_GNU_PROPERTY, R, 0x800, size)])
    movable = [header | {"address": header["offset"]} for header in usual_segments()]
    yield "movable", elf(movable, type=ET_DYN, entry=TEXT)
    yield "movable-entry-huge", elf(movable, type=ET_DYN, entry=HUGE)
    yield (
        "movable-far-apart",
        elf([movable[0], movable[1], movable[2] | {"address": 1 << 46}], type=ET_DYN, entry=TEXT),
    )
    for alignment in (0, 3, 1 << 21, 1 << 46, 1 << 63):
        aligned = [header | {"alignment": alignment} for header in movable]
        yield f"movable-alignment-{alignment:x}", elf(aligned, type=ET_DYN, entry=TEXT)


def interpreter_cases() -> Iterator[tuple[str, bytes]]:
    """A program interpreter that isn't one. The cases lie in the directory from which they are started."""
    yield "interpreter-missing", with_interpreter(b"/nonexistent\0")
    yield "interpreter-directory", with_interpreter(b"/usr\0")
    yield "interpreter-device", with_interpreter(b"/dev/null\0")
    yield "interpreter-script", with_interpreter(b"/usr/bin/which\0")
    yield "interpreter-text", with_interpreter(b"/etc/passwd\0")
    yield "interpreter-itself", with_interpreter(b"interpreter-itself\0")
    yield "interpreter-static", with_interpreter(b"right\0")
    yield "interpreter-truncated", with_interpreter(b"truncated-00064\0")
    yield "interpreter-empty", with_interpreter(b"truncated-00000\0")
    yield "interpreter-wrong", with_interpreter(b"text-file_size-4000000000000000\0")
    yield "interpreter-under-file", with_interpreter(b"/etc/passwd/x\0")
    yield "interpreter-without-name", with_interpreter(b"\0\0")
    yield "interpreter-unended", with_interpreter(b"/nonexistent")
    yield "interpreter-ends-early", with_interpreter(b"right\0/nonexistent\0")
    yield "interpreter-long-name", with_interpreter(b"/" + b"x" * 300 + b"\0")
    for size in (0, 1, 2, 4096, 4097, 1 << 31, 1 << 62, HUGE):
        yield f"interpreter-size-{size:x}", with_interpreter(LOADER, file_size=size)
    for offset in (FILE_SIZE - 1, FILE_SIZE, 1 << 40, 1 << 62, 1 << 63, HUGE):
        yield f"interpreter-offset-{offset:x}", with_interpreter(LOADER, offset=offset)
    yield "interpreter-loader", with_interpreter(LOADER)
    movable = [header | {"address": header["offset"]} for header in usual_segments()]
    movable[0]["offset"] = 1 << 20
    loader = segment(PT_INTERP, R, 0x800, len(LOADER))
    # The interpreter looks for the program headers, which no segment holds, where the first one should be.
    yield "interpreter-no-headers", elf([*movable, loader], {0x800: LOADER}, type=ET_DYN, entry=TEXT)
    two = [segment(PT_INTERP, R, 0x800, 6), *usual_segments(), segment(PT_INTERP, R, 0x900, 13)]
    yield "interpreter-two", elf(two, {0x800: b"right\0", 0x900: b"/nonexistent\0"})


def all_cases() -> dict[str, bytes]:
    """Every case by name."""
    cases: dict[str, bytes] = {}
    for group in (truncated_cases, header_cases, segment_cases, layout_cases, interpreter_cases):
        for name, contents in group():
            assert name not in cases, name
            cases[name] = contents
    return cases
