"""File locks: conflicts, splitting and joining, waiting, deadlocks, and what a close gives up."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession.abi.errno import EAGAIN, EBADF, EDEADLK, EINVAL, EOVERFLOW
from procession.fs.fd_table import FdTable
from procession.fs.file import MAXIMUM_SIZE, O_CREAT, O_RDONLY, O_RDWR, O_WRONLY, File
from procession.fs.lock import (
    F_RDLCK,
    F_UNLCK,
    F_WRLCK,
    RecordLock,
    flock,
    lock_range,
    locks_of,
    set_lock,
    test_lock,
    unlock,
)
from procession.fs.wait_queue import Sleep, Waiter
from tests.fs.file_tree import FileTree, new_tmpfs_tree
from tests.kernel.process_ids import pid_numbered

# It's a function of the module under test, not a test.
find_conflict = test_lock
del test_lock


class Process:
    """A table of descriptors, and a waiter that notes that it was woken."""

    def __init__(self, tree: FileTree, pid: int) -> None:
        self.tree = tree
        self.pid = pid
        self.files = FdTable()
        self.is_woken = False

    def wake(self) -> None:
        self.is_woken = True
        for queue in self.queues:
            queue.remove(self)

    def open(self, name: str, flags: int = O_RDWR | O_CREAT) -> File:
        file = self.tree.open(name, flags)
        self.files.install(file, limit=100)
        file.put()
        return file

    def lock(self, file: File, kind: int, start: int, end: int, *, waits: bool = False) -> None:
        set_lock(file, RecordLock(self.files, pid_numbered(self.pid), kind, start, end), is_blocking=waits)

    def sleep_for(self, file: File, kind: int, start: int, end: int) -> None:
        """Wait for a lock as the kernel would let a task wait."""
        with pytest.raises(Sleep) as sleep:
            self.lock(file, kind, start, end, waits=True)
        self.queues = sleep.value.queues
        waiter: Waiter = self
        for queue in self.queues:
            queue.add(waiter)

    def held(self, file: File) -> list[tuple[int, int, int]]:
        return [
            (lock.kind, lock.start, lock.end)
            for lock in locks_of(file.inode).records
            if lock.owner is self.files
        ]


@pytest.fixture
def tree() -> FileTree:
    return new_tmpfs_tree()


@pytest.fixture
def one(tree: FileTree) -> Process:
    return Process(tree, 1)


@pytest.fixture
def two(tree: FileTree) -> Process:
    return Process(tree, 2)


def test_readers_share_and_writers_do_not(one: Process, two: Process) -> None:
    first, second = one.open("/file"), two.open("/file")
    one.lock(first, F_RDLCK, 0, 99)
    two.lock(second, F_RDLCK, 50, 149)
    with pytest.raises(EAGAIN):
        two.lock(second, F_WRLCK, 0, 10)
    two.lock(second, F_WRLCK, 100, 149)
    with pytest.raises(EAGAIN):
        one.lock(first, F_RDLCK, 90, 100)
    found = find_conflict(first, RecordLock(one.files, pid_numbered(1), F_RDLCK, 0, MAXIMUM_SIZE))
    assert found is not None
    assert found.pid is not None
    assert (found.kind, found.start, found.end, found.pid.own_number) == (F_WRLCK, 100, 149, 2)
    assert find_conflict(second, RecordLock(two.files, pid_numbered(2), F_RDLCK, 0, MAXIMUM_SIZE)) is None


def test_locks_of_one_owner_are_split_and_joined(one: Process) -> None:
    file = one.open("/file")
    one.lock(file, F_WRLCK, 0, 99)
    one.lock(file, F_RDLCK, 40, 59)
    assert one.held(file) == [(F_WRLCK, 0, 39), (F_RDLCK, 40, 59), (F_WRLCK, 60, 99)]
    one.lock(file, F_UNLCK, 50, 69)
    assert one.held(file) == [(F_WRLCK, 0, 39), (F_RDLCK, 40, 49), (F_WRLCK, 70, 99)]
    one.lock(file, F_WRLCK, 30, 75)
    assert one.held(file) == [(F_WRLCK, 0, 99)]


LOCKS = st.tuples(st.sampled_from([F_RDLCK, F_WRLCK, F_UNLCK]), st.integers(0, 20), st.integers(0, 10))


@given(st.lists(LOCKS))
def test_ranges_agree_with_a_map_of_bytes(operations: list[tuple[int, int, int]]) -> None:
    process = Process(new_tmpfs_tree(), 1)
    file = process.open("/file")
    kinds: dict[int, int] = {}
    for kind, start, length in operations:
        process.lock(file, kind, start, start + length)
        kinds.update(dict.fromkeys(range(start, start + length + 1), kind))
    held = process.held(file)
    expected = {byte: kind for byte, kind in kinds.items() if kind != F_UNLCK}
    assert {byte: kind for kind, start, end in held for byte in range(start, end + 1)} == expected
    for (kind, _, end), (next_kind, next_start, _) in itertools.pairwise(held):
        assert end < next_start
        assert kind != next_kind or end + 1 < next_start


def test_closing_any_descriptor_gives_up_posix_locks(one: Process) -> None:
    file = one.open("/file")
    one.lock(file, F_WRLCK, 0, 9)
    one.open("/file", O_RDONLY)
    one.files.close(1)
    assert one.held(file) == []


def test_locks_of_an_open_file_stay_until_its_last_close(tree: FileTree, one: Process, two: Process) -> None:
    file, other = one.open("/file"), two.open("/file")
    set_lock(file, RecordLock(file, None, F_WRLCK, 0, 9), is_blocking=False)
    child = one.files.copy()
    one.files.close(0)
    with pytest.raises(EAGAIN):
        two.lock(other, F_RDLCK, 0, 0)
    child.put()
    two.lock(other, F_RDLCK, 0, 0)


def test_waiting(one: Process, two: Process) -> None:
    first, second = one.open("/file"), two.open("/file")
    one.lock(first, F_WRLCK, 0, 9)
    two.sleep_for(second, F_WRLCK, 5, 15)
    one.lock(first, F_WRLCK, 20, 29)
    woken_early = two.is_woken
    assert not woken_early
    one.lock(first, F_UNLCK, 0, 9)
    assert two.is_woken
    two.lock(second, F_WRLCK, 5, 15, waits=True)
    assert two.held(second) == [(F_WRLCK, 5, 15)]


def test_deadlock(tree: FileTree, one: Process, two: Process) -> None:
    three = Process(tree, 3)
    names = ("/a", "/b", "/c")
    files = {process: [process.open(name) for name in names] for process in (one, two, three)}
    for position, process in enumerate(files):
        process.lock(files[process][position], F_WRLCK, 0, 0)
    one.sleep_for(files[one][1], F_WRLCK, 0, 0)
    two.sleep_for(files[two][2], F_RDLCK, 0, 0)
    with pytest.raises(EDEADLK):
        three.lock(files[three][0], F_WRLCK, 0, 0, waits=True)
    # Who was interrupted waits for nothing any more.
    one.wake()
    with pytest.raises(Sleep):
        three.lock(files[three][0], F_WRLCK, 0, 0, waits=True)


def test_a_lock_needs_a_file_that_is_open_for_it(one: Process) -> None:
    one.open("/file")
    reader, writer = one.open("/file", O_RDONLY), one.open("/file", O_WRONLY)
    with pytest.raises(EBADF):
        one.lock(reader, F_WRLCK, 0, 0)
    with pytest.raises(EBADF):
        one.lock(writer, F_RDLCK, 0, 0)
    with pytest.raises(EINVAL):
        one.lock(reader, 7, 0, 0)


def test_ranges(one: Process) -> None:
    file = one.open("/file")
    file.write(bytes(100))
    file.position = 10
    assert lock_range(file, 0, 5, 10) == (5, 14)
    assert lock_range(file, 1, 5, 10) == (15, 24)
    assert lock_range(file, 2, -5, 0) == (95, MAXIMUM_SIZE)
    assert lock_range(file, 0, 10, -10) == (0, 9)
    for arguments in ((0, -1, 1), (0, 5, -6), (3, 0, 0), (2, -101, 0)):
        with pytest.raises(EINVAL):
            lock_range(file, *arguments)
    for arguments in ((0, MAXIMUM_SIZE, 2), (2, MAXIMUM_SIZE, 0)):
        with pytest.raises(EOVERFLOW):
            lock_range(file, *arguments)


def test_whole_files(one: Process, two: Process) -> None:
    first, second = one.open("/file"), two.open("/file")
    flock(first, pid_numbered(1), is_exclusive=False, is_blocking=False)
    flock(second, pid_numbered(2), is_exclusive=False, is_blocking=False)
    with pytest.raises(EAGAIN):
        flock(first, pid_numbered(1), is_exclusive=True, is_blocking=False)
    # The shared lock was given up on the way, as on Linux.
    flock(second, pid_numbered(2), is_exclusive=True, is_blocking=False)
    with pytest.raises(Sleep) as sleep:
        flock(first, pid_numbered(1), is_exclusive=False, is_blocking=True)
    one.queues = sleep.value.queues
    one.queues[0].add(one)
    unlock(second)
    assert one.is_woken
    flock(first, pid_numbered(1), is_exclusive=True, is_blocking=True)
    one.files.release()
    flock(second, pid_numbered(2), is_exclusive=True, is_blocking=False)
    unlock(second)
    assert locks_of(second.inode).whole == {}
