"""Files of memfd_create(2): no name, seals, and memory that goes with the last close."""

from __future__ import annotations

import pytest

from procession.abi.errno import EBUSY, EINVAL, EPERM
from procession.fs.attributes import change_mode
from procession.fs.file import O_RDONLY, File
from procession.fs.memfd import (
    F_SEAL_FUTURE_WRITE,
    F_SEAL_GROW,
    F_SEAL_SEAL,
    F_SEAL_SHRINK,
    F_SEAL_WRITE,
    MemfdFile,
    create_memfd,
)
from procession.fs.opening import open_path
from procession.kernel.rlimit import Limits
from procession.mm.address_space import MemoryDescriptor
from procession.mm.vma import VirtualMemoryArea
from tests.fs.file_tree import FileTree, new_tmpfs_tree

ALLOW_SEALING = 2
NOEXEC_SEAL = 8


@pytest.fixture
def tree() -> FileTree:
    return new_tmpfs_tree()


def new_file(tree: FileTree, flags: int = ALLOW_SEALING) -> MemfdFile:
    file = create_memfd(tree.vfs, b"name", flags, tree.user)
    assert isinstance(file, MemfdFile)
    file.acquire()
    file.write(b"contents")
    return file


def test_it_has_no_name_and_goes_with_its_last_close(tree: FileTree) -> None:
    file = new_file(tree)
    assert tree.full_name(file.path) == b"/memfd:name (deleted)"
    assert (file.inode.link_count, file.inode.mode) == (0, 0o100777)
    assert file.read_at(0, 100) == b"contents"
    again: File = open_path(file.path, tree.user, O_RDONLY)
    again.acquire()
    file.put()
    assert again.read(100) == b"contents"
    assert tree.vfs.memory.used_frames == 1
    again.put()
    assert tree.vfs.memory.used_frames == 0


def test_seals(tree: FileTree) -> None:
    file = new_file(tree)
    file.add_seals(F_SEAL_GROW)
    with pytest.raises(EPERM):
        file.write(b"more")
    with pytest.raises(EPERM):
        file.truncate(100)
    with pytest.raises(EPERM):
        file.allocate(0, 0, 100)
    assert file.write_at(0, b"CON") == 3
    file.truncate(7)
    file.add_seals(F_SEAL_SHRINK)
    with pytest.raises(EPERM):
        file.truncate(0)
    file.add_seals(F_SEAL_WRITE)
    with pytest.raises(EPERM):
        file.write_at(0, b"x")
    with pytest.raises(EPERM):
        file.check_mapping(is_shared=True, is_writable=True)
    file.check_mapping(is_shared=True, is_writable=False)
    file.check_mapping(is_shared=False, is_writable=True)
    file.add_seals(F_SEAL_SEAL)
    with pytest.raises(EPERM):
        file.add_seals(F_SEAL_FUTURE_WRITE)
    assert file.read_at(0, 100) == b"CONtent"


def test_sealing_must_be_allowed(tree: FileTree) -> None:
    file = new_file(tree, 0)
    assert file.memfd.seals == F_SEAL_SEAL
    with pytest.raises(EPERM):
        file.add_seals(F_SEAL_WRITE)
    with pytest.raises(EINVAL):
        new_file(tree).add_seals(0x100)


def test_what_is_mapped_cannot_be_sealed_against_writing(tree: FileTree) -> None:
    file = new_file(tree)
    mm = MemoryDescriptor(tree.vfs.memory, Limits())
    for may_write in (False, True):
        start = 0x10000 << may_write
        mm.map(
            VirtualMemoryArea(
                start, start + 4096, 1, is_shared=True, pages=file.mappable(), file=file, may_write=may_write
            )
        )
    with pytest.raises(EBUSY):
        file.add_seals(F_SEAL_WRITE)
    file.add_seals(F_SEAL_FUTURE_WRITE)
    mm.unmap(0x20000, 0x21000)
    file.add_seals(F_SEAL_WRITE)
    assert not file.check_mapping(is_shared=True, is_writable=False)


def test_not_executable(tree: FileTree) -> None:
    file = new_file(tree, NOEXEC_SEAL)
    assert file.inode.mode & 0o777 == 0o666
    with pytest.raises(EPERM):
        change_mode(file.path, tree.user, 0o777)
    change_mode(file.path, tree.user, 0o600)
