"""Checks that lists of supplementary groups end, and are charged, with those who have them."""

from __future__ import annotations

import gc
from struct import pack

from procession.hardware.kernel_memory import GROUP_ID_BYTES, GROUPS
from procession.kernel.security.credentials import Credentials
from procession.kernel.task import Task
from tests.kernel.conducted_machine import ConductedMachine

LENGTH = 1_000
TIMES = 40
SIGRTMIN = 34
SIG_BLOCK = 0
SHM_LOCK = 11
O_CREAT_RDWR = 0o102


def set_groups(machine: ConductedMachine, task: Task, first: int, length: int = LENGTH) -> None:
    machine.expect(task, "setgroups", length, pack(f"<{length}I", *range(first, first + length)))


def charged(machine: ConductedMachine) -> int:
    """How many groups are charged."""
    size = machine.kernel.memory.account.kinds[GROUPS]
    assert size % GROUP_ID_BYTES == 0
    return size // GROUP_ID_BYTES


def test_a_list_is_charged_while_a_task_has_it(machine: ConductedMachine, task: Task) -> None:
    set_groups(machine, task, 0)
    assert charged(machine) == LENGTH
    child = machine.fork(task)
    set_groups(machine, child, 0)
    assert charged(machine) == LENGTH
    set_groups(machine, child, 1)
    assert charged(machine) == 2 * LENGTH
    machine.exit(child)
    machine.reap(task)
    assert charged(machine) == LENGTH


def test_lists_that_nobody_has_any_more_do_not_pile_up(machine: ConductedMachine, task: Task) -> None:
    most = 0
    for first in range(TIMES):
        set_groups(machine, task, first)
        most = max(most, charged(machine))
    assert most < TIMES // 2 * LENGTH
    machine.kernel.group_lists.forget_unused(machine.kernel)
    assert charged(machine) == LENGTH


def test_what_is_counted_for_a_user_keeps_no_list(machine: ConductedMachine, task: Task) -> None:
    """A timer, a queued signal, a locked segment and a queue of messages remember whose they are."""
    machine.expect(task, "rt_sigprocmask", SIG_BLOCK, pack("<Q", 1 << (SIGRTMIN - 1)), 0, 8)
    for first in range(4):
        set_groups(machine, task, first)
        machine.expect(task, "timer_create", 0, 0, bytes(4))
        machine.expect(task, "kill", task.tid, SIGRTMIN)
        machine.expect(task, "shmctl", machine.expect(task, "shmget", 0, 4096, 0o1600), SHM_LOCK, 0)
        name = b"queue%d\0" % first
        machine.expect(task, "close", machine.expect(task, "mq_open", name, O_CREAT_RDWR, 0o600, 0))
    machine.expect(task, "setgroups", 0, 0)
    machine.kernel.group_lists.forget_unused(machine.kernel)
    assert charged(machine) == 0
    namespace = task.credentials.user_namespace
    kept = [
        each
        for each in gc.get_objects()
        if isinstance(each, Credentials) and each.user_namespace is namespace and len(each.groups) == LENGTH
    ]
    assert kept == []
