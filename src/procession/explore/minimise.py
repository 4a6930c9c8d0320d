"""Making a failing schedule simpler: fewer switches of tasks, as long as it fails alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.explore.world import deviations_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from procession.explore.finding import Finding
    from procession.explore.world import World

MOST_ATTEMPTS = 200


def minimise(
    world: World, finding: Finding, judge: Callable[[World], Finding | None], attempts: int = MOST_ATTEMPTS
) -> Finding:
    """A finding of the same oracle with as few deviations, and then switches, as trying finds.

    One switch after another is taken away: the task that it interrupts goes on until it would have next, and
    the rest follows in the order that it had.
    """
    best = finding
    plan, switches = _replay(world, finding)
    position = 0
    while position < len(switches) and attempts > 0:
        attempts -= 1
        shorter = _without(plan, switches[position])
        if shorter is None:
            position += 1
            continue
        _follow(world, shorter)
        found = judge(world)
        if found is not None and found.oracle == finding.oracle:
            new_plan, new_switches = _replay(world, found)
            if (found.deviations, len(new_switches)) < (best.deviations, len(switches)):
                best, plan, switches, position = found, new_plan, new_switches, 0
                continue
        position += 1
    return best


def _replay(world: World, finding: Finding) -> tuple[list[int], list[int]]:
    """The task of each step, and the steps at which another task went on than did before."""
    world.begin()
    plan: list[int] = []
    switches: list[int] = []
    for option, inner in finding.steps:
        offer = world.offer
        if offer is None:
            break
        if deviations_of(offer, option) or (plan and plan[-1] != offer.tids[option]):
            switches.append(len(plan))
        plan.append(offer.tids[option])
        world.advance(option, inner)
    return plan, switches


def _without(plan: list[int], switch: int) -> list[int] | None:
    """The plan with the next steps of who ran before `switch` drawn forward; None if it has none later."""
    if switch == 0:
        return None
    tid = plan[switch - 1]
    end = switch
    while end < len(plan) and plan[end] != tid:
        end += 1
    if end == len(plan):
        return None
    last = end
    while last < len(plan) and plan[last] == tid:
        last += 1
    return plan[:switch] + plan[end:last] + plan[switch:end] + plan[last:]


def _follow(world: World, plan: list[int]) -> None:
    """Run so that tasks go on in the order of `plan` where they can, and by default where it says nothing."""
    world.begin()
    left = list(plan)
    while (offer := world.offer) is not None:
        place = next((at for at, tid in enumerate(left) if tid in offer.tids), None)
        tid = offer.tids[0] if place is None else left.pop(place)
        world.advance(offer.tids.index(tid))
