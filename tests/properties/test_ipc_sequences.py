"""Random sequences of calls on semaphores, messages, shared memory and queues, and what has to hold."""

from __future__ import annotations

from struct import pack

from hypothesis import given, settings
from hypothesis import strategies as st

from procession.abi.errno import Errno
from procession.abi.ipc import SEMVMX
from procession.fs.mqueue import QueueDirectory
from procession.kernel.ipc.namespace import IpcNamespace
from procession.kernel.ipc.posix_queue import QueueWait
from procession.kernel.ipc.shm import Attachment
from procession.kernel.rlimit import RLIMIT_MSGQUEUE
from procession.kernel.task import Task
from procession.kernel.task_state import TaskState
from tests.kernel.conducted_machine import ConductedMachine
from tests.of_a_kind import examples

PROCESSES = 3
MOST_PROCESSES = 8
IPC_CREAT, IPC_NOWAIT, SEM_UNDO = 0o1000, 0o4000, 0o10000
O_RDWR, O_CREAT, O_NONBLOCK = 2, 0o100, 0o4000
SIGUSR1, SIGKILL = 10, 9

ACTIONS = (
    *("semget", "semop", "semop", "semop", "setval", "semrmid"),
    *("msgget", "msgsnd", "msgsnd", "msgrcv", "msgrcv", "msgset", "msgrmid"),
    *("shmget", "shmat", "shmat", "shmdt", "shmrmid"),
    *("mq_open", "mq_open", "mq_send", "mq_send", "mq_receive", "mq_receive", "mq_unlink", "close"),
    *("fork", "exit", "kill", "time"),
)

small = st.integers(0, 3)
steps = st.lists(
    st.tuples(
        st.integers(0, MOST_PROCESSES - 1),
        st.sampled_from(ACTIONS),
        *(small, small, small),
        st.booleans(),
    ),
    max_size=60,
)


class Scene:
    """Some processes, and the ids that calls gave."""

    def __init__(self) -> None:
        self.conductor = ConductedMachine()
        self.kernel = self.conductor.kernel
        self.processes = [self.conductor.process() for _ in range(PROCESSES)]
        self.attached: dict[Task, list[int]] = {}

    @property
    def namespace(self) -> IpcNamespace:
        return self.kernel.init_namespaces.ipc

    def act(self, who: int, what: str, a: int, b: int, c: int, flag: bool) -> None:
        """One step: a call, unless the process sleeps or has ended."""
        task = self.processes[who % len(self.processes)]
        if what == "kill":
            victim = self.processes[a % len(self.processes)]
            sender = self.conductor.init
            self.conductor.call(sender, "kill", victim.tgid, SIGKILL if flag and b == 0 else SIGUSR1)
        elif what == "time":
            self.conductor.advance(10**9)
        elif task.state is TaskState.RUNNABLE:
            self.call(task, what, a, b, c, flag)

    def call(self, task: Task, what: str, a: int, b: int, c: int, flag: bool) -> None:
        nowait = IPC_NOWAIT if flag else 0
        call = self.conductor.call
        if what == "semget":
            call(task, "semget", a, 3, IPC_CREAT | 0o600)
        elif what == "semop":
            operations = [(b, c - 1, SEM_UNDO if flag else 0), ((b + 1) % 3, a - 2, 0)][: 1 + c % 2]
            timeout: int | bytes = pack("<QQ", 0, 5) if a == 3 else 0
            packed = b"".join(pack("<Hhh", *operation) for operation in operations)
            call(task, "semtimedop", self.id_of("semaphores", a), packed, len(operations), timeout)
        elif what == "setval":
            call(task, "semctl", self.id_of("semaphores", a), b, 16, c)
        elif what == "semrmid":
            call(task, "semctl", self.id_of("semaphores", a), 0, 0, 0)
        elif what == "msgget":
            call(task, "msgget", a, IPC_CREAT | 0o600)
        elif what == "msgsnd":
            call(
                task,
                "msgsnd",
                self.id_of("messages", a),
                pack("<q", b + 1) + bytes(8192),
                c << 12 >> 1,
                nowait,
            )
        elif what == "msgrcv":
            call(task, "msgrcv", self.id_of("messages", a), bytes(9000), c << 12, b - 1, nowait)
        elif what == "msgset":
            status = pack("<iIIIII", 0, 0, 0, 0, 0, 0o600).ljust(48, b"\0") + bytes(40)
            call(
                task, "msgctl", self.id_of("messages", a), 1, (status + pack("<Q", b << 12)).ljust(120, b"\0")
            )
        elif what == "msgrmid":
            call(task, "msgctl", self.id_of("messages", a), 0, 0)
        elif what == "shmget":
            call(task, "shmget", a, 8192, IPC_CREAT | 0o600)
        elif what == "shmat":
            address = call(task, "shmat", self.id_of("segments", a), 0, 0o10000 if flag else 0)
            if isinstance(address, int) and address > 0:
                self.attached.setdefault(task, []).append(address)
        elif what == "shmdt":
            addresses = self.attached.get(task, [])
            call(task, "shmdt", addresses.pop() if addresses else 0x7000)
        elif what == "shmrmid":
            call(task, "shmctl", self.id_of("segments", a), 0, 0)
        elif what == "mq_open":
            attributes = pack("<qqqq", 0, 1 + b, 8, 0).ljust(64, b"\0")
            call(
                task,
                "mq_open",
                b"q%d\0" % (a % 2),
                O_RDWR | O_CREAT | (O_NONBLOCK if flag else 0),
                0o600,
                attributes,
            )
        elif what in ("mq_send", "mq_receive"):
            name = "mq_timedsend" if what == "mq_send" else "mq_timedreceive"
            deadline = pack("<QQ", self.kernel.clock.realtime_ns // 10**9 + 1, 0) if flag else 0
            call(task, name, 3 + b, bytes(8), 8, c if what == "mq_send" else 0, deadline)
        elif what == "mq_unlink":
            call(task, "mq_unlink", b"q%d\0" % (a % 2))
        elif what == "close":
            call(task, "close", 3 + b)
        elif what == "fork":
            if len(self.processes) < MOST_PROCESSES:
                pid = call(task, "fork")
                if isinstance(pid, int) and pid > 0:
                    child = self.conductor.task(pid)
                    self.processes.append(child)
                    self.attached[child] = self.attached.get(task, []).copy()
        elif what == "exit":
            call(task, "exit_group", 0)

    def id_of(self, kind: str, number: int) -> int:
        """The id of one of the objects of a kind, or of something that isn't there."""
        objects = getattr(self.namespace, kind).ordered()
        return objects[number % len(objects)].id if objects and number < 3 else 77

    # What has to hold

    def check(self) -> None:
        self.check_semaphores()
        self.check_messages()
        self.check_segments()
        self.check_queues()
        assert self.namespace.charged_bytes >= 0

    def is_waiting(self, task: Task, progress: object) -> bool:
        return (
            task.state is TaskState.INTERRUPTIBLE
            and task.frame is not None
            and task.frame.progress is progress
        )

    def check_semaphores(self) -> None:
        """Values are in their range, and nobody sleeps whose operations could be done."""
        total = 0
        for semaphores in self.namespace.semaphores.ordered():
            assert all(0 <= value <= SEMVMX for value in semaphores.values)
            for wait in (*semaphores.watching, *semaphores.altering):
                assert self.is_waiting(wait.task, wait)
                before = semaphores.values.copy(), semaphores.pids.copy()
                try:
                    could_go_on = semaphores.perform(wait)
                except Errno:
                    could_go_on = True
                assert not could_go_on
                assert (semaphores.values, semaphores.pids) == before
            total += len(semaphores.values)
            for undo in semaphores.undos:
                assert undo.owner.undos[semaphores] is undo
                assert undo.owner.reference_count > 0
        assert self.namespace.used_semaphores == total

    def check_messages(self) -> None:
        """Nobody sleeps for whom there is a message or room, and the counts are right."""
        count = size = 0
        for queue in self.namespace.messages.ordered():
            assert queue.byte_count == sum(len(message.data) for message in queue.messages)
            count += len(queue.messages)
            size += queue.byte_count
            for receiver in queue.receivers:
                assert self.is_waiting(receiver.task, receiver)
                assert queue.find(receiver.wish) is None
            for sender in queue.senders:
                assert self.is_waiting(sender.task, sender)
                assert not queue.has_room(len(sender.message.data))
        assert (self.namespace.message_count, self.namespace.message_bytes) == (count, size)

    def check_segments(self) -> None:
        """A segment counts the areas that map it, and one that was removed has some."""
        pages = 0
        for segment in self.namespace.segments.ordered():
            spaces = dict.fromkeys(task.mm for task in self.kernel.tasks if task.mm.reference_count)
            areas = [area for mm in spaces for area in mm.areas if isinstance(area.file, Attachment)]
            mapped = sum(isinstance(area.file, Attachment) and area.file.segment is segment for area in areas)
            assert segment.attach_count == mapped
            assert not segment.may_be_destroyed
            pages += segment.page_count
        assert self.namespace.used_pages == pages

    def check_queues(self) -> None:
        """Nobody sleeps for whom there is a message or room, and the first to be received is first."""
        system = self.namespace.posix_queues
        if system is None:
            return
        assert isinstance(system.root, QueueDirectory)
        for queue in system.root.queues.values():
            priorities = [message.priority for message in queue.messages]
            assert priorities == sorted(priorities, reverse=True)
            assert len(queue.messages) <= queue.message_limit
            assert not (queue.receivers and queue.messages)
            assert not queue.senders or queue.is_full
            assert queue.byte_count == sum(len(message.data) for message in queue.messages)
            for sleeper in (*queue.receivers, *queue.senders):
                assert isinstance(sleeper, QueueWait)
                assert self.is_waiting(sleeper.task, sleeper)

    def end(self) -> None:
        """When everybody is gone and everything is removed, nothing is left."""
        for task in self.processes:
            if task.state not in (TaskState.ZOMBIE, TaskState.DEAD):
                self.conductor.call(self.conductor.init, "kill", task.tgid, SIGKILL)
        self.check()
        namespace = self.namespace
        for objects in (namespace.semaphores, namespace.messages, namespace.segments):
            for found in objects.ordered():
                found.remove()
        cleaner = self.conductor.process()
        for name in (b"q0\0", b"q1\0"):
            self.conductor.call(cleaner, "mq_unlink", name)
        assert namespace.charged_bytes == 0
        assert namespace.used_pages == namespace.posix_queue_count == 0
        assert self.conductor.init.credentials.count_of(RLIMIT_MSGQUEUE) == 0


@settings(max_examples=examples(150))
@given(steps=steps)
def test_whatever_is_called(steps: list[tuple[int, str, int, int, int, bool]]) -> None:
    scene = Scene()
    try:
        for step in steps:
            scene.act(*step)
            scene.check()
        scene.end()
    finally:
        scene.conductor.close()
