"""Making tasks: what fork, vfork, clone and clone3 have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from procession.abi.clone_flags import CloneFlag
from procession.abi.errno import EAGAIN, EFAULT, EINVAL, ENOMEM, EPERM, ERESTARTNOINTR, Errno
from procession.abi.named_tuple import NamedTuple
from procession.abi.word import pack_u32
from procession.fs.namespace import CLONE_NEWIPC, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER
from procession.fs.wait_queue import WaitQueue
from procession.hardware.kernel_memory import GROUP_BYTES, TASK, TASK_BYTES
from procession.hardware.page_table import USER_END
from procession.hardware.physical_memory import OutOfFrames
from procession.hardware.registers import RAX, RSP, TRAP_FLAG, set_register
from procession.kernel.cgroup.attach import join
from procession.kernel.cgroup.directory import group_for_child
from procession.kernel.cgroup.pids import check_limits
from procession.kernel.ipc.shm import forget_creator
from procession.kernel.namespaces.creation import CLONE_NEW_ANY, copy_namespaces, unshare_namespaces
from procession.kernel.namespaces.user import new_user_namespace
from procession.kernel.observer import CLONE
from procession.kernel.process_flags import PF_NPROC_EXCEEDED, PF_SUPERPRIV
from procession.kernel.ptrace.link import inherit_tracer
from procession.kernel.rlimit import RLIMIT_NPROC
from procession.kernel.sched.autogroup import join_autogroup
from procession.kernel.sched.priority import check_fork, copy_io, sched_fork
from procession.kernel.security.capability import CAP_SYS_ADMIN, CAP_SYS_RESOURCE
from procession.kernel.security.credentials import commit_credentials
from procession.kernel.security.process_keys import copy_keys
from procession.kernel.security.seccomp import copy_seccomp
from procession.kernel.session import join_process_group
from procession.kernel.signal.mask import recalculate_pending
from procession.kernel.signal.pending import PendingSignals
from procession.kernel.task import (
    SIGNAL_PENDING,
    SIGNAL_UNKILLABLE,
    Task,
    ThreadGroup,
)
from procession.mm.overcommit import check_copy

if TYPE_CHECKING:
    from procession.fs.fd_table import FdTable
    from procession.fs.fs_context import FsContext
    from procession.hardware.kernel_memory import KernelMemory
    from procession.kernel.cgroup.group import Cgroup
    from procession.kernel.kernel import Kernel
    from procession.kernel.namespaces.proxy import NsProxy
    from procession.kernel.pid import Pid
    from procession.kernel.security.credentials import Credentials
    from procession.mm.address_space import MemoryDescriptor

CLONE_VM: Final = int(CloneFlag.CLONE_VM)
CLONE_FS: Final = int(CloneFlag.CLONE_FS)
CLONE_FILES: Final = int(CloneFlag.CLONE_FILES)
CLONE_SIGHAND: Final = int(CloneFlag.CLONE_SIGHAND)
CLONE_IO: Final = int(CloneFlag.CLONE_IO)
CLONE_PIDFD: Final = int(CloneFlag.CLONE_PIDFD)
CLONE_PTRACE: Final = int(CloneFlag.CLONE_PTRACE)
CLONE_VFORK: Final = int(CloneFlag.CLONE_VFORK)
CLONE_PARENT: Final = int(CloneFlag.CLONE_PARENT)
CLONE_THREAD: Final = int(CloneFlag.CLONE_THREAD)
CLONE_SYSVSEM: Final = int(CloneFlag.CLONE_SYSVSEM)
CLONE_SETTLS: Final = int(CloneFlag.CLONE_SETTLS)
CLONE_PARENT_SETTID: Final = int(CloneFlag.CLONE_PARENT_SETTID)
CLONE_CHILD_CLEARTID: Final = int(CloneFlag.CLONE_CHILD_CLEARTID)
CLONE_DETACHED: Final = int(CloneFlag.CLONE_DETACHED)
CLONE_UNTRACED: Final = int(CloneFlag.CLONE_UNTRACED)
CLONE_CHILD_SETTID: Final = int(CloneFlag.CLONE_CHILD_SETTID)
CLONE_CLEAR_SIGHAND: Final = int(CloneFlag.CLONE_CLEAR_SIGHAND)
CLONE_INTO_CGROUP: Final = int(CloneFlag.CLONE_INTO_CGROUP)


class CloneArguments(NamedTuple):
    """What a new task shares and where it starts (Linux: include/linux/sched/task.h, struct
    kernel_clone_args).

    `stack` is the child's stack pointer, 0 for the parent's; `tls` its fs base with CLONE_SETTLS;
    `set_tid` the ids that it asks for, its own namespace's first; `cgroup_fd` has the directory of the
    control group that it's made in, None for the parent's.
    """

    flags: int
    exit_signal: int = 0
    stack: int = 0
    tls: int = 0
    parent_tid: int = 0
    child_tid: int = 0
    set_tid: tuple[int, ...] = ()
    cgroup_fd: int | None = None


def check_flags(flags: int) -> None:
    """Raise EINVAL for combinations that make no sense. Linux: kernel/fork.c, copy_process."""
    if flags & CLONE_THREAD and not flags & CLONE_SIGHAND:
        raise EINVAL("CLONE_THREAD needs CLONE_SIGHAND")
    if flags & CLONE_SIGHAND and not flags & CLONE_VM:
        raise EINVAL("CLONE_SIGHAND needs CLONE_VM")
    if flags & CLONE_FS and flags & (CLONE_NEWNS | CLONE_NEWUSER):
        raise EINVAL("a new mount or user namespace can't share CLONE_FS")
    if flags & CLONE_THREAD and flags & (CLONE_NEWUSER | CLONE_NEWPID):
        raise EINVAL("a thread is in its process's namespaces")
    if flags & CLONE_SIGHAND and flags & CLONE_CLEAR_SIGHAND:
        raise EINVAL("CLONE_CLEAR_SIGHAND contradicts CLONE_SIGHAND")


def check_user_namespace(task: Task, flags: int) -> None:
    """Raise EPERM unless `task` may make a user namespace, if it's about to."""
    if (
        flags & CLONE_NEWUSER
        and not task.kernel.allows_unprivileged_user_namespaces
        and not task.credentials.capable(CAP_SYS_ADMIN)
    ):
        raise EPERM("kernel.unprivileged_userns_clone is 0")


def unshare(task: Task, flags: int) -> None:
    """Stop sharing what `flags` name with other tasks. Raises EINVAL, EPERM.

    Linux: kernel/fork.c, ksys_unshare.
    """
    if flags & CLONE_NEWUSER:
        flags |= CLONE_THREAD | CLONE_FS
    if flags & CLONE_NEWNS:
        flags |= CLONE_FS
    if flags & CLONE_NEWIPC:
        flags |= CLONE_SYSVSEM
    if flags & ~(_UNSHAREABLE | CLONE_NEW_ANY):
        raise EINVAL("flags that unshare doesn't have")
    if flags & CLONE_VM:
        flags |= CLONE_SIGHAND
    if flags & CLONE_SIGHAND:
        flags |= CLONE_THREAD
    is_alone = len(task.group.threads) == 1
    if flags & CLONE_THREAD and not is_alone:
        raise EINVAL("other threads are in the group")
    if flags & CLONE_SIGHAND and task.group.handlers.reference_count > 1:
        raise EINVAL("the signal handlers are shared")
    if flags & CLONE_VM and task.mm.reference_count > 1:
        raise EINVAL("the address space is shared")
    check_user_namespace(task, flags)
    own = new_user_namespace(task) if flags & CLONE_NEWUSER else None
    context = task.fs
    if flags & CLONE_FS and context.reference_count > 1:
        context = context.copy()
    try:
        namespaces = unshare_namespaces(task, flags, context, task.credentials if own is None else own)
    except (Errno, OutOfFrames):
        if context is not task.fs:
            context.put()
        if own is not None:
            own.user_namespace.put()
        raise
    if flags & CLONE_SYSVSEM and task.semaphore_undo is not None:
        from procession.kernel.ipc.sem_undo import leave_undos

        leave_undos(task)
    if context is not task.fs:
        shared_fs, task.fs = task.fs, context
        shared_fs.put()
    if flags & CLONE_NEWIPC:
        forget_creator(task)
    if namespaces is not None:
        task.namespaces, old = namespaces, task.namespaces
        old.put()
    if flags & CLONE_FILES and task.files.reference_count > 1:
        shared_files, task.files = task.files, task.files.copy()
        shared_files.put()
    if own is not None:
        commit_credentials(task, own)
        own.user_namespace.put()


_UNSHAREABLE: Final = CLONE_THREAD | CLONE_FS | CLONE_SIGHAND | CLONE_VM | CLONE_FILES | CLONE_SYSVSEM


class TaskParts:
    """What a new task is to have, as far as it has been got: `put` gives it back if the rest can't be had.

    In Linux the parts hang on the half-made task, and a label for each (bad_fork_cleanup_mm ...) lets go of
    it. Here a task is made when nothing can fail any more. `credentials` are those of a new user namespace.
    """

    __slots__ = ("account", "charged_bytes", "context", "credentials", "files", "mm", "namespaces")

    def __init__(self, account: KernelMemory) -> None:
        self.account = account
        self.charged_bytes = 0
        self.credentials: Credentials | None = None
        self.files: FdTable | None = None
        self.context: FsContext | None = None
        self.mm: MemoryDescriptor | None = None
        self.namespaces: NsProxy | None = None

    def put(self) -> None:
        """Nothing of it will be a task's."""
        if self.namespaces is not None:
            self.namespaces.put()
        if self.mm is not None:
            self.mm.put()
        if self.context is not None:
            self.context.put()
        if self.files is not None:
            self.files.put()
        if self.credentials is not None:
            self.credentials.user_namespace.put()
        if self.charged_bytes:
            self.account.uncharge(TASK, self.charged_bytes)


def copy_process(kernel: Kernel, parent: Task, arguments: CloneArguments) -> Task:
    """Make a task from `parent`, whole and published but not yet runnable.

    Raises EINVAL, EAGAIN (RLIMIT_NPROC, ids or tasks used up), ENOMEM; then nothing has changed.
    What can fail comes first; the rest can't fail. Linux: kernel/fork.c, copy_process.
    """
    flags = arguments.flags
    check_clone(kernel, parent, arguments)
    memory = kernel.memory
    parts = TaskParts(memory.account)
    payer = memory.payer
    cgroup, refusal = parent.cgroup, None
    if arguments.cgroup_fd is not None:
        try:
            cgroup = group_for_child(parent, arguments.cgroup_fd, is_process=not flags & CLONE_THREAD)
            _check_count(kernel, cgroup)
            # What the child has is given back to its own group, not to its parent's.
            memory.payer = cgroup.memory
        except Errno as error:
            # Linux looks at the group last of all (cgroup_can_fork).
            refusal = error
    try:
        _charge_task(parts, flags)
        copy_creds(parts, parent, flags)
        _check_process_limit(parent, parts.credentials or parent.credentials)
        context = copy_fs(parts, parent, flags)
        files = copy_files(parts, parent, flags)
        mm = copy_mm(parts, parent, flags)
        credentials = parent.credentials if parts.credentials is None else parts.credentials
        parts.namespaces = namespaces = copy_namespaces(parent, flags, context, credentials)
        pid = namespaces.pid_for_children.allocate(arguments.set_tid, parent.credentials)
        if refusal is not None:
            pid.free_if_unused()
            raise refusal
    except OutOfFrames:
        parts.put()
        raise ENOMEM("no memory for a task and what it doesn't share") from None
    except Errno:
        parts.put()
        raise
    finally:
        memory.payer = payer

    task = dup_task_struct(kernel, parent, pid)
    # The child still exceeds the limit, if anybody does.
    parent.flags &= ~PF_NPROC_EXCEEDED
    copy_thread(task, arguments)
    task.mm = mm
    task.files = files
    task.fs = context
    task.namespaces = namespaces
    if parts.credentials is None and credentials.user_namespace.level:
        # A new namespace's first holder is the task.
        credentials.user_namespace.acquire()
    task.credentials = credentials
    task.credentials.count(RLIMIT_NPROC, 1)
    task.parent_exec_id = (
        parent.parent_exec_id if flags & (CLONE_PARENT | CLONE_THREAD) else parent.self_exec_id
    )
    sched_fork(parent, task)
    if parent.io_context is not None:
        copy_io(parent.io_context, task, is_shared=bool(flags & CLONE_IO))
    if parent.rseq is not None and not flags & CLONE_VM:
        # Linux: include/linux/rseq.h, rseq_fork.
        task.rseq = parent.rseq.copy()
    if parent.seccomp_mode:
        copy_seccomp(parent, task)
    if parent.keys is not None:
        copy_keys(parent, task, is_thread=bool(flags & CLONE_THREAD))
    if flags & (CLONE_VM | CLONE_VFORK) != CLONE_VM:
        # A new stack is no place for a handler's old one. Linux: include/linux/sched/signal.h, sas_ss_reset.
        task.alternate_stack = parent.alternate_stack
    task.clear_child_tid = arguments.child_tid if flags & CLONE_CHILD_CLEARTID else 0
    if flags & CLONE_SYSVSEM:
        from procession.kernel.ipc.sem_undo import share_undos

        share_undos(parent, task)
    if flags & CLONE_VFORK:
        task.vfork_queue = WaitQueue()
    if flags & CLONE_THREAD:
        _join_thread_group(task, parent)
    else:
        copy_signal(task, parent, flags)
        _take_parent(task, parent, arguments)
    if pid.own_number == 1 and pid.namespace.level:
        pid.namespace.child_reaper = task.group
        task.group.flags |= SIGNAL_UNKILLABLE
    join(task, cgroup)
    if parent.ptrace is not None:
        inherit_tracer(parent, task, flags, arguments.exit_signal)
    elif parent.debug_registers is not None and parent.debug_registers.is_flag_forced:
        task.registers.rflags &= ~TRAP_FLAG
    pid.task = task
    kernel.tasks[task] = None
    kernel.total_forks += 1
    if flags & CLONE_PARENT_SETTID:
        store_tid(parent, arguments.parent_tid, pid.number_in(parent.pid_namespace))
    if flags & CLONE_CHILD_SETTID:
        store_tid(task, arguments.child_tid, pid.own_number)
    if kernel.process_connector is not None:
        kernel.process_connector.tell_of_fork(task)
    if kernel.observer is not None:
        kernel.observer.task_event(task, CLONE)
    return task


def check_clone(kernel: Kernel, parent: Task, arguments: CloneArguments) -> None:
    """Raise what forbids a clone before anything is copied."""
    flags = arguments.flags
    check_flags(flags)
    if flags & CLONE_PARENT and parent.group.flags & SIGNAL_UNKILLABLE:
        raise EINVAL("an init's siblings would have nobody to reap them")
    if flags & CLONE_THREAD and parent.namespaces.pid_for_children is not parent.pid_namespace:
        raise EINVAL("a thread is in the pid namespace of its process")
    if parent.has_pending_signal:
        # A signal to the whole group must find the child or be handled before there is one.
        raise ERESTARTNOINTR
    if len(kernel.tasks) >= kernel.task_limit:
        raise EAGAIN(f"{kernel.task_limit} tasks, which is all that there may be")
    check_user_namespace(parent, flags)
    check_fork(parent)
    if arguments.cgroup_fd is None:
        _check_count(kernel, parent.cgroup)
    if flags & CLONE_SETTLS and arguments.tls >= USER_END:
        # Linux: arch/x86/kernel/process_64.c, do_arch_prctl_64.
        raise EPERM("thread-local storage beyond user space")


def _check_count(kernel: Kernel, cgroup: Cgroup) -> None:
    """Raise EAGAIN unless the group may have one more task."""
    if cgroup.pids is not None:
        check_limits(cgroup.pids, has_local_events=kernel.cgroups.has_local_pids_events)


def _charge_task(parts: TaskParts, flags: int) -> None:
    """Raises ENOMEM, for which nobody is killed, OutOfFrames."""
    size = TASK_BYTES if flags & CLONE_THREAD else TASK_BYTES + GROUP_BYTES
    if not parts.account.can_charge(size):
        raise ENOMEM("no memory for a task")
    parts.account.charge(TASK, size)
    parts.charged_bytes = size


def _check_process_limit(parent: Task, credentials: Credentials) -> None:
    """Raise EAGAIN unless there can be one more process with `credentials`."""
    mine = parent.credentials
    if (
        not credentials.has_room(RLIMIT_NPROC, 1, parent.group.limits.soft[RLIMIT_NPROC])
        and credentials.uid != 0
        and not mine.capable(CAP_SYS_RESOURCE)
        and not mine.capable(CAP_SYS_ADMIN)
    ):
        raise EAGAIN("RLIMIT_NPROC")


def copy_creds(parts: TaskParts, parent: Task, flags: int) -> None:
    """Credentials never change and are shared, but for those in a new user namespace.

    Raises ENOSPC, EPERM, OutOfFrames. Linux: kernel/cred.c, copy_creds.
    """
    if flags & CLONE_NEWUSER:
        parts.credentials = new_user_namespace(parent)


def copy_fs(parts: TaskParts, parent: Task, flags: int) -> FsContext:
    """Root, current directory and umask, the parent's with CLONE_FS. Linux: kernel/fork.c, copy_fs."""
    parts.context = context = parent.fs.acquire() if flags & CLONE_FS else parent.fs.copy()
    return context


def copy_files(parts: TaskParts, parent: Task, flags: int) -> FdTable:
    """The table of descriptors, the parent's with CLONE_FILES. Raises OutOfFrames.

    Linux: kernel/fork.c, copy_files.
    """
    parts.files = files = parent.files.acquire() if flags & CLONE_FILES else parent.files.copy()
    return files


def copy_mm(parts: TaskParts, parent: Task, flags: int) -> MemoryDescriptor:
    """The address space, the parent's with CLONE_VM. Raises OutOfFrames, ENOMEM.

    Linux: kernel/fork.c, copy_mm.
    """
    if not flags & CLONE_VM:
        check_copy(parent.mm)
    parts.mm = mm = parent.mm.acquire() if flags & CLONE_VM else parent.mm.fork()
    return mm


def dup_task_struct(kernel: Kernel, parent: Task, pid: Pid) -> Task:
    """A task that is called `pid`, with what is copied of its parent as it is.

    Linux: kernel/fork.c, dup_task_struct.
    """
    task = Task(kernel, pid, kernel.registers_of(parent).copy())
    task.command_name = parent.command_name
    task.blocked = parent.blocked
    task.pending = PendingSignals()
    task.self_exec_id = parent.self_exec_id
    task.personality = parent.personality
    task.memory_policy = parent.memory_policy
    task.flags = parent.flags & ~PF_SUPERPRIV
    task.login = parent.login
    task.timer_slack_ns = task.default_timer_slack_ns = parent.timer_slack_ns
    task.start_time_ns = kernel.clock.now_ns
    return task


def copy_thread(task: Task, arguments: CloneArguments) -> None:
    """Where the child starts: behind the call, which gives it 0. Linux: arch/x86/kernel/process.c,
    copy_thread."""
    registers = task.registers
    set_register(registers.general, RAX, 0)
    if arguments.stack:
        set_register(registers.general, RSP, arguments.stack)
    if arguments.flags & CLONE_SETTLS:
        registers.fs_base = arguments.tls
        registers.set_selector("fs", 0)


def _join_thread_group(task: Task, parent: Task) -> None:
    group = parent.group
    task.group = group
    task.exit_signal = -1
    task.parent = group.leader.parent
    group.threads.append(task)
    # Whoever joins a group that is ending or stopping learns of it at once.
    if group.is_exiting or parent.work & SIGNAL_PENDING:
        recalculate_pending(task)


def copy_sighand(group: ThreadGroup, old: ThreadGroup, flags: int) -> None:
    """The handlers of signals. Linux: kernel/fork.c, copy_sighand."""
    if flags & CLONE_SIGHAND:
        old.handlers.reference_count += 1
        group.handlers = old.handlers
        return
    group.handlers = old.handlers.copy()
    if flags & CLONE_CLEAR_SIGHAND:
        group.handlers.reset_for_exec()


def copy_signal(task: Task, parent: Task, flags: int) -> None:
    """A thread group of its own: limits and terminal as its parent's, no signals pending.

    Linux: kernel/fork.c, copy_signal.
    """
    old = parent.group
    group = ThreadGroup(task.thread_pid)
    group.leader = task
    group.threads = [task]
    task.group = group
    copy_sighand(group, old, flags)
    group.shared_pending = PendingSignals()
    group.limits = old.limits.copy()
    if not flags & CLONE_VM:
        task.mm.limits = group.limits
    group.start_time_ns = task.start_time_ns
    group.oom_score_adj, group.oom_score_adj_min = old.oom_score_adj, old.oom_score_adj_min
    group.terminal = old.terminal
    if old.autogroup is not None:
        join_autogroup(group, old.autogroup)


def _take_parent(task: Task, parent: Task, arguments: CloneArguments) -> None:
    """Whose child it is, and in which process group."""
    if arguments.flags & CLONE_PARENT:
        task.parent = parent.parent
        task.exit_signal = parent.group.leader.exit_signal
    else:
        task.parent = parent
        task.exit_signal = arguments.exit_signal
    # The sibling of a program that the kernel itself started has no parent either.
    if task.parent is not None:
        task.parent.adopt(task)
    join_process_group(task.group, parent.group.process_group)


def store_tid(task: Task, address: int, tid: int) -> None:
    """Put the id where the caller asked for it; a bad address doesn't undo the clone (in Linux, put_user)."""
    try:
        task.mm.write(address, pack_u32(tid))
    except (EFAULT, OutOfFrames):
        return
