"""What each sleeping task waits for, and who could end its wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procession.abi.named_tuple import NamedTuple
from procession.abi.signals import Signal
from procession.abi.syscall_numbers import name_of
from procession.abi.wait_options import IdType
from procession.fs.epoll import EpollFile
from procession.fs.eventfd import EventFile
from procession.fs.host_stream import InputFile
from procession.fs.lock import RecordLock
from procession.fs.pipe import FifoOpening, PipeFile
from procession.kernel.futex.pi import PiWaiter
from procession.kernel.futex.queue import FutexWaiter
from procession.kernel.futex.vector import VectorWait
from procession.kernel.ipc.msg import MessageReceiver, MessageSender
from procession.kernel.ipc.posix_queue import QueueWait
from procession.kernel.ipc.sem import SemaphoreWait
from procession.kernel.pid import find_task
from procession.kernel.pidfd import PidFile
from procession.kernel.security.seccomp_listener import ListenerFile, Notification
from procession.kernel.signal.fd import SignalFile
from procession.kernel.signal.stop import FROZEN
from procession.kernel.task import EXIT_WAITS, Task
from procession.kernel.task_state import TaskState
from procession.kernel.timers.descriptor import TimerFile
from procession.kernel.timers.interval import ITIMER_REAL, IntervalTimer
from procession.kernel.userfault.file import UserFaultFile
from procession.kernel.waits.channels import (
    ChannelMap,
    Party,
    first_of_spaces,
    holders_of_undos,
    living_tasks,
    lock_holders,
    name_of_task,
    parties_of_owner,
    socket_name,
)
from procession.mm.peek import peek
from procession.net.socket import LISTENING
from procession.net.unix.socket import UnixSocket

if TYPE_CHECKING:
    from procession.fs.file import File
    from procession.fs.wait_queue import WaitQueue

_HALTED = (TaskState.STOPPED, TaskState.TRACED)
_WAIT4, _WAITID, _FLOCK, _CLOCK_NANOSLEEP = 61, 247, 73, 230
_P_PID = int(IdType.P_PID)
_PTRACE = 101
_MOST_PARTIES = 6
_SIGNAL_CALLS = frozenset({34, 128, 130})
"""pause, rt_sigtimedwait, rt_sigsuspend."""
_OWNER_OFFSET = 8
"""Where in the C library's mutex its owner is noted, behind the futex."""


class Wait(NamedTuple):
    """A task that sleeps.

    `call` is the system call that it's in, with the descriptor if it's about one, `what` says in words what
    it waits for. `wakers` are the tasks that can end the wait; with `is_open` others could too, as nobody
    knows who sends a signal or a message. `has_deadline` waits end by themselves.
    """

    tid: int
    pid: int
    name: str
    call: str
    what: str
    wakers: tuple[int, ...]
    is_open: bool
    has_deadline: bool

    def __str__(self) -> str:
        thread = "" if self.tid == self.pid else f", thread {self.tid}"
        return f"process {self.pid} ({self.name}{thread}) in {self.call} waits for {self.what}"


class _Reason(NamedTuple):
    """What a task waits for, and who can bring it."""

    what: str
    wakers: tuple[int, ...] = ()
    is_open: bool = False


def waits_of(channels: ChannelMap) -> list[Wait]:
    """All sleeping and stopped tasks, in the order of their ids."""
    return [
        describe_wait(channels, task)
        for task in living_tasks(channels.kernel)
        if TaskState.INTERRUPTIBLE <= task.state <= TaskState.TRACED
    ]


def describe_wait(channels: ChannelMap, task: Task) -> Wait:
    """What one sleeping task waits for."""
    frame = task.frame
    call = "user mode" if frame is None else name_of(task.call_in_progress)
    reason: _Reason | None
    if task.state is TaskState.TRACED and task.ptrace is not None:
        reason = _by_tasks("its tracer:", [task.ptrace.tracer])
    elif task.state in _HALTED:
        reason = _Reason("SIGCONT: it's stopped", (), True)
    elif task.work & EXIT_WAITS:
        others = [other for other in task.pid_namespace.tasks() if other.group is not task.group]
        reason = _by_tasks("the end of all in its pid namespace:", others)
    elif frame is None:
        if task.job_control & FROZEN:
            name = task.cgroup.path().decode(errors="replace")
            reason = _Reason(f"cgroup.freeze of {name}: it's frozen", (), True)
        else:
            reason = (
                _by_core_dump(channels, task)
                or _by_user_fault(channels, task)
                or _Reason("nothing that is known", (), True)
            )
    else:
        reason = (
            _by_user_fault(channels, task)
            or _by_progress(channels, task, frame.progress)
            or _by_call(channels, task, frame)
        )
        if reason is None:
            found = _by_queues(channels, task) or _by_place(channels, task)
            if found is not None:
                reason, fds = found
                call += f"({', '.join(map(str, fds))})" if fds else ""
    timer = task.sleep_timer
    if timer is not None:
        due = f"a timer, due in {_seconds(timer.deadline_ns - channels.kernel.clock.now_ns)}"
        reason = _Reason(due) if reason is None else reason._replace(what=f"{reason.what}; or {due}")
    if reason is None:
        reason = _Reason("something that isn't known", (), True)
    return Wait(
        task.tid,
        task.tgid,
        name_of_task(task),
        call,
        reason.what,
        reason.wakers,
        reason.is_open,
        task.sleep_timer is not None,
    )


def _seconds(duration_ns: int) -> str:
    """A length of time to the nanosecond: `1.5 s`."""
    seconds, rest_ns = divmod(max(duration_ns, 0), 10**9)
    fraction = f".{rest_ns:09}".rstrip("0").rstrip(".")
    return f"{seconds}{fraction} s"


def _signal_wait(task: Task) -> str:
    """A signal, and which of the process's timers brings the next one."""
    group, now_ns = task.group, task.kernel.clock.now_ns
    due: list[tuple[int, int, str]] = []
    real = group.itimers.get(ITIMER_REAL)
    if isinstance(real, IntervalTimer) and real.timer is not None and real.timer.is_armed:
        due.append((real.timer.deadline_ns, int(Signal.SIGALRM), "its interval timer"))
    for timer in group.posix_timers.values():
        if timer.timer is not None and timer.timer.is_armed:
            due.append((timer.timer.deadline_ns, timer.info.signo, f"its timer {timer.id}"))
    if not due:
        return "a signal"
    deadline_ns, signo, name = min(due)
    signal = next((each.name for each in Signal if each == signo), f"signal {signo}")
    return f"a signal, such as {signal} from {name}, due in {_seconds(deadline_ns - now_ns)}"


def _by_core_dump(channels: ChannelMap, task: Task) -> _Reason | None:
    """A thread of a process whose core is on its way to a program."""
    dump = task.group.core_dump
    if dump is None:
        return None
    if task is not dump.dumper:
        return _Reason(f"thread {dump.dumper.tid} to dump the core", (dump.dumper.tid,))
    if dump.pipe is None:
        return _Reason("its other threads to halt", tuple(thread.tid for thread in task.group.threads))
    readers = [
        party
        for file, parties in channels.holders.items()
        if isinstance(file, PipeFile) and file is not dump.pipe and file.pipe is dump.pipe.pipe
        for party in parties
    ]
    return _Reason(f"the program that gets its core: {_join(readers)}", _pids(channels, readers))


def _by_user_fault(channels: ChannelMap, task: Task) -> _Reason | None:
    """A task whose fault a program handles, or that has changed what such a program is to hear of."""
    for file, readers in channels.holders.items():
        if isinstance(file, UserFaultFile) and file.context.waits_for(task):
            return _Reason(
                f"its fault or its change to be handled by {_join(readers)}", _pids(channels, readers)
            )
    return None


def _join(parties: list[Party]) -> str:
    shown = [str(party) for party in parties[:_MOST_PARTIES]]
    if len(parties) > _MOST_PARTIES:
        shown.append(f"and {len(parties) - _MOST_PARTIES} others")
    return ", ".join(shown) or "nobody"


def _pids(channels: ChannelMap, parties: list[Party]) -> tuple[int, ...]:
    """The ids of the parties' threads, any of which can act."""
    # Thousands may wait for the same thousands.
    known = channels.threads_of_parties.get(id(parties))
    if known is not None and known[0] is parties:
        return known[1]
    tids: dict[int, None] = {}
    for pid in dict.fromkeys(party.pid for party in parties):
        leader = find_task(channels.kernel.init_pid_namespace, pid)
        if leader is not None:
            tids.update(dict.fromkeys(thread.tid for thread in leader.group.threads))
    channels.threads_of_parties[id(parties)] = parties, tuple(tids)
    return tuple(tids)


def _parties_of(tasks: list[Task]) -> list[Party]:
    return [Party(task.tid, name_of_task(task)) for task in tasks]


def _by_tasks(what: str, tasks: list[Task], *, is_open: bool = False) -> _Reason:
    return _Reason(f"{what} {_join(_parties_of(tasks))}", tuple(task.tid for task in tasks), is_open)


# By what the call remembers


def _by_progress(channels: ChannelMap, task: Task, progress: Any) -> _Reason | None:
    """From the object that is queued for the sleeper, where there is one."""
    if isinstance(progress, PiWaiter) and progress.state is not None:
        return _by_tasks(f"the lock at {progress.address:#x}, which is held by", [progress.state.owner])
    if isinstance(progress, FutexWaiter):
        return _futex(channels, task, progress)
    if isinstance(progress, VectorWait) and progress.members:
        reasons = [_futex(channels, task, member) for member in progress.members]
        wakers = dict.fromkeys(tid for reason in reasons for tid in reason.wakers)
        return _Reason(" or ".join(reason.what for reason in reasons), tuple(wakers))
    if isinstance(progress, FifoOpening):
        end = "writer" if progress.file.is_readable else "reader"
        return _Reason(f"a {end} to open the FIFO {channels.named(progress.file)}", (), True)
    if isinstance(progress, RecordLock):
        return _record_lock(channels, task, progress)
    if isinstance(progress, Notification):
        listeners = [
            party
            for file, parties in channels.holders.items()
            if isinstance(file, ListenerFile) and file.filter is progress.filter
            for party in parties
        ]
        return _Reason(f"the answer of a supervisor: {_join(listeners)}", _pids(channels, listeners))
    module = type(progress).__module__
    if module.startswith("procession.kernel.ipc."):
        return _ipc_object(channels, task, progress)
    return None


def _futex(channels: ChannelMap, task: Task, waiter: FutexWaiter) -> _Reason:
    """The end of a thread, a mutex of the C library, or whatever else a futex stands for."""
    subject, place, _ = waiter.key
    tasks = living_tasks(channels.kernel)
    joined = [each for each in tasks if each.mm is subject and each.clear_child_tid == place]
    if joined:
        return _by_tasks("the end of thread", joined)
    address = _address_of(task, subject, place)
    where = f"the futex at {address:#x}"
    owner = None
    if subject is task.mm and not waiter.is_for_lock:
        words = peek(task.mm, address, _OWNER_OFFSET + 4)
        if len(words) == _OWNER_OFFSET + 4 and int.from_bytes(words[:4], "little") in (1, 2):
            owner = find_task(task.pid_namespace, int.from_bytes(words[_OWNER_OFFSET:], "little"))
    if owner is not None and owner.mm is subject and owner.state is not TaskState.ZOMBIE:
        return _by_tasks(f"the mutex at {address:#x}, which is held by thread", [owner])
    if subject is task.mm:
        others = [each for each in tasks if each.mm is subject and each is not task]
        return _by_tasks(f"{where}, which can be woken by", others)
    sharers = [
        each
        for each in first_of_spaces(channels.kernel)
        if each.mm is not task.mm and any(area.pages is subject for area in each.mm.areas)
    ]
    return _by_tasks(f"{where} in shared memory, which can be woken by", sharers, is_open=not sharers)


def _address_of(task: Task, subject: Any, place: int) -> int:
    """Where `task` has the futex that is at `place` of `subject`."""
    if subject is task.mm:
        return place
    for area in task.mm.areas:
        if area.pages is subject:
            address = area.start + place - (area.page_offset << 12)
            if area.start <= address < area.end:
                return address
    return place


def _record_lock(channels: ChannelMap, task: Task, wanted: RecordLock) -> _Reason:
    """fcntl(F_SETLKW)."""
    frame = task.frame
    file = None if frame is None else task.file_of_call(frame.arguments[0])
    if file is None or file.inode.locks is None:
        return _Reason("a lock on a file", (), True)
    where = f"a lock on bytes {wanted.start} to {wanted.end} of {channels.named(file)}"
    held = file.inode.locks.conflict(wanted)
    if held is None:
        return _Reason(where)
    holders = parties_of_owner(channels, held.owner)
    return _Reason(f"{where}, held by {_join(holders)}", _pids(channels, holders))


def _ipc_object(channels: ChannelMap, task: Task, progress: Any) -> _Reason | None:
    """System V semaphores and messages, and POSIX message queues."""
    if isinstance(progress, SemaphoreWait):
        return _semaphore(channels, task, progress)
    if isinstance(progress, MessageReceiver):
        last = channels.task_of(progress.queue.last_sender)
        count = len(progress.queue.messages)
        what = f"a message in queue {progress.queue.id}, which holds {count} of other types"
        return _Reason(what, () if last is None or last is task else (last.tid,), True)
    if isinstance(progress, MessageSender):
        last = channels.task_of(progress.queue.last_receiver)
        what = f"room in message queue {progress.queue.id}, which holds {progress.queue.byte_count} bytes"
        return _Reason(what, () if last is None or last is task else (last.tid,), True)
    if isinstance(progress, QueueWait):
        channel = channels.channels.get(progress.queue)
        if channel is None:
            return None
        parties = channel.readers if progress.is_sender else channel.writers
        what = "room in" if progress.is_sender else "a message in"
        return _Reason(
            f"{what} the message queue {channel.name}, open to {_join(parties)}", _pids(channels, parties)
        )
    return None


def _semaphore(channels: ChannelMap, task: Task, wait: Any) -> _Reason:
    """semop(2): whoever holds what it wants, by SEM_UNDO, or has changed the semaphore last."""
    semaphores, blocking = wait.semaphores, wait.blocking
    number, value = blocking.number, semaphores.values[blocking.number]
    aim = f"at least {-blocking.change}" if blocking.change else "0"
    what = f"semaphore {number} of set {semaphores.id} to be {aim}; it's {value}"
    holders = [each for each in holders_of_undos(channels.kernel, semaphores) if each is not task]
    last = channels.task_of(semaphores.pids[number])
    if holders:
        return _by_tasks(f"{what}, and to be given back by", holders, is_open=True)
    if last is not None and last is not task:
        return _by_tasks(f"{what}, and was changed last by", [last], is_open=True)
    return _Reason(what, (), True)


# By the call itself


def _by_call(channels: ChannelMap, task: Task, frame: Any) -> _Reason | None:
    """From the number of the call: those that wait for tasks or signals."""
    number = frame.number
    if number in (_WAIT4, _WAITID):
        return _children(task, frame)
    if isinstance(frame.progress, tuple) and frame.progress and isinstance(frame.progress[0], Task):
        return _by_tasks("vfork's child to execute a program or to end:", [frame.progress[0]])
    if number == _PTRACE and isinstance(frame.progress, Task):
        threads = list(frame.progress.group.threads)
        return _by_tasks("a program that is executed there before it can attach:", threads)
    if number in _SIGNAL_CALLS:
        return _Reason(_signal_wait(task), (), True)
    if task.group.wait_queue in task.queues:
        others = [
            thread if thread.ptrace is None or thread.state is not TaskState.ZOMBIE else thread.ptrace.tracer
            for thread in task.group.threads
            if thread is not task
        ]
        return _by_tasks("the other threads to end, and tracers to wait for them:", others)
    if number == _CLOCK_NANOSLEEP and frame.deadline_ns is None:
        return _Reason("a process to use processor time", (), True)
    if number == _FLOCK:
        file = task.file_of_call(frame.arguments[0])
        if file is not None and file.inode.locks is not None:
            holders = lock_holders(channels, file.inode.locks)
            return _Reason(
                f"the lock on {channels.named(file)}, held by {_join(holders)}", _pids(channels, holders)
            )
    return None


def _children(task: Task, frame: Any) -> _Reason:
    """wait4(2) and waitid(2)."""
    children = [child for thread in task.group.threads for child in thread.children]
    children += [
        tracee
        for thread in task.group.threads
        for tracee in thread.tracees or ()
        if tracee not in thread.children
    ]
    arguments = frame.arguments
    pid = arguments[0] if frame.number == _WAIT4 else arguments[1] if arguments[0] == _P_PID else -1
    if pid > 0:
        children = [child for child in children if child.thread_pid.number_in(task.pid_namespace) == pid]
    return _by_tasks("a child to end:" if len(children) == 1 else "one of its children to end:", children)


# By the queues on which the task is


def _by_queues(channels: ChannelMap, task: Task) -> tuple[_Reason, list[int]] | None:
    """From the task's open files: those on whose queues it waits, by their descriptors."""
    queues = set(map(id, task.queues))
    reasons: dict[int, _Reason] = {}
    opened = dict(task.files)
    if task.frame is not None:
        # What other threads have closed meanwhile.
        opened.update(task.frame.files)
    for fd, file in opened.items():
        waited = [queue for queue in _wait_queues(file, task) if id(queue) in queues]
        if waited and not any(file is opened[known] for known in reasons):
            reasons[fd] = _file(channels, task, file, waited)
    if not reasons:
        return None
    if len(reasons) == 1:
        return next(iter(reasons.values())), list(reasons)
    wakers = dict.fromkeys(tid for reason in reasons.values() for tid in reason.wakers)
    what = " or ".join(dict.fromkeys(reason.what for reason in reasons.values()))
    is_open = any(reason.is_open for reason in reasons.values())
    return _Reason(what, tuple(wakers), is_open), list(reasons)


def _by_place(channels: ChannelMap, task: Task) -> tuple[_Reason, list[int]] | None:
    """A place in the queue of a local socket that isn't the task's own: for a connection or a datagram."""
    for end, holders in channels.holders.items():
        if isinstance(end, UnixSocket) and end.place_queue in task.queues:
            what = "the backlog" if end.state == LISTENING else "the queue"
            name = socket_name(end)
            reason = _Reason(
                f"a place in {what} of {name}, held by {_join(holders)}", _pids(channels, holders)
            )
            return reason, []
    return None


def _wait_queues(file: File, task: Task) -> tuple[WaitQueue, ...]:
    """The queues on which `task` waits for a file: of a signalfd they are each reader's own."""
    return file.queues_of(task) if isinstance(file, SignalFile) else file.wait_queues()


def _file(channels: ChannelMap, task: Task, file: File, waited: list[Any]) -> _Reason:
    """What waiting on these queues of an open file means."""
    name = channels.named(file)
    if isinstance(file, PipeFile):
        return _pipe(channels, file, waited, name)
    if isinstance(file, EventFile):
        holders = channels.holders_of(file)
        what = "the eventfd's count to grow" if file.read_queue in waited else "room in the eventfd's count"
        return _Reason(f"{what}, held by {_join(holders)}", _pids(channels, holders))
    if isinstance(file, PidFile):
        target = file.target
        kind = "thread" if file.is_thread else "process"
        return _by_tasks(f"the end of {kind}", [] if target is None else [target])
    if isinstance(file, InputFile):
        return _Reason("input from outside the machine", (), True)
    if isinstance(file, TimerFile):
        timer = file.timer
        if timer is None or not timer.is_armed:
            return _Reason("a timerfd that isn't armed", (), True)
        return _Reason(
            f"a timerfd, due in {_seconds(timer.deadline_ns - task.kernel.clock.now_ns)}", (), True
        )
    if isinstance(file, SignalFile):
        return _Reason(f"a signal that {name} takes", (), True)
    if isinstance(file, EpollFile):
        return _instance(channels, task, file)
    kind = file.inode.superblock.type_name
    if kind == "sockfs":
        return _socket(channels, file, waited, name)
    if kind == "mqueue":
        channel = channels.channels.get(file.inode)
        parties = [] if channel is None else [*channel.readers, *channel.writers]
        return _Reason(f"the message queue {name}, open to {_join(parties)}", _pids(channels, parties))
    tty = getattr(file, "tty", None)
    if tty is not None:
        holders = channels.holders_of(getattr(tty, "link", None))
        what = f"the terminal {name}, at whose other end is {_join(holders)}"
        return _Reason(what, _pids(channels, holders), not holders)
    return _Reason(f"{name} to be ready", (), True)


def _pipe(channels: ChannelMap, file: PipeFile, waited: list[Any], name: str) -> _Reason:
    channel = channels.channels.get(file.pipe)
    if channel is None:
        return _Reason(name, (), True)
    is_reading, is_writing = file.pipe.read_queue in waited, file.pipe.write_queue in waited
    for_bytes = f"bytes from {channel.kind} {name}, written by {_join(channel.writers)}"
    for_room = f"room in {channel.kind} {name}, read by {_join(channel.readers)}"
    if not (is_writing and file.is_writable):
        return _Reason(for_bytes, _pids(channels, channel.writers))
    if not (is_reading and file.is_readable):
        return _Reason(for_room, _pids(channels, channel.readers))
    return _Reason(f"{for_bytes} or {for_room}", _pids(channels, [*channel.writers, *channel.readers]))


def _socket(channels: ChannelMap, file: Any, waited: list[Any], name: str) -> _Reason:
    socket = file.socket
    peer = getattr(socket, "peer", None)
    if peer is None:
        return _Reason(f"somebody to send to {name} or to connect to it", (), True)
    holders = channels.holders_of(peer)
    what = "bytes from" if socket.read_queue in waited else "room in"
    return _Reason(f"{what} {name}, at whose other end is {_join(holders)}", _pids(channels, holders))


def _instance(channels: ChannelMap, task: Task, instance: EpollFile) -> _Reason:
    """epoll_wait(2): any of what the instance watches."""
    reasons = [
        _file(channels, task, item.file, list(item.queues)) for item in instance.items.values() if item.queues
    ]
    if not reasons:
        return _Reason("an epoll instance that watches nothing")
    wakers = dict.fromkeys(tid for reason in reasons for tid in reason.wakers)
    what = " or ".join(dict.fromkeys(reason.what for reason in reasons))
    return _Reason(what, tuple(wakers), any(reason.is_open for reason in reasons))
