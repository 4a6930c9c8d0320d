"""Checks that a lock costs the same beside ten thousand others, and that they are what a plain list says."""

from __future__ import annotations

import random

import pytest

from procession.abi.errno import EAGAIN
from procession.fs.fd_table import FdTable
from procession.fs.file import O_CREAT, O_RDWR, File
from procession.fs.lock import F_RDLCK, F_UNLCK, F_WRLCK, RecordLock, locks_of, set_lock
from tests.fs.file_tree import new_tmpfs_tree
from tests.fs.growth import growth
from tests.kernel.process_ids import pid_numbered

LOCKS = 10_000
CONSTANT = 4


@pytest.fixture
def file() -> File:
    return new_tmpfs_tree(memory_bytes=64 << 20).open("/file", O_CREAT | O_RDWR)


def lock(file: File, owner: FdTable, kind: int, start: int, end: int) -> None:
    set_lock(file, RecordLock(owner, pid_numbered(1), kind, start, end), is_blocking=False)


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


@pytest.mark.parametrize("step", [0, 2])
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
        assert [record.start for record in records] == sorted(record.start for record in records)
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
