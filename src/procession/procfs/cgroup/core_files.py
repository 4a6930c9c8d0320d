"""The files of the hierarchy itself: cgroup.procs, cgroup.subtree_control, cgroup.freeze and their like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EOPNOTSUPP, ERANGE
from procession.kernel.cgroup.attach import attach, kill_all
from procession.kernel.cgroup.freezer import set_freeze
from procession.kernel.cgroup.group import NO_LIMIT, controller_names
from procession.kernel.cgroup.hierarchy import control_subtree, make_threaded, parse_subtree_control
from procession.kernel.time.costs import SEEN_THREAD_NS
from procession.procfs.cgroup.control_file import ControlFile, Opener, parse_integer, show_limit

if TYPE_CHECKING:
    from procession.kernel.cgroup.event_file import EventFile
    from procession.kernel.cgroup.group import Cgroup


def show_type(group: Cgroup, opener: Opener) -> bytes:
    """cgroup.type."""
    return group.type_name + b"\n"


def store_type(group: Cgroup, data: bytes, opener: Opener) -> None:
    """Only "threaded" can be said. Linux: kernel/cgroup/cgroup.c, cgroup_type_write."""
    if data.strip() != b"threaded":
        raise EINVAL("a group can only be made threaded")
    make_threaded(opener.kernel, group)


def show_processes(group: Cgroup, opener: Opener) -> bytes:
    """cgroup.procs; that of a threaded subtree's root has all of its processes.

    Linux: kernel/cgroup/cgroup.c, cgroup_procs_show.
    """
    if group.is_threaded:
        raise EOPNOTSUPP("a threaded group has threads only")
    namespace = opener.actor.pid_namespace
    members = {task.group: None for each in group.subtree() if each.domain is group for task in each.tasks}
    return b"".join(b"%d\n" % member.pid.number_in(namespace) for member in members)


def show_threads(group: Cgroup, opener: Opener) -> bytes:
    """cgroup.threads."""
    namespace = opener.actor.pid_namespace
    return b"".join(b"%d\n" % task.thread_pid.number_in(namespace) for task in group.tasks)


def store_process(group: Cgroup, data: bytes, opener: Opener) -> None:
    """Move a process here. Linux: kernel/cgroup/cgroup.c, cgroup_procs_write."""
    _attach(group, data, opener, is_process=True)


def store_thread(group: Cgroup, data: bytes, opener: Opener) -> None:
    """Move a thread here. Linux: kernel/cgroup/cgroup.c, cgroup_threads_write."""
    _attach(group, data, opener, is_process=False)


def _attach(group: Cgroup, data: bytes, opener: Opener, *, is_process: bool) -> None:
    try:
        number = parse_integer(data)
    except ERANGE:
        raise EINVAL("no process id") from None
    if number < 0:
        raise EINVAL("no process id")
    attach(opener.kernel, opener, group, opener.actor, number, is_process=is_process)


def show_controllers(group: Cgroup, opener: Opener) -> bytes:
    """cgroup.controllers."""
    return _line(group.available_controllers)


def show_subtree_control(group: Cgroup, opener: Opener) -> bytes:
    """cgroup.subtree_control."""
    return _line(group.subtree_control)


def _line(mask: int) -> bytes:
    """Linux: kernel/cgroup/cgroup.c, cgroup_print_ss_mask."""
    return controller_names(mask) + b"\n" if mask else b""


def store_subtree_control(group: Cgroup, data: bytes, opener: Opener) -> None:
    """Linux: kernel/cgroup/cgroup.c, cgroup_subtree_control_write."""
    enable, disable = parse_subtree_control(data)
    control_subtree(opener.kernel, group, enable, disable)


def show_events(group: Cgroup, opener: Opener) -> bytes:
    """cgroup.events."""
    return b"populated %d\nfrozen %d\n" % (group.is_populated, group.is_frozen)


def show_maximum_descendants(group: Cgroup, opener: Opener) -> bytes:
    """cgroup.max.descendants."""
    return show_limit(group.maximum_descendants, NO_LIMIT)


def store_maximum_descendants(group: Cgroup, data: bytes, opener: Opener) -> None:
    """Linux: kernel/cgroup/cgroup.c, cgroup_max_descendants_write."""
    group.maximum_descendants = _parse_maximum(data)


def show_maximum_depth(group: Cgroup, opener: Opener) -> bytes:
    """cgroup.max.depth."""
    return show_limit(group.maximum_depth, NO_LIMIT)


def store_maximum_depth(group: Cgroup, data: bytes, opener: Opener) -> None:
    """Linux: kernel/cgroup/cgroup.c, cgroup_max_depth_write."""
    group.maximum_depth = _parse_maximum(data)


def _parse_maximum(data: bytes) -> int:
    if data.strip() == b"max":
        return NO_LIMIT
    number = parse_integer(data)
    if number < 0:
        raise ERANGE("a negative limit")
    return number


def show_stat(group: Cgroup, opener: Opener) -> bytes:
    """cgroup.stat. Groups that have been removed are dying while pages are charged to them."""
    count, dying = group.descendant_count, opener.kernel.cgroups.dying_below(group)
    opener.kernel.clock.spend((count + dying) * SEEN_THREAD_NS)
    return b"nr_descendants %d\nnr_dying_descendants %d\n" % (count, dying)


def show_freeze(group: Cgroup, opener: Opener) -> bytes:
    """cgroup.freeze."""
    return b"%d\n" % group.wants_freeze


def store_freeze(group: Cgroup, data: bytes, opener: Opener) -> None:
    """Linux: kernel/cgroup/cgroup.c, cgroup_freeze_write."""
    number = parse_integer(data)
    if number not in (0, 1):
        raise ERANGE("neither 0 nor 1")
    set_freeze(group, freeze=bool(number))


def store_kill(group: Cgroup, data: bytes, opener: Opener) -> None:
    """Linux: kernel/cgroup/cgroup.c, cgroup_kill_write."""
    if parse_integer(data) != 1:
        raise ERANGE("only 1 can be written")
    if group.is_threaded:
        raise EOPNOTSUPP("processes are killed, not threads")
    kill_all(opener.kernel, group, opener.actor)


def _events_of(group: Cgroup) -> EventFile:
    return group.events


CORE_FILES: dict[bytes, ControlFile] = {
    b"cgroup.type": ControlFile(show_type, store_type),
    b"cgroup.procs": ControlFile(show_processes, store_process, is_on_root=True, is_delegatable=True),
    b"cgroup.threads": ControlFile(show_threads, store_thread, is_on_root=True, is_delegatable=True),
    b"cgroup.controllers": ControlFile(show_controllers, is_on_root=True),
    b"cgroup.subtree_control": ControlFile(
        show_subtree_control, store_subtree_control, is_on_root=True, is_delegatable=True
    ),
    b"cgroup.events": ControlFile(show_events, event=_events_of),
    b"cgroup.max.descendants": ControlFile(
        show_maximum_descendants, store_maximum_descendants, is_on_root=True
    ),
    b"cgroup.max.depth": ControlFile(show_maximum_depth, store_maximum_depth, is_on_root=True),
    b"cgroup.stat": ControlFile(show_stat, is_on_root=True),
    b"cgroup.freeze": ControlFile(show_freeze, store_freeze),
    b"cgroup.kill": ControlFile(None, store_kill),
}
