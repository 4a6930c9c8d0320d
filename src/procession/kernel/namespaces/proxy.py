"""The namespaces that a task is in (Linux: include/linux/nsproxy.h)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.fs.namespace import (
    CGROUP_NUMBER,
    IPC_NUMBER,
    NETWORK_NUMBER,
    TIME_NUMBER,
    UTS_NUMBER,
)
from procession.kernel.ipc.namespace import IpcNamespace
from procession.kernel.namespaces.cgroup import CgroupNamespace
from procession.kernel.namespaces.pid import PidNamespace
from procession.kernel.namespaces.time import TimeNamespace
from procession.kernel.namespaces.uts import UtsNamespace
from procession.net.network import Network
from procession.net.socket_file import socket_file_system

if TYPE_CHECKING:
    from procession.fs.mounts.namespace import MountNamespace
    from procession.fs.namespace import Namespace
    from procession.kernel.kernel import Kernel


class NsProxy:
    """The namespaces of a task but for its user namespace, which its credentials have, and its pid
    namespace, which its `Pid` has (Linux: include/linux/nsproxy.h, struct nsproxy).

    Tasks share one, so it's never changed once a task has it: make another with `copy`. `time` is what the
    clocks of the task show, `time_for_children` what those of its children will; `pid_for_children` is where
    its children get their ids. It holds each of its
    namespaces; `reference_count` counts the tasks that have it, and it's born with one.
    """

    __slots__ = (
        "cgroup",
        "ipc",
        "mounts",
        "network",
        "pid_for_children",
        "reference_count",
        "time",
        "time_for_children",
        "uts",
    )

    def __init__(
        self,
        *,
        mounts: MountNamespace,
        uts: UtsNamespace,
        ipc: IpcNamespace,
        network: Network,
        cgroup: CgroupNamespace,
        time: TimeNamespace,
        time_for_children: TimeNamespace,
        pid_for_children: PidNamespace,
    ) -> None:
        self.mounts = mounts
        self.uts = uts
        self.ipc = ipc
        self.network = network
        self.cgroup = cgroup
        self.time = time
        self.time_for_children = time_for_children
        self.pid_for_children = pid_for_children
        self.reference_count = 1
        for namespace in self.all():
            namespace.acquire()

    def all(self) -> tuple[Namespace, ...]:
        """Each that it holds, those for children last."""
        return (
            *(self.mounts, self.uts, self.ipc, self.network, self.cgroup),
            *(self.time, self.time_for_children, self.pid_for_children),
        )

    def copy(self) -> NsProxy:
        """One like this, to be changed by `replace` before a task has it."""
        return NsProxy(
            mounts=self.mounts,
            uts=self.uts,
            ipc=self.ipc,
            network=self.network,
            cgroup=self.cgroup,
            time=self.time,
            time_for_children=self.time_for_children,
            pid_for_children=self.pid_for_children,
        )

    def enter_time_for_children(self) -> None:
        """Before a task has it: its clocks are those that its parent's children were to have.

        Linux: kernel/time/namespace.c, timens_on_fork.
        """
        if self.time is not self.time_for_children:
            self.time_for_children.acquire()
            self.time.put()
            self.time = self.time_for_children
            self.time.is_frozen = True

    def acquire(self) -> NsProxy:
        """One more task has it (Linux: include/linux/nsproxy.h, get_nsproxy)."""
        self.reference_count += 1
        return self

    def put(self) -> None:
        """A task leaves. Linux: kernel/nsproxy.c, free_nsproxy."""
        self.reference_count -= 1
        if not self.reference_count:
            for namespace in self.all():
                namespace.put()


def first_namespaces(kernel: Kernel, mounts: MountNamespace, host_name: bytes) -> NsProxy:
    """Those that a machine starts with, which never end (Linux: kernel/nsproxy.c, init_nsproxy)."""
    table, owner = kernel.vfs.namespaces, kernel.vfs.init_user_namespace
    time = TimeNamespace(table, owner, TIME_NUMBER)
    time.is_frozen = True
    pids = kernel.init_pid_namespace
    return NsProxy(
        mounts=mounts,
        uts=UtsNamespace(table, owner, UTS_NUMBER, host_name),
        ipc=IpcNamespace(
            table,
            owner,
            max(kernel.memory.frame_count << 12 >> 3, 1 << 20),
            kernel.memory.account,
            IPC_NUMBER,
        ),
        network=Network(socket_file_system(kernel.vfs), kernel, owner, NETWORK_NUMBER),
        cgroup=CgroupNamespace(table, owner, kernel.cgroups.root, CGROUP_NUMBER),
        time=time,
        time_for_children=time,
        pid_for_children=pids,
    )
