"""Checks what control groups count and are charged, and that they may be nested as deeply as one likes."""

from __future__ import annotations

from collections.abc import Iterator
from struct import pack

import pytest

from procession.abi.bpf_attributes import BpfInsn
from procession.hardware.kernel_memory import CGROUP, CONTROLLER_BYTES, PRESSURE_BYTES, WATCH, WATCH_BYTES
from procession.hardware.physical_memory import OutOfFrames
from procession.kernel.bpf.form import decode
from procession.kernel.bpf.program import BpfProgram
from procession.kernel.cgroup.attach import move_task
from procession.kernel.cgroup.cpuset import processors_of
from procession.kernel.cgroup.device import attach
from procession.kernel.cgroup.group import Cgroup, Controller
from procession.kernel.cgroup.hierarchy import control_subtree, make_threaded
from procession.kernel.cgroup.memory import task_bytes
from procession.kernel.clone import CLONE_INTO_CGROUP
from procession.kernel.oom import out_of_memory
from procession.kernel.sched.pressure import CPU, SOME
from procession.kernel.task import Task
from procession.kernel.time.costs import EBPF_INSTRUCTION_NS
from procession.procfs.pressure import pressure_of
from tests.kernel.conducted_machine import SLEEPS, ConductedMachine, conducted_machines

CPUSET, PIDS, MEMORY = int(Controller.CPUSET), int(Controller.PIDS), int(Controller.MEMORY)
AREA, MADV_FREE = 0x4000_0000, 8
DEEP = 1_500
WINDOW_NS = 1_000_000_000


def make(machine: ConductedMachine, parent: Cgroup, name: bytes) -> Cgroup:
    kernel = machine.kernel
    return kernel.cgroups.make(kernel, parent, name, 1000)


def make_directory(machine: ConductedMachine, task: Task, name: bytes) -> Cgroup:
    machine.expect(task, "mkdir", b"/g/" + name + b"\0", 0o755)
    group = machine.kernel.cgroups.root
    for part in name.split(b"/"):
        group = group.children[part]
    return group


def enable(machine: ConductedMachine, group: Cgroup, controller: int) -> None:
    control_subtree(machine.kernel, group, controller, 0)


def disable(machine: ConductedMachine, group: Cgroup, controller: int) -> None:
    control_subtree(machine.kernel, group, 0, controller)


class TestNesting:
    @pytest.mark.heavy
    def test_processors_are_found_below_many_groups(self, machine: ConductedMachine, task: Task) -> None:
        group = machine.kernel.cgroups.root
        for _ in range(DEEP):
            enable(machine, group, CPUSET)
            group = make(machine, group, b"a")
        move_task(task, group)
        assert processors_of(group) == machine.kernel.scheduler.all_processors
        assert group.level == DEEP

    def test_a_controller_comes_to_many_groups_below(self, machine: ConductedMachine, task: Task) -> None:
        root = group = machine.kernel.cgroups.root
        for _ in range(DEEP):
            group = make(machine, group, b"a")
        move_task(task, group)
        enable(machine, root, PIDS)
        own = root.children[b"a"].pids
        assert own is not None
        assert group.pids is own
        assert own.count == 1
        disable(machine, root, PIDS)
        assert group.pids is None


class TestMemory:
    """With cgroup2 mounted at /g, and the memory controller given to all groups."""

    @pytest.fixture
    def above(self, machine: ConductedMachine, task: Task) -> Cgroup:
        machine.expect(task, "mkdir", b"/g\0", 0o755)
        machine.expect(task, "mount", b"none\0", b"/g\0", b"cgroup2\0", 0, 0)
        enable(machine, machine.kernel.cgroups.root, MEMORY)
        return make_directory(machine, task, b"above")

    def test_a_child_made_in_another_group_is_charged_there(
        self, machine: ConductedMachine, task: Task, above: Cgroup
    ) -> None:
        other = make_directory(machine, task, b"other")
        number = machine.expect(task, "open", b"/g/other\0", 0o200000)
        move_task(task, above)
        assert above.memory is not None
        assert other.memory is not None
        arguments = pack("<11Q", CLONE_INTO_CGROUP, 0, 0, 0, 17, 0, 0, 0, 0, 0, number)
        usages = []
        for _ in range(2):
            child = machine.task(machine.expect(task, "clone3", arguments, len(arguments)))
            assert child.cgroup is other
            assert other.memory.kernel_usage > task_bytes(child)
            machine.exit(child)
            machine.reap(task)
            assert (other.memory.usage, other.memory.kernel_usage) == (0, 0)
            usages.append((above.memory.usage, above.memory.kernel_usage))
        # The first time, files of the group are looked up.
        assert usages[0] == usages[1]

    def test_what_was_charged_above_is_given_back_there(
        self, machine: ConductedMachine, task: Task, above: Cgroup
    ) -> None:
        below = make_directory(machine, task, b"above/below")
        move_task(task, below)
        assert above.memory is not None
        first = machine.fork(task)
        for _ in range(3):
            before = above.memory.kernel_usage
            child = machine.fork(task)
            enable(machine, above, MEMORY)
            own = below.memory
            assert own is not None
            assert own is not above.memory
            assert own.kernel_usage == task_bytes(task) + task_bytes(first) + task_bytes(child)
            move_task(child, above)
            assert own.kernel_usage == task_bytes(task) + task_bytes(first)
            machine.exit(child)
            machine.reap(task)
            assert own.kernel_usage == task_bytes(task) + task_bytes(first)
            # The group above is charged for the counter itself.
            assert above.memory.kernel_usage == before + CONTROLLER_BYTES
            disable(machine, above, MEMORY)
            assert above.memory.kernel_usage == before

    def test_a_threaded_group_has_no_counter_of_its_own(
        self, machine: ConductedMachine, task: Task, above: Cgroup
    ) -> None:
        enable(machine, above, MEMORY)
        below = make_directory(machine, task, b"above/below")
        assert below.memory is not above.memory
        disable(machine, above, MEMORY)
        enable(machine, machine.kernel.cgroups.root, PIDS)
        charged = machine.kernel.memory.account.kinds[CGROUP]
        make_threaded(machine.kernel, above)
        assert above.memory is None
        assert above.pids is not None
        assert machine.kernel.memory.account.kinds[CGROUP] == charged - CONTROLLER_BYTES


class TestCpuset:
    """On four processors, with the cpuset controller given to all groups."""

    @pytest.fixture
    def machine(self) -> Iterator[ConductedMachine]:
        yield from conducted_machines(cpus=4)

    @pytest.fixture
    def middle(self, machine: ConductedMachine, task: Task) -> Cgroup:
        """A group whose tasks may use the processors 1 and 2."""
        machine.expect(task, "mkdir", b"/g\0", 0o755)
        machine.expect(task, "mount", b"none\0", b"/g\0", b"cgroup2\0", 0, 0)
        enable(machine, machine.kernel.cgroups.root, CPUSET)
        group = make_directory(machine, task, b"middle")
        assert group.cpuset is not None
        group.cpuset.processors = 0b0110
        return group

    def test_a_child_is_confined_as_its_own_group_is(
        self, machine: ConductedMachine, task: Task, middle: Cgroup
    ) -> None:
        last = make_directory(machine, task, b"last")
        assert last.cpuset is not None
        last.cpuset.processors = 0b1000
        into_root, into_middle, into_last = (
            machine.expect(task, "open", name, 0o200000) for name in (b"/g\0", b"/g/middle\0", b"/g/last\0")
        )

        def processors_of_child(number: int) -> int:
            arguments = pack("<11Q", CLONE_INTO_CGROUP, 0, 0, 0, 17, 0, 0, 0, 0, 0, number)
            child = machine.task(machine.expect(task, "clone3", arguments, len(arguments)))
            allowed = child.entity.allowed & machine.kernel.scheduler.all_processors
            assert allowed >> child.entity.processor & 1
            machine.exit(child)
            machine.reap(task)
            return allowed

        assert processors_of_child(into_middle) == 0b0110
        # What the parent may use is its own group's, and isn't handed on to another.
        move_task(task, middle)
        assert task.entity.allowed == 0b0110
        assert processors_of_child(into_root) == 0b1111
        assert processors_of_child(into_last) == 0b1000
        # What it asked for itself is, where that can be.
        machine.expect(task, "sched_setaffinity", 0, 8, pack("<Q", 0b1100))
        assert task.entity.allowed == 0b0100
        assert processors_of_child(into_middle) == 0b0100
        assert processors_of_child(into_root) == 0b1100
        assert processors_of_child(into_last) == 0b1000

    def test_a_fork_stays_where_its_parent_is(
        self, machine: ConductedMachine, task: Task, middle: Cgroup
    ) -> None:
        move_task(task, middle)
        assert machine.fork(task).entity.allowed == 0b0110


class TestCharges:
    def test_what_groups_count_is_charged(self, machine: ConductedMachine, task: Task) -> None:
        kernel = machine.kernel
        account, root = kernel.memory.account, kernel.cgroups.root
        children = [make(machine, root, name) for name in (b"a", b"b", b"c")]
        assert account.kinds[CGROUP] == 0
        enable(machine, root, PIDS | MEMORY)
        assert account.kinds[CGROUP] == 6 * CONTROLLER_BYTES
        below = make(machine, children[0], b"below")
        enable(machine, children[0], PIDS)
        assert account.kinds[CGROUP] == 7 * CONTROLLER_BYTES
        pressure_of(kernel, below)
        pressure_of(kernel, below)
        assert account.kinds[CGROUP] == 7 * CONTROLLER_BYTES + PRESSURE_BYTES
        kernel.cgroups.remove(kernel, below)
        disable(machine, root, MEMORY)
        disable(machine, children[0], PIDS)
        assert account.kinds[CGROUP] == 3 * CONTROLLER_BYTES
        for child in children:
            kernel.cgroups.remove(kernel, child)
        assert account.kinds[CGROUP] == 0

    def test_no_controller_is_given_without_memory(self, machine: ConductedMachine, task: Task) -> None:
        kernel = machine.kernel
        root = kernel.cgroups.root
        enable(machine, root, MEMORY)
        group = make(machine, root, b"a")
        for number in range(8):
            make(machine, group, b"%d" % number)
        assert group.memory is not None
        group.memory.maximum = group.memory.usage + 4 * CONTROLLER_BYTES
        kernel.memory.payer = group.memory
        with pytest.raises(OutOfFrames):
            control_subtree(kernel, group, MEMORY, 0)
        assert group.subtree_control == 0
        assert all(child.memory is group.memory for child in group.children.values())

    def test_what_was_freed_lazily_goes_before_anybody_is_killed(
        self, machine: ConductedMachine, task: Task
    ) -> None:
        kernel = machine.kernel
        memory = kernel.memory
        root = kernel.cgroups.root
        enable(machine, root, MEMORY)
        groups = [make(machine, root, name) for name in (b"a", b"b")]
        tasks = [machine.process() for _ in groups]
        for group, member in zip(groups, tasks, strict=True):
            assert group.memory is not None
            move_task(member, group)
            machine.expect(member, "mmap", AREA, 20 * 4096, 3, 0x32, -1, 0)
            memory.payer = group.memory
            for page in range(20):
                member.mm.write(AREA + page * 4096, b"x")
            memory.payer = None
            machine.expect(member, "madvise", AREA, 20 * 4096, MADV_FREE)
        counter = groups[0].memory
        assert counter is not None
        before = counter.usage
        memory.is_exhausted, memory.exhausted_owner = True, counter
        out_of_memory(kernel)
        assert kernel.oom_kill_count == 0
        assert before - counter.usage == 20 * 4096
        # Another group's stays.
        assert [member.mm.read(AREA, 1) for member in tasks] == [b"\0", b"x"]

    def test_what_was_freed_lazily_is_reclaimed(self, machine: ConductedMachine, task: Task) -> None:
        kernel = machine.kernel
        memory = kernel.memory
        root = kernel.cgroups.root
        enable(machine, root, MEMORY)
        group = make(machine, root, b"a")
        counter = group.memory
        assert counter is not None
        member = machine.process()
        move_task(member, group)
        machine.expect(member, "mmap", AREA, 80 * 4096, 3, 0x32, -1, 0)
        memory.payer = counter
        for page in range(80):
            member.mm.write(AREA + page * 4096, b"x")
        memory.payer = None
        faults = member.times.minor_faults
        machine.expect(member, "madvise", AREA, 60 * 4096, MADV_FREE)
        machine.expect(member, "madvise", AREA, 60 * 4096, MADV_FREE)
        # What is written to is kept, and that's no fault of the program's.
        member.mm.write(AREA, b"y")
        assert member.times.minor_faults == faults
        before = counter.usage
        assert counter.reclaim_at_rest(8) == 32
        assert before - counter.usage == 32 * 4096
        assert counter.reclaim_at_rest(100) == 27
        assert [member.mm.read(AREA + page * 4096, 1) for page in (0, 59, 60)] == [b"y", b"\0", b"x"]
        assert (counter.lazily_freed_count, counter.lazily_taken_count) == (60, 59)
        assert counter.reclaimed_count == 59


class TestPressure:
    def test_it_is_on_the_groups_of_who_waits(self, machine: ConductedMachine, task: Task) -> None:
        kernel = machine.kernel
        root = kernel.cgroups.root
        waiting, sleeping = make(machine, root, b"waiting"), make(machine, root, b"sleeping")
        below = make(machine, waiting, b"below")
        runs, waits, sleeps = (machine.process() for _ in range(3))
        move_task(waits, below)
        move_task(sleeps, sleeping)
        assert machine.call(sleeps, "pause") == SLEEPS
        pressures = {group: pressure_of(kernel, group) for group in (root, waiting, below, sleeping)}
        kernel.clock.jump_to(kernel.clock.now_ns + 1000)
        assert kernel.pressure is not None
        kernel.pressure.has_run(kernel, runs, 1000)
        stalls = {
            group: [line.total_ns for line in pressure.stalls[CPU]] for group, pressure in pressures.items()
        }
        assert stalls == {root: [1000, 0], waiting: [1000, 1000], below: [1000, 1000], sleeping: [0, 0]}

    def test_triggers_are_charged_until_their_files_are_closed(
        self, machine: ConductedMachine, task: Task
    ) -> None:
        kernel = machine.kernel
        account = kernel.memory.account
        charged = account.kinds[WATCH]
        group = make(machine, kernel.cgroups.root, b"group")
        pressure = pressure_of(kernel, group)
        kept, gone = (pressure.add_trigger(CPU, SOME, 1, WINDOW_NS) for _ in range(2))
        assert account.kinds[WATCH] == charged + 2 * WATCH_BYTES
        gone.remove()
        assert pressure.triggers == [kept]
        kernel.cgroups.remove(kernel, group)
        kept.remove()
        assert account.kinds[WATCH] == charged

    def test_a_switch_looks_at_triggers_ten_times_in_a_window(
        self, machine: ConductedMachine, task: Task
    ) -> None:
        kernel = machine.kernel
        machine.process()
        pressure = pressure_of(kernel, kernel.cgroups.root)
        assert kernel.pressure is not None
        trigger = pressure.add_trigger(CPU, SOME, WINDOW_NS, WINDOW_NS)
        step_ns = WINDOW_NS // 10
        for step in range(1, 11):
            assert kernel.pressure.next_look_ns == trigger.begin_ns + step * step_ns
            assert not trigger.take()
            for elapsed_ns in (step_ns - 1, 1):
                kernel.clock.jump_to(kernel.clock.now_ns + elapsed_ns)
                kernel.pressure.has_run(kernel, task, elapsed_ns)
        assert trigger.take()
        trigger.remove()
        kernel.clock.jump_to(kernel.clock.now_ns + step_ns)
        kernel.pressure.has_run(kernel, task, step_ns)
        assert kernel.pressure.next_look_ns > kernel.clock.now_ns + 100 * WINDOW_NS


class TestDevices:
    def test_programs_take_time(self, machine: ConductedMachine, task: Task) -> None:
        kernel = machine.kernel
        begin, add, end = BpfInsn(0xB7, 2, 0, 1), BpfInsn(0x07, 2, 0, 1), BpfInsn(0xB7, 0, 0, 1)
        code = begin.pack() + add.pack() * 1000 + end.pack() + BpfInsn(0x95).pack()
        program = BpfProgram(
            kernel, 15, code, decode(code), b"", uid=0, verified_count=1003, is_gpl_compatible=True
        )
        group = make(machine, kernel.cgroups.root, b"a")
        move_task(task, group)
        attach(kernel, group, program, 0, None)
        machine.expect(task, "mknod", b"/null\0", 0o020666, 0x103)
        before_ns = kernel.clock.now_ns
        machine.expect(task, "open", b"/null\0", 0)
        assert kernel.clock.now_ns - before_ns >= 1003 * EBPF_INSTRUCTION_NS
