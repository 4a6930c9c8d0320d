"""Checks that an extended attribute costs the same beside ten thousand others."""

from __future__ import annotations

import pytest

from procession.abi.errno import ENOSPC
from procession.fs.xattr import remove_xattr, set_xattr
from tests.fs.file_tree import new_tmpfs_tree
from tests.fs.growth import CONSTANT, growth

ATTRIBUTES = 10_000
# What is linear is a hundred times as slow at the end.


def test_one_file_has_many() -> None:
    tree = new_tmpfs_tree(memory_bytes=128 << 20)
    tree.write("/file", b"")
    path, root = tree.path("/file"), tree.user

    def add(number: int) -> None:
        set_xattr(path, root, b"user.%05d" % number, b"1", 0)

    assert growth(add, ATTRIBUTES) < CONSTANT
    assert growth(add, ATTRIBUTES) < CONSTANT
    size = ATTRIBUTES * len(b"user.000001")
    assert path.inode.size_of_xattrs() == size
    room = path.inode.superblock.attributes_limit - size
    for number in range(room >> 16):
        set_xattr(
            path, root, b"user.large%d" % number, bytes((1 << 16) - len("user.large") - len(str(number))), 0
        )
    left = room & 0xFFFF
    with pytest.raises(ENOSPC):
        set_xattr(path, root, b"user.last", bytes(left - 8), 0)
    set_xattr(path, root, b"user.last", bytes(left - 9), 0)
    # It may be replaced by as much, and what is removed leaves room.
    set_xattr(path, root, b"user.last", b"1" * (left - 9), 0)
    remove_xattr(path, root, b"user.00000")
    set_xattr(path, root, b"user.last", bytes(left - 9 + 11), 0)
