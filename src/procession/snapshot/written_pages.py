"""Which pages of a mapping have been written to, as the host's own memory management tells.

Linux 6.7 and later tell that at no cost to who writes but a fault at the first write to each page: pages are
write-protected by userfaultfd(2) in its asynchronous mode, and PAGEMAP_SCAN lists and protects anew those
that were written to. Where there is no such thing, `written_pages` has None, and all pages must be compared.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
from ctypes import c_uint64
from typing import TYPE_CHECKING

from procession.abi.ioctls import FileIoctl
from procession.abi.page_scan import PageCategory
from procession.abi.userfaultfd import UFFD_API, UffdIoctl
from procession.hardware.physical_memory import PAGE_SHIFT

if TYPE_CHECKING:
    from mmap import mmap

_SYS_USERFAULTFD = 323
_USER_MODE_ONLY = 1
_UFFDIO_API, _UFFDIO_REGISTER = int(UffdIoctl.UFFDIO_API), int(UffdIoctl.UFFDIO_REGISTER)
_WP_HUGETLBFS_SHMEM, _WP_UNPOPULATED, _WP_ASYNC = 1 << 12, 1 << 13, 1 << 15
_MODE_WP = 2
_PAGEMAP_SCAN = int(FileIoctl.PAGEMAP_SCAN)
_SCAN_WP_MATCHING, _SCAN_CHECK_WPASYNC = 1, 2
_PAGE_IS_WRITTEN = int(PageCategory.PAGE_IS_WRITTEN)
_SCAN_WORDS, _REGION_WORDS = 12, 3
_REGIONS = 1024
# Of `struct pm_scan_arg`, by words.
_START, _END, _WALK_END = 2, 3, 4


class WrittenPages:
    """Tells which pages of a mapping were written to since it was asked last. Raises OSError."""

    __slots__ = ("address", "argument", "descriptor", "pagemap", "regions")

    def __init__(self, mapping: mmap) -> None:
        self.descriptor = self.pagemap = -1
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
        self.descriptor = _open_userfaultfd()
        try:
            features = _WP_ASYNC | _WP_UNPOPULATED | _WP_HUGETLBFS_SHMEM
            fcntl.ioctl(self.descriptor, _UFFDIO_API, bytes((c_uint64 * 3)(UFFD_API, features, 0)))
            whole = (c_uint64 * 4)(self.address, len(mapping), _MODE_WP, 0)
            fcntl.ioctl(self.descriptor, _UFFDIO_REGISTER, bytes(whole))
            self.pagemap = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
            self.regions = (c_uint64 * (_REGION_WORDS * _REGIONS))()
            self.argument = (c_uint64 * _SCAN_WORDS)(
                *(8 * _SCAN_WORDS, _SCAN_WP_MATCHING | _SCAN_CHECK_WPASYNC, 0, 0, 0),
                *(ctypes.addressof(self.regions), _REGIONS, 0, 0),
                *(_PAGE_IS_WRITTEN, 0, _PAGE_IS_WRITTEN),
            )
            self.take(1)
        except OSError:
            self.close()
            raise

    def take(self, count: int) -> list[int]:
        """Which of the first `count` pages were written to; from now on they count as not written to."""
        written: list[int] = []
        argument, regions, address = self.argument, self.regions, self.address
        argument[_START], argument[_END] = address, address + (count << PAGE_SHIFT)
        while True:
            found = fcntl.ioctl(self.pagemap, _PAGEMAP_SCAN, argument)
            for at in range(0, _REGION_WORDS * found, _REGION_WORDS):
                start, end = regions[at] - address, regions[at + 1] - address
                written += range(start >> PAGE_SHIFT, end >> PAGE_SHIFT)
            if found < _REGIONS:
                return written
            argument[_START] = argument[_WALK_END]

    def close(self) -> None:
        """Track no more."""
        for descriptor in (self.descriptor, self.pagemap):
            if descriptor >= 0:
                os.close(descriptor)
        self.descriptor = self.pagemap = -1

    def __del__(self) -> None:
        self.close()


def _open_userfaultfd() -> int:
    if os.uname().machine != "x86_64":
        raise OSError("the number of userfaultfd(2) isn't known here")
    library = ctypes.CDLL(None, use_errno=True)
    descriptor: int = library.syscall(_SYS_USERFAULTFD, os.O_CLOEXEC | os.O_NONBLOCK | _USER_MODE_ONLY)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "userfaultfd")
    return descriptor


def written_pages(mapping: mmap) -> WrittenPages | None:
    """A tracker for `mapping`; None where the host has no such thing, or doesn't allow it."""
    try:
        return WrittenPages(mapping)
    except OSError:
        return None
