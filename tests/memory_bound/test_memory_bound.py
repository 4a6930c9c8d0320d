"""A guest that fills its machine in any one way doesn't take more of the host than it was given."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.guest.compile_c import Linkage, compile_program
from tests.of_a_kind import first_of

HERE = Path(__file__).parent
QUICK = (
    *("forced_buffers", "stream_buffers", "orphans", "large_pipes", "signals", "groups", "temporary"),
    *("netlink_messages", "user_fault_marks"),
)
NETWORKS = (
    *("interfaces", "interface_settings", "addresses", "routes", "neighbours", "netlink_events"),
    *("netlink_messages", "memberships"),
    *("error_queues", "time_wait", "user_fault_files", "user_fault_marks", "poisoned", "absent_names"),
    *("pressure_triggers", "bpf_programs", "aio_contexts", "leases", "process_names"),
)
"""What fill_networks.c has."""
KEPT = (
    *("sticky_options", "area_names", "keys", "landlock_rules", "texts", "dumps", "packet_rings"),
    *("aio_requests", "waiting_vectors", "waiting_messages", "waiting_operations"),
)
"""What fill_kept.c has, the others fill.c."""
WAYS = (
    *("sockets", "tcp", "udp", "stream_buffers", "forced_buffers", "small_datagrams", "udp_datagrams"),
    *("tcp_buffers", "orphans", "pipes", "large_pipes", "packet_pipes", "signals", "timers", "areas"),
    *("forked_areas", "tasks", "zombies", "threads", "groups", "binfmt", "files", "directories", "links"),
    *("names", "attributes", "overlay_files", "open_files", "eventfds", "timerfds", "memfds", "terminals"),
    *("signalfds", "epolls", "epoll_items", "watches", "watch_events", "locks", "mounts", "tmpfs_mounts"),
    *("messages", "empty_messages", "semaphores", "undo", "segments", "posix_queues", "temporary"),
    *(
        "unknown_calls",
        "pages",
        "page_tables",
        "descriptors",
        "passed_files",
        "polls",
        "large_polls",
        "filters",
    ),
    "many_areas",
    *("user_namespaces", "uts_namespaces", "ipc_namespaces", "mount_namespaces", "network_namespaces"),
    *(
        "filter_rules",
        "filter_chains",
        "filter_elements",
        "connections",
        "translations",
        "packet_queues",
        "pid_namespaces",
        "mount_contexts",
        "rulesets",
        "pid_files",
        "groups_of_tasks",
        "nested_tasks",
        "tracees",
    ),
    *NETWORKS,
    *KEPT,
)
ENDLESS = {"unknown_calls": 100_000, "large_polls": 8, "absent_names": 30_000}
"""What isn't refused at any number."""
SLOW = {
    **{"mounts": 10_000, "tmpfs_mounts": 10_000},
    **{
        "interfaces": 5_000,
        "interface_settings": 1_000,
        "addresses": 2_000,
        "neighbours": 10_000,
        "time_wait": 5_000,
    },
}
"""What takes minutes to the end: so many are enough to see what one costs."""
LARGE_MIB, SMALL_MIB = 256, 64
GROWING = ("filter_rules", "filter_chains", *KEPT)
"""Each more of these takes longer, by all that there are: they come to their end in a small machine alone."""
FIXED_BYTES = 16 << 20
"""What a machine may take beside its memory, however large that is, once it runs."""


def fill(way: str, memory_mib: int) -> dict[str, Any]:
    """Fill a machine in a process of its own; what `measure` says of it."""
    first = way.split(",", maxsplit=1)[0]
    source = f"fill{'_networks' if first in NETWORKS else '_kept' if first in KEPT else ''}.c"
    program = compile_program(HERE / source, Linkage.STATIC)
    count = ENDLESS.get(way, SLOW.get(way))
    command = [sys.executable, str(HERE / "measure.py"), str(program), way, str(memory_mib)]
    if count is not None:
        command.append(str(count))
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def check(way: str, memory_mib: int) -> None:
    """The host's memory grows to the machine's and a quarter at most, and the guest was refused or killed."""
    report = fill(way, memory_mib)
    grown = report["peak"] - report["before"]
    assert grown <= (memory_mib << 20) * 5 // 4 + FIXED_BYTES, report
    assert report["status"] == 137, report
    if way != "temporary" and way not in ENDLESS and way not in SLOW:
        assert report["kills"] or ", E" in report["said"], report


@pytest.mark.usefixtures("c_compiler")
@pytest.mark.parametrize("way", first_of(1, QUICK))
def test_a_small_machine(way: str) -> None:
    check(way, SMALL_MIB)


@pytest.mark.heavy
@pytest.mark.usefixtures("c_compiler")
def test_one_way_after_another() -> None:
    """What one program's objects took is the host's again before another's pages take its place."""
    check("stream_buffers,pages", SMALL_MIB)


@pytest.mark.heavy
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("c_compiler")
@pytest.mark.parametrize("way", WAYS)
def test_every_way(way: str) -> None:
    check(way, SMALL_MIB if way in GROWING else LARGE_MIB)
