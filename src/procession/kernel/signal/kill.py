"""Who may send whom a signal, and sending one to processes by number (kill(2))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EAGAIN, EINVAL, EPERM, ESRCH, Errno
from procession.fs.landlock import SCOPE_SIGNALS, is_out_of_scope
from procession.kernel.pid import find_task
from procession.kernel.security.capability import CAP_KILL
from procession.kernel.signal.generation import send_group_signal, send_signal
from procession.kernel.signal.info import SI_USER, UID_IN_FIELDS, SigInfo
from procession.kernel.signal.set import SIGCONT, SIGNAL_COUNT
from procession.kernel.time.costs import SEEN_TASK_NS

if TYPE_CHECKING:
    from procession.kernel.session import ProcessGroup
    from procession.kernel.task import Task


def sender_info(sender: Task, signo: int, code: int) -> SigInfo:
    """What the receiver learns of a signal from kill(2) or tkill(2): the sender's number as that knows it.

    Linux: kernel/signal.c, prepare_kill_siginfo.
    """
    info = SigInfo(signo, code, sender=sender.group.pid, uid=sender.credentials.uid)
    info.named_in = sender.pid_namespace
    return info


def check_kill_permission(sender: Task, target: Task, info: SigInfo) -> None:
    """Raise EINVAL if there's no such signal, EPERM if `sender` may not send it to `target`.

    Linux: kernel/signal.c, check_kill_permission.
    """
    signo = info.signo
    if not 0 <= signo <= SIGNAL_COUNT:
        raise EINVAL(f"no signal {signo}")
    if info.code > SI_USER or sender.group is target.group:
        return
    mine, theirs = sender.credentials, target.credentials
    if (
        mine.euid not in {theirs.suid, theirs.uid}
        and mine.uid not in {theirs.suid, theirs.uid}
        and not mine.ns_capable(theirs.user_namespace, CAP_KILL)
        and not (
            signo == SIGCONT and sender.group.process_group.session is target.group.process_group.session
        )
    ):
        raise EPERM(f"uid {mine.uid}/{mine.euid} sends a signal to uid {theirs.uid}, and CAP_KILL is missing")
    if mine.landlock and is_out_of_scope(mine.landlock, theirs.landlock, SCOPE_SIGNALS):
        raise EPERM("the Landlock domain of the sender doesn't let signals out")


def signal_process(sender: Task, target: Task, info: SigInfo) -> None:
    """Send `info` to the process of `target`; signal 0 only asks whether that's allowed.

    Raises EINVAL, EPERM and EAGAIN. Linux: kernel/signal.c, group_send_sig_info.
    """
    check_kill_permission(sender, target, info)
    if info.signo and not send_group_signal(sender.kernel, target.group, info, target):
        raise EAGAIN("the receiver's RLIMIT_SIGPENDING is reached")


def signal_process_by_id(sender: Task, pid: int, info: SigInfo) -> None:
    """Send `info` to the process that has a thread `pid`. Raises ESRCH and what `signal_process` does."""
    target = find_task(sender.pid_namespace, pid)
    if target is None:
        raise ESRCH(f"no process {pid}")
    signal_process(sender, target, info)


def signal_group_members(sender: Task, process_group: ProcessGroup | None, info: SigInfo) -> None:
    """Send `info` to every process of a group, the newest first; it fails only if it does for all.

    Linux: kernel/signal.c, __kill_pgrp_info.
    """
    failure: Errno | None = ESRCH("no such process group")
    for member in process_group.newest_first() if process_group is not None else ():
        sender.kernel.clock.spend(SEEN_TASK_NS)
        try:
            signal_process(sender, member.leader, _copy(info))
        except (EINVAL, EPERM, EAGAIN) as error:
            if failure is not None:
                failure = error
        else:
            failure = None
            _translate(sender, member.leader, info)
    if failure is not None:
        raise failure


def signal_everybody(sender: Task, info: SigInfo) -> None:
    """Send `info` to every process that the sender sees but 1 and its own.

    Linux: kernel/signal.c, kill_something_info.

    Raises ESRCH if there's none. EPERM counts as success, which POSIX allows.
    """
    has_found = False
    failure: Errno | None = None
    namespace = sender.pid_namespace
    for target in list(sender.kernel.tasks):
        sender.kernel.clock.spend(SEEN_TASK_NS)
        if (
            not target.is_leader
            or target.thread_pid.number_in(namespace) <= 1
            or target.group is sender.group
        ):
            continue
        has_found = True
        try:
            signal_process(sender, target, _copy(info))
            failure = None
            _translate(sender, target, info)
        except EPERM:
            continue
        except (EINVAL, EAGAIN) as error:
            failure = error
    if not has_found:
        raise ESRCH("there is no other process")
    if failure is not None:
        raise failure


def signal_thread_by_id(sender: Task, tgid: int, tid: int, info: SigInfo) -> None:
    """Send `info` to the thread `tid`, which is to be of the process `tgid` unless that is 0.

    Raises ESRCH, EINVAL, EPERM and EAGAIN. Linux: kernel/signal.c, do_send_specific.
    """
    namespace = sender.pid_namespace
    target = find_task(namespace, tid)
    if target is None or (tgid > 0 and target.group.pid.number_in(namespace) != tgid):
        raise ESRCH(f"no thread {tid}")
    signal_thread(sender, target, info)


def signal_thread(sender: Task, target: Task, info: SigInfo) -> None:
    """Send `info` to one thread; signal 0 only asks whether that's allowed. Raises as `signal_process`."""
    check_kill_permission(sender, target, info)
    if info.signo and not send_signal(sender.kernel, target, info):
        raise EAGAIN("the receiver's RLIMIT_SIGPENDING is reached")


def _translate(sender: Task, receiver: Task, info: SigInfo) -> None:
    """Make the sender of `info` whom the receiver was told of: all who get a signal have one description.

    Linux: kernel/signal.c, send_signal_locked.
    """
    if not info.has_sender:
        return
    if not sender.thread_pid.number_in(receiver.thread_pid.namespace):
        info.hide_sender()
    mine, theirs = sender.credentials.user_namespace, receiver.credentials.user_namespace
    if mine is not theirs:
        is_own = info.fields is not None
        uid = theirs.from_kuid_munged(mine.make_kuid(info.uid) if is_own else info.uid)
        info.uid = uid if is_own else mine.make_kuid(uid)
        info.put_field(UID_IN_FIELDS, info.uid)


def _copy(info: SigInfo) -> SigInfo:
    copy = SigInfo(info.signo, info.code, sender=info.sender, uid=info.uid, value=info.value)
    copy.pid, copy.fields, copy.named_in = info.pid, info.fields, info.named_in
    return copy
