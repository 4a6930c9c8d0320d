"""Checks prctl, arch_prctl and the calls about the machine: options, their refusals, what is inherited."""

from __future__ import annotations

from typing import Any

import pytest

from procession.abi.errno import (
    EFAULT,
    EINVAL,
    ENODEV,
    ENXIO,
    EPERM,
    ERANGE,
    ESRCH,
)
from procession.abi.sysinfo import Sysinfo
from procession.abi.utsname import Utsname
from procession.hardware.physical_memory import PhysicalMemory
from procession.kernel.process_flags import TIF_NOTSC
from procession.kernel.task import Task
from procession.mm.address_space import (
    DENIAL_ENDS_HERE,
    DENIES_WRITE_EXECUTE,
    MemoryDescriptor,
    flags_for_child,
)
from tests.kernel.direct_calls import BAD_ADDRESS, RESULT, SCRATCH, call, put, result
from tests.kernel.signal_fakes import Machine

WORD = (1 << 64) - 1
LOW_WORD = (1 << 32) - 1
PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4


class Memory:
    """What prctl changes of an address space, in place of a whole one."""

    dumpable = 1
    inherited_flags = 0
    barrier_registrations = 0
    auxiliary_vector = b"auxiliary" * 3


@pytest.fixture
def machine() -> Machine:
    return Machine()


def equip(task: Task) -> Task:
    memory: Any = task.mm
    for name in ("dumpable", "inherited_flags", "barrier_registrations", "auxiliary_vector"):
        setattr(memory, name, getattr(Memory, name))
    memory.read_cstring = lambda address, limit: read_cstring(task, address, limit)
    return task


def read_cstring(task: Task, address: int, limit: int) -> bytes | None:
    text, end, _ = task.mm.read(address, limit).partition(b"\0")
    return text if end else None


@pytest.fixture
def root(machine: Machine) -> Task:
    return equip(machine.process(10))


@pytest.fixture
def alice(machine: Machine) -> Task:
    return equip(machine.process(11, credentials=machine.credentials.for_user(1000, 1000)))


def prctl(task: Task, option: int, *arguments: int) -> int:
    return call(task, "prctl", option, *arguments)


def told(task: Task, option: int) -> int:
    """The int that an option puts at its address."""
    assert prctl(task, option, RESULT) == 0
    return result(task, "i")[0]


class TestProcess:
    def test_a_name_is_cut_at_fifteen_bytes(self, root: Task) -> None:
        root.mm.write(SCRATCH, b"a name that is too long\0")
        prctl(root, 15, SCRATCH)
        assert root.command_name == b"a name that is "
        prctl(root, 16, RESULT)
        assert root.mm.read(RESULT, 16) == b"a name that is \0"
        root.mm.write(SCRATCH, b"short\0")
        prctl(root, 15, SCRATCH)
        assert root.command_name == b"short"
        with pytest.raises(EFAULT):
            prctl(root, 15, BAD_ADDRESS)

    def test_the_parent_death_signal(self, root: Task) -> None:
        prctl(root, 1, 9)
        assert told(root, 2) == 9
        for signo in (65, WORD):
            with pytest.raises(EINVAL):
                prctl(root, 1, signo)

    def test_dumpable_and_subreaper(self, root: Task) -> None:
        assert prctl(root, 3) == 1
        prctl(root, 4, 0)
        assert prctl(root, 3) == 0
        with pytest.raises(EINVAL):
            prctl(root, 4, 2)
        prctl(root, 36, 5)
        assert told(root, 37) == 1

    def test_no_new_privs_is_for_good(self, alice: Task) -> None:
        for arguments in ((0, 0, 0, 0), (2, 0, 0, 0), (1, 1, 0, 0), (1, 0, 0, 1)):
            with pytest.raises(EINVAL):
                prctl(alice, 38, *arguments)
        assert prctl(alice, 39) == 0
        prctl(alice, 38, 1)
        assert prctl(alice, 39) == 1

    def test_timer_slack(self, root: Task) -> None:
        prctl(root, 29, 100)
        assert prctl(root, 30) == 100
        prctl(root, 29, 0)
        assert prctl(root, 30) == 50_000
        root.policy = 1
        assert prctl(root, 30) == 0

    def test_time_stamps_can_fault(self, root: Task) -> None:
        assert told(root, 25) == 1
        prctl(root, 26, 2)
        assert told(root, 25) == 2
        assert root.flags & TIF_NOTSC
        with pytest.raises(EINVAL):
            prctl(root, 26, 3)

    def test_memory_failures(self, root: Task) -> None:
        for policy in (1, 0, 2):
            prctl(root, 33, 1, policy)
            assert prctl(root, 34) == policy
        for arguments in ((0, 1), (1, 3), (2, 0), (1, 0, 1)):
            with pytest.raises(EINVAL):
                prctl(root, 33, *arguments)

    def test_privileged_options(self, root: Task, alice: Task) -> None:
        prctl(root, 57, 1)
        assert prctl(root, 58) == 1
        with pytest.raises(EPERM):
            prctl(alice, 57, 1)
        with pytest.raises(EPERM):
            prctl(alice, 35, 8, 0x10000)
        with pytest.raises(EINVAL):
            prctl(root, 35, 8, 0x10000, 1)

    def test_the_auxiliary_vector(self, root: Task) -> None:
        assert prctl(root, 0x41555856, RESULT, 12) == 448
        assert root.mm.read(RESULT, 13) == Memory.auxiliary_vector[:12] + b"\0"

    @pytest.mark.parametrize(
        "option",
        [0, 5, 6, 9, 10, 11, 12, 19, 20, 22, 31, 32, 43, 44, 45, 46, 50, 54, 55, 62, 999],
    )
    def test_what_is_for_others(self, root: Task, option: int) -> None:
        with pytest.raises(EINVAL):
            prctl(root, option)

    def test_speculation(self, root: Task) -> None:
        assert [prctl(root, 52, feature) for feature in range(3)] == [0, 0, 8]
        for feature, control, error in (
            (0, 2, ENXIO),
            (1, 4, EPERM),
            (1, 3, ERANGE),
            (2, 2, EPERM),
            (3, 2, ENODEV),
        ):
            with pytest.raises(error):
                prctl(root, 53, feature, control)
        assert prctl(root, 53, 1, 2) == 0


class TestCapabilityOptions:
    def test_the_ambient_set(self, root: Task) -> None:
        with pytest.raises(EPERM):
            prctl(root, 47, 2, 13)
        words = put(root, "8I", 0x20080522, 0, LOW_WORD, LOW_WORD, 1 << 13, 0x1FF, 0x1FF, 0)
        call(root, "capset", words, words + 8)
        prctl(root, 47, 2, 13)
        assert (prctl(root, 47, 1, 13), prctl(root, 47, 1, 12)) == (1, 0)
        prctl(root, 47, 3, 13)
        assert prctl(root, 47, 1, 13) == 0
        prctl(root, 47, 2, 13)
        prctl(root, 47, 4)
        assert root.credentials.cap_ambient == 0
        for arguments in ((1, 41), (5, 0), (4, 1), (1, 0, 1)):
            with pytest.raises(EINVAL):
                prctl(root, 47, *arguments)

    def test_the_bounding_set(self, root: Task, alice: Task) -> None:
        prctl(root, 24, 40)
        assert (prctl(root, 23, 40), prctl(root, 23, 39)) == (0, 1)
        with pytest.raises(EINVAL):
            prctl(root, 23, 41)
        with pytest.raises(EPERM):
            prctl(alice, 24, 99)

    def test_securebits_and_keepcaps(self, root: Task) -> None:
        prctl(root, 8, 1)
        assert (prctl(root, 7), prctl(root, 27)) == (1, 0x10)
        prctl(root, 28, 0x31)
        assert prctl(root, 27) == 0x31
        with pytest.raises(EPERM):
            prctl(root, 8, 0)

    def test_capget_and_its_versions(self, root: Task, alice: Task) -> None:
        header = put(alice, "2I", 0x20080522, 10)
        call(alice, "capget", header, RESULT)
        assert result(alice, "6I") == (LOW_WORD, LOW_WORD, 0, 0x1FF, 0x1FF, 0)
        header = put(alice, "2I", 1, 10)
        with pytest.raises(EINVAL):
            call(alice, "capget", header, RESULT)
        assert alice.mm.read(SCRATCH, 4) == (0x20080522).to_bytes(4, "little")
        assert call(alice, "capget", put(alice, "2I", 1, 10), 0) == 0
        with pytest.raises(ESRCH):
            call(alice, "capget", put(alice, "2I", 0x20080522, 99), RESULT)
        with pytest.raises(EPERM):
            call(alice, "capset", put(alice, "2I", 0x20080522, 10), BAD_ADDRESS)
        with pytest.raises(EFAULT):
            call(alice, "capset", put(alice, "2I", 0x20080522, 11), BAD_ADDRESS)


class TestWriteExecuteDenial:
    def test_it_stays_as_it_is(self, root: Task) -> None:
        for bits in (2, 4, 8):
            with pytest.raises(EINVAL):
                prctl(root, 65, bits)
        prctl(root, 65, 3)
        assert prctl(root, 66) == 3
        for bits in (0, 1):
            with pytest.raises(EPERM):
                prctl(root, 65, bits)

    def test_children_have_it_unless_told_otherwise(self) -> None:
        assert flags_for_child(DENIES_WRITE_EXECUTE) == DENIES_WRITE_EXECUTE
        assert flags_for_child(DENIES_WRITE_EXECUTE | DENIAL_ENDS_HERE) == 0

    @pytest.mark.parametrize(
        ("old", "new", "is_denied"),
        [
            (PROT_READ, PROT_READ | PROT_EXEC, True),
            (PROT_READ | PROT_EXEC, PROT_READ | PROT_EXEC, False),
            (PROT_EXEC, PROT_WRITE | PROT_EXEC, True),
            (PROT_EXEC, PROT_READ | PROT_WRITE, False),
        ],
    )
    def test_what_it_denies(self, machine: Machine, old: int, new: int, is_denied: bool) -> None:
        mm = MemoryDescriptor(PhysicalMemory(1 << 20), machine.init.group.limits)
        assert not mm.denies(old, new)
        mm.inherited_flags = DENIES_WRITE_EXECUTE
        assert mm.denies(old, new) == is_denied


class TestMachine:
    def names(self, task: Task) -> Utsname:
        call(task, "uname", RESULT)
        return Utsname.unpack(task.mm.read(RESULT, Utsname.SIZE))

    def test_its_names(self, machine: Machine, root: Task, alice: Task) -> None:
        root.namespaces.uts.host_name = b"box"
        names = self.names(root)
        assert names == Utsname(b"Linux", b"box", b"6.12.0", names.version, b"x86_64", b"(none)")
        root.mm.write(SCRATCH, b"other\0rest")
        call(root, "sethostname", SCRATCH, 10)
        call(root, "setdomainname", SCRATCH, 3)
        assert self.names(alice).nodename.rstrip(b"\0") == b"other"
        assert self.names(alice).domainname.rstrip(b"\0") == b"oth"
        for task, length, error in ((alice, 99, EPERM), (root, 65, EINVAL), (root, -1, EINVAL)):
            with pytest.raises(error):
                call(task, "sethostname", BAD_ADDRESS, length)
        with pytest.raises(EFAULT):
            call(root, "sethostname", BAD_ADDRESS, 64)

    def test_old_personalities_see_other_names(self, machine: Machine, root: Task) -> None:
        assert call(root, "personality", 0x0020008) == 0
        assert call(root, "personality", 0xFFFFFFFF) == 0x0020008
        names = self.names(root)
        assert (names.release.rstrip(b"\0"), names.machine.rstrip(b"\0")) == (b"2.6.72", b"i686")

    def test_its_memory_and_uptime(self, machine: Machine, root: Task) -> None:
        machine.kernel.memory = PhysicalMemory(1 << 20)
        machine.kernel.memory.allocate()
        machine.kernel.clock.jump_to(9_500_000_000)
        call(root, "sysinfo", RESULT)
        info = Sysinfo.unpack(root.mm.read(RESULT, Sysinfo.SIZE))
        assert (info.uptime, info.totalram, info.procs, info.mem_unit) == (10, 1 << 20, 2, 1)
        assert info.freeram == (1 << 20) - 2 * 4096

    def test_barriers(self, root: Task) -> None:
        with pytest.raises(EPERM):
            call(root, "membarrier", 8, 0, 0)
        call(root, "membarrier", 0x10, 0, 0)
        assert call(root, "membarrier", 8, 0, 0) == call(root, "membarrier", 1, 0, 0) == 0
        assert call(root, "membarrier", 0x200, 0, 0) == 0x10
        assert call(root, "membarrier", 0, 0, 0) & 8
        with pytest.raises(EPERM):
            call(root, "membarrier", 0x80, 0, 0)
        for command, flags in ((3, 0), (8, 1), (-1, 0)):
            with pytest.raises(EINVAL):
                call(root, "membarrier", command, flags, 0)

    def test_robust_lists(self, root: Task, alice: Task) -> None:
        with pytest.raises(EINVAL):
            call(alice, "set_robust_list", 0x1234, 23)
        call(alice, "set_robust_list", 0x1234, 24)
        assert call(root, "get_robust_list", 11, RESULT, RESULT + 8) == 0
        assert result(root, "2Q") == (0x1234, 24)
        with pytest.raises(EPERM):
            call(alice, "get_robust_list", 10, RESULT, RESULT + 8)
        with pytest.raises(ESRCH):
            call(alice, "get_robust_list", 99, RESULT, RESULT + 8)

    def test_the_processor_and_its_node(self, root: Task) -> None:
        root.mm.write(RESULT, b"\xff" * 8)
        call(root, "getcpu", RESULT, RESULT + 4, BAD_ADDRESS)
        assert result(root, "2I") == (0, 0)


class TestSegments:
    def test_bases(self, root: Task) -> None:
        for setter, getter, base in ((0x1002, 0x1003, 0x7000), (0x1001, 0x1004, 0x7FFF_FFFF_EFFF)):
            call(root, "arch_prctl", setter, base)
            call(root, "arch_prctl", getter, RESULT)
            assert result(root, "Q") == (base,)
            with pytest.raises(EPERM):
                call(root, "arch_prctl", setter, 0x7FFF_FFFF_F000)
        assert (root.registers.fs_base, root.registers.gs_base) == (0x7000, 0x7FFF_FFFF_EFFF)

    def test_what_the_processor_lacks(self, root: Task) -> None:
        assert call(root, "arch_prctl", 0x1011, 0) == 1
        with pytest.raises(ENODEV):
            call(root, "arch_prctl", 0x1012, 0)
        for option in (0, 0x3001, 0x5001):
            with pytest.raises(EINVAL):
                call(root, "arch_prctl", option, RESULT)
