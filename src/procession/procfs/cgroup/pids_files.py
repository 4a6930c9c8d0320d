"""The files of the pids controller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL
from procession.fs.mounts.context import parse_number
from procession.kernel.cgroup.group import Controller
from procession.kernel.cgroup.pids import MAXIMUM, PidsCounter
from procession.procfs.cgroup.control_file import ControlFile, Opener, show_limit

if TYPE_CHECKING:
    from procession.kernel.cgroup.event_file import EventFile
    from procession.kernel.cgroup.group import Cgroup

PIDS = int(Controller.PIDS)


def _counter(group: Cgroup) -> PidsCounter:
    assert group.pids is not None
    return group.pids


def show_maximum(group: Cgroup, opener: Opener) -> bytes:
    """pids.max."""
    return show_limit(_counter(group).limit, MAXIMUM)


def store_maximum(group: Cgroup, data: bytes, opener: Opener) -> None:
    """Linux: kernel/cgroup/pids.c, pids_max_write."""
    text = data.strip()
    number: int | None = MAXIMUM
    if text != b"max":
        number = parse_number(text)
        if number is None or not 0 <= number < MAXIMUM:
            raise EINVAL("no number of tasks")
    assert number is not None
    _counter(group).limit = number


def show_current(group: Cgroup, opener: Opener) -> bytes:
    """pids.current."""
    return b"%d\n" % _counter(group).count


def show_peak(group: Cgroup, opener: Opener) -> bytes:
    """pids.peak."""
    return b"%d\n" % _counter(group).peak


def show_events(group: Cgroup, opener: Opener) -> bytes:
    """pids.events. Linux: kernel/cgroup/pids.c, pids_events_show."""
    return _show_failures(group, opener, _counter(group).failures)


def show_local_events(group: Cgroup, opener: Opener) -> bytes:
    """pids.events.local."""
    return _show_failures(group, opener, _counter(group).local_failures)


def _show_failures(group: Cgroup, opener: Opener, count: int) -> bytes:
    """Linux: kernel/cgroup/pids.c, __pids_events_show."""
    has_local_events = opener.kernel.cgroups.has_local_pids_events
    return b"max %d\n" % (_counter(group).refused if has_local_events else count)


def _events_of(group: Cgroup) -> EventFile:
    return _counter(group).events


def _local_events_of(group: Cgroup) -> EventFile:
    return _counter(group).local_events


PIDS_FILES: dict[bytes, ControlFile] = {
    b"pids.max": ControlFile(show_maximum, store_maximum, PIDS),
    b"pids.current": ControlFile(show_current, None, PIDS),
    b"pids.peak": ControlFile(show_peak, None, PIDS),
    b"pids.events": ControlFile(show_events, None, PIDS, event=_events_of),
    b"pids.events.local": ControlFile(show_local_events, None, PIDS, event=_local_events_of),
}
