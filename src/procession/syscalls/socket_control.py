"""Control messages of sendmsg and recvmsg: descriptors, credentials and what protocols add (cmsg(3))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.capability import Capability
from procession.abi.errno import EBADF, EINVAL, EMFILE, ENOBUFS, EPERM, ESRCH, ETOOMANYREFS, Errno
from procession.abi.socket import AddressFamily, Cmsghdr, ControlMessageType, SocketLevel, SocketOption, Ucred
from procession.abi.word import Words, pack_array, pack_u32
from procession.kernel.pid import find_task
from procession.kernel.pidfd import open_pidfd
from procession.kernel.rlimit import RLIMIT_NOFILE
from procession.kernel.task import ThreadGroup
from procession.kernel.time.costs import PASSED_FILE_NS
from procession.net.message import Control, PassedFiles, Received
from procession.net.peer_identity import SenderCredentials
from procession.net.socket import MSG_CMSG_CLOEXEC, MSG_CTRUNC, Socket

if TYPE_CHECKING:
    from procession.fs.file import File
    from procession.kernel.task import Task

_SOL_SOCKET = int(SocketLevel.SOL_SOCKET)
_AF_NETLINK = int(AddressFamily.AF_NETLINK)
_AF_UNIX = int(AddressFamily.AF_UNIX)
_SCM_RIGHTS = int(ControlMessageType.SCM_RIGHTS)
_SCM_CREDENTIALS = int(ControlMessageType.SCM_CREDENTIALS)
_SCM_PIDFD = int(ControlMessageType.SCM_PIDFD)
_SO_PASSSEC = int(SocketOption.SO_PASSSEC)
_SO_PASSCRED = int(SocketOption.SO_PASSCRED)
_SO_PASSPIDFD = int(SocketOption.SO_PASSPIDFD)
_CAP_SETGID = int(Capability.CAP_SETGID)
_CAP_SETUID = int(Capability.CAP_SETUID)
_CAP_SYS_ADMIN = int(Capability.CAP_SYS_ADMIN)
_CAP_SYS_RESOURCE = int(Capability.CAP_SYS_RESOURCE)

_HEADER = Words("<Qii")
_HEADER_SIZE = Cmsghdr.SIZE
_MOST_FILES = 253
"""SCM_MAX_FD."""
_LARGEST_INT = 0x7FFFFFFF
_NO_ID = 0xFFFFFFFF


def _aligned(length: int) -> int:
    return length + 7 & ~7


def read_control(task: Task, socket: Socket, address: int, length: int) -> Control | None:
    """The control messages that sendmsg(2) was given. Raises EINVAL, EBADF, EPERM, ENOBUFS, EFAULT ...

    Linux: net/socket.c, ____sys_sendmsg; net/core/scm.c, __scm_send.
    """
    if length > _LARGEST_INT or length > socket.network.sysctls.option_bytes:
        raise ENOBUFS
    if not length:
        return None
    data = task.mm.read(address, length)
    socket.check_before_control()
    control = Control()
    files: list[File] = []
    is_local = socket.family == _AF_UNIX
    takes_credentials = is_local or socket.family == _AF_NETLINK
    offset = 0
    while offset + _HEADER_SIZE <= length:
        size, level, kind = _HEADER.unpack_from(data, offset)
        if not _HEADER_SIZE <= size <= length - offset:
            if not takes_credentials:
                control.is_cut_short = True
                break
            raise EINVAL("the length of a control message")
        body = data[offset + _HEADER_SIZE : offset + size]
        offset += _aligned(size)
        if not takes_credentials:
            control.items.append((level, kind, body))
        elif level != _SOL_SOCKET:
            continue
        elif kind == _SCM_RIGHTS and is_local:
            _add_files(task, files, control.fds, body)
        elif kind == _SCM_CREDENTIALS:
            control.credentials = _checked_credentials(task, body)
        else:
            raise EINVAL(f"no control message {kind}")
    if files:
        _check_flight(task, socket)
        for file in files:
            file.acquire()
        control.files = PassedFiles(tuple(files), task.credentials.uid)
    return control


def _add_files(task: Task, files: list[File], fds: list[int], body: bytes) -> None:
    """SCM_RIGHTS. Linux: net/core/scm.c, scm_fp_copy."""
    count = len(body) // 4
    if count + len(files) > _MOST_FILES:
        raise EINVAL(f"more than {_MOST_FILES} descriptors")
    for position in range(count):
        fd = int.from_bytes(body[4 * position : 4 * position + 4], "little", signed=True)
        file = task.file_of_call(fd)
        if file is None:
            raise EBADF(f"no descriptor {fd}")
        files.append(file)
        fds.append(fd)


def _check_flight(task: Task, socket: Socket) -> None:
    """Raise ETOOMANYREFS if the user has too many files on their way.

    Linux: net/unix/af_unix.c, too_many_unix_fds.
    """
    credentials = task.credentials
    count = socket.network.system.files_in_flight.get(credentials.uid, 0)
    if (
        count > task.group.limits.soft[RLIMIT_NOFILE]
        and not credentials.capable(_CAP_SYS_RESOURCE)
        and not credentials.capable(_CAP_SYS_ADMIN)
    ):
        raise ETOOMANYREFS


def _checked_credentials(task: Task, body: bytes) -> SenderCredentials:
    """SCM_CREDENTIALS: what the sender may claim to be. Raises EINVAL, EPERM, ESRCH.

    Linux: net/core/scm.c, scm_check_creds.
    """
    if len(body) != Ucred.SIZE:
        raise EINVAL("a struct ucred is needed")
    claim = Ucred.unpack(body)
    mine = task.credentials
    uid, gid = mine.user_namespace.make_kuid(claim.uid), mine.user_namespace.make_kgid(claim.gid)
    own_number = task.group.pid.own_number
    if _NO_ID in (uid, gid):
        raise EINVAL("no such id")
    if (
        (claim.pid != own_number and not mine.ns_capable(task.pid_namespace.owner, _CAP_SYS_ADMIN))
        or (uid not in (mine.uid, mine.euid, mine.suid) and not mine.capable_in_own(_CAP_SETUID))
        or (gid not in (mine.gid, mine.egid, mine.sgid) and not mine.capable_in_own(_CAP_SETGID))
    ):
        raise EPERM("somebody else's ids")
    process = task.group
    if claim.pid != own_number:
        found = find_task(task.pid_namespace, claim.pid)
        if found is None:
            raise ESRCH(f"no process {claim.pid}")
        process = found.group
    return SenderCredentials(process, uid, gid)


class ControlWriter:
    """Puts control messages into the room that recvmsg(2) was given (Linux: net/core/scm.c, put_cmsg).

    `used` is how much of it has been filled, `flags` are the MSG_* to report.
    """

    __slots__ = ("address", "flags", "room", "task", "used")

    def __init__(self, task: Task, address: int, room: int) -> None:
        self.task = task
        self.address = address
        self.room = room
        self.used = 0
        self.flags = 0

    def put(self, level: int, kind: int, body: bytes) -> None:
        """One message, cut if need be. Raises EFAULT. Linux: net/core/scm.c, put_cmsg."""
        left = self.room - self.used
        if not self.address or left < _HEADER_SIZE:
            self.flags |= MSG_CTRUNC
            return
        size = _HEADER_SIZE + len(body)
        if left < size:
            self.flags |= MSG_CTRUNC
            size = left
        record = _HEADER.pack(size, level, kind) + body[: size - _HEADER_SIZE]
        self.task.mm.write(self.address + self.used, record)
        self.used += min(_aligned(_HEADER_SIZE + len(body)), left)

    def put_files(self, passed: PassedFiles, close_on_exec: bool) -> None:
        """SCM_RIGHTS: as many descriptors as there is room for. Linux: net/core/scm.c, scm_detach_fds."""
        left = self.room - self.used
        room = max(left - _HEADER_SIZE, 0) // 4 if self.address else 0
        files = self.task.files
        limit = self.task.group.limits.soft[RLIMIT_NOFILE]
        fds: list[int] = []
        try:
            for file in passed.files[:room]:
                fds.append(files.install(file, close_on_exec=close_on_exec, limit=limit))
        except EMFILE:
            self.flags |= MSG_CTRUNC
        if len(fds) < len(passed.files):
            self.flags |= MSG_CTRUNC
        if fds:
            self.task.kernel.clock.spend(len(fds) * PASSED_FILE_NS)
            body = pack_array("I", fds)
            record = _HEADER.pack(_HEADER_SIZE + len(body), _SOL_SOCKET, _SCM_RIGHTS) + body
            self.task.mm.write(self.address + self.used, record)
            self.used += min(_aligned(len(record)), left)


def write_control(task: Task, socket: Socket, received: Received, address: int, room: int, flags: int) -> int:
    """Hand over what goes with a received message; how much room that took. MSG_* go to `received.flags`.

    Linux: net/core/scm.c, scm_recv_unix.
    """
    if received.is_end:
        return 0
    passed = received.files
    options = socket.options
    writer = ControlWriter(task, address, room)
    try:
        wants_credentials = options.get(_SO_PASSCRED)
        wants_pidfd = options.get(_SO_PASSPIDFD)
        # No security module labels messages, but the label's room is missed all the same.
        wants_label = options.get(_SO_PASSSEC)
        if not address and (wants_credentials or wants_pidfd or wants_label or passed is not None):
            received.flags |= MSG_CTRUNC
            return 0
        for level, kind, body in received.items or ():
            writer.put(level, kind, body)
        sender = received.credentials
        if wants_credentials:
            if sender is None:
                # A message of the kernel's is root's.
                nobody = task.credentials.user_namespace.overflow
                claim = Ucred(0, 0, 0) if socket.family == _AF_NETLINK else Ucred(0, nobody.uid, nobody.gid)
            else:
                reader = task.credentials.user_namespace
                uid, gid = reader.from_kuid_munged(sender.uid), reader.from_kgid_munged(sender.gid)
                claim = Ucred(sender.process.pid.number_in(task.pid_namespace), uid, gid)
            writer.put(_SOL_SOCKET, _SCM_CREDENTIALS, claim.pack())
        if passed is not None:
            writer.put_files(passed, bool(flags & MSG_CMSG_CLOEXEC))
        if wants_pidfd and sender is not None:
            _put_pidfd(writer, sender)
    finally:
        received.release()
    received.flags |= writer.flags
    return writer.used


def _put_pidfd(writer: ControlWriter, sender: SenderCredentials) -> None:
    """SCM_PIDFD. Linux: net/core/scm.c, scm_pidfd_recv."""
    if writer.room - writer.used <= _HEADER_SIZE:
        writer.flags |= MSG_CTRUNC
        return
    task, process = writer.task, sender.process
    assert isinstance(process, ThreadGroup)
    pidfd = open_pidfd(process.leader, 0, task.credentials)
    try:
        fd = task.files.install(pidfd, close_on_exec=True, limit=task.group.limits.soft[RLIMIT_NOFILE])
    except Errno as error:
        writer.put(_SOL_SOCKET, _SCM_PIDFD, pack_u32(-error.number))
        return
    writer.put(_SOL_SOCKET, _SCM_PIDFD, pack_u32(fd))
