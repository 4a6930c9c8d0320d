"""Structures that grow from one version of Linux to the next: the caller says how much of one it knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import E2BIG

if TYPE_CHECKING:
    from procession.syscalls.parameters import UserMemory


def read_sized(memory: UserMemory, address: int, size: int, known: int) -> bytes:
    """The structure of `size` bytes at `address` as one of `known` bytes, with zeros for what isn't given.

    Raises EFAULT, and E2BIG if more is given that isn't zero.
    Linux: include/linux/uaccess.h, copy_struct_from_user.
    """
    data = memory.read(address, size)
    if any(data[known:]):
        raise E2BIG("fields of a later version are set")
    return data[:known].ljust(known, b"\0")
