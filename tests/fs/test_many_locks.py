"""Checks that a lock costs the same beside ten thousand others, and that they are what a plain list says."""

from __future__ import annotations

import random
from itertools import groupby

import pytest

from procession.abi.errno import EAGAIN, EDEADLK
from procession.fs import lock as lock_module
from procession.fs.fd_table import FdTable
from procession.fs.file import O_CREAT, O_RDWR, File
from procession.fs.lock import F_RDLCK, F_UNLCK, F_WRLCK, RecordLock, locks_of, set_lock
from procession.fs.wait_queue import Sleep
from tests.fs.file_tree import new_tmpfs_tree
from tests.fs.growth import CONSTANT, growth
from tests.kernel.process_ids import pid_numbered
from tests.of_a_kind import first_of

LOCKS = 10_000


@pytest.fixture
def file() -> File:
    return new_tmpfs_tree(memory_bytes=64 << 20).open("/file", O_CREAT | O_RDWR)


def lock(file: File, owner: FdTable, kind: int, start: int, end: int) -> None:
    set_lock(file, RecordLock(owner, pid_numbered(1), kind, start, end), is_blocking=False)


@pytest.mark.heavy
def test_one_owner_has_many(file: File) -> None:
    owner, other = FdTable(), FdTable()
    assert growth(lambda n: lock(file, owner, F_WRLCK, 3 * n, 3 * n), LOCKS) < CONSTANT
    assert len(locks_of(file.inode).records) == LOCKS

    def is_refused(number: int) -> None:
        with pytest.raises(EAGAIN):
            lock(file, other, F_RDLCK, 3 * number, 3 * number + 1)
        lock(file, other, F_WRLCK, 3 * number + 1, 3 * number + 2)
        lock(file, other, F_UNLCK, 3 * number + 1, 3 * number + 2)

    assert growth(is_refused, LOCKS) < CONSTANT
    assert growth(lambda n: lock(file, owner, F_UNLCK, 3 * n, 3 * n), LOCKS) < CONSTANT
    assert locks_of(file.inode).records == []


@pytest.mark.heavy
def test_asking_who_holds_one_of_many(file: File) -> None:
    owner, other = FdTable(), FdTable()
    for number in range(LOCKS):
        lock(file, owner, F_WRLCK, 3 * number, 3 * number)

    def ask(number: int) -> None:
        held = lock_module.test_lock(
            file, RecordLock(other, pid_numbered(2), F_RDLCK, 3 * number, 3 * number + 1)
        )
        assert held is not None
        assert (held.start, held.owner) == (3 * number, owner)
        free = RecordLock(other, pid_numbered(2), F_WRLCK, 3 * number + 1, 3 * number + 2)
        assert lock_module.test_lock(file, free) is None

    assert growth(ask, LOCKS) < CONSTANT


class Waiting:
    """Somebody who waits."""

    def wake(self) -> None:
        """Look again."""


def test_many_wait_for_one(file: File) -> None:
    holder, owners = FdTable(), [FdTable() for _ in range(LOCKS)]
    lock(file, holder, F_WRLCK, 0, 0)

    def wait(number: int) -> None:
        wanted = RecordLock(owners[number], pid_numbered(2), F_WRLCK, 0, 0)
        with pytest.raises(Sleep) as caught:
            set_lock(file, wanted, is_blocking=True)
        caught.value.queues[0].add(Waiting())

    assert growth(wait, LOCKS) < CONSTANT
    assert len(locks_of(file.inode).requests) == LOCKS
    for owner in owners:
        request = file.inode.superblock.vfs.lock_requests.first_of(owner)
        assert request is not None
        request.queue.waiters.clear()
    wait(0)
    # Who has given up can't be part of a deadlock; who waits can.
    for number, error in ((1, Sleep), (0, EDEADLK)):
        lock(file, owners[number], F_WRLCK, 7, 7)
        with pytest.raises(error):
            set_lock(file, RecordLock(holder, pid_numbered(1), F_WRLCK, 7, 7), is_blocking=True)
        lock(file, owners[number], F_UNLCK, 7, 7)


@pytest.mark.parametrize("step", first_of(1, [2, 0]))
def test_many_owners_have_one_each(file: File, step: int) -> None:
    owners = [FdTable() for _ in range(LOCKS)]
    assert growth(lambda n: lock(file, owners[n], F_RDLCK, step * n, step * n), LOCKS) < CONSTANT
    assert growth(lambda n: locks_of(file.inode).release_posix(owners[n]), LOCKS) < CONSTANT
    assert locks_of(file.inode).records == []


@pytest.mark.parametrize("seed", range(4))
def test_they_are_what_bytes_say(file: File, seed: int) -> None:
    chance = random.Random(seed)
    owners = [FdTable() for _ in range(4)]
    # By owner and byte, what kind of lock is there.
    bytes_locked: dict[tuple[int, int], int] = {}
    for _ in range(600):
        number, kind = chance.randrange(4), chance.choice((F_RDLCK, F_RDLCK, F_WRLCK, F_UNLCK))
        start = chance.randrange(60)
        span = range(start, start + chance.choice((1, 1, 2, 5, 30)))
        is_free = kind == F_UNLCK or not any(
            other != number and byte in span and F_WRLCK in (kind, held)
            for (other, byte), held in bytes_locked.items()
        )
        if is_free:
            lock(file, owners[number], kind, span[0], span[-1])
            for byte in span:
                bytes_locked[number, byte] = kind
                if kind == F_UNLCK:
                    del bytes_locked[number, byte]
        else:
            with pytest.raises(EAGAIN):
                lock(file, owners[number], kind, span[0], span[-1])
        records = locks_of(file.inode).records
        by_owner = [list(each) for _, each in groupby(records, lambda record: record.owner)]
        assert len(by_owner) == len({id(record.owner) for record in records})
        for each in by_owner:
            assert [record.start for record in each] == sorted(record.start for record in each)
        held_bytes = {
            (owners.index(record.owner), byte): record.kind  # type: ignore[arg-type]
            for record in records
            for byte in range(record.start, record.end + 1)
        }
        assert held_bytes == bytes_locked
        # Locks of one owner and kind that touch are one.
        ends = {(id(record.owner), record.kind, record.end + 1) for record in records}
        assert not ends & {(id(record.owner), record.kind, record.start) for record in records}
        assert file.inode.superblock.vfs.accounts.lock_count == len(records)
