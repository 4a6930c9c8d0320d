"""The families of calls of which scripts are made, and the scripts themselves."""

from __future__ import annotations

from collections.abc import Callable

from tests.differential import (
    attribute_calls,
    cgroup_calls,
    descriptor_calls,
    elsewhere_calls,
    event_calls,
    file_calls,
    futex_calls,
    hop_calls,
    identity_calls,
    ipc_calls,
    key_calls,
    layer_calls,
    lock_calls,
    memory_calls,
    mount_calls,
    namespace_calls,
    notice_calls,
    packet_calls,
    pidfd_calls,
    process_calls,
    rare_calls,
    request_calls,
    restriction_calls,
    route_calls,
    schedule_calls,
    setting_calls,
    socket_calls,
    terminal_calls,
    timer_calls,
    trace_calls,
    userfault_calls,
)
from tests.differential.maker import Chance, Family, Maker
from tests.differential.script import At, Operation

# Files by name and descriptors of no file stay apart: before Linux 6.16 a script could change the owner and
# the rights of the one inode that the host's eventfds share.
FAMILIES: dict[str, tuple[Family, ...]] = {
    "files": (*file_calls.FAMILIES, *attribute_calls.FAMILIES, *elsewhere_calls.FAMILIES),
    "descriptors": descriptor_calls.FAMILIES,
    "memory": memory_calls.FAMILIES,
    "mounts": mount_calls.FAMILIES,
    "namespaces": namespace_calls.FAMILIES,
    "processes": process_calls.FAMILIES,
    "pidfds": pidfd_calls.FAMILIES,
    "cgroups": cgroup_calls.FAMILIES,
    "routes": (*route_calls.FAMILIES, *hop_calls.FAMILIES),
    "sockets": socket_calls.FAMILIES,
    "packets": packet_calls.FAMILIES,
    "events": (*event_calls.FAMILIES, *notice_calls.FAMILIES),
    "futexes": futex_calls.FAMILIES,
    "identities": identity_calls.FAMILIES,
    "ipc": ipc_calls.FAMILIES,
    "keys": key_calls.FAMILIES,
    "layers": layer_calls.FAMILIES,
    "locks": lock_calls.FAMILIES,
    "rarities": rare_calls.FAMILIES,
    "requests": request_calls.FAMILIES,
    "restrictions": restriction_calls.FAMILIES,
    "schedules": schedule_calls.FAMILIES,
    "settings": setting_calls.FAMILIES,
    "terminals": terminal_calls.FAMILIES,
    "timers": timer_calls.FAMILIES,
    "traces": trace_calls.FAMILIES,
    "userfaults": userfault_calls.FAMILIES,
    "users": (
        *file_calls.FAMILIES * 2,
        *attribute_calls.FAMILIES,
        *(file_calls.access_lists,) * 4,
        *(process_calls.identify, identity_calls.group_list, identity_calls.change_capabilities),
        *(identity_calls.reach_others, descriptor_calls.read_or_write, lock_calls.lock_range) * 2,
    ),
}


def become_users(make: Maker) -> None:
    """Make two more actors who are ordinary users, one of them of another's group."""
    for uid, gid in ((1000, 1000), (12345, 1000)):
        make.spawn("fork")
        make.actor = make.actors[-1]
        make.call("setresgid", gid, gid, gid)
        make.call("setgroups", 0, 0)
        make.call("setresuid", uid, uid, uid)
        make.actor = 0
    make.call("chmod", At(0), 0o1777, data=b".\0")


BEGINNINGS: dict[str, Callable[[Maker], None]] = {
    "users": become_users,
    "mounts": mount_calls.enter_namespace,
    "namespaces": namespace_calls.begin,
    "userfaults": userfault_calls.begin,
    "routes": route_calls.begin,
    "sockets": socket_calls.begin,
    "packets": packet_calls.begin,
    "cgroups": cgroup_calls.begin,
    "events": event_calls.begin,
    "futexes": futex_calls.begin,
    "identities": identity_calls.begin,
    "ipc": ipc_calls.begin,
    "keys": key_calls.begin,
    "layers": layer_calls.begin,
    "locks": lock_calls.begin,
    "pidfds": pidfd_calls.begin,
    "rarities": rare_calls.begin,
    "requests": request_calls.begin,
    "restrictions": restriction_calls.begin,
    "schedules": schedule_calls.begin,
    "settings": setting_calls.begin,
    "terminals": terminal_calls.begin,
    "timers": timer_calls.begin,
    "traces": trace_calls.begin,
}
LONG_BEGINNINGS = (
    "layers",
    "mounts",
    "identities",
    "ipc",
    "routes",
    "sockets",
    "packets",
    "cgroups",
    "keys",
    "timers",
    "rarities",
    "requests",
    "restrictions",
)
"""Those that don't count for the length of a script."""


def make_script(name: str, seed: int, length: int) -> list[Operation]:
    """The script of a family that belongs to a seed, of so many operations or a few more.

    A name may join several families by "+": all their beginnings, and then calls of any.
    """
    names = name.split("+")
    make = Maker(Chance(seed))
    for part in names:
        make.actor = 0
        if part in BEGINNINGS:
            BEGINNINGS[part](make)
    if len(names) > 1 or name in LONG_BEGINNINGS:
        length += len(make.operations)
    for operation in make.operations:
        operation.is_kept = True
    while len(make.operations) < length:
        make.actor = make.random.choice(make.actors)
        make.random.choice(FAMILIES[make.random.choice(names) if len(names) > 1 else name])(make)
    return make.operations


def make_scripts(name: str, seeds: range, length: int) -> list[list[Operation]]:
    """Scripts for several seeds."""
    return [make_script(name, seed, length) for seed in seeds]
