"""Checks that no argument of a call on identity, time, limits or the machine gets past an errno."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from procession.abi.errno import EFAULT, Errno
from procession.fs.fd_table import FdTable
from procession.fs.vfs import Vfs
from procession.fs.wait_queue import Sleep
from procession.hardware.physical_memory import PhysicalMemory
from procession.kernel.task import Task
from procession.syscalls import load_all
from procession.syscalls.declaration import TABLE
from tests.fs.file_tree import CountingSource
from tests.kernel.direct_calls import call
from tests.kernel.signal_fakes import MEMORY_BASE, MEMORY_SIZE, Machine
from tests.of_a_kind import examples

FAMILIES = ("arch", "identity", "limits", "prctl", "random", "sched", "session", "system", "time", "timers")
EDGES = (0, 1, 2, 3, 8, 10, 11, 24, 48, 56, 64, 1 << 20, 1 << 31, 1 << 32, 1 << 62, 1 << 63, (1 << 64) - 1)

load_all()
NAMES = tuple(
    entry.name
    for entry in TABLE
    if entry is not None and entry.handler.__module__.rpartition(".")[2] in FAMILIES
)

addresses = st.integers(MEMORY_BASE - 8, MEMORY_BASE + MEMORY_SIZE)
numbers = st.one_of(st.sampled_from(EDGES), st.integers(0, 70), addresses, st.integers(0, (1 << 64) - 1))
words = st.one_of(st.sampled_from(EDGES), st.integers(0, 2000), st.integers(0, (1 << 64) - 1))
calls = st.tuples(st.sampled_from(NAMES), st.lists(numbers, min_size=6, max_size=6))


def machine_with_a_task() -> tuple[Machine, Task]:
    machine = Machine()
    kernel: Any = machine.kernel
    kernel.memory = PhysicalMemory(1 << 20)
    kernel.vfs = Vfs(kernel.memory, kernel.clock, CountingSource())
    kernel.decider.random_bytes = bytes
    task = machine.process(10)
    task.files = FdTable()
    memory: Any = task.mm
    memory.inherited_flags = memory.barrier_registrations = memory.peak_resident_pages = 0
    memory.auxiliary_vector = b""
    memory.read_cstring = lambda address, limit: memory.read(address, limit).partition(b"\0")[0]
    memory.probe_write = lambda address, length: memory.write(address, memory.read(address, length))
    return machine, task


@settings(max_examples=examples(300))
@given(
    steps=st.lists(st.tuples(calls, st.lists(words, max_size=8)), max_size=20),
    user=st.sampled_from([0, 1000]),
    duration_ns=st.integers(0, 1 << 40),
)
def test_calls_answer_or_sleep(
    steps: list[tuple[tuple[str, list[int]], list[int]]], user: int, duration_ns: int
) -> None:
    machine, task = machine_with_a_task()
    task.credentials = task.credentials.for_user(user, user)
    machine.kernel.current = task
    for (name, arguments), contents in steps:
        for argument in arguments:
            try:
                task.mm.write(argument, b"".join(word.to_bytes(8, "little") for word in contents))
            except EFAULT:
                continue
        try:
            answer = call(task, name, *arguments)
        except (Errno, Sleep):
            continue
        assert isinstance(answer, int)
        assert 0 <= answer < 1 << 64
    deadline_ns = machine.kernel.timers.next_deadline_ns()
    machine.kernel.clock.jump_to(max(duration_ns, min(deadline_ns or 0, 1 << 63)))
    machine.kernel.timers.run_due()
    mine = task.credentials
    assert mine.cap_effective & ~mine.cap_permitted == 0
    assert user == 0 or mine.cap_permitted == 0
