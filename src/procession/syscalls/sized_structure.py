"""Structures that grow from one version of Linux to the next: the caller says how much of one it knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import E2BIG
from procession.hardware.physical_memory import PAGE_SIZE

if TYPE_CHECKING:
    from procession.syscalls.parameters import UserMemory


def read_sized(memory: UserMemory, address: int, size: int, known: int) -> bytes:
    """The structure of `size` bytes at `address` as one of `known` bytes, with zeros for what isn't given.

    Raises EFAULT, and E2BIG if more is given that isn't zero.
    Linux: include/linux/uaccess.h, copy_struct_from_user.
    """
    if size > known:
        check_zeroed(memory, address + known, size - known)
        size = known
    return memory.read(address, size).ljust(known, b"\0")


def check_zeroed(memory: UserMemory, address: int, size: int) -> None:
    """Raise E2BIG if one of the bytes isn't 0, even though some behind it can't be read; EFAULT otherwise.

    Linux: lib/usercopy.c, check_zeroed_user.
    """
    while size:
        length = min(size, PAGE_SIZE - address % PAGE_SIZE)
        if any(memory.read(address, length)):
            raise E2BIG("fields of a later version are set")
        address += length
        size -= length
