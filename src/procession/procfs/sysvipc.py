"""/proc/sysvipc: the System V objects that the reader's namespace has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.hardware.physical_memory import PAGE_SHIFT
from procession.kernel.ipc import seen_namespace
from procession.kernel.pid import number_of

if TYPE_CHECKING:
    from procession.kernel.ipc.object import IpcObject
    from procession.kernel.kernel import Kernel


def _owners(kernel: Kernel, shown: IpcObject) -> tuple[int, int, int, int]:
    """The owner's and the creator's user and group, as the reader knows them."""
    current = kernel.current
    reader = kernel.vfs.init_user_namespace if current is None else current.credentials.user_namespace
    uid, gid = reader.from_kuid_munged, reader.from_kgid_munged
    return uid(shown.uid), gid(shown.gid), uid(shown.cuid), gid(shown.cgid)


def show_segments(kernel: Kernel) -> bytes:
    """/proc/sysvipc/shm. Linux: ipc/shm.c, sysvipc_shm_proc_show."""
    head = (
        b"       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid"
        b"      atime      dtime      ctime                   rss                  swap\n"
    )
    return head + b"".join(
        b"%10d %10d  %4o %21d %5d %5d  %5d %5d %5d %5d %5d %10d %10d %10d %21d %21d\n"
        % (
            *(segment.key, segment.id, segment.mode, segment.size),
            *(number_of(pid, kernel.seen_pid_namespace) for pid in (segment.creator_pid, segment.last_pid)),
            *(segment.attach_count, *_owners(kernel, segment)),
            *(segment.atime_s, segment.dtime_s, segment.ctime_s),
            *(segment.resident_pages << PAGE_SHIFT, 0),
        )
        for segment in seen_namespace(kernel).segments.ordered()
    )


def show_semaphores(kernel: Kernel) -> bytes:
    """/proc/sysvipc/sem. Linux: ipc/sem.c, sysvipc_sem_proc_show."""
    head = b"       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n"
    return head + b"".join(
        b"%10d %10d  %4o %10d %5d %5d %5d %5d %10d %10d\n"
        % (
            *(each.key, each.id, each.mode, len(each.values)),
            *_owners(kernel, each),
            *(each.otime_s, each.ctime_s),
        )
        for each in seen_namespace(kernel).semaphores.ordered()
    )


def show_queues(kernel: Kernel) -> bytes:
    """/proc/sysvipc/msg. Linux: ipc/msg.c, sysvipc_msg_proc_show."""
    head = (
        b"       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid"
        b"      stime      rtime      ctime\n"
    )
    return head + b"".join(
        b"%10d %10d  %4o  %10d %10d %5d %5d %5d %5d %5d %5d %10d %10d %10d\n"
        % (
            *(queue.key, queue.id, queue.mode, queue.byte_count, len(queue.messages)),
            *(number_of(pid, kernel.seen_pid_namespace) for pid in (queue.last_sender, queue.last_receiver)),
            *_owners(kernel, queue),
            *(queue.stime_s, queue.rtime_s, queue.ctime_s),
        )
        for queue in seen_namespace(kernel).messages.ordered()
    )
