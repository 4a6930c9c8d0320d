"""Checks who may become whom, what capabilities follow, and what exec makes of a task's credentials."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession.abi.errno import EINVAL, EPERM, Errno
from procession.fs.namespace import NamespaceTable
from procession.fs.user_namespace import UserNamespace
from procession.kernel.process_flags import PF_NPROC_EXCEEDED
from procession.kernel.rlimit import RLIMIT_NPROC
from procession.kernel.security import credentials as ids
from procession.kernel.security.capability import (
    CAP_FS_SET,
    CAP_FULL_SET,
    CAP_SETGID,
    CAP_SETPCAP,
    CAP_SETUID,
    SECURE_KEEP_CAPS,
    SECURE_NO_SETUID_FIXUP,
    SECURE_NOROOT,
)
from procession.kernel.security.commoncap import (
    drop_from_bounding_set,
    keep_capabilities,
    lower_ambient,
    raise_ambient,
    set_capabilities,
    set_securebits,
)
from procession.kernel.security.credentials import UNCHANGED, Credentials, commit_credentials
from procession.kernel.task import Task
from tests.kernel.signal_fakes import Machine

ALICE, BOB = 1000, 2000
NET_RAW = 13


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def root(machine: Machine) -> Task:
    task = machine.process(10)
    task.credentials.count(RLIMIT_NPROC, 1)
    return task


@pytest.fixture
def alice(machine: Machine) -> Task:
    task = machine.process(11, credentials=machine.credentials.for_user(ALICE, ALICE, (4, 24)))
    task.credentials.count(RLIMIT_NPROC, 1)
    return task


def uids(task: Task) -> tuple[int, int, int, int]:
    mine = task.credentials
    return mine.uid, mine.euid, mine.suid, mine.fsuid


def gids(task: Task) -> tuple[int, int, int, int]:
    mine = task.credentials
    return mine.gid, mine.egid, mine.sgid, mine.fsgid


class TestUserIds:
    def test_the_superuser_becomes_another_for_good(self, root: Task) -> None:
        ids.set_uid(root, ALICE)
        assert uids(root) == (ALICE,) * 4
        with pytest.raises(EPERM):
            ids.set_uid(root, 0)

    def test_the_effective_id_alone_leaves_a_way_back(self, root: Task) -> None:
        ids.set_all_uids(root, UNCHANGED, ALICE, UNCHANGED)
        assert uids(root) == (0, ALICE, 0, ALICE)
        assert root.credentials.cap_effective == 0
        assert root.credentials.cap_permitted == CAP_FULL_SET
        ids.set_uid(root, 0)
        assert uids(root) == (0, 0, 0, 0)
        assert root.credentials.cap_effective == CAP_FULL_SET

    @pytest.mark.parametrize(
        ("real", "effective", "expected"),
        [
            (UNCHANGED, UNCHANGED, (0, 0, 0, 0)),
            (ALICE, UNCHANGED, (ALICE, 0, 0, 0)),
            (UNCHANGED, ALICE, (0, ALICE, ALICE, ALICE)),
            (ALICE, BOB, (ALICE, BOB, BOB, BOB)),
            (UNCHANGED, 0, (0, 0, 0, 0)),
        ],
    )
    def test_setreuid_decides_the_saved_id(
        self, root: Task, real: int, effective: int, expected: tuple[int, ...]
    ) -> None:
        ids.set_real_and_effective_uid(root, real, effective)
        assert uids(root) == expected

    def test_setreuid_to_the_real_id_keeps_the_saved_one(self, root: Task) -> None:
        ids.set_all_uids(root, ALICE, BOB, 0)
        ids.set_real_and_effective_uid(root, UNCHANGED, ALICE)
        assert uids(root) == (ALICE, ALICE, 0, ALICE)

    @pytest.mark.parametrize(
        ("change", "wanted"),
        [
            (ids.set_uid, (BOB,)),
            (ids.set_real_and_effective_uid, (BOB, UNCHANGED)),
            (ids.set_real_and_effective_uid, (UNCHANGED, BOB)),
            (ids.set_all_uids, (UNCHANGED, UNCHANGED, BOB)),
            (ids.set_gid, (BOB,)),
            (ids.set_real_and_effective_gid, (BOB, UNCHANGED)),
            (ids.set_all_gids, (UNCHANGED, BOB, UNCHANGED)),
        ],
    )
    def test_others_may_only_use_ids_that_they_have(
        self, alice: Task, change: Callable[..., None], wanted: tuple[int, ...]
    ) -> None:
        before = alice.credentials
        with pytest.raises(EPERM):
            change(alice, *wanted)
        assert alice.credentials is before

    def test_minus_one_is_no_id(self, root: Task) -> None:
        with pytest.raises(EINVAL):
            ids.set_uid(root, UNCHANGED)
        with pytest.raises(EINVAL):
            ids.set_gid(root, UNCHANGED)
        with pytest.raises(EINVAL):
            ids.set_groups(root, (5, UNCHANGED))

    def test_setfsuid_tells_the_id_before_and_never_fails(self, root: Task, alice: Task) -> None:
        assert ids.set_file_system_uid(root, ALICE) == 0
        assert root.credentials.cap_effective == CAP_FULL_SET & ~CAP_FS_SET
        assert ids.set_file_system_uid(root, 0) == ALICE
        assert root.credentials.cap_effective == CAP_FULL_SET
        assert ids.set_file_system_uid(alice, BOB) == ALICE
        assert uids(alice) == (ALICE,) * 4
        assert ids.set_file_system_gid(alice, BOB) == ALICE
        assert ids.set_file_system_gid(root, BOB) == 0
        assert gids(root) == (0, 0, 0, BOB)

    def test_groups_are_sorted_and_count_for_files(self, root: Task) -> None:
        ids.set_groups(root, (7, 3, 5))
        assert root.credentials.groups == (3, 5, 7)
        assert root.credentials.is_in_group(5)
        assert not root.credentials.is_in_group(4)

    def test_the_process_is_counted_for_its_new_user(self, root: Task) -> None:
        before = root.credentials
        count = before.count_of(RLIMIT_NPROC)
        ids.set_uid(root, ALICE)
        assert before.count_of(RLIMIT_NPROC) == count - 1
        assert root.credentials.count_of(RLIMIT_NPROC) == 1

    def test_too_many_processes_are_remembered_until_exec(self, root: Task, alice: Task) -> None:
        alice.credentials.count(RLIMIT_NPROC, 2)
        root.group.limits.soft[RLIMIT_NPROC] = 2
        ids.set_uid(root, ALICE)
        assert root.flags & PF_NPROC_EXCEEDED

    def test_a_process_that_changed_its_id_is_not_dumpable(self, root: Task) -> None:
        root.parent_death_signal = 9
        ids.set_real_and_effective_uid(root, ALICE, UNCHANGED)
        assert (root.mm.is_dumpable, root.parent_death_signal) == (True, 9)
        ids.set_uid(root, ALICE)
        assert (root.mm.is_dumpable, root.parent_death_signal) == (False, 0)


class TestCapabilities:
    def test_all_go_with_the_last_id_of_the_superuser(self, root: Task) -> None:
        ids.set_all_uids(root, ALICE, ALICE, 0)
        assert (root.credentials.cap_permitted, root.credentials.cap_effective) == (CAP_FULL_SET, 0)
        ids.set_all_uids(root, UNCHANGED, UNCHANGED, ALICE)
        assert (root.credentials.cap_permitted, root.credentials.cap_effective) == (0, 0)

    def test_they_can_be_kept(self, root: Task) -> None:
        keep_capabilities(root, True)
        ids.set_uid(root, ALICE)
        assert (root.credentials.cap_permitted, root.credentials.cap_effective) == (CAP_FULL_SET, 0)

    def test_securebits_leave_them_alone(self, root: Task) -> None:
        set_securebits(root, 1 << SECURE_NO_SETUID_FIXUP)
        ids.set_uid(root, ALICE)
        assert root.credentials.cap_effective == CAP_FULL_SET

    def test_locked_securebits_stay(self, root: Task) -> None:
        set_securebits(root, 3 << SECURE_KEEP_CAPS)
        for bits in (0, 1 << SECURE_KEEP_CAPS, 2 << SECURE_KEEP_CAPS, 1 << 20):
            with pytest.raises(EPERM):
                set_securebits(root, bits)
        with pytest.raises(EPERM):
            keep_capabilities(root, False)

    def test_capset_only_gives_away(self, root: Task) -> None:
        some = 1 << CAP_SETUID | 1 << NET_RAW
        set_capabilities(root, 1 << NET_RAW, some, 1 << NET_RAW)
        with pytest.raises(EPERM, match="permitted"):
            set_capabilities(root, 0, CAP_FULL_SET, 0)
        with pytest.raises(EPERM, match="isn't permitted"):
            set_capabilities(root, 1 << 3, some, 0)
        with pytest.raises(EPERM, match="CAP_SETPCAP"):
            set_capabilities(root, 0, some, 1 << 3)

    def test_what_left_the_bounding_set_is_not_inheritable(self, root: Task) -> None:
        drop_from_bounding_set(root, NET_RAW)
        with pytest.raises(EPERM, match="bounding"):
            set_capabilities(root, CAP_FULL_SET, CAP_FULL_SET, 1 << NET_RAW)
        with pytest.raises(EINVAL):
            drop_from_bounding_set(root, 41)
        set_capabilities(root, 0, CAP_FULL_SET, 0)
        with pytest.raises(EPERM):
            drop_from_bounding_set(root, 41)

    def test_ambient_needs_both_sets(self, root: Task) -> None:
        with pytest.raises(EPERM):
            raise_ambient(root, NET_RAW)
        set_capabilities(root, CAP_FULL_SET, CAP_FULL_SET, 1 << NET_RAW)
        raise_ambient(root, NET_RAW)
        set_capabilities(root, 0, CAP_FULL_SET & ~(1 << NET_RAW), 1 << NET_RAW)
        assert root.credentials.cap_ambient == 0


class TestExec:
    @pytest.mark.parametrize("set_uid", [None, 0, BOB])
    def test_the_superuser_keeps_everything_but_to_another_user(
        self, root: Task, set_uid: int | None
    ) -> None:
        after = root.credentials.for_exec(set_uid=set_uid)
        assert after.credentials.euid == (set_uid or 0)
        assert after.credentials.cap_effective == (0 if set_uid == BOB else CAP_FULL_SET)
        assert after.is_secure == (set_uid == BOB)

    def test_a_set_user_id_program_of_the_superuser_gives_everything(self, alice: Task) -> None:
        after = alice.credentials.for_exec(set_uid=0)
        new = after.credentials
        assert (new.uid, new.euid, new.suid, new.fsuid) == (ALICE, 0, 0, 0)
        assert new.cap_effective == new.cap_permitted == CAP_FULL_SET
        assert after.is_secure
        assert after.clears_personality
        assert alice.credentials.cap_effective == 0

    def test_no_new_privs_gives_nothing(self, alice: Task) -> None:
        commit_credentials(alice, alice.credentials.replace(no_new_privs=True))
        after = alice.credentials.for_exec(set_uid=0, set_gid=0)
        assert (after.credentials.euid, after.credentials.egid) == (ALICE, ALICE)
        assert after.credentials.cap_permitted == 0
        assert not after.is_secure

    @pytest.mark.parametrize("is_traced", [False, True])
    def test_privilege_is_not_gained_in_front_of_others(self, alice: Task, is_traced: bool) -> None:
        after = alice.credentials.for_exec(set_uid=0, is_unsafe=not is_traced, is_traced=is_traced)
        assert after.credentials.euid == ALICE
        assert after.credentials.cap_permitted == 0

    def test_a_set_group_id_program_is_secure(self, alice: Task) -> None:
        after = alice.credentials.for_exec(set_gid=BOB)
        assert (after.credentials.gid, after.credentials.egid, after.credentials.sgid) == (ALICE, BOB, BOB)
        assert after.is_secure
        # A group that the task is in already changes nothing that matters, but for who started it.
        assert alice.credentials.for_exec(set_gid=4).is_secure

    def test_the_ambient_set_survives_and_the_others_go(self, root: Task) -> None:
        keep_capabilities(root, True)
        set_capabilities(root, CAP_FULL_SET, CAP_FULL_SET, 1 << NET_RAW)
        ids.set_uid(root, ALICE)
        raise_ambient(root, NET_RAW)
        after = root.credentials.for_exec()
        assert after.credentials.cap_permitted == after.credentials.cap_effective == 1 << NET_RAW
        assert not after.is_secure
        assert not after.credentials.is_secure(SECURE_KEEP_CAPS)
        assert root.credentials.for_exec(set_uid=BOB).credentials.cap_effective == 0

    def test_without_a_root_user_zero_is_nobody_special(self, root: Task) -> None:
        set_securebits(root, 1 << SECURE_NOROOT)
        assert root.credentials.for_exec().credentials.cap_permitted == 0

    def test_the_bounding_set_limits_what_the_superuser_gets(self, root: Task) -> None:
        drop_from_bounding_set(root, NET_RAW)
        assert root.credentials.for_exec().credentials.cap_permitted == CAP_FULL_SET & ~(1 << NET_RAW)


some_uid = st.sampled_from([0, ALICE, BOB, UNCHANGED])
some_set = st.integers(0, CAP_FULL_SET)
operations = st.one_of(
    st.tuples(st.just(ids.set_uid), st.tuples(some_uid)),
    st.tuples(st.just(ids.set_real_and_effective_uid), st.tuples(some_uid, some_uid)),
    st.tuples(st.just(ids.set_all_uids), st.tuples(some_uid, some_uid, some_uid)),
    st.tuples(st.just(ids.set_file_system_uid), st.tuples(some_uid)),
    st.tuples(st.just(set_capabilities), st.tuples(some_set, some_set, some_set)),
    st.tuples(st.just(raise_ambient), st.tuples(st.sampled_from([CAP_SETUID, CAP_SETGID, CAP_SETPCAP]))),
    st.tuples(st.just(lower_ambient), st.tuples(some_set)),
    st.tuples(st.just(keep_capabilities), st.tuples(st.booleans())),
    st.tuples(st.just(set_securebits), st.tuples(st.integers(0, 0xFF))),
    st.tuples(st.just(drop_from_bounding_set), st.tuples(st.integers(0, 41))),
)


@given(steps=st.lists(operations, max_size=12), set_uid=st.sampled_from([None, 0, ALICE]))
def test_the_sets_stay_within_each_other(
    steps: list[tuple[Callable[..., object], tuple[object, ...]]], set_uid: int | None
) -> None:
    task = Machine().process(10)
    for operation, arguments in steps:
        before = task.credentials
        try:
            operation(task, *arguments)
        except Errno:
            assert task.credentials is before
        for mine in (task.credentials, task.credentials.for_exec(set_uid=set_uid).credentials):
            assert mine.cap_effective & ~mine.cap_permitted == 0
            assert mine.cap_ambient & ~(mine.cap_permitted & mine.cap_inheritable) == 0


def test_what_is_counted_is_bounded_around_a_namespace_too() -> None:
    table = NamespaceTable()
    first = UserNamespace(table, None)
    inner = UserNamespace(table, first, ALICE, ALICE)
    inner.limits = {RLIMIT_NPROC: 3}
    for uid in (0, 1):
        Credentials(inner, uid, 0).count(RLIMIT_NPROC, 1)
    alice = Credentials(first, ALICE, ALICE)
    assert alice.count_of(RLIMIT_NPROC) == 2
    newest = Credentials(inner, 2, 0)
    assert newest.has_room(RLIMIT_NPROC, 1, 1)
    assert not newest.has_room(RLIMIT_NPROC, 2, 1)
    alice.count(RLIMIT_NPROC, 1)
    assert not newest.has_room(RLIMIT_NPROC, 1, 1)
    for uid in (0, 1):
        Credentials(inner, uid, 0).count(RLIMIT_NPROC, -1)
    assert inner.counts == {}
    assert first.counts == {(ALICE, RLIMIT_NPROC): 1}
