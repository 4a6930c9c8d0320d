"""The process connector: who listens is told of all that becomes of processes.

Linux: drivers/connector/cn_proc.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL
from procession.abi.netlink import NetlinkMessageType, Nlmsghdr
from procession.abi.process_event import (
    CN_IDX_PROC,
    CN_VAL_PROC,
    CnMsg,
    ProcCnEvent,
    ProcEvent,
    ProcMcastOperation,
)
from procession.abi.word import pack_array
from procession.net.netlink.connector import ALL_EVENTS, tell_of_process

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.security.credentials import Credentials
    from procession.kernel.task import Task
    from procession.net.netlink.connector import ConnectorSocket

_DONE = int(NetlinkMessageType.NLMSG_DONE)
_LISTEN = int(ProcMcastOperation.PROC_CN_MCAST_LISTEN)
_IGNORE = int(ProcMcastOperation.PROC_CN_MCAST_IGNORE)
_NONE, _FORK = int(ProcCnEvent.PROC_EVENT_NONE), int(ProcCnEvent.PROC_EVENT_FORK)
_EXEC, _UID, _GID = (
    int(ProcCnEvent.PROC_EVENT_EXEC),
    int(ProcCnEvent.PROC_EVENT_UID),
    int(ProcCnEvent.PROC_EVENT_GID),
)
_SID, _PTRACE = int(ProcCnEvent.PROC_EVENT_SID), int(ProcCnEvent.PROC_EVENT_PTRACE)
_COMM, _CORE = int(ProcCnEvent.PROC_EVENT_COMM), int(ProcCnEvent.PROC_EVENT_COREDUMP)
_EXIT = int(ProcCnEvent.PROC_EVENT_EXIT)
_OPERATION_BYTES, _INPUT_BYTES = 4, 8
_COMM_BYTES = 16


class ProcessEvents:
    """The process connector. Processes are called by their numbers in the machine's first pid namespace.

    `listener_count` is how many sockets have asked for events. As on Linux it isn't lowered by a close, so
    that a socket that is in the group without having asked hears of everything from the first request on.
    `counts` are how much was told on each processor.
    """

    __slots__ = ("counts", "kernel", "listener_count")

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.listener_count = 0
        self.counts: dict[int, int] = {}

    def take_request(self, socket: ConnectorSocket, message: CnMsg, body: bytes) -> None:
        """Linux: drivers/connector/cn_proc.c, cn_proc_mcast_ctl."""
        task = self.kernel.current
        assert task is not None
        if task.pid_namespace.level or task.credentials.user_namespace.level:
            return
        if len(body) not in (_OPERATION_BYTES, _INPUT_BYTES):
            return
        operation = int.from_bytes(body[:_OPERATION_BYTES], "little")
        events = int.from_bytes(body[_OPERATION_BYTES:], "little") & ALL_EVENTS
        before, socket.operation = socket.operation, operation
        socket.events = events or ALL_EVENTS
        error = 0
        if operation == _LISTEN:
            self.listener_count += before != _LISTEN
        elif operation == _IGNORE:
            self.listener_count -= before not in (0, _IGNORE)
            socket.events = _NONE
        else:
            error = EINVAL.number
        self._tell(_NONE, pack_array("I", (error,)), acknowledged=message.ack + 1 & 0xFFFF_FFFF)

    def _tell(
        self,
        what: int,
        data: bytes,
        *,
        exit_code: int = 0,
        acknowledged: int = 0,
        processor: int | None = None,
    ) -> None:
        """Linux: drivers/connector/cn_proc.c, send_msg, cn_proc_ack."""
        if self.listener_count < 1:
            return
        kernel = self.kernel
        if processor is None:
            processor = kernel.processor
        count = self.counts.get(processor, 0)
        self.counts[processor] = count + 1 & 0xFFFF_FFFF
        event = ProcEvent(what, processor, kernel.clock.now_ns, data).pack()
        message = CnMsg(CN_IDX_PROC, CN_VAL_PROC, count, acknowledged, len(event), 0).pack() + event
        header = Nlmsghdr(Nlmsghdr.SIZE + len(message), _DONE, 0, count, 0)
        tell_of_process(kernel.init_namespaces.network, header.pack() + message, what, exit_code)

    def tell_of_fork(self, task: Task) -> None:
        """`task` is new. Linux: drivers/connector/cn_proc.c, proc_fork_connector."""
        self._tell(_FORK, pack_array("I", (*_parent_of(task), *_numbers_of(task))))

    def tell_of_exec(self, task: Task) -> None:
        """Linux: drivers/connector/cn_proc.c, proc_exec_connector."""
        self._tell(_EXEC, pack_array("I", _numbers_of(task)))

    def tell_of_identity(self, task: Task, old: Credentials) -> None:
        """`task` had the ids of `old`. Linux: kernel/cred.c, commit_creds;
        drivers/connector/cn_proc.c, proc_id_connector."""
        new = task.credentials
        numbers = _numbers_of(task)
        if (new.uid, new.euid, new.suid, new.fsuid) != (old.uid, old.euid, old.suid, old.fsuid):
            self._tell(_UID, pack_array("I", (*numbers, new.uid, new.euid)))
        if (new.gid, new.egid, new.sgid, new.fsgid) != (old.gid, old.egid, old.sgid, old.fsgid):
            self._tell(_GID, pack_array("I", (*numbers, new.gid, new.egid)))

    def tell_of_session(self, task: Task) -> None:
        """Linux: drivers/connector/cn_proc.c, proc_sid_connector."""
        self._tell(_SID, pack_array("I", _numbers_of(task)))

    def tell_of_tracer(self, task: Task, tracer: Task | None) -> None:
        """`tracer` traces `task`, or with None nobody does any longer.

        Linux: drivers/connector/cn_proc.c, proc_ptrace_connector.
        """
        numbers = _numbers_of(tracer) if tracer is not None else (0, 0)
        self._tell(_PTRACE, pack_array("I", (*_numbers_of(task), *numbers)))

    def tell_of_name(self, task: Task) -> None:
        """Linux: drivers/connector/cn_proc.c, proc_comm_connector."""
        name = task.command_name[: _COMM_BYTES - 1].ljust(_COMM_BYTES, b"\0")
        self._tell(_COMM, pack_array("I", _numbers_of(task)) + name)

    def tell_of_core(self, task: Task) -> None:
        """A signal ends the process of `task` that would dump core. Linux: drivers/connector/cn_proc.c,
        proc_coredump_connector."""
        self._tell(_CORE, pack_array("I", (*_numbers_of(task), *_parent_of(task))))

    def tell_of_exit(self, task: Task) -> None:
        """`task` has ended; who is forgotten already has no parent. Linux: drivers/connector/cn_proc.c,
        proc_exit_connector."""
        is_there = task in self.kernel.tasks
        numbers = (
            *_numbers_of(task),
            *(task.exit_code & 0xFFFF_FFFF, task.exit_signal & 0xFFFF_FFFF),
            *(_parent_of(task) if is_there else (0, 0)),
        )
        self._tell(
            *(_EXIT, pack_array("I", numbers)), exit_code=task.exit_code, processor=task.entity.processor
        )


def _numbers_of(task: Task) -> tuple[int, int]:
    first = task.pid_namespace.ancestry[0]
    return task.thread_pid.number_in(first), task.group.pid.number_in(first)


def _parent_of(task: Task) -> tuple[int, int]:
    return _numbers_of(task.parent) if task.parent is not None else (0, 0)
