"""Tables of descriptors: the lowest free number, close-on-exec, sharing, and when a file is closed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession.abi.errno import EBADF, EMFILE
from procession.fs.fd_table import FdTable
from procession.fs.file import File
from tests.fs.file_tree import FileTree, new_tmpfs_tree

LIMIT = 16


class CountedFile(File):
    """A file that counts how often it was released and flushed."""

    __slots__ = ("flush_count", "release_count")

    def __init__(self, tree: FileTree) -> None:
        super().__init__(tree.path("/"), 0, tree.user)
        self.flush_count = self.release_count = 0

    def release(self) -> None:
        self.release_count += 1

    def flush(self) -> None:
        self.flush_count += 1


@pytest.fixture
def tree() -> FileTree:
    return new_tmpfs_tree()


def test_the_lowest_number_is_given(tree: FileTree) -> None:
    table, file = FdTable(), CountedFile(tree)
    assert [table.install(file, limit=LIMIT) for _ in range(4)] == [0, 1, 2, 3]
    table.close(1)
    assert table.install(file, minimum=2, limit=LIMIT) == 4
    assert table.install(file, limit=LIMIT) == 1
    assert table.install(file, minimum=10, limit=LIMIT) == 10
    assert table.install(file, limit=LIMIT) == 5
    assert table.descriptors() == [0, 1, 2, 3, 4, 5, 10]
    assert file.reference_count == 7


def test_a_full_table(tree: FileTree) -> None:
    table, held = FdTable(), CountedFile(tree)
    for _ in range(3):
        table.install(held, limit=3)
    unheld = CountedFile(tree)
    for file in (unheld, held):
        with pytest.raises(EMFILE):
            table.install(file, limit=3)
    assert (unheld.release_count, held.release_count) == (1, 0)
    with pytest.raises(EMFILE):
        table.install(held, minimum=5, limit=3)


def test_descriptors_that_are_not_open(tree: FileTree) -> None:
    table = FdTable()
    for fd in (0, -1, 1 << 40):
        for use in (table.file, table.close, table.is_close_on_exec):
            with pytest.raises(EBADF):
                use(fd)
        with pytest.raises(EBADF):
            table.set_close_on_exec(fd, True)


def test_a_file_is_released_with_its_last_reference(tree: FileTree) -> None:
    table, file = FdTable(), CountedFile(tree)
    table.install(file, limit=LIMIT)
    table.replace(7, file)
    table.close(0)
    assert (file.release_count, file.flush_count) == (0, 1)
    table.replace(7, CountedFile(tree))
    assert (file.release_count, file.flush_count) == (1, 2)


def test_replacing_a_file_by_itself(tree: FileTree) -> None:
    table, file = FdTable(), CountedFile(tree)
    table.install(file, limit=LIMIT, close_on_exec=True)
    table.replace(0, file)
    assert (file.reference_count, file.release_count) == (1, 0)
    assert not table.is_close_on_exec(0)


def test_close_on_exec(tree: FileTree) -> None:
    table, file = FdTable(), CountedFile(tree)
    for is_set in (False, True, False, True):
        table.install(file, limit=LIMIT, close_on_exec=is_set)
    table.set_close_on_exec(3, False)
    table.set_close_on_exec(2, True)
    table.replace(5, file, close_on_exec=True)
    copy = table.copy()
    table.close_on_exec_files()
    assert table.descriptors() == [0, 3]
    assert copy.descriptors() == [0, 1, 2, 3, 5]
    assert [copy.is_close_on_exec(fd) for fd in copy.descriptors()] == [False, True, True, False, True]
    assert table.install(file, limit=LIMIT) == 1


def test_a_copy_shares_files_and_not_numbers(tree: FileTree) -> None:
    table, file = FdTable(), CountedFile(tree)
    table.install(file, limit=LIMIT)
    copy = table.copy()
    assert file.reference_count == 2
    table.close(0)
    assert copy.file(0) is file
    copy.put()
    assert file.release_count == 1
    table.acquire()
    table.put()
    table.put()


@given(st.lists(st.tuples(st.sampled_from(["install", "close", "replace", "copy"]), st.integers(0, 11))))
def test_numbers_and_references_agree(operations: list[tuple[str, int]]) -> None:
    tree = new_tmpfs_tree()
    table, model = FdTable(), dict[int, CountedFile]()
    files: list[CountedFile] = []
    for operation, number in operations:
        if operation == "install":
            file = CountedFile(tree)
            files.append(file)
            free = next(fd for fd in range(number, 100) if fd not in model)
            if free < LIMIT:
                model[free] = file
                assert table.install(file, minimum=number, limit=LIMIT) == free
            else:
                with pytest.raises(EMFILE):
                    table.install(file, minimum=number, limit=LIMIT)
        elif operation == "close" and number in model:
            table.close(number)
            del model[number]
        elif operation == "replace" and model:
            file = next(iter(model.values()))
            table.replace(number, file)
            model[number] = file
        elif operation == "copy":
            old, table = table, table.copy()
            old.put()
        assert dict(table) == model
    for file in files:
        count = sum(1 for held in model.values() if held is file)
        assert (file.reference_count, file.release_count) == (count, 0 if count else 1)
    table.release()
    assert all(file.release_count == 1 for file in files)
