"""The kinds of file system that mount(2) can make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from procession.abi.errno import EINVAL, ENODEV
from procession.fs.inode import Superblock
from procession.fs.tmpfs import Tmpfs

FILE_SYSTEM_TYPES: dict[bytes, Callable[[Any, bytes], Superblock]] = {}
"""Makes a file system of a kind from the kernel and mount(2)'s data; each kind's module puts its own in."""

_UNITS = {ord("k"): 10, ord("m"): 20, ord("g"): 30}


def make_file_system(kind: bytes, kernel: Any, options: bytes) -> Superblock:
    """A new file system of `kind`, with the comma-separated `options` of mount(8).

    Raises ENODEV for an unknown kind, EINVAL for unknown options.
    """
    make = FILE_SYSTEM_TYPES.get(kind)
    if make is None:
        raise ENODEV(f"no file system {kind.decode(errors='replace')}")
    return make(kernel, options)


def make_tmpfs(kernel: Any, options: bytes) -> Superblock:
    """tmpfs(5). Raises EINVAL. Linux: mm/shmem.c, shmem_parse_one."""
    limits: dict[bytes, int] = {}
    pages = kernel.memory.frame_count
    for option in options.split(b","):
        if not option:
            continue
        name, _, value = option.partition(b"=")
        if name == b"size" and value.endswith(b"%"):
            limits[b"nr_blocks"] = pages * _number(value[:-1]) // 100
        elif name == b"size":
            limits[b"nr_blocks"] = -(-_size(value) // 4096)
        elif name in (b"nr_blocks", b"nr_inodes"):
            limits[name] = _size(value)
        elif name == b"mode":
            limits[name] = _number(value, 8) & 0o7777
        elif name in (b"uid", b"gid"):
            limits[name] = _number(value)
        elif name not in (b"inode64", b"noswap"):
            raise EINVAL(f"tmpfs has no option {name.decode(errors='replace')}")
    # No limit at all, as 0 says, is what the machine's memory allows.
    return Tmpfs(
        kernel.vfs,
        mode=limits.get(b"mode", 0o1777),
        uid=limits.get(b"uid", 0),
        gid=limits.get(b"gid", 0),
        maximum_pages=min(limits.get(b"nr_blocks", pages // 2) or pages, pages),
        maximum_inodes=limits.get(b"nr_inodes") or None,
    )


def _number(text: bytes, base: int = 10) -> int:
    if not text.isalnum() or not text.isascii():
        raise EINVAL
    try:
        return int(text, base)
    except ValueError:
        raise EINVAL from None


def _size(text: bytes) -> int:
    """A number with a unit: k, m or g. Linux: lib/cmdline.c, memparse."""
    unit = _UNITS.get(text[-1:].lower()[0]) if text else None
    return _number(text) if unit is None else _number(text[:-1]) << unit


FILE_SYSTEM_TYPES[b"tmpfs"] = make_tmpfs
