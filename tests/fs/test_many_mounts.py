"""Checks that a mount costs the same beside ten thousand others."""

from __future__ import annotations

import pytest

from procession.fs.mounts.attach import bind
from procession.fs.mounts.peers import MS_SHARED
from procession.fs.mounts.reconfigure import set_propagation
from procession.fs.mounts.unmount import MNT_DETACH, unmount
from procession.fs.tmpfs import Tmpfs
from tests.fs.file_tree import FileTree, new_tmpfs_tree
from tests.fs.growth import CONSTANT, growth

MOUNTS = 10_000
# What is linear is a hundred times as slow at the end.


@pytest.fixture
def tree() -> FileTree:
    """A directory for each mount."""
    tree = new_tmpfs_tree(memory_bytes=128 << 20)
    for number in range(MOUNTS):
        tree.mkdir(f"/{number}")
    return tree


@pytest.mark.parametrize("is_shared", [False, True])
def test_file_systems_at_many_places(tree: FileTree, is_shared: bool) -> None:
    if is_shared:
        set_propagation(tree.path("/"), MS_SHARED, is_recursive=False)
    superblock = Tmpfs(tree.vfs)
    assert growth(lambda n: tree.namespace.mount(superblock, tree.path(f"/{n}")), MOUNTS) < CONSTANT
    assert growth(lambda n: unmount(tree.namespace, tree.path(f"/{n}")), MOUNTS) < CONSTANT
    assert len(tree.namespace.mounts) == 2


def test_one_directory_at_many_places(tree: FileTree) -> None:
    tree.mkdir("/source")
    source = tree.path("/source")

    def show(number: int) -> None:
        bind(tree.namespace, source, tree.path(f"/{number}"), is_recursive=False)

    assert growth(show, MOUNTS) < CONSTANT
    assert growth(lambda n: unmount(tree.namespace, tree.path(f"/{n}"), MNT_DETACH), MOUNTS) < CONSTANT
    assert len(tree.namespace.mounts) == 2
