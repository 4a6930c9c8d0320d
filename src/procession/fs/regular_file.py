"""Open file descriptions of regular files."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EFBIG, EINVAL, ENOSPC, ENXIO, EOPNOTSUPP
from procession.abi.open_flags import FallocateFlag
from procession.fs.attributes import remove_privileges, truncate_opened
from procession.fs.file import (
    MAXIMUM_SIZE,
    O_APPEND,
    O_DIRECT,
    O_NOATIME,
    SEEK_DATA,
    SEEK_HOLE,
    SEEK_SET,
    File,
    PositionedFile,
    set_position,
)
from procession.fs.inode import S_ISGID, S_ISUID
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT, ZERO_FRAME, OutOfFrames

if TYPE_CHECKING:
    from procession.mm.page_cache import PageCache

_SOUGHT_PAGES = 8
"""Looking for data or a hole passes so many pages in the time of a change to one."""
_KEEP_SIZE = int(FallocateFlag.FALLOC_FL_KEEP_SIZE)
_PUNCH_HOLE = int(FallocateFlag.FALLOC_FL_PUNCH_HOLE)


class RegularFile(PositionedFile):
    """An open file whose contents are pages of memory."""

    __slots__ = ()

    knows_nowait: ClassVar[bool] = False
    can_be_direct: ClassVar[bool] = True
    can_poll = False

    def read_at(self, offset: int, length: int) -> bytes:
        inode = self.inode
        asked, available = length, inode.size - offset
        if length > available:
            if offset + length > MAXIMUM_SIZE:
                raise EINVAL
            length = available
        if length <= 0:
            # Linux: mm/filemap.c, filemap_read; mm/shmem.c, shmem_file_read_iter.
            if (asked or inode.superblock.notes_reading_nothing) and not self.flags & O_NOATIME:
                inode.touch_accessed(self.path.mount.flags)
            return b""
        pages = inode.pages
        assert pages is not None
        if pages.memory.payer is not None and pages.is_kept_elsewhere:
            pages.bring_in_read(offset, length)
        data = pages.read(offset, length)
        if not self.flags & O_NOATIME:
            inode.touch_accessed(self.path.mount.flags)
        return data

    def write(self, data: bytes) -> int:
        if not data:
            return 0
        offset = self.inode.size if self.flags & O_APPEND else self.position
        count = self._write(offset, data)
        self.position = offset + count
        return count

    def write_at(self, offset: int, data: bytes) -> int:
        # pwrite(2), BUGS: with O_APPEND Linux appends whatever the offset.
        return self._write(self.inode.size if self.flags & O_APPEND else offset, data)

    def begin_write(self, offset: int | None) -> None:
        """A file in memory has the page then, and reaches as far. Raises ENOSPC.

        Linux: mm/shmem.c, shmem_write_begin, shmem_write_end.
        """
        inode = self.inode
        start = inode.size if self.flags & O_APPEND else self.position if offset is None else offset
        pages = inode.pages
        if inode.is_written_back or pages is None or start >= MAXIMUM_SIZE:
            return
        self._note_write()
        try:
            pages.frame(start >> PAGE_SHIFT)
        except OutOfFrames:
            raise ENOSPC from None
        inode.size = max(inode.size, start)

    def _note_write(self) -> None:
        """Linux: fs/inode.c, file_modified."""
        inode = self.inode
        if inode.mode & (S_ISUID | S_ISGID) or inode.xattrs or inode.xattrs is None:
            remove_privileges(self.path, inode.superblock.vfs.acting_subject(self.subject))
        inode.mtime_ns = inode.ctime_ns = inode.superblock.vfs.clock.realtime_ns

    def _write(self, offset: int, data: bytes) -> int:
        if not data:
            return 0
        if offset + len(data) > MAXIMUM_SIZE:
            raise EFBIG if self.flags & O_APPEND else EINVAL
        inode = self.inode
        pages = inode.pages
        assert pages is not None
        count = len(data)
        try:
            pages.write(offset, data)
        except OutOfFrames:
            index = offset >> PAGE_SHIFT
            while index in pages.frames:
                index += 1
            count = (index << PAGE_SHIFT) - offset
            if count <= 0:
                raise ENOSPC from None
            count = min(count, len(data))
        inode.size = max(inode.size, offset + count)
        self._note_write()
        return count

    def next_write_offset(self) -> int | None:
        return self.inode.size if self.flags & O_APPEND else self.position

    def seek(self, offset: int, whence: int) -> int:
        size = self.inode.size
        if whence in (SEEK_DATA, SEEK_HOLE):
            if not 0 <= offset < size:
                raise ENXIO
            offset, whence = self._seek_hole_or_data(offset, whence), SEEK_SET
        return set_position(self, offset, whence, size)

    def _seek_hole_or_data(self, offset: int, whence: int) -> int:
        pages = self.inode.pages
        assert pages is not None
        size = self.inode.size
        if pages.backing is not None or not self.inode.superblock.has_holes:
            return offset if whence == SEEK_DATA else size
        wants_data = whence == SEEK_DATA
        if pages.has_data(offset >> PAGE_SHIFT) == wants_data:
            return offset
        if wants_data:
            pages.memory.note_changed(len(pages.frames) // _SOUGHT_PAGES)
            later = [
                index for index in pages.frames if index > offset >> PAGE_SHIFT and pages.has_data(index)
            ]
            if not later:
                raise ENXIO
            return min(later) << PAGE_SHIFT
        index = offset >> PAGE_SHIFT
        while pages.has_data(index):
            index += 1
        pages.memory.note_changed((index - (offset >> PAGE_SHIFT)) // _SOUGHT_PAGES)
        return min(index << PAGE_SHIFT, size)

    def truncate(self, size: int) -> None:
        if not self.is_writable:
            raise EINVAL
        truncate_opened(self.path, self.inode.superblock.vfs.acting_subject(self.subject), size)

    def allocate(self, mode: int, offset: int, length: int) -> None:
        """Linux: mm/shmem.c, shmem_fallocate. Raises EOPNOTSUPP, ENOSPC, EFBIG."""
        if mode & ~(_KEEP_SIZE | _PUNCH_HOLE) or mode == _PUNCH_HOLE or not self.inode.superblock.has_holes:
            raise EOPNOTSUPP
        end = offset + length
        if end > MAXIMUM_SIZE:
            raise EFBIG
        inode = self.inode
        pages = inode.pages
        assert pages is not None
        first, last = offset >> PAGE_SHIFT, (end - 1) >> PAGE_SHIFT
        try:
            if mode & _PUNCH_HOLE:
                # Past the end too: there may be pages that FALLOC_FL_KEEP_SIZE has made.
                pages.zero(offset, end)
            elif last - first > inode.superblock.memory.available_frames + len(pages.frames):
                raise ENOSPC
            else:
                pages.reserve(first, last)
        except OutOfFrames:
            raise ENOSPC from None
        if not mode & (_KEEP_SIZE | _PUNCH_HOLE):
            inode.size = max(inode.size, end)
        remove_privileges(self.path, inode.superblock.vfs.acting_subject(self.subject))
        inode.touch_modified()

    def mappable(self) -> PageCache | None:
        return self.inode.pages

    def pages_to_sync(self) -> PageCache | None:
        """What is in memory is the file, but mappings are told."""
        pages = self.inode.pages
        return pages if pages is not None and pages.area_count and self.inode.is_written_back else None


def frames_spliced(file: File, offset: int, length: int) -> list[int]:
    """The pages of a file in memory, which a pipe shows as they are when it's read; [] for other files.

    Linux: mm/filemap.c, filemap_splice_read; mm/shmem.c, shmem_file_splice_read.
    """
    pages = file.inode.pages if isinstance(file, RegularFile) and not file.flags & O_DIRECT else None
    if pages is None:
        return []
    numbers = range(offset >> PAGE_SHIFT, (offset + length + PAGE_MASK) >> PAGE_SHIFT)
    return [pages.frames.get(number, ZERO_FRAME) for number in numbers]
