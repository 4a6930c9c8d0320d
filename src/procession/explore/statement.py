"""What an exploration may say at its end: what was exhausted under which bound, and what was left."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from procession.explore.explorer import Report


def statement(report: Report) -> str:
    """A few sentences that are true."""
    parts: list[str] = []
    exhausted = [coverage for coverage in report.coverages if coverage.is_exhausted]
    runs = report.schedules
    distinct = max((coverage.distinct for coverage in report.coverages), default=0)
    if report.is_complete:
        parts.append(
            f"Every schedule was tried, but for those that differ in the order of independent steps alone: "
            f"{count(distinct, 'schedule')}, in {count(runs, 'run')}."
        )
    elif exhausted:
        last = exhausted[-1]
        bound = "without a bound" if last.bound is None else f"with at most {count(last.bound, 'preemption')}"
        parts.append(
            f"Every schedule {bound} was tried, but for those that differ in the order of independent steps "
            f"alone: {count(last.distinct, 'schedule')}, in {count(runs, 'run')}."
        )
        if last.left:
            parts.append(f"{count(last.left, 'alternative')} beyond that bound {were(last.left)} left out.")
    elif report.coverages:
        parts.append(f"No bound was exhausted; {count(runs, 'run')} {were(runs)} made.")
    if report.coverages and not report.coverages[-1].is_exhausted:
        last = report.coverages[-1]
        bound = "without a bound" if last.bound is None else f"with at most {count(last.bound, 'preemption')}"
        why = report.reason_to_end or "it ended with the finding"
        parts.append(f"The search {bound} wasn't finished ({why}).")
    if report.samples:
        parts.append(f"{count(report.samples, 'run')} by chance {were(report.samples)} made.")
    cut_off = sum(coverage.cut_off for coverage in report.coverages) + report.samples_cut_off
    if cut_off:
        parts.append(
            f"{count(cut_off, 'run')} {were(cut_off)} cut off, after too many steps or too long: what comes "
            "after that wasn't seen."
        )
    if report.has_unwatched_memory:
        parts.append(
            "Tasks share memory, and were interrupted at calls alone: what they do to it between two calls "
            "wasn't tried in every order (--branch next-task,memory tries that)."
        )
    if report.has_reduced_timers:
        parts.append(
            "Timers might be early: not every order of that and of what is done beside it was tried within a "
            "bound (--reduction none tries that)."
        )
    chance = report.chance
    if chance is not None and chance.runs:
        parts.append(
            f"A bug of depth {chance.depth} that there is in schedules of at most "
            f"{count(chance.tasks, 'task')} and {count(chance.steps, 'step')} is missed by all of them with "
            f"probability {chance.missed:.3g} at most."
        )
    return " ".join(parts)


def count(number: int, noun: str) -> str:
    """The number with its noun, in the plural if need be."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def were(number: int) -> str:
    """The verb for so many."""
    return "was" if number == 1 else "were"
