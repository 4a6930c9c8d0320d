"""Machine code that this process calls itself, where Python would take too long."""

from __future__ import annotations

import ctypes
import mmap
import os

from procession.hardware.translation.assembler import Assembler


class StubUnavailable(Exception):
    """This host doesn't let us have stubs; why."""


def address_of(memory: mmap.mmap) -> int:
    """Where `memory`, which is writable, is mapped here."""
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def map_code(code: Assembler, mailbox_bytes: int) -> tuple[mmap.mmap, memoryview[int]]:
    """A page with `code` behind a mailbox, which the code calls `mailbox`; and the mailbox's words.

    Raises StubUnavailable.
    """
    code.labels["mailbox"] = -mailbox_bytes
    descriptor = os.memfd_create("procession-hand-over")
    try:
        os.ftruncate(descriptor, mmap.PAGESIZE)
        writable = mmap.mmap(descriptor, mmap.PAGESIZE)
        writable[mailbox_bytes : mailbox_bytes + len(code.code)] = code.finish()
        try:
            mapped = mmap.mmap(
                descriptor, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
            )
        except OSError as error:
            raise StubUnavailable(f"executable mappings aren't allowed: {error.strerror}") from error
    finally:
        os.close(descriptor)
    return mapped, memoryview(mapped)[:mailbox_bytes].cast("Q")
