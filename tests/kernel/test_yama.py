"""Checks that who was permitted to trace by PR_SET_PTRACER is forgotten with its process."""

from __future__ import annotations

from procession.kernel.security.yama import permit_tracer
from tests.kernel.conducted_machine import ConductedMachine


def test_nothing_of_the_dead_is_held(machine: ConductedMachine) -> None:
    first, second = machine.process(), machine.process()
    permit_tracer(second, first.tid)
    assert second.group.permitted_tracer is first.group.pid
    machine.exit(first)
    machine.reap_orphans()
    assert second.group.permitted_tracer is not None
    assert second.group.permitted_tracer.task is None
    machine.exit(second)
    machine.reap_orphans()
    assert second.group.permitted_tracer is None
