"""eventfd(2): counting, blocking, and what poll sees."""

from __future__ import annotations

import pytest

from procession.abi.errno import EAGAIN, EINVAL
from procession.fs.eventfd import LARGEST_COUNT, EventFile
from procession.fs.file import O_NONBLOCK, POLLIN, POLLOUT
from procession.fs.wait_queue import Sleep
from tests.fs.file_tree import FileTree, new_tmpfs_tree
from tests.fs.growth import CONSTANT, growth


@pytest.fixture
def tree() -> FileTree:
    return new_tmpfs_tree()


def number(value: int) -> bytes:
    return value.to_bytes(8, "little")


def test_reading_takes_the_whole_count(tree: FileTree) -> None:
    file = EventFile(tree.vfs, 3, O_NONBLOCK, tree.user, is_semaphore=False)
    assert file.write(number(4)) == 8
    assert file.read(16) == number(7)
    with pytest.raises(EAGAIN):
        file.read(8)
    assert file.poll_mask() == POLLOUT


def test_a_semaphore_gives_one_at_a_time(tree: FileTree) -> None:
    file = EventFile(tree.vfs, 2, 0, tree.user, is_semaphore=True)
    assert [file.read(8), file.read(8)] == [number(1), number(1)]
    with pytest.raises(Sleep) as caught:
        file.read(8)
    assert caught.value.queues == (file.read_queue,)


def test_the_count_never_overflows(tree: FileTree) -> None:
    file = EventFile(tree.vfs, 0, 0, tree.user, is_semaphore=False)
    assert file.write(number(LARGEST_COUNT)) == 8
    assert file.poll_mask() == POLLIN
    with pytest.raises(Sleep) as caught:
        file.write(number(1))
    assert caught.value.queues == (file.write_queue,)
    assert file.write(number(0)) == 8
    with pytest.raises(EINVAL):
        file.write(number(LARGEST_COUNT + 1))


@pytest.mark.parametrize("data", [b"", bytes(7), bytes(9), bytes(16)])
def test_only_eight_bytes_can_be_written(tree: FileTree, data: bytes) -> None:
    file = EventFile(tree.vfs, 0, 0, tree.user, is_semaphore=False)
    with pytest.raises(EINVAL):
        file.write(data)
    with pytest.raises(EINVAL):
        file.read(7)


def test_ids_are_the_smallest_free(tree: FileTree) -> None:
    files = [EventFile(tree.vfs, 0, 0, tree.user, is_semaphore=False) for _ in range(3)]
    assert [file.number for file in files] == [0, 1, 2]
    files[1].release_if_unheld()
    again = EventFile(tree.vfs, 10, 0, tree.user, is_semaphore=True)
    assert again.show_details() == (b"eventfd-count:                a\neventfd-id: 1\neventfd-semaphore: 1\n")
    assert again.path.dentry.name == b"anon_inode:[eventfd]"


def test_each_has_the_lowest_free_number_and_the_last_of_many_is_as_quick() -> None:
    tree = new_tmpfs_tree(memory_bytes=64 << 20)
    files: list[EventFile] = []

    def make(_: int) -> None:
        files.append(EventFile(tree.vfs, 0, 0, tree.user, is_semaphore=False))

    assert growth(make, 10_000) < CONSTANT
    assert [file.number for file in files] == list(range(10_000))
    for index in (7000, 7, 700):
        files[index].release()
    assert [EventFile(tree.vfs, 0, 0, tree.user, is_semaphore=False).number for _ in range(4)] == [
        *(7, 700, 7000, 10_000)
    ]
